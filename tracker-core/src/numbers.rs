//! Numbers of records: handed out from whole segments, freed, and at rest before they are used again.
//!
//! The invariant is that of `tracker_common::table`: what was freed in generation g is handed out in generation g + 2 at the earliest.
//! A number is in use, or at rest exactly once, or was never used. Torrents and lines each have numbers, and segments, of their own.
//!
//! A number's **position** is its place in the order of the segments: positions have no gaps, so a cleaning goes through them.

use std::collections::VecDeque;

use tracker_common::table::layout::{SEGMENT_RECORDS, SEGMENT_SHIFT};

/// Length of a generation as a power of two of milliseconds: 128 ms, so that a freed number rests for 128 to 256 ms.
pub(crate) const GENERATION_SHIFT: u32 = 7;

#[derive(Debug, Default)]
pub(crate) struct Numbers {
    /// Segments in the order in which they came.
    segments: Vec<u32>,
    /// The place of each segment in that order, by its number; of no meaning for those of others.
    order: Vec<u32>,
    /// Positions from here on were never used, nor were their pages.
    next: u32,
    in_use: u32,
    resting: Queue,
}

impl Numbers {
    /// Adds the numbers of a segment.
    pub(crate) fn add_segment(&mut self, segment: u32) {
        let after = self.order.len().max(segment as usize + 1);
        self.order.resize(after, 0);
        self.order[segment as usize] = self.segments();
        self.segments.push(segment);
    }

    /// Segments in use.
    pub(crate) fn segments(&self) -> u32 {
        self.segments.len() as u32
    }

    /// True when `count` numbers can be taken; a segment more is always enough.
    pub(crate) fn can_take(&self, count: u32, generation: u64) -> bool {
        // One less: number 0 is nobody's.
        match count.saturating_sub(self.end().saturating_sub(self.next + 1)) {
            0 => true,
            // They are in the order in which they were freed: when the last one needed has rested, all before it have.
            missing => self.resting.rested(missing as usize - 1, generation),
        }
    }

    /// A number that no reader can still know.
    pub(crate) fn take(&mut self, generation: u64) -> Option<u32> {
        let number = self.take_rested(generation).or_else(|| self.take_unused())?;
        self.in_use += 1;
        Some(number)
    }

    /// Frees a number that no reader can reach from now on.
    pub(crate) fn free(&mut self, number: u32, generation: u64) {
        self.in_use -= 1;
        self.resting.push(number, generation);
    }

    /// One more than the highest position ever used.
    pub(crate) fn high_water(&self) -> u32 {
        self.next
    }

    /// The number at a position below [`Numbers::high_water`].
    pub(crate) fn at(&self, position: u32) -> u32 {
        let segment = self.segments[(position >> SEGMENT_SHIFT) as usize];
        segment << SEGMENT_SHIFT | position & (SEGMENT_RECORDS - 1)
    }

    /// The position of a number that was handed out.
    pub(crate) fn position(&self, number: u32) -> u32 {
        let order = self.order[(number >> SEGMENT_SHIFT) as usize];
        order << SEGMENT_SHIFT | number & (SEGMENT_RECORDS - 1)
    }

    /// Numbers in use.
    pub(crate) fn in_use(&self) -> u32 {
        self.in_use
    }

    fn end(&self) -> u32 {
        self.segments() << SEGMENT_SHIFT
    }

    /// Rested ones first: their pages are there already.
    fn take_rested(&mut self, generation: u64) -> Option<u32> {
        self.resting.rested(0, generation).then(|| self.resting.pop())?
    }

    fn take_unused(&mut self) -> Option<u32> {
        while self.next < self.end() {
            let number = self.at(self.next);
            self.next += 1;
            if number != 0 {
                return Some(number);
            }
        }
        None
    }
}

/// Freed numbers with the generation (its lowest bits) that they were freed in, oldest first. In pieces, so that a long queue is never
/// moved as a whole.
#[derive(Debug, Default)]
struct Queue {
    pieces: VecDeque<Vec<(u32, u32)>>,
    /// Entries of the first piece that were taken.
    taken: usize,
}

