//! Who is handed out how often.
//!
//! The peers of an answer were drawn together, so they say less than as many answers would. The tests look at one peer of each answer, taken
//! at random by the test: these are independent, each peer has the chance 1/N each time, and Pearson's chi-square applies as it
//! stands in the books. Seeds are fixed, so a statistic that is acceptable once is acceptable always.

mod swarm;

use std::collections::BTreeMap;

use tracker_common::table::{Family, PeerAddress, Query};
use tracker_core::Millis;

use swarm::{ask, join, peer, query_both, table, torrent};

const NOW: Millis = Millis(1_000_000);
const SIZES: [u32; 18] =
    [2, 3, 4, 5, 10, 11, 20, 50, 51, 52, 100, 160, 161, 500, 1_000, 2_560, 5_000, 10_000];
const WANT: u32 = 50;

/// Answers for each peer of a swarm: the expected count of each is this, so that the approximation by chi-square holds.
const ROUNDS: u32 = 10;

/// A seeded generator of its own: the table's must not be tested with itself.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.next()) * n as u128) >> 64) as usize
    }
}

/// Value that chi-square with `degrees` of freedom exceeds once in 10,000: from the table, and for more degrees by the approximation of Wilson
/// and Hilferty (1931), which is right to 1 % from here on.
fn critical(degrees: u32) -> f64 {
    const TABLE: [f64; 12] =
        [15.137, 18.421, 21.108, 23.513, 25.745, 27.856, 29.878, 31.828, 33.720, 35.564, 37.366, 39.134];
    match TABLE.get(degrees as usize - 1) {
        Some(value) => *value,
        None => {
            let ninth = 2.0 / (9.0 * f64::from(degrees));
            f64::from(degrees) * (1.0 - ninth + 3.719 * ninth.sqrt()).powi(3)
        }
    }
}

/// How often each of the peers below `peers` was seen.
struct Counts {
    counts: BTreeMap<PeerAddress, u32>,
}

impl Counts {
    fn of(family: Family, peers: u32) -> Self {
        Self { counts: (0..peers).map(|n| (peer(family, n), 0)).collect() }
    }

    /// Of a swarm with peers of both families.
    fn of_both(four: u32, six: u32) -> Self {
        let Self { mut counts } = Self::of(Family::V4, four);
        counts.extend(Self::of(Family::V6, six).counts);
        Self { counts }
    }

    /// Counts one peer of an answer.
    fn count(&mut self, peers: &[PeerAddress], random: &mut Random) {
        let one = peers[random.below(peers.len())];
        *self.counts.get_mut(&one).expect("only members are handed out") += 1;
    }

    /// Chi-square, and the expected count.
    fn statistic(&self) -> (f64, f64) {
        let total: u32 = self.counts.values().sum();
        let expected = f64::from(total) / self.counts.len() as f64;
        let squares: f64 = self.counts.values().map(|count| (f64::from(*count) - expected).powi(2)).sum();
        (squares / expected, expected)
    }

    /// Compares with the same count for all. `spread` is the variance of a difference of two counts, as a multiple of that of independent
    /// draws: 1 for these.
    #[track_caller]
    fn assert_uniform(&self, name: &str, spread: f64) {
        let (statistic, expected) = self.statistic();
        let (statistic, limit) = (statistic / spread, critical(self.counts.len() as u32 - 1));
        let extremes = (self.counts.values().min(), self.counts.values().max());
        assert!(
            statistic < limit,
            "{name}: chi-square {statistic:.1}, limit {limit:.1}; counts about {expected:.0} are {extremes:?}",
        );
    }
}

fn check(family: Family, leechers: u32, seeders: u32, want: u32, as_seeder: bool) {
    let hash = torrent(1);
    let (mut writer, reader) = table(10, 20_000);
    join(&mut writer, &hash, family, 0..leechers, false, NOW);
    join(&mut writer, &hash, family, leechers..leechers + seeders, true, NOW);
    let fit = if as_seeder { leechers } else { leechers + seeders };
    let mut random = Random(0x5eed + u64::from(leechers) * 7 + u64::from(want));
    let mut counts = Counts::of(family, fit);
    for _ in 0..(ROUNDS * fit).max(1_000) {
        let answer = ask(&reader, &hash, peer(family, 1_000_000), as_seeder, want, random.next());
        assert_eq!(answer.distinct().len(), want.min(fit) as usize);
        counts.count(&answer.peers, &mut random);
    }
    if fit > 1 {
        let name = format!(
            "{family:?}: {leechers} leechers and {seeders} seeders, {want} wanted, seeder {as_seeder}"
        );
        counts.assert_uniform(&name, 1.0);
    }
}

