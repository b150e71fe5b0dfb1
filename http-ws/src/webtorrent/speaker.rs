//! A peer id and the connection that speaks for it.
//!
//! A client that is in thousands of swarms has one peer id: it is kept once, and its swarms and its memberships share it. Made by
//! [`Swarms::speaker`](super::swarms::Swarms::speaker), since swarms find members by a hash that only they can make.

use std::hash::BuildHasher;

use super::connection_id::ConnectionId;
use super::id::PeerId;

/// Who is, or wants to be, a member of swarms.
#[derive(Debug)]
pub struct Speaker {
    pub(super) peer: PeerId,
    pub(super) connection: ConnectionId,
    /// Of the peer id. A swarm that moves a member needs it, and there is room for it in what malloc gives.
    pub(super) hash: u64,
}

/// With the two counts of an `Arc` and malloc's own word 64 bytes, which would be 64 without the hash, too.
const _: () = assert!(size_of::<Speaker>() == 40);

impl Speaker {
    pub(super) fn new(peer: PeerId, connection: ConnectionId, hasher: &impl BuildHasher) -> Self {
        Self { peer, connection, hash: hasher.hash_one(peer) }
    }

    /// Whether both are the same claim to a peer id, wherever they are kept.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.connection == other.connection && self.peer == other.peer
    }
}
