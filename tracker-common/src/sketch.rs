//! The rate limit of error answers: a count sketch per source (PROTOCOL U04).
//!
//! Two rows of 4,096 cells, each holding the window in which it was last used and a count. A source counts in one cell of each
//! row and may be answered while the smaller of its two counts is below the limit. Collisions can only make the limit stricter, so a
//! flood from many forged sources costs error answers and nothing else. There is one sketch per CPU in the kernel and one per
//! socket worker: nothing is shared or locked.

use bytemuck::{Pod, Zeroable};

const CELLS: usize = 4096;

/// Length of a window as a power of two of nanoseconds: 2^30 ns ≈ 1.07 s.
pub const WINDOW_SHIFT: u32 = 30;

/// A count sketch; 32 KiB, the largest value that a per-CPU map takes.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub struct Sketch {
    /// window (low 16 bits of its number) << 16 | count
    rows: [[u32; CELLS]; 2],
}

const _: () = assert!(size_of::<Sketch>() == 32 << 10);

impl Sketch {
    /// Counts one error for a source, and tells whether it may be sent: at most `limit` (up to 65,535) per window.
    ///
    /// `source_hash` must be a number that clients can't aim with; see [`Invalid`](crate::connection_id::Invalid).
    #[inline(always)]
    pub fn allows(&mut self, source_hash: u64, now_ns: u64, limit: u32) -> bool {
        let window = (now_ns >> WINDOW_SHIFT) as u32 & 0xffff;
        let first = count(&mut self.rows[0][source_hash as usize % CELLS], window);
        let second = count(&mut self.rows[1][(source_hash >> 32) as usize % CELLS], window);
        first.min(second) <= limit
    }
}

/// Counts in one cell; the count in this window, which stops at 65,535.
#[inline(always)]
fn count(cell: &mut u32, window: u32) -> u32 {
    let before = if *cell >> 16 == window { *cell & 0xffff } else { 0 };
    let now = if before == 0xffff { before } else { before + 1 };
    *cell = window << 16 | now;
    now
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::boxed::Box;

    const WINDOW: u64 = 1 << WINDOW_SHIFT;

    fn sketch() -> Box<Sketch> {
        Box::new(Sketch::zeroed())
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
        let sent = (0..200_000).filter(|_| sketch.allows(5, WINDOW, 10)).count();
        assert_eq!(sent, 10);
    }

    #[test]
    fn sources_that_share_one_cell_of_two_do_not_disturb_each_other() {
        let mut sketch = sketch();
        for _ in 0..100 {
            sketch.allows(7, WINDOW, 10);
        }
        assert!(sketch.allows(7 | 1 << 32, WINDOW, 10));
        assert!(!sketch.allows(7, WINDOW, 10));
    }
}