#[test]
fn every_leecher_has_the_same_chance() {
    for family in [Family::V4, Family::V6] {
        for size in SIZES {
            for want in [1, 9, WANT] {
                check(family, size, 0, want, false);
            }
            check(family, size, 0, WANT, true);
        }
    }
}

#[test]
fn leechers_and_seeders_have_the_same_chance() {
    for family in [Family::V4, Family::V6] {
        for size in SIZES {
            for seeders in [1, size / 3, size - 1] {
                for want in [7, WANT] {
                    check(family, size - seeders, seeders, want, false);
                }
            }
        }
    }
}

#[test]
fn members_that_announce_in_turn_are_handed_out_evenly() {
    for family in [Family::V4, Family::V6] {
        for size in SIZES {
            let hash = torrent(1);
            let (mut writer, reader) = table(10, 20_000);
            join(&mut writer, &hash, family, 0..size / 2, false, NOW);
            join(&mut writer, &hash, family, size / 2..size, true, NOW);
            for want in [1, 9, WANT] {
                let mut random = Random(77 + u64::from(size) * 3 + u64::from(want));
                let mut counts = Counts::of(family, size);
                let turns = ROUNDS.max(1_000 / size);
                for round in 0..turns * size {
                    let announcer = peer(family, round % size);
                    let answer = ask(&reader, &hash, announcer, false, want, random.next());
                    let peers = answer.distinct();
                    assert!(!peers.contains(&announcer), "{announcer:?} got itself");
                    assert_eq!(peers.len(), want.min(size - 1) as usize, "{family:?}, {want} of {size}");
                    counts.count(&answer.peers, &mut random);
                }
                if size == 2 {
                    assert!(
                        counts.counts.values().all(|count| *count == turns),
                        "each is the other's only peer"
                    );
                    continue;
                }
                // Nobody is handed out to itself. So of a turn, a count has the variance (N − 2) / (N − 1) and two counts the
                // covariance −(N − 2) / (N − 1)²; independent draws from all N would have 1 − 1 / N and −1 / N.
                let n = f64::from(size);
                let spread = n * (n - 2.0) / (n - 1.0).powi(2);
                counts.assert_uniform(&format!("{family:?}: {size} members, {want} wanted"), spread);
            }
        }
    }
}

/// IPv4 leechers, IPv4 seeders, IPv6 leechers, IPv6 seeders.
const MIXED: [[u32; 4]; 10] = [
    [1, 0, 1, 0],
    [1, 1, 1, 1],
    [10, 0, 0, 10],
    [30, 20, 5, 5],
    [51, 0, 3, 0],
    [60, 40, 1, 0],
    [1, 0, 60, 40],
    [300, 100, 50, 7],
    [20, 1_000, 400, 3],
    [2_000, 500, 1_000, 300],
];

