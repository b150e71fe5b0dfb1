//! Swarms of all sizes, read by the loaded program, by the journey in user space and by the handler of the UDP sockets: they must agree.
//!
//! All three read one table, which changes between rounds: small swarms, large ones, both families, peers that come and go. With the
//! same random bits the program and the journey give the same verdict, frame and event, and the handler the same payload.

use std::net::SocketAddr;

use bytemuck::Zeroable as _;
use tracker_common::connection_id::Epoch;
use tracker_common::event::AnnounceEvent;
use tracker_common::scratch::next_random;
use tracker_common::settings::{Settings, access_mode};
use tracker_common::sketch::Sketches;
use tracker_common::table::PeerAddress;
use tracker_common::verdict::{Class, Verdict};
use tracker_common::wire::AnnounceKind;
use tracker_core::access_list::Mode;
use tracker_core::policy::BadConnectionId;
use tracker_core::udp::{self, ANSWER_ROOM, Context, Handled};
use tracker_core::{AccessList, BlockList, Policy, TableReader};
use tracker_testkit::payload::{self, Announce};
use tracker_testkit::skip::{Requirement, must_skip};
use tracker_testkit::verify;
use tracker_user::udp::sys::coarse_monotonic_ns;

use crate::user_space::UserSpace;
use crate::{LISTED, LOOPBACK, TRANSACTION, Tracker, around, families, good_id, keys, settings};

const ROUNDS: u32 = 60;
const REQUESTS: u32 = 250;
/// Swarms, and one more hash that nobody announces.
const TORRENTS: u32 = 16;

/// What the test draws from: the same history in every run.
struct Dice(u64);

impl Dice {
    fn bits(&mut self) -> u64 {
        next_random(&mut self.0)
    }

    /// A number below `n`.
    fn below(&mut self, n: u32) -> u32 {
        (self.bits() % u64::from(n)) as u32
    }

    fn of<T: Copy>(&mut self, some: &[T]) -> T {
        some[self.below(some.len() as u32) as usize]
    }

    fn one_in(&mut self, n: u32) -> bool {
        self.below(n) == 0
    }
}

fn torrent(number: u32) -> [u8; 20] {
    let mut hash = *b"number .... of many!";
    hash[7..11].copy_from_slice(format!("{number:04}").as_bytes());
    // One of the swarms is denied.
    if number == 1 { LISTED } else { hash }
}

/// How many peers a torrent has about: from a few to several answers full.
fn size(torrent: u32) -> u32 {
    [2, 4, 3, 6, 5, 12, 25, 49, 52, 60, 90, 130, 230, 300, 500, 700][torrent as usize]
}

/// A peer, which is always the same under its number; odd ones are IPv6.
fn peer(number: u32) -> SocketAddr {
    let [_, b, c, d] = number.to_be_bytes();
    let port = 1 + (number.wrapping_mul(40_503) % 65_535) as u16;
    if number.is_multiple_of(2) {
        SocketAddr::from(([10, b, c, d], port))
    } else {
        SocketAddr::from(([0x2001, 0xdb8, 0, u16::from(b), 1, 2, 3, u16::from_be_bytes([c, d])], port))
    }
}

/// Somebody who is or may be in a torrent.
fn somebody(torrent: u32, dice: &mut Dice) -> SocketAddr {
    // Some torrents have peers of one family alone.
    let number = dice.below(size(torrent));
    let number = match torrent % 4 {
        0 => number * 2,
        1 => number * 2 + 1,
        _ => number,
    };
    peer(number)
}

fn address(peer: SocketAddr) -> PeerAddress {
    crate::peer_address(peer)
}

/// Peers join, change and leave.
fn churn(tracker: &mut Tracker, dice: &mut Dice) {
    for number in 0..TORRENTS {
        // Each torrent is a while growing and then a while shrinking.
        let leaving = dice.below(10);
        for _ in 0..dice.below(size(number) + 2) {
            let kind = match dice.below(10) {
                n if n < leaving => AnnounceKind::Stopped,
                _ => dice.of(&[
                    AnnounceKind::Started,
                    AnnounceKind::None,
                    AnnounceKind::Completed,
                    AnnounceKind::Paused,
                ]),
            };
            let seeder = kind == AnnounceKind::Completed || dice.one_in(3);
            let time_ms = (coarse_monotonic_ns() / 1_000_000) as u32;
            let peer = address(somebody(number, dice));
            tracker.apply(&AnnounceEvent::new(torrent(number), peer, kind, seeder, time_ms));
        }
    }
}

