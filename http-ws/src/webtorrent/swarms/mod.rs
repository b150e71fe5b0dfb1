//! The swarms of WebTorrent, which all workers share.
//!
//! A worker takes a lock for the time of an announce; info hashes are spread over many locks, so two seldom meet. Who is a
//! member, and who gets an offer, is [`Swarm`]'s, with `members` for their places and `aside` for those who have lost theirs; here are the map of
//! torrents, limits and totals. Tests against a plain model are in `tests`, and what a membership costs is in `tests/webtorrent_memory.rs`.

mod aside;
mod members;
mod swarm;
#[cfg(test)]
mod tests;

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hashbrown::HashMap;
use tracker_common::wire::{AnnounceKind, InfoHash};
use tracker_core::Random;

use super::connection_id::ConnectionId;
use super::id::PeerId;
use super::speaker::Speaker;
use swarm::{Change, Swarm};

/// Parts of the map, each with a lock of its own.
pub(super) const PARTS: usize = 256;

/// A torrent in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Seeders.
    pub complete: u32,
    /// Leechers, partial seeds included.
    pub incomplete: u32,
    /// Downloads that were completed while the torrent had a peer.
    pub downloaded: u32,
}

/// Whom an offer goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// The peer.
    pub peer: PeerId,
    /// The connection that it belongs to.
    pub connection: ConnectionId,
    /// Its position among the others.
    position: usize,
}

/// What is announced.
#[derive(Clone, Copy, Debug)]
pub struct Announcement<'a> {
    /// The torrent.
    pub info_hash: InfoHash,
    /// The peer, and the connection that speaks for it.
    pub speaker: &'a Arc<Speaker>,
    /// The event.
    pub kind: AnnounceKind,
    /// Whether it has everything.
    pub seeder: bool,
}

/// Why nobody joins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The access list.
    Denied,
    /// There are as many peers as there may be.
    Full,
}

/// All torrents.
#[derive(Debug)]
pub struct Swarms {
    parts: Box<[Mutex<HashMap<InfoHash, Swarm>>]>,
    hasher: RandomState,
    max_peers: u64,
    torrents: AtomicU64,
    /// Claims, which is what takes memory.
    claims: AtomicI64,
    seeders: AtomicI64,
}

type Part<'a> = MutexGuard<'a, HashMap<InfoHash, Swarm>>;

