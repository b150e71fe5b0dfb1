//! From an info hash to a consistent copy of its torrent.

use super::layout::{
    BUCKET_SLOTS, ListName, Place, Torrent, is_at_rest, slot, slot_fingerprint, slot_torrent, torrent_version,
};
use super::{Family, Record, TableMemory, Workspace};
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
                    (work.lookup, work.number) = (found as u32, number);
                    return;
                }
            }
        }
        memory.acquire();
        bucket = place.second;
    }
}

/// Looks at the torrent in the workspace again if peers have moved within its lists since it was found: then one may have been met on two
/// places, and true says that what was picked from the lists has to be picked again.
#[inline(always)]
pub fn renew<M: TableMemory>(memory: &M, work: &mut Workspace) -> bool {
    if !matches!(work.lookup(), Lookup::Whole) || !work.has_lists() {
        return false;
    }
    // Pairs with the writer's fence before it moves a peer: who has seen one on its new place sees the other version.
    memory.acquire();
    let Some(record) = memory.record(work.number) else { return false };
    let word2 = work.torrent[2];
    if record.word(2) == word2 && is_at_rest(word2) {
        return false;
    }
    copy_again(memory, record, work);
    true
}

/// Rarely called, so not inlined.
#[inline(never)]
fn copy_again<M: TableMemory>(memory: &M, record: M::Record, work: &mut Workspace) {
    let [first, second, word2, ..] = work.torrent;
    work.lookup = copy::<M>(memory, record, work, &[first, second, word2 & 0xffff_ffff]) as u32;
}

/// Torrents that are looked up together.
pub const TOGETHER: u32 = 8;

/// Where the torrents looked up together are: first their places in the index, then their numbers.
///
/// Most of the time that a look-up takes in a large table is waiting for memory. A processor waits for some loads at once only when they
/// are close to each other in the program; so each of the functions here does one thing for all of them.
impl Workspace {
    /// Puts torrent `index` of those together on its place; `None` for none.
    #[inline(always)]
    pub(crate) fn place<M: TableMemory>(&mut self, memory: &M, index: usize, wanted: Option<[u64; 3]>) {
        self.places[index] = match wanted {
            Some(wanted) => {
                let (index, key) = memory.root();
                let place = Place::of(siphash_1_3_words(&key, wanted), index.buckets);
                slot(place.fingerprint, index.first.wrapping_add(place.first))
            }
            None => 0,
        };
    }

    /// Asks for the buckets of all of them.
    #[inline(never)]
    pub(crate) fn touch_buckets<M: TableMemory>(&self, memory: &M) {
        for place in self.places {
            if place != 0
                && let Some(bucket) = memory.bucket(slot_torrent(place))
            {
                bucket.word(0);
            }
        }
    }

    /// Looks into the buckets; puts their numbers in the places' place.
    #[inline(never)]
    pub(crate) fn look_into_buckets<M: TableMemory>(&mut self, memory: &M) {
        for place in &mut self.places {
            let number = number_in(memory, slot_torrent(*place), slot_fingerprint(*place));
            *place = if *place == 0 { 0 } else { number.into() };
        }
        // Pairs with the writer's release store of the slot, after which the record is complete.
        memory.acquire();
    }

    /// Asks for the records of all of them.
    #[inline(never)]
    pub(crate) fn touch_records<M: TableMemory>(&self, memory: &M) {
        for number in self.places {
            if number != 0
                && let Some(record) = memory.record(number as u32)
            {
                record.word(0);
            }
        }
    }

    /// [`find`]s torrent `index` of those together, where it was seen if it is there.
    #[inline(never)]
    pub(crate) fn find_together<M: TableMemory>(&mut self, memory: &M, index: usize, wanted: &[u64; 3]) {
        let number = self.places.get(index).map_or(0, |number| *number as u32);
        self.lookup = match memory.record(number) {
            Some(record) if number != 0 => copy::<M>(memory, record, self, wanted) as u32,
            _ => Lookup::Unknown as u32,
        };
        if self.lookup == Lookup::Unknown as u32 {
            find(memory, self, wanted);
        }
    }
}

/// Asks for what [`announce`](super::announce) is going to read of up to [`TOGETHER`] torrents: their buckets, records and the roots of their
/// lists. Whatever the writer does meanwhile, this changes no answer, only how long one waits for it.
pub fn expect<M: TableMemory>(
    memory: &M,
    work: &mut Workspace,
    wanted: &[Option<[u64; 3]>; TOGETHER as usize],
) {
    for (index, wanted) in wanted.iter().enumerate() {
        work.place(memory, index, *wanted);
    }
    work.touch_buckets(memory);
    work.look_into_buckets(memory);
    work.touch_records(memory);
    work.touch_roots(memory);
}

impl Workspace {
    /// Asks for the roots of their lists of IPv4 peers.
    #[inline(never)]
    fn touch_roots<M: TableMemory>(&self, memory: &M) {
        for number in self.places {
            if number != 0
                && let Some(record) = memory.record(number as u32)
            {
                let torrent = Torrent::from_words(&core::array::from_fn(|index| record.word(index)));
                for seeders in [false, true] {
                    let root = torrent.list(ListName::of(Family::V4, seeders)).root;
                    if root != 0
                        && let Some(root) = memory.record(root)
                    {
                        root.word(0);
                    }
                }
            }
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
