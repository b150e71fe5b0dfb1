//! Walks over all torrents: nobody is missing, nobody is made up, whatever the writer does meanwhile.

mod swarm;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use tracker_common::table::{Family, ScrapeCounts};
use tracker_common::wire::{AnnounceKind, InfoHash};
use tracker_core::{Limits, Millis, TableReader, TableWriter};

use swarm::{SMALL, drop_all, event, join, peer, table_with, torrent};

const NOW: Millis = Millis(1_000_000);

#[test]
fn an_empty_table_has_no_torrents() {
    let (_writer, reader) = table_with(SMALL);
    assert_eq!(reader.torrents().next(), None);
}

#[test]
fn every_torrent_is_met_with_its_counts() {
    let (mut writer, reader) = table_with(SMALL);
    // More than a segment of torrents, and lines between them.
    for number in 0..20_000 {
        join(&mut writer, &torrent(number), Family::V4, 0..1 + number % 5, false, NOW);
        join(&mut writer, &torrent(number), Family::V6, 0..number % 3, true, NOW);
        if number % 1_000 == 0 {
            join(&mut writer, &torrent(number), Family::V4, 1_000..3_000, false, NOW);
        }
        if number % 7 == 0 {
            writer.apply(&event(&torrent(number), peer(Family::V4, 0), AnnounceKind::Completed, true), NOW);
        }
        if number % 11 == 0 {
            writer.apply(&event(&torrent(number), peer(Family::V4, 0), AnnounceKind::Paused, false), NOW);
        }
    }
    let dropped = drop_all(&mut writer, |hash| hash[3] == 7, NOW);
    assert!(dropped > 70, "{dropped}");
    let met: Vec<_> = reader.torrents().collect();
    let torrents: BTreeMap<InfoHash, ScrapeCounts> = met.iter().copied().collect();
    assert_eq!(torrents.len(), met.len(), "a torrent is there twice");
    assert_eq!(torrents.len() as u64, writer.totals().torrents);
    for (hash, counts) in torrents {
        assert_eq!(counts, reader.scrape(&hash));
    }
}

/// Torrents that come once and stay.
const STAYING: u32 = 80_000;
/// Numbers of torrents that come and go.
const PASSING: std::ops::Range<u32> = 1_000_000..1_004_000;

fn churn(writer: &mut TableWriter, staying: &AtomicU32) {
    let mut now = NOW;
    for number in 0..STAYING {
        join(writer, &torrent(number), Family::V4, 0..1, false, now);
        join(writer, &torrent(number), Family::V6, 0..1, true, now);
        staying.store(number + 1, Ordering::Release);
        for step in 0..4 {
            let passing = PASSING.start + number.wrapping_mul(0x9e37_79b1).rotate_left(step * 8) % 4_000;
            let kind = if step < 2 { AnnounceKind::Started } else { AnnounceKind::Stopped };
            writer.apply(&event(&torrent(passing), peer(Family::V4, 1), kind, false), now);
        }
        // Freed records come back soon.
        now.0 += 2;
        if number % 512 == 0 {
            drop_all(writer, |hash| *hash >= torrent(PASSING.start), now);
        }
    }
}

fn walk(reader: &TableReader, staying: &AtomicU32, done: &AtomicBool) -> u32 {
    let mut walks = 0;
    let mut met = vec![false; STAYING as usize];
    while !done.load(Ordering::Relaxed) {
        let there = staying.load(Ordering::Acquire);
        met.fill(false);
        for (hash, counts) in reader.torrents() {
            let number = u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]);
            assert_eq!(hash, torrent(number), "made up");
            if number < there {
                assert_eq!((counts.leechers, counts.seeders), (1, 1), "torrent {number}");
                met[number as usize] = true;
            } else {
                assert!(number < STAYING || PASSING.contains(&number), "torrent {number}");
            }
        }
        let missing = met[..there as usize].iter().position(|met| !met);
        assert_eq!(missing, None, "of {there}");
        walks += 1;
    }
    walks
}

#[test]
fn a_torrent_that_stays_is_met_by_every_walk_beside_a_busy_writer() {
    let limits = Limits { max_torrents: 200_000, ..SMALL };
    let (mut writer, reader) = table_with(limits);
    let (staying, done) = (AtomicU32::new(0), AtomicBool::new(false));
    let walks = std::thread::scope(|scope| {
        let walker = scope.spawn(|| walk(&reader, &staying, &done));
        churn(&mut writer, &staying);
        done.store(true, Ordering::Relaxed);
        walker.join().expect("a walk met all it had to")
    });
    // One more, over the whole, in case there was one processor for both.
    done.store(false, Ordering::Relaxed);
    let torrents = reader.torrents().filter(|(hash, _)| *hash < torrent(STAYING)).count();
    assert_eq!(torrents, STAYING as usize, "{walks} walks before");
}
