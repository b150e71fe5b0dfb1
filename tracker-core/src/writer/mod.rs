//! The single writer of the swarm table: applies announces, lets peers expire, drops torrents.
//!
//! [`TableWriter`] can't be cloned and its methods take `&mut self`, so there is one at a time; [`TableReader`] can be cloned freely and has
//! no method that stores. Time is an argument: milliseconds of a clock that never goes backwards.
//!
//! Each change is made in an order that leaves readers with something true at every step: first the lines, then the torrent's record under
//! its version, then, for a new torrent, its slot in the index. Whatever a change takes out of reach is freed in the generation
//! of this call, and the generation is only advanced at the beginning of a call: so nothing can be handed out again while a reader that
//! still knows it counts itself to the same or the next generation.
//!
//! Tests: `tests/model.rs` (against a plain map), `tests/writer.rs` (each rule by name), `tests/concurrent.rs`.

use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

use tracker_common::event::AnnounceEvent;
use tracker_common::siphash::SipKey;
use tracker_common::table::layout::{
    Cell, InlinePeer, Kind, List, ListName, MAX_DEPTH, TORRENT_VERSION_MASK, Torrent, WORDS, torrent_version,
};
use tracker_common::table::{Family, PeerAddress};
use tracker_common::wire::AnnounceKind;

use crate::lists::{self, Lines, MAX_RECORDS_PER_APPEND};
use crate::memory::{Memory, OutOfMemory, load};
use crate::numbers::{GENERATION_SHIFT, Numbers};
use crate::place;
use crate::reader::TableReader;
use crate::scan::Indexes;
use crate::stats::Totals;

mod cleaning;

pub use cleaning::Expired;

/// Milliseconds of a monotonic clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Millis(pub u64);

impl Millis {
    const fn seconds(self) -> u64 {
        self.0 / 1000
    }

    const fn generation(self) -> u64 {
        self.0 >> GENERATION_SHIFT
    }
}

/// How much the table holds, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Torrents at most; announces of further ones are refused and counted.
    pub max_torrents: u32,
    /// Peers at most, of all torrents; further ones are refused and counted.
    pub max_peers: u32,
    /// A peer is removed when it hasn't announced for this long; at most [`Cell::MAX_LIFETIME_S`].
    pub peer_lifetime_s: u32,
}

impl Limits {
    /// Torrent 0 is never used; some more than `max_torrents`, so that a full table still takes new ones while freed numbers rest.
    pub(crate) fn torrent_records(&self) -> u32 {
        self.max_torrents.saturating_add(self.max_torrents / 16).saturating_add(2)
    }

    /// Enough for the worst case, a line for each peer, with its directories and resting lines. It is address space, not memory.
    pub(crate) fn line_records(&self) -> u32 {
        self.max_peers.saturating_add(self.max_peers / 8).saturating_add(64)
    }
}

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
    /// No room: `max_peers`, or the largest possible list.
    RefusedPeer,
}

/// Changes the swarm table.
#[derive(Debug)]
pub struct TableWriter {
    memory: Arc<Memory>,
    limits: Limits,
    torrents: Numbers,
    lines: Lines,
    indexes: Indexes,
    totals: Totals,
    generation: u64,
    /// Next torrent number to be cleaned.
    cursor: u32,
}

/// Where a peer is.
#[derive(Clone, Copy, Debug)]
enum Whereabouts {
    Inline { slot: usize, cell: Cell },
    Listed { name: ListName, position: u32 },
}

impl TableWriter {
    /// An empty table. `hash_key` is secret and random: whoever knows it can fill one bucket.
    ///
    /// # Errors
    ///
    /// [`OutOfMemory`] when the address space for `limits` isn't granted.
    pub fn new(limits: Limits, hash_key: SipKey) -> Result<Self, OutOfMemory> {
        let memory = Memory::new(&limits, hash_key)?;
        let lines = Lines::new(limits.line_records()).ok_or(OutOfMemory::of(&limits))?;
        Ok(Self {
            memory: Arc::new(memory),
            limits,
            torrents: Numbers::below(limits.torrent_records()),
            lines,
            indexes: Indexes::default(),
            totals: Totals::default(),
            generation: 0,
            cursor: 1,
        })
    }

