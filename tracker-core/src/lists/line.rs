//! Changes of a line's peers, under the line's version.

use std::sync::atomic::{Ordering, fence};

use tracker_common::table::layout::{
    RECORD_BYTES, WORDS, line_bytes, line_version, line_words, with_line_version,
};
use tracker_common::table::{Family, PeerAddress};

use crate::memory::{Memory, load};

/// A line's bytes.
pub(super) type Slots = [u8; RECORD_BYTES];

/// Puts a peer into a slot.
pub(super) fn set(slots: &mut Slots, slot: usize, peer: &PeerAddress) {
    let bytes = peer.bytes();
    slots[slot * bytes.len()..][..bytes.len()].copy_from_slice(bytes);
}

pub(super) fn swap(slots: &mut Slots, family: Family, one: usize, other: usize) {
    for byte in 0..family.peer_len() {
        slots.swap(one * family.peer_len() + byte, other * family.peer_len() + byte);
    }
}

/// Puts a new peer into the slot at the list's end. Behind it may be peers that have left, this one too: then the two places are swapped, so that it
/// is in the line once.
pub(super) fn put(slots: &mut Slots, slot: usize, peer: &PeerAddress) {
    let (bytes, family) = (peer.bytes(), peer.family());
    let same = slots
        .chunks_exact(bytes.len())
        .take(family.per_line() as usize)
        .skip(slot + 1)
        .position(|other| other == bytes);
    if let Some(behind) = same {
        swap(slots, family, slot, slot + 1 + behind);
    }
    set(slots, slot, peer);
}

/// Fills a new line: a peer, and behind it peers of the line `before`, for readers that know the list as longer than it is. (A first line has no
/// such readers.)
pub(super) fn begin_line(memory: &Memory, number: u32, before: Option<[u64; WORDS]>, peer: &PeerAddress) {
    change_line(memory, number, |slots| {
        match before {
            Some(before) => *slots = line_bytes(&before),
            None => (0..peer.family().per_line()).for_each(|slot| set(slots, slot as usize, peer)),
        }
        set(slots, 0, peer);
    });
}

/// Changes peers of a line, under the line's version.
pub(super) fn change_line(memory: &Memory, number: u32, change: impl FnOnce(&mut Slots)) {
    let words = memory.words(number);
    let before = load(words);
    let mut bytes = line_bytes(&before);
    change(&mut bytes);
    let after = line_words(&bytes);

    // Odd while it is written, even after; the record may have been a directory before, which has an entry in the version's place.
    let odd = line_version(before[7]).wrapping_add(1) | 1;
    words[7].store(with_line_version(before[7], odd), Ordering::Relaxed);
    // Pairs with the reader's fence before it loads the version again: who sees one of the words below sees the odd version.
    fence(Ordering::Release);
    for index in 0..WORDS - 1 {
        if before[index] != after[index] {
            words[index].store(after[index], Ordering::Relaxed);
        }
    }
    // Release: pairs with the reader's fence after its first load of the version: who sees it even sees all of the words.
    words[7].store(with_line_version(after[7], odd.wrapping_add(1)), Ordering::Release);
}
