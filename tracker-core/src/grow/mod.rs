//! The index as a whole: the one in use, its successor while it is filled, and those before it, at rest.
//!
//! An index doesn't grow: a larger one is made beside it. Segment by segment it gets its buckets; then all torrents are entered, some with each
//! new torrent and some in idle time, while every change of those goes to both; then one store moves all readers over. The old one rests
//! until no reader can know it, is emptied, and its segments are used for records.
//!
//! ```text
//!  torrents  ──────────────────────────────────────►
//!  index     |■■■■■■■ 8,192 ■■■■■■■|▒ rests ▒| its segment becomes one for records
//!  successor           |▒ filled ▒|■■■■■■■■■ 16,384 ■■■■■■■■■ …
//! ```
//!
//! - `size`: how large an index is, and when the next one is made.

mod size;

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::{Ordering, fence};

use tracker_common::table::layout::{Index, Kind, Place, SEGMENT_SHIFT, Torrent};

use crate::memory::{Memory, load};
use crate::numbers::Numbers;
use crate::place;
use crate::pool::Pool;

pub(crate) use size::segments_for;
use size::{capacity, first_buckets, larger, late, segments_of};

/// Torrents looked at together when an index is filled: their buckets are fetched from memory at the same time.
const GROUP: usize = 64;

/// Where torrents are found by their info hashes.
#[derive(Debug)]
pub(crate) struct Buckets {
    current: Held,
    next: Option<Successor>,
    /// Buckets that the next successor is to have at least.
    wanted: u32,
    old: VecDeque<Old>,
    /// Slots of the bucket space that were never used.
    slots: Range<u32>,
}

/// An index, and the segments it is in.
#[derive(Debug)]
struct Held {
    index: Index,
    segments: Vec<u32>,
}

/// An index that is being made.
#[derive(Debug)]
struct Successor {
    held: Held,
    /// Torrents below this position are in it.
    position: u32,
}

/// Segments of an index that readers have left, since a time in milliseconds.
#[derive(Debug)]
struct Old {
    segments: Vec<u32>,
    since: u64,
}

/// How long an old index rests, in milliseconds. Not for safety: what a reader finds in a bucket is only a guess, which the torrent's record confirms.
/// But it would miss a torrent in a bucket that is being emptied. In the kernel a look-up takes microseconds, and in user space a reader
/// that was held up longer notices that the index has moved, and looks again (`reader`).
const REST_MS: u64 = 32;

impl Old {
    fn has_rested(&self, now: u64) -> bool {
        now >= self.since + REST_MS
    }
}

/// What the work on the index needs of the table.
pub(crate) struct Table<'a> {
    pub(crate) memory: &'a Memory,
    pub(crate) pool: &'a mut Pool,
    pub(crate) torrents: &'a Numbers,
    pub(crate) generation: u64,
    /// Milliseconds.
    pub(crate) now: u64,
}

impl Buckets {
    /// An empty index of `first` buckets, shown to readers; `None` when there is no memory.
    pub(crate) fn new(memory: &Memory, pool: &mut Pool, first: u32, slots: u32) -> Option<Self> {
        let mut slots = 0..slots;
        let mut current = reserve(&mut slots, first_buckets(first))?;
        while !current.is_complete() {
            let slot = current.next_slot();
            current.segments.push(pool.take_for_buckets(memory, slot, 0)?);
        }
        if !pool.settle() {
            return None;
        }
        memory.publish_index(current.index);
        let wanted = larger(current.index.buckets);
        Some(Self { current, next: None, wanted, old: VecDeque::new(), slots })
    }

    /// The index that readers use.
    #[inline(always)]
    pub(crate) fn index(&self) -> Index {
        self.current.index
    }

    /// Enters a torrent whose record is complete; false when there is no room for it at this time.
    pub(crate) fn enter(&mut self, table: &mut Table<'_>, hash: u64, number: u32) -> bool {
        // Only a small index, or one that there was no memory to replace, is too full for a torrent.
        let mut patience = RUSH;
        let index = self.current.index;
        while !place::insert(table.memory, index, Place::of(hash, index.buckets), number) {
            self.begin();
            let spent = if patience > 0 { self.work(table, patience, Pace::Rush) } else { 0 };
            if self.current.index != index {
                // It was entered with all others.
                return true;
            }
            if spent == 0 {
                return false;
            }
            patience = patience.saturating_sub(spent);
        }
        if let Some(index) = self.successor_with(table.torrents, number)
            && !place::insert(table.memory, index, Place::of(hash, index.buckets), number)
        {
            self.abandon(table.now);
        }
        true
    }

    /// Takes a torrent out.
    pub(crate) fn remove(&mut self, memory: &Memory, torrents: &Numbers, hash: u64, number: u32) {
        let indexes = [Some(self.current.index), self.successor_with(torrents, number)];
        for index in indexes.into_iter().flatten() {
            place::remove(memory, index, Place::of(hash, index.buckets), number);
        }
    }

    /// The successor, if it has been filled with the torrents up to this one. (The others it gets when it comes to them.)
    fn successor_with(&self, torrents: &Numbers, number: u32) -> Option<Index> {
        let next = self.next.as_ref()?;
        (torrents.position(number) < next.position).then_some(next.held.index)
    }

    /// True when there is something to do: [`Buckets::work`].
    pub(crate) fn is_busy(&self, torrents: u64, now: u64) -> bool {
        self.next.is_some()
            || torrents > capacity(self.current.index.buckets)
            || self.old.front().is_some_and(|old| old.has_rested(now))
    }

