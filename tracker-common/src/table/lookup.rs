//! From an info hash to a consistent copy of its torrent.

use super::layout::{
    BUCKET_SLOTS, Kind, Place, Torrent, WORDS, slot_fingerprint, slot_torrent, torrent_version,
};
use super::{Record, TableMemory};
use crate::siphash::siphash_1_3_words;

/// What a look-up found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// The torrent as it stood at one moment.
    Torrent(Torrent),
    /// It is there, but every try met the writer in the middle of a change: only the counts, one aligned word, can be used.
    Torn {
        /// Seeders of both families.
        seeders: u32,
        /// Leechers of both families.
        leechers: u32,
    },
    /// There is no such torrent.
    Unknown,
}

/// Tries for a consistent copy of a torrent. A change takes the writer some 10 ns, so even a torrent that is announced a million
/// times a second is met twice in a row once in 10,000 look-ups.
const TRIES: u32 = 3;

/// Finds the torrent of an info hash, given as [`hash_words`](super::layout::hash_words).
#[inline(always)]
pub fn find<M: TableMemory>(memory: &M, wanted: [u64; 3]) -> Lookup {
    let index = memory.index();
    // Pairs with the writer's release store of the index, after which its buckets are complete.
    memory.acquire();
    let place = Place::of(siphash_1_3_words(&memory.hash_key(), wanted), index.buckets);
    // First bucket first: the writer moves entries only from the first to the second, see the layout.
    match find_in(memory, index.first.wrapping_add(place.first), place.fingerprint, wanted) {
        Lookup::Unknown => {
            memory.acquire();
            find_in(memory, index.first.wrapping_add(place.second), place.fingerprint, wanted)
        }
        found => found,
    }
}

/// Looks into one bucket.
///
/// The writer keeps the fingerprints of a bucket apart, so one slot at most can be meant. All eight are compared without a branch:
/// the verifier would follow each.
#[inline(always)]
fn find_in<M: TableMemory>(memory: &M, bucket: u32, fingerprint: u32, wanted: [u64; 3]) -> Lookup {
    let Some(bucket) = memory.bucket(bucket) else { return Lookup::Unknown };
    let mut number = 0;
    for index in 0..BUCKET_SLOTS {
        let slot = bucket.word(index);
        let differs = (slot_fingerprint(slot) ^ fingerprint) as u64;
        // All ones when nothing differs: 0 − 1 has the top bit set, what is below 2^32 less 1 hasn't.
        let same = 0u64.wrapping_sub(differs.wrapping_sub(1) >> 63);
        number |= slot_torrent(slot) & same as u32;
    }
    if number == 0 {
        return Lookup::Unknown;
    }
    // Pairs with the writer's release store of the slot, after which the record is complete.
    memory.acquire();
    match memory.record(number) {
        Some(record) => copy(memory, record, wanted),
        None => Lookup::Unknown,
    }
}

/// Copies a record if it is the wanted torrent's.
#[inline(always)]
fn copy<M: TableMemory>(memory: &M, record: M::Record, wanted: [u64; 3]) -> Lookup {
    for _ in 0..TRIES {
        let version = record.word(2);
        memory.acquire();
        let mut words = [0; WORDS];
        for (index, word) in words.iter_mut().enumerate() {
            *word = record.word(index);
        }
        memory.acquire();
        // The info hash is part of what must not have changed: the number may have been freed and used again.
        let [first, second, third] = wanted;
        if words[0] != first || words[1] != second || words[2] & 0xffff_ffff != third {
            return Lookup::Unknown;
        }
        let unchanged = words[2] == version && record.word(2) == version;
        if unchanged && torrent_version(version).is_multiple_of(2) {
            let torrent = Torrent::from_words(&words);
            return if matches!(torrent.kind, Kind::Free) {
                Lookup::Unknown
            } else {
                Lookup::Torrent(torrent)
            };
        }
    }
    let counts = record.word(3);
    Lookup::Torn { seeders: (counts >> 32) as u32, leechers: counts as u32 }
}
