//! The swarm table as its readers see it: layouts, and the read path of announce and scrape.
//!
//! Three arrays of 64-byte records and nothing else: **buckets** find a torrent by its info hash, **torrents** hold counts and up to
//! three peers, **lines** hold the peers of larger swarms as they stand in an answer. One writer (`tracker-core::writer`) stores, any
//! number of readers load: the XDP program, the socket workers, HTTP. This module is compiled for all of them, so it allocates
//! nothing, every loop has a constant bound, and no path can panic; memory, time and randomness come in as arguments.
//!
//! - [`layout`]: what each word of a record means, drawn; sizes; how a list of lines is found from its root.
//! - `lookup`: from an info hash to a consistent copy of its torrent, [`find`].
//! - `select`: which peers of a list go into an answer.
//! - `family`, `room`: IPv4 and IPv6 peers in words; where an answer's peers are put.
//! - `listed`: peers of large torrents, line by line.
//! - `read`: [`answer`] puts peers into an answer; [`announce`] and [`scrape`] are the whole thing over a buffer.
//! - `both`: [`announce_both`], an answer with peers of both families, which HTTP gives.
//!
//! # Consistency without locks
//!
//! A reader never waits and never blocks the writer. What it takes together is one aligned word, or is guarded:
//!
//! - A **torrent** has a version (24 bits), a **line** too (32 bits): odd while the writer is in the middle of a change. A reader loads
//!   the version, the words, the version again; when the two differ it tries once more, then answers without these peers.
//! - A peer that leaves a list is replaced by the list's last one, and one that has completed goes from one list to another. So that none is met
//!   on both places, the torrent's version says that peers are moving before the first of them does; a reader that finds another version after
//!   it has picked, or one that says so, picks again.
//! - **Slots behind a list's end** are never zeroed: they hold peers that were announced for the same torrent (a fresh line is filled
//!   with copies of its first peer). So a reader that still has an older count copies a peer that has just left, never a stranger.
//! - Freed lines and torrent numbers **rest**: a thing freed in generation g is used again in generation g + 2 at the earliest, and
//!   a generation lasts more than 100 ms. The kernel's readers run with preemption off and are long gone. A thread may be preempted
//!   for longer, so it compares [`TableMemory::generation`] before and after, and keeps nothing when two have begun meanwhile.
//!
//! Tests: here for layouts and selection; `tracker-core/tests/` for the reader against a model tracker, its distribution, and
//! readers beside a busy writer.

mod both;
mod family;
pub mod layout;
mod listed;
mod lookup;
mod read;
mod room;
mod select;
mod work;

pub use both::{BothPeers, FoundBoth, MAX_PEERS_OF_BOTH, announce_both};
pub use family::{Peer6, PeerFamily, Peers4, Peers6};
pub use lookup::{Lookup, TOGETHER, expect, find, renew};
pub use read::{Announcer, Found, Query, ScrapeCounts, announce, answer, pick, scrape, settle};
pub use room::{Buffer, Room, SPARE};
pub(crate) use work::Announced;
pub use work::Workspace;

use crate::siphash::SipKey;
use layout::Index;

/// A record's eight words. `word` loads one of them, whole and aligned; what it returns may change from one call to the next.
pub trait Record: Copy {
    /// Word `index`, which is below 8. (The implementation may return anything for another index, but must not panic.)
    fn word(self, index: usize) -> u64;
}

/// Where the table's records are.
pub trait TableMemory {
    /// Access to one record.
    type Record: Record;

    /// What the root record says: where the buckets are now, and the key of the hash that places info hashes, which is not known to clients,
    /// or they could fill one bucket.
    fn root(&self) -> (Index, SipKey);
    /// A bucket by its number in the bucket space: [`Index::first`] and up.
    fn bucket(&self, number: u32) -> Option<Self::Record>;
    /// A torrent, a line of peers or a directory. Number 0 is never used.
    fn record(&self, number: u32) -> Option<Self::Record>;
    /// The generation of freed records, see the [module](self). Constant where readers can't be preempted.
    fn generation(&self) -> u64;
    /// Orders the loads before it with those after it (a load-load fence).
    fn acquire(&self);

    /// Takes `times` steps, from 0 on, or until one returns false.
    #[inline(always)]
    fn repeat<S: Step>(times: u32, step: &mut S) {
        for index in 0..times {
            if !step.step(index) {
                break;
            }
        }
    }
}

/// One of a number of like steps, see [`TableMemory::repeat`].
pub trait Step {
    /// Step `index`; false ends the repetition.
    fn step(&mut self, index: u32) -> bool;
}

/// A peer: IP address and port, in the bytes of an answer. This pair is the peer's identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PeerAddress {
    /// IPv4: 4 bytes of address, 2 of port.
    V4([u8; 6]),
    /// IPv6: 16 bytes of address, 2 of port.
    V6([u8; 18]),
}

impl PeerAddress {
    /// An IPv4 peer.
    #[inline(always)]
    pub const fn v4(ip: [u8; 4], port: u16) -> Self {
        let [a, b, c, d] = ip;
        let [p, q] = port.to_be_bytes();
        Self::V4([a, b, c, d, p, q])
    }

    /// An IPv6 peer; an IPv4-mapped address gives an IPv4 peer (U20).
    #[inline(always)]
    pub const fn v6(ip: [u8; 16], port: u16) -> Self {
        let [p, q] = port.to_be_bytes();
        match ip {
            [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d] => Self::V4([a, b, c, d, p, q]),
            [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, r] => {
                Self::V6([a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, r, p, q])
            }
        }
    }

    /// The peer's family.
    #[inline(always)]
    pub const fn family(&self) -> Family {
        match self {
            Self::V4(_) => Family::V4,
            Self::V6(_) => Family::V6,
        }
    }

    /// The peer's bytes in an answer: 6 or 18.
    #[inline(always)]
    pub const fn bytes(&self) -> &[u8] {
        match self {
            Self::V4(bytes) => bytes,
            Self::V6(bytes) => bytes,
        }
    }
}

/// Address family of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Bytes of a peer in an answer.
    #[inline(always)]
    pub const fn peer_len(self) -> usize {
        match self {
            Self::V4 => crate::wire::PEER_V4_LEN,
            Self::V6 => crate::wire::PEER_V6_LEN,
        }
    }

    /// Peers in a line.
    #[inline(always)]
    pub const fn per_line(self) -> u32 {
        match self {
            Self::V4 => layout::V4_PER_LINE,
            Self::V6 => layout::V6_PER_LINE,
        }
    }
}
