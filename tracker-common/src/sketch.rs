//! Rate limits per source: count sketches (PROTOCOL U04, "Rate limits").
//!
//! A sketch has two rows of 4,096 cells, each holding the window in which it was last used and a count. A source has one cell in each row,
//! and its count is the smaller of the two. Only cells that are not above that count go up ("conservative update"), and none beyond the
//! limit, so that there is nothing that an attacker can fill for good: a window later all counts are old. There is one set of
//! sketches per CPU in the kernel and one per socket worker: nothing is shared or locked, and a limit is one of that CPU or worker.
//!
//! Collisions can only make a limit stricter. What they cost an honest source:
//!
//! - A source that floods fills its own two cells. Another one has the same two with a chance of 1 / 4096² ≈ 6 × 10^-8.
//! - A flood from forged sources, all different, can't choose cells: they come from a keyed hash. Each packet raises one cell, so a window
//!   with fewer packets than `limit` × 8192 can't fill all cells; and since the lower cell of two is raised, cells fill evenly. With the default
//!   of 1,000 connects that are 8.2 million connects in 1.07 s on one CPU, which is about what a core answers: forged connects don't keep
//!   honest clients out. At the 10 error answers of a source it takes 76,000 bad ids a second, and then error answers are all that is lost.
//!
//! Used by the XDP program and the socket workers. Tests are below.

use bytemuck::{Pod, Zeroable};

const CELLS: usize = 4096;

/// Length of a window as a power of two of nanoseconds: 2^30 ns ≈ 1.07 s.
pub const WINDOW_SHIFT: u32 = 30;

/// The highest limit that a cell can hold.
pub const MAX_LIMIT: u32 = u16::MAX as u32;

/// What is counted, each in a sketch of its own.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Error answers to bad connection ids.
    Errors = 0,
    /// Connects.
    Connects = 1,
    /// Requests with a bad connection id.
    BadIds = 2,
    /// Announces and scrapes with a good one.
    Announces = 3,
}

impl Kind {
    /// How many kinds there are.
    pub const COUNT: usize = 4;
}

/// What a source may send in a window, by kind; 0 is no limit.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct SourceLimits {
    /// Connects.
    pub connects: u32,
    /// Requests with a bad connection id.
    pub bad_ids: u32,
    /// Announces and scrapes with a good one.
    pub announces: u32,
}

/// A count sketch; 32 KiB, the largest value that a per-CPU map takes.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub struct Sketch {
    /// window (low 16 bits of its number) << 16 | count
    rows: [[u32; CELLS]; 2],
}

const _: () = assert!(size_of::<Sketch>() == 32 << 10);

/// A sketch for each [`Kind`].
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub struct Sketches([Sketch; Kind::COUNT]);

impl Sketches {
    /// The sketch of a kind.
    pub fn of(&mut self, kind: Kind) -> &mut Sketch {
        &mut self.0[kind as usize]
    }
}

impl Sketch {
    /// Counts one request of a source, and tells whether it is within `limit` (up to [`MAX_LIMIT`]) for this window.
    ///
    /// `source_hash` must be a number that clients can't aim with; see [`Seed`](crate::connection_id::Seed).
    #[inline(always)]
    pub fn allows(&mut self, source_hash: u64, now_ns: u64, limit: u32) -> bool {
        let window = (now_ns >> WINDOW_SHIFT) as u32 & 0xffff;
        let [first, second] = &mut self.rows;
        let first = &mut first[source_hash as usize % CELLS];
        let second = &mut second[(source_hash >> 32) as usize % CELLS];
        let (in_first, in_second) = (count(*first, window), count(*second, window));
        let before = if in_first < in_second { in_first } else { in_second };
        if before >= limit {
            return false;
        }
        let cell = window << 16 | (before + 1);
        if in_first == before {
            *first = cell;
        }
        if in_second == before {
            *second = cell;
        }
        true
    }
}

