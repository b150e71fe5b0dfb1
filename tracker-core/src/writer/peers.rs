//! A torrent's peers: found, added, changed, removed. The torrent is the caller's copy, stored afterwards.

use tracker_common::table::layout::{Cell, InlinePeer, Kind, ListName, MAX_DEPTH, Torrent};
use tracker_common::table::{Family, PeerAddress};

use super::{Applied, TableWriter};
use crate::lists::{self, MAX_RECORDS_PER_APPEND, peer_at};

/// Where a peer is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Whereabouts {
    Inline { slot: usize, peer: InlinePeer },
    Listed { name: ListName, position: u32 },
}

impl Whereabouts {
    pub(super) fn seeder(&self) -> bool {
        match self {
            Self::Inline { peer, .. } => peer.seeder,
            Self::Listed { name, .. } => name.seeders(),
        }
    }
}

impl TableWriter {
    pub(super) fn find_peer(
        &self,
        torrent: &Torrent,
        number: u32,
        peer: &PeerAddress,
        seeder: bool,
    ) -> Option<Whereabouts> {
        let family = peer.family();
        if torrent.kind == Kind::Lists {
            // Most peers are what they were.
            return [seeder, !seeder].into_iter().find_map(|seeder| {
                let name = ListName::of(family, seeder);
                let position = self.indexes.find(&self.memory, number, name, torrent.list(name), peer)?;
                Some(Whereabouts::Listed { name, position })
            });
        }
        torrent.inline(family).into_iter().enumerate().find_map(|(slot, inline)| {
            inline.filter(|inline| inline.address == *peer).map(|peer| Whereabouts::Inline { slot, peer })
        })
    }

    fn cell_at(&self, torrent: &Torrent, at: Whereabouts) -> Cell {
        match at {
            Whereabouts::Inline { peer, .. } => peer.cell,
            Whereabouts::Listed { name, position } => {
                self.lines.cell(&self.memory, torrent.list(name), name.family(), position)
            }
        }
    }

    /// Adds a peer that the torrent doesn't have, unless there is no room for it.
    pub(super) fn add(
        &mut self,
        torrent: &mut Torrent,
        number: u32,
        peer: &PeerAddress,
        seeder: bool,
        cell: Cell,
    ) -> Result<(), Applied> {
        match free_slot(torrent, peer.family()) {
            Some(slot) => {
                torrent.set_inline(slot, Some(InlinePeer { address: *peer, seeder, cell }));
                *count_of(torrent, seeder) += 1;
            }
            None => {
                if torrent.kind != Kind::Lists {
                    self.move_to_lists(torrent, number)?;
                }
                self.append(torrent, number, ListName::of(peer.family(), seeder), peer, cell)?;
            }
        }
        torrent.partial += u32::from(cell.partial());
        if let Some(addresses) = &mut self.addresses {
            addresses.added(peer);
        }
        Ok(())
    }

    /// A known peer announced: its new deadline, and another list or flag if it changed. When there is no room for the change it stays what
    /// it was, with the new deadline.
    pub(super) fn replace(
        &mut self,
        torrent: &mut Torrent,
        number: u32,
        at: Whereabouts,
        peer: &PeerAddress,
        seeder: bool,
        cell: Cell,
    ) -> Result<(), Applied> {
        let was = self.cell_at(torrent, at);
        match at {
            Whereabouts::Inline { slot, peer: before } => {
                *count_of(torrent, before.seeder) -= 1;
                *count_of(torrent, seeder) += 1;
                torrent.set_inline(slot, Some(InlinePeer { address: *peer, seeder, cell }));
            }
            Whereabouts::Listed { name, position } => {
                let target = ListName::of(peer.family(), seeder);
                if target != name {
                    // Into the new list before out of the old one; readers see both at once, when the record is stored.
                    if let Err(refused) = self.append(torrent, number, target, peer, cell) {
                        let cell = cell.with_partial(was.partial());
                        self.lines.set_cell(&self.memory, torrent.list(name), name.family(), position, cell);
                        return Err(refused);
                    }
                    self.remove_listed(torrent, number, name, position);
                } else if was != cell {
                    self.lines.set_cell(&self.memory, torrent.list(name), name.family(), position, cell);
                }
            }
        }
        torrent.partial = torrent.partial - u32::from(was.partial()) + u32::from(cell.partial());
        Ok(())
    }

