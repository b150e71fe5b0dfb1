//! One counter for each verdict.
//!
//! In the kernel this is the value of a per-CPU map, so that a packet costs one look-up and one addition.

use bytemuck::{Pod, Zeroable};

use crate::verdict::Verdict;

/// Packets by verdict since the map was made; wraps after 2^64.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Counters {
    /// Indexed by [`Verdict::index`].
    pub by_verdict: [u64; Verdict::COUNT],
}

const _: () = assert!(size_of::<Counters>() == 8 * Verdict::COUNT);

impl Counters {
    /// All zero.
    pub const ZERO: Self = Self { by_verdict: [0; Verdict::COUNT] };

    /// Counts one packet.
    #[inline(always)]
    pub fn count(&mut self, verdict: Verdict) {
        let counter = &mut self.by_verdict[verdict.index()];
        *counter = counter.wrapping_add(1);
    }

    /// Packets with this verdict.
    pub fn of(&self, verdict: Verdict) -> u64 {
        self.by_verdict[verdict.index()]
    }

    /// Adds another CPU's or worker's counters.
    pub fn add(&mut self, other: &Self) {
        for (sum, part) in self.by_verdict.iter_mut().zip(&other.by_verdict) {
            *sum = sum.wrapping_add(*part);
        }
    }
}
