//! What a tracker is: a table that many read and one writes, and rules about who may be in it.
//!
//! There are no sockets here, no files, no clock, no randomness and no BPF: requests are byte slices, time and random bits are arguments, and the
//! files of lists are text that the caller has read. So a test can let a day pass in a microsecond, and the same history always
//! gives the same answers.
//!
//! ```
//! use tracker_common::event::AnnounceEvent;
//! use tracker_common::siphash::SipKey;
//! use tracker_common::table::{PeerAddress, Query};
//! use tracker_common::wire::AnnounceKind;
//! use tracker_core::{HeapSegments, Limits, Millis, TableWriter};
//!
//! let limits = Limits { max_torrents: 1_000, max_peers: 10_000, peer_lifetime_s: 4_200, ..Limits::default() };
//! let mut writer = TableWriter::new(limits, SipKey { k0: 1, k1: 2 }, Box::new(HeapSegments))?;
//! let reader = writer.reader();
//!
//! // Three peers join, at a time that the caller knows.
//! let torrent = [7; 20];
//! let now = Millis(1_000);
//! for host in 1..=3 {
//!     let peer = PeerAddress::v4([192, 0, 2, host], 6881);
//!     writer.apply(&AnnounceEvent::new(torrent, peer, AnnounceKind::Started, host == 1, 1_000), now);
//! }
//!
//! // The second one asks: it is answered with the two others.
//! let me = PeerAddress::v4([192, 0, 2, 2], 6881);
//! let query = Query { info_hash: &torrent, peer: me, seeder: false, stopped: false, want: 50, random: 4 };
//! let mut out = [0; 300];
//! let found = reader.announce(&query, &mut out);
//! assert_eq!((found.seeders, found.leechers, found.peers), (1, 2, 2));
//!
//! // Nobody announces again, and time passes.
//! let later = Millis(now.0 + 4_300_000);
//! assert_eq!(writer.expire(later, 100).peers, 3);
//! assert_eq!(reader.announce(&query, &mut out).peers, 0);
//! # Ok::<(), tracker_core::OutOfMemory>(())
//! ```
//!
//! In reading order:
//!
//! - `memory`: the table's records, in segments; their layouts and the read path are `tracker_common::table`'s. `pool` has the segments at
//!   hand, `numbers` hands records out and lets what was freed rest, `limits` says how many there may be.
//! - `writer`: applies announces, lets peers expire. `place` finds torrents in an index, `grow` makes a larger one, `lists` keeps peers in lines,
//!   `scan` finds a peer there, `addresses` counts who is where.
//! - `reader`: what front ends hold. `torrents`: a walk over all of them.
//! - [`access_list`], [`block_list`]: which torrents are tracked, which networks are ignored.
//! - `shared_lists`: both lists, as front ends see them change.
//! - [`policy`]: intervals, limits, lifetimes.
//! - [`udp`]: a UDP request and its answer.
//! - [`queue`]: the way of announce events from the front ends to the writer.
//! - `stats`: the table in numbers. [`software`]: clients by the software they say they are.
//!
//! Three invariants, by the names that the rest of the crate uses:
//!
//! - **single writer**: all stores to the table are made by one [`TableWriter`]; readers have no method that stores.
//! - **dense lists**: only the last line of a list may be partly filled.
//! - **resting numbers**: a freed line or torrent number is used again when no reader can still know it, after 128 ms or more.

#![forbid(unsafe_code)]

pub mod access_list;
mod addresses;
pub mod block_list;
mod grow;
#[cfg(test)]
mod interleaving;
mod limits;
mod lists;
mod memory;
mod numbers;
mod place;
pub mod policy;
mod pool;
pub mod queue;
mod random;
mod reader;
mod scan;
mod sharded;
mod shared_lists;
pub mod software;
mod stats;
mod torrents;
pub mod udp;
mod writer;

// For front ends.
pub use access_list::AccessList;
pub use block_list::BlockList;
pub use policy::Policy;
pub use queue::EventSink;
pub use random::Random;
pub use reader::TableReader;
pub use shared_lists::SharedLists;
pub use torrents::Torrents;
// For the writer's thread.
pub use limits::Limits;
pub use queue::{EventSource, queues};
pub use writer::{Applied, DropRound, Dropped, Expired, Millis, TableWriter};
// For who gives the table its memory.
pub use memory::{HeapRecords, HeapSegments, NoMemory, OutOfMemory, Segment, Segments, Words};
// For statistics.
pub use stats::Totals;
