//! The UDP handler: the order of its decisions, and what no row of a table says. The rows of PROTOCOL.md are played elsewhere.

mod swarm;

use std::net::SocketAddr;

use bytemuck::Zeroable as _;
use proptest::prelude::*;
use tracker_common::connection_id::{Address, EPOCH_NS, Epoch, Keys, issue};
use tracker_common::sketch::{Sketches, SourceLimits};
use tracker_common::table::Family;
use tracker_common::verdict::{Class, Verdict};
use tracker_common::wire::AnnounceKind;
use tracker_core::access_list::{AccessList, Mode};
use tracker_core::policy::{BadConnectionId, Policy};
use tracker_core::udp::{ANSWER_ROOM, Context, Handled, handle};
use tracker_core::{BlockList, Millis, TableReader, TableWriter};

use swarm::{join, table, torrent};

const CLIENT: &str = "192.0.2.1:50000";
const CLIENT_V6: &str = "[2001:db8::1]:50000";
const NOW_NS: u64 = 1_000 * EPOCH_NS;

struct Tracker {
    writer: TableWriter,
    table: TableReader,
    access: AccessList,
    block: BlockList,
    policy: Policy,
    keys: Keys,
    errors: Box<Sketches>,
    random: u64,
}

impl Tracker {
    fn new() -> Self {
        let (writer, table) = table(100, 10_000);
        Self {
            writer,
            table,
            access: AccessList::default(),
            block: BlockList::default(),
            policy: Policy::default(),
            keys: Keys::from_bytes(&[42; Keys::BYTES]),
            errors: Box::new(Sketches::zeroed()),
            random: 7,
        }
    }

    fn handle(&mut self, source: &str, request: &[u8]) -> (Handled, Vec<u8>) {
        let mut out = [0; ANSWER_ROOM];
        let context = Context {
            table: &self.table,
            access: &self.access,
            block: &self.block,
            policy: &self.policy,
            keys: &self.keys,
            now_ns: NOW_NS,
            random: self.random,
        };
        let handled = handle(request, source.parse().unwrap(), &context, &mut self.errors, &mut out);
        assert_eq!(handled.len > 0, handled.verdict.class() == Class::Answer, "{handled:?}");
        assert_eq!(handled.event.is_some(), handled.verdict == Verdict::Announce, "{handled:?}");
        (handled, out[..handled.len].to_vec())
    }

    #[track_caller]
    fn expect(&mut self, source: &str, request: &[u8], verdict: Verdict) {
        assert_eq!(self.handle(source, request).0.verdict, verdict);
    }

    fn id(&self, source: &str) -> u64 {
        let source: SocketAddr = source.parse().unwrap();
        issue(&self.keys, &Address::from(source.ip()), Epoch::at(NOW_NS))
    }
}

fn header(id: u64, action: u32) -> Vec<u8> {
    [&id.to_be_bytes()[..], &action.to_be_bytes(), b"tran"].concat()
}

fn connect() -> Vec<u8> {
    header(0x0417_2710_1980, 0)
}

fn announce(id: u64, hash: [u8; 20], port: u16) -> Vec<u8> {
    let mut request = header(id, 1);
    request.extend(hash);
    request.resize(64, 0);
    request.extend(100u64.to_be_bytes());
    request.resize(92, 0);
    request.extend((-1i32).to_be_bytes());
    request.extend(port.to_be_bytes());
    request
}

#[test]
fn an_insane_source_is_refused_before_anything_else() {
    let mut tracker = Tracker::new();
    tracker.block = BlockList::parse("0.0.0.0/0\n::/0").unwrap();
    for source in [
        "192.0.2.1:0",
        "224.0.0.1:6969",
        "255.255.255.255:6969",
        "0.0.0.0:6969",
        "[::]:6969",
        "[ff02::1]:6969",
    ] {
        for request in [&b""[..], b"short", &connect()] {
            tracker.expect(source, request, Verdict::DropSource);
        }
    }
}

#[test]
fn a_blocked_source_is_ignored_whatever_it_sends() {
    let mut tracker = Tracker::new();
    tracker.block = BlockList::parse("192.0.2.0/24").unwrap();
    let id = tracker.id(CLIENT);
    for request in [vec![], connect(), announce(id, torrent(1), 1), header(id, 2), header(id, 9)] {
        tracker.expect(CLIENT, &request, Verdict::DropBlocked);
        tracker.expect("[::ffff:192.0.2.77]:50000", &request, Verdict::DropBlocked);
    }
    tracker.expect("192.0.3.1:50000", &connect(), Verdict::Connect);
}

#[test]
fn less_than_a_header_is_short_whatever_it_begins_with() {
    let mut tracker = Tracker::new();
    for len in 0..16 {
        tracker.expect(CLIENT, &connect()[..len], Verdict::DropShort);
    }
}

#[test]
fn a_wrong_magic_and_unknown_actions_are_silence() {
    let mut tracker = Tracker::new();
    let id = tracker.id(CLIENT);
    tracker.expect(CLIENT, &header(id, 0), Verdict::DropMagic);
    for action in [3, 4, 0x0100_0000, u32::MAX] {
        tracker.expect(CLIENT, &header(id, action), Verdict::DropAction);
        tracker.expect(CLIENT, &header(0, action), Verdict::DropAction);
    }
}

