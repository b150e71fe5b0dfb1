//! The writer's rules by name, and the sizes that random histories don't reach.

mod swarm;

use std::collections::BTreeSet;

use tracker_common::table::{Family, PeerAddress, ScrapeCounts};
use tracker_common::wire::AnnounceKind;
use tracker_core::{Applied, DropRound, Limits, Millis, TableReader, TableWriter};

use swarm::{LIFETIME_S, SMALL, ask, drop_all, event, join, peer, table, table_with, torrent};

const NOW: Millis = Millis(1_000_000);
/// A deadline is rounded up to this: 4200 s / 56.
const UNIT_MS: u64 = 75_000;

fn apply(writer: &mut TableWriter, number: u32, kind: AnnounceKind, seeder: bool) -> Applied {
    writer.apply(&event(&torrent(1), peer(Family::V4, number), kind, seeder), NOW)
}

fn counts(reader: &TableReader) -> (u32, u32, u32) {
    let ScrapeCounts { seeders, completed, leechers, .. } = reader.scrape(&torrent(1));
    (seeders, completed, leechers)
}

fn clean(writer: &mut TableWriter, now: Millis) -> (u32, u32) {
    let (mut peers, mut torrents) = (0, 0);
    loop {
        let expired = writer.expire(now, 7);
        peers += expired.peers;
        torrents += expired.torrents;
        if expired.wrapped {
            return (peers, torrents);
        }
    }
}

#[test]
fn completed_counts_once_for_a_peer_that_was_a_leecher() {
    let (mut writer, reader) = table(10, 10);
    apply(&mut writer, 1, AnnounceKind::Started, false);
    for _ in 0..3 {
        apply(&mut writer, 1, AnnounceKind::Completed, true);
        assert_eq!(counts(&reader), (1, 1, 0));
    }
}

#[test]
fn completed_of_a_peer_that_nobody_knew_as_a_leecher_does_not_count() {
    let (mut writer, reader) = table(10, 10);
    apply(&mut writer, 1, AnnounceKind::Completed, true);
    apply(&mut writer, 2, AnnounceKind::Started, true);
    apply(&mut writer, 2, AnnounceKind::Completed, true);
    assert_eq!(counts(&reader), (2, 0, 0));
}

#[test]
fn completed_with_something_left_does_not_count() {
    let (mut writer, reader) = table(10, 10);
    apply(&mut writer, 1, AnnounceKind::Started, false);
    apply(&mut writer, 1, AnnounceKind::Completed, false);
    assert_eq!(counts(&reader), (0, 0, 1));
}

#[test]
fn completed_survives_its_peers_until_the_next_cleaning() {
    let (mut writer, reader) = table(10, 10);
    apply(&mut writer, 1, AnnounceKind::Started, false);
    apply(&mut writer, 1, AnnounceKind::Completed, true);
    apply(&mut writer, 1, AnnounceKind::Stopped, true);
    assert_eq!(counts(&reader), (0, 1, 0));
    assert_eq!(clean(&mut writer, NOW), (0, 1));
    assert_eq!(counts(&reader), (0, 0, 0));
    assert_eq!(writer.totals().torrents, 0);
}

#[test]
fn what_is_left_decides_who_is_a_seeder() {
    let (mut writer, reader) = table(10, 10);
    for kind in [AnnounceKind::None, AnnounceKind::Started, AnnounceKind::Completed, AnnounceKind::Paused] {
        apply(&mut writer, 1, kind, true);
        assert_eq!((counts(&reader).0, counts(&reader).2), (1, 0), "{kind:?}, nothing left");
        apply(&mut writer, 1, kind, false);
        assert_eq!((counts(&reader).0, counts(&reader).2), (0, 1), "{kind:?}, something left");
    }
}

#[test]
fn a_partial_seed_is_a_leecher_until_it_says_otherwise() {
    let (mut writer, reader) = table(10, 10);
    // In the record and in lists.
    for number in 1..=5 {
        apply(&mut writer, number, AnnounceKind::Paused, false);
    }
    let all = reader.scrape(&torrent(1));
    assert_eq!((all.leechers, all.partial), (5, 5));
    apply(&mut writer, 1, AnnounceKind::None, false);
    apply(&mut writer, 2, AnnounceKind::Paused, true);
    apply(&mut writer, 3, AnnounceKind::Stopped, false);
    let rest = reader.scrape(&torrent(1));
    assert_eq!((rest.seeders, rest.leechers, rest.partial), (1, 3, 2));
}

