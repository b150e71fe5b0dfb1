//! An index from info hashes to torrent numbers, as the writer changes it.
//!
//! Two buckets of eight slots for each torrent. When both are full, an entry of one of them is moved to its own second bucket, if need
//! be after another entry has been moved from there, and so on. An entry is copied before its old slot is overwritten, and only ever
//! moves from its first bucket to its second: a reader that looks into the first and then the second can't miss it.
//!
//! No two entries of a bucket have the same fingerprint: a reader takes what has the right one, without a second look.

use std::sync::atomic::Ordering;

use tracker_common::siphash::siphash_1_3_words;
use tracker_common::table::layout::{
    BUCKET_SLOTS, Index, Place, other_bucket, slot, slot_fingerprint, slot_torrent,
};

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
    // Without a branch for each slot: at most one has the fingerprint, and no number is 0.
    let number = load(words(memory, index, bucket)).into_iter().fold(0, |number, entry| {
        number | if slot_fingerprint(entry) == fingerprint { slot_torrent(entry) } else { 0 }
    });
    (number != 0).then_some(number)
}

/// Enters a torrent that isn't there and whose record is complete; false when no slot could be made free.
pub(crate) fn insert(memory: &Memory, index: Index, place: Place, number: u32) -> bool {
    let entry = slot(place.fingerprint, number);
    let free = room(memory, index, place.first, entry)
        .or_else(|| room(memory, index, place.second, entry))
        .or_else(|| make_room(memory, index, place));
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

/// Loads a word of a bucket, so that it is in the cache.
#[inline(always)]
pub(crate) fn first_word(memory: &Memory, index: Index, bucket: u32) -> u64 {
    words(memory, index, bucket)[0].load(Ordering::Relaxed)
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

/// A slot of a bucket that an entry may be put into, unless the bucket is full or has another torrent's entry of the same fingerprint.
#[inline(always)]
fn room(memory: &Memory, index: Index, bucket: u32, entry: u64) -> Option<SlotAt> {
    let entries = load(words(memory, index, bucket));
    // Both without a branch for each slot.
    let same = entries
        .iter()
        .fold(false, |same, other| same | (slot_fingerprint(*other) == slot_fingerprint(entry)));
    let free =
        entries.iter().zip(0u32..).fold(0, |free, (other, slot)| free | u32::from(*other == 0) << slot);
    (!same && free != 0).then(|| SlotAt { bucket, index: free.trailing_zeros() as usize })
}

/// Makes a slot of two full buckets free.
#[cold]
fn make_room(memory: &Memory, index: Index, place: Place) -> Option<SlotAt> {
    let fit = |bucket: &u32| candidate(memory, index, *bucket, place.fingerprint).is_none();
    // A bucket with the same fingerprint is no place for it, with or without a free slot.
    let mut buckets: Vec<_> = [place.first, place.second].into_iter().filter(fit).collect();
    buckets.dedup();
    buckets
        .iter()
        .find_map(|bucket| make_room_in(memory, index, *bucket))
        .or_else(|| make_room_by_a_chain(memory, index, &buckets))
}

/// Moves an entry of a bucket to its second one. Nearly always there is such an entry, so this looks for it with few loads: most buckets are not
/// full, and only an entry that could be moved has to show which bucket is its first.
fn make_room_in(memory: &Memory, index: Index, bucket: u32) -> Option<SlotAt> {
    let entries = load(words(memory, index, bucket));
    let other = |entry: u64| other_bucket(bucket, slot_fingerprint(entry), index.buckets);
    // All at the same time.
    std::hint::black_box(entries.iter().fold(0, |sum, entry| sum ^ first_word(memory, index, other(*entry))));
    entries.into_iter().enumerate().find_map(|(slot, entry)| {
        let other = other(entry);
        let free = room(memory, index, other, entry)?;
        let moves = other != bucket && place_of_entry(memory, index, entry).first == bucket;
        moves.then(|| {
            store(memory, index, free, entry);
            SlotAt { bucket, index: slot }
        })
    })
}

fn place_of_entry(memory: &Memory, index: Index, entry: u64) -> Place {
    Place::of(hash(memory, info_hash(memory.words(slot_torrent(entry)))), index.buckets)
}

/// Moves entries on until a slot in one of some full buckets may be overwritten: the shortest chain, breadth first.
fn make_room_by_a_chain(memory: &Memory, index: Index, buckets: &[u32]) -> Option<SlotAt> {
    struct Step {
        bucket: u32,
        /// The entry that has to leave for this bucket, and the step that its bucket is in; none for the two first.
        from: Option<(usize, SlotAt)>,
    }
    let entry_at = |at: SlotAt| words(memory, index, at.bucket)[at.index].load(Ordering::Relaxed);
    let mut steps: Vec<_> = buckets.iter().map(|bucket| Step { bucket: *bucket, from: None }).collect();
    let mut at = 0;
    while at < steps.len() && steps.len() < MAX_SEARCH {
        let bucket = steps[at].bucket;
        for slot in 0..BUCKET_SLOTS {
            let leaves = SlotAt { bucket, index: slot };
            let entry = entry_at(leaves);
            let its = place_of_entry(memory, index, entry);
            if its.first != bucket || steps.iter().any(|step| step.bucket == its.second) {
                continue;
            }
            if let Some(mut free) = room(memory, index, its.second, entry) {
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
