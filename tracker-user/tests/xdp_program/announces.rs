//! Announces that the program answers: known swarms, and the whole answer.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use tracker_common::event::AnnounceEvent;
use tracker_common::scratch::next_random;
use tracker_common::settings::Settings;
use tracker_common::verdict::Verdict;
use tracker_common::wire::AnnounceKind;
use tracker_testkit::answer::Answer;
use tracker_testkit::packet::PacketBuilder;
use tracker_testkit::payload::{Announce, event, option};
use tracker_testkit::skip::{Requirement, must_skip};

use crate::{
    LISTED, LOOPBACK, TRANSACTION, Tracker, UNLISTED, answered, around, compact, error_answer, families,
    good_id, peer_address, peers, settings, within_one_epoch,
};

/// One or two peers, in the torrent's own record.
const SMALL: [u8; 20] = *b"a small info hash...";
/// Twelve leechers and eight seeders of each family.
const LARGE: [u8; 20] = *b"a large info hash...";
/// More of each family than an answer holds.
const HUGE: [u8; 20] = *b"a huge info hash....";

/// What the program's random numbers begin with.
const RANDOM: u64 = 0x5eed;

/// The interval of the first answer, as docs/protocol.md has it: 1800 s and a tenth to either side.
fn interval() -> u32 {
    let random = next_random(&mut RANDOM.clone());
    1620 + (((random >> 32) * 361) >> 32) as u32
}

fn swarms() -> Tracker {
    let mut tracker = Tracker::new();
    for (client, _) in families() {
        let inline = if client.is_ipv4() { 2 } else { 0 };
        tracker.join(LARGE, &peers(client, 0, 12), false);
        tracker.join(LARGE, &peers(client, 100, 8), true);
        tracker.join(HUGE, &peers(client, 0, 200), false);
        tracker.join(HUGE, &peers(client, 200, 150), true);
        // The families have a torrent each: both together would be too many for one record.
        let small = small(client);
        tracker.join(small, &peers(client, 0, 1), false);
        tracker.join(small, &peers(client, 100, inline), true);
    }
    tracker
}

fn small(client: SocketAddr) -> [u8; 20] {
    let mut hash = SMALL;
    hash[19] = if client.is_ipv4() { b'4' } else { b'6' };
    hash
}

/// One announce and its answer.
#[derive(Clone)]
struct Golden {
    name: &'static str,
    announce: Announce,
    /// Whose announce: a peer that is there, or somebody else.
    from: SocketAddr,
    seeders: u32,
    leechers: u32,
    peers: Vec<SocketAddr>,
}

impl Golden {
    /// The answer; peers in the order in which they joined, leechers first.
    fn payload(&self) -> Vec<u8> {
        let head = [1, TRANSACTION, interval(), self.leechers, self.seeders];
        let head = head.map(u32::to_be_bytes).concat();
        self.peers.iter().fold(head, |bytes, peer| [bytes, compact(*peer)].concat())
    }

    /// The answer for an announcer of a large torrent: some other peer is moved to its place, it doesn't matter which.
    fn in_any_order(mut self, payload: &[u8]) -> Self {
        if let Ok(Answer::Announce { peers, .. }) = Answer::read(payload, self.from.is_ipv6()) {
            let sorted = |peers: &[SocketAddr]| peers.iter().copied().collect::<BTreeSet<_>>();
            if peers.len() == self.peers.len() && sorted(&peers) == sorted(&self.peers) {
                self.peers = peers;
            }
        }
        self
    }

    fn event(&self, now_ns: u64) -> AnnounceEvent {
        let Announce { info_hash, peer_id, event, left, .. } = self.announce;
        let peer = peer_address(self.from);
        let kind = AnnounceKind::from_wire(event);
        AnnounceEvent::new(info_hash, peer, kind, left == 0, (now_ns / 1_000_000) as u32)
            .with_peer_id(&peer_id)
    }
}

