//! From an info hash to a consistent copy of its torrent.

use super::layout::{BUCKET_SLOTS, Place, Torrent, slot, slot_fingerprint, slot_torrent, torrent_version};
use super::{Record, TableMemory, Workspace};
use crate::siphash::siphash_1_3_words;

/// What a look-up found.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// There is no such torrent.
    Unknown,
    /// It is there, but every try met the writer in the middle of a change: only the counts, one aligned word, can be used.
    Torn,
    /// The torrent as it stood at one moment is in the workspace.
    Whole,
}

/// Tries for a consistent copy of a torrent. A change takes the writer some 10 ns, so even a torrent that is announced a million
/// times a second is met twice in a row once in 10,000 look-ups.
const TRIES: u32 = 3;

impl Workspace {
    /// What was found last.
    #[inline(always)]
    pub const fn lookup(&self) -> Lookup {
        match self.lookup {
            1 => Lookup::Torn,
            2 => Lookup::Whole,
            _ => Lookup::Unknown,
        }
    }
}

/// Finds the torrent of an info hash, given as [`hash_words`](super::layout::hash_words), and copies it into the workspace.
#[inline(never)]
pub fn find<M: TableMemory>(memory: &M, work: &mut Workspace, wanted: &[u64; 3]) {
    work.lookup = Lookup::Unknown as u32;
    let (index, key) = memory.root();
    // Pairs with the writer's release store of the index, after which its buckets are complete.
    memory.acquire();
    let place = Place::of(siphash_1_3_words(&key, *wanted), index.buckets);
    // First bucket first: the writer moves entries only from the first to the second, see the layout.
    let mut bucket = place.first;
    for _ in 0..2 {
        let number = number_in(memory, index.first.wrapping_add(bucket), place.fingerprint);
        if number != 0 {
            // Pairs with the writer's release store of the slot, after which the record is complete.
            memory.acquire();
            if let Some(record) = memory.record(number) {
                let found = copy::<M>(memory, record, work, wanted);
                if !matches!(found, Lookup::Unknown) {
                    work.lookup = found as u32;
                    return;
                }
            }
        }
        memory.acquire();
        bucket = place.second;
    }
}

/// Torrents that [`fetch`] is ahead of those that are answered: half as many for the bucket's way, half for the record's.
pub const AHEAD: u32 = 8;

/// Asks the memory for what [`find`] will look at, some torrents ahead of it: for the bucket of this one, and for the record of the one before it by
/// half of [`AHEAD`]. `index` counts the torrents of a request; behind the last, `wanted` is `None`.
#[inline(never)]
pub fn fetch<M: TableMemory>(memory: &M, work: &mut Workspace, index: u32, wanted: Option<&[u64; 3]>) {
    const MASK: u32 = AHEAD - 1;
    let (index_now, key) = memory.root();
    memory.acquire();
    let earlier = work.places[(index.wrapping_sub(AHEAD / 2) & MASK) as usize];
    if index >= AHEAD / 2 {
        let number = number_in(memory, slot_torrent(earlier), slot_fingerprint(earlier));
        if number != 0 && let Some(record) = memory.record(number) {
            record.word(0);
        }
    }
    if let Some(wanted) = wanted {
        let place = Place::of(siphash_1_3_words(&key, *wanted), index_now.buckets);
        let bucket = index_now.first.wrapping_add(place.first);
        work.places[(index & MASK) as usize] = slot(place.fingerprint, bucket);
        if let Some(bucket) = memory.bucket(bucket) {
            bucket.word(0);
        }
    }
}

/// The torrent number that a bucket has for a fingerprint, or 0.
///
/// The writer keeps the fingerprints of a bucket apart, so one slot at most can be meant. All eight are compared without a branch:
/// the verifier would follow each.
#[inline(always)]
fn number_in<M: TableMemory>(memory: &M, bucket: u32, fingerprint: u32) -> u32 {
    let Some(bucket) = memory.bucket(bucket) else { return 0 };
    let mut number = 0;
    for index in 0..BUCKET_SLOTS {
        let slot = bucket.word(index);
        let differs = (slot_fingerprint(slot) ^ fingerprint) as u64;
        // All ones when nothing differs: 0 − 1 has the top bit set, what is below 2^32 less 1 hasn't.
        let same = 0u64.wrapping_sub(differs.wrapping_sub(1) >> 63);
        number |= slot_torrent(slot) & same as u32;
    }
    number
}

/// Copies a record if it is the wanted torrent's.
#[inline(always)]
fn copy<M: TableMemory>(
    memory: &M,
    record: M::Record,
    work: &mut Workspace,
    &[first, second, third]: &[u64; 3],
) -> Lookup {
    for _ in 0..TRIES {
        let version = record.word(2);
        memory.acquire();
        for (index, word) in work.torrent.iter_mut().enumerate() {
            *word = record.word(index);
        }
        memory.acquire();
        let [word0, word1, word2, ..] = work.torrent;
        // The info hash is part of what must not have changed: the number may have been freed and used again.
        if word0 != first || word1 != second || word2 & 0xffff_ffff != third {
            return Lookup::Unknown;
        }
        if word2 == version && record.word(2) == version && torrent_version(version).is_multiple_of(2) {
            return if Torrent::is_free(word2) { Lookup::Unknown } else { Lookup::Whole };
        }
    }
    work.torrent[3] = record.word(3);
    Lookup::Torn
}