impl Swarms {
    /// None yet, and never more peers than this.
    pub fn new(max_peers: u64) -> Self {
        Self {
            parts: (0..PARTS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
            max_peers,
            torrents: AtomicU64::new(0),
            claims: AtomicI64::new(0),
            seeders: AtomicI64::new(0),
        }
    }

    /// Who announces a peer id by a connection. Any two of the same are the same to swarms, and one that is used again is less memory.
    pub fn speaker(&self, peer: PeerId, connection: ConnectionId) -> Arc<Speaker> {
        Arc::new(Speaker::new(peer, connection, &self.hasher))
    }

    /// Applies an announce; up to `offers` other members are added to `picked`.
    ///
    /// `allows` is asked while the torrent is locked: a torrent that [`retain`](Self::retain) has dropped can't come back by an announce that
    /// knows the list before.
    ///
    /// # Errors
    ///
    /// The torrent isn't allowed; the peer is new and there is no room. Nobody is refused who leaves.
    pub fn announce(
        &self,
        announcement: &Announcement<'_>,
        offers: usize,
        random: &mut Random,
        picked: &mut Vec<Recipient>,
        allows: impl FnOnce(&InfoHash) -> bool,
    ) -> Result<Counts, Refused> {
        let Announcement { info_hash, speaker, kind, seeder } = *announcement;
        let mut part = self.part(&info_hash);
        if !allows(&info_hash) {
            return Err(Refused::Denied);
        }
        if kind == AnnounceKind::Stopped {
            return Ok(self.leave_in(&mut part, &info_hash, speaker));
        }
        let known = part.get_mut(&info_hash);
        // Relaxed here and below: a limit and numbers that are read by themselves.
        if self.claims.load(Ordering::Relaxed) >= self.max_peers as i64
            && !known.as_ref().is_some_and(|swarm| swarm.has(speaker))
        {
            return Err(Refused::Full);
        }
        let swarm = match known {
            Some(swarm) => swarm,
            None => {
                self.torrents.fetch_add(1, Ordering::Relaxed);
                part.entry(info_hash).or_default()
            }
        };
        self.note(swarm.join(speaker, kind, seeder));
        swarm.pick(speaker, offers, random, picked);
        Ok(swarm.counts())
    }

    /// A connection doesn't speak for this peer any more.
    pub fn leave(&self, info_hash: &InfoHash, speaker: &Speaker) {
        self.leave_in(&mut self.part(info_hash), info_hash, speaker);
    }

    fn leave_in(&self, part: &mut Part<'_>, info_hash: &InfoHash, speaker: &Speaker) -> Counts {
        let Some(swarm) = part.get_mut(info_hash) else { return Counts::default() };
        self.note(swarm.leave(speaker));
        if !swarm.is_empty() {
            return swarm.counts();
        }
        part.remove(info_hash);
        self.torrents.fetch_sub(1, Ordering::Relaxed);
        give_back_memory(part);
        // Zeros, as a scrape says from now on: what was completed is forgotten with the torrent.
        Counts::default()
    }

    /// A torrent's numbers, zeros when it is unknown.
    pub fn scrape(&self, info_hash: &InfoHash) -> Counts {
        self.part(info_hash).get(info_hash).map(Swarm::counts).unwrap_or_default()
    }

    /// Calls `each` with the torrents of a part, of which there are [`PARTS`].
    pub(super) fn for_each_in(&self, part: usize, mut each: impl FnMut(&InfoHash, Counts)) {
        let Some(part) = self.parts.get(part) else { return };
        for (info_hash, swarm) in &*lock(part) {
            each(info_hash, swarm.counts());
        }
    }

    /// Drops torrents that aren't allowed any more.
    pub fn retain(&self, allows: impl Fn(&InfoHash) -> bool) {
        for part in &self.parts {
            let mut part = lock(part);
            part.retain(|info_hash, swarm| {
                let stays = allows(info_hash);
                if !stays {
                    self.torrents.fetch_sub(1, Ordering::Relaxed);
                    let seeders = i64::from(swarm.counts().complete);
                    self.note(Change { claims: -(swarm.claims() as i64), seeders: -seeders });
                }
                stays
            });
            give_back_memory(&mut part);
        }
    }

    /// How many torrents there are.
    pub fn torrents(&self) -> u64 {
        self.torrents.load(Ordering::Relaxed)
    }

    /// How many peers there are; one that two connections claim is counted twice.
    pub fn peers(&self) -> u64 {
        self.claims.load(Ordering::Relaxed).max(0) as u64
    }

    /// How many of them have everything.
    pub fn seeders(&self) -> u64 {
        self.seeders.load(Ordering::Relaxed).max(0) as u64
    }

    fn note(&self, change: Change) {
        self.claims.fetch_add(change.claims, Ordering::Relaxed);
        self.seeders.fetch_add(change.seeders, Ordering::Relaxed);
    }

    fn part(&self, info_hash: &InfoHash) -> Part<'_> {
        // Keyed, or clients could choose hashes that all meet at one lock.
        let part = self.hasher.hash_one(info_hash) as usize % PARTS;
        lock(&self.parts[part])
    }
}

/// Without regard to panics elsewhere: a swarm is whole after every call.
fn lock(part: &Mutex<HashMap<InfoHash, Swarm>>) -> Part<'_> {
    part.lock().unwrap_or_else(PoisonError::into_inner)
}

fn give_back_memory(part: &mut HashMap<InfoHash, Swarm>) {
    const WORTH_WHILE: usize = 64;
    if part.capacity() > WORTH_WHILE && part.capacity() > 4 * part.len() {
        part.shrink_to(2 * part.len());
    }
}
