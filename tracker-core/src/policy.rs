//! What clients are asked for and given: intervals, limits, lifetimes (PROTOCOL "Defaults", U11, U18, U22).

use tracker_common::table::Family;
use tracker_common::table::layout::Cell;
use tracker_common::wire::{MAX_PAYLOAD_V4, MAX_PAYLOAD_V6, MAX_PEERS_V4, MAX_PEERS_V6};

/// What becomes of requests whose connection id is bad (U04).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadConnectionId {
    /// An error answer, at most so many a second for a source.
    Error {
        /// Answers a second.
        per_second: u32,
    },
    /// Silence.
    Drop,
}

/// The tracker's terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Seconds between two announces of a client; each answer's differs by up to 10 %.
    pub interval_s: u32,
    /// Peers in an answer at most.
    pub max_response_peers: u32,
    /// Torrents in a scrape answer at most.
    pub max_scrape_torrents: u32,
    /// Seconds after its last announce that a peer is removed.
    pub peer_lifetime_s: u32,
    /// What becomes of requests with a bad connection id.
    pub bad_connection_id: BadConnectionId,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            interval_s: 1800,
            max_response_peers: 50,
            max_scrape_torrents: 70,
            // 2 × 1800 + 10 min.
            peer_lifetime_s: 4200,
            bad_connection_id: BadConnectionId::Error { per_second: 10 },
        }
    }
}

/// A term that doesn't hold together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPolicy {
    /// Clients would be told to announce all the time.
    #[error("interval_s = {0}: at least {MIN_INTERVAL_S}")]
    IntervalTooShort(u32),
    /// Peers would vanish although they announce in time.
    #[error(
        "peer_lifetime_s = {found}: at least {wanted} (two intervals and ten minutes), or a peer that misses one announce is forgotten"
    )]
    LifetimeTooShort {
        /// What was configured.
        found: u32,
        /// The least.
        wanted: u64,
    },
    /// Deadlines are kept in 14 bits of 4 s.
    #[error("peer_lifetime_s = {0}: at most {max}, which is what a deadline can hold", max = Cell::MAX_LIFETIME_S)]
    LifetimeTooLong(u32),
    /// Nobody would get a peer.
    #[error("max_response_peers = 0: at least 1")]
    NoPeers,
    /// Nobody would get a torrent's counts.
    #[error("max_scrape_torrents = 0: at least 1")]
    NoScrapes,
}

/// Shortest interval: libtorrent and others wait a minute anyway.
pub const MIN_INTERVAL_S: u32 = 60;

impl Policy {
    /// Checks that the terms hold together.
    ///
    /// # Errors
    ///
    /// The first that doesn't.
    pub fn check(&self) -> Result<(), BadPolicy> {
        if self.interval_s < MIN_INTERVAL_S {
            return Err(BadPolicy::IntervalTooShort(self.interval_s));
        }
        let wanted = 2 * u64::from(self.interval_s) + 10 * 60;
        if u64::from(self.peer_lifetime_s) < wanted {
            return Err(BadPolicy::LifetimeTooShort { found: self.peer_lifetime_s, wanted });
        }
        if u64::from(self.peer_lifetime_s) > Cell::MAX_LIFETIME_S {
            return Err(BadPolicy::LifetimeTooLong(self.peer_lifetime_s));
        }
        if self.max_response_peers == 0 {
            return Err(BadPolicy::NoPeers);
        }
        if self.max_scrape_torrents == 0 {
            return Err(BadPolicy::NoScrapes);
        }
        Ok(())
    }

    /// The interval for one answer: 90 to 110 % of the configured one, so that a swarm that started together spreads out.
    pub fn interval(&self, random: u64) -> u32 {
        let spread = u64::from(self.interval_s) / 5 + 1;
        let jitter = ((random & 0xffff_ffff) * spread) >> 32;
        (u64::from(self.interval_s) - u64::from(self.interval_s) / 10 + jitter) as u32
    }

    /// U11 and U22: how many peers an answer over UDP gets.
    pub fn wanted_peers(&self, num_want: i32, family: Family) -> u32 {
        let packet = match family {
            Family::V4 => MAX_PEERS_V4,
            Family::V6 => MAX_PEERS_V6,
        };
        let limit = self.max_response_peers.min(packet as u32);
        match u32::try_from(num_want) {
            Ok(want @ 1..) => want.min(limit),
            _ => limit,
        }
    }

    /// U18 and U22: how many torrents a scrape over UDP gets.
    pub fn scraped_torrents(&self, asked: usize, family: Family) -> usize {
        let payload = match family {
            Family::V4 => MAX_PAYLOAD_V4,
            Family::V6 => MAX_PAYLOAD_V6,
        };
        let packet =
            (payload - tracker_common::wire::ANSWER_HEADER_LEN) / tracker_common::wire::SCRAPE_ENTRY_LEN;
        asked.min(self.max_scrape_torrents as usize).min(packet)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_hold_together() {
        assert_eq!(Policy::default().check(), Ok(()));
    }

    #[test]
    fn terms_that_do_not_hold_together_are_refused() {
        let refused = |change: fn(&mut Policy)| {
            let mut policy = Policy::default();
            change(&mut policy);
            policy.check().unwrap_err().to_string()
        };
        assert!(refused(|policy| policy.interval_s = 59).contains("at least 60"));
        assert!(refused(|policy| policy.peer_lifetime_s = 4199).contains("at least 4200"));
        assert!(refused(|policy| policy.interval_s = 1801).contains("at least 4202"));
        assert!(refused(|policy| policy.peer_lifetime_s = 40_000).contains("at most 32760"));
        assert!(refused(|policy| policy.interval_s = u32::MAX).contains("at least 8589935190"));
        assert!(refused(|policy| policy.max_response_peers = 0).contains("max_response_peers"));
        assert!(refused(|policy| policy.max_scrape_torrents = 0).contains("max_scrape_torrents"));
    }

    #[test]
    fn intervals_spread_by_10_percent_and_reach_both_ends() {
        let policy = Policy::default();
        assert_eq!(policy.interval(0), 1620);
        assert_eq!(policy.interval(u64::MAX), 1980);
        let mean = (0..1000u64).map(|part| u64::from(policy.interval(part * 4_294_967))).sum::<u64>() / 1000;
        assert!((1795..=1805).contains(&mean), "{mean}");
        let long = Policy { interval_s: u32::MAX / 2, ..policy };
        assert!(long.interval(u64::MAX) > long.interval_s);
    }

    #[test]
    fn num_want_is_taken_as_it_is_up_to_the_limit() {
        let policy = Policy::default();
        for (num_want, expected) in
            [(1, 1), (7, 7), (49, 49), (50, 50), (51, 50), (0, 50), (-1, 50), (i32::MIN, 50), (i32::MAX, 50)]
        {
            assert_eq!(policy.wanted_peers(num_want, Family::V4), expected, "num_want {num_want}");
        }
    }

    #[test]
    fn answers_fit_their_packets() {
        let policy = Policy { max_response_peers: 1000, max_scrape_torrents: 1000, ..Policy::default() };
        assert_eq!(policy.wanted_peers(-1, Family::V4), 230);
        assert_eq!(policy.wanted_peers(-1, Family::V6), 67);
        assert_eq!(policy.scraped_torrents(500, Family::V4), 116);
        assert_eq!(policy.scraped_torrents(500, Family::V6), 102);
        assert_eq!(Policy::default().scraped_torrents(71, Family::V6), 70);
    }
}
