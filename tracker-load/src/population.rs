//! Who announces what: a population of torrents and peers that is the same every time, so that several runs, over UDP and HTTP, speak of the same swarms.

use tracker_common::wire::InfoHash;

/// A peer of the population.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    pub(crate) info_hash: InfoHash,
    pub(crate) port: u16,
    pub(crate) seeder: bool,
}

/// First port of the population.
const FIRST_PORT: u16 = 1024;

impl Peer {
    /// Peer number `peer` of torrent number `torrent`: always the same one for the same numbers.
    pub(crate) fn number(torrent: u32, peer: u16) -> Self {
        let mut info_hash = [0; 20];
        let mut state = u64::from(torrent);
        for chunk in info_hash.chunks_mut(8) {
            chunk.copy_from_slice(&splitmix(&mut state).to_le_bytes()[..chunk.len()]);
        }
        Self { info_hash, port: FIRST_PORT.saturating_add(peer), seeder: peer % 2 == 1 }
    }
}

/// The next number of the SplitMix64 sequence.
pub(crate) fn splitmix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Draws peers: everybody once, torrent by torrent within a rank of peers, then at random.
pub(crate) struct Population {
    torrents: u64,
    peers: u64,
    leechers: bool,
    drawn: u64,
    random: u64,
}

impl Population {
    /// With `leechers` nobody is a seeder, so that everybody may be given to everybody.
    pub(crate) fn new(torrents: u32, peers: u16, leechers: bool) -> Self {
        Self { torrents: torrents.into(), peers: peers.into(), leechers, drawn: 0, random: 1 }
    }

    /// One that has announced before, for which a tracker is known to have all peers.
    pub(crate) fn announced(self) -> Self {
        Self { drawn: self.size(), ..self }
    }

    /// True while there are peers that haven't announced yet.
    pub(crate) fn is_incomplete(&self) -> bool {
        self.drawn < self.size()
    }

    pub(crate) fn draw(&mut self) -> Peer {
        let number = match self.drawn {
            drawn if drawn < self.size() => drawn,
            _ => splitmix(&mut self.random) % self.size().max(1),
        };
        self.drawn += 1;
        let mut peer =
            Peer::number((number % self.torrents.max(1)) as u32, (number / self.torrents.max(1)) as u16);
        peer.seeder &= !self.leechers;
        peer
    }

    fn size(&self) -> u64 {
        self.torrents * self.peers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn population_is_the_same_every_time() {
        assert_eq!(Peer::number(1, 2), Peer::number(1, 2));
        assert_ne!(Peer::number(1, 2).info_hash, Peer::number(2, 2).info_hash);
        assert_ne!(Peer::number(1, 2).port, Peer::number(1, 3).port);
    }

    #[test]
    fn population_is_announced_completely_before_chance_begins() {
        let mut population = Population::new(3, 5, false);
        let mut seen: Vec<Peer> = Vec::new();
        while population.is_incomplete() {
            let peer = population.draw();
            assert!(!seen.contains(&peer), "{peer:?} twice");
            seen.push(peer);
        }
        assert_eq!(seen.len(), 15);
        assert!(seen.contains(&population.draw()));
    }

    #[test]
    fn population_that_has_announced_is_complete_and_leechers_have_no_seeder() {
        let mut population = Population::new(3, 5, true).announced();
        assert!(!population.is_incomplete());
        assert!((0..50).all(|_| !population.draw().seeder));
    }
}
