//! U20, U22, and the paragraphs on peer selection and counts.

use super::Expected::{Accepted, Connect};
use super::announce::{peer, swarm_of};
use super::{Family, Id, Rows, Setup, announced, announced_some, scraped};
use crate::payload::{self, Announce, event};

pub(super) fn add(rows: &mut Rows) {
    selection(rows);
    counts(rows);
    rows.one("U20", "an IPv4-mapped source is an IPv4 peer", Family::V4, |s| {
        let mapped = s.host_of(Family::Mapped, 0);
        vec![
            mapped.sends(payload::connect(7), Connect),
            mapped.announces(s.leecher(), announced(0, 1, &[])),
            s.host(1).announces(s.leecher(), announced(0, 2, &[peer(s.host(0))])),
            mapped.announces(s.leecher(), announced(0, 2, &[peer(s.host(1))])),
            // The same peer, and its id, by its plain name.
            s.host(0).sends_with(Id::Of(mapped), s.leecher().bytes(), announced(0, 2, &[peer(s.host(1))])),
            mapped.sends_with(Id::Of(s.host(0)), s.leecher().bytes(), announced(0, 2, &[peer(s.host(1))])),
        ]
    });
    rows.set_up(Setup { max_response_peers: 230, ..Setup::default() });
    // (1400 - 20) / 6 = 230 peers, (1232 - 20) / 18 = 67 peers.
    for (family, most) in [(Family::V4, 230), (Family::V6, 67)] {
        rows.one("U22", "no answer is longer than an unfragmented packet", family, |s| {
            let (mut steps, ports) = swarm_of(s, most as u16 + 20);
            let others: Vec<_> = ports.iter().map(|port| (s.host(0), *port)).collect();
            steps.push(s.host(1).announces(s.leecher(), Accepted));
            let count = ports.len() as u32 + 1;
            for num_want in [-1, 500, 300, most, most + 1] {
                let announce = Announce { num_want, ..s.leecher() };
                steps.push(s.host(1).announces(announce, announced_some(0, count, most as usize, &others)));
            }
            let fewer = Announce { num_want: most - 1, ..s.leecher() };
            steps.push(s.host(1).announces(fewer, announced_some(0, count, most as usize - 1, &others)));
            steps
        });
    }
    rows.set_up(Setup::default());
}

fn selection(rows: &mut Rows) {
    const ROW: &str = "peer selection";
    rows.both(ROW, "nobody is told of itself", |s| {
        let mut steps = Vec::new();
        for n in 0..3 {
            steps.push(s.host(n).announces(s.leecher(), Accepted));
        }
        for n in 0..3 {
            let others: Vec<_> =
                (0..3).filter(|other| *other != n).map(|other| peer(s.host(other))).collect();
            steps.push(s.host(n).announces(s.leecher(), announced(0, 3, &others)));
        }
        steps
    });
    rows.both(ROW, "the same address at another port is another peer", |s| {
        vec![
            s.host(0).announces(Announce { port: 1, ..s.leecher() }, announced(0, 1, &[])),
            s.host(0).announces(Announce { port: 2, ..s.leecher() }, announced(0, 2, &[(s.host(0), 1)])),
            s.host(0).announces(Announce { port: 1, ..s.leecher() }, announced(0, 2, &[(s.host(0), 2)])),
        ]
    });
    rows.both(ROW, "a seeder is told of leechers only", |s| {
        vec![
            s.host(0).announces(s.seeder(), announced(1, 0, &[])),
            s.host(1).announces(s.seeder(), announced(2, 0, &[])),
            s.host(2).announces(s.leecher(), announced(2, 1, &[peer(s.host(0)), peer(s.host(1))])),
            s.host(0).announces(s.seeder(), announced(2, 1, &[peer(s.host(2))])),
        ]
    });
    rows.both(ROW, "a leecher is told of leechers and seeders", |s| {
        let mut steps = Vec::new();
        for n in 0..6 {
            let announce = if n % 2 == 0 { s.leecher() } else { s.seeder() };
            steps.push(s.host(n).announces(announce, Accepted));
        }
        let others: Vec<_> = (0..6).map(|n| peer(s.host(n))).collect();
        steps.push(s.host(6).announces(s.leecher(), announced(3, 4, &others)));
        steps
    });
    rows.both(ROW, "swarms do not mix", |s| {
        vec![
            s.host(0).announces(s.leecher(), announced(0, 1, &[])),
            s.host(1).announces(Announce { info_hash: s.hash(1), ..s.leecher() }, announced(0, 1, &[])),
            s.host(2)
                .scrapes(&[s.hash(0), s.hash(1), s.hash(2)], scraped(&[(0, 0, 1), (0, 0, 1), (0, 0, 0)])),
        ]
    });
    rows.both(ROW, "an answer names peers of the packet's family", |s| {
        let other = if s.family == Family::V4 { Family::V6 } else { Family::V4 };
        vec![
            s.host(0).announces(s.leecher(), announced(0, 1, &[])),
            s.host_of(other, 1).announces(s.seeder(), announced(1, 1, &[])),
            s.host(2).announces(s.leecher(), announced(1, 2, &[peer(s.host(0))])),
            s.host_of(other, 3).announces(s.leecher(), announced(1, 3, &[peer(s.host_of(other, 1))])),
        ]
    });
}

fn counts(rows: &mut Rows) {
    const ROW: &str = "counts";
    rows.both(ROW, "the announcer counts from its first announce, and once", |s| {
        vec![
            s.host(0).announces(s.leecher(), announced(0, 1, &[])),
            s.host(0).announces(Announce { event: event::NONE, ..s.leecher() }, announced(0, 1, &[])),
            s.host(0).announces(s.leecher(), announced(0, 1, &[])),
            s.host(1).announces(s.seeder(), announced(1, 1, &[peer(s.host(0))])),
            s.host(1).announces(s.seeder(), announced(1, 1, &[peer(s.host(0))])),
        ]
    });
    rows.both(ROW, "both families count", |s| {
        let other = if s.family == Family::V4 { Family::V6 } else { Family::V4 };
        vec![
            s.host(0).announces(s.seeder(), announced(1, 0, &[])),
            s.host_of(other, 0).announces(s.leecher(), announced(1, 1, &[])),
            s.host_of(other, 1).announces(s.seeder(), announced(2, 1, &[peer(s.host_of(other, 0))])),
            s.host(5).scrapes(&[s.hash(0)], scraped(&[(2, 0, 1)])),
            s.host_of(other, 5).scrapes(&[s.hash(0)], scraped(&[(2, 0, 1)])),
        ]
    });
    rows.both(ROW, "a swarm that grows from a handful to hundreds is counted right", |s| {
        let (mut steps, _) = swarm_of(s, 130);
        for n in 0..40 {
            steps.push(s.host(2).announces(Announce { port: 3000 + n, ..s.seeder() }, Accepted));
        }
        steps.push(s.host(3).scrapes(&[s.hash(0)], scraped(&[(40, 0, 130)])));
        for n in 0..120 {
            let stopped = Announce { port: 1000 + n, event: event::STOPPED, ..s.leecher() };
            steps.push(s.host(0).announces(stopped, Accepted));
        }
        steps.push(s.host(3).scrapes(&[s.hash(0)], scraped(&[(40, 0, 10)])));
        let left: Vec<_> = (120..130).map(|n| (s.host(0), 1000 + n)).collect();
        steps.push(
            s.host(2).announces(Announce { port: 3000, ..s.seeder() }, announced_some(40, 10, 10, &left)),
        );
        steps
    });
}