#[test]
fn a_stopped_peer_is_gone_at_once() {
    let (mut writer, reader) = table(10, 100);
    for size in [1, 3, 4, 30] {
        for number in 1..=size {
            apply(&mut writer, number, AnnounceKind::Started, false);
        }
        assert_eq!(apply(&mut writer, size, AnnounceKind::Stopped, false), Applied::Removed);
        assert_eq!(apply(&mut writer, size, AnnounceKind::Stopped, false), Applied::Unknown);
        assert_eq!(counts(&reader).2, size - 1, "{size} peers");
        let gone = peer(Family::V4, size);
        assert!(
            !ask(&reader, &torrent(1), peer(Family::V4, 1000), false, 50, 1).peers.contains(&gone),
            "{size} peers"
        );
    }
}

#[test]
fn a_stopped_event_for_an_unknown_torrent_leaves_no_trace() {
    let (mut writer, _) = table(10, 10);
    assert_eq!(apply(&mut writer, 1, AnnounceKind::Stopped, false), Applied::Unknown);
    assert_eq!(writer.totals().torrents, 0);
}

#[test]
fn the_same_address_with_another_port_is_another_peer() {
    let (mut writer, reader) = table(10, 10);
    for port in [1, 2] {
        let peer = PeerAddress::v4([192, 0, 2, 1], port);
        writer.apply(&event(&torrent(1), peer, AnnounceKind::Started, false), NOW);
    }
    assert_eq!(counts(&reader).2, 2);
}

#[test]
fn a_mapped_address_is_the_ipv4_peer() {
    let mapped = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 1];
    assert_eq!(PeerAddress::v6(mapped, 6881), PeerAddress::v4([192, 0, 2, 1], 6881));
}

#[test]
fn an_announce_puts_the_deadline_off() {
    for peers in [1, 3, 40] {
        let (mut writer, reader) = table(10, 100);
        join(&mut writer, &torrent(1), Family::V4, 1..peers + 1, false, NOW);
        let lifetime_ms = u64::from(LIFETIME_S) * 1000;
        let later = Millis(NOW.0 + lifetime_ms - 1000);
        assert_eq!(clean(&mut writer, later), (0, 0), "{peers} peers");
        let again = event(&torrent(1), peer(Family::V4, 1), AnnounceKind::None, false);
        assert_eq!(writer.apply(&again, later), Applied::Refreshed);
        assert_eq!(clean(&mut writer, Millis(NOW.0 + lifetime_ms + UNIT_MS)).0, peers - 1, "{peers} peers");
        assert_eq!(counts(&reader), (0, 0, 1), "{peers} peers");
        assert_eq!(clean(&mut writer, Millis(later.0 + lifetime_ms + UNIT_MS)), (1, 1), "{peers} peers");
    }
}

#[test]
fn a_full_table_refuses_and_counts_and_keeps_the_others() {
    let (mut writer, reader) = table(1, 2);
    for number in 1..=2 {
        assert_eq!(apply(&mut writer, number, AnnounceKind::Started, false), Applied::Added);
    }
    assert_eq!(apply(&mut writer, 3, AnnounceKind::Started, false), Applied::RefusedPeer);
    let other = event(&torrent(2), peer(Family::V4, 1), AnnounceKind::Started, false);
    assert_eq!(writer.apply(&other, NOW), Applied::RefusedTorrent);
    assert_eq!(apply(&mut writer, 1, AnnounceKind::Completed, true), Applied::Refreshed);
    assert_eq!(counts(&reader), (1, 1, 1));
    let totals = reader.totals();
    assert_eq!((totals.refused_peers, totals.refused_torrents), (1, 1));
    apply(&mut writer, 2, AnnounceKind::Stopped, false);
    assert_eq!(apply(&mut writer, 3, AnnounceKind::Started, false), Applied::Added);
}

#[test]
fn denied_torrents_are_dropped_with_their_peers() {
    let (mut writer, reader) = table(10, 1000);
    for number in 0..4 {
        join(&mut writer, &torrent(number), Family::V4, 0..100, false, NOW);
        join(&mut writer, &torrent(number), Family::V6, 0..100, true, NOW);
    }
    assert_eq!(drop_all(&mut writer, |hash| *hash == torrent(1) || *hash == torrent(3), NOW), 2);
    for number in 0..4 {
        let expected = if number % 2 == 1 { 0 } else { 100 };
        let counts = reader.scrape(&torrent(number));
        assert_eq!((counts.seeders, counts.leechers), (expected, expected), "torrent {number}");
    }
    assert_eq!((writer.totals().torrents, writer.totals().peers()), (2, 400));
}

