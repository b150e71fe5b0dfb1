//! U06–U14: the fields of an announce.

use super::Expected::{Accepted, Error};
use super::{Family, Rows, Scene, Setup, Source, Step, announced, announced_some, scraped};
use crate::payload::{Announce, event, option};

const TOO_SHORT: &str = "announce request too short";
const ZERO_PORT: &str = "port must not be 0";

pub(super) fn add(rows: &mut Rows) {
    lengths(rows);
    ports_and_events(rows);
    wanted(rows);
    roles(rows);
    completed(rows);
}

fn lengths(rows: &mut Rows) {
    rows.both("U06", "an announce shorter than 98 bytes gets an error, at every length", |s| {
        let whole = s.leecher().bytes();
        let cut = |len: usize| s.host(0).sends_with(super::Id::Good, &whole[..len], Error(TOO_SHORT));
        (16..98).map(cut).chain([s.host(0).scrapes(&[s.hash(0)], scraped(&[(0, 0, 0)]))]).collect()
    });
    rows.both("U07", "options and any other bytes behind the 98 never make an error", |s| {
        let tails = [
            option::end(),
            option::nop(),
            option::url_data(b"/announce?key=1"),
            [option::url_data(&[b'a'; 255]), option::url_data(b"bc"), option::end()].concat(),
            [option::nop(), option::nop(), option::url_data(b""), option::end(), vec![9; 9]].concat(),
            // Unknown types, skipped by their length byte.
            [option::other(77, b"whatever"), option::url_data(b"/x"), option::other(255, &[0; 255])].concat(),
            // A length byte is missing; a value is shorter than its length.
            vec![2],
            vec![77],
            vec![2, 200, b'/'],
            [option::nop(), vec![77, 255, 1, 2, 3]].concat(),
            vec![0xff; 300],
            vec![2; 1000],
        ];
        let announce = |tail| s.host(0).announces(Announce { tail, ..s.leecher() }, announced(0, 1, &[]));
        tails.into_iter().map(announce).collect()
    });
}

fn ports_and_events(rows: &mut Rows) {
    rows.both("U08", "port 0 gets an error and is not recorded", |s| {
        vec![
            s.host(0).announces(Announce { port: 0, ..s.leecher() }, Error(ZERO_PORT)),
            s.host(0).announces(Announce { port: 0, event: event::STOPPED, ..s.leecher() }, Error(ZERO_PORT)),
            s.host(0).scrapes(&[s.hash(0)], scraped(&[(0, 0, 0)])),
        ]
    });
    rows.both("U08", "every other port is a peer's", |s| {
        let peer = |n: u16, port| s.host(n).announces(Announce { port, ..s.leecher() }, Accepted);
        vec![
            peer(1, 1),
            peer(2, 80),
            peer(3, 65_535),
            s.host(0).announces(
                s.leecher(),
                announced(0, 4, &[(s.host(1), 1), (s.host(2), 80), (s.host(3), 65_535)]),
            ),
        ]
    });
    rows.both("U09", "an unknown event is taken for none", |s| {
        let announce = |event| s.host(0).announces(Announce { event, ..s.leecher() }, announced(0, 1, &[]));
        let scrape = s.host(0).scrapes(&[s.hash(0)], scraped(&[(0, 0, 1)]));
        [5, 6, 0x0300, 0x0300_0000, u32::MAX].map(announce).into_iter().chain([scrape]).collect()
    });
    rows.both("U09", "a paused peer counts as a leecher", |s| {
        let paused = Announce { event: event::PAUSED, ..s.leecher() };
        vec![
            s.host(0).announces(paused.clone(), announced(0, 1, &[])),
            s.host(0).announces(paused, announced(0, 1, &[])),
            s.host(0).scrapes(&[s.hash(0)], scraped(&[(0, 0, 1)])),
            s.host(1).announces(s.leecher(), announced(0, 2, &[peer(s.host(0))])),
        ]
    });
    rows.both("U10", "the ip field is ignored", |s| {
        vec![
            s.host(0).announces(Announce { ip: [9, 9, 9, 9], ..s.leecher() }, announced(0, 1, &[])),
            s.host(1)
                .announces(Announce { ip: [255; 4], ..s.leecher() }, announced(0, 2, &[peer(s.host(0))])),
        ]
    });
}

