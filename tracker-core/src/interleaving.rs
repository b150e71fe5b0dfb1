//! Readers that are overtaken by the writer, made to happen.
//!
//! Two processors meet within nanoseconds too seldom to show a missing guard. Here the table's memory is wrapped: before a chosen load of the
//! reader, the writer applies a batch of events, or hours pass. So every place between two loads is as likely as any other, and a failure
//! shrinks to the one that matters. Peers certify themselves, as in `tests/concurrent.rs`.

use std::cell::{Cell, RefCell};
use std::sync::atomic::Ordering;

use proptest::prelude::*;
use tracker_common::event::AnnounceEvent;
use tracker_common::siphash::SipKey;
use tracker_common::table::layout::{Index, ListName, Place, Torrent, hash_words, torrent_version};
use tracker_common::table::{
    BothPeers, Family, PeerAddress, Query, Record, TableMemory, announce, announce_both, scrape,
};
use tracker_common::wire::{AnnounceKind, InfoHash};

use crate::limits::Limits;
use crate::memory::{HeapSegments, Memory, Shared};
use crate::reader::in_one_index;
use crate::writer::{DropRound, Millis, TableWriter};

const ASKED: InfoHash = [1; 20];
const OTHER: InfoHash = [2; 20];

/// Something that the writer does while the reader looks away.
#[derive(Clone, Debug)]
enum Deed {
    Come {
        hash: InfoHash,
        family: Family,
        first: u32,
        len: u32,
    },
    Go {
        hash: InfoHash,
        family: Family,
        first: u32,
        len: u32,
    },
    /// They become what they weren't: leechers have completed, seeders look for something again.
    Turn {
        hash: InfoHash,
        family: Family,
        first: u32,
        len: u32,
    },
    Drop {
        hash: InfoHash,
    },
    /// Some other torrents come: the index grows.
    Others {
        first: u32,
        len: u32,
    },
    Pass {
        ms: u64,
    },
}

struct Overtaken<'a> {
    memory: &'a Memory,
    writer: &'a RefCell<(TableWriter, Millis)>,
    /// Deeds, each lot before the load with that number.
    deeds: &'a [(u32, Vec<Deed>)],
    loads: Cell<u32>,
}

impl Overtaken<'_> {
    fn load(&self) {
        let load = self.loads.get();
        self.loads.set(load + 1);
        let due = self.deeds.iter().filter(|(at, _)| *at == load).flat_map(|(_, deeds)| deeds);
        for deed in due {
            let (writer, now) = &mut *self.writer.borrow_mut();
            perform(writer, now, deed);
        }
    }
}

#[derive(Clone, Copy)]
struct Observed<'a> {
    words: Shared<'a>,
    table: &'a Overtaken<'a>,
}

impl Record for Observed<'_> {
    fn word(self, index: usize) -> u64 {
        self.table.load();
        self.words.word(index)
    }
}

impl<'a> TableMemory for &'a Overtaken<'a> {
    type Record = Observed<'a>;

    fn bucket(&self, number: u32) -> Option<Observed<'a>> {
        self.memory.bucket(number).map(|words| Observed { words, table: self })
    }

    fn record(&self, number: u32) -> Option<Observed<'a>> {
        self.memory.record(number).map(|words| Observed { words, table: self })
    }

    fn root(&self) -> (Index, SipKey) {
        self.load();
        self.memory.root()
    }

    fn generation(&self) -> u64 {
        self.load();
        (&self.memory).generation()
    }

    fn acquire(&self) {
        (&self.memory).acquire();
    }
}

/// Peer `n` of a torrent: its port follows from both, and its address from whether it is a seeder.
fn certified(hash: &InfoHash, family: Family, n: u32) -> PeerAddress {
    let [a, b, c, d] = n.to_be_bytes();
    let port = (n.wrapping_mul(0x9e37_79b1) >> 16) as u16 ^ u16::from(hash[0]) << 1 | 1;
    match family {
        Family::V4 => PeerAddress::v4([10 + a, b, c, d], port),
        Family::V6 => PeerAddress::v6([0x20, 1, a, b, c, d, 0, a, b, c, d, 0, a, b, c, d], port),
    }
}

