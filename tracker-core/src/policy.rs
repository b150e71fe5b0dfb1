//! What clients are asked for and given: intervals, limits, lifetimes (PROTOCOL "Defaults", U11, U18, U22).

use tracker_common::sketch::SourceLimits;
use tracker_common::table::layout::Cell;
use tracker_common::terms::Terms;

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
    /// What a source may send in about a second.
    pub limits: SourceLimits,
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
            limits: SourceLimits::default(),
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

    /// What answers depend on, as the kernel knows it too.
    pub const fn terms(&self) -> Terms {
        Terms {
            interval_s: self.interval_s,
            max_response_peers: self.max_response_peers,
            max_scrape_torrents: self.max_scrape_torrents,
        }
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
}
