//! What is wrong with an answer, given what was asked (BEP 15).

use std::net::IpAddr;

use tracker_common::wire::{
    ACTION_ANNOUNCE, ACTION_CONNECT, ACTION_ERROR, ACTION_SCRAPE, ANNOUNCE_ANSWER_LEN, CONNECT_ANSWER_LEN,
    PEER_V4_LEN, PEER_V6_LEN,
};

use super::outcome::Kind;
use crate::population::ports;

/// What can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A datagram that belongs to no request: its transaction id is nobody's.
    Transaction = 0,
    /// An answer of another kind than the request.
    Action = 1,
    /// A length that no answer of this kind has.
    Length = 2,
    /// More peers than were wanted.
    TooManyPeers = 3,
    /// A peer that never announced this torrent.
    StrangePeer = 4,
    /// The same peer twice in one answer.
    DoublePeer = 5,
    /// More seeders and leechers than there are.
    Counts = 6,
    /// An answer to a bad connection id that isn't an error.
    BadIdAnswered = 7,
    /// No answer of the protocol at all.
    Unreadable = 8,
}

impl Fault {
    pub(crate) const ALL: [Self; 9] = [
        Self::Transaction,
        Self::Action,
        Self::Length,
        Self::TooManyPeers,
        Self::StrangePeer,
        Self::DoublePeer,
        Self::Counts,
        Self::BadIdAnswered,
        Self::Unreadable,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Transaction => "wrong_transaction",
            Self::Action => "wrong_action",
            Self::Length => "wrong_length",
            Self::TooManyPeers => "too_many_peers",
            Self::StrangePeer => "strange_peer",
            Self::DoublePeer => "peer_twice",
            Self::Counts => "implausible_counts",
            Self::BadIdAnswered => "bad_id_answered",
            Self::Unreadable => "unreadable",
        }
    }
}

/// What is known about a request when its answer comes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) kind: Kind,
    /// Peers of its torrent at each source address.
    pub(crate) swarm: u16,
    /// Peers wanted; negative: the tracker's choice.
    pub(crate) want: i32,
}

/// What all answers are compared with.
#[derive(Debug)]
pub(crate) struct Expected {
    /// Source addresses, sorted; peers have no others.
    pub(crate) sources: Vec<IpAddr>,
    pub(crate) ipv6: bool,
    /// Others announce too: their peers and counts can't be known.
    pub(crate) shared: bool,
}

/// What an answer is, if it is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Connected(u64),
    /// With so many peers.
    Announced(u64),
    Scraped,
    Error,
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |word| u32::from_be_bytes(*word))
}

/// Reads an answer whose transaction id was found; `seen` is memory for its peers.
pub(crate) fn judge(
    answer: &[u8],
    asked: Asked,
    expected: &Expected,
    seen: &mut Vec<(IpAddr, u16)>,
) -> Result<Answer, Fault> {
    let action = if answer.len() < 8 { return Err(Fault::Length) } else { word(answer, 0) };
    if action == ACTION_ERROR {
        return if answer.len() > 8 { Ok(Answer::Error) } else { Err(Fault::Length) };
    }
    match (asked.kind, action) {
        (Kind::BadId, _) => Err(Fault::BadIdAnswered),
        (Kind::Connect, ACTION_CONNECT) => match answer
            .get(8..CONNECT_ANSWER_LEN)
            .and_then(|id| id.first_chunk())
        {
            Some(id) if answer.len() == CONNECT_ANSWER_LEN => Ok(Answer::Connected(u64::from_be_bytes(*id))),
            _ => Err(Fault::Length),
        },
        (Kind::Announce, ACTION_ANNOUNCE) => announced(answer, asked, expected, seen),
        // BEP 15, "scrape response": seeders, completed, leechers.
        (Kind::Scrape, ACTION_SCRAPE) if answer.len() == 20 => {
            counts(word(answer, 8), word(answer, 16), asked, expected).map(|()| Answer::Scraped)
        }
        (Kind::Scrape, ACTION_SCRAPE) => Err(Fault::Length),
        _ => Err(Fault::Action),
    }
}

fn announced(
    answer: &[u8],
    asked: Asked,
    expected: &Expected,
    seen: &mut Vec<(IpAddr, u16)>,
) -> Result<Answer, Fault> {
    let peers = answer.get(ANNOUNCE_ANSWER_LEN..).ok_or(Fault::Length)?;
    // BEP 15, "IPv4 announce response": leechers, seeders.
    counts(word(answer, 16), word(answer, 12), asked, expected)?;
    check_peers(peers, asked, expected, seen).map(Answer::Announced)
}

/// Peers in compact form; how many.
pub(crate) fn check_peers(
    peers: &[u8],
    asked: Asked,
    expected: &Expected,
    seen: &mut Vec<(IpAddr, u16)>,
) -> Result<u64, Fault> {
    let peer_len = if expected.ipv6 { PEER_V6_LEN } else { PEER_V4_LEN };
    if !peers.len().is_multiple_of(peer_len) {
        return Err(Fault::Length);
    }
    let count = peers.len() / peer_len;
    // 0 and negative numbers leave it to the tracker.
    if asked.want > 0 && count > asked.want as usize {
        return Err(Fault::TooManyPeers);
    }
    seen.clear();
    for peer in peers.chunks_exact(peer_len) {
        let (ip, port) = peer.split_at(peer_len - 2);
        let ip = match ip.first_chunk::<16>() {
            Some(v6) => IpAddr::from(*v6),
            None => ip.first_chunk::<4>().map_or(IpAddr::from([0; 4]), |v4| IpAddr::from(*v4)),
        };
        let port = port.first_chunk().map_or(0, |port| u16::from_be_bytes(*port));
        seen.push((ip, port));
        let ours =
            ports(asked.swarm).contains(&u32::from(port)) && expected.sources.binary_search(&ip).is_ok();
        if !ours && !expected.shared {
            return Err(Fault::StrangePeer);
        }
    }
    seen.sort_unstable();
    if seen.array_windows().any(|[one, next]| one == next) {
        return Err(Fault::DoublePeer);
    }
    Ok(count as u64)
}

/// More than there are is not plausible.
pub(crate) fn counts(seeders: u32, leechers: u32, asked: Asked, expected: &Expected) -> Result<(), Fault> {
    let there_are = u64::from(asked.swarm) * expected.sources.len() as u64;
    let plausible = u64::from(seeders) + u64::from(leechers) <= there_are;
    if plausible || expected.shared { Ok(()) } else { Err(Fault::Counts) }
}
