//! Cleaning: peers that didn't announce in time, torrents without peers, torrents that the access list now denies.

use tracker_common::table::Family;
use tracker_common::table::layout::{InlinePeer, Kind, ListName, Torrent};
use tracker_common::wire::InfoHash;

use super::{Millis, TableWriter, Whereabouts};
use crate::lists::peer_at;
use crate::place;

/// What a slice of cleaning did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expired {
    /// Peers removed.
    pub peers: u32,
    /// Torrents freed.
    pub torrents: u32,
    /// The slice reached the end of the table: the next one begins at the front.
    pub wrapped: bool,
}

impl TableWriter {
    /// Cleans the next `budget` torrent records: removes peers whose deadline has passed, and frees torrents without peers.
    ///
    /// The whole table is to be cleaned once in a cleaning interval: in slices, so that announces don't wait. A torrent is cleaned as a
    /// whole, 655,360 peers take about 2 ms.
    pub fn expire(&mut self, now: Millis, budget: u32) -> Expired {
        self.advance(now);
        let mut expired = Expired::default();
        for _ in 0..budget {
            if self.cursor >= self.torrents.high_water() {
                self.cursor = 1;
                expired.wrapped = true;
                break;
            }
            let number = self.cursor;
            self.cursor += 1;
            let mut torrent = self.torrent(number);
            if torrent.kind == Kind::Free {
                continue;
            }
            let before = torrent;
            expired.peers += self.expire_peers(&mut torrent, number, now);
            if torrent.seeders + torrent.leechers == 0 {
                self.free(number, &before);
                expired.torrents += 1;
            } else {
                self.move_inline(&mut torrent, number);
                self.store(number, &torrent);
            }
        }
        self.totals.peers_expired += u64::from(expired.peers);
        self.publish();
        expired
    }

    /// Drops all torrents of which `denied` is true (the access list has changed), with their peers; how many.
    pub fn drop_torrents(&mut self, denied: impl Fn(&InfoHash) -> bool, now: Millis) -> u32 {
        self.advance(now);
        let mut dropped = 0;
        for number in 1..self.torrents.high_water() {
            let torrent = self.torrent(number);
            if torrent.kind != Kind::Free && denied(&torrent.info_hash) {
                for name in ListName::ALL {
                    self.lines.clear(&self.memory, torrent.list(name), name.family(), self.generation);
                    self.indexes.cleared(number, name);
                }
                self.free(number, &torrent);
                dropped += 1;
            }
        }
        self.publish();
        dropped
    }

    /// Removes the peers of a torrent whose deadline has passed; how many.
    fn expire_peers(&mut self, torrent: &mut Torrent, number: u32, now: Millis) -> u32 {
        let now_s = now.seconds();
        let mut expired = 0;
        for family in [Family::V4, Family::V6] {
            for (slot, peer) in torrent.inline(family).into_iter().enumerate() {
                if let Some(InlinePeer { cell, .. }) = peer
                    && cell.expired(now_s)
                {
                    self.remove(torrent, number, Whereabouts::Inline { slot, cell });
                    expired += 1;
                }
            }
        }
        for name in ListName::ALL {
            // From the end: what moves into a hole has been looked at.
            for position in (0..torrent.list(name).count).rev() {
                let at = Whereabouts::Listed { name, position };
                if self.cell_at(torrent, at).expired(now_s) {
                    self.remove(torrent, number, at);
                    expired += 1;
                }
            }
        }
        expired
    }

    /// From lists back to the record, when few enough are left. Only in cleaning: a swarm that goes back and forth over the limit
    /// shouldn't change its shape with each announce.
    fn move_inline(&mut self, torrent: &mut Torrent, number: u32) {
        let lists = ListName::ALL.map(|name| (name, torrent.list(name)));
        let of_family = |family| -> u32 {
            lists.iter().filter(|(name, _)| name.family() == family).map(|(_, list)| list.count).sum()
        };
        let fits = matches!((of_family(Family::V4), of_family(Family::V6)), (0..=3, 0) | (0, 1));
        if torrent.kind != Kind::Lists || !fits {
            return;
        }
        let mut inline = Torrent { kind: Kind::Inline4, payload: [0; 3], ..*torrent };
        let mut slot = 0;
        for (name, list) in lists {
            for position in 0..list.count {
                let address = peer_at(&self.memory, list, name.family(), position);
                let cell = self.lines.cell(&self.memory, list, name.family(), position);
                inline.set_inline(slot, Some(InlinePeer { address, cell }));
                slot += 1;
            }
            self.lines.clear(&self.memory, list, name.family(), self.generation);
            self.indexes.cleared(number, name);
        }
        *torrent = inline;
    }

    /// Frees a torrent whose lines have been freed.
    pub(super) fn free(&mut self, number: u32, torrent: &Torrent) {
        place::remove(&self.memory, &torrent.info_hash);
        self.store(number, &Torrent { kind: Kind::Free, ..Torrent::new(torrent.info_hash) });
        self.torrents.free(number, self.generation);
        self.totals.torrents -= 1;
    }
}
