//! Numbers of torrents and lines: handed out, freed, and at rest before they are used again.
//!
//! The invariant is that of `tracker_common::table`: what was freed in generation g is handed out in generation g + 2 at the earliest.
//! `0 < next <= end`; a number is below `next` and in use, or at rest exactly once, or was never used.

use std::collections::VecDeque;

/// Length of a generation as a power of two of milliseconds: 128 ms, so that a freed number rests for 128 to 256 ms.
pub(crate) const GENERATION_SHIFT: u32 = 7;

#[derive(Debug)]
pub(crate) struct Numbers {
    /// Numbers from here on were never used, nor were their pages.
    next: u32,
    end: u32,
    /// Freed numbers with the generation (its lowest bits) that they were freed in, oldest first.
    resting: VecDeque<(u32, u32)>,
}

impl Numbers {
    /// The numbers 1 to `end` − 1.
    pub(crate) fn below(end: u32) -> Self {
        Self { next: 1, end, resting: VecDeque::new() }
    }

    /// A number that no reader can still know.
    pub(crate) fn take(&mut self, generation: u64) -> Option<u32> {
        // Rested ones first: their pages are there already.
        if self.rested(0, generation) {
            return self.resting.pop_front().map(|(number, _)| number);
        }
        (self.next < self.end).then(|| {
            self.next += 1;
            self.next - 1
        })
    }

    /// True when `count` numbers can be taken.
    pub(crate) fn can_take(&self, count: u32, generation: u64) -> bool {
        match count.saturating_sub(self.end - self.next) {
            0 => true,
            // They are in the order in which they were freed: when the last one needed has rested, all before it have.
            missing => self.rested(missing as usize - 1, generation),
        }
    }

    /// Frees a number that no reader can reach from now on.
    pub(crate) fn free(&mut self, number: u32, generation: u64) {
        self.resting.push_back((number, generation as u32));
    }

    /// One more than the highest number ever used.
    pub(crate) fn high_water(&self) -> u32 {
        self.next
    }

    /// Numbers in use.
    pub(crate) fn in_use(&self) -> u32 {
        self.next - 1 - self.resting.len() as u32
    }

    fn rested(&self, index: usize, generation: u64) -> bool {
        self.resting.get(index).is_some_and(|(_, freed)| (generation as u32).wrapping_sub(*freed) >= 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_freed_number_rests_for_a_whole_generation() {
        let mut numbers = Numbers::below(2);
        assert_eq!(numbers.take(0), Some(1));
        assert!(!numbers.can_take(1, 0));
        numbers.free(1, 7);
        for generation in [7, 8] {
            assert!(!numbers.can_take(1, generation));
            assert_eq!(numbers.take(generation), None, "generation {generation}");
        }
        assert!(numbers.can_take(1, 9));
        assert_eq!(numbers.take(9), Some(1));
    }

    #[test]
    fn can_take_tells_how_many_takes_succeed() {
        let mut numbers = Numbers::below(10);
        let taken: Vec<_> = (0..6).map(|_| numbers.take(0).unwrap()).collect();
        for (number, generation) in taken.into_iter().zip([1, 1, 2, 3, 3, 3]) {
            numbers.free(number, generation);
        }
        // Three unused; at generation 4, three have rested.
        assert!(numbers.can_take(6, 4) && !numbers.can_take(7, 4));
        assert_eq!(std::iter::from_fn(|| numbers.take(4)).count(), 6);
        assert_eq!(numbers.in_use(), 6);
    }
}
