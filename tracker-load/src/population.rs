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

/// Peers of a torrent at most: they differ in their ports.
pub(crate) const MAX_PEERS: u16 = 60_000;

/// Draws peers: everybody once, torrent by torrent within a rank of peers, then at random.
pub(crate) struct Population {
    swarms: Swarms,
    leechers: bool,
    drawn: u64,
    random: u64,
}

/// How the peers' numbers are shared out.
enum Swarms {
    /// All torrents have the same number of peers.
    Even { torrents: u64, peers: u64 },
    /// The number of the first peer behind each torrent's.
    Uneven { ends: Vec<u64> },
}

impl Population {
    /// With `leechers` nobody is a seeder, so that everybody may be given to everybody.
    pub(crate) fn new(torrents: u32, peers: u16, leechers: bool) -> Self {
        let swarms = Swarms::Even { torrents: torrents.into(), peers: peers.into() };
        Self { swarms, leechers, drawn: 0, random: 1 }
    }

    /// Of torrents with so many peers each.
    pub(crate) fn of(sizes: &[u16], seed: u64) -> Self {
        let mut end = 0;
        let ends = sizes.iter().map(|size| {
            end += u64::from(*size);
            end
        });
        Self { swarms: Swarms::Uneven { ends: ends.collect() }, leechers: false, drawn: 0, random: seed }
    }

    /// Nobody is a seeder, if so.
    pub(crate) fn leechers_alone(self, leechers: bool) -> Self {
        Self { leechers, ..self }
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
        self.draw_with_swarm().0
    }

    /// A peer, and how many its torrent has.
    pub(crate) fn draw_with_swarm(&mut self) -> (Peer, u16) {
        let number = match self.drawn {
            drawn if drawn < self.size() => drawn,
            _ => splitmix(&mut self.random) % self.size().max(1),
        };
        self.drawn += 1;
        let (torrent, peer, swarm) = self.place(number);
        let mut peer = Peer::number(torrent, peer);
        peer.seeder &= !self.leechers;
        (peer, swarm)
    }

    /// The torrent's number, the peer's in it, and how many there are.
    fn place(&self, number: u64) -> (u32, u16, u16) {
        match &self.swarms {
            Swarms::Even { torrents, peers } => {
                let torrents = (*torrents).max(1);
                ((number % torrents) as u32, (number / torrents) as u16, *peers as u16)
            }
            Swarms::Uneven { ends } => {
                let torrent = ends.partition_point(|end| *end <= number);
                let begin = torrent.checked_sub(1).and_then(|before| ends.get(before)).copied().unwrap_or(0);
                let end = ends.get(torrent).copied().unwrap_or(begin);
                (torrent as u32, (number - begin) as u16, (end - begin) as u16)
            }
        }
    }

    fn size(&self) -> u64 {
        match &self.swarms {
            Swarms::Even { torrents, peers } => torrents * peers,
            Swarms::Uneven { ends } => ends.last().copied().unwrap_or(0),
        }
    }
}

/// The ports of a torrent's peers.
pub(crate) fn ports(swarm: u16) -> std::ops::Range<u32> {
    u32::from(FIRST_PORT)..u32::from(FIRST_PORT) + u32::from(swarm)
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
    fn uneven_population_is_announced_completely_and_each_peer_is_drawn_as_often() {
        let sizes = [1, 5, 2];
        let mut population = Population::of(&sizes, 9);
        let mut seen: Vec<(Peer, u16)> = Vec::new();
        while population.is_incomplete() {
            let drawn = population.draw_with_swarm();
            assert!(!seen.contains(&drawn), "{drawn:?} twice");
            assert!(ports(drawn.1).contains(&u32::from(drawn.0.port)), "{drawn:?}");
            seen.push(drawn);
        }
        assert_eq!(seen.len(), 8);
        let mut counts = vec![0u32; seen.len()];
        for _ in 0..80_000 {
            let drawn = population.draw_with_swarm();
            counts[seen.iter().position(|known| *known == drawn).expect("it is one of them")] += 1;
        }
        // 10,000 each; five standard deviations.
        assert!(counts.iter().all(|count| count.abs_diff(10_000) < 500), "{counts:?}");
    }

    #[test]
    fn population_that_has_announced_is_complete_and_leechers_have_no_seeder() {
        let mut population = Population::new(3, 5, true).announced();
        assert!(!population.is_incomplete());
        assert!((0..50).all(|_| !population.draw().seeder));
    }
}
