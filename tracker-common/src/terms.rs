//! What an answer over UDP may hold (U11, U18, U22, PROTOCOL "Defaults"), the same in the kernel and over sockets.

use crate::table::Family;
use crate::wire::{
    ANSWER_HEADER_LEN, MAX_PAYLOAD_V4, MAX_PAYLOAD_V6, MAX_PEERS_V4, MAX_PEERS_V6, SCRAPE_ENTRY_LEN,
};

/// The tracker's terms, as far as answers depend on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Seconds between two announces of a client.
    pub interval_s: u32,
    /// Peers in an answer at most.
    pub max_response_peers: u32,
    /// Torrents in a scrape answer at most.
    pub max_scrape_torrents: u32,
}

impl Terms {
    /// The interval for one answer: 90 to 110 % of the configured one, so that a swarm that started together spreads out.
    #[inline(always)]
    pub const fn interval(&self, random: u64) -> u32 {
        // Division by 10: BPF has a slow one only; see `table::family`.
        let tenth = (self.interval_s as u64 * 0xcccc_cccd) >> 35;
        let jitter = ((random & 0xffff_ffff) * (2 * tenth + 1)) >> 32;
        (self.interval_s as u64 - tenth + jitter) as u32
    }

    /// U11 and U22: how many peers an answer over UDP gets.
    #[inline(always)]
    pub const fn wanted_peers(&self, num_want: i32, family: Family) -> u32 {
        let packet = match family {
            Family::V4 => MAX_PEERS_V4 as u32,
            Family::V6 => MAX_PEERS_V6 as u32,
        };
        let limit = if self.max_response_peers < packet { self.max_response_peers } else { packet };
        if num_want > 0 && (num_want as u32) < limit { num_want as u32 } else { limit }
    }

    /// U18 and U22: how many torrents a scrape over UDP gets.
    #[inline(always)]
    pub const fn scraped_torrents(&self, asked: u32, family: Family) -> u32 {
        let payload = match family {
            Family::V4 => MAX_PAYLOAD_V4,
            Family::V6 => MAX_PAYLOAD_V6,
        };
        let packet = ((payload - ANSWER_HEADER_LEN) / SCRAPE_ENTRY_LEN) as u32;
        let limit = if self.max_scrape_torrents < packet { self.max_scrape_torrents } else { packet };
        if asked < limit { asked } else { limit }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMS: Terms = Terms { interval_s: 1800, max_response_peers: 50, max_scrape_torrents: 70 };

    #[test]
    fn intervals_spread_by_10_percent_and_reach_both_ends() {
        assert_eq!(TERMS.interval(0), 1620);
        assert_eq!(TERMS.interval(u64::MAX), 1980);
        let mean = (0..1000u64).map(|part| u64::from(TERMS.interval(part * 4_294_967))).sum::<u64>() / 1000;
        assert!((1795..=1805).contains(&mean), "{mean}");
        let long = Terms { interval_s: u32::MAX / 2, ..TERMS };
        assert!(long.interval(u64::MAX) > long.interval_s);
    }

    #[test]
    fn num_want_is_taken_as_it_is_up_to_the_limit() {
        for (num_want, expected) in
            [(1, 1), (7, 7), (49, 49), (50, 50), (51, 50), (0, 50), (-1, 50), (i32::MIN, 50), (i32::MAX, 50)]
        {
            assert_eq!(TERMS.wanted_peers(num_want, Family::V4), expected, "num_want {num_want}");
        }
    }

    #[test]
    fn answers_fit_their_packets() {
        let terms = Terms { max_response_peers: 1000, max_scrape_torrents: 1000, ..TERMS };
        assert_eq!(terms.wanted_peers(-1, Family::V4), 230);
        assert_eq!(terms.wanted_peers(-1, Family::V6), 67);
        assert_eq!(terms.scraped_torrents(500, Family::V4), 116);
        assert_eq!(terms.scraped_torrents(500, Family::V6), 102);
        assert_eq!(TERMS.scraped_torrents(71, Family::V6), 70);
    }
}
