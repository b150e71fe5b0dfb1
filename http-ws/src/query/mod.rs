//! What an announce or a scrape asks (H01–H09), read from the raw bytes of the query: no map, no allocation.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tracker_common::wire::{AnnounceKind, InfoHash};

/// An announce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announce {
    /// The torrent.
    pub info_hash: InfoHash,
    /// The client's name for itself.
    pub peer_id: [u8; 20],
    /// The port it listens on, not 0.
    pub port: u16,
    /// `left` is 0 (H03: missing means it isn't).
    pub seeder: bool,
    /// H09.
    pub kind: AnnounceKind,
    /// As UDP's `num_want`; −1 when missing or unreadable (H07).
    pub num_want: i32,
    /// H05, H06: false for `compact=0` only.
    pub compact: bool,
    /// `ip`, when it is an address (H08).
    pub ip: Option<IpAddr>,
    /// `ipv4`, when it is an address; a port behind it is ignored.
    pub ipv4: Option<Ipv4Addr>,
    /// `ipv6`, when it is an address; brackets and a port are ignored.
    pub ipv6: Option<Ipv6Addr>,
}

/// Why a query can't be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadQuery {
    /// `info_hash` is there, but not 20 bytes, or badly encoded.
    InvalidInfoHash,
}

impl BadQuery {
    /// The failure reason that the client is told.
    pub const fn reason(self) -> &'static str {
        "invalid info_hash"
    }
}

/// Reads the query of an announce: what follows the first `?`.
///
/// # Errors
///
/// The first parameter that is missing or bad.
pub fn announce(_query: &[u8]) -> Result<Announce, BadQuery> {
    unimplemented!()
}

/// The info hashes of a scrape's query, in its order.
pub fn info_hashes(_query: &[u8]) -> impl Iterator<Item = Result<InfoHash, BadQuery>> + '_ {
    std::iter::empty()
}
