//! From an info hash to a consistent copy of its torrent.

use super::layout::{
    BUCKET_SLOTS, Kind, Place, Torrent, WORDS, hash_words, slot_fingerprint, slot_torrent, torrent_version,
};
use super::{Record, TableMemory};
use crate::siphash::siphash_1_3_20;
use crate::wire::InfoHash;

/// What a look-up found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lookup {
    /// The torrent as it stood at one moment.
    Torrent(Torrent),
    /// It is there, but every try met the writer in the middle of a change: only the counts, one aligned word, can be used.
    Torn {
        seeders: u32,
        leechers: u32,
    },
    Unknown,
}

/// Tries for a consistent copy of a torrent. A change takes the writer some 10 ns, so even a torrent that is announced a million
/// times a second is met twice in a row once in 10,000 look-ups.
const TRIES: u32 = 3;

/// Finds the torrent of an info hash.
#[inline(always)]
pub(super) fn find<M: TableMemory>(memory: &M, info_hash: &InfoHash) -> Lookup {
    let hash = siphash_1_3_20(&memory.hash_key(), info_hash);
    let index = memory.index();
    // Pairs with the writer's release store of the index, after which its buckets are complete.
    memory.acquire();
    let place = Place::of(hash, index.buckets);
    let wanted = hash_words(info_hash);
    // First bucket first: the writer moves entries only from the first to the second, see the layout.
    for bucket in [place.first, place.second] {
        let Some(bucket) = memory.bucket(index.first.wrapping_add(bucket)) else { continue };
        for index in 0..BUCKET_SLOTS {
            let slot = bucket.word(index);
            if slot_fingerprint(slot) != place.fingerprint {
                continue;
            }
            // Pairs with the writer's release store of the slot, after which the record is complete.
            memory.acquire();
            let Some(record) = memory.record(slot_torrent(slot)) else { continue };
            match copy(memory, record, wanted) {
                Lookup::Unknown => continue,
                found => return found,
            }
        }
        memory.acquire();
    }
    Lookup::Unknown
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
        if [words[0], words[1], words[2] & 0xffff_ffff] != wanted {
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
