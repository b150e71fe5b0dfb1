//! The swarm table's records: the root, and the segments behind two spaces of numbers.
//!
//! What a word means is in `tracker_common::table::layout`. The writer stores through the crate-private methods here, readers load through
//! [`TableMemory`]. Everything is an `AtomicU64`: a record's words are loaded and stored whole, and the compiler may not reorder them
//! across the fences that the protocol names.
//!
//! ```text
//!  segments    | 0: set | 1: set | 2: set | 3: – | …    each is set once, and stays
//!                  │        ▲        │
//!                  │        │        └─► records 2 << 13 … : torrents or lines
//!                  └────────┼──────────► records 0 << 13 … : torrents or lines
//!  slots       | 2 | – | …  │                              (segment + 1; 0 = none)
//!                └──────────┘            segment 1 holds buckets
//! ```

mod segment;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence};

use tracker_common::siphash::SipKey;
use tracker_common::table::layout::{Index, SEGMENT_RECORDS, SEGMENT_SHIFT, WORDS, root};
use tracker_common::table::{Record, TableMemory};

use crate::limits::Limits;
use crate::stats::{Published, Totals};

pub use segment::{HeapRecords, HeapSegments, NoMemory, Segment, Segments, Words};

/// The table's records, and the writer's totals.
#[derive(Debug)]
pub(crate) struct Memory {
    root: Segment,
    segments: Box<[OnceLock<Segment>]>,
    slots: Box<[AtomicU32]>,
    /// Which segments are for torrents. Only walks over all of them ask.
    for_torrents: Box<[AtomicBool]>,
    hash_key: SipKey,
    totals: Published,
}

/// There is no memory for an empty table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the swarm table can't start: {0}")]
pub struct OutOfMemory(#[from] pub NoMemory);

impl Memory {
    /// A table without segments.
    pub(crate) fn new(limits: &Limits, hash_key: SipKey, root_record: Segment) -> Result<Self, NoMemory> {
        let memory = Self {
            root: root_record,
            segments: empty(limits.segments())?,
            slots: empty(limits.bucket_slots())?,
            for_torrents: empty(limits.segments())?,
            hash_key,
            totals: Published::default(),
        };
        let words = memory.root.record(0).ok_or_else(|| NoMemory::new("the root has no record"))?;
        // Relaxed: the table has no readers yet.
        for (index, half) in [root::KEY, root::KEY + 1].into_iter().zip([hash_key.k0, hash_key.k1]) {
            words[index].store(half, Ordering::Relaxed);
        }
        Ok(memory)
    }

    /// Shows a new segment to readers of the record space, and of the bucket space if it is to hold buckets. False when it is too
    /// small, or the number was used before.
    pub(crate) fn show(&self, number: u32, segment: Segment, slot: Option<u32>) -> bool {
        let large_enough = segment.record(SEGMENT_RECORDS - 1).is_some();
        let Some(place) = self.segments.get(number as usize).filter(|_| large_enough) else { return false };
        let shown = place.set(segment).is_ok();
        if let Some(slot) = slot.and_then(|slot| self.slots.get(slot as usize)) {
            // Relaxed: no index leads here before it is published.
            slot.store(number + 1, Ordering::Relaxed);
        }
        shown
    }

    /// Says that an empty segment will hold torrents from now on, and nothing else ever again.
    pub(crate) fn use_for_torrents(&self, segment: u32) {
        if let Some(of_segment) = self.for_torrents.get(segment as usize) {
            // Release: pairs with the load below, so that who walks over the segment finds it emptied of what it held before.
            of_segment.store(true, Ordering::Release);
        }
    }

    /// Whether a segment holds torrents; `None` behind the last.
    #[inline(always)]
    pub(crate) fn is_for_torrents(&self, segment: u32) -> Option<bool> {
        Some(self.for_torrents.get(segment as usize)?.load(Ordering::Acquire))
    }

    pub(crate) fn hash_key(&self) -> &SipKey {
        &self.hash_key
    }

    /// A torrent, line or directory that the writer has the number of.
    #[inline(always)]
    pub(crate) fn words(&self, number: u32) -> &Words {
        self.find_record(number).expect("numbers are handed out in segments that were shown")
    }

    /// A bucket of an index that the writer has made.
    #[inline(always)]
    pub(crate) fn bucket_words(&self, number: u32) -> &Words {
        self.find_bucket(number).expect("an index lies in slots that were shown")
    }

    /// Moves readers to another index, whose buckets are complete.
    pub(crate) fn publish_index(&self, index: Index) {
        // Release: pairs with the reader's fence after it loads the word, so that it finds the buckets and the segments complete.
        self.root_word(root::INDEX).store(index.word(), Ordering::Release);
    }

    /// Begins a generation. All that was freed before is unreachable for readers that see it begin.
    pub(crate) fn begin_generation(&self, generation: u64) {
        // Release: a reader that loads this value (and then fences) sees all earlier changes of torrents.
        self.root_word(root::GENERATION).store(generation, Ordering::Release);
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

    #[inline(always)]
    fn find_record(&self, number: u32) -> Option<&Words> {
        self.segments.get((number >> SEGMENT_SHIFT) as usize)?.get()?.record(number & (SEGMENT_RECORDS - 1))
    }

    #[inline(always)]
    fn find_bucket(&self, number: u32) -> Option<&Words> {
        let slot = self.slots.get((number >> SEGMENT_SHIFT) as usize)?;
        let segment = slot.load(Ordering::Relaxed).checked_sub(1)?;
        self.segments.get(segment as usize)?.get()?.record(number & (SEGMENT_RECORDS - 1))
    }

    #[inline(always)]
    fn root_word(&self, index: usize) -> &AtomicU64 {
        &self.root.record(0).expect("looked for when the table was made")[index]
    }
}

/// Places to be filled later, fallibly allocated.
fn empty<T: Default>(count: u32) -> Result<Box<[T]>, NoMemory> {
    let mut places = Vec::new();
    places.try_reserve_exact(count as usize).map_err(|error| NoMemory::new(error.to_string()))?;
    places.extend((0..count).map(|_| T::default()));
    Ok(places.into_boxed_slice())
}

/// Loads all words; only the writer may, since nobody else changes them meanwhile.
#[inline(always)]
pub(crate) fn load(words: &Words) -> [u64; WORDS] {
    let mut copy = [0; WORDS];
    for (to, from) in copy.iter_mut().zip(words) {
        *to = from.load(Ordering::Relaxed);
    }
    copy
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
    fn root(&self) -> (Index, SipKey) {
        (Index::from_word(self.root_word(root::INDEX).load(Ordering::Acquire)), self.hash_key)
    }

    #[inline(always)]
    fn bucket(&self, number: u32) -> Option<Shared<'a>> {
        self.find_bucket(number).map(Shared)
    }

    #[inline(always)]
    fn record(&self, number: u32) -> Option<Shared<'a>> {
        self.find_record(number).map(Shared)
    }

    #[inline(always)]
    fn generation(&self) -> u64 {
        self.root_word(root::GENERATION).load(Ordering::Acquire)
    }

    #[inline(always)]
    fn acquire(&self) {
        fence(Ordering::Acquire);
    }
}
