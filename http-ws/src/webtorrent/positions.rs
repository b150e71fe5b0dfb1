//! The index of a list: the positions of its elements, by hash.
//!
//! A hash table that has the elements themselves is twice as large as they are when it has just grown. A list grows by less, and the
//! table beside it takes five bytes for an element. Used by `memberships` and by the members of a swarm, which have one only while they are
//! many, and tell it of each change. Hashes are the caller's: keyed ones, since clients choose what is hashed.

use hashbrown::HashTable;

/// The positions of a list's elements. Lists have less than 2^32.
#[derive(Debug, Default)]
pub(super) struct Positions(HashTable<u32>);

impl Positions {
    /// All positions of a list of this length.
    pub(super) fn of(length: usize, hash_at: impl Fn(usize) -> u64) -> Self {
        let mut positions = Self(HashTable::with_capacity(length));
        for at in 0..length {
            positions.add(at, &hash_at);
        }
        positions
    }

    /// Where the element is that has this hash and is the right one.
    pub(super) fn find(&self, hash: u64, mut is: impl FnMut(usize) -> bool) -> Option<usize> {
        self.0.find(hash, |at| is(*at as usize)).map(|at| *at as usize)
    }

    /// An element was added.
    pub(super) fn add(&mut self, at: usize, hash_at: impl Fn(usize) -> u64) {
        self.0.insert_unique(hash_at(at), at as u32, |at| hash_at(*at as usize));
    }

    /// The element with this hash isn't there any more.
    pub(super) fn remove(&mut self, hash: u64, at: usize) {
        if let Ok(entry) = self.0.find_entry(hash, |known| *known as usize == at) {
            entry.remove();
        }
    }

    /// The element with this hash has another position, which nothing else has.
    pub(super) fn moved(&mut self, hash: u64, from: usize, to: usize) {
        if let Some(at) = self.0.find_mut(hash, |known| *known as usize == from) {
            *at = to as u32;
        }
    }

    /// Two elements, with these hashes, have each other's position.
    pub(super) fn swapped(&mut self, hashes: [u64; 2], positions: [usize; 2]) {
        if positions[0] == positions[1] {
            // It would be one entry twice, which the table doesn't allow.
            return;
        }
        let entries = self.0.get_disjoint_mut(hashes, |which, known| *known as usize == positions[which]);
        if let [Some(first), Some(second)] = entries {
            std::mem::swap(first, second);
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Gives back what is far too much.
    pub(super) fn give_back_memory(&mut self, hash_at: impl Fn(usize) -> u64) {
        if self.0.capacity() > 4 * self.0.len() {
            self.0.shrink_to(2 * self.0.len(), |at| hash_at(*at as usize));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Few hashes, so that most elements share theirs with others.
    fn hash(element: u64) -> u64 {
        element % 3
    }

    fn assert_agree(positions: &Positions, list: &[u64]) {
        assert_eq!(positions.0.len(), list.len());
        for (at, element) in list.iter().enumerate() {
            assert_eq!(
                positions.find(hash(*element), |at| list[at] == *element),
                Some(at),
                "{element} of {list:?}"
            );
        }
    }

    #[test]
    fn elements_are_found_wherever_they_have_gone() {
        let mut list: Vec<u64> = (0..20).collect();
        let mut positions = Positions::of(list.len(), |at| hash(list[at]));
        for (first, second) in [(0, 19), (3, 6), (7, 7), (19, 0), (4, 5)] {
            positions.swapped([hash(list[first]), hash(list[second])], [first, second]);
            list.swap(first, second);
            assert_agree(&positions, &list);
        }
        for element in 20..40 {
            list.push(element);
            positions.add(list.len() - 1, |at| hash(list[at]));
            assert_agree(&positions, &list);
        }
        while !list.is_empty() {
            let at = list.len() / 3;
            let removed = list.swap_remove(at);
            positions.remove(hash(removed), at);
            if let Some(element) = list.get(at) {
                positions.moved(hash(*element), list.len(), at);
            }
            positions.give_back_memory(|at| hash(list[at]));
            assert_agree(&positions, &list);
            assert_eq!(positions.find(hash(removed), |at| list[at] == removed), None);
        }
        assert_eq!(positions.0.capacity(), 0);
    }
}