    /// A reader of this table.
    pub fn reader(&self) -> TableReader {
        TableReader { memory: Arc::clone(&self.memory) }
    }

    /// The table in numbers.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// Records that a whole round of [`TableWriter::expire`] looks at.
    pub fn torrent_records(&self) -> u32 {
        self.torrents.high_water() - 1
    }

    /// Applies one announce.
    pub fn apply(&mut self, event: &AnnounceEvent, now: Millis) -> Applied {
        self.advance(now);
        let applied = match place::find(&self.memory, event.info_hash()) {
            Some(number) => {
                let mut torrent = self.torrent(number);
                let applied = self.apply_to(&mut torrent, number, event, now);
                self.store(number, &torrent);
                applied
            }
            None if event.kind() == AnnounceKind::Stopped => Applied::Unknown,
            None => self.apply_to_new(event, now),
        };
        match applied {
            Applied::RefusedTorrent => self.totals.refused_torrents += 1,
            Applied::RefusedPeer => self.totals.refused_peers += 1,
            _ => self.totals.announces_applied += 1,
        }
        self.publish();
        applied
    }

    /// Begins the generation of `now`, if it is a new one.
    fn advance(&mut self, now: Millis) {
        // A clock that steps back leaves the generation where it is: numbers rest longer, nothing else.
        if now.generation() > self.generation {
            self.generation = now.generation();
            self.memory.begin_generation(self.generation);
        }
    }

    fn apply_to_new(&mut self, event: &AnnounceEvent, now: Millis) -> Applied {
        let room = self.totals.torrents < u64::from(self.limits.max_torrents);
        if !room || !self.torrents.can_take(1, self.generation) {
            return Applied::RefusedTorrent;
        }
        if !self.room_for_a_peer() {
            return Applied::RefusedPeer;
        }
        let number = self.torrents.take(self.generation).expect("can_take has just said so");
        let mut torrent = Torrent::new(*event.info_hash());
        let applied = self.apply_to(&mut torrent, number, event, now);
        self.store(number, &torrent);
        self.totals.torrents += 1;
        if !place::insert(&self.memory, event.info_hash(), number) {
            self.free(number, &torrent);
            return Applied::RefusedTorrent;
        }
        applied
    }

    fn apply_to(
        &mut self,
        torrent: &mut Torrent,
        number: u32,
        event: &AnnounceEvent,
        now: Millis,
    ) -> Applied {
        let (peer, seeder) = (event.peer(), event.seeder());
        // BEP 21: event "paused" of a peer that has something left.
        let partial = event.kind() == AnnounceKind::Paused && !seeder;
        let cell = Cell::new(now.seconds() + u64::from(self.limits.peer_lifetime_s), seeder, partial);
        match (self.find_peer(torrent, number, &peer), event.kind()) {
            (Some(at), AnnounceKind::Stopped) => {
                self.remove(torrent, number, at);
                Applied::Removed
            }
            (None, AnnounceKind::Stopped) => Applied::Unknown,
            (Some(at), kind) => {
                let was = self.cell_at(torrent, at);
                if !self.replace(torrent, number, at, &peer, cell) {
                    return Applied::RefusedPeer;
                }
                torrent.partial = torrent.partial - u32::from(was.partial()) + u32::from(partial);
                // U14: only who was a leecher can complete, so a repeated event counts once.
                if kind == AnnounceKind::Completed && seeder && !was.seeder() {
                    torrent.completed = torrent.completed.saturating_add(1);
                    self.totals.completed += 1;
                }
                Applied::Refreshed
            }
            (None, _) => {
                if !self.room_for_a_peer() || !self.add(torrent, number, &peer, cell) {
                    return Applied::RefusedPeer;
                }
                torrent.partial += u32::from(partial);
                Applied::Added
            }
        }
    }

    fn room_for_a_peer(&self) -> bool {
        self.totals.peers() < u64::from(self.limits.max_peers)
    }

