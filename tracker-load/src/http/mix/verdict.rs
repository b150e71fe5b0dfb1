//! What is wrong with an answer over HTTP, given what was asked.

use std::net::IpAddr;

use super::body::{self, Answer};
use crate::mix::outcome::Kind;
use crate::mix::verdict::{Asked, Expected, Fault, check_peers, counts};

/// What an answer is, if it is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// With so many peers.
    Announced(u64),
    Scraped,
    Failure,
}

/// Looks at a body; `seen` is memory for its peers.
pub(super) fn judge(
    body: &[u8],
    asked: Asked,
    info_hash: &[u8; 20],
    expected: &Expected,
    seen: &mut Vec<(IpAddr, u16)>,
) -> Result<Verdict, Fault> {
    match (body::read(body).ok_or(Fault::Unreadable)?, asked.kind) {
        (Answer::Failure(_), _) => Ok(Verdict::Failure),
        (Answer::Announced { complete, incomplete, peers4, peers6 }, Kind::Announce) => {
            counts(complete, incomplete, asked, expected)?;
            // Clients are of one family, and so are all peers.
            let (peers, others) = if expected.ipv6 { (peers6, peers4) } else { (peers4, peers6) };
            if !others.is_empty() && !expected.shared {
                return Err(Fault::StrangePeer);
            }
            check_peers(peers, asked, expected, seen).map(Verdict::Announced)
        }
        (Answer::Scraped { info_hash: of, complete, incomplete }, Kind::Scrape) => {
            if !of.is_empty() && of != info_hash {
                return Err(Fault::Action);
            }
            counts(complete, incomplete, asked, expected)?;
            Ok(Verdict::Scraped)
        }
        _ => Err(Fault::Action),
    }
}
