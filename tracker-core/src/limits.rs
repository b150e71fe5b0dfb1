//! How much the table holds.

use tracker_common::table::layout::{SEGMENT_RECORDS, SEGMENT_SHIFT};

use crate::grow;

/// How much the table holds at most, and for how long. Memory is taken as it is needed, whatever the limits are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Torrents; announces of further ones are refused and counted.
    pub max_torrents: u32,
    /// Peers of all torrents; further ones are refused and counted.
    pub max_peers: u32,
    /// Peers of one torrent; 0 for no limit but that of a list, 655,360 IPv4 and 196,608 IPv6 leechers and as many seeders.
    pub max_peers_per_torrent: u32,
    /// Torrents that one source address (IPv4 address, IPv6 /64) is in; two ports of an address in a torrent count twice. 0 for no limit,
    /// which costs no memory; a limit costs some 10 to 20 bytes for each address.
    pub max_torrents_per_address: u32,
    /// A peer is removed when it hasn't announced for this long.
    pub peer_lifetime_s: u32,
    /// Buckets of the first index, [`Limits::FIRST_BUCKETS`] but in tests.
    pub first_buckets: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_torrents: 1_000_000,
            max_peers: 10_000_000,
            max_peers_per_torrent: 0,
            max_torrents_per_address: 0,
            peer_lifetime_s: 4200,
            first_buckets: Self::FIRST_BUCKETS,
        }
    }
}

/// Numbers are 32 bits.
const MAX_SEGMENTS: u32 = (1 << (32 - SEGMENT_SHIFT)) - 1;

impl Limits {
    /// One segment of buckets: for 57,344 torrents.
    pub const FIRST_BUCKETS: u32 = SEGMENT_RECORDS;

    /// Segments of the record space when the table is full. It is address space, not memory.
    pub fn segments(&self) -> u32 {
        // Some more than `max_torrents`, so that a full table still takes new ones while freed numbers rest. And the worst case for
        // lines: one for each peer, with its directories and resting lines.
        let torrents = self.max_torrents.saturating_add(self.max_torrents / 16);
        let lines = self.max_peers.saturating_add(self.max_peers / 8);
        let segments = |records: u32| records / SEGMENT_RECORDS + 2;
        (segments(torrents) + segments(lines)).saturating_add(self.bucket_slots()).min(MAX_SEGMENTS)
    }

    /// Slots of the bucket space: for all indexes from the first to that of a full table.
    pub fn bucket_slots(&self) -> u32 {
        grow::segments_for(self.first_buckets, self.max_torrents).min(MAX_SEGMENTS)
    }

    /// Peers of a torrent at most.
    pub(crate) fn peers_of_a_torrent(&self) -> u32 {
        match self.max_peers_per_torrent {
            0 => u32::MAX,
            limit => limit,
        }
    }
}