#[test]
fn a_clock_that_steps_back_loses_nobody() {
    let (mut writer, reader) = table(10, 100);
    join(&mut writer, &torrent(1), Family::V4, 0..30, false, NOW);
    assert_eq!(clean(&mut writer, Millis(NOW.0 - 500_000)), (0, 0));
    assert_eq!(counts(&reader).2, 30);
}

#[test]
fn a_table_takes_as_many_torrents_as_it_was_made_for() {
    // And goes on taking new ones for old ones, for as long as it likes: buckets must not fill up over time.
    let capacity = 20_000;
    let (mut writer, reader) = table(capacity, capacity);
    let join_one = |writer: &mut TableWriter, number: u32, now| {
        let applied =
            writer.apply(&event(&torrent(number), peer(Family::V4, 1), AnnounceKind::Started, false), now);
        assert_eq!(applied, Applied::Added, "torrent {number}");
    };
    for number in 0..capacity {
        join_one(&mut writer, number, NOW);
    }
    let mut now = NOW;
    for number in capacity..5 * capacity {
        let old = event(&torrent(number - capacity), peer(Family::V4, 1), AnnounceKind::Stopped, false);
        writer.apply(&old, now);
        if (number + 1) % 1_000 == 0 {
            clean(&mut writer, now);
            now.0 += 300;
            for number in number - 999..=number {
                join_one(&mut writer, number, now);
            }
        }
    }
    for number in 0..5 * capacity {
        let expected = u32::from(number >= 4 * capacity);
        assert_eq!(reader.scrape(&torrent(number)).leechers, expected, "torrent {number}");
    }
}

#[test]
fn swarms_of_tens_of_thousands_grow_and_shrink() {
    // IPv4 over 256 lines and IPv6 over 4,096: four levels of directories.
    for (family, size) in [(Family::V4, 45_000u32), (Family::V6, 13_000)] {
        let hash = torrent(1);
        let (mut writer, reader) = table(10, 50_000);
        join(&mut writer, &hash, family, 0..size, false, NOW);
        assert_eq!(reader.scrape(&hash).leechers, size);

        let stranger = peer(family, 1_000_000);
        let mut handed_out = BTreeSet::new();
        for random in 0..400u64 {
            handed_out.extend(
                ask(&reader, &hash, stranger, false, 60, random.wrapping_mul(0x9e37_79b9_7f4a_7c15))
                    .distinct(),
            );
        }
        // 24,000 draws: independent ones would show 41 % of 45,000 peers, 84 % of 13,000.
        assert!(handed_out.len() > size as usize / 3, "{family:?}: {} different ones", handed_out.len());
        let known: BTreeSet<_> = (0..size).map(|number| peer(family, number)).collect();
        assert!(handed_out.is_subset(&known), "{family:?}");

        // All are known: each is refreshed, none is added.
        for number in (0..size).rev().step_by(7) {
            let again = event(&hash, peer(family, number), AnnounceKind::None, false);
            assert_eq!(writer.apply(&again, NOW), Applied::Refreshed, "{family:?}, peer {number}");
        }
        // A third completes, from all over the list; a third leaves.
        for number in (0..size).step_by(3) {
            let event = event(&hash, peer(family, number), AnnounceKind::Completed, true);
            assert_eq!(writer.apply(&event, NOW), Applied::Refreshed, "{family:?}, peer {number}");
        }
        for number in (1..size).step_by(3) {
            let event = event(&hash, peer(family, number), AnnounceKind::Stopped, false);
            assert_eq!(writer.apply(&event, NOW), Applied::Removed, "{family:?}, peer {number}");
        }
        let counts = reader.scrape(&hash);
        assert_eq!(
            (counts.seeders, counts.completed, counts.leechers),
            (size.div_ceil(3), size.div_ceil(3), (size - 2).div_ceil(3))
        );

        let (expired, _) = clean(&mut writer, Millis(NOW.0 + u64::from(LIFETIME_S) * 1000 + UNIT_MS));
        assert_eq!(expired, counts.seeders + counts.leechers);
        assert_eq!((writer.totals().lines, writer.totals().peers()), (0, 0), "{family:?}");
    }
}

