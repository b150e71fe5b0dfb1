//! What a connection has announced and not stopped: its torrents, with the peer id of each and the time.
//!
//! Kept by `handler` for each client, so that they can be counted, expire, and leave with the connection. Nearly all are in one swarm or a few,
//! and have no more than a list; who is in thousands, such as a seeder of a whole library, gets an index beside it. Tests against a
//! plain map are below, and what a membership costs is in `tests/webtorrent_memory.rs`.

mod chunked;

use std::hash::BuildHasher as _;
use std::sync::Arc;

use hashbrown::DefaultHashBuilder;
use tracker_common::wire::InfoHash;

use super::id::PeerId;
use super::positions::Positions;
use super::speaker::Speaker;
use chunked::Chunked;

/// A connection's place in a swarm.
#[derive(Clone, Debug)]
pub struct Membership {
    /// The torrent.
    pub info_hash: InfoHash,
    /// Second of the last announce.
    pub announced_s: u32,
    /// The peer.
    pub speaker: Arc<Speaker>,
}

/// Nothing is lost to alignment.
const _: () = assert!(size_of::<Membership>() == 32);

/// More than so many have an index; fewer are looked through sooner than a hash is made.
const MOST_WITHOUT_INDEX: usize = 16;

/// So many lose it again: not right below the number that has it made.
const FEWEST_WITH_INDEX: usize = MOST_WITHOUT_INDEX / 2;

/// All of a connection, in no order.
#[derive(Debug, Default)]
pub struct Memberships {
    list: Chunked<Membership>,
    index: Option<Box<Index>>,
}

/// Every connection has it.
const _: () = assert!(size_of::<Memberships>() == 32);

#[derive(Debug, Default)]
struct Index {
    positions: Positions,
    hasher: DefaultHashBuilder,
}

impl Memberships {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Membership> {
        self.list.iter()
    }

    /// The one of this peer of this torrent.
    pub fn get(&self, info_hash: &InfoHash, peer: &PeerId) -> Option<&Membership> {
        self.list.get(self.position(info_hash, peer)?)
    }

    /// Who speaks for a peer in other swarms, if that is easily found: who had the latest place in the list, which is everybody but for clients
    /// that use several peer ids. One that isn't found is made again, which costs memory and nothing else.
    pub fn speaker(&self, peer: &PeerId) -> Option<&Arc<Speaker>> {
        self.list.last().map(|membership| &membership.speaker).filter(|speaker| speaker.peer == *peer)
    }

    /// A peer was announced at this second, for the first time or again.
    pub fn announced(&mut self, info_hash: InfoHash, speaker: &Arc<Speaker>, now_s: u32) {
        if let Some(at) = self.position(&info_hash, &speaker.peer) {
            if let Some(membership) = self.list.get_mut(at) {
                membership.announced_s = now_s;
            }
            return;
        }
        let at = self.list.len();
        self.list.push(Membership { info_hash, announced_s: now_s, speaker: Arc::clone(speaker) });
        match &mut self.index {
            Some(index) => {
                let Index { positions, hasher } = &mut **index;
                positions.add(at, |at| hash_at(hasher, &self.list, at));
            }
            None if at >= MOST_WITHOUT_INDEX => {
                let hasher = DefaultHashBuilder::default();
                let positions = Positions::of(at + 1, |at| hash_at(&hasher, &self.list, at));
                self.index = Some(Box::new(Index { positions, hasher }));
            }
            None => {}
        }
    }

    /// A peer has stopped.
    pub fn remove(&mut self, info_hash: &InfoHash, peer: &PeerId) {
        if let Some(at) = self.position(info_hash, peer) {
            self.remove_at(at);
        }
    }

    /// Drops those that `keep` doesn't want, each of which it is shown once.
    pub fn retain(&mut self, mut keep: impl FnMut(&Membership) -> bool) {
        // From the end, so that what takes the place of a dropped one has been seen.
        for at in (0..self.list.len()).rev() {
            if self.list.get(at).is_some_and(|membership| !keep(membership)) {
                self.remove_at(at);
            }
        }
    }

    /// Gives back what is far too much.
    pub fn give_back_memory(&mut self) {
        self.list.give_back_memory();
        if let Some(index) = &mut self.index {
            let Index { positions, hasher } = &mut **index;
            positions.give_back_memory(|at| hash_at(hasher, &self.list, at));
        }
    }

    fn position(&self, info_hash: &InfoHash, peer: &PeerId) -> Option<usize> {
        let is =
            |membership: &Membership| membership.info_hash == *info_hash && membership.speaker.peer == *peer;
        match &self.index {
            Some(index) => index
                .positions
                .find(hash(&index.hasher, info_hash, peer), |at| self.list.get(at).is_some_and(is)),
            None => self.list.iter().position(is),
        }
    }