    /// Makes a successor if the index is full, goes on with it, or with emptying an old one. The work spent, which is at most `budget` and a
    /// segment's.
    pub(crate) fn tend(&mut self, table: &mut Table<'_>, torrents: u64, budget: u32) -> u32 {
        if self.next.is_none() && torrents > capacity(self.current.index.buckets) {
            self.begin();
        }
        let makes_segments = self.next.as_ref().is_some_and(|next| !next.held.is_complete());
        let is_late = makes_segments && torrents > late(self.current.index.buckets);
        self.work(table, budget, if is_late { Pace::Rush } else { Pace::Idle })
    }

    /// Begins a successor, unless there is one or the bucket space is used up.
    fn begin(&mut self) {
        if self.next.is_none() {
            let buckets = self.wanted.max(larger(self.current.index.buckets));
            self.next = reserve(&mut self.slots, buckets).map(|held| Successor { held, position: 0 });
        }
    }

    fn work(&mut self, table: &mut Table<'_>, budget: u32, pace: Pace) -> u32 {
        if pace == Pace::Idle && self.old.front().is_some_and(|old| old.has_rested(table.now)) {
            self.empty_one(table);
            return SEGMENT_WORK;
        }
        let Some(next) = &mut self.next else { return 0 };
        if !next.held.is_complete() {
            if pace == Pace::Idle && !table.pool.is_at_hand() {
                return 0;
            }
            let slot = next.held.next_slot();
            let segment = table.pool.take_for_buckets(table.memory, slot, table.generation);
            next.held.segments.extend(segment);
            return if segment.is_some() { SEGMENT_WORK } else { 0 };
        }
        let mut spent = 0;
        while spent < budget.max(1) {
            let group = next.position..table.torrents.high_water().min(next.position + GROUP as u32);
            if group.is_empty() {
                self.switch(table);
                return spent + 1;
            }
            next.position = group.end;
            spent += group.len() as u32;
            if !fill(table, next.held.index, group) {
                self.abandon(table.now);
                return spent;
            }
        }
        spent
    }

    /// Moves readers to the successor.
    fn switch(&mut self, table: &mut Table<'_>) {
        if !table.pool.settle() {
            self.abandon(table.now);
            return;
        }
        if let Some(next) = self.next.take() {
            table.memory.publish_index(next.held.index);
            self.wanted = larger(next.held.index.buckets);
            let old = std::mem::replace(&mut self.current, next.held);
            self.old.push_back(Old { segments: old.segments, since: table.now });
        }
    }

    /// Gives a successor up that a torrent found no place in. The next one will be larger.
    fn abandon(&mut self, now: u64) {
        if let Some(next) = self.next.take() {
            self.wanted = larger(next.held.index.buckets);
            self.old.push_back(Old { segments: next.held.segments, since: now });
        }
    }

    /// Empties one segment of an old index.
    fn empty_one(&mut self, table: &mut Table<'_>) {
        let Some(old) = self.old.front_mut() else { return };
        // A reader that sees an emptied bucket, then fences, sees that the index has moved.
        fence(Ordering::Release);
        if let Some(segment) = old.segments.pop() {
            for number in segment << SEGMENT_SHIFT..(segment + 1) << SEGMENT_SHIFT {
                for word in table.memory.words(number) {
                    // Relaxed: who finds a record here later has loaded its number from a word that was stored with release.
                    word.store(0, Ordering::Relaxed);
                }
            }
            table.pool.give(segment);
        }
        if old.segments.is_empty() {
            self.old.pop_front();
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Pace {
    /// The index has room left: a segment that isn't at hand comes later, and an old index is emptied.
    Idle,
    /// A torrent has no room, or the next ones won't have: nothing else matters.
    Rush,
}

/// Work of making or emptying a segment, in torrents entered: some 100 µs.
const SEGMENT_WORK: u32 = 1024;

/// Work done at once for a torrent that found no room: a fraction of a millisecond, and enough to replace a small index.
const RUSH: u32 = 4 * SEGMENT_WORK;

impl Held {
    fn is_complete(&self) -> bool {
        self.segments.len() as u32 == segments_of(self.index.buckets)
    }

    fn next_slot(&self) -> u32 {
        (self.index.first >> SEGMENT_SHIFT) + self.segments.len() as u32
    }
}

/// Takes slots of the bucket space for an index; `None` when there are too few left.
fn reserve(slots: &mut Range<u32>, buckets: u32) -> Option<Held> {
    let after = slots.start + segments_of(buckets);
    let index = Index { first: slots.start << SEGMENT_SHIFT, buckets };
    (after <= slots.end).then(|| {
        slots.start = after;
        Held { index, segments: Vec::new() }
    })
}

/// Enters the torrents at some positions, [`GROUP`] at most, into an index; false when one found no place.
fn fill(table: &Table<'_>, index: Index, positions: Range<u32>) -> bool {
    let mut entries = [(Place { first: 0, second: 0, fingerprint: 0 }, 0); GROUP];
    let mut len = 0;
    for position in positions {
        let number = table.torrents.at(position);
        let record = load(table.memory.words(number));
        if Torrent::from_words(&record).kind != Kind::Free {
            let hash = place::hash(table.memory, [record[0], record[1], record[2] & 0xffff_ffff]);
            entries[len] = (Place::of(hash, index.buckets), number);
            len += 1;
        }
    }
    // Loads that don't wait for each other: the buckets are fetched at the same time.
    let fetched = entries[..len]
        .iter()
        .fold(0, |sum, (place, _)| sum ^ place::first_word(table.memory, index, place.first));
    std::hint::black_box(fetched);
    entries[..len].iter().all(|(place, number)| place::insert(table.memory, index, *place, *number))
}