fn wanted(rows: &mut Rows) {
    rows.both(
        "U11",
        "num_want decides up to the limit, odd or even; beyond, 0 and less are the limit",
        |s| {
            let (mut steps, ports) = swarm_of(s, 60);
            let others: Vec<_> = ports.iter().map(|port| (s.host(0), *port)).collect();
            steps.push(s.host(1).announces(s.leecher(), Accepted));
            for (num_want, count) in [
                (1, 1),
                (2, 2),
                (3, 3),
                (7, 7),
                (10, 10),
                (11, 11),
                (25, 25),
                (49, 49),
                (50, 50),
                (51, 50),
                (200, 50),
                (i32::MAX, 50),
                (0, 50),
                (-1, 50),
                (-50, 50),
                (i32::MIN, 50),
            ] {
                let announce = Announce { num_want, ..s.leecher() };
                steps.push(s.host(1).announces(announce, announced_some(0, 61, count, &others)));
            }
            steps
        },
    );
    rows.both("U11", "when fewer are there, all are named", |s| {
        let (mut steps, ports) = swarm_of(s, 5);
        let others: Vec<_> = ports.iter().map(|port| (s.host(0), *port)).collect();
        for (num_want, count) in [(5, 5), (6, 5), (50, 5), (-1, 5), (4, 4), (3, 3), (1, 1)] {
            let announce = Announce { num_want, ..s.leecher() };
            steps.push(s.host(1).announces(announce, announced_some(0, 6, count, &others)));
        }
        steps
    });
    rows.both("U11", "an odd number of wanted peers is met from leechers and seeders together", |s| {
        let port = |n: u16| 2000 + n;
        let mut steps = Vec::new();
        for n in 0..10 {
            let left = if n < 5 { 1 } else { 0 };
            steps.push(s.host(0).announces(Announce { port: port(n), left, ..s.leecher() }, Accepted));
        }
        let others: Vec<_> = (0..10).map(|n| (s.host(0), port(n))).collect();
        steps.push(s.host(1).announces(s.leecher(), Accepted));
        for want in [3, 7, 9, 10, 1] {
            let announce = Announce { num_want: want, ..s.leecher() };
            steps.push(s.host(1).announces(announce, announced_some(5, 6, want as usize, &others)));
        }
        steps
    });
    rows.set_up(Setup { max_response_peers: 7, ..Setup::default() });
    rows.both("U11", "the limit is configured", |s| {
        let (mut steps, ports) = swarm_of(s, 12);
        let others: Vec<_> = ports.iter().map(|port| (s.host(0), *port)).collect();
        steps.push(s.host(1).announces(s.leecher(), Accepted));
        for (num_want, count) in [(-1, 7), (0, 7), (8, 7), (7, 7), (6, 6)] {
            let announce = Announce { num_want, ..s.leecher() };
            steps.push(s.host(1).announces(announce, announced_some(0, 13, count, &others)));
        }
        steps
    });
    rows.set_up(Setup::default());
}

/// So many leechers at one host, each at a port of its own.
pub(super) fn swarm_of(s: &Scene, count: u16) -> (Vec<Step>, Vec<u16>) {
    let ports: Vec<u16> = (0..count).map(|n| 1000 + n).collect();
    let announce = |port: &u16| s.host(0).announces(Announce { port: *port, ..s.leecher() }, Accepted);
    (ports.iter().map(announce).collect(), ports)
}

