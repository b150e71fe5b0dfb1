//! The name of a WebSocket connection among all workers.

/// A connection: its worker, and a number that is used once. Packed into a word, as swarms have one for each member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnectionId(u64);

/// Bits of the number: at a million connections a second it lasts for nine years.
const NUMBER_BITS: u32 = 48;

impl ConnectionId {
    /// The connection with this number of this worker.
    pub const fn new(worker: u16, number: u64) -> Self {
        Self((worker as u64) << NUMBER_BITS | number & ((1 << NUMBER_BITS) - 1))
    }

    /// The worker that it belongs to.
    pub const fn worker(self) -> usize {
        (self.0 >> NUMBER_BITS) as usize
    }
}
