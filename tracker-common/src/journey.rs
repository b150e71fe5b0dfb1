//! A packet's journey through the XDP program.
//!
//! Ethernet, at most one VLAN tag → IPv4 without options or IPv6 without extension headers → UDP to a served (address, port) → lengths
//! → source sane → block list → connect: answer · announce: connection id, access list, on to the daemon · scrape: connection
//! id, on to the daemon. Whatever is odd passes to the kernel's stack; what can never be answered is dropped. Every step
//! ends in exactly one [`Verdict`].
//!
//! `tracker-ebpf` runs this over packet pointers and BPF maps, the differential test runs it over a buffer and plain tables.

use crate::checksum::Sum;
use crate::connection_id::{self, Address, Epoch, Keys};
use crate::frame::{self, Datagram, ETHERNET_LEN, Frame, Ip, Network, Payload, TAG_LEN, V4, V6};
use crate::source;
use crate::verdict::Verdict;
use crate::wire::{self, ACTION_ANNOUNCE, ACTION_CONNECT, ACTION_SCRAPE, InfoHash, Refusal};

/// What the journey looks up on its way: BPF maps in the kernel, plain tables elsewhere.
pub trait Host {
    /// True when the tracker serves this address and port.
    fn serves(&self, address: &Address, port: u16) -> bool;
    /// U16: true when the block list has the address.
    fn blocks(&self, address: &Address) -> bool;
    /// U15: true when the access list lets the torrent be announced.
    fn allows(&self, info_hash: &InfoHash) -> bool;
    /// The keys of connection ids; `None` while there are none, and then everything passes to the daemon.
    fn keys(&self) -> Option<&Keys>;
    /// `CLOCK_MONOTONIC_COARSE` in nanoseconds.
    fn now_ns(&self) -> u64;
    /// U04: true when this source may be sent one more error.
    fn may_send_error(&mut self, source_hash: u64, now_ns: u64) -> bool;
}

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const TAG_8021Q: u16 = 0x8100;
const TAG_8021AD: u16 = 0x88a8;

/// Decides what becomes of a frame, and turns it into the answer where the verdict is one.
#[inline(always)]
pub fn travel<F: Frame, H: Host>(frame: &mut F, host: &mut H) -> Verdict {
    const UNTAGGED: usize = ETHERNET_LEN;
    const TAGGED: usize = ETHERNET_LEN + TAG_LEN;
    let Some(ether_type) = frame.load::<u16>(ETHERNET_LEN - 2) else { return Verdict::PassOther };
    match u16::from_be(ether_type) {
        IPV4 => ip::<F, H, V4<UNTAGGED>>(frame, host),
        IPV6 => ip::<F, H, V6<UNTAGGED>>(frame, host),
        TAG_8021Q | TAG_8021AD => {
            let ether_type = frame.load::<u16>(ETHERNET_LEN + TAG_LEN - 2);
            match u16::from_be(ether_type.unwrap_or(0)) {
                IPV4 => ip::<F, H, V4<TAGGED>>(frame, host),
                IPV6 => ip::<F, H, V6<TAGGED>>(frame, host),
                TAG_8021Q | TAG_8021AD => Verdict::PassTag,
                _ => Verdict::PassOther,
            }
        }
        _ => Verdict::PassOther,
    }
}

/// The journey from the IP header on, once for each family with and without a tag.
///
/// Not inlined: the four together would need more than the 512 bytes of stack that a BPF program has.
#[inline(never)]
fn ip<F: Frame, H: Host, N: Network>(frame: &mut F, host: &mut H) -> Verdict {
    match guard::<F, H, N>(frame, host) {
        Ok(datagram) => match request::<F, H, N>(frame, host, &datagram) {
            Ok(answer) => send::<F, N>(frame, &datagram, &answer),
            Err(verdict) => verdict,
        },
        Err(verdict) => verdict,
    }
}

/// Lets only datagrams through that are for the tracker, whole, and from a source that may be answered.
#[inline(always)]
fn guard<F: Frame, H: Host, N: Network>(frame: &F, host: &H) -> Result<Datagram<N::Ip>, Verdict> {
    let datagram = N::parse(frame)?;
    if !host.serves(&datagram.destination.address(), datagram.destination_port as u16) {
        return Err(Verdict::PassOther);
    }
    N::check(frame, &datagram)?;
    let source = datagram.source.address();
    if !source::is_sane(&source, datagram.source_port as u16) {
        return Err(Verdict::DropSource);
    }
    // Our own address and loopback addresses come from loopback interfaces only; from a network they are forged.
    if !frame.is_from_loopback() && (datagram.source == datagram.destination || source::is_loopback(&source))
    {
        return Err(Verdict::DropSource);
    }
    if host.blocks(&source) {
        return Err(Verdict::DropBlocked);
    }
    Ok(datagram)
}

/// An answer that fits into the request's place.
enum Answer {
    Connect(ConnectAnswer),
    Error(ErrorAnswer, Verdict),
}

/// BEP 15, "connect response".
struct ConnectAnswer {
    transaction: u32,
    connection_id: u64,
}

impl Payload for ConnectAnswer {
    const LEN: usize = wire::CONNECT_ANSWER_LEN;

    #[inline(always)]
    fn add_to(&self, sum: Sum) -> Sum {
        sum.add4(ACTION_CONNECT.to_be()).add4(self.transaction).add8(self.connection_id.to_be())
    }

    #[inline(always)]
    fn store<F: Frame>(&self, frame: &mut F, at: usize) -> Option<()> {
        frame.store(at, [ACTION_CONNECT.to_be(), self.transaction])?;
        frame.store(at + 8, self.connection_id.to_be())
    }
}