fn roles(rows: &mut Rows) {
    for (name, event) in [
        ("left = 0 is a seeder at its first announce", event::STARTED),
        ("left = 0 is a seeder at a regular announce", event::NONE),
        ("left = 0 is a seeder when it completes", event::COMPLETED),
        ("left = 0 is a seeder even when it pauses", event::PAUSED),
        ("left = 0 is a seeder with an unknown event", 99),
    ] {
        rows.both("U12", name, |s| {
            vec![
                s.host(0).announces(Announce { event, ..s.seeder() }, announced(1, 0, &[])),
                s.host(1).scrapes(&[s.hash(0)], scraped(&[(1, 0, 0)])),
            ]
        });
    }
    rows.both("U12", "anything left is a leecher", |s| {
        let left = |n: u16, left| s.host(n).announces(Announce { left, ..s.leecher() }, Accepted);
        vec![
            left(0, 1),
            left(1, 1 << 32),
            left(2, u64::MAX),
            s.host(3).scrapes(&[s.hash(0)], scraped(&[(0, 0, 3)])),
        ]
    });
    rows.both("U12", "a leecher that finishes becomes a seeder, and back", |s| {
        vec![
            s.host(0).announces(s.leecher(), announced(0, 1, &[])),
            s.host(0).announces(Announce { event: event::NONE, ..s.seeder() }, announced(1, 0, &[])),
            s.host(1).scrapes(&[s.hash(0)], scraped(&[(1, 0, 0)])),
            s.host(0).announces(Announce { event: event::NONE, ..s.leecher() }, announced(0, 1, &[])),
            s.host(1).scrapes(&[s.hash(0)], scraped(&[(0, 0, 1)])),
        ]
    });
    // "Counts": who leaves a large torrent isn't looked for, so it still counts in its own answer. Two IPv6 peers make a torrent large,
    // four IPv4 peers do.
    rows.both("U13", "a stopped peer leaves; its answer has counts and no peers", |s| {
        let stopped = Announce { event: event::STOPPED, ..s.leecher() };
        let own = u32::from(s.family == Family::V6);
        vec![
            s.host(0).announces(s.leecher(), announced(0, 1, &[])),
            s.host(1).announces(s.seeder(), announced(1, 1, &[peer(s.host(0))])),
            s.host(2).announces(s.leecher(), announced(1, 2, &[peer(s.host(0)), peer(s.host(1))])),
            s.host(0).announces(stopped, announced(1, 1 + own, &[])),
            s.host(2).announces(s.leecher(), announced(1, 1, &[peer(s.host(1))])),
            s.host(1).announces(Announce { event: event::STOPPED, ..s.seeder() }, announced(own, 1, &[])),
            s.host(2).announces(s.leecher(), announced(0, 1, &[])),
        ]
    });
    rows.both("U13", "stopping twice, or without having been there, changes nothing", |s| {
        let stopped = Announce { event: event::STOPPED, ..s.leecher() };
        vec![
            s.host(0).announces(stopped.clone(), announced(0, 0, &[])),
            s.host(0).announces(s.leecher(), announced(0, 1, &[])),
            s.host(1).announces(stopped.clone(), announced(0, 1, &[])),
            s.host(0).announces(stopped.clone(), announced(0, 0, &[])),
            s.host(0).announces(stopped, announced(0, 0, &[])),
            s.host(0).scrapes(&[s.hash(0)], scraped(&[(0, 0, 0)])),
        ]
    });
    rows.both("U13", "only the announced port's peer is removed", |s| {
        let stopped = Announce { event: event::STOPPED, port: 2, ..s.leecher() };
        vec![
            s.host(0).announces(Announce { port: 1, ..s.leecher() }, Accepted),
            s.host(0).announces(Announce { port: 2, ..s.leecher() }, Accepted),
            s.host(0).announces(stopped, announced(0, 1 + u32::from(s.family == Family::V6), &[])),
            s.host(1).announces(s.leecher(), announced(0, 2, &[(s.host(0), 1)])),
        ]
    });
}

fn completed(rows: &mut Rows) {
    rows.both("U14", "a leecher's completed counts once", |s| {
        let completed = Announce { event: event::COMPLETED, ..s.seeder() };
        vec![
            s.host(0).announces(s.leecher(), announced(0, 1, &[])),
            s.host(0).announces(completed.clone(), announced(1, 0, &[])),
            s.host(1).scrapes(&[s.hash(0)], scraped(&[(1, 1, 0)])),
            s.host(0).announces(completed.clone(), announced(1, 0, &[])),
            s.host(0).announces(completed, announced(1, 0, &[])),
            s.host(1).scrapes(&[s.hash(0)], scraped(&[(1, 1, 0)])),
        ]
    });
    rows.both("U14", "completed of a peer that was no leecher does not count", |s| {
        let completed = Announce { event: event::COMPLETED, ..s.seeder() };
        vec![
            s.host(0).announces(completed.clone(), announced(1, 0, &[])),
            s.host(1).scrapes(&[s.hash(0)], scraped(&[(1, 0, 0)])),
            s.host(2).announces(s.leecher(), announced(1, 1, &[peer(s.host(0))])),
            // It became a seeder without saying so.
            s.host(2).announces(Announce { event: event::NONE, ..s.seeder() }, announced(2, 0, &[])),
            s.host(2).announces(completed, announced(2, 0, &[])),
            s.host(1).scrapes(&[s.hash(0)], scraped(&[(2, 0, 0)])),
        ]
    });
    rows.both("U14", "each leecher that completes counts, and stays counted when it leaves", |s| {
        let completed = Announce { event: event::COMPLETED, ..s.seeder() };
        let stopped = Announce { event: event::STOPPED, ..s.seeder() };
        let mut steps = Vec::new();
        for n in 0..5 {
            steps.push(s.host(n).announces(s.leecher(), Accepted));
        }
        for n in 0..4 {
            steps.push(s.host(n).announces(completed.clone(), Accepted));
        }
        steps.push(s.host(9).scrapes(&[s.hash(0)], scraped(&[(4, 4, 1)])));
        // Five peers are many in both families: it still counts.
        steps.push(s.host(0).announces(stopped, announced(4, 1, &[])));
        steps.push(s.host(9).scrapes(&[s.hash(0)], scraped(&[(3, 4, 1)])));
        steps
    });
}

/// The host at the port that [`Announce::default`] announces.
pub(super) fn peer(host: Source) -> super::Peer {
    (host, Announce::default().port)
}
