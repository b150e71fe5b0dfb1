//! One torrent's members: who joins, who leaves, who gets an offer. No lock, no clock, no I/O.
//!
//! A member is known by its peer id and belongs to a connection. When a second connection announces the same peer id, it takes the member's
//! place and the first one's claim is kept aside (W07): a client that has lost its connection comes back at once, and a stranger who
//! copies somebody's peer id has it for as long as he stays and no longer.

use std::hash::RandomState;

use indexmap::IndexMap;
use indexmap::map::Entry;
use tracker_common::wire::AnnounceKind;
use tracker_core::Random;

use super::{Counts, Recipient};
use crate::webtorrent::connection_id::ConnectionId;
use crate::webtorrent::id::PeerId;

/// A connection's claim to be a peer of the torrent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Claim {
    connection: ConnectionId,
    seeder: bool,
}

/// Claims that are kept aside at most; of more, the oldest are forgotten. An honest swarm has one now and then.
const MAX_ASIDE: usize = 64;

/// A torrent.
#[derive(Debug)]
pub(super) struct Swarm {
    /// In no order: who leaves is replaced by the last one, so that a random position is a random member.
    members: IndexMap<PeerId, Claim, RandomState>,
    /// Claims whose peer id another connection has taken, the latest last. Almost always empty.
    aside: Vec<(PeerId, Claim)>,
    seeders: u32,
    completed: u32,
}

/// How a swarm has changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Change {
    /// Claims more or less, the ones that are kept aside included.
    pub(super) claims: i64,
    /// Seeders more or less.
    pub(super) seeders: i64,
}

impl Swarm {
    pub(super) fn new(hasher: RandomState) -> Self {
        Self { members: IndexMap::with_hasher(hasher), aside: Vec::new(), seeders: 0, completed: 0 }
    }

    pub(super) fn counts(&self) -> Counts {
        Counts {
            complete: self.seeders,
            incomplete: self.members.len() as u32 - self.seeders,
            downloaded: self.completed,
        }
    }

    /// All claims, the ones that are kept aside included.
    pub(super) fn claims(&self) -> usize {
        self.members.len() + self.aside.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Whether this connection has announced this peer.
    pub(super) fn has(&self, peer: &PeerId, connection: ConnectionId) -> bool {
        self.members.get(peer).is_some_and(|claim| claim.connection == connection)
            || self.aside.iter().any(|(id, claim)| id == peer && claim.connection == connection)
    }

    /// A peer is there, or still is.
    pub(super) fn join(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        kind: AnnounceKind,
        seeder: bool,
    ) -> Change {
        let claim = Claim { connection, seeder };
        let claims_before = self.claims();
        let seeders_before = self.seeders;
        match self.members.entry(peer) {
            Entry::Vacant(place) => {
                place.insert(claim);
            }
            Entry::Occupied(mut place) => {
                let before = place.insert(claim);
                self.seeders -= u32::from(before.seeder);
                // U14: of somebody who was a leecher.
                self.completed += u32::from(kind == AnnounceKind::Completed && seeder && !before.seeder);
                if before.connection != connection {
                    self.aside.retain(|(id, claim)| *id != peer || claim.connection != connection);
                    if self.aside.len() >= MAX_ASIDE {
                        self.aside.remove(0);
                    }
                    self.aside.push((peer, before));
                }
            }
        }
        self.seeders += u32::from(seeder);
        self.change_since(claims_before, seeders_before)
    }

    /// A connection gives up its claim; whose place it had taken is a member again.
    pub(super) fn leave(&mut self, peer: &PeerId, connection: ConnectionId) -> Change {
        let claims_before = self.claims();
        let seeders_before = self.seeders;
        if self.members.get(peer).is_some_and(|claim| claim.connection == connection) {
            let next = self.aside.iter().rposition(|(id, _)| id == peer).map(|at| self.aside.remove(at).1);
            let left = match next {
                Some(claim) => {
                    self.seeders += u32::from(claim.seeder);
                    self.members.insert(*peer, claim)
                }
                None => self.members.swap_remove(peer),
            };
            self.seeders -= u32::from(left.is_some_and(|claim| claim.seeder));
            self.give_back_memory();
        } else {
            self.aside.retain(|(id, claim)| id != peer || claim.connection != connection);
        }
        self.change_since(claims_before, seeders_before)
    }

    /// Up to `count` members other than `peer`, each set of them with the same chance (Floyd's algorithm).
    pub(super) fn pick(&self, peer: &PeerId, count: usize, random: &mut Random, picked: &mut Vec<Recipient>) {
        let own = self.members.get_index_of(peer);
        let others = self.members.len() - usize::from(own.is_some());
        let count = count.min(others);
        let begin = picked.len();
        for limit in others - count..others {
            let drawn = below(random, limit + 1);
            // A position that is taken already stands for the one that has just come into reach.
            let taken = |at: usize| {
                picked.get(begin..).unwrap_or_default().iter().any(|recipient| recipient.position == at)
            };
            let position = if taken(drawn) { limit } else { drawn };
            // Positions are counted without the sender.
            let at = position + usize::from(own.is_some_and(|own| position >= own));
            let Some((peer, claim)) = self.members.get_index(at) else { continue };
            picked.push(Recipient { peer: *peer, connection: claim.connection, position });
        }
    }

    fn change_since(&self, claims: usize, seeders: u32) -> Change {
        Change {
            claims: self.claims() as i64 - claims as i64,
            seeders: i64::from(self.seeders) - i64::from(seeders),
        }
    }

    /// Crowds come and go.
    fn give_back_memory(&mut self) {
        const WORTH_WHILE: usize = 64;
        if self.members.capacity() > WORTH_WHILE && self.members.capacity() > 4 * self.members.len() {
            self.members.shrink_to(2 * self.members.len());
        }
    }
}

/// A number below `limit`, which is at least 1; each with the same chance but for one part in 2^32.
fn below(random: &mut Random, limit: usize) -> usize {
    ((u128::from(random.next()) * limit as u128) >> 64) as usize
}
