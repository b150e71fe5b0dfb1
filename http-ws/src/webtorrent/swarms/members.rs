//! The members of a swarm, each with a position: where somebody is, and what a change of place means for the index.
//!
//! Most swarms have a few members, and looking at each of them is the fastest way to find one. Large ones have an index. What the order of positions says
//! is [`Swarm`](super::swarm::Swarm)'s; tests are in `swarms/tests`.

use std::sync::Arc;

use crate::webtorrent::positions::Positions;
use crate::webtorrent::speaker::Speaker;

/// More than so many have an index.
pub(super) const MOST_WITHOUT_INDEX: usize = 32;

/// So many lose it again: not right below the number that has it made.
pub(super) const FEWEST_WITH_INDEX: usize = MOST_WITHOUT_INDEX / 2;

/// A list without gaps.
#[derive(Debug, Default)]
pub(super) struct Members {
    list: Vec<Arc<Speaker>>,
    index: Option<Box<Positions>>,
}

impl Members {
    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    pub(super) fn get(&self, at: usize) -> Option<&Speaker> {
        self.list.get(at).map(|member| &**member)
    }

    /// Where the member with the peer id of this speaker is.
    pub(super) fn position(&self, speaker: &Speaker) -> Option<usize> {
        match &self.index {
            Some(index) => {
                index.find(speaker.hash, |at| self.get(at).is_some_and(|member| member.peer == speaker.peer))
            }
            // Who announces again is found by the list alone, without a look at the others, each of which is somewhere else in memory.
            None => self
                .list
                .iter()
                .position(|member| std::ptr::eq(Arc::as_ptr(member), speaker))
                .or_else(|| self.list.iter().position(|member| member.peer == speaker.peer)),
        }
    }

    /// Adds a member, whose peer id nobody has, at the end; its position.
    pub(super) fn add(&mut self, speaker: Arc<Speaker>) -> usize {
        let at = self.list.len();
        if at == self.list.capacity() {
            self.list.reserve_exact(capacity_for(at) - at);
        }
        self.list.push(speaker);
        match &mut self.index {
            Some(index) => index.add(at, |at| hash_at(&self.list, at)),
            None if at >= MOST_WITHOUT_INDEX => {
                self.index = Some(Box::new(Positions::of(at + 1, |at| hash_at(&self.list, at))));
            }
            None => {}
        }
        at
    }

    /// Somebody else with the same peer id has the place from now on; who had it.
    pub(super) fn replace(&mut self, at: usize, speaker: Arc<Speaker>) -> Option<Arc<Speaker>> {
        self.list.get_mut(at).map(|place| std::mem::replace(place, speaker))
    }

    /// Two members change places.
    pub(super) fn swap(&mut self, first: usize, second: usize) {
        if first.max(second) >= self.list.len() {
            return;
        }
        self.list.swap(first, second);
        if let Some(index) = &mut self.index {
            // Each has the position already that the other is still found with.
            let hashes = [second, first].map(|at| hash_at(&self.list, at));
            index.swapped(hashes, [first, second]);
        }
    }

    /// A member goes; the last one takes its place.
    pub(super) fn swap_remove(&mut self, at: usize) {
        if at >= self.list.len() {
            return;
        }
        let removed = self.list.swap_remove(at);
        if self.list.len() <= FEWEST_WITH_INDEX {
            self.index = None;
        }
        if let Some(index) = &mut self.index {
            index.remove(removed.hash, at);
            if let Some(moved) = self.list.get(at) {
                index.moved(moved.hash, self.list.len(), at);
            }
        }
        self.give_back_memory();
    }

    /// Crowds come and go.
    fn give_back_memory(&mut self) {
        const WORTH_WHILE: usize = 16;
        if self.list.capacity() > WORTH_WHILE && self.list.capacity() > 2 * self.list.len() {
            self.list.shrink_to(capacity_for(self.list.len()));
        }
        if let Some(index) = &mut self.index {
            index.give_back_memory(|at| hash_at(&self.list, at));
        }
    }

    /// Whether all of them are found where they are, and an index is there when there should be.
    #[cfg(test)]
    pub(super) fn are_found(&self) -> bool {
        let has_index = match &self.index {
            Some(index) => index.len() == self.len() && self.len() > FEWEST_WITH_INDEX,
            None => self.len() <= MOST_WITHOUT_INDEX,
        };
        has_index
            && (0..self.len()).all(|at| self.get(at).and_then(|member| self.position(member)) == Some(at))
    }
}

/// Places for so many and some more. Half as many again would be what vectors have to spare; this is an eighth on average. Odd, as three pointers
/// are the least that malloc has room for, and two more are its next size.
fn capacity_for(members: usize) -> usize {
    (members + members / 4 + 2) | 1
}

fn hash_at(list: &[Arc<Speaker>], at: usize) -> u64 {
    // There is one at each position that an index has.
    list.get(at).map_or(0, |member| member.hash)
}