fn golden(client: SocketAddr) -> Vec<Golden> {
    let leechers = peers(client, 0, 12);
    let seeders = peers(client, 100, 8);
    let leecher = |info_hash| Announce { transaction: TRANSACTION, info_hash, ..Announce::default() };
    let seeder = |info_hash| Announce { left: 0, ..leecher(info_hash) };
    let stopped = |announce| Announce { event: event::STOPPED, ..announce };
    let completed = |announce| Announce { event: event::COMPLETED, ..announce };
    let paused = |announce| Announce { event: event::PAUSED, ..announce };
    let all = [&leechers[..], &seeders].concat();
    let mut rows = Vec::new();
    let mut row = |name, announce, from, (seeders, leechers), peers: &[SocketAddr]| {
        rows.push(Golden { name, announce, from, seeders, leechers, peers: peers.to_vec() });
    };

    row("an unknown torrent", leecher(UNLISTED), client, (0, 1), &[]);
    row("an unknown torrent's seeder", seeder(UNLISTED), client, (1, 0), &[]);
    row("an unknown torrent's last", stopped(leecher(UNLISTED)), client, (0, 0), &[]);
    row("an unknown torrent's partial seed", paused(leecher(UNLISTED)), client, (0, 1), &[]);

    // One leecher, and over IPv4 two seeders.
    let hash = small(client);
    let some = if client.is_ipv4() { &seeders[..2] } else { &[] };
    let few = [&leechers[..1], some].concat();
    let there = some.len() as u32;
    row("a small torrent", leecher(hash), client, (there, 2), &few);
    row("a small torrent's new seeder", seeder(hash), client, (there + 1, 1), &few[..1]);
    row("a small torrent's leecher again", leecher(hash), leechers[0], (there, 1), &few[1..]);
    row("a small torrent's leecher completes", completed(seeder(hash)), leechers[0], (there + 1, 0), &[]);
    row("a small torrent's leecher pauses", paused(leecher(hash)), leechers[0], (there, 1), &few[1..]);
    row("a small torrent's leecher leaves", stopped(leecher(hash)), leechers[0], (there, 0), &[]);
    row("a stranger leaves a small torrent", stopped(leecher(hash)), client, (there, 1), &[]);
    if client.is_ipv4() {
        row("a small torrent's seeder again", seeder(hash), seeders[0], (2, 1), &leechers[..1]);
        row("a small torrent's seeder leaves", stopped(seeder(hash)), seeders[1], (1, 1), &[]);
    }

    // Twelve leechers and eight seeders of each family.
    row("a large torrent", leecher(LARGE), client, (16, 25), &all);
    row("a large torrent pauses", paused(leecher(LARGE)), client, (16, 25), &all);
    row(
        "a large torrent, wanting as many as there are",
        num_want(leecher(LARGE), 20),
        client,
        (16, 25),
        &all,
    );
    // Not everybody was looked at: the counts are those of the table.
    row("a large torrent's new seeder", seeder(LARGE), client, (16, 24), &leechers);
    row("a stranger leaves a large torrent", stopped(leecher(LARGE)), client, (16, 24), &[]);
    row("a large torrent's leecher leaves", stopped(leecher(LARGE)), leechers[3], (16, 24), &[]);
    for own in [0, 3, 9, 10, 11] {
        let others = without(&leechers, own);
        let answer = [&others[..], &seeders].concat();
        row("a large torrent's leecher again", leecher(LARGE), leechers[own], (16, 24), &answer);
        row(
            "a large torrent's leecher completes",
            completed(seeder(LARGE)),
            leechers[own],
            (17, 23),
            &others,
        );
    }
    for own in [0, 7] {
        let answer = [&leechers[..], &without(&seeders, own)].concat();
        row("a large torrent's seeder has less", leecher(LARGE), seeders[own], (15, 25), &answer);
        // It isn't met among the leechers.
        row("a large torrent's seeder again", seeder(LARGE), seeders[own], (16, 24), &leechers);
    }
    rows
}

fn num_want(announce: Announce, num_want: i32) -> Announce {
    Announce { num_want, ..announce }
}