#[test]
fn the_connection_id_is_checked_before_the_length() {
    let mut tracker = Tracker::new();
    let id = tracker.id(CLIENT);
    for len in 16..98 {
        let wrong = &announce(id ^ 1, torrent(1), 1)[..len];
        // 29 bytes: an answer is never longer than the request.
        let verdict = if len < 29 { Verdict::DropConnectionId } else { Verdict::ErrorConnectionId };
        *tracker.errors = Sketches::zeroed();
        tracker.expect(CLIENT, wrong, verdict);
        tracker.expect(CLIENT, &announce(id, torrent(1), 1)[..len], Verdict::ErrorAnnounceShort);
    }
}

#[test]
fn the_access_list_is_asked_before_the_port() {
    let mut tracker = Tracker::new();
    tracker.access = AccessList::parse(Mode::Deny, &"11".repeat(20)).unwrap();
    let id = tracker.id(CLIENT);
    tracker.expect(CLIENT, &announce(id, [0x11; 20], 0), Verdict::ErrorInfoHash);
    tracker.expect(CLIENT, &announce(id, [0x12; 20], 0), Verdict::ErrorPort);
    tracker.expect(CLIENT, &announce(id, [0x12; 20], 1), Verdict::Announce);
    tracker.access.set_mode(Mode::Allow);
    tracker.expect(CLIENT, &announce(id, [0x11; 20], 1), Verdict::Announce);
    tracker.expect(CLIENT, &announce(id, [0x12; 20], 1), Verdict::ErrorInfoHash);
}

#[test]
fn errors_for_unproven_sources_are_limited() {
    let mut tracker = Tracker::new();
    tracker.policy.bad_connection_id = BadConnectionId::Error { per_second: 3 };
    let wrong = announce(1, torrent(1), 1);
    let answered = (0..50).filter(|_| tracker.handle(CLIENT, &wrong).0.len > 0).count();
    assert_eq!(answered, 3);
    // Another source has its own limit; a valid id isn't concerned.
    tracker.expect(CLIENT_V6, &wrong, Verdict::ErrorConnectionId);
    let id = tracker.id(CLIENT);
    tracker.expect(CLIENT, &announce(id, torrent(1), 1), Verdict::Announce);
}

#[test]
fn a_source_beyond_a_limit_gets_silence_and_others_do_not() {
    let mut tracker = Tracker::new();
    tracker.policy.limits = SourceLimits { connects: 2, bad_ids: 3, announces: 4 };
    let (id, v6) = (tracker.id(CLIENT), tracker.id(CLIENT_V6));
    let count = |tracker: &mut Tracker, request: &[u8], verdict| {
        (0..50).filter(|_| tracker.handle(CLIENT, request).0.verdict == verdict).count()
    };
    assert_eq!(count(&mut tracker, &connect(), Verdict::DropLimitConnect), 48);
    assert_eq!(count(&mut tracker, &announce(!id, torrent(1), 1), Verdict::DropLimitBadId), 47);
    assert_eq!(count(&mut tracker, &announce(id, torrent(1), 1), Verdict::DropLimitAnnounce), 46);
    tracker.expect(CLIENT_V6, &connect(), Verdict::Connect);
    tracker.expect(CLIENT_V6, &announce(!v6, torrent(1), 1), Verdict::ErrorConnectionId);
    tracker.expect(CLIENT_V6, &announce(v6, torrent(1), 1), Verdict::Announce);
}

#[test]
fn with_the_policy_drop_a_bad_id_is_silence() {
    let mut tracker = Tracker::new();
    tracker.policy.bad_connection_id = BadConnectionId::Drop;
    tracker.expect(CLIENT, &announce(1, torrent(1), 1), Verdict::DropConnectionId);
    tracker.expect(CLIENT, &header(1, 2), Verdict::DropConnectionId);
}

#[test]
fn connect_then_announce_from_another_port_of_the_same_address() {
    let mut tracker = Tracker::new();
    let (_, answer) = tracker.handle(CLIENT, &connect());
    assert_eq!(answer[..8], *b"\0\0\0\0tran");
    let id = u64::from_be_bytes(answer[8..16].try_into().unwrap());
    let (handled, answer) = tracker.handle("192.0.2.1:4", &announce(id, torrent(1), 6881));
    assert_eq!(handled.verdict, Verdict::Announce);
    // One leecher: the announcer. No peers.
    assert_eq!(answer[..8], *b"\0\0\0\x01tran");
    assert_eq!(answer[12..], [0, 0, 0, 1, 0, 0, 0, 0]);
    let interval = u32::from_be_bytes(answer[8..12].try_into().unwrap());
    assert!((1620..=1980).contains(&interval), "{interval}");
    // The peer is the packet's address and the announced port.
    let peer = handled.event.unwrap().peer();
    assert_eq!(peer.bytes(), [192, 0, 2, 1, 0x1a, 0xe1]);
}