fn is_certified(peer: &PeerAddress, hash: &InfoHash) -> Option<u32> {
    let n = match peer {
        PeerAddress::V4([a, b, c, d, ..]) => u32::from_be_bytes([a.wrapping_sub(10), *b, *c, *d]),
        PeerAddress::V6([.., a, b, c, d, _, _]) => u32::from_be_bytes([*a, *b, *c, *d]),
    };
    (certified(hash, peer.family(), n) == *peer).then_some(n)
}

const fn is_seeder(n: u32) -> bool {
    n.is_multiple_of(2)
}

fn perform(writer: &mut TableWriter, now: &mut Millis, deed: &Deed) {
    let at = *now;
    let mut crowd = |hash: InfoHash, family, first: u32, len: u32, kind, turned: bool| {
        for n in first..first + len {
            let seeder = is_seeder(n) != turned;
            writer.apply(&AnnounceEvent::new(hash, certified(&hash, family, n), kind, seeder, 0), at);
        }
    };
    match *deed {
        Deed::Come { hash, family, first, len } => crowd(hash, family, first, len, AnnounceKind::None, false),
        Deed::Go { hash, family, first, len } => {
            crowd(hash, family, first, len, AnnounceKind::Stopped, false)
        }
        Deed::Turn { hash, family, first, len } => crowd(hash, family, first, len, AnnounceKind::None, true),
        Deed::Drop { hash } => {
            let mut round = DropRound::default();
            while !writer.drop_torrents(&mut round, |dropped| *dropped == hash, *now).done {}
        }
        Deed::Others { first, len } => {
            for n in first..first + len {
                let mut hash = [9; 20];
                hash[..4].copy_from_slice(&n.to_be_bytes());
                let peer = certified(&hash, Family::V4, n);
                writer.apply(&AnnounceEvent::new(hash, peer, AnnounceKind::None, is_seeder(n), 0), *now);
            }
        }
        Deed::Pass { ms } => {
            now.0 += ms;
            while writer.tend(*now) {}
        }
    }
}

fn families() -> impl Strategy<Value = Family> + Clone {
    prop_oneof![Just(Family::V4), Just(Family::V6)]
}

fn deeds() -> impl Strategy<Value = Deed> {
    let hashes = || prop_oneof![2 => Just(ASKED), 1 => Just(OTHER)];
    let crowd = || (hashes(), families(), 0..60u32, prop_oneof![1..8u32, 1..200u32]);
    prop_oneof![
        3 => crowd().prop_map(|(hash, family, first, len)| Deed::Come { hash, family, first, len }),
        3 => crowd().prop_map(|(hash, family, first, len)| Deed::Go { hash, family, first, len }),
        1 => hashes().prop_map(|hash| Deed::Drop { hash }),
        2 => (0..300u32, 1..60u32).prop_map(|(first, len)| Deed::Others { first, len }),
        2 => prop_oneof![Just(128u64), Just(300), 0..1_000u64].prop_map(|ms| Deed::Pass { ms }),
    ]
}

/// What the writer may do to move peers within the lists of the torrent.
fn moves() -> impl Strategy<Value = Deed> {
    let crowd = || (families(), 0..120u32, 1..40u32);
    let hash = ASKED;
    prop_oneof![
        1 => crowd().prop_map(move |(family, first, len)| Deed::Come { hash, family, first, len }),
        2 => crowd().prop_map(move |(family, first, len)| Deed::Go { hash, family, first, len }),
        3 => crowd().prop_map(move |(family, first, len)| Deed::Turn { hash, family, first, len }),
    ]
}