fn without(list: &[SocketAddr], own: usize) -> Vec<SocketAddr> {
    let mut list = list.to_vec();
    list.remove(own);
    list
}

/// What differs in a frame around a request, and makes no difference.
fn shapes(frame: &PacketBuilder) -> Vec<PacketBuilder> {
    vec![
        frame.clone(),
        frame.clone().vlan(7),
        frame.clone().qinq(0xfff),
        frame.clone().padded_to(frame.build().len() + 3),
        frame.clone().vlan(7).padded_to(frame.build().len() + 200),
        frame.clone().padded_to(1514),
    ]
}

#[test]
fn known_swarms_are_answered_to_the_byte_and_emitted() {
    if must_skip(&[Requirement::Bpf]) {
        return;
    }
    let mut tracker = swarms();
    let tails = [
        vec![],
        option::end(),
        [option::url_data(b"/announce?key=1"), option::end()].concat(),
        vec![0xff; 300],
        vec![2, 200, b'/'],
    ];
    within_one_epoch(|epoch| {
        for (client, server) in families() {
            for golden in golden(client) {
                for tail in &tails {
                    let announce = Announce {
                        connection_id: good_id(golden.from, epoch),
                        port: golden.from.port(),
                        tail: tail.clone(),
                        ..golden.announce.clone()
                    };
                    for frame in shapes(&around(golden.from, server, announce.bytes())) {
                        let frame = frame.build();
                        tracker.program.set_random(RANDOM);
                        let outcome = tracker.program.run(&frame, LOOPBACK);
                        let what = format!("{}, {client}, {frame:02x?}", golden.name);
                        assert_eq!(outcome.verdict, Verdict::Announce, "{what}");
                        let payload = answered(&frame, &outcome);
                        let is_met = golden.announce.info_hash == LARGE && golden.from != client;
                        let golden =
                            if is_met { golden.clone().in_any_order(&payload) } else { golden.clone() };
                        assert_eq!(payload, golden.payload(), "{what}");
                        let now_ns = tracker.program.clock().expect("it is asked for");
                        assert_eq!(tracker.program.events(), [golden.event(now_ns)], "{what}");
                    }
                }
            }
        }
    });
}

#[test]
fn an_answer_has_as_many_peers_as_wanted_up_to_the_limits() {
    if must_skip(&[Requirement::Bpf]) {
        return;
    }
    let mut tracker = swarms();
    let there = [small, |_| LARGE, |_| HUGE];
    for max_response_peers in [1, 7, 50, 230, 1000] {
        tracker.program.set_settings(&Settings { max_response_peers, ..settings() });
        for (client, server) in families() {
            let packet = if client.is_ipv4() { 230 } else { 67 };
            let limit = max_response_peers.min(packet);
            for (info_hash, left) in there.iter().flat_map(|hash| [(hash(client), 0), (hash(client), 1)]) {
                let mut swarm = match info_hash {
                    LARGE => [peers(client, 0, 12), peers(client, 100, 8)],
                    HUGE => [peers(client, 0, 200), peers(client, 200, 150)],
                    _ => [peers(client, 0, 1), peers(client, 100, if client.is_ipv4() { 2 } else { 0 })],
                };
                if left == 0 {
                    swarm[1].clear();
                }
                let swarm = swarm.concat();
                for own in [client, swarm[0], swarm[swarm.len() / 2]] {
                    for num_want in [i32::MIN, -1, 0, 1, 2, 3, 5, 10, 11, 49, 50, 51, 229, 230, 231, i32::MAX]
                    {
                        let wanted = u32::try_from(num_want).unwrap_or(0);
                        let wanted = if wanted == 0 { limit } else { wanted.min(limit) };
                        let others: Vec<_> = swarm.iter().filter(|peer| **peer != own).collect();
                        let (outcome, frame) = within_one_epoch(|epoch| {
                            let connection_id = good_id(own, epoch);
                            let announce = Announce {
                                connection_id,
                                info_hash,
                                left,
                                num_want,
                                port: own.port(),
                                ..Announce::default()
                            };
                            let frame = around(own, server, announce.bytes()).build();
                            (tracker.program.run(&frame, LOOPBACK), frame)
                        });
                        assert_eq!(outcome.verdict, Verdict::Announce);
                        let payload = answered(&frame, &outcome);
                        let answer = Answer::read(&payload, client.is_ipv6()).unwrap();
                        let Answer::Announce { peers: mut found, interval, .. } = answer else {
                            panic!("{answer:?}")
                        };
                        let what = format!("num_want {num_want}, limit {limit}, from {own}: {found:?}");
                        assert_eq!(found.len(), others.len().min(wanted as usize), "{what}");
                        assert!(found.iter().all(|peer| others.contains(&peer)), "{what}");
                        found.sort_unstable();
                        found.dedup();
                        assert_eq!(found.len(), others.len().min(wanted as usize), "twice: {what}");
                        assert!((1620..=1980).contains(&interval));
                        assert_eq!(tracker.program.events().len(), 1);
                    }
                }
            }
        }
    }
}