#[test]
fn answers_carry_peers_of_the_packets_family_only() {
    let mut tracker = Tracker::new();
    let now = Millis(NOW_NS / 1_000_000);
    join(&mut tracker.writer, &torrent(1), Family::V4, 0..20, false, now);
    join(&mut tracker.writer, &torrent(1), Family::V6, 0..8, true, now);
    for (source, peers) in [(CLIENT, 20 * 6), (CLIENT_V6, 8 * 18), ("[::ffff:192.0.2.1]:50000", 20 * 6)] {
        let id = tracker.id(source);
        let (_, answer) = tracker.handle(source, &announce(id, torrent(1), 6881));
        assert_eq!(answer.len(), 20 + peers, "{source}");
        // 20 leechers and the announcer, 8 seeders: both families are counted.
        assert_eq!(answer[12..20], [0, 0, 0, 21, 0, 0, 0, 8], "{source}");
    }
}

#[test]
fn the_largest_answers_fit_their_packets() {
    let mut tracker = Tracker::new();
    tracker.policy.max_response_peers = 1000;
    let now = Millis(NOW_NS / 1_000_000);
    for family in [Family::V4, Family::V6] {
        join(&mut tracker.writer, &torrent(1), family, 0..500, false, now);
    }
    for (source, len) in [(CLIENT, 20 + 230 * 6), (CLIENT_V6, 20 + 67 * 18)] {
        let id = tracker.id(source);
        let (_, answer) = tracker.handle(source, &announce(id, torrent(1), 6881));
        assert_eq!(answer.len(), len, "{source}");
        assert!(answer.len() <= if source == CLIENT { 1400 } else { 1232 });
    }
}

#[test]
fn a_scrape_answers_in_request_order_with_duplicates_and_zeros_for_denied_ones() {
    let mut tracker = Tracker::new();
    let now = Millis(NOW_NS / 1_000_000);
    join(&mut tracker.writer, &torrent(1), Family::V4, 0..2, false, now);
    join(&mut tracker.writer, &torrent(1), Family::V6, 0..3, true, now);
    join(&mut tracker.writer, &torrent(2), Family::V4, 0..7, false, now);
    tracker.access = AccessList::new(Mode::Deny);
    tracker.access.insert(torrent(2));
    let mut request = header(tracker.id(CLIENT), 2);
    for number in [1, 9, 2, 1] {
        request.extend(torrent(number));
    }
    request.extend(b"stray tail");
    let (_, answer) = tracker.handle(CLIENT, &request);
    let one = [0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 2];
    assert_eq!(answer, [b"\0\0\0\x02tran", &one[..], &[0; 12], &[0; 12], &one].concat());
    assert_eq!(tracker.writer.totals().torrents, 2);
}

#[test]
fn a_scrape_without_a_whole_hash_is_refused() {
    let mut tracker = Tracker::new();
    let mut request = header(tracker.id(CLIENT), 2);
    tracker.expect(CLIENT, &request, Verdict::ErrorFullScrape);
    request.extend([1; 19]);
    tracker.expect(CLIENT, &request, Verdict::ErrorFullScrape);
}

#[test]
fn a_scrape_of_too_many_answers_the_first() {
    let mut tracker = Tracker::new();
    let mut request = header(tracker.id(CLIENT_V6), 2);
    for number in 0..200 {
        request.extend(torrent(number));
    }
    assert_eq!(tracker.handle(CLIENT_V6, &request).1.len(), 8 + 70 * 12);
}

#[test]
fn paused_and_unknown_events_are_announces() {
    let mut tracker = Tracker::new();
    let id = tracker.id(CLIENT);
    for (event, kind) in [
        (0u32, AnnounceKind::None),
        (4, AnnounceKind::Paused),
        (5, AnnounceKind::None),
        (u32::MAX, AnnounceKind::None),
    ] {
        let mut request = announce(id, torrent(1), 6881);
        request[80..84].copy_from_slice(&event.to_be_bytes());
        let (handled, _) = tracker.handle(CLIENT, &request);
        assert_eq!(handled.event.unwrap().kind(), kind, "event {event}");
    }
}

proptest! {
    #[test]
    fn no_request_panics_or_is_amplified_without_proof(
        source in prop_oneof![Just(CLIENT), Just(CLIENT_V6), Just("[::ffff:10.0.0.1]:1")],
        prefix in prop_oneof![Just(0u32), Just(1), Just(2), any::<u32>()],
        valid: bool, tail in proptest::collection::vec(any::<u8>(), 0..300), cut in 0..16usize, random: u64,
    ) {
        let mut tracker = Tracker::new();
        tracker.random = random;
        let id = if valid { tracker.id(source) } else { random };
        let mut request = header(id, prefix);
        request.extend(tail);
        request.truncate(request.len() - cut);
        let (handled, answer) = tracker.handle(source, &request);
        prop_assert!(answer.len() <= 1400);
        prop_assert!(valid || handled.verdict == Verdict::Connect || answer.len() <= request.len());
    }
}