    fn find_peer(&self, torrent: &Torrent, number: u32, peer: &PeerAddress) -> Option<Whereabouts> {
        let family = peer.family();
        if torrent.kind == Kind::Lists {
            return [false, true].into_iter().find_map(|seeder| {
                let name = ListName::of(family, seeder);
                let position = self.indexes.find(&self.memory, number, name, torrent.list(name), peer)?;
                Some(Whereabouts::Listed { name, position })
            });
        }
        torrent.inline(family).into_iter().enumerate().find_map(|(slot, inline)| {
            inline
                .filter(|inline| inline.address == *peer)
                .map(|inline| Whereabouts::Inline { slot, cell: inline.cell })
        })
    }

    fn cell_at(&self, torrent: &Torrent, at: Whereabouts) -> Cell {
        match at {
            Whereabouts::Inline { cell, .. } => cell,
            Whereabouts::Listed { name, position } => {
                self.lines.cell(&self.memory, torrent.list(name), name.family(), position)
            }
        }
    }

    /// Adds a peer that the torrent doesn't have; false when there is no room for it.
    fn add(&mut self, torrent: &mut Torrent, number: u32, peer: &PeerAddress, cell: Cell) -> bool {
        if torrent.kind != Kind::Lists {
            let alone = torrent.seeders + torrent.leechers == 0;
            let slot = match (torrent.kind, peer.family()) {
                (Kind::Inline4, Family::V4) => torrent.inline(Family::V4).iter().position(Option::is_none),
                (_, Family::V6) if alone => Some(0),
                _ => None,
            };
            if let Some(slot) = slot {
                torrent.set_inline(slot, Some(InlinePeer { address: *peer, cell }));
                *count_of(torrent, cell) += 1;
                return true;
            }
            if !self.lines.numbers.can_take(MAX_RECORDS_TO_LIST, self.generation) {
                return false;
            }
            self.move_to_lists(torrent, number);
        }
        self.append(torrent, number, ListName::of(peer.family(), cell.seeder()), peer, cell)
    }

    /// A known peer announced: its new deadline, and another list or flag if it changed. False when there is no room for the change.
    fn replace(
        &mut self,
        torrent: &mut Torrent,
        number: u32,
        at: Whereabouts,
        peer: &PeerAddress,
        cell: Cell,
    ) -> bool {
        match at {
            Whereabouts::Inline { slot, cell: before } => {
                *count_of(torrent, before) -= 1;
                *count_of(torrent, cell) += 1;
                torrent.set_inline(slot, Some(InlinePeer { address: *peer, cell }));
                true
            }
            Whereabouts::Listed { name, position } => {
                let target = ListName::of(peer.family(), cell.seeder());
                if target == name {
                    self.lines.set_cell(&self.memory, torrent.list(name), name.family(), position, cell);
                    return true;
                }
                // Into the new list before out of the old one; readers see both at once, when the record is stored.
                if !self.append(torrent, number, target, peer, cell) {
                    return false;
                }
                self.remove_listed(torrent, number, name, position);
                true
            }
        }
    }

    fn remove(&mut self, torrent: &mut Torrent, number: u32, at: Whereabouts) {
        let cell = self.cell_at(torrent, at);
        torrent.partial -= u32::from(cell.partial());
        match at {
            Whereabouts::Inline { slot, .. } => {
                *count_of(torrent, cell) -= 1;
                torrent.set_inline(slot, None);
            }
            Whereabouts::Listed { name, position } => self.remove_listed(torrent, number, name, position),
        }
    }

    fn append(
        &mut self,
        torrent: &mut Torrent,
        number: u32,
        name: ListName,
        peer: &PeerAddress,
        cell: Cell,
    ) -> bool {
        let list = torrent.list(name);
        let room = list.count < lists::max_peers(name.family())
            && self.lines.numbers.can_take(MAX_RECORDS_PER_APPEND, self.generation);
        if room {
            let list = self.lines.append(&self.memory, list, peer, cell, self.generation);
            self.indexes.appended(&self.memory, number, name, list);
            torrent.set_list(name, list);
        }
        room
    }

    fn remove_listed(&mut self, torrent: &mut Torrent, number: u32, name: ListName, position: u32) {
        let list = torrent.list(name);
        self.indexes.removing(&self.memory, number, name, list, position);
        let list = self.lines.remove(&self.memory, list, name.family(), position, self.generation);
        torrent.set_list(name, list);
    }

