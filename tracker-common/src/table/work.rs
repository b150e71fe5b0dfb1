//! Memory for one answer while it is put together.

use bytemuck::{Pod, Zeroable};

use super::layout::WORDS;

/// What the read path keeps between its steps.
///
/// In memory of the caller's rather than in local variables: a BPF program has 512 bytes of stack, and what the verifier doesn't see the
/// value of it doesn't follow in all its combinations. The program keeps it in a per-CPU map. Contents are of one answer only; anything may
/// be there before.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub struct Workspace {
    /// The torrent's record, as `find` copied it.
    pub(super) torrent: [u64; WORDS],
    /// The line that was read last, and as much again, so that 64 bytes can be taken from any of its bytes on.
    pub(super) line: [u64; 2 * WORDS],
    /// Of torrents that are looked up together: fingerprints and first buckets, then numbers.
    pub(super) places: [u64; super::lookup::TOGETHER as usize],
    /// The torrent's lists: leechers, seeders.
    pub(super) lists: [Listed; 2],
    /// Where the present list's walk is, and what is left of it.
    pub(super) position: u32,
    pub(super) in_run: u32,
    pub(super) left: u32,
    /// Which list is walked: 0 leechers, 1 seeders.
    pub(super) list: u32,
    /// Bytes of peers put so far.
    pub(super) len: u32,
    /// What the announcer was, one of `Standing`'s numbers.
    pub(super) standing: u32,
    /// What `find` found, one of [`Lookup`](super::Lookup)'s numbers.
    pub(super) lookup: u32,
    /// Inline peers that fit, and those of them that were passed.
    pub(super) fit: u32,
    pub(super) rank: u32,
    /// The frame's VLAN tag, 0 without one.
    pub(crate) tag: u32,
    /// The number of the torrent that `find` found.
    pub(super) number: u32,
    pub(super) unused: u32,
    /// What the journey knows of an announce.
    pub(crate) announce: Announced,
}

/// What is kept of an announce from one part of its journey to the next.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub(crate) struct Announced {
    /// The announcer.
    pub(crate) peer: [u64; 3],
    pub(crate) random: u64,
    pub(crate) want: u32,
    pub(crate) seeder: u32,
    pub(crate) stopped: u32,
    /// Bytes of the frame.
    pub(crate) grown: u32,
    /// Seconds until the next announce.
    pub(crate) interval_s: u32,
    pub(crate) unused: u32,
}

/// A list and what is drawn from it.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub(super) struct Listed {
    pub(super) root: u32,
    /// Levels of directories above its lines.
    pub(super) levels: u32,
    pub(super) count: u32,
    /// The `Draw`.
    pub(super) take: u32,
    pub(super) start: u32,
    pub(super) gap: u32,
}

impl Default for Workspace {
    fn default() -> Self {
        Self::zeroed()
    }
}
