//! The index from info hashes to torrent numbers, as the writer changes it.
//!
//! Two buckets of eight slots for each torrent. When both are full, an entry of one of them is moved to its own second bucket, if need
//! be after another entry has been moved from there, and so on. An entry is copied before its old slot is overwritten, and only ever
//! moves from its first bucket to its second: a reader that looks into the first and then the second can't miss it.

use std::sync::atomic::Ordering;

use tracker_common::siphash::siphash_1_3_20;
use tracker_common::table::layout::{
    BUCKET_SLOTS, Place, Torrent, hash_words, slot, slot_fingerprint, slot_torrent,
};
use tracker_common::wire::InfoHash;

use crate::memory::{Memory, load};

/// Buckets looked at for a chain of moves. Filling a table to its capacity needs a few dozen at the very end.
const MAX_SEARCH: usize = 512;

/// A slot of the index.
#[derive(Clone, Copy, Debug)]
struct SlotAt {
    bucket: u32,
    index: usize,
}

/// The places that an info hash may be in.
pub(crate) fn place_of(memory: &Memory, info_hash: &InfoHash) -> Place {
    Place::of(siphash_1_3_20(memory.hash_key(), info_hash), memory.bucket_count())
}

/// The number of a torrent.
pub(crate) fn find(memory: &Memory, info_hash: &InfoHash) -> Option<u32> {
    find_slot(memory, info_hash).map(|(_, number)| number)
}

fn find_slot(memory: &Memory, info_hash: &InfoHash) -> Option<(SlotAt, u32)> {
    let place = place_of(memory, info_hash);
    let wanted = hash_words(info_hash);
    for bucket in [place.first, place.second] {
        for (index, word) in memory.bucket_words(bucket).iter().enumerate() {
            let entry = word.load(Ordering::Relaxed);
            if slot_fingerprint(entry) == place.fingerprint {
                let [w0, w1, w2, ..] = load(memory.torrent_words(slot_torrent(entry)));
                if [w0, w1, w2 & 0xffff_ffff] == wanted {
                    return Some((SlotAt { bucket, index }, slot_torrent(entry)));
                }
            }
        }
    }
    None
}

/// Enters a torrent whose record is complete; false when no slot could be made free.
pub(crate) fn insert(memory: &Memory, info_hash: &InfoHash, number: u32) -> bool {
    let place = place_of(memory, info_hash);
    let entry = slot(place.fingerprint, number);
    let free = empty_slot(memory, place.first)
        .or_else(|| empty_slot(memory, place.second))
        .or_else(|| make_room(memory, place));
    if let Some(at) = free {
        store(memory, at, entry);
    }
    free.is_some()
}

/// Takes a torrent out.
pub(crate) fn remove(memory: &Memory, info_hash: &InfoHash) {
    if let Some((at, _)) = find_slot(memory, info_hash) {
        store(memory, at, 0);
    }
}

fn store(memory: &Memory, at: SlotAt, entry: u64) {
    // Release: pairs with the reader's fence after it loads a slot, so that it finds the record complete and, where an entry was
    // moved, the copy in its second bucket.
    memory.bucket_words(at.bucket)[at.index].store(entry, Ordering::Release);
}

fn empty_slot(memory: &Memory, bucket: u32) -> Option<SlotAt> {
    let words = memory.bucket_words(bucket);
    let index = words.iter().position(|word| word.load(Ordering::Relaxed) == 0)?;
    Some(SlotAt { bucket, index })
}

/// Moves entries on until a slot in one of two full buckets may be overwritten: the shortest chain, breadth first.
fn make_room(memory: &Memory, place: Place) -> Option<SlotAt> {
    struct Step {
        bucket: u32,
        /// The entry that has to leave for this bucket, and the step that its bucket is in; none for the two first.
        from: Option<(usize, SlotAt)>,
    }
    let mut steps = vec![Step { bucket: place.first, from: None }];
    if place.second != place.first {
        steps.push(Step { bucket: place.second, from: None });
    }
    let mut at = 0;
    while at < steps.len() && steps.len() < MAX_SEARCH {
        let bucket = steps[at].bucket;
        for index in 0..BUCKET_SLOTS {
            let entry = memory.bucket_words(bucket)[index].load(Ordering::Relaxed);
            let torrent = Torrent::from_words(&load(memory.torrent_words(slot_torrent(entry))));
            let its = place_of(memory, &torrent.info_hash);
            if its.first != bucket || steps.iter().any(|step| step.bucket == its.second) {
                continue;
            }
            let leaves = SlotAt { bucket, index };
            if let Some(mut free) = empty_slot(memory, its.second) {
                // The chain from its end: each copy makes the slot before it free.
                let (mut step, mut leaves) = (at, leaves);
                loop {
                    store(
                        memory,
                        free,
                        memory.bucket_words(leaves.bucket)[leaves.index].load(Ordering::Relaxed),
                    );
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
