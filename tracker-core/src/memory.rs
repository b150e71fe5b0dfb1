//! The swarm table's records in ordinary memory: what the layouts of `tracker_common::table` live in when no kernel shares them.
//!
//! The writer stores through the crate-private methods here, readers load through [`TableMemory`]. Everything is an `AtomicU64`: a
//! record's words are loaded and stored whole, and the compiler may not reorder them across the fences that the protocol names.
//!
//! All of it is zeroed memory that the allocator takes straight from the kernel: a page that was never written costs nothing, so a
//! table for a million torrents is a few hundred kilobytes until they come.

use std::sync::atomic::{AtomicU64, Ordering, fence};

use tracker_common::siphash::SipKey;
use tracker_common::table::layout::{RECORD_BYTES, WORDS, buckets_for};
use tracker_common::table::{Record, TableMemory};

use crate::stats::{Published, Totals};
use crate::writer::Limits;

/// The table's records, its generation, and the writer's totals.
#[derive(Debug)]
pub(crate) struct Memory {
    buckets: Records,
    torrents: Records,
    lines: Records,
    bucket_count: u32,
    hash_key: SipKey,
    generation: AtomicU64,
    totals: Published,
}

/// There is no room for a table of this size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "no memory for a swarm table of {max_torrents} torrents and {max_peers} peers; lower max_torrents or max_peers, or allow overcommit (vm.overcommit_memory = 0 or 1)"
)]
pub struct OutOfMemory {
    max_torrents: u32,
    max_peers: u32,
}

impl OutOfMemory {
    pub(crate) fn of(limits: &Limits) -> Self {
        Self { max_torrents: limits.max_torrents, max_peers: limits.max_peers }
    }
}

impl Memory {
    pub(crate) fn new(limits: &Limits, hash_key: SipKey) -> Result<Self, OutOfMemory> {
        let bucket_count = buckets_for(limits.max_torrents);
        let allocate = |records: u32| Records::new(records).ok_or(OutOfMemory::of(limits));
        Ok(Self {
            buckets: allocate(bucket_count)?,
            torrents: allocate(limits.torrent_records())?,
            lines: allocate(limits.line_records())?,
            bucket_count,
            hash_key,
            generation: AtomicU64::new(0),
            totals: Published::default(),
        })
    }

    pub(crate) fn hash_key(&self) -> &SipKey {
        &self.hash_key
    }

    pub(crate) fn bucket_count(&self) -> u32 {
        self.bucket_count
    }

    pub(crate) fn bucket_words(&self, number: u32) -> &Words {
        self.buckets.existing(number)
    }

    pub(crate) fn torrent_words(&self, number: u32) -> &Words {
        self.torrents.existing(number)
    }

    pub(crate) fn line_words(&self, number: u32) -> &Words {
        self.lines.existing(number)
    }

    /// Begins a generation. All that was freed before is unreachable for readers that see it begin.
    pub(crate) fn begin_generation(&self, generation: u64) {
        // Release: a reader that loads this value (and then fences) sees all earlier changes of torrents.
        self.generation.store(generation, Ordering::Release);
        // A reader that sees a word stored after this fence, then fences, sees this generation: it knows that its lines are not its own
        // any more.
        fence(Ordering::Release);
    }

    pub(crate) fn publish(&self, totals: &Totals) {
        self.totals.publish(totals);
    }

    pub(crate) fn totals(&self) -> Totals {
        self.totals.load()
    }
}

/// A record's words, as the writer sees them.
pub(crate) type Words = [AtomicU64; WORDS];

/// Loads all words; only the writer may, since nobody else changes them meanwhile.
pub(crate) fn load(words: &Words) -> [u64; WORDS] {
    let mut copy = [0; WORDS];
    for (to, from) in copy.iter_mut().zip(words) {
        *to = from.load(Ordering::Relaxed);
    }
    copy
}

/// Records of 64 bytes, each in a cache line of its own.
#[derive(Debug)]
struct Records {
    words: Box<[AtomicU64]>,
    first: usize,
}

impl Records {
    fn new(records: u32) -> Option<Self> {
        // Room to move the first record to the start of a cache line. (An allocation aligned to 64 bytes would be zeroed by hand, page
        // by page.)
        let words = (records as usize).checked_mul(WORDS)?.checked_add(WORDS - 1)?;
        let words = bytemuck::allocation::try_zeroed_slice_box::<AtomicU64>(words).ok()?;
        let first = words.as_ptr().align_offset(RECORD_BYTES).min(WORDS - 1);
        Some(Self { words, first })
    }

    fn record(&self, number: u32) -> Option<&Words> {
        self.words.get(self.first..)?.as_chunks::<WORDS>().0.get(number as usize)
    }

    fn existing(&self, number: u32) -> &Words {
        self.record(number).expect("numbers are handed out below the capacity that the records were made for")
    }
}

/// A record as readers see it.
#[derive(Clone, Copy, Debug)]
pub struct Shared<'a>(&'a Words);

impl Record for Shared<'_> {
    #[inline(always)]
    fn word(self, index: usize) -> u64 {
        // Relaxed: ordered by `TableMemory::acquire`, which pairs with the writer's release stores and fences.
        self.0[index % WORDS].load(Ordering::Relaxed)
    }
}

impl<'a> TableMemory for &'a Memory {
    type Record = Shared<'a>;

    #[inline(always)]
    fn bucket(&self, number: u32) -> Option<Shared<'a>> {
        self.buckets.record(number).map(Shared)
    }

    #[inline(always)]
    fn torrent(&self, number: u32) -> Option<Shared<'a>> {
        self.torrents.record(number).map(Shared)
    }

    #[inline(always)]
    fn line(&self, number: u32) -> Option<Shared<'a>> {
        self.lines.record(number).map(Shared)
    }

    #[inline(always)]
    fn bucket_count(&self) -> u32 {
        self.bucket_count
    }

    #[inline(always)]
    fn hash_key(&self) -> SipKey {
        self.hash_key
    }

    #[inline(always)]
    fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    #[inline(always)]
    fn acquire(&self) {
        fence(Ordering::Acquire);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_begin_at_cache_lines() {
        for count in [1, 2, 100, 1 << 16] {
            let records = Records::new(count).unwrap();
            for number in [0, count / 2, count - 1] {
                let address = std::ptr::from_ref(records.record(number).unwrap()).addr();
                assert_eq!(address % RECORD_BYTES, 0, "record {number} of {count}");
            }
            assert!(records.record(count).is_none(), "{count} records");
        }
    }
}