#[test]
fn a_swarm_over_the_limit_of_a_directory_and_back_loses_nobody() {
    // 10, 160 and 2,560 IPv4 peers and 3, 48 and 768 IPv6 peers are the most that a root of each depth leads to.
    for (family, limit) in [
        (Family::V4, 10),
        (Family::V4, 160),
        (Family::V4, 2_560),
        (Family::V6, 3),
        (Family::V6, 48),
        (Family::V6, 768),
    ] {
        let hash = torrent(1);
        let (mut writer, reader) = table(10, 5_000);
        join(&mut writer, &hash, family, 0..limit, false, NOW);
        let mut now = NOW;
        for turn in 0..300 {
            now.0 += 30;
            let one = peer(family, 10_000 + turn);
            assert_eq!(writer.apply(&event(&hash, one, AnnounceKind::Started, false), now), Applied::Added);
            assert_eq!(writer.apply(&event(&hash, one, AnnounceKind::Stopped, false), now), Applied::Removed);
        }
        let known: BTreeSet<_> = (0..limit).map(|number| peer(family, number)).collect();
        let answer = ask(&reader, &hash, peer(family, 1_000_000), false, 200, 5);
        assert_eq!(answer.found.leechers, limit + u32::from(limit <= 200), "{family:?} around {limit}");
        assert!(answer.distinct().is_subset(&known), "{family:?} around {limit}");
        for number in 0..limit {
            let again = event(&hash, peer(family, number), AnnounceKind::None, false);
            assert_eq!(
                writer.apply(&again, now),
                Applied::Refreshed,
                "{family:?} around {limit}, peer {number}"
            );
        }
    }
}

#[test]
fn a_directory_that_becomes_a_line_is_readable() {
    // Its last entry stands where a line has its version, which may leave an odd one behind.
    let (mut writer, reader) = table(10, 2_000);
    let mut now = NOW;
    for size in [400, 200, 330] {
        join(&mut writer, &torrent(1), Family::V4, 0..size, false, now);
        drop_all(&mut writer, |_| true, now);
        now.0 += 300;
    }
    join(&mut writer, &torrent(2), Family::V4, 0..900, false, now);
    let mut handed_out = BTreeSet::new();
    for random in 0..300u64 {
        let answer = ask(&reader, &torrent(2), peer(Family::V4, 1_000_000), false, 50, random << 20 | random);
        assert_eq!(answer.distinct().len(), 50);
        handed_out.extend(answer.peers);
    }
    assert_eq!(handed_out.len(), 900);
}

#[test]
fn a_small_swarm_moves_back_into_its_record() {
    let (mut writer, _) = table(10, 100);
    for number in 1..=20 {
        apply(&mut writer, number, AnnounceKind::Started, number % 2 == 0);
    }
    assert!(writer.totals().lines > 0);
    for number in 4..=20 {
        apply(&mut writer, number, AnnounceKind::Stopped, false);
    }
    clean(&mut writer, NOW);
    assert_eq!((writer.totals().lines, writer.totals().peers()), (0, 3));
}

#[test]
fn torrent_with_enough_peers_refuses_new_ones_and_keeps_the_others() {
    for limit in [1, 3, 5, 40] {
        let (mut writer, reader) = table_with(Limits { max_peers_per_torrent: limit, ..SMALL });
        join(&mut writer, &torrent(1), Family::V4, 0..limit, false, NOW);
        assert_eq!(apply(&mut writer, limit, AnnounceKind::Started, false), Applied::RefusedPeersPerTorrent);
        assert_eq!(apply(&mut writer, 0, AnnounceKind::Completed, true), Applied::Refreshed);
        assert_eq!(counts(&reader), (1, 1, limit - 1));
        assert_eq!(writer.totals().refused_peers_per_torrent, 1);
        assert_eq!(apply(&mut writer, 0, AnnounceKind::Stopped, true), Applied::Removed);
        assert_eq!(apply(&mut writer, limit, AnnounceKind::Started, false), Applied::Added);
    }
}

