//! The table against a tracker that is as simple as can be: two nested maps, no layouts, no lists.
//!
//! Random histories of announces, crowds, pauses, cleanings and dropped torrents are played to both. Before each announce the reader's
//! answer is compared with what the model allows, after it the counts and totals. The index begins with two buckets, so that it grows many times.

mod swarm;

use std::collections::BTreeMap;

use proptest::prelude::*;
use tracker_common::table::{Family, PeerAddress, Query, ScrapeCounts};
use tracker_common::wire::{AnnounceKind, InfoHash, MAX_PEERS_V4, MAX_PEERS_V6};
use tracker_core::{Applied, Limits, Millis, TableReader, TableWriter, Totals};

use swarm::{LIFETIME_S, SMALL, drop_all, event, peer, query, table_with, torrent};

/// 4200 s / 56.
const UNIT_S: u64 = 75;

#[derive(Debug, Default)]
struct Model {
    torrents: BTreeMap<InfoHash, Torrent>,
    limits: Limits,
}

#[derive(Debug, Default)]
struct Torrent {
    peers: BTreeMap<PeerAddress, Peer>,
    completed: u32,
}

#[derive(Clone, Copy, Debug)]
struct Peer {
    seeder: bool,
    partial: bool,
    deadline_s: u64,
}

#[derive(Clone, Copy, Debug)]
struct Announce {
    torrent: u32,
    peer: PeerAddress,
    kind: AnnounceKind,
    seeder: bool,
}

impl Model {
    fn apply(&mut self, announce: &Announce, now: Millis) -> Applied {
        let Announce { torrent: number, peer, kind, seeder } = *announce;
        let stopped = kind == AnnounceKind::Stopped;
        let peers: usize = self.torrents.values().map(|torrent| torrent.peers.len()).sum();
        let swarm = self.torrents.get(&torrent(number));
        let known = swarm.is_some_and(|torrent| torrent.peers.contains_key(&peer));
        let full = |count: usize, limit: u32| limit > 0 && count >= limit as usize;
        if !known {
            if stopped {
                return Applied::Unknown;
            }
            if swarm.is_none() && self.torrents.len() == self.limits.max_torrents as usize {
                return Applied::RefusedTorrent;
            }
            if peers == self.limits.max_peers as usize {
                return Applied::RefusedPeer;
            }
            if full(swarm.map_or(0, |torrent| torrent.peers.len()), self.limits.max_peers_per_torrent) {
                return Applied::RefusedPeersPerTorrent;
            }
            if full(self.entries_from(&peer), self.limits.max_torrents_per_address) {
                return Applied::RefusedTorrentsPerAddress;
            }
        }
        let swarm = self.torrents.entry(torrent(number)).or_default();
        if stopped {
            swarm.peers.remove(&peer);
            return Applied::Removed;
        }
        let deadline_s = now.0 / 1000 + u64::from(LIFETIME_S);
        let partial = kind == AnnounceKind::Paused && !seeder;
        match swarm.peers.insert(peer, Peer { seeder, partial, deadline_s }) {
            Some(before) => {
                if kind == AnnounceKind::Completed && seeder && !before.seeder {
                    swarm.completed += 1;
                }
                Applied::Refreshed
            }
            None => Applied::Added,
        }
    }

    /// Peers of all torrents with the IPv4 address or IPv6 /64 of this one.
    fn entries_from(&self, peer: &PeerAddress) -> usize {
        let source = |peer: &PeerAddress| match *peer {
            PeerAddress::V4([a, b, c, d, ..]) => (Family::V4, [a, b, c, d, 0, 0, 0, 0]),
            PeerAddress::V6([a, b, c, d, e, f, g, h, ..]) => (Family::V6, [a, b, c, d, e, f, g, h]),
        };
        let all = self.torrents.values().flat_map(|torrent| torrent.peers.keys());
        all.filter(|other| source(other) == source(peer)).count()
    }

