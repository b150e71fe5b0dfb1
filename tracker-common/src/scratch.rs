//! What the XDP program keeps between packets, once per CPU.

use bytemuck::{Pod, Zeroable};

use crate::table::Workspace;

/// The program's memory on one CPU.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub struct Scratch {
    /// `CLOCK_MONOTONIC_COARSE` in nanoseconds, when the last packet's connection id was made or checked.
    pub now_ns: u64,
    /// The same in milliseconds.
    pub now_ms: u64,
    /// State of the random numbers; 0 until the first.
    pub random: u64,
    /// Keeps `work` at a cache line's begin.
    pub unused: [u64; 5],
    /// The answer that is being put together.
    pub work: Workspace,
}

/// The next 64 random bits of a state: splitmix64 (Steele, Lea, Flood 2014). Good enough to choose peers fairly; no secret depends on it.
#[inline(always)]
pub const fn next_random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut bits = *state;
    bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ bits >> 31
}