/// What a cell has counted in this window.
#[inline(always)]
const fn count(cell: u32, window: u32) -> u32 {
    if cell >> 16 == window { cell & 0xffff } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::boxed::Box;
    use std::vec::Vec;

    const WINDOW: u64 = 1 << WINDOW_SHIFT;

    fn sketch() -> Box<Sketch> {
        Box::new(Sketch::zeroed())
    }

    /// Hashes of sources that are all different (splitmix64).
    fn source(number: u64) -> u64 {
        let mut hash = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        hash = (hash ^ hash >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        hash = (hash ^ hash >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        hash ^ hash >> 31
    }

    #[test]
    fn allows_the_limit_in_each_window() {
        let mut sketch = sketch();
        for window in 1..5 {
            let sent = (0..100).filter(|_| sketch.allows(77, window * WINDOW, 10)).count();
            assert_eq!(sent, 10, "window {window}");
        }
    }

    #[test]
    fn limit_0_allows_nothing() {
        assert!(!sketch().allows(1, WINDOW, 0));
    }

    #[test]
    fn a_count_never_wraps() {
        let mut sketch = sketch();
        for limit in [10, MAX_LIMIT] {
            let sent = (0..200_000).filter(|_| sketch.allows(5, u64::from(limit) * WINDOW, limit)).count();
            assert_eq!(sent, limit as usize);
        }
    }

    #[test]
    fn sources_that_share_one_cell_of_two_do_not_disturb_each_other() {
        let mut sketch = sketch();
        for _ in 0..100 {
            sketch.allows(7, WINDOW, 10);
        }
        let sent = (0..100).filter(|_| sketch.allows(7 | 1 << 32, WINDOW, 10)).count();
        assert_eq!(sent, 10);
        assert!(!sketch.allows(7, WINDOW, 10));
    }

    #[test]
    fn a_limit_that_is_raised_counts_at_once() {
        let mut sketch = sketch();
        assert_eq!((0..100).filter(|_| sketch.allows(9, WINDOW, 10)).count(), 10);
        assert_eq!((0..100).filter(|_| sketch.allows(9, WINDOW, 30)).count(), 20);
        assert!(!sketch.allows(9, WINDOW, 5));
    }

    #[test]
    fn a_source_that_floods_is_cut_and_a_hundred_thousand_others_are_not() {
        let mut sketch = sketch();
        let mut flooding = 0;
        for number in 0..100_000 {
            assert!(sketch.allows(source(number), WINDOW, 1000), "source {number}");
            flooding += (0..10).filter(|_| sketch.allows(source(1 << 40), WINDOW, 1000)).count();
        }
        assert!((900..=1000).contains(&flooding), "{flooding}");
    }

    #[test]
    fn forged_sources_keep_nobody_out_until_they_fill_all_cells() {
        // The default of connects, and four times as many as forged connects come at a million a second.
        let mut sketch = sketch();
        let refused = (0..4_000_000).filter(|&number| !sketch.allows(source(number), WINDOW, 1000)).count();
        assert_eq!(refused, 0);
        let honest =
            (0..1000).filter(|&number| sketch.allows(source(1 << 50 | number), WINDOW, 1000)).count();
        assert_eq!(honest, 1000);
    }

    #[test]
    fn what_a_flood_has_filled_is_empty_in_the_next_window() {
        let mut sketch = sketch();
        for number in 0..1_000_000 {
            sketch.allows(source(number), WINDOW, 10);
        }
        assert!(!sketch.allows(source(1 << 50), WINDOW, 10));
        assert!(sketch.allows(source(1 << 50), 2 * WINDOW, 10));
    }

    proptest! {
        /// Whatever shares its cells: a source never gets more than its limit, and those within it are only refused by collisions.
        #[test]
        fn nobody_gets_more_than_the_limit(
            sources in proptest::collection::vec(0u64..50, 1..2000), limit in 1u32..40,
        ) {
            let mut sketch = sketch();
            let mut got = Vec::from([0u32; 50]);
            for &number in &sources {
                got[number as usize] += u32::from(sketch.allows(source(number), WINDOW, limit));
            }
            prop_assert!(got.iter().all(|&got| got <= limit), "{got:?}");
        }
    }
}
