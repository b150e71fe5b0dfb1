//! Dropping torrents that the access list doesn't allow any more.

use tracker_common::table::Family;
use tracker_common::table::layout::{Kind, ListName, Torrent};
use tracker_common::wire::InfoHash;

use super::cleaning::{Effort, FREE_TORRENT, removal};
use super::peers::Whereabouts;
use super::{Millis, TableWriter};

/// How far a round of dropping has come. A new round begins with the default.
#[derive(Debug, Default)]
pub struct DropRound {
    position: u32,
}

/// What a slice of a round did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Torrents dropped with all of their peers.
    pub torrents: u32,
    /// The round has come to its end.
    pub done: bool,
}

/// A record looked at, and its info hash in a list that isn't in the cache.
const ASK: u32 = 120;

impl TableWriter {
    /// Goes on with a round of dropping the torrents of which `denied` is true, with their peers.
    ///
    /// No call takes longer than a fraction of a millisecond. After a whole round there is no such torrent, but for those that were
    /// announced meanwhile by somebody who didn't know yet.
    pub fn drop_torrents(
        &mut self,
        round: &mut DropRound,
        denied: impl Fn(&InfoHash) -> bool,
        now: Millis,
    ) -> Dropped {
        self.advance(now);
        let mut dropped = Dropped::default();
        let mut effort = Effort::new();
        while effort.is_left() && !dropped.done {
            if round.position >= self.torrents.high_water() {
                dropped.done = true;
                break;
            }
            let number = self.torrents.at(round.position);
            let torrent = self.torrent(number);
            effort.spend(ASK);
            let is_denied = torrent.kind != Kind::Free && denied(&torrent.info_hash);
            if is_denied && !self.drop_some(number, &torrent, &mut effort) {
                break;
            }
            dropped.torrents += u32::from(is_denied);
            round.position += 1;
        }
        self.publish();
        dropped
    }

    /// Removes a torrent's peers, and then the torrent; false when there is more to do.
    fn drop_some(&mut self, number: u32, before: &Torrent, effort: &mut Effort) -> bool {
        let mut torrent = *before;
        for family in [Family::V4, Family::V6] {
            for (slot, peer) in torrent.inline(family).into_iter().enumerate() {
                if let Some(peer) = peer {
                    self.remove(&mut torrent, number, Whereabouts::Inline { slot, peer });
                }
            }
        }
        for name in ListName::ALL {
            while let Some(position) = torrent.list(name).count.checked_sub(1).filter(|_| effort.is_left()) {
                effort.spend(removal(position));
                self.remove(&mut torrent, number, Whereabouts::Listed { name, position });
            }
        }
        self.store(number, before, &torrent);
        let empty = torrent.seeders + torrent.leechers == 0;
        if empty {
            self.free(number, &torrent);
            effort.spend(FREE_TORRENT);
        }
        empty
    }
}
