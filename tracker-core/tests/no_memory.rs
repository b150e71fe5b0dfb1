//! A table whose memory runs out: what it has goes on, what is new is refused and counted, and when there is memory again it grows again.

mod swarm;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tracker_common::table::Family;
use tracker_common::wire::AnnounceKind;
use tracker_core::{Applied, HeapSegments, Millis, NoMemory, Segment, Segments, TableWriter};

use swarm::{HASH_KEY, SMALL, ask, event, peer, torrent};

/// Ordinary memory, but only so many segments.
#[derive(Debug)]
struct Ration {
    left: Arc<AtomicU32>,
}

impl Segments for Ration {
    fn root(&mut self) -> Result<Segment, NoMemory> {
        HeapSegments.root()
    }

    fn create(&mut self, number: u32, bucket_slot: Option<u32>) -> Result<Segment, NoMemory> {
        if self.left.load(Ordering::Relaxed) == 0 {
            return Err(NoMemory::new("the ration is used up"));
        }
        self.left.fetch_sub(1, Ordering::Relaxed);
        HeapSegments.create(number, bucket_slot)
    }
}

fn table(segments: u32) -> (TableWriter, Arc<AtomicU32>) {
    let left = Arc::new(AtomicU32::new(segments));
    let ration = Ration { left: Arc::clone(&left) };
    (TableWriter::new(SMALL, HASH_KEY, Box::new(ration)).expect("there is a segment"), left)
}

fn join(writer: &mut TableWriter, hash: u32, number: u32, now: Millis) -> Applied {
    writer.apply(&event(&torrent(hash), peer(Family::V4, number), AnnounceKind::Started, false), now)
}

#[test]
fn table_without_memory_for_buckets_cannot_start() {
    let ration = Ration { left: Arc::default() };
    let error = TableWriter::new(SMALL, HASH_KEY, Box::new(ration)).expect_err("there is none");
    assert!(error.to_string().contains("the ration is used up"), "{error}");
}

#[test]
fn index_that_cannot_grow_refuses_new_torrents_and_keeps_the_others() {
    // One segment of buckets, one of torrents.
    let (mut writer, left) = table(2);
    let mut now = Millis(1_000_000);
    let added: Vec<_> = (0..40).filter(|n| join(&mut writer, *n, 1, now) == Applied::Added).collect();
    // Two buckets of eight; how many find a place depends on their hashes.
    assert!((10..=16).contains(&added.len()), "{} torrents", added.len());
    assert_eq!(writer.totals().refused_memory, 40 - added.len() as u64);
    assert!(writer.take_failure().is_some_and(|failure| failure.to_string().contains("ration")));
    for torrent in &added {
        assert_eq!(join(&mut writer, *torrent, 1, now), Applied::Refreshed);
        assert_eq!(join(&mut writer, *torrent, 2, now), Applied::Added);
    }

    left.store(100, Ordering::Relaxed);
    // It isn't asked for with each announce: a while has to pass.
    now.0 += 200;
    for n in 0..40 {
        let expected = if added.contains(&n) { Applied::Refreshed } else { Applied::Added };
        assert_eq!(join(&mut writer, n, 1, now), expected, "torrent {n}");
    }
    let reader = writer.reader();
    for n in 0..40 {
        assert_eq!(
            ask(&reader, &torrent(n), peer(Family::V4, 3), false, 50, 1).peers.len(),
            1 + usize::from(added.contains(&n))
        );
    }
}

#[test]
fn torrent_that_cannot_have_lines_keeps_the_peers_of_its_record() {
    let (mut writer, left) = table(2);
    let mut now = Millis(1_000_000);
    let reader = writer.reader();
    for n in 0..3 {
        assert_eq!(join(&mut writer, 1, n, now), Applied::Added);
    }
    for n in 3..6 {
        assert_eq!(join(&mut writer, 1, n, now), Applied::RefusedMemory);
    }
    let completes = event(&torrent(1), peer(Family::V4, 0), AnnounceKind::Completed, true);
    assert_eq!(writer.apply(&completes, now), Applied::Refreshed);
    let counts = reader.scrape(&torrent(1));
    assert_eq!((counts.seeders, counts.leechers, counts.completed), (1, 2, 1));

    left.store(1, Ordering::Relaxed);
    now.0 += 200;
    for n in 3..1_000 {
        assert_eq!(join(&mut writer, 1, n, now), Applied::Added, "peer {n}");
    }
    // The segment of lines is the last: it has room for 8,191.
    for n in 1_000..100_000 {
        if join(&mut writer, 1, n, now) == Applied::RefusedMemory {
            let counts = reader.scrape(&torrent(1));
            assert_eq!(counts.seeders + counts.leechers, n);
            assert_eq!(join(&mut writer, 1, n - 1, now), Applied::Refreshed);
            return;
        }
    }
    panic!("8,191 lines had room for 100,000 peers");
}
