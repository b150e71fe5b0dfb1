//! Cleaning: peers that didn't announce in time, torrents without peers.

use tracker_common::table::Family;
use tracker_common::table::layout::{Cell, InlinePeer, Kind, ListName, Torrent};

use super::peers::Whereabouts;
use super::{Millis, TableWriter};
use crate::lists::peer_at;

/// What a slice of cleaning did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expired {
    /// Peers removed.
    pub peers: u32,
    /// Torrents freed.
    pub torrents: u32,
    /// Of the budget, what was used.
    pub looked: u32,
    /// The slice reached the end of the table: the next one begins at the front.
    pub wrapped: bool,
}

/// Where the next slice goes on.
#[derive(Debug, Default)]
pub(super) struct Cursor {
    /// Position of a torrent's record.
    position: u32,
    /// The list of that torrent, and how many peers at its front haven't been looked at.
    list: usize,
    left: Option<u32>,
}

impl Cursor {
    const fn is_at_a_torrents_begin(&self) -> bool {
        self.list == 0 && self.left.is_none()
    }
}

/// Time that a call may take, in nanoseconds; rough, since nobody looks at a clock.
#[derive(Debug)]
pub(super) struct Effort(u32);

impl Effort {
    /// A third of a millisecond.
    pub(super) const fn new() -> Self {
        Self(300_000)
    }

    pub(super) const fn is_left(&self) -> bool {
        self.0 > 0
    }

    pub(super) const fn spend(&mut self, nanoseconds: u32) {
        self.0 = self.0.saturating_sub(nanoseconds);
    }
}

/// A record that lies in the order of memory, and its peers.
const LOOK_AT_TORRENT: u32 = 12;
/// The cells of a line, and the directories above it.
const LOOK_AT_LINE: u32 = 30;
/// A peer of a list; one that has an index is found there twice.
pub(super) const REMOVE_PEER: u32 = 120;
pub(super) const REMOVE_INDEXED_PEER: u32 = 400;
/// A torrent, from an index that isn't in the cache.
pub(super) const FREE_TORRENT: u32 = 300;
/// A torrent entered into a growing index.
const ENTER_TORRENT: u32 = 60;

/// Work on the index in each slice.
const INDEX_WORK: u32 = 512;

impl TableWriter {
    /// Goes on cleaning where the last call ended: removes peers whose deadline has passed, and frees torrents without peers.
    ///
    /// Looks at `budget` torrent records and peers of lists, or at fewer: no call takes longer than a fraction of a millisecond, so the caller
    /// comes back for the rest ([`Expired::looked`]) after it has applied what has come meanwhile. The whole table, which is
    /// [`TableWriter::round`], is to be looked at once in a cleaning interval.
    pub fn expire(&mut self, now: Millis, budget: u32) -> Expired {
        self.advance(now);
        let mut expired = Expired::default();
        let mut effort = Effort::new();
        effort.spend(self.tend_index(INDEX_WORK) * ENTER_TORRENT);
        // Something is done in each call, or nothing would ever be.
        while expired.looked < budget && (effort.is_left() || expired.looked == 0) {
            if self.cursor.position >= self.torrents.high_water() {
                self.cursor = Cursor::default();
                expired.wrapped = true;
                break;
            }
            let number = self.torrents.at(self.cursor.position);
            if self.cursor.is_at_a_torrents_begin() {
                expired.looked += 1;
                effort.spend(LOOK_AT_TORRENT);
            }
            if self.clean(number, budget, &mut expired, &mut effort) {
                self.cursor = Cursor { position: self.cursor.position + 1, ..Cursor::default() };
            }
        }
        self.totals.peers_expired += u64::from(expired.peers);
        self.publish();
        expired
    }

    /// Torrent records and peers of lists, at most: what all calls of [`TableWriter::expire`] look at in one round through the table.
    pub fn round(&self) -> u64 {
        u64::from(self.torrents.high_water()) + self.totals.peers()
    }