fn new_writer() -> TableWriter {
    let limits = Limits { max_torrents: 200, max_peers: 900, first_buckets: 2, ..Limits::default() };
    TableWriter::new(limits, SipKey { k0: 5, k1: 6 }, Box::new(HeapSegments)).expect("a small table")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6_000))]

    #[test]
    fn an_overtaken_reader_names_no_stranger(
        family in families(), first in 0..20u32, len in prop_oneof![1..50u32, 50..300u32],
        before in proptest::collection::vec(deeds(), 0..3),
        meanwhile in proptest::collection::vec((0..300u32, proptest::collection::vec(deeds(), 1..6)), 1..4),
        n in 0..70u32, seeder: bool, want in 1..120u32, random: u64,
    ) {
        let mut writer = new_writer();
        let mut now = Millis(1_000_000);
        let swarm = Deed::Come { hash: ASKED, family, first, len };
        for deed in [swarm].iter().chain(&before) {
            perform(&mut writer, &mut now, deed);
        }
        let memory = writer.reader().memory;
        let writer = RefCell::new((writer, now));
        let table = Overtaken { memory: &memory, writer: &writer, deeds: &meanwhile, loads: Cell::new(0) };
        let peer = certified(&ASKED, family, n);
        let query = Query { info_hash: &ASKED, peer, seeder, stopped: false, want, random };
        let mut out = [0; 1472];
        let found = announce(&&table, &query, &mut out);
        prop_assert!(found.peers <= want);
        for bytes in out[..found.peers as usize * family.peer_len()].chunks(family.peer_len()) {
            let handed_out = match family {
                Family::V4 => PeerAddress::V4(bytes.try_into().unwrap()),
                Family::V6 => PeerAddress::V6(bytes.try_into().unwrap()),
            };
            let Some(n) = is_certified(&handed_out, &ASKED) else {
                return Err(TestCaseError::fail(format!("{handed_out:?} was never announced here")));
            };
            prop_assert!(!seeder || !is_seeder(n), "a seeder got {handed_out:?}");
            prop_assert_ne!(handed_out, peer, "the announcer got itself");
        }
    }
}

/// Peers of an answer, none of them twice.
fn all_different(peers: &[u8], len: usize) -> Result<(), TestCaseError> {
    let mut peers: Vec<_> = peers.chunks(len).collect();
    let all = peers.len();
    peers.sort_unstable();
    peers.dedup();
    prop_assert_eq!(peers.len(), all, "somebody is in the answer twice");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6_000))]

    #[test]
    fn an_overtaken_reader_names_nobody_twice(
        family in families(), both: bool, swarm in 4..120u32,
        // One lot fewer than times that a reader looks.
        meanwhile in proptest::collection::vec((0..300u32, proptest::collection::vec(moves(), 1..6)), 1..4),
        n in 0..130u32, seeder in proptest::bool::weighted(0.2), want in 1..230u32, random: u64,
    ) {
        let mut writer = new_writer();
        let mut now = Millis(1_000_000);
        for family in [Family::V4, Family::V6] {
            perform(&mut writer, &mut now, &Deed::Come { hash: ASKED, family, first: 0, len: swarm });
        }
        let memory = writer.reader().memory;
        let writer = RefCell::new((writer, now));
        let table = Overtaken { memory: &memory, writer: &writer, deeds: &meanwhile, loads: Cell::new(0) };
        let peer = certified(&ASKED, family, n);
        let query = Query { info_hash: &ASKED, peer, seeder, stopped: false, want, random };
        if both {
            let mut out = BothPeers::new();
            let found = announce_both(&&table, &query, &mut out);
            all_different(out.v4(&found), 6)?;
            all_different(out.v6(&found), 18)?;
        } else {
            let mut out = [0; 1472];
            let found = announce(&&table, &query, &mut out);
            let len = family.peer_len();
            all_different(&out[..found.peers as usize * len], len)?;
        }
    }
}

