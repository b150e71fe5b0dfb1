//! Readers beside a busy writer: nobody is ever handed out who wasn't announced for that torrent.
//!
//! Every peer certifies itself: its port follows from its address and the info hash, and whether it is a seeder from its address. So any
//! mixture of two peers, of two torrents or of two lists shows. The writer's clock runs much faster than real time, so that freed lines come
//! back as soon as the rules allow, and readers are overtaken by generations.

mod swarm;

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use tracker_common::table::{Family, PeerAddress, Query};
use tracker_common::wire::{AnnounceKind, InfoHash};
use tracker_core::{Millis, TableReader, TableWriter};

use swarm::{drop_all, event, query, query_both, table, torrent};

const TORRENTS: u32 = 12;
const EVENTS: u32 = 1_200_000;

/// Torrents that come once and stay, each with a peer.
const STAYING: u32 = 60_000;
/// The first of them.
const FIRST_STAYING: u32 = 1_000;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, n: u32) -> u32 {
        (((self.next() >> 32) * u64::from(n)) >> 32) as u32
    }
}

fn port(ip: &[u8], hash: &InfoHash) -> u16 {
    let mut sum = 0xcbf2_9ce4_8422_2325u64;
    for byte in ip.iter().chain(hash) {
        sum = (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    (sum >> 48) as u16 | 1
}

fn certified(family: Family, n: u32, hash: &InfoHash) -> PeerAddress {
    let [a, b, c, d] = n.wrapping_mul(0x9e37_79b1).to_be_bytes();
    match family {
        Family::V4 => PeerAddress::v4([a, b, c, d], port(&[a, b, c, d], hash)),
        Family::V6 => {
            let ip = [d, c, b, a, a, b, c, d, b, a, d, c, a, b, c, d];
            PeerAddress::v6(ip, port(&ip, hash))
        }
    }
}

/// The peer's number, if it is one of this torrent.
fn check(peer: &PeerAddress, hash: &InfoHash) -> Option<u32> {
    let [a, b, c, d] = match peer {
        PeerAddress::V4([a, b, c, d, ..]) => [*a, *b, *c, *d],
        PeerAddress::V6([.., a, b, c, d, _, _]) => [*a, *b, *c, *d],
    };
    // The inverse of the multiplication in `certified`.
    let n = u32::from_be_bytes([a, b, c, d]).wrapping_mul(INVERSE);
    (certified(peer.family(), n, hash) == *peer).then_some(n)
}

/// 0x9e3779b1 to the power of −1, modulo 2^32 (Newton's iteration: each step doubles the bits that are right).
const INVERSE: u32 = {
    let mut inverse = 1u32;
    let mut step = 0;
    while step < 5 {
        inverse = inverse.wrapping_mul(2u32.wrapping_sub(0x9e37_79b1u32.wrapping_mul(inverse)));
        step += 1;
    }
    inverse
};

const fn is_seeder(n: u32) -> bool {
    n.is_multiple_of(3)
}

fn churn(writer: &mut TableWriter, staying: &AtomicU32) {
    let mut random = Random(0xc0ffee);
    let mut now = Millis(1_000_000);
    // How many peers a torrent tends to have: some stay in the record, some go back and forth over the shapes' limits.
    let sizes = [2, 3, 5, 12, 25, 40, 170, 180, 700, 1_500, 4, 60];
    for round in 0..EVENTS {
        let number = random.below(TORRENTS);
        let hash = torrent(number);
        let family = if random.below(4) == 0 { Family::V6 } else { Family::V4 };
        let n = random.below(sizes[number as usize]);
        let kind = if random.below(5) < 2 { AnnounceKind::Stopped } else { AnnounceKind::None };
        writer.apply(&event(&hash, certified(family, n, &hash), kind, is_seeder(n)), now);
        if round % 16 == 0 {
            now.0 += 3;
        }
        if round % (EVENTS / STAYING) == 0 {
            let number = FIRST_STAYING + round / (EVENTS / STAYING);
            let hash = torrent(number);
            writer.apply(&event(&hash, certified(Family::V4, 1, &hash), AnnounceKind::Started, false), now);
            staying.store(number, Ordering::Release);
        }
        if round % 500 == 0 {
            writer.expire(now, 600);
        }
        if round % 40_000 == 0 {
            // All of one torrent at once: many lines that others take next.
            drop_all(writer, |dropped| *dropped == hash, now);
        }
    }
}

fn read(reader: &TableReader, seed: u64, done: &AtomicBool, staying: &AtomicU32) -> (u64, u64) {
    let mut random = Random(seed);
    let (mut asked, mut peers) = (0, 0);
    while !done.load(Ordering::Relaxed) {
        let last = staying.load(Ordering::Acquire);
        if last >= FIRST_STAYING {
            let number = FIRST_STAYING + random.below(last - FIRST_STAYING + 1);
            assert_eq!(
                reader.scrape(&torrent(number)).leechers,
                1,
                "torrent {number} was missed, {last} is the last"
            );
        }
        let hash = torrent(random.below(TORRENTS));
        let family = if random.below(4) == 0 { Family::V6 } else { Family::V4 };
        let announcer = certified(family, random.below(200), &hash);
        let seeder = random.below(2) == 0;
        let want = 1 + random.below(100);
        let random = random.next();
        let asks = Query { info_hash: &hash, peer: announcer, seeder, stopped: false, want, random };
        let given = if asked % 2 == 0 { query(reader, &asks).peers } else { query_both(reader, &asks).peers };
        assert!(given.len() <= want as usize, "{} peers, {want} wanted", given.len());
        for peer in &given {
            let n = check(peer, &hash).unwrap_or_else(|| panic!("{peer:?} was never announced for {hash:?}"));
            assert!(!seeder || !is_seeder(n), "a seeder got the seeder {peer:?}");
            assert_ne!(*peer, announcer, "the announcer got itself");
        }
        asked += 1;
        peers += given.len() as u64;
    }
    (asked, peers)
}

#[test]
fn nobody_is_handed_out_who_was_not_announced() {
    let (mut writer, reader) = table(100_000, 100_000);
    let (done, staying) = (AtomicBool::new(false), AtomicU32::new(0));
    let reads: Vec<_> = std::thread::scope(|scope| {
        let readers: Vec<_> = [1, 2]
            .map(|seed| {
                let (reader, done, staying) = (reader.clone(), &done, &staying);
                scope.spawn(move || read(&reader, seed, done, staying))
            })
            .into_iter()
            .collect();
        churn(&mut writer, &staying);
        done.store(true, Ordering::Relaxed);
        readers.into_iter().map(|reader| reader.join().expect("a reader saw only what it may")).collect()
    });
    let totals = writer.totals();
    let refused = totals.refused_peers + totals.refused_torrents + totals.refused_memory;
    assert_eq!(refused, 0, "{totals:?}");
    assert!(totals.torrents >= u64::from(STAYING), "{totals:?}");
    // On a machine with one processor a reader may not have run: nothing was wrong then, and nothing was shown.
    for (asked, peers) in reads {
        assert!(asked == 0 || peers > 0, "{asked} announces were answered without a single peer");
    }
}

#[test]
fn certificates_tell_peers_of_other_torrents_apart() {
    let peer = certified(Family::V4, 77, &torrent(1));
    assert_eq!(check(&peer, &torrent(1)), Some(77));
    assert_eq!(check(&peer, &torrent(2)), None);
    let peer = certified(Family::V6, 78, &torrent(1));
    assert_eq!(check(&peer, &torrent(1)), Some(78));
    assert_eq!(check(&peer, &torrent(2)), None);
}