#[test]
fn intervals_are_spread() {
    if must_skip(&[Requirement::Bpf]) {
        return;
    }
    let mut tracker = Tracker::new();
    let (client, server) = families()[0];
    let mut intervals = Vec::new();
    for _ in 0..2000 {
        let (outcome, frame) = within_one_epoch(|epoch| {
            let announce = Announce { connection_id: good_id(client, epoch), ..Announce::default() };
            let frame = around(client, server, announce.bytes()).build();
            (tracker.program.run(&frame, LOOPBACK), frame)
        });
        tracker.program.events();
        match Answer::read(&answered(&frame, &outcome), false) {
            Ok(Answer::Announce { interval, .. }) => intervals.push(interval),
            other => panic!("{other:?}"),
        }
    }
    let mean = intervals.iter().sum::<u32>() / 2000;
    // 1800, with a standard deviation of 104 / √2000 = 2.3.
    assert!((1788..=1812).contains(&mean), "{mean}");
    intervals.sort_unstable();
    intervals.dedup();
    // Of 361 values nearly all have come: e^(−2000 / 361) = 0.4 % are missing.
    assert!(intervals.len() > 340, "{}", intervals.len());
}

#[test]
fn announces_that_are_refused_say_why_and_leave_no_event() {
    if must_skip(&[Requirement::Bpf]) {
        return;
    }
    let mut tracker = swarms();
    within_one_epoch(|epoch| {
        for (client, server) in families() {
            let announce = |info_hash, port| {
                let connection_id = good_id(client, epoch);
                Announce { connection_id, transaction: TRANSACTION, info_hash, port, ..Announce::default() }
                    .bytes()
            };
            let (port, denied, short) = (
                (Verdict::ErrorPort, "port must not be 0"),
                (Verdict::ErrorInfoHash, "info hash not allowed"),
                (Verdict::ErrorAnnounceShort, "announce request too short"),
            );
            let mut rows = vec![
                (announce(LARGE, 0), port),
                ([announce(UNLISTED, 0), option::end()].concat(), port),
                (announce(LISTED, 0), denied),
                (announce(LISTED, 1), denied),
                ([announce(LISTED, 1), vec![9; 800]].concat(), denied),
            ];
            rows.extend((16..98).map(|len| (announce(LARGE, 1)[..len].to_vec(), short)));
            // Its info hash isn't looked at.
            rows.push((announce(LISTED, 0)[..97].to_vec(), short));
            for (payload, (verdict, text)) in rows {
                for frame in shapes(&around(client, server, payload)) {
                    let frame = frame.build();
                    let outcome = tracker.program.run(&frame, LOOPBACK);
                    assert_eq!(outcome.verdict, verdict, "{frame:02x?}");
                    assert_eq!(answered(&frame, &outcome), error_answer(text), "{frame:02x?}");
                }
            }
        }
    });
    assert_eq!(tracker.program.events(), []);
}