const PIECE: usize = 1024;

impl Queue {
    fn push(&mut self, number: u32, generation: u64) {
        let entry = (number, generation as u32);
        match self.pieces.back_mut().filter(|piece| piece.len() < PIECE) {
            Some(piece) => piece.push(entry),
            None => {
                let mut piece = Vec::with_capacity(PIECE);
                piece.push(entry);
                self.pieces.push_back(piece);
            }
        }
    }

    fn pop(&mut self) -> Option<u32> {
        let first = self.pieces.front()?;
        let (number, _) = *first.get(self.taken)?;
        self.taken += 1;
        if self.taken == PIECE {
            self.pieces.pop_front();
            self.taken = 0;
        }
        Some(number)
    }

    /// True when the entry `index` places behind the oldest has rested.
    fn rested(&self, index: usize, generation: u64) -> bool {
        let at = self.taken + index;
        let entry = self.pieces.get(at / PIECE).and_then(|piece| piece.get(at % PIECE));
        entry.is_some_and(|(_, freed)| (generation as u32).wrapping_sub(*freed) >= 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(segments: &[u32]) -> Numbers {
        let mut numbers = Numbers::default();
        segments.iter().for_each(|segment| numbers.add_segment(*segment));
        numbers
    }

    #[test]
    fn freed_number_rests_for_a_whole_generation() {
        let mut numbers = numbers(&[3]);
        let all: Vec<_> = std::iter::from_fn(|| numbers.take(0)).collect();
        assert_eq!(all, (3 << SEGMENT_SHIFT..4 << SEGMENT_SHIFT).collect::<Vec<_>>());
        assert!(!numbers.can_take(1, 0));
        numbers.free(all[7], 7);
        for generation in [7, 8] {
            assert!(!numbers.can_take(1, generation));
            assert_eq!(numbers.take(generation), None, "generation {generation}");
        }
        assert!(numbers.can_take(1, 9));
        assert_eq!(numbers.take(9), Some(all[7]));
    }

    #[test]
    fn number_0_is_nobodys() {
        let mut numbers = numbers(&[0]);
        assert!(numbers.can_take(SEGMENT_RECORDS - 1, 0) && !numbers.can_take(SEGMENT_RECORDS, 0));
        assert_eq!(numbers.take(0), Some(1));
        assert_eq!(std::iter::from_fn(|| numbers.take(0)).count(), SEGMENT_RECORDS as usize - 2);
    }

    #[test]
    fn can_take_tells_how_many_takes_succeed() {
        // More than a piece of the queue.
        let mut numbers = numbers(&[5, 2]);
        let taken: Vec<_> = std::iter::from_fn(|| numbers.take(0)).collect();
        for (index, number) in taken.iter().take(5_000).enumerate() {
            numbers.free(*number, 1 + index as u64 / 1_500);
        }
        // At generation 4, those of 1 and 2 have rested.
        assert!(numbers.can_take(3_000, 4) && !numbers.can_take(3_002, 4));
        assert_eq!(std::iter::from_fn(|| numbers.take(4)).count(), 3_000);
        assert_eq!(numbers.in_use(), 2 * SEGMENT_RECORDS - 2_000);
    }

    #[test]
    fn positions_follow_the_segments_in_the_order_they_came() {
        let mut numbers = numbers(&[9]);
        let first = numbers.take(0).unwrap();
        numbers.add_segment(1);
        let rest: Vec<_> = std::iter::from_fn(|| numbers.take(0)).collect();
        let by_position: Vec<_> = (0..numbers.high_water()).map(|position| numbers.at(position)).collect();
        assert_eq!(by_position, [&[first], rest.as_slice()].concat());
        for (position, number) in by_position.into_iter().enumerate() {
            assert_eq!(numbers.position(number), position as u32);
        }
    }
}