#[test]
fn address_in_enough_torrents_is_refused_until_it_leaves_one() {
    let (mut writer, _) = table_with(Limits { max_torrents_per_address: 3, ..SMALL });
    let neighbour =
        |host, port| PeerAddress::v6([0x20, 1, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, host], port);
    let mut now = NOW;
    for peers in [
        [1, 2, 3, 4].map(|port| PeerAddress::v4([192, 0, 2, 9], port)),
        [1, 2, 3, 4].map(|n| neighbour(n, 5)),
    ] {
        let announce = |writer: &mut TableWriter, number, kind, now| {
            writer.apply(&event(&torrent(number), peers[number as usize], kind, false), now)
        };
        for number in 0..3 {
            assert_eq!(announce(&mut writer, number, AnnounceKind::Started, now), Applied::Added);
        }
        assert_eq!(announce(&mut writer, 3, AnnounceKind::Started, now), Applied::RefusedTorrentsPerAddress);
        // What is there goes on.
        assert_eq!(announce(&mut writer, 2, AnnounceKind::None, now), Applied::Refreshed);
        assert_eq!(announce(&mut writer, 0, AnnounceKind::Stopped, now), Applied::Removed);
        assert_eq!(announce(&mut writer, 3, AnnounceKind::Started, now), Applied::Added);
        // All ways out of the table count.
        drop_all(&mut writer, |hash| *hash == torrent(1), now);
        assert_eq!(announce(&mut writer, 0, AnnounceKind::Started, now), Applied::Added);
        assert_eq!(announce(&mut writer, 1, AnnounceKind::Started, now), Applied::RefusedTorrentsPerAddress);
        let later = Millis(now.0 + u64::from(LIFETIME_S) * 1000 + UNIT_MS);
        clean(&mut writer, later);
        for number in 0..3 {
            assert_eq!(announce(&mut writer, number, AnnounceKind::Started, later), Applied::Added);
        }
        drop_all(&mut writer, |_| true, later);
        now = later;
    }
    assert_eq!(writer.totals().refused_torrents_per_address, 4);
}

#[test]
fn counts_are_exact_while_a_huge_torrent_is_cleaned_or_dropped_in_slices() {
    let hash = torrent(1);
    let (mut writer, reader) = table(10, 100_000);
    join(&mut writer, &hash, Family::V4, 0..20_000, false, NOW);
    join(&mut writer, &hash, Family::V6, 0..5_000, true, NOW);
    let later = Millis(NOW.0 + u64::from(LIFETIME_S) * 1000 + UNIT_MS);
    // A third stays.
    for number in (0..20_000).step_by(3) {
        writer.apply(&event(&hash, peer(Family::V4, number), AnnounceKind::None, false), later);
    }
    let (mut left, mut slices) = (25_000, 0);
    loop {
        let expired = writer.expire(later, 700);
        assert!(expired.looked <= 700 + 9, "{expired:?}");
        left -= expired.peers;
        slices += 1;
        let counts = reader.scrape(&hash);
        assert_eq!(counts.seeders + counts.leechers, left);
        assert_eq!(writer.totals().peers(), u64::from(left));
        if expired.wrapped {
            break;
        }
    }
    assert_eq!((left, reader.scrape(&hash).leechers), (6_667, 6_667));
    assert!(slices >= 25_000 / 709, "{slices} slices");

    let mut round = DropRound::default();
    let mut last = left;
    loop {
        let dropped = writer.drop_torrents(&mut round, |_| true, later);
        let counts = reader.scrape(&hash);
        assert!(counts.leechers < last || dropped.done);
        assert_eq!(writer.totals().peers(), u64::from(counts.leechers));
        last = counts.leechers;
        if dropped.done {
            break;
        }
    }
    assert_eq!((last, writer.totals().torrents, writer.totals().lines), (0, 0, 0));
}

#[test]
fn index_grows_with_the_swarms_and_loses_nobody() {
    let (mut writer, reader) = table_with(SMALL);
    let mut now = NOW;
    let one = peer(Family::V4, 1);
    for number in 0..60_000 {
        now.0 += u64::from(number % 10 == 0);
        let applied = writer.apply(&event(&torrent(number), one, AnnounceKind::Started, false), now);
        assert_eq!(applied, Applied::Added, "torrent {number}");
        // One of the oldest, one in the middle, the newest.
        for known in [number % 17, number / 2, number] {
            assert_eq!(reader.scrape(&torrent(known)).leechers, 1, "torrent {known} of {number}");
        }
    }
    for number in 0..60_000 {
        assert_eq!(reader.scrape(&torrent(number)).leechers, 1, "torrent {number}");
        let again = event(&torrent(number), one, AnnounceKind::None, false);
        assert_eq!(writer.apply(&again, now), Applied::Refreshed, "torrent {number}");
    }
    // 7.4 segments of torrents, 1 of buckets, and those of former indexes that aren't used again yet.
    let segments = writer.totals().memory_bytes >> 19;
    assert!((9..60).contains(&segments), "{segments} segments");
}