#[test]
fn both_families_have_the_same_chance() {
    for [leechers4, seeders4, leechers6, seeders6] in MIXED {
        let hash = torrent(1);
        let (mut writer, reader) = table(10, 20_000);
        let (four, six) = (leechers4 + seeders4, leechers6 + seeders6);
        join(&mut writer, &hash, Family::V4, 0..leechers4, false, NOW);
        join(&mut writer, &hash, Family::V4, leechers4..four, true, NOW);
        join(&mut writer, &hash, Family::V6, 0..leechers6, false, NOW);
        join(&mut writer, &hash, Family::V6, leechers6..six, true, NOW);
        for (family, want, seeder) in [
            (Family::V4, 1, false),
            (Family::V6, 7, false),
            (Family::V4, WANT, false),
            (Family::V6, WANT, false),
            (Family::V6, WANT, true),
        ] {
            let name = format!(
                "{leechers4} + {seeders4} IPv4, {leechers6} + {seeders6} IPv6, {want} wanted, seeder {seeder}"
            );
            let (fit4, fit6) = if seeder { (leechers4, leechers6) } else { (four, six) };
            let fit = fit4 + fit6;
            let mut random = Random(0x5eed + u64::from(fit) * 7 + u64::from(want));
            let mut counts = Counts::of_both(fit4, fit6);
            for _ in 0..(ROUNDS * fit).max(1_000) {
                let (info_hash, peer, random_bits) = (&hash, peer(family, 1_000_000), random.next());
                let query = Query { info_hash, peer, seeder, stopped: false, want, random: random_bits };
                let peers = query_both(&reader, &query).peers;
                assert_eq!(peers.len(), want.min(fit) as usize, "{name}");
                counts.count(&peers, &mut random);
            }
            if fit > 1 {
                counts.assert_uniform(&name, 1.0);
            }
        }
    }
}

#[test]
fn members_of_either_family_are_handed_out_evenly() {
    for [leechers4, seeders4, leechers6, seeders6] in MIXED {
        let hash = torrent(1);
        let (mut writer, reader) = table(10, 20_000);
        let (four, six) = (leechers4 + seeders4, leechers6 + seeders6);
        join(&mut writer, &hash, Family::V4, 0..leechers4, false, NOW);
        join(&mut writer, &hash, Family::V4, leechers4..four, true, NOW);
        join(&mut writer, &hash, Family::V6, 0..leechers6, false, NOW);
        join(&mut writer, &hash, Family::V6, leechers6..six, true, NOW);
        let size = four + six;
        let everybody: Vec<_> = Counts::of_both(four, six).counts.into_keys().collect();
        for want in [1, 9, WANT] {
            let mut random = Random(77 + u64::from(size) * 3 + u64::from(want));
            let mut counts = Counts::of_both(four, six);
            let turns = ROUNDS.max(1_000 / size);
            for round in 0..turns * size {
                let announcer = everybody[(round % size) as usize];
                let (info_hash, bits) = (&hash, random.next());
                let query =
                    Query { info_hash, peer: announcer, seeder: false, stopped: false, want, random: bits };
                let peers = query_both(&reader, &query).peers;
                assert!(!peers.contains(&announcer), "{announcer:?} got itself");
                assert_eq!(peers.len(), want.min(size - 1) as usize, "{want} of {size}");
                counts.count(&peers, &mut random);
            }
            if size > 2 {
                let n = f64::from(size);
                let spread = n * (n - 2.0) / (n - 1.0).powi(2);
                counts.assert_uniform(&format!("{four} and {six} members, {want} wanted"), spread);
            }
        }
    }
}

#[test]
fn the_statistic_notices_a_preference() {
    // Even ones come half as often again as odd ones.
    let everybody: Vec<_> = (0..100).map(|n| peer(Family::V4, n)).collect();
    let mut random = Random(5);
    let mut counts = Counts::of(Family::V4, 100);
    for _ in 0..5_000 {
        let n = random.below(100) & if random.below(5) == 0 { !1 } else { !0 };
        counts.count(&everybody[n..=n], &mut random);
    }
    let (statistic, _) = counts.statistic();
    assert!(statistic > critical(99), "{statistic}");
}

#[test]
fn a_member_at_the_limit_gets_all_others() {
    // 51 members, 50 wanted: the announcer's own place must go to the one that wasn't drawn, every time.
    for family in [Family::V4, Family::V6] {
        for seeders in [0, 1, 20, 50] {
            let hash = torrent(1);
            let (mut writer, reader) = table(10, 100);
            join(&mut writer, &hash, family, 0..51 - seeders, false, NOW);
            join(&mut writer, &hash, family, 51 - seeders..51, true, NOW);
            let mut random = Random(9);
            for round in 0..500 {
                let announcer = peer(family, round % 51);
                let answer = ask(&reader, &hash, announcer, false, 50, random.next());
                let peers = answer.distinct();
                assert!(
                    peers.len() == 50 && !peers.contains(&announcer),
                    "round {round}: {} peers",
                    peers.len()
                );
            }
        }
    }
}
