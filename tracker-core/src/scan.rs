//! Where a peer is in a list.
//!
//! Short lists are scanned line by line. A long list has an index: a hash table of positions, whose keys are the peers in the lines
//! themselves, so it costs 6 to 12 bytes a peer and can be rebuilt from the lines at any time. The hash is keyed: a client must not be able
//! to choose ports that collide. It grows in small steps, see `sharded`.

use std::collections::BTreeMap;

use tracker_common::siphash::siphash_1_3_20;
use tracker_common::table::layout::{List, ListName, line_position};
use tracker_common::table::{Family, PeerAddress};

use crate::lists::{line, peer_at};
use crate::memory::Memory;
use crate::sharded::Sharded;

/// Longest list that is scanned: 52 lines of IPv4, about half a microsecond.
pub(crate) const MAX_SCANNED: u32 = 512;
/// An index is kept until its list is this short, so that a list at the limit doesn't build one with each peer.
pub(crate) const MIN_INDEXED: u32 = MAX_SCANNED / 2;

/// The indexes of all long lists, by torrent number and list.
#[derive(Debug, Default)]
pub(crate) struct Indexes {
    positions: BTreeMap<(u32, ListName), Sharded<u32>>,
}

impl Indexes {
    /// Position of a peer in a list.
    pub(crate) fn find(
        &self,
        memory: &Memory,
        torrent: u32,
        name: ListName,
        list: List,
        peer: &PeerAddress,
    ) -> Option<u32> {
        let family = name.family();
        if list.count > MIN_INDEXED
            && let Some(positions) = self.positions.get(&(torrent, name))
        {
            let found = positions.find(hash(memory, peer), |at| peer_at(memory, list, family, *at) == *peer);
            return found.copied();
        }
        let per_line = family.per_line();
        (0..list.count.div_ceil(per_line)).find_map(|index| {
            let peers = (list.count - index * per_line).min(per_line);
            line_position(&line(memory, list, family, index), peers, peer).map(|slot| index * per_line + slot)
        })
    }

    /// The last peer of the list was appended.
    pub(crate) fn appended(&mut self, memory: &Memory, torrent: u32, name: ListName, list: List) {
        let last = list.count - 1;
        if let Some(positions) = self.positions.get_mut(&(torrent, name)) {
            let peer = peer_at(memory, list, name.family(), last);
            positions.insert(hash(memory, &peer), last, |at| hash_at(memory, list, name.family(), *at));
        } else if list.count > MAX_SCANNED {
            let mut positions = Sharded::default();
            for at in 0..list.count {
                positions.insert(hash_at(memory, list, name.family(), at), at, |at| {
                    hash_at(memory, list, name.family(), *at)
                });
            }
            self.positions.insert((torrent, name), positions);
        }
    }

    /// The peer at `position` is about to be removed and the list's last to take its place.
    pub(crate) fn removing(
        &mut self,
        memory: &Memory,
        torrent: u32,
        name: ListName,
        list: List,
        position: u32,
    ) {
        let family = name.family();
        let Some(positions) = self.positions.get_mut(&(torrent, name)) else { return };
        if list.count <= MIN_INDEXED {
            self.positions.remove(&(torrent, name));
            return;
        }
        let last = list.count - 1;
        positions.remove(hash_at(memory, list, family, position), |at| *at == position);
        if position != last
            && let Some(moved) = positions.find_mut(hash_at(memory, list, family, last), |at| *at == last)
        {
            *moved = position;
        }
    }

    /// The list is gone.
    pub(crate) fn cleared(&mut self, torrent: u32, name: ListName) {
        self.positions.remove(&(torrent, name));
    }
}

fn hash_at(memory: &Memory, list: List, family: Family, position: u32) -> u64 {
    hash(memory, &peer_at(memory, list, family, position))
}

fn hash(memory: &Memory, peer: &PeerAddress) -> u64 {
    let mut padded = [0; 20];
    let bytes = peer.bytes();
    padded[..bytes.len()].copy_from_slice(bytes);
    siphash_1_3_20(memory.hash_key(), &padded)
}
