//! A hash table that grows without a pause.
//!
//! A `hashbrown` table that is full moves all of its entries at once, which takes tens of milliseconds with half a million of them. This one is
//! many small tables, and when they hold too many one of them is split in two (linear hashing, Litwin 1980): no insertion
//! moves more than a few hundred entries.

use hashbrown::HashTable;

/// Entries of a shard on average.
const SHARD: usize = 256;

/// A hash table that doesn't know how its entries are hashed or compared, like [`HashTable`].
#[derive(Debug)]
pub(crate) struct Sharded<T> {
    shards: Vec<HashTable<T>>,
    len: usize,
}

impl<T> Default for Sharded<T> {
    fn default() -> Self {
        Self { shards: vec![HashTable::new()], len: 0 }
    }
}

impl<T> Sharded<T> {
    pub(crate) fn find(&self, hash: u64, equals: impl FnMut(&T) -> bool) -> Option<&T> {
        self.shards[self.shard(hash)].find(hash, equals)
    }

    pub(crate) fn find_mut(&mut self, hash: u64, equals: impl FnMut(&T) -> bool) -> Option<&mut T> {
        let shard = self.shard(hash);
        self.shards[shard].find_mut(hash, equals)
    }

    /// Inserts an entry that isn't there.
    pub(crate) fn insert(&mut self, hash: u64, entry: T, hasher: impl Fn(&T) -> u64) {
        let shard = self.shard(hash);
        self.shards[shard].insert_unique(hash, entry, &hasher);
        self.len += 1;
        if self.len > self.shards.len() * SHARD {
            self.split(hasher);
        }
    }

    pub(crate) fn remove(&mut self, hash: u64, equals: impl FnMut(&T) -> bool) -> Option<T> {
        let shard = self.shard(hash);
        let (entry, _) = self.shards[shard].find_entry(hash, equals).ok()?.remove();
        self.len -= 1;
        Some(entry)
    }

    /// The shards are numbered by the lowest bits of a part of the hash that the tables themselves don't look at: as many bits as the
    /// number of shards has, or one less for those that weren't split yet.
    #[inline(always)]
    fn shard(&self, hash: u64) -> usize {
        let bits = (hash >> 24) as usize & 0xffff_ffff;
        let mask = self.shards.len().next_power_of_two() - 1;
        let shard = bits & mask;
        if shard < self.shards.len() { shard } else { bits & mask >> 1 }
    }

    fn split(&mut self, hasher: impl Fn(&T) -> u64) {
        let new = self.shards.len();
        // Its number without the highest bit: those were together so far.
        let old = new & !(1 << new.ilog2());
        self.shards.push(HashTable::new());
        let mut entries = std::mem::take(&mut self.shards[old]);
        for entry in entries.drain() {
            let hash = hasher(&entry);
            let shard = self.shard(hash);
            self.shards[shard].insert_unique(hash, entry, &hasher);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(n: &u64) -> u64 {
        let mut bits = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits ^ bits >> 27
    }

    #[test]
    fn all_that_was_inserted_is_found_until_it_is_removed() {
        let mut table = Sharded::default();
        for n in 0..20_000u64 {
            table.insert(hash(&n), n, hash);
            assert_eq!(table.find(hash(&n), |entry| *entry == n), Some(&n));
        }
        let largest = table.shards.iter().map(HashTable::len).max();
        assert!(largest < Some(4 * SHARD), "{largest:?} in one of {} shards", table.shards.len());
        for n in (0..20_000).step_by(3) {
            assert_eq!(table.remove(hash(&n), |entry| *entry == n), Some(n));
        }
        for n in 0..20_000 {
            assert_eq!(table.find(hash(&n), |entry| *entry == n).is_some(), n % 3 != 0, "{n}");
        }
        assert_eq!(table.len, 20_000 - 6_667);
    }
}