/// What the writer may do while a torrent is looked for that stays.
fn deeds_elsewhere() -> impl Strategy<Value = Deed> {
    prop_oneof![
        3 => (0..200u32, 1..60u32).prop_map(|(first, len)| Deed::Others { first, len }),
        1 => (0..60u32, 1..20u32).prop_map(|(first, len)| Deed::Come { hash: ASKED, family: Family::V4, first, len }),
        3 => prop_oneof![Just(128u64), Just(40), 0..1_000u64].prop_map(|ms| Deed::Pass { ms }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn an_overtaken_reader_misses_no_torrent(
        before in 0..60u32,
        meanwhile in proptest::collection::vec((0..40u32, proptest::collection::vec(deeds_elsewhere(), 1..6)), 1..5),
    ) {
        let mut writer = new_writer();
        let mut now = Millis(1_000_000);
        perform(&mut writer, &mut now, &Deed::Come { hash: ASKED, family: Family::V4, first: 0, len: 2 });
        perform(&mut writer, &mut now, &Deed::Others { first: 0, len: before });
        let memory = writer.reader().memory;
        let writer = RefCell::new((writer, now));
        let table = Overtaken { memory: &memory, writer: &writer, deeds: &meanwhile, loads: Cell::new(0) };
        let counts = in_one_index(&&table, |table| scrape(table, &ASKED));
        prop_assert!(counts.seeders + counts.leechers >= 2, "{counts:?}");
    }
}

fn ask(writer: &TableWriter) -> (tracker_common::table::Found, Vec<u8>) {
    let query = Query {
        info_hash: &ASKED,
        peer: certified(&ASKED, Family::V4, 1_001),
        seeder: true,
        stopped: false,
        want: 50,
        random: 1,
    };
    let mut out = [0; 1472];
    let found = writer.reader().announce(&query, &mut out);
    (found, out[..found.peers as usize * 6].to_vec())
}

fn number_of(memory: &Memory, hash: &InfoHash) -> u32 {
    let (index, words) = (memory.root().0, hash_words(hash));
    let place = Place::of(crate::place::hash(memory, words), index.buckets);
    crate::place::find(memory, index, place, words).unwrap()
}

#[test]
fn torn_line_ends_the_answer_early() {
    let mut writer = new_writer();
    let mut now = Millis(1_000_000);
    // 30 leechers, in three lines.
    for n in (1..61).step_by(2) {
        perform(&mut writer, &mut now, &Deed::Come { hash: ASKED, family: Family::V4, first: n, len: 1 });
    }
    let (found, whole) = ask(&writer);
    assert_eq!(found.peers, 30);

    // The writer stands still in the middle of the second line.
    let memory = writer.reader().memory;
    let number = number_of(&memory, &ASKED);
    let record = crate::memory::load(memory.words(number));
    let list = Torrent::from_words(&record).list(ListName::LeechersV4);
    let entries = crate::memory::load(memory.words(list.root))[0];
    let second = (entries >> 32) as u32;
    memory.words(second)[7].fetch_add(1 << 32, Ordering::Relaxed);
    let (found, answer) = ask(&writer);
    assert_eq!((found.peers, found.leechers), (10, 30));
    assert_eq!(answer, whole[..60]);

    // It goes on.
    memory.words(second)[7].fetch_add(1 << 32, Ordering::Relaxed);
    assert_eq!(ask(&writer).1, whole);
}

#[test]
fn torn_torrent_gives_counts_and_no_peers() {
    let mut writer = new_writer();
    let mut now = Millis(1_000_000);
    perform(&mut writer, &mut now, &Deed::Come { hash: ASKED, family: Family::V4, first: 0, len: 40 });
    let memory = writer.reader().memory;
    let number = number_of(&memory, &ASKED);
    let word = &memory.words(number)[2];
    word.fetch_add(1 << 40, Ordering::Relaxed);
    assert_eq!(torrent_version(word.load(Ordering::Relaxed)) % 2, 1);
    let (found, _) = ask(&writer);
    assert_eq!((found.seeders, found.leechers, found.peers), (20, 20, 0));
    assert_eq!(writer.reader().scrape(&ASKED).leechers, 20);
}
