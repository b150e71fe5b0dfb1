//! What an announce or a scrape asks (H01–H09), read from the raw bytes of the query: no map, no allocation.
//!
//! The service calls [`announce`] and [`info_hashes`] with what follows the first `?` of a request's target. In reading order:
//! `parameters` takes a query apart, `percent` decodes values, `announce` and `scrape` know what they mean, `address` reads addresses (the
//! headers of reverse proxies have them, too). Values are decoded once all keys have been seen, so the order of keys never matters; of equal
//! ones the last counts. Keys are compared as they are: no client escapes them.
//!
//! Tests: `tests` has the rows, queries of real clients, and a comparison with a parser that is simple; fuzz target `query`.

pub(crate) mod address;
mod announce;
mod parameters;
mod percent;
mod scrape;
#[cfg(test)]
mod tests;

pub use announce::{Announce, announce};
pub use scrape::info_hashes;

/// Why a query can't be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadQuery {
    /// There is no `info_hash`.
    MissingInfoHash,
    /// `info_hash` is there, but not 20 bytes, or badly encoded (H01).
    InvalidInfoHash,
    /// There is no `peer_id`.
    MissingPeerId,
    /// `peer_id` is there, but not 20 bytes, or badly encoded.
    InvalidPeerId,
    /// There is no `port`.
    MissingPort,
    /// `port` is there, but not a number from 1 to 65535 (H02).
    InvalidPort,
}

impl BadQuery {
    /// The failure reason that the client is told.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::MissingInfoHash => "missing info_hash",
            Self::InvalidInfoHash => "invalid info_hash",
            Self::MissingPeerId => "missing peer_id",
            Self::InvalidPeerId => "invalid peer_id",
            Self::MissingPort => "missing port",
            Self::InvalidPort => "invalid port",
        }
    }
}
