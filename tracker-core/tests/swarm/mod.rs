//! What the tests of the swarm table share: a small language for announces, and the answer's bytes read back.

#![allow(dead_code, reason = "each test binary uses a part")]

use std::collections::BTreeSet;

use tracker_common::event::AnnounceEvent;
use tracker_common::siphash::SipKey;
use tracker_common::table::{BothPeers, Family, Found, FoundBoth, PeerAddress, Query};
use tracker_common::wire::{AnnounceKind, InfoHash};
use tracker_core::{DropRound, HeapSegments, Limits, Millis, TableReader, TableWriter};

/// A key like any other: tests have to give the same answers every time.
pub(crate) const HASH_KEY: SipKey = SipKey { k0: 0x0123_4567_89ab_cdef, k1: 0xfedc_ba98_7654_3210 };

pub(crate) const LIFETIME_S: u32 = 4200;

pub(crate) fn table(max_torrents: u32, max_peers: u32) -> (TableWriter, TableReader) {
    table_with(Limits { max_torrents, max_peers, ..SMALL })
}

/// An index that begins as small as can be, so that it grows many times.
pub(crate) const SMALL: Limits = Limits {
    max_torrents: 100_000,
    max_peers: 1_000_000,
    max_peers_per_torrent: 0,
    max_torrents_per_address: 0,
    peer_lifetime_s: LIFETIME_S,
    first_buckets: 2,
};

pub(crate) fn table_with(limits: Limits) -> (TableWriter, TableReader) {
    let writer = TableWriter::new(limits, HASH_KEY, Box::new(HeapSegments)).expect("a small table");
    let reader = writer.reader();
    (writer, reader)
}

/// Drops torrents, all of them; how many.
pub(crate) fn drop_all(writer: &mut TableWriter, denied: impl Fn(&InfoHash) -> bool, now: Millis) -> u32 {
    let mut round = DropRound::default();
    let mut torrents = 0;
    loop {
        let dropped = writer.drop_torrents(&mut round, &denied, now);
        torrents += dropped.torrents;
        if dropped.done {
            return torrents;
        }
    }
}

/// Info hash number `n`.
pub(crate) fn torrent(n: u32) -> InfoHash {
    let mut hash = [0xa5; 20];
    hash[..4].copy_from_slice(&n.to_be_bytes());
    hash
}

/// Peer number `n` of a family.
pub(crate) fn peer(family: Family, n: u32) -> PeerAddress {
    let [a, b, c, d] = n.to_be_bytes();
    let port = (n % 50_000) as u16 + 1;
    match family {
        Family::V4 => PeerAddress::v4([10 ^ a, b, c, d], port),
        Family::V6 => PeerAddress::v6([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, a, b, c, d], port),
    }
}

pub(crate) fn event(
    torrent: &InfoHash,
    peer: PeerAddress,
    kind: AnnounceKind,
    seeder: bool,
) -> AnnounceEvent {
    AnnounceEvent::new(*torrent, peer, kind, seeder, 0)
}

/// Applies plain announces of the peers `range` of a family.
pub(crate) fn join(
    writer: &mut TableWriter,
    hash: &InfoHash,
    family: Family,
    range: std::ops::Range<u32>,
    seeder: bool,
    now: Millis,
) {
    for n in range {
        let applied = writer.apply(&event(hash, peer(family, n), AnnounceKind::Started, seeder), now);
        assert_eq!(applied, tracker_core::Applied::Added, "peer {n}");
    }
}

pub(crate) struct Answer {
    pub(crate) found: Found,
    pub(crate) peers: Vec<PeerAddress>,
}

impl Answer {
    /// The peers, each of which is there once.
    #[track_caller]
    pub(crate) fn distinct(&self) -> BTreeSet<PeerAddress> {
        let set: BTreeSet<_> = self.peers.iter().copied().collect();
        assert_eq!(set.len(), self.peers.len(), "a peer is there twice: {:?}", self.peers);
        set
    }
}

/// What the table answers to an announce by `announcer`.
pub(crate) fn ask(
    reader: &TableReader,
    hash: &InfoHash,
    announcer: PeerAddress,
    seeder: bool,
    want: u32,
    random: u64,
) -> Answer {
    query(reader, &Query { info_hash: hash, peer: announcer, seeder, stopped: false, want, random })
}

pub(crate) fn query(reader: &TableReader, query: &Query<'_>) -> Answer {
    let mut out = [0; 4096];
    let found = reader.announce(query, &mut out);
    let len = found.peers as usize * query.peer.family().peer_len();
    let peers = match query.peer.family() {
        Family::V4 => out[..len].as_chunks().0.iter().map(|bytes| PeerAddress::V4(*bytes)).collect(),
        Family::V6 => out[..len].as_chunks().0.iter().map(|bytes| PeerAddress::V6(*bytes)).collect(),
    };
    Answer { found, peers }
}

pub(crate) struct AnswerOfBoth {
    pub(crate) found: FoundBoth,
    pub(crate) peers: Vec<PeerAddress>,
}

/// What the table answers when peers of both families are asked for.
pub(crate) fn query_both(reader: &TableReader, query: &Query<'_>) -> AnswerOfBoth {
    let mut out = BothPeers::new();
    let found = reader.announce_both(query, &mut out);
    let four = out.v4(&found).as_chunks().0.iter().map(|bytes| PeerAddress::V4(*bytes));
    let six = out.v6(&found).as_chunks().0.iter().map(|bytes| PeerAddress::V6(*bytes));
    AnswerOfBoth { found, peers: four.chain(six).collect() }
}
