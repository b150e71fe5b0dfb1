//! A UDP request and its answer (PROTOCOL "UDP"), with no socket: bytes in, bytes out.
//!
//! The decisions come in the same order as in the XDP program, and give the same verdicts. The socket workers call [`handle`] with each
//! packet, count the verdict, send the answer and hand on the event. The rows of PROTOCOL.md are run against it as data by the protocol
//! suite; the order of decisions is tested below.

use std::net::SocketAddr;

use tracker_common::connection_id::{Address, Epoch, Keys, Seed, ValidSource, issue, verify};
use tracker_common::event::AnnounceEvent;
use tracker_common::sketch::{Kind, Sketches};
use tracker_common::source::is_sane;
use tracker_common::table::{Family, PeerAddress, Query};
use tracker_common::verdict::Verdict;
use tracker_common::wire::{
    ACTION_ANNOUNCE, ACTION_CONNECT, ACTION_SCRAPE, ANNOUNCE_ANSWER_LEN, ANNOUNCE_LEN, ANSWER_HEADER_LEN,
    AnnounceKind, AnnounceRequest, CONNECT_MAGIC, HEADER_LEN, Header, INFO_HASH_LEN, InfoHash, Refusal,
    SCRAPE_ENTRY_LEN, connect_answer,
};

use crate::access_list::AccessList;
use crate::block_list::BlockList;
use crate::policy::{BadConnectionId, Policy};
use crate::reader::TableReader;

/// Bytes that the buffer for an answer needs: the largest UDP payload of an unfragmented packet on Ethernet, rounded up.
pub const ANSWER_ROOM: usize = 1472;

/// What an answer depends on, besides the request.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The swarms.
    pub table: &'a TableReader,
    /// Which torrents may be tracked.
    pub access: &'a AccessList,
    /// Who isn't answered at all.
    pub block: &'a BlockList,
    /// Intervals and limits.
    pub policy: &'a Policy,
    /// The keys of connection ids.
    pub keys: &'a Keys,
    /// Now, on the clock of connection ids (`CLOCK_MONOTONIC_COARSE`).
    pub now_ns: u64,
    /// 64 random bits, fresh for each request.
    pub random: u64,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handled {
    /// To be counted.
    pub verdict: Verdict,
    /// Bytes of the answer in the caller's buffer; 0 for silence.
    pub len: usize,
    /// To be handed to the writer.
    pub event: Option<AnnounceEvent>,
}

impl Handled {
    const fn silence(verdict: Verdict) -> Self {
        Self { verdict, len: 0, event: None }
    }
}

/// The torrent of a request that looks like an announce. Whether it is to be answered is seen later; this serves
/// [`TableReader::expect`] alone.
pub fn announced(request: &[u8]) -> Option<&InfoHash> {
    let request = request.first_chunk::<ANNOUNCE_LEN>()?;
    let is_announce = request[8..12] == ACTION_ANNOUNCE.to_be_bytes();
    request[HEADER_LEN..].first_chunk::<INFO_HASH_LEN>().filter(|_| is_announce)
}

/// Answers a request: the answer into `out`, which has [`ANSWER_ROOM`].
///
/// `sketches` are what the calling thread has counted for the rate limits of sources.
pub fn handle(
    request: &[u8],
    source: SocketAddr,
    context: &Context<'_>,
    sketches: &mut Sketches,
    out: &mut [u8],
) -> Handled {
    let address = Address::from(source.ip());
    if !is_sane(&address, source.port()) {
        return Handled::silence(Verdict::DropSource);
    }
    if context.block.blocks(&address) {
        return Handled::silence(Verdict::DropBlocked);
    }
    let Some(header) = request.first_chunk::<HEADER_LEN>() else {
        return Handled::silence(Verdict::DropShort);
    };
    let header = Header::parse(header);
    let request = Request { bytes: request, header, address, context };
    match header.action {
        ACTION_CONNECT if header.connection_id == CONNECT_MAGIC => request.connect(sketches, out),
        ACTION_CONNECT => Handled::silence(Verdict::DropMagic),
        ACTION_ANNOUNCE | ACTION_SCRAPE => match request.check(sketches, out) {
            Err(refused) => refused,
            Ok(proof) if header.action == ACTION_ANNOUNCE => request.announce(proof, out),
            Ok(proof) => request.scrape(proof, out),
        },
        _ => Handled::silence(Verdict::DropAction),
    }
}