/// Somebody's request.
fn request(dice: &mut Dice, epoch: Epoch) -> (SocketAddr, Vec<u8>) {
    let number = dice.below(TORRENTS);
    let from = if dice.one_in(8) { peer(1_000_000 + dice.below(100)) } else { somebody(number, dice) };
    let mut connection_id = good_id(from, epoch);
    if dice.one_in(50) {
        connection_id ^= 1 << dice.below(64);
    }
    if dice.one_in(5) {
        let count = dice.of(&[0, 1, 2, 3, 10, 69, 70, 71, 72]);
        let hashes: Vec<_> = (0..count).map(|_| torrent(dice.below(TORRENTS + 3))).collect();
        let mut bytes = payload::scrape(connection_id, TRANSACTION, &hashes);
        bytes.extend(vec![0x55; dice.below(3) as usize]);
        return (from, bytes);
    }
    let info_hash = torrent(if dice.one_in(10) { TORRENTS } else { number });
    let mut bytes = Announce {
        connection_id,
        transaction: dice.bits() as u32,
        info_hash,
        left: dice.of(&[0, 1, u64::MAX]),
        event: dice.of(&[0, 0, 0, 1, 2, 3, 4, 5, u32::MAX]),
        num_want: dice
            .of(&[-1, -1, 0, 1, 2, 3, 7, 10, 11, 29, 30, 31, 49, 50, 51, 66, 67, 68, 200, 229, 230, 231]),
        port: if dice.one_in(40) { 0 } else { from.port() },
        ..Announce::default()
    }
    .bytes();
    if dice.one_in(4) {
        bytes.extend(vec![2; dice.below(600) as usize]);
    }
    if dice.one_in(40) {
        bytes.truncate(16 + dice.below(82) as usize);
    }
    (from, bytes)
}

/// The socket workers' handler, with the random bits that the program's state gives.
struct Sockets {
    reader: TableReader,
    access: AccessList,
    block: BlockList,
    errors: Box<Sketches>,
}

impl Sockets {
    fn new(reader: TableReader) -> Self {
        let listed: String = LISTED.iter().map(|byte| format!("{byte:02x}")).collect();
        Self {
            reader,
            access: AccessList::parse(Mode::Deny, &listed).unwrap(),
            block: BlockList::parse("203.0.113.0/24\n192.0.2.66\n2001:db8:bad::/48\n").unwrap(),
            errors: Box::new(Sketches::zeroed()),
        }
    }

    fn handle(
        &mut self,
        request: &[u8],
        from: SocketAddr,
        settings: Settings,
        now_ns: u64,
        mut state: u64,
    ) -> (Handled, Vec<u8>) {
        let policy = Policy {
            interval_s: settings.interval_s,
            max_response_peers: settings.max_response_peers,
            max_scrape_torrents: settings.max_scrape_torrents,
            bad_connection_id: BadConnectionId::Error { per_second: 60_000 },
            ..Policy::default()
        };
        let keys = keys();
        let context = Context {
            table: &self.reader,
            access: &self.access,
            block: &self.block,
            policy: &policy,
            keys: &keys,
            now_ns,
            random: next_random(&mut state),
        };
        let mut out = vec![0; ANSWER_ROOM];
        let handled = udp::handle(request, from, &context, &mut self.errors, &mut out);
        out.truncate(handled.len);
        (handled, out)
    }
}

#[test]
fn every_reader_gives_the_same_answer() {
    if must_skip(&[Requirement::Bpf]) {
        return;
    }
    let mut tracker = Tracker::new();
    let mut sockets = Sockets::new(tracker.writer.reader());
    let mut dice = Dice(2026);
    let mut answered = [0; 2];
    for round in 0..ROUNDS {
        churn(&mut tracker, &mut dice);
        let settings = Settings {
            access_mode: access_mode::DENY,
            max_response_peers: dice.of(&[1, 7, 50, 50, 200, 230, 1000]),
            max_scrape_torrents: dice.of(&[1, 70, 70, 200]),
            ..settings()
        };
        tracker.program.set_settings(&settings);
        let mut user_space = UserSpace::new(settings, tracker.view.lock().unwrap().clone());
        for number in 0..REQUESTS {
            let (from, request) = request(&mut dice, Epoch::at(coarse_monotonic_ns()));
            let server = families()[usize::from(from.is_ipv6())].1;
            let mut frame = around(from, server, request.clone());
            if dice.one_in(4) {
                frame = frame.tag(dice.of(&[0x8100, 0x88a8]), dice.bits() as u16);
            }
            let mut frame = frame.build();
            if dice.one_in(4) {
                frame.extend(vec![0xee; dice.below(100) as usize]);
            }
            let random = dice.bits() | 1;
            let what = format!("round {round}, request {number}, from {from}: {request:02x?}");

            tracker.program.set_random(random);
            let kernel = tracker.program.run(&frame, LOOPBACK);
            let events = tracker.program.events();
            user_space.now_ns = tracker.program.clock().expect("every request has a connection id");
            user_space.random = random;
            user_space.events.clear();
            assert_eq!(user_space.run(&frame), kernel, "{what}");
            assert_eq!(user_space.events, events, "{what}");

            let (handled, payload) = sockets.handle(&request, from, settings, user_space.now_ns, random);
            assert_eq!(handled.verdict, kernel.verdict, "{what}");
            if kernel.verdict.class() == Class::Answer {
                assert_eq!(verify::answer(&frame, &kernel.frame).as_deref(), Ok(&payload[..]), "{what}");
            } else {
                assert!(payload.is_empty(), "{what}");
            }
            assert_eq!(handled.event.as_slice(), events, "{what}");
            match kernel.verdict {
                Verdict::Announce => answered[0] += 1,
                Verdict::Scrape => answered[1] += 1,
                _ => {}
            }
            if dice.one_in(3) {
                events.iter().for_each(|event| tracker.apply(event));
            }
        }
    }
    let most = ROUNDS * REQUESTS;
    assert!(answered[0] > most / 2 && answered[1] > most / 10, "{answered:?} of {most}");
    let totals = tracker.writer.totals();
    assert!(totals.torrents >= u64::from(TORRENTS) / 2 && totals.peers() > 500, "{totals:?}");
}
