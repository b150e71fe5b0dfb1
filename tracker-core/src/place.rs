//! An index from info hashes to torrent numbers, as the writer changes it.
//!
//! Two buckets of eight slots for each torrent. When both are full, an entry of one of them is moved to its own second bucket, if need
//! be after another entry has been moved from there, and so on. An entry is copied before its old slot is overwritten, and only ever
//! moves from its first bucket to its second: a reader that looks into the first and then the second can't miss it.
//!
//! No two entries of a bucket have the same fingerprint: a reader takes what has the right one, without a second look.

use std::sync::atomic::Ordering;

use tracker_common::siphash::siphash_1_3_words;
use tracker_common::table::layout::{BUCKET_SLOTS, Index, Place, slot, slot_fingerprint, slot_torrent};

use crate::memory::{Memory, Words, load};

/// Buckets looked at for a chain of moves. Filling an index to 15/16 needs a few dozen at the very end.
const MAX_SEARCH: usize = 512;

/// A slot of the index.
#[derive(Clone, Copy, Debug)]
struct SlotAt {
    bucket: u32,
    index: usize,
}

/// The keyed hash of an info hash, given as words.
#[inline(always)]
pub(crate) fn hash(memory: &Memory, info_hash: [u64; 3]) -> u64 {
    siphash_1_3_words(memory.hash_key(), info_hash)
}

/// The words of a torrent's record that its info hash is in.
#[inline(always)]
pub(crate) fn info_hash(record: &Words) -> [u64; 3] {
    let word = |index: usize| record[index].load(Ordering::Relaxed);
    [word(0), word(1), word(2) & 0xffff_ffff]
}

/// The number of a torrent.
#[inline(always)]
pub(crate) fn find(memory: &Memory, index: Index, place: Place, wanted: [u64; 3]) -> Option<u32> {
    [place.first, place.second].into_iter().find_map(|bucket| {
        let number = candidate(memory, index, bucket, place.fingerprint)?;
        (info_hash(memory.words(number)) == wanted).then_some(number)
    })
}

/// The number of the entry in a bucket that has the fingerprint.
#[inline(always)]
pub(crate) fn candidate(memory: &Memory, index: Index, bucket: u32, fingerprint: u32) -> Option<u32> {
    let words = load(words(memory, index, bucket));
    words.into_iter().find(|entry| slot_fingerprint(*entry) == fingerprint).map(slot_torrent)
}

/// Enters a torrent whose record is complete, unless it is there; false when no slot could be made free.
pub(crate) fn insert(memory: &Memory, index: Index, place: Place, number: u32) -> bool {
    let entry = slot(place.fingerprint, number);
    let mut free = None;
    for bucket in [place.first, place.second] {
        match room(memory, index, bucket, entry) {
            Room::There => return true,
            Room::Free(at) if free.is_none() => free = Some(at),
            Room::Free(_) | Room::None => {}
        }
    }
    let free = free.or_else(|| make_room(memory, index, place));
    if let Some(at) = free {
        store(memory, index, at, entry);
    }
    free.is_some()
}

/// Takes a torrent out, if it is there.
pub(crate) fn remove(memory: &Memory, index: Index, place: Place, number: u32) {
    let entry = slot(place.fingerprint, number);
    for bucket in [place.first, place.second] {
        if let Some(at) = load(words(memory, index, bucket)).iter().position(|word| *word == entry) {
            store(memory, index, SlotAt { bucket, index: at }, 0);
        }
    }
}

#[inline(always)]
fn words(memory: &Memory, index: Index, bucket: u32) -> &Words {
    memory.bucket_words(index.first + bucket)
}

fn store(memory: &Memory, index: Index, at: SlotAt, entry: u64) {
    // Release: pairs with the reader's fence after it loads a slot, so that it finds the record complete and, where an entry was
    // moved, the copy in its second bucket.
    words(memory, index, at.bucket)[at.index].store(entry, Ordering::Release);
}

/// What a bucket offers to an entry.
enum Room {
    /// The entry is there.
    There,
    Free(SlotAt),
    /// It is full, or has another torrent's entry of the same fingerprint.
    None,
}

fn room(memory: &Memory, index: Index, bucket: u32, entry: u64) -> Room {
    let mut free = None;
    for (index, word) in load(words(memory, index, bucket)).into_iter().enumerate() {
        if word == entry {
            return Room::There;
        }
        if slot_fingerprint(word) == slot_fingerprint(entry) {
            return Room::None;
        }
        if word == 0 && free.is_none() {
            free = Some(SlotAt { bucket, index });
        }
    }
    free.map_or(Room::None, Room::Free)
}

/// Moves entries on until a slot in one of two full buckets may be overwritten: the shortest chain, breadth first.
#[cold]
fn make_room(memory: &Memory, index: Index, place: Place) -> Option<SlotAt> {
    struct Step {
        bucket: u32,
        /// The entry that has to leave for this bucket, and the step that its bucket is in; none for the two first.
        from: Option<(usize, SlotAt)>,
    }
    let entry_at = |at: SlotAt| words(memory, index, at.bucket)[at.index].load(Ordering::Relaxed);
    let mut steps = Vec::with_capacity(32);
    for bucket in [place.first, place.second] {
        // A bucket with the same fingerprint is no place for it, with or without a free slot.
        let taken = candidate(memory, index, bucket, place.fingerprint).is_some();
        if !taken && steps.iter().all(|step: &Step| step.bucket != bucket) {
            steps.push(Step { bucket, from: None });
        }
    }
    let mut at = 0;
    while at < steps.len() && steps.len() < MAX_SEARCH {
        let bucket = steps[at].bucket;
        for slot in 0..BUCKET_SLOTS {
            let leaves = SlotAt { bucket, index: slot };
            let entry = entry_at(leaves);
            let its_hash = hash(memory, info_hash(memory.words(slot_torrent(entry))));
            let its = Place::of(its_hash, index.buckets);
            if its.first != bucket || steps.iter().any(|step| step.bucket == its.second) {
                continue;
            }
            if let Room::Free(mut free) = room(memory, index, its.second, entry) {
                // The chain from its end: each copy makes the slot before it free.
                let (mut step, mut leaves) = (at, leaves);
                loop {
                    store(memory, index, free, entry_at(leaves));
                    free = leaves;
                    match steps[step].from {
                        Some((before, slot)) => (step, leaves) = (before, slot),
                        None => return Some(free),
                    }
                }
            }
            steps.push(Step { bucket: its.second, from: Some((at, leaves)) });
        }
        at += 1;
    }
    None
}