    fn remove_at(&mut self, at: usize) {
        let Some(removed) = self.list.swap_remove(at) else { return };
        if self.list.len() <= FEWEST_WITH_INDEX {
            self.index = None;
        }
        let Some(index) = &mut self.index else { return };
        index.positions.remove(hash(&index.hasher, &removed.info_hash, &removed.speaker.peer), at);
        if at < self.list.len() {
            let moved = hash_at(&index.hasher, &self.list, at);
            index.positions.moved(moved, self.list.len(), at);
        }
    }
}

/// Of both, or a client could announce one torrent with thousands of peer ids that all have the same hash.
fn hash(hasher: &DefaultHashBuilder, info_hash: &InfoHash, peer: &PeerId) -> u64 {
    hasher.hash_one((info_hash, peer))
}

fn hash_at(hasher: &DefaultHashBuilder, list: &Chunked<Membership>, at: usize) -> u64 {
    // There is one at each position that an index has.
    list.get(at).map_or(0, |membership| hash(hasher, &membership.info_hash, &membership.speaker.peer))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::hash::RandomState;

    use proptest::prelude::*;

    use super::*;
    use crate::webtorrent::connection_id::ConnectionId;

    fn id(number: u8) -> [u8; 20] {
        [number; 20]
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Announce {
            torrent: u8,
            peer: u8,
        },
        Remove {
            torrent: u8,
            peer: u8,
        },
        /// Those that announced so many steps ago leave.
        Expire {
            steps: u32,
        },
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let (torrents, peers) = (0..40_u8, prop_oneof![9 => Just(0_u8), 1 => 0..4_u8]);
        let step = prop_oneof![
            40 => (torrents.clone(), peers.clone()).prop_map(|(torrent, peer)| Step::Announce { torrent, peer }),
            20 => (torrents, peers).prop_map(|(torrent, peer)| Step::Remove { torrent, peer }),
            1 => (0..40_u32).prop_map(|steps| Step::Expire { steps }),
        ];
        prop::collection::vec(step, 0..300)
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn memberships_are_what_a_map_says(steps in steps()) {
            let hasher = RandomState::new();
            let (mut memberships, mut model) = (Memberships::default(), BTreeMap::new());
            for (now_s, step) in (0..).zip(steps) {
                match step {
                    Step::Announce { torrent, peer } => {
                        let speaker = memberships.speaker(&id(peer)).cloned();
                        let speaker = speaker
                            .unwrap_or_else(|| Arc::new(Speaker::new(id(peer), ConnectionId::new(0, 1), &hasher)));
                        memberships.announced(id(torrent), &speaker, now_s);
                        model.insert((id(torrent), id(peer)), now_s);
                    }
                    Step::Remove { torrent, peer } => {
                        memberships.remove(&id(torrent), &id(peer));
                        model.remove(&(id(torrent), id(peer)));
                    }
                    Step::Expire { steps } => {
                        let mut seen = Vec::new();
                        memberships.retain(|membership| {
                            seen.push((membership.info_hash, membership.speaker.peer));
                            membership.announced_s + steps >= now_s
                        });
                        seen.sort_unstable();
                        prop_assert!(seen.iter().eq(model.keys()));
                        model.retain(|_, announced_s| *announced_s + steps >= now_s);
                        memberships.give_back_memory();
                    }
                }
                prop_assert_eq!(memberships.len(), model.len());
                let indexed = memberships.index.as_ref().map(|index| index.positions.len());
                prop_assert!(indexed.is_none_or(|indexed| indexed == model.len()), "{indexed:?}");
                for torrent in 0..40 {
                    for peer in 0..4 {
                        let found = memberships.get(&id(torrent), &id(peer));
                        let found = found.map(|membership| membership.announced_s);
                        prop_assert_eq!(found, model.get(&(id(torrent), id(peer))).copied());
                    }
                }
            }
            let mut all: Vec<_> =
                memberships.iter().map(|one| ((one.info_hash, one.speaker.peer), one.announced_s)).collect();
            all.sort_unstable();
            prop_assert!(all.into_iter().eq(model));
        }
    }

    #[test]
    fn many_have_an_index_and_few_have_none() {
        let speaker = Arc::new(Speaker::new(id(1), ConnectionId::new(0, 1), &RandomState::new()));
        let mut memberships = Memberships::default();
        for torrent in 0..100 {
            memberships.announced(id(torrent), &speaker, 0);
            assert_eq!(memberships.index.is_some(), memberships.len() > MOST_WITHOUT_INDEX);
        }
        for torrent in 0..100 {
            memberships.remove(&id(torrent), &id(1));
            assert_eq!(memberships.index.is_some(), memberships.len() > FEWEST_WITH_INDEX);
        }
        assert!(memberships.is_empty());
        assert_eq!(Arc::strong_count(&speaker), 1);
    }
}
