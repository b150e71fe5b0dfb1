//! A scrape's query (BEP 48, H13).

use tracker_common::wire::InfoHash;

use super::parameters::Parameters;
use super::{BadQuery, percent};

/// The info hashes of a scrape's query, in its order; none when all torrents are asked for. Nothing is decoded ahead of its turn.
pub fn info_hashes(query: &[u8]) -> impl Iterator<Item = Result<InfoHash, BadQuery>> + Clone + '_ {
    Parameters::of(query)
        .filter(|(key, _)| *key == b"info_hash")
        .map(|(_, value)| percent::exactly(value).ok_or(BadQuery::InvalidInfoHash))
}
