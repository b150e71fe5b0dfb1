//! The XDP program and its maps: loaded, pinned, attached and written.
//!
//! [`Kernel`] is owned by the main loop of `daemon`, which writes all maps but those of the swarm table: they are the writer's, as
//! [`KernelSegments`] and [`EventRing`]. The program itself writes counters and emits events. Built with the feature `xdp` only; without it [`Kernel`] is an empty type and loading says why.
//!
//! - `load`: the object inside this binary, the kernel's objections to it.
//! - `pin`: the maps under /sys/fs/bpf, for tools, and what a killed tracker left there.
//! - `attach`: to an interface, native or generic, and whatever is in the way.
//! - `log`: what the program logs, with the feature `debug`.
//! - `segments`: the swarm table's memory in maps, `space`: where the program finds it; `events`: the ring of announce events; `mapped`: the memory of maps in this process.
//! - `maps`: the other maps as the rest of the daemon sees them: settings, endpoints, keys, counters, lists.
//!
//! What needs a kernel is tested end to end in `tests/cli` and `tests/protocol_rows`.

#[cfg(feature = "xdp")]
mod attach;
#[cfg(feature = "xdp")]
mod events;
#[cfg(feature = "xdp")]
mod load;
#[cfg(feature = "debug")]
mod log;
#[cfg(feature = "xdp")]
#[expect(
    unsafe_code,
    reason = "mapping a map's memory, and maps of maps without the privileges that aya's way needs"
)]
mod mapped;
#[cfg(feature = "xdp")]
mod maps;
#[cfg(feature = "xdp")]
mod pin;
#[cfg(feature = "xdp")]
mod segments;
#[cfg(feature = "xdp")]
mod space;

#[cfg(feature = "xdp")]
pub use events::{EventRing, RingGauge};
#[cfg(feature = "xdp")]
pub use load::Kernel;
#[cfg(feature = "xdp")]
pub use segments::KernelSegments;

#[cfg(not(feature = "xdp"))]
mod absent;
#[cfg(not(feature = "xdp"))]
pub use absent::{EventRing, Kernel, KernelSegments, RingGauge};

/// How an [`EventRing::take`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// At the end that was asked for.
    All,
    /// At the most that was asked for.
    Some,
    /// At a record that a processor is just writing.
    Unfinished,
}

/// How the program hangs on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttachMode {
    /// In the driver, before the kernel allocates anything for the packet.
    Native,
    /// In the network stack, behind the driver.
    Generic,
}

impl AttachMode {
    /// As operators know it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Generic => "generic",
        }
    }
}

/// Why an interface has no program of ours.
#[derive(Debug)]
pub struct AttachError {
    /// What stands against it, and what an operator can do.
    pub reason: String,
    /// Whether another mode may still work.
    pub other_mode_may_work: bool,
}

/// A network of the block list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix<const BYTES: usize> {
    /// The address, zero behind the prefix.
    pub address: [u8; BYTES],
    /// Length of the prefix in bits.
    pub len: u8,
}