    fn clean(&mut self, now: Millis) {
        for torrent in self.torrents.values_mut() {
            // A deadline is kept in units of 75 s, rounded up.
            torrent.peers.retain(|_, peer| now.0 / 1000 / UNIT_S < peer.deadline_s.div_ceil(UNIT_S));
        }
        self.torrents.retain(|_, torrent| !torrent.peers.is_empty());
    }

    fn counts(&self, hash: &InfoHash) -> ScrapeCounts {
        let Some(torrent) = self.torrents.get(hash) else { return ScrapeCounts::default() };
        let count = |of: fn(&Peer) -> bool| torrent.peers.values().filter(|peer| of(peer)).count() as u32;
        ScrapeCounts {
            seeders: count(|peer| peer.seeder),
            completed: torrent.completed,
            leechers: count(|peer| !peer.seeder),
            partial: count(|peer| peer.partial),
        }
    }

    /// Peers that may be in the answer, and all of the announcer's family.
    fn candidates(&self, announce: &Announce) -> (Vec<PeerAddress>, usize) {
        let family = announce.peer.family();
        let all: Vec<_> = self.torrents.get(&torrent(announce.torrent)).map_or_else(Vec::new, |torrent| {
            torrent.peers.iter().filter(|(address, _)| address.family() == family).collect()
        });
        let fit = all
            .iter()
            .filter(|(address, peer)| **address != announce.peer && !(announce.seeder && peer.seeder))
            .map(|(address, _)| **address)
            .collect();
        (fit, all.len())
    }
}

#[derive(Clone, Debug)]
enum Step {
    Announce {
        announce: Announce,
        want: u32,
        random: u64,
    },
    /// The peers `first` to `first + len` announce, one after the other.
    Crowd {
        torrent: u32,
        family: Family,
        first: u32,
        len: u32,
        kind: AnnounceKind,
        seeder: bool,
        batch: bool,
    },
    /// One peer announces the torrents `first` to `first + len`.
    Torrents {
        first: u32,
        len: u32,
        kind: AnnounceKind,
    },
    Pause {
        ms: u64,
    },
    Clean {
        budget: u32,
    },
    Drop {
        torrent: u32,
    },
}

fn steps() -> impl Strategy<Value = Step> {
    let family = || prop_oneof![Just(Family::V4), Just(Family::V6)];
    let kind = || {
        prop_oneof![
            4 => Just(AnnounceKind::None),
            2 => Just(AnnounceKind::Started),
            3 => Just(AnnounceKind::Completed),
            3 => Just(AnnounceKind::Stopped),
            2 => Just(AnnounceKind::Paused),
        ]
    };
    let announce = (0..4u32, family(), prop_oneof![3 => 0..6u32, 1 => 0..60u32], kind(), any::<bool>())
        .prop_map(|(torrent, family, number, kind, seeder)| Announce {
            torrent,
            peer: peer(family, number),
            kind,
            seeder,
        });
    prop_oneof![
        30 => (announce, prop_oneof![1..5u32, 1..120u32], any::<u64>())
            .prop_map(|(announce, want, random)| Step::Announce { announce, want, random }),
        4 => (0..4u32, family(), 0..400u32, prop_oneof![3 => 0..80u32, 1 => 0..700u32], kind(), any::<bool>(), any::<bool>())
            .prop_map(|(torrent, family, first, len, kind, seeder, batch)| {
                Step::Crowd { torrent, family, first, len, kind, seeder, batch }
            }),
        3 => (0..400u32, prop_oneof![3 => 0..40u32, 1 => 0..400u32], kind())
            .prop_map(|(first, len, kind)| Step::Torrents { first: 10 + first, len, kind }),
        3 => prop_oneof![0..400u64, 0..3_000_000u64].prop_map(|ms| Step::Pause { ms }),
        3 => (1..10u32).prop_map(|budget| Step::Clean { budget }),
        1 => (0..4u32).prop_map(|torrent| Step::Drop { torrent }),
    ]
}

