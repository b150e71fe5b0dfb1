//! What becomes of an announce.

use tracker_common::event::AnnounceEvent;
use tracker_common::table::PeerAddress;
use tracker_common::table::layout::{Cell, Place, Torrent, hash_words};
use tracker_common::wire::AnnounceKind;

use super::TableWriter;
use crate::place;

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// A new peer.
    Added,
    /// A known peer: its deadline, and maybe what it is.
    Refreshed,
    /// A peer that stopped.
    Removed,
    /// An unknown peer that stopped.
    Unknown,
    /// No room: `max_torrents`.
    RefusedTorrent,
    /// No room: `max_peers`.
    RefusedPeer,
    /// No room: `max_peers_per_torrent`, or the largest possible list.
    RefusedPeersPerTorrent,
    /// No room: `max_torrents_per_address`.
    RefusedTorrentsPerAddress,
    /// No memory. A known peer stays as it was, with a new deadline.
    RefusedMemory,
}

/// Torrents entered into a growing index for each new one: it is ready long before the old one is full.
const GROWTH_PER_TORRENT: u32 = 32;

/// Of that, for all new torrents of a group of announces together: what they bring, or two new segments.
pub(super) const GROWTH_PER_GROUP: u32 = GROWTH_PER_TORRENT * super::batch::GROUP as u32;

impl TableWriter {
    /// Applies an announce of a torrent with this hash. `guess` is a torrent number that it may have.
    #[inline(always)]
    pub(super) fn apply_at(&mut self, event: &AnnounceEvent, hash: u64, guess: Option<u32>) -> Applied {
        let wanted = hash_words(event.info_hash());
        let index = self.buckets.index();
        let number = guess
            // A record has an info hash that no other in use has.
            .filter(|number| self.is_torrent(*number, wanted))
            .or_else(|| place::find(&self.memory, index, Place::of(hash, index.buckets), wanted));
        let applied = match number {
            Some(number) => {
                let before = self.torrent(number);
                let mut torrent = before;
                let applied = self.apply_to(&mut torrent, number, event);
                self.store(number, &before, &torrent);
                applied
            }
            None if event.kind() == AnnounceKind::Stopped => Applied::Unknown,
            None => self.apply_to_new(event, hash),
        };
        let counted = match applied {
            Applied::RefusedTorrent => &mut self.totals.refused_torrents,
            Applied::RefusedPeer => &mut self.totals.refused_peers,
            Applied::RefusedPeersPerTorrent => &mut self.totals.refused_peers_per_torrent,
            Applied::RefusedTorrentsPerAddress => &mut self.totals.refused_torrents_per_address,
            Applied::RefusedMemory => &mut self.totals.refused_memory,
            Applied::Added | Applied::Refreshed | Applied::Removed | Applied::Unknown => {
                &mut self.totals.announces_applied
            }
        };
        *counted += 1;
        applied
    }

    fn apply_to_new(&mut self, event: &AnnounceEvent, hash: u64) -> Applied {
        if self.totals.torrents >= u64::from(self.limits.max_torrents) {
            return Applied::RefusedTorrent;
        }
        if let Err(refused) = self.room_for(&event.peer(), 0) {
            return refused;
        }
        if !self.torrents.can_take(1, self.generation) {
            let Some(segment) = self.pool.take(&self.memory, self.generation) else {
                return Applied::RefusedMemory;
            };
            self.memory.use_for_torrents(segment);
            self.torrents.add_segment(segment);
        }
        let number =
            self.torrents.take(self.generation).expect("can_take has said so, or there is a new segment");
        let before = self.torrent(number);
        let mut torrent = Torrent::new(*event.info_hash());
        let applied = self.apply_to(&mut torrent, number, event);
        self.store(number, &before, &torrent);
        self.totals.torrents += 1;
        let (buckets, mut table) = self.index_and_table();
        if !buckets.enter(&mut table, hash, number) {
            self.remove_all_inline(&torrent);
            self.free(number, &torrent);
            return Applied::RefusedMemory;
        }
        let work = self.growth.min(GROWTH_PER_TORRENT);
        if work > 0 {
            self.growth = self.growth.saturating_sub(self.tend_index(work));
        }
        applied
    }

    fn apply_to(&mut self, torrent: &mut Torrent, number: u32, event: &AnnounceEvent) -> Applied {
        let (peer, seeder) = (event.peer(), event.seeder());
        // BEP 21: event "paused" of a peer that has something left.
        let partial = event.kind() == AnnounceKind::Paused && !seeder;
        let deadline_s = self.now.seconds() + u64::from(self.limits.peer_lifetime_s);
        let cell = Cell::new(deadline_s.div_ceil(self.unit_s), partial);
        match (self.find_peer(torrent, number, &peer, seeder), event.kind()) {
            (Some(at), AnnounceKind::Stopped) => {
                self.remove(torrent, number, at);
                Applied::Removed
            }
            (None, AnnounceKind::Stopped) => Applied::Unknown,
            (Some(at), kind) => {
                if let Err(refused) = self.replace(torrent, number, at, &peer, seeder, cell) {
                    return refused;
                }
                // U14: only who was a leecher can complete, so a repeated event counts once.
                if kind == AnnounceKind::Completed && seeder && !at.seeder() {
                    torrent.completed = torrent.completed.saturating_add(1);
                    self.totals.completed += 1;
                }
                Applied::Refreshed
            }
            (None, _) => {
                let added = self
                    .room_for(&peer, torrent.seeders + torrent.leechers)
                    .and_then(|()| self.add(torrent, number, &peer, seeder, cell));
                added.err().unwrap_or(Applied::Added)
            }
        }
    }

    /// Whether the limits allow another peer in a torrent of `peers`.
    fn room_for(&self, peer: &PeerAddress, peers: u32) -> Result<(), Applied> {
        if self.totals.peers() >= u64::from(self.limits.max_peers) {
            return Err(Applied::RefusedPeer);
        }
        if peers >= self.limits.peers_of_a_torrent() {
            return Err(Applied::RefusedPeersPerTorrent);
        }
        match &self.addresses {
            Some(addresses) if addresses.entries(peer) >= self.limits.max_torrents_per_address => {
                Err(Applied::RefusedTorrentsPerAddress)
            }
            _ => Ok(()),
        }
    }
}
