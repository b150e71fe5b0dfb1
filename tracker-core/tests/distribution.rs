//! Who is handed out how often.
//!
//! Every test is deterministic: seeds are fixed, so a statistic that is acceptable once is acceptable always. With the peers of a line drawn
//! together, a statistic over N peers varies like one over N / (peers per line) independent groups; the limits take that into account.

mod swarm;

use std::collections::BTreeMap;

use tracker_common::table::{Family, PeerAddress};
use tracker_core::Millis;

use swarm::{ask, join, peer, table, torrent};

const NOW: Millis = Millis(1_000_000);
const SIZES: [u32; 9] = [2, 3, 4, 10, 11, 51, 160, 161, 1000];
const WANT: u32 = 50;

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
}

/// Value that chi-square with `degrees` of freedom exceeds once in a million (Wilson and Hilferty 1931).
fn critical(degrees: f64) -> f64 {
    let ninth = 2.0 / (9.0 * degrees);
    degrees * (1.0 - ninth + 4.75 * ninth.sqrt()).powi(3)
}

#[track_caller]
fn assert_uniform(
    name: &str,
    handed_out: &BTreeMap<PeerAddress, u32>,
    peers: u32,
    chance: f64,
    rounds: u32,
    group: u32,
) {
    assert_eq!(handed_out.len(), peers as usize, "{name}: somebody was never handed out");
    let expected = f64::from(rounds) * chance;
    // Each count is binomial.
    let variance = expected * (1.0 - chance);
    let statistic: f64 = handed_out.values().map(|count| (f64::from(*count) - expected).powi(2)).sum();
    if variance < 1e-6 {
        assert!(statistic < 1e-6, "{name}: all are in each answer");
        return;
    }
    let groups = f64::from(peers.div_ceil(group)).max(1.0);
    let limit = critical(groups) / groups;
    let statistic = statistic / variance / f64::from(peers);
    let extremes = (handed_out.values().min(), handed_out.values().max());
    assert!(
        statistic < limit,
        "{name}: {statistic:.2} (expected about 1, less than {limit:.2}); counts about {expected:.0} are {extremes:?}"
    );
}

fn rounds_for(peers: u32, want: u32) -> u32 {
    // Each some 100 times.
    100 * peers.div_ceil(want).max(5)
}

fn check(family: Family, leechers: u32, seeders: u32, want: u32, as_seeder: bool) {
    let hash = torrent(1);
    let (mut writer, reader) = table(10, 5_000);
    join(&mut writer, &hash, family, 0..leechers, false, NOW);
    join(&mut writer, &hash, family, leechers..leechers + seeders, true, NOW);
    let fit = if as_seeder { leechers } else { leechers + seeders };
    let rounds = rounds_for(fit, want);
    let mut random = Random(0x5eed + u64::from(leechers) * 7 + u64::from(want));
    let mut handed_out = BTreeMap::new();
    for _ in 0..rounds {
        let answer = ask(&reader, &hash, peer(family, 1_000_000), as_seeder, want, random.next());
        assert_eq!(answer.distinct().len(), want.min(fit) as usize);
        for peer in answer.peers {
            *handed_out.entry(peer).or_insert(0) += 1;
        }
    }
    let name =
        format!("{family:?}, {leechers} leechers and {seeders} seeders, {want} wanted, seeder {as_seeder}");
    let chance = f64::from(want.min(fit)) / f64::from(fit);
    assert_uniform(&name, &handed_out, fit, chance, rounds, family.per_line().min(want));
}

#[test]
fn every_leecher_has_the_same_chance() {
    for family in [Family::V4, Family::V6] {
        for size in SIZES {
            for want in [1, 2, 9, WANT] {
                check(family, size, 0, want, false);
                check(family, size, 0, want, true);
            }
        }
    }
}

#[test]
fn leechers_and_seeders_have_the_same_chance() {
    for family in [Family::V4, Family::V6] {
        for size in SIZES {
            for seeders in [1, size / 3, size / 2, size - 1] {
                for want in [1, 7, WANT] {
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
            let (mut writer, reader) = table(10, 5_000);
            join(&mut writer, &hash, family, 0..size / 2, false, NOW);
            join(&mut writer, &hash, family, size / 2..size, true, NOW);
            for want in [1, 9, WANT] {
                let others = size - 1;
                // A whole number of turns each.
                let rounds = rounds_for(others, want).div_ceil(size) * size;
                let mut random = Random(77 + u64::from(size));
                let mut handed_out = BTreeMap::new();
                for round in 0..rounds {
                    let announcer = peer(family, round % size);
                    let answer = ask(&reader, &hash, announcer, false, want, random.next());
                    let peers = answer.distinct();
                    assert!(!peers.contains(&announcer), "{announcer:?} got itself");
                    assert_eq!(peers.len(), want.min(others) as usize, "{family:?}, {want} of {others}");
                    for peer in peers {
                        *handed_out.entry(peer).or_insert(0) += 1;
                    }
                }
                let chance = f64::from(want.min(others)) / f64::from(others);
                let rounds_against = rounds / size * others;
                let name = format!("{family:?}, {size} members, {want} wanted");
                assert_uniform(&name, &handed_out, size, chance, rounds_against, family.per_line().min(want));
            }
        }
    }
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