/// Announces refused for whatever reason.
fn refused(totals: &Totals) -> u64 {
    totals.named().filter(|(name, _)| name.starts_with("refused_")).map(|(_, count)| count).sum()
}

struct Game {
    model: Model,
    writer: TableWriter,
    reader: TableReader,
    now: Millis,
    cleaned: Millis,
}

impl Game {
    fn new(limits: Limits) -> Self {
        let (writer, reader) = table_with(limits);
        let model = Model { limits, ..Model::default() };
        Self { model, writer, reader, now: Millis(1_000_000), cleaned: Millis(1_000_000) }
    }

    fn play(&mut self, step: &Step) -> Result<(), TestCaseError> {
        match *step {
            Step::Announce { announce, want, random } => self.announce(&announce, want, random)?,
            Step::Crowd { torrent, family, first, len, kind, seeder, batch } => {
                let announces: Vec<_> = (first..first + len)
                    .map(|number| Announce { torrent, peer: peer(family, number), kind, seeder })
                    .collect();
                self.crowd(&announces, batch)?;
            }
            Step::Torrents { first, len, kind } => {
                let announces: Vec<_> = (first..first + len)
                    .map(|torrent| Announce { torrent, peer: peer(Family::V4, 1), kind, seeder: false })
                    .collect();
                self.crowd(&announces, len % 2 == 0)?;
            }
            Step::Pause { ms } => {
                self.now.0 += ms;
                // A deadline can be told from a later one for about a lifetime.
                if self.now.0 - self.cleaned.0 > u64::from(LIFETIME_S) * 400 {
                    self.clean(100);
                }
            }
            Step::Clean { budget } => self.clean(budget),
            Step::Drop { torrent: number } => {
                let dropped = drop_all(&mut self.writer, |hash| *hash == torrent(number), self.now);
                prop_assert_eq!(dropped == 1, self.model.torrents.remove(&torrent(number)).is_some());
                self.rest();
            }
        }
        self.compare_counts()
    }

    fn clean(&mut self, budget: u32) {
        while !self.writer.expire(self.now, budget).wrapped {}
        self.model.clean(self.now);
        self.cleaned = self.now;
        self.rest();
    }

    /// Lets freed torrent numbers rest, which the model knows nothing of.
    fn rest(&mut self) {
        self.now.0 += 300;
    }

    /// Many announces, one by one or all at once.
    fn crowd(&mut self, announces: &[Announce], batch: bool) -> Result<(), TestCaseError> {
        if !batch {
            return announces.iter().try_for_each(|announce| self.apply(announce));
        }
        let event = |announce: &Announce| {
            event(&torrent(announce.torrent), announce.peer, announce.kind, announce.seeder)
        };
        let events: Vec<_> = announces.iter().map(event).collect();
        self.writer.apply_batch(&events, self.now);
        for announce in announces {
            self.model.apply(announce, self.now);
        }
        Ok(())
    }

    fn apply(&mut self, announce: &Announce) -> Result<(), TestCaseError> {
        // So slow that freed lines, up to a handful for each announce, rest before the spare ones are used up.
        self.now.0 += 20;
        let event = event(&torrent(announce.torrent), announce.peer, announce.kind, announce.seeder);
        prop_assert_eq!(
            self.writer.apply(&event, self.now),
            self.model.apply(announce, self.now),
            "{:?}",
            announce
        );
        Ok(())
    }