    pub(super) fn remove(&mut self, torrent: &mut Torrent, number: u32, at: Whereabouts) {
        torrent.partial -= u32::from(self.cell_at(torrent, at).partial());
        if let Some(addresses) = &mut self.addresses {
            addresses.removed(&match at {
                Whereabouts::Inline { peer, .. } => peer.address,
                Whereabouts::Listed { name, position } => {
                    peer_at(&self.memory, torrent.list(name), name.family(), position)
                }
            });
        }
        match at {
            Whereabouts::Inline { slot, peer } => {
                *count_of(torrent, peer.seeder) -= 1;
                torrent.set_inline(slot, None);
            }
            Whereabouts::Listed { name, position } => self.remove_listed(torrent, number, name, position),
        }
    }

    /// The peers of a torrent that never got into the index aren't counted any more.
    pub(super) fn remove_all_inline(&mut self, torrent: &Torrent) {
        let Some(addresses) = &mut self.addresses else { return };
        for family in [Family::V4, Family::V6] {
            torrent.inline(family).into_iter().flatten().for_each(|peer| addresses.removed(&peer.address));
        }
    }

    fn append(
        &mut self,
        torrent: &mut Torrent,
        number: u32,
        name: ListName,
        peer: &PeerAddress,
        cell: Cell,
    ) -> Result<(), Applied> {
        let list = torrent.list(name);
        if list.count >= lists::max_peers(name.family()) {
            return Err(Applied::RefusedPeersPerTorrent);
        }
        self.make_room(MAX_RECORDS_PER_APPEND)?;
        let list = self.lines.append(&self.memory, list, peer, cell, self.generation);
        self.indexes.appended(&self.memory, number, name, list);
        torrent.set_list(name, list);
        Ok(())
    }

    fn remove_listed(&mut self, torrent: &mut Torrent, number: u32, name: ListName, position: u32) {
        self.peers_move(number);
        let list = torrent.list(name);
        self.indexes.removing(&self.memory, number, name, list, position);
        let list = self.lines.remove(&self.memory, list, name.family(), position, self.generation);
        torrent.set_list(name, list);
    }

    /// From the record to lists, with room for one append after it.
    fn move_to_lists(&mut self, torrent: &mut Torrent, number: u32) -> Result<(), Applied> {
        self.make_room(MAX_RECORDS_TO_LIST)?;
        let peers = [Family::V4, Family::V6].map(|family| torrent.inline(family));
        *torrent = Torrent { kind: Kind::Lists, seeders: 0, leechers: 0, payload: [0; 3], ..*torrent };
        for peer in peers.into_iter().flatten().flatten() {
            let name = ListName::of(peer.address.family(), peer.seeder);
            let appended = self.append(torrent, number, name, &peer.address, peer.cell);
            debug_assert!(appended.is_ok(), "there is room for all of them");
        }
        Ok(())
    }

    fn make_room(&mut self, records: u32) -> Result<(), Applied> {
        let room = self.lines.make_room(&self.memory, &mut self.pool, records, self.generation);
        if room { Ok(()) } else { Err(Applied::RefusedMemory) }
    }
}

/// Records that [`TableWriter::move_to_lists`] and one append after it take at most: up to three new lists of one line, and an append; each of
/// these sees to it that there is room for a large one.
const MAX_RECORDS_TO_LIST: u32 = 3 + 1 + MAX_DEPTH + MAX_RECORDS_PER_APPEND;

/// The slot of a torrent's own record that a new peer may take.
fn free_slot(torrent: &Torrent, family: Family) -> Option<usize> {
    match (torrent.kind, family) {
        (Kind::Inline4, Family::V4) => torrent.inline(Family::V4).iter().position(Option::is_none),
        (Kind::Inline4 | Kind::Inline6, Family::V6) => (torrent.seeders + torrent.leechers == 0).then_some(0),
        _ => None,
    }
}

/// The count that a peer is part of.
fn count_of(torrent: &mut Torrent, seeder: bool) -> &mut u32 {
    if seeder { &mut torrent.seeders } else { &mut torrent.leechers }
}
