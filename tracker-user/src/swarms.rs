//! Single swarms for an operator: what the table knows of a torrent, and which ones are the largest.
//!
//! Called by the threads of the control socket, beside everything else: a walk over the table takes a while. Tests are below.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use tracker_common::table::ScrapeCounts;
use tracker_common::wire::InfoHash;
use tracker_core::access_list::{AccessList, format_info_hash};

/// A torrent with the counts of both address families.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwarmCounts {
    /// Info hash in hexadecimal.
    pub info_hash: String,
    /// Complete peers.
    pub seeders: u32,
    /// Incomplete peers, partial seeds included.
    pub leechers: u32,
    /// Partial seeds (BEP 21).
    pub partial_seeds: u32,
    /// How often it was completed.
    pub completed: u32,
    /// Whether the access list lets it be announced.
    pub allowed: bool,
}

impl SwarmCounts {
    /// A torrent's counts for an operator.
    pub fn new(info_hash: &InfoHash, counts: ScrapeCounts, access: &AccessList) -> Self {
        let ScrapeCounts { seeders, completed, leechers, partial } = counts;
        Self {
            info_hash: format_info_hash(info_hash),
            seeders,
            leechers,
            partial_seeds: partial,
            completed,
            allowed: access.allows(info_hash),
        }
    }
}

/// The torrents with most peers, the largest first; those of equal size in the order of their hashes.
pub fn largest(
    torrents: impl Iterator<Item = (InfoHash, ScrapeCounts)>,
    count: usize,
) -> Vec<(InfoHash, ScrapeCounts)> {
    let mut top: BTreeSet<(Reverse<u64>, InfoHash)> = BTreeSet::new();
    let mut counts = std::collections::HashMap::new();
    for (info_hash, found) in torrents {
        let key =
            |found: &ScrapeCounts| (Reverse(u64::from(found.seeders) + u64::from(found.leechers)), info_hash);
        // A walk may meet a torrent twice, when it went and came back.
        if let Some(before) = counts.insert(info_hash, found) {
            top.remove(&key(&before));
        }
        top.insert(key(&found));
        if top.len() > count
            && let Some((_, smallest)) = top.pop_last()
        {
            counts.remove(&smallest);
        }
    }
    top.into_iter().filter_map(|(_, info_hash)| Some((info_hash, counts.remove(&info_hash)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(seeders: u32, leechers: u32) -> ScrapeCounts {
        ScrapeCounts { seeders, completed: 0, leechers, partial: 0 }
    }

    #[test]
    fn largest_come_first_and_no_more_than_asked_for() {
        let torrents = [
            ([1; 20], counts(1, 1)),
            ([2; 20], counts(0, 9)),
            ([4; 20], counts(5, 0)),
            ([3; 20], counts(2, 3)),
        ];
        let order = |count| -> Vec<u8> {
            largest(torrents.into_iter(), count).iter().map(|(hash, _)| hash[0]).collect()
        };
        assert_eq!(order(3), [2, 3, 4]);
        assert_eq!(order(9), [2, 3, 4, 1]);
        assert_eq!(order(0), [0u8; 0]);
    }

    #[test]
    fn torrent_that_is_met_twice_is_told_once_with_its_last_counts() {
        let torrents = [([1; 20], counts(9, 0)), ([2; 20], counts(5, 0)), ([1; 20], counts(3, 0))];
        let found = largest(torrents.into_iter(), 5);
        assert_eq!(found, [([2; 20], counts(5, 0)), ([1; 20], counts(3, 0))]);
    }
}
