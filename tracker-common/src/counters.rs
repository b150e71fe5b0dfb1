//! One counter for each verdict and IP version.
//!
//! In the kernel this is the value of a per-CPU map, so that a packet costs one look-up and one addition.

use bytemuck::{Pod, Zeroable};

use crate::verdict::Verdict;

/// What a packet came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IpVersion {
    /// IPv4.
    V4 = 0,
    /// IPv6.
    V6 = 1,
    /// Neither.
    None = 2,
}

impl IpVersion {
    /// How many there are.
    pub const COUNT: usize = 3;
    /// All of them, in the order of their counters.
    pub const ALL: [Self; Self::COUNT] = [Self::V4, Self::V6, Self::None];
}

/// Packets by verdict since the map was made; wraps after 2^64.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Counters {
    /// Indexed by [`IpVersion`] and by [`Verdict::index`].
    pub by_version: [[u64; Verdict::COUNT]; IpVersion::COUNT],
}

const _: () = assert!(size_of::<Counters>() == 8 * Verdict::COUNT * IpVersion::COUNT);

impl Default for Counters {
    fn default() -> Self {
        Self::ZERO
    }
}

impl Counters {
    /// All zero.
    pub const ZERO: Self = Self { by_version: [[0; Verdict::COUNT]; IpVersion::COUNT] };

    /// Counts one packet.
    #[inline(always)]
    pub fn count(&mut self, version: IpVersion, verdict: Verdict) {
        let counter = &mut self.by_version[version as usize][verdict.index()];
        *counter = counter.wrapping_add(1);
    }

    /// Packets with this verdict, whatever they came in.
    pub fn of(&self, verdict: Verdict) -> u64 {
        IpVersion::ALL.iter().fold(0, |sum, version| sum.wrapping_add(self.of_version(*version, verdict)))
    }

    /// Packets of one IP version with this verdict.
    pub fn of_version(&self, version: IpVersion, verdict: Verdict) -> u64 {
        self.by_version[version as usize][verdict.index()]
    }

    /// Adds another CPU's or worker's counters.
    pub fn add(&mut self, other: &Self) {
        for (sum, part) in self.by_version.as_flattened_mut().iter_mut().zip(other.by_version.as_flattened())
        {
            *sum = sum.wrapping_add(*part);
        }
    }
}
