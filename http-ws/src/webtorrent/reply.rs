//! Messages to clients, as JSON (W01–W04, W06).
//!
//! Everything but the opaque parts is written here. A message that goes to several clients is made in parts: what they have in common once.

use std::io::Write as _;

use tracker_common::wire::InfoHash;

use super::id::{self, PeerId};
use super::request::{Action, Refusal};
use super::swarms::Counts;

/// W04.
pub(super) fn announce(info_hash: &InfoHash, interval_s: u32, counts: Counts, out: &mut Vec<u8>) {
    // A vector takes everything; so below.
    let _never = write!(out, "{{\"action\":\"announce\",\"interval\":{interval_s},\"info_hash\":");
    id::write(info_hash, out);
    let Counts { complete, incomplete, .. } = counts;
    let _never = write!(out, ",\"complete\":{complete},\"incomplete\":{incomplete}}}");
}

/// What offers and answers of a peer begin with, up to the name of the offer.
pub(super) fn forwarded(info_hash: &InfoHash, peer_id: &PeerId, out: &mut Vec<u8>) {
    out.extend(b"{\"action\":\"announce\",\"info_hash\":");
    id::write(info_hash, out);
    out.extend(b",\"peer_id\":");
    id::write(peer_id, out);
    out.extend(b",\"offer_id\":");
}

/// An offer (W01), in parts.
pub(super) fn offer<'a>(begin: &'a [u8], offer_id: &'a str, offer: &'a str) -> [&'a [u8]; 5] {
    [begin, offer_id.as_bytes(), b",\"offer\":", offer.as_bytes(), b"}"]
}

/// An answer (W02), in parts.
pub(super) fn answer<'a>(begin: &'a [u8], offer_id: &'a str, answer: &'a str) -> [&'a [u8]; 5] {
    [begin, offer_id.as_bytes(), b",\"answer\":", answer.as_bytes(), b"}"]
}

/// An error (W03).
pub(super) fn error(action: Action, reason: &str, info_hash: Option<&InfoHash>, out: &mut Vec<u8>) {
    let action = match action {
        Action::Announce => "announce",
        Action::Scrape => "scrape",
    };
    let _never = write!(out, "{{\"action\":\"{action}\",\"failure reason\":\"{reason}\"");
    if let Some(info_hash) = info_hash {
        out.extend(b",\"info_hash\":");
        id::write(info_hash, out);
    }
    out.push(b'}');
}

/// The error that a refusal is.
pub(super) fn refusal(refusal: &Refusal, out: &mut Vec<u8>) {
    error(refusal.action, refusal.reason, refusal.info_hash.as_ref(), out);
}

/// What stands before the torrents of a scrape answer (W06).
pub(super) fn begin_scrape(out: &mut Vec<u8>) {
    out.extend(b"{\"action\":\"scrape\",\"files\":{");
}

/// A torrent of a scrape answer.
pub(super) fn scraped(is_first: bool, info_hash: &InfoHash, counts: Counts, out: &mut Vec<u8>) {
    if !is_first {
        out.push(b',');
    }
    id::write(info_hash, out);
    let Counts { complete, incomplete, downloaded } = counts;
    let _never =
        write!(out, ":{{\"complete\":{complete},\"incomplete\":{incomplete},\"downloaded\":{downloaded}}}");
}

/// What stands behind them.
pub(super) fn end_scrape(min_request_interval_s: u32, out: &mut Vec<u8>) {
    let _never = write!(out, "}},\"flags\":{{\"min_request_interval\":{min_request_interval_s}}}}}");
}