    /// Cleans a torrent; false when the slice ended in the middle of it.
    fn clean(&mut self, number: u32, budget: u32, expired: &mut Expired, effort: &mut Effort) -> bool {
        let mut before = self.torrent(number);
        let mut torrent = before;
        let done = match before.kind {
            Kind::Free => return true,
            Kind::Inline4 | Kind::Inline6 => {
                self.expire_inline(&mut torrent, number, expired);
                true
            }
            Kind::Lists => self.expire_listed(&mut before, &mut torrent, number, budget, expired, effort),
        };
        if torrent.seeders + torrent.leechers == 0 {
            self.store(number, &before, &torrent);
            self.free(number, &torrent);
            expired.torrents += 1;
            effort.spend(FREE_TORRENT);
            return true;
        }
        if done && torrent.kind == Kind::Lists {
            self.move_inline(&mut torrent, number);
        }
        self.store(number, &before, &torrent);
        done
    }

    fn expire_inline(&mut self, torrent: &mut Torrent, number: u32, expired: &mut Expired) {
        let now = self.now_units();
        for family in [Family::V4, Family::V6] {
            for (slot, peer) in torrent.inline(family).into_iter().enumerate() {
                if let Some(peer) = peer.filter(|peer| peer.cell.expired(now)) {
                    self.remove(torrent, number, Whereabouts::Inline { slot, peer });
                    expired.peers += 1;
                }
            }
        }
    }

    /// False when the slice ended before all lists were looked at. What was done is true all the same, counted, and stored: `before` is what
    /// the record says.
    fn expire_listed(
        &mut self,
        before: &mut Torrent,
        torrent: &mut Torrent,
        number: u32,
        budget: u32,
        expired: &mut Expired,
        effort: &mut Effort,
    ) -> bool {
        let now = self.now_units();
        while let Some(name) = ListName::ALL.get(self.cursor.list).copied() {
            let per_line = name.family().per_line();
            // From the end: what moves into a hole has been looked at, and so has what was appended since the last slice: it is new.
            let mut left = self.cursor.left.unwrap_or(u32::MAX).min(torrent.list(name).count);
            while left > 0 {
                if expired.looked >= budget || !effort.is_left() {
                    self.cursor.left = Some(left);
                    return false;
                }
                let list = torrent.list(name);
                let line = (left - 1) / per_line;
                let cells = *self.lines.cells_of_line(&self.memory, list, name.family(), line);
                effort.spend(LOOK_AT_LINE);
                let first = line * per_line;
                for position in (first..left).rev() {
                    if Cell(cells[(position - first) as usize]).expired(now) {
                        self.remove(torrent, number, Whereabouts::Listed { name, position });
                        // One by one: until it is stored, readers pick again and again.
                        self.store(number, before, torrent);
                        *before = *torrent;
                        expired.peers += 1;
                        effort.spend(removal(list.count));
                    }
                }
                expired.looked = expired.looked.saturating_add(left - first);
                left = first;
            }
            self.cursor.list += 1;
            self.cursor.left = None;
        }
        true
    }

    /// From lists back to the record, when few enough are left. Only in cleaning: a swarm that goes back and forth over the limit
    /// shouldn't change its shape with each announce.
    fn move_inline(&mut self, torrent: &mut Torrent, number: u32) {
        let lists = ListName::ALL.map(|name| (name, torrent.list(name)));
        let of_family = |family| -> u32 {
            lists.iter().filter(|(name, _)| name.family() == family).map(|(_, list)| list.count).sum()
        };
        if !matches!((of_family(Family::V4), of_family(Family::V6)), (0..=3, 0) | (0, 1)) {
            return;
        }
        let mut inline = Torrent { kind: Kind::Inline4, payload: [0; 3], ..*torrent };
        let mut slot = 0;
        for (name, list) in lists {
            for position in 0..list.count {
                let address = peer_at(&self.memory, list, name.family(), position);
                let cell = self.lines.cell(&self.memory, list, name.family(), position);
                inline.set_inline(slot, Some(InlinePeer { address, seeder: name.seeders(), cell }));
                slot += 1;
            }
            self.lines.clear(&self.memory, list, name.family(), self.generation);
            self.indexes.cleared(number, name);
        }
        *torrent = inline;
    }
}

/// Effort of removing a peer from a list of `count`.
pub(super) const fn removal(count: u32) -> u32 {
    if count > crate::scan::MIN_INDEXED { REMOVE_INDEXED_PEER } else { REMOVE_PEER }
}