/// BEP 15, "error response", with one of the texts of [`ERROR_LEN`]: 21 bytes as five words and a last byte.
struct ErrorAnswer {
    transaction: u32,
    words: [u32; 5],
    last: u8,
}

/// Both errors that the journey answers with have one length, and so share one way out.
const ERROR_LEN: usize = Refusal::InvalidConnectionId.answer_len();
const _: () = assert!(ERROR_LEN == Refusal::InfoHashNotAllowed.answer_len());
const _: () = assert!(ERROR_LEN == wire::ANSWER_HEADER_LEN + 5 * 4 + 1);

impl ErrorAnswer {
    #[inline(always)]
    const fn new(refusal: Refusal, transaction: u32) -> Self {
        let text = refusal.text().as_bytes();
        let mut words = [0; 5];
        let mut index = 0;
        while index < 5 {
            let at = 4 * index;
            words[index] = u32::from_ne_bytes([text[at], text[at + 1], text[at + 2], text[at + 3]]);
            index += 1;
        }
        Self { transaction, words, last: text[20] }
    }
}

impl Payload for ErrorAnswer {
    const LEN: usize = ERROR_LEN;

    #[inline(always)]
    fn add_to(&self, sum: Sum) -> Sum {
        let sum = sum.add4(wire::ACTION_ERROR.to_be()).add4(self.transaction);
        self.words.iter().fold(sum, |sum, word| sum.add4(*word)).add_last(self.last)
    }

    #[inline(always)]
    fn store<F: Frame>(&self, frame: &mut F, at: usize) -> Option<()> {
        frame.store(at, [wire::ACTION_ERROR.to_be(), self.transaction])?;
        frame.store(at + 8, self.words)?;
        frame.store(at + 28, self.last)
    }
}

/// The fields that all requests begin with, in words; [`wire::Header`] is the same in bytes.
struct Header {
    connection_id: u64,
    action: u32,
    /// In network order: it is only ever copied.
    transaction: u32,
}

/// The answer to a datagram, or the verdict on one that gets none here.
#[inline(always)]
fn request<F: Frame, H: Host, N: Network>(
    frame: &F,
    host: &mut H,
    datagram: &Datagram<N::Ip>,
) -> Result<Answer, Verdict> {
    if datagram.payload_len() < wire::HEADER_LEN {
        return Err(Verdict::DropShort);
    }
    let [action, transaction] = frame.load::<[u32; 2]>(N::PAYLOAD + 8).ok_or(Verdict::PassLength)?;
    let connection_id = frame.load::<u64>(N::PAYLOAD).ok_or(Verdict::PassLength)?;
    let header =
        Header { connection_id: u64::from_be(connection_id), action: u32::from_be(action), transaction };
    match header.action {
        ACTION_CONNECT if header.connection_id != wire::CONNECT_MAGIC => return Err(Verdict::DropMagic),
        ACTION_CONNECT | ACTION_ANNOUNCE | ACTION_SCRAPE => {}
        _ => return Err(Verdict::DropAction),
    }
    // The stack drops what is left to it here. Garbage was dropped above without the cost of a sum.
    if !frame::udp_checksum_holds::<F, N>(frame, datagram) {
        return Err(Verdict::PassChecksum);
    }
    if header.action == ACTION_CONNECT {
        let keys = host.keys().ok_or(Verdict::PassOther)?;
        let connection_id = connection_id::issue(keys, &datagram.source.address(), Epoch::at(host.now_ns()));
        return Ok(Answer::Connect(ConnectAnswer { transaction, connection_id }));
    }
    identified::<F, H, N>(frame, host, datagram, &header)
}

/// An announce or a scrape: for the daemon when its connection id is good and its torrent allowed.
#[inline(always)]
fn identified<F: Frame, H: Host, N: Network>(
    frame: &F,
    host: &mut H,
    datagram: &Datagram<N::Ip>,
    header: &Header,
) -> Result<Answer, Verdict> {
    let keys = host.keys().ok_or(Verdict::PassOther)?;
    let now_ns = host.now_ns();
    if let Err(invalid) =
        connection_id::verify(keys, &datagram.source.address(), Epoch::at(now_ns), header.connection_id)
    {
        // An answer to an unproven source is never longer than what came from it.
        if datagram.payload_len() < ERROR_LEN || !host.may_send_error(invalid.source_hash, now_ns) {
            return Err(Verdict::DropConnectionId);
        }
        return Ok(error(Refusal::InvalidConnectionId, header, Verdict::ErrorConnectionId));
    }
    if header.action == ACTION_SCRAPE {
        return Err(Verdict::PassScrape);
    }
    if datagram.payload_len() >= wire::ANNOUNCE_LEN {
        let info_hash = frame.bytes(N::PAYLOAD + wire::INFO_HASH_AT).ok_or(Verdict::PassLength)?;
        if !host.allows(info_hash) {
            return Ok(error(Refusal::InfoHashNotAllowed, header, Verdict::ErrorInfoHash));
        }
    }
    Err(Verdict::PassAnnounce)
}

#[inline(always)]
fn error(refusal: Refusal, header: &Header, verdict: Verdict) -> Answer {
    Answer::Error(ErrorAnswer::new(refusal, header.transaction), verdict)
}

/// The way out for every answer.
#[inline(always)]
fn send<F: Frame, N: Network>(frame: &mut F, datagram: &Datagram<N::Ip>, answer: &Answer) -> Verdict {
    let (sent, verdict) = match answer {
        Answer::Connect(payload) => (frame::answer::<F, N, _>(frame, datagram, payload), Verdict::Connect),
        Answer::Error(payload, verdict) => (frame::answer::<F, N, _>(frame, datagram, payload), *verdict),
    };
    match sent {
        Some(()) => verdict,
        None => Verdict::PassResize,
    }
}