    fn announce(&mut self, announce: &Announce, want: u32, random: u64) -> Result<(), TestCaseError> {
        let hash = torrent(announce.torrent);
        let stopped = announce.kind == AnnounceKind::Stopped;
        let before = self.model.counts(&hash);
        let (fit, family_peers) = self.model.candidates(announce);
        // As many as fit into a packet.
        let want = match announce.peer.family() {
            Family::V4 => want.min(MAX_PEERS_V4 as u32),
            Family::V6 => want.min(MAX_PEERS_V6 as u32),
        };
        let answer = query(
            &self.reader,
            &Query { info_hash: &hash, peer: announce.peer, seeder: announce.seeder, stopped, want, random },
        );
        let peers = answer.distinct();
        let expected = if stopped { 0 } else { fit.len().min(want as usize) };
        prop_assert_eq!(peers.len(), expected, "{:?} wants {} of {}", announce, want, fit.len());
        for peer in &peers {
            prop_assert!(fit.contains(peer), "{:?} got {:?}", announce, peer);
        }

        let refusals = self.writer.totals();
        self.apply(announce)?;
        let totals = self.writer.totals();
        let refused = refused(&totals) > refused(&refusals);
        let after = self.model.counts(&hash);
        let found = (answer.found.seeders, answer.found.leechers);
        if !stopped && !announce.seeder && family_peers <= want as usize {
            // The answer can't know of a full table.
            prop_assert!(
                refused || found == (after.seeders, after.leechers),
                "{:?}: {:?}, then {:?}",
                announce,
                found,
                after
            );
        } else {
            let near = [(before.seeders, before.leechers), (after.seeders, after.leechers)];
            prop_assert!(
                refused || near.contains(&found),
                "{:?}: {:?} is none of {:?}",
                announce,
                found,
                near
            );
        }
        Ok(())
    }

    fn compare_counts(&self) -> Result<(), TestCaseError> {
        let mut sum = ScrapeCounts::default();
        for number in (0..5).chain(10..900) {
            let expected = self.model.counts(&torrent(number));
            prop_assert_eq!(self.reader.scrape(&torrent(number)), expected, "torrent {}", number);
            sum.seeders += expected.seeders;
            sum.leechers += expected.leechers;
            sum.partial += expected.partial;
        }
        let totals = self.reader.totals();
        prop_assert_eq!(totals, self.writer.totals());
        prop_assert_eq!(totals.torrents, self.model.torrents.len() as u64);
        prop_assert_eq!(totals.seeders, u64::from(sum.seeders));
        prop_assert_eq!(totals.leechers, u64::from(sum.leechers));
        prop_assert_eq!(totals.partial_seeds, u64::from(sum.partial));
        let v6 = self.model.torrents.values().flat_map(|torrent| torrent.peers.keys());
        prop_assert_eq!(totals.peers_v6, v6.filter(|peer| peer.family() == Family::V6).count() as u64);
        Ok(())
    }

    /// Everybody leaves: nothing may be left in use.
    fn end(mut self) -> Result<(), TestCaseError> {
        self.clean(100);
        self.now.0 += u64::from(LIFETIME_S) * 1000 + 1000 * UNIT_S;
        while !self.writer.expire(self.now, 100).wrapped {}
        let totals = self.writer.totals();
        prop_assert_eq!((totals.torrents, totals.peers(), totals.lines), (0, 0, 0));
        Ok(())
    }
}

proptest! {
    #[test]
    fn the_table_is_the_model_tracker(history in proptest::collection::vec(steps(), 1..80)) {
        let mut game = Game::new(SMALL);
        for step in &history {
            game.play(step)?;
        }
        game.end()?;
    }

    #[test]
    fn a_full_table_refuses_new_ones_and_keeps_the_others(
        history in proptest::collection::vec(steps(), 1..80), max_torrents in prop_oneof![1..4u32, 1..400u32], max_peers in 1..400u32,
        max_peers_per_torrent in prop_oneof![Just(0), 1..200u32], max_torrents_per_address in prop_oneof![Just(0), 1..60u32],
    ) {
        let limits = Limits { max_torrents, max_peers, max_peers_per_torrent, max_torrents_per_address, ..SMALL };
        let mut game = Game::new(limits);
        for step in &history {
            game.play(step)?;
        }
        game.end()?;
    }
}