    /// From the record to lists; [`MAX_RECORDS_TO_LIST`] numbers can be taken.
    fn move_to_lists(&mut self, torrent: &mut Torrent, number: u32) {
        let peers = [Family::V4, Family::V6].map(|family| torrent.inline(family));
        *torrent = Torrent { kind: Kind::Lists, seeders: 0, leechers: 0, payload: [0; 3], ..*torrent };
        for peer in peers.into_iter().flatten().flatten() {
            let name = ListName::of(peer.address.family(), peer.cell.seeder());
            let appended = self.append(torrent, number, name, &peer.address, peer.cell);
            debug_assert!(appended, "the caller asked for enough records");
        }
    }

    fn torrent(&self, number: u32) -> Torrent {
        Torrent::from_words(&load(self.memory.torrent_words(number)))
    }

    /// Stores a torrent's record under its version.
    fn store(&mut self, number: u32, torrent: &Torrent) {
        let before = load(self.memory.torrent_words(number));
        self.count(&Torrent::from_words(&before), torrent);
        let words = self.memory.torrent_words(number);
        let version = torrent_version(before[2]);
        let after = torrent.words_at(version);
        match changed(&before, &after) {
            Changed::None => {}
            // One aligned word needs no version: a reader has it as it was or as it is.
            Changed::One(index) => words[index].store(after[index], Ordering::Release),
            Changed::More => {
                words[2].store(
                    torrent.words_at(version.wrapping_add(1) & TORRENT_VERSION_MASK)[2],
                    Ordering::Relaxed,
                );
                // Pairs with the reader's fence before it loads the version again: who sees a word stored below sees the odd version.
                fence(Ordering::Release);
                for index in [0, 1, 3, 4, 5, 6, 7] {
                    words[index].store(after[index], Ordering::Relaxed);
                }
                // Release: pairs with the reader's fence after its first load of the version.
                words[2].store(
                    torrent.words_at(version.wrapping_add(2) & TORRENT_VERSION_MASK)[2],
                    Ordering::Release,
                );
            }
        }
    }

    fn count(&mut self, before: &Torrent, after: &Torrent) {
        let difference = |total: &mut u64, before: u32, after: u32| {
            *total = *total + u64::from(after) - u64::from(before);
        };
        difference(&mut self.totals.seeders, before.seeders, after.seeders);
        difference(&mut self.totals.leechers, before.leechers, after.leechers);
        difference(&mut self.totals.partial_seeds, before.partial, after.partial);
        difference(&mut self.totals.peers_v6, peers_v6(before), peers_v6(after));
    }

    fn publish(&mut self) {
        self.totals.lines = u64::from(self.lines.numbers.in_use());
        self.memory.publish(&self.totals);
    }
}

/// Records that [`TableWriter::move_to_lists`] and one append after it take at most: up to three new lists of one line, and an append.
const MAX_RECORDS_TO_LIST: u32 = 3 + 1 + MAX_DEPTH;

/// The count that a peer with this cell is part of.
fn count_of(torrent: &mut Torrent, cell: Cell) -> &mut u32 {
    if cell.seeder() { &mut torrent.seeders } else { &mut torrent.leechers }
}

fn peers_v6(torrent: &Torrent) -> u32 {
    match torrent.kind {
        Kind::Free | Kind::Inline4 => 0,
        Kind::Inline6 => 1,
        Kind::Lists => {
            let List { count: leechers, .. } = torrent.list(ListName::LeechersV6);
            leechers + torrent.list(ListName::SeedersV6).count
        }
    }
}

/// Which words of a record differ.
enum Changed {
    None,
    One(usize),
    More,
}

fn changed(before: &[u64; WORDS], after: &[u64; WORDS]) -> Changed {
    let mut differing = (0..WORDS).filter(|index| before[*index] != after[*index]);
    match (differing.next(), differing.next()) {
        (None, _) => Changed::None,
        // Word 2 has the version itself.
        (Some(index), None) if index != 2 => Changed::One(index),
        _ => Changed::More,
    }
}
