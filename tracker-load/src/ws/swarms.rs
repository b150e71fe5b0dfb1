//! Which torrent a connection announces: any of the population, or one of a few that are its own.

use anyhow::{Result, ensure};

use crate::population::splitmix;

/// How torrents are chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// Any, with chances as these are to each other.
    Popular {
        /// A torrent's.
        sizes: Vec<u16>,
    },
    /// Any of so many, each with the same chance.
    Any {
        /// Torrents.
        torrents: u32,
    },
    /// One of `each`, so that every swarm has about `peers` members.
    Own {
        /// Torrents of a connection.
        each: u32,
        /// Members of a torrent.
        peers: u32,
    },
}

/// The torrents of all connections.
#[derive(Clone, Debug)]
pub(crate) struct Swarms {
    choice: Choice,
    torrents: u32,
    /// Of torrents with different chances: the sum of all up to each.
    ends: Vec<u64>,
}

impl Swarms {
    pub(crate) fn new(choice: Choice, connections: u32) -> Result<Self> {
        let mut ends = Vec::new();
        let torrents = match choice {
            Choice::Popular { ref sizes } => {
                let sums = sizes.iter().scan(0, |sum, size| {
                    *sum += u64::from(*size);
                    Some(*sum)
                });
                ends.extend(sums);
                u32::try_from(ends.len())?
            }
            Choice::Any { torrents } => torrents,
            Choice::Own { each, peers } => {
                ensure!(
                    peers <= connections,
                    "swarms of {peers} need as many connections, and there are {connections}"
                );
                let torrents = (u64::from(each) * u64::from(connections)).div_ceil(u64::from(peers.max(1)));
                u32::try_from(torrents)?
            }
        };
        Ok(Self { choice, torrents, ends })
    }

    pub(crate) fn torrents(&self) -> u32 {
        self.torrents
    }

    /// Announces of a connection until it is in all of its swarms: the first ones, one of each. None when it has none of its own.
    pub(crate) fn joins(&self) -> u32 {
        match self.choice {
            Choice::Any { .. } | Choice::Popular { .. } => 0,
            Choice::Own { each, .. } => each,
        }
    }

    /// What connection number `connection` announces as its announce number `announce`.
    pub(crate) fn torrent(&self, connection: u32, announce: u32, random: &mut u64) -> u32 {
        let chance = |below: u32, random: &mut u64| splitmix(random) % u64::from(below.max(1));
        let torrent = match self.choice {
            Choice::Popular { .. } => {
                let drawn = splitmix(random) % self.ends.last().copied().unwrap_or(1).max(1);
                self.ends.partition_point(|end| *end <= drawn) as u64
            }
            Choice::Any { torrents } => chance(torrents, random),
            Choice::Own { each, .. } => {
                let of_its = if announce < each { u64::from(announce) } else { chance(each, random) };
                // One behind the other around the population: a connection's are all different, and all swarms get the same.
                (u64::from(connection) * u64::from(each) + of_its) % u64::from(self.torrents)
            }
        };
        torrent as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn own_swarms_have_about_as_many_members_as_wanted() {
        for (connections, each, peers) in [(64, 10, 32), (64, 1000, 64), (100, 1, 5), (7, 3, 2), (1, 1, 1)] {
            let swarms = Swarms::new(Choice::Own { each, peers }, connections).unwrap();
            let mut members = vec![BTreeSet::new(); swarms.torrents() as usize];
            for connection in 0..connections {
                let torrents: BTreeSet<u32> = (0..swarms.joins())
                    .map(|announce| swarms.torrent(connection, announce, &mut 0))
                    .collect();
                assert_eq!(torrents.len(), each as usize, "those of {connection} are different");
                torrents.iter().for_each(|torrent| _ = members[*torrent as usize].insert(connection));
                let later = swarms.torrent(connection, each + 1, &mut 7);
                assert!(torrents.contains(&later), "{later} is none of {torrents:?}");
            }
            let sizes: Vec<usize> = members.iter().map(BTreeSet::len).collect();
            let (least, most) = (sizes.iter().min().unwrap(), sizes.iter().max().unwrap());
            assert!(most - least <= 1 && *most <= peers as usize, "{sizes:?}");
        }
    }

    #[test]
    fn swarms_larger_than_the_crowd_are_refused() {
        assert!(Swarms::new(Choice::Own { each: 10, peers: 65 }, 64).is_err());
    }

    #[test]
    fn popular_torrents_come_up_as_often_as_they_should() {
        let swarms = Swarms::new(Choice::Popular { sizes: vec![1, 6, 3] }, 1).unwrap();
        let (mut random, mut counts) = (1, [0_u32; 3]);
        for announce in 0..100_000 {
            counts[swarms.torrent(0, announce, &mut random) as usize] += 1;
        }
        // Five standard deviations.
        for (count, expected) in counts.iter().zip([10_000, 60_000, 30_000]) {
            assert!(count.abs_diff(expected) < 800, "{counts:?}");
        }
    }

    #[test]
    fn any_torrent_of_the_population_comes_up() {
        let swarms = Swarms::new(Choice::Any { torrents: 10 }, 1).unwrap();
        let mut random = 1;
        let seen: BTreeSet<u32> = (0..200).map(|announce| swarms.torrent(0, announce, &mut random)).collect();
        assert_eq!(seen, (0..10).collect());
        assert_eq!(swarms.joins(), 0);
    }
}