/// A request from a source that may be answered.
struct Request<'a> {
    bytes: &'a [u8],
    header: Header,
    address: Address,
    context: &'a Context<'a>,
}

impl Request<'_> {
    fn connect(&self, sketches: &mut Sketches, out: &mut [u8]) -> Handled {
        let id = issue(self.context.keys, &self.address, self.epoch());
        let limit = self.context.policy.limits.connects;
        if self.is_over(Kind::Connects, limit, Seed::of(id), sketches) {
            return Handled::silence(Verdict::DropLimitConnect);
        }
        let len = put(out, 0, &connect_answer(self.header.transaction, id));
        Handled { verdict: Verdict::Connect, len, event: None }
    }

    /// U04: the proof that the source receives what it is sent, or what becomes of the request without.
    fn check(&self, sketches: &mut Sketches, out: &mut [u8]) -> Result<ValidSource, Handled> {
        let Context { keys, policy, .. } = *self.context;
        match verify(keys, &self.address, self.epoch(), self.header.connection_id) {
            Ok(valid) if self.is_over(Kind::Announces, policy.limits.announces, valid.seed(), sketches) => {
                Err(Handled::silence(Verdict::DropLimitAnnounce))
            }
            Ok(valid) => Ok(valid),
            Err(invalid) => Err(self.refuse_id(invalid.seed, sketches, out)),
        }
    }

    fn refuse_id(&self, seed: Seed, sketches: &mut Sketches, out: &mut [u8]) -> Handled {
        let refusal = Refusal::InvalidConnectionId;
        let Context { policy, now_ns, .. } = *self.context;
        if self.is_over(Kind::BadIds, policy.limits.bad_ids, seed, sketches) {
            return Handled::silence(Verdict::DropLimitBadId);
        }
        let sent = match policy.bad_connection_id {
            BadConnectionId::Drop => false,
            // The source may be forged: never more bytes out than in.
            BadConnectionId::Error { .. } if self.bytes.len() < refusal.answer_len() => false,
            BadConnectionId::Error { per_second } => {
                sketches.of(Kind::Errors).allows(seed.of_address(), now_ns, per_second)
            }
        };
        if sent {
            self.refuse(refusal, Verdict::ErrorConnectionId, out)
        } else {
            Handled::silence(Verdict::DropConnectionId)
        }
    }

    /// Counts the request; true when it is more than the source may send. 0 is no limit.
    fn is_over(&self, kind: Kind, limit: u32, seed: Seed, sketches: &mut Sketches) -> bool {
        let Context { keys, now_ns, .. } = *self.context;
        limit != 0
            && !sketches.of(kind).allows(seed.source_hash(keys, &self.address, self.epoch()), now_ns, limit)
    }

    fn announce(&self, _proof: ValidSource, out: &mut [u8]) -> Handled {
        let Some(bytes) = self.bytes.first_chunk::<ANNOUNCE_LEN>() else {
            return self.refuse(Refusal::AnnounceTooShort, Verdict::ErrorAnnounceShort, out);
        };
        let announce = AnnounceRequest::parse(bytes);
        if !self.context.access.allows(&announce.info_hash) {
            return self.refuse(Refusal::InfoHashNotAllowed, Verdict::ErrorInfoHash, out);
        }
        if announce.port == 0 {
            return self.refuse(Refusal::PortZero, Verdict::ErrorPort, out);
        }
        let peer = match self.address {
            // U10: the address is the packet's.
            Address::V4(ip) => PeerAddress::v4(ip, announce.port),
            Address::V6(ip) => PeerAddress::v6(ip, announce.port),
        };
        // U12
        let seeder = announce.left == 0;
        let Some((head, peers)) = out.split_first_chunk_mut::<ANNOUNCE_ANSWER_LEN>() else {
            return Handled::silence(Verdict::DropShort);
        };
        let query = Query {
            info_hash: &announce.info_hash,
            peer,
            seeder,
            stopped: announce.kind == AnnounceKind::Stopped,
            want: self.context.policy.terms().wanted_peers(announce.num_want, peer.family()),
            random: self.context.random,
        };
        let found = self.context.table.announce(&query, peers);
        // BEP 15, "IPv4 announce response"; the IPv6 one differs in the peers only.
        put(head, 0, &ACTION_ANNOUNCE.to_be_bytes());
        put(head, 4, &self.header.transaction);
        // Other bits than those that chose the peers.
        put(
            head,
            8,
            &self.context.policy.terms().interval(self.context.random.rotate_left(32)).to_be_bytes(),
        );
        put(head, 12, &found.leechers.to_be_bytes());
        put(head, 16, &found.seeders.to_be_bytes());
        Handled {
            verdict: Verdict::Announce,
            len: ANNOUNCE_ANSWER_LEN + found.peers as usize * peer.family().peer_len(),
            event: Some(
                AnnounceEvent::new(
                    announce.info_hash,
                    peer,
                    announce.kind,
                    seeder,
                    // The low part, as the kernel has it.
                    (self.context.now_ns / 1_000_000) as u32,
                )
                .with_peer_id(&announce.peer_id),
            ),
        }
    }

    fn scrape(&self, _proof: ValidSource, out: &mut [u8]) -> Handled {
        // U17: what isn't a whole hash at the end is ignored.
        let hashes = self.bytes.get(HEADER_LEN..).unwrap_or_default().as_chunks::<INFO_HASH_LEN>().0;
        if hashes.is_empty() {
            return self.refuse(Refusal::FullScrape, Verdict::ErrorFullScrape, out);
        }
        let family = match self.address {
            Address::V4(_) => Family::V4,
            Address::V6(_) => Family::V6,
        };
        let answered = self.context.policy.terms().scraped_torrents(hashes.len() as u32, family) as usize;
        put(out, 0, &ACTION_SCRAPE.to_be_bytes());
        put(out, 4, &self.header.transaction);
        let mut len = ANSWER_HEADER_LEN;
        for hash in hashes.iter().take(answered) {
            len += put(out, len, &self.scrape_entry(hash));
        }
        Handled { verdict: Verdict::Scrape, len, event: None }
    }

    /// BEP 15, "scrape response": seeders, completed, leechers. U19: zeros for a denied torrent.
    fn scrape_entry(&self, hash: &InfoHash) -> [u8; SCRAPE_ENTRY_LEN] {
        let mut entry = [0; SCRAPE_ENTRY_LEN];
        if self.context.access.allows(hash) {
            let counts = self.context.table.scrape(hash);
            put(&mut entry, 0, &counts.seeders.to_be_bytes());
            put(&mut entry, 4, &counts.completed.to_be_bytes());
            put(&mut entry, 8, &counts.leechers.to_be_bytes());
        }
        entry
    }

    fn refuse(&self, refusal: Refusal, verdict: Verdict, out: &mut [u8]) -> Handled {
        Handled { verdict, len: refusal.write(self.header.transaction, out), event: None }
    }

    fn epoch(&self) -> Epoch {
        Epoch::at(self.context.now_ns)
    }
}

/// Copies bytes to a place in `out`; how many, 0 when they don't fit.
fn put(out: &mut [u8], at: usize, bytes: &[u8]) -> usize {
    match out.get_mut(at..at + bytes.len()) {
        Some(place) => {
            place.copy_from_slice(bytes);
            bytes.len()
        }
        None => 0,
    }
}
