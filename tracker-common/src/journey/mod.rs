//! A packet's journey through the XDP program.
//!
//! Ethernet, at most one VLAN tag → IPv4 without options or IPv6 without extension headers → UDP to a served (address, port) → lengths
//! → source sane → block list → connect: answer · announce: connection id, access list, swarm table, event, answer · scrape: connection
//! id, swarm table, answer. Whatever is odd passes to the kernel's stack; what can never be answered is dropped. Every step
//! ends in exactly one [`Verdict`].
//!
//! - here: from the Ethernet header to a checked connection id, and the answers to connects;
//! - `announce`, `scrape`: from there to the answer;
//! - `refuse`: error answers.
//!
//! `tracker-ebpf` runs this over packet pointers and BPF maps, the differential test runs it over a buffer and plain tables.

use crate::checksum::Sum;
use crate::connection_id::{self, Address, Epoch, Keys, Seed};
use crate::counters::IpVersion;
use crate::frame::{self, Datagram, ETHERNET_LEN, Frame, Ip, Network, Payload, TAG_LEN, V4, V6};
use crate::sketch::{Kind, SourceLimits};
use crate::source;
use crate::table::{TableMemory, Workspace};
use crate::terms::Terms;
use crate::verdict::Verdict;
use crate::wire::{self, ACTION_ANNOUNCE, ACTION_CONNECT, ACTION_SCRAPE, InfoHash, Refusal};

mod announce;
mod refuse;
mod scrape;

use refuse::{ERROR_LEN, refuse};

/// What the journey looks up on its way: BPF maps in the kernel, plain tables elsewhere.
pub trait Host {
    /// False for a program without announces and scrapes: it has none of their code.
    const ANSWERS: bool = true;
    /// The swarm table.
    type Table: TableMemory;

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
    /// The same in milliseconds, low part: as it was when it was last asked for in nanoseconds, or now.
    #[inline(always)]
    fn now_ms(&self) -> u32 {
        (self.now_ns() / 1_000_000) as u32
    }
    /// U04: true when this source may be sent one more error.
    fn may_send_error(&mut self, source_hash: u64, now_ns: u64) -> bool;
    /// What a source may send.
    fn limits(&self) -> SourceLimits;
    /// Counts one request of a source; true when it is within the limit, which isn't 0.
    fn is_within(&mut self, kind: Kind, source_hash: u64, now_ns: u64, limit: u32) -> bool;
    /// What announces and scrapes are answered, `None` when they are left to the daemon.
    fn terms(&self) -> Option<Terms>;
    /// The swarm table.
    fn table(&self) -> Self::Table;
    /// 64 random bits.
    fn random(&mut self) -> u64;
    /// Hands on an [`AnnounceEvent`](crate::event::AnnounceEvent), given in words; false when there is no room for it.
    fn emit(&mut self, event: &[u64; 6]) -> bool;
    /// Memory for the answer; `None` doesn't happen, but the verifier can't know.
    fn workspace(&mut self) -> Option<&mut Workspace>;
}

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const TAG_8021Q: u16 = 0x8100;
const TAG_8021AD: u16 = 0x88a8;

/// How the journey goes on behind a checked connection id.
#[derive(Clone, Copy)]
enum Next {
    End(Verdict),
    Announce,
    Scrape,
}

/// Decides what becomes of a frame, and turns it into the answer where the verdict is one. Also tells what it came in.
#[inline(always)]
pub fn travel<F: Frame, H: Host>(frame: &mut F, host: &mut H) -> (IpVersion, Verdict) {
    match untag(frame, host) {
        Ok(()) => {}
        Err(verdict) => return (IpVersion::None, verdict),
    }
    let Some(ether_type) = frame.load::<u16>(ETHERNET_LEN - 2) else {
        return (IpVersion::None, Verdict::PassOther);
    };
    let (version, verdict) = match u16::from_be(ether_type) {
        IPV4 => (IpVersion::V4, ip::<F, H, V4>(frame, host)),
        IPV6 => (IpVersion::V6, ip::<F, H, V6>(frame, host)),
        _ => (IpVersion::None, Verdict::PassOther),
    };
    (version, retag(frame, host, verdict))
}

/// U21: a frame with a VLAN tag travels without it. (A second program for offsets four higher would be twice as long, and so would the
/// verifier's way through it; which is also why the tag is kept in memory: without it, the verifier sees one way, not two.)
#[inline(always)]
fn untag<F: Frame, H: Host>(frame: &mut F, host: &mut H) -> Result<(), Verdict> {
    let ether_type = frame.load::<u16>(ETHERNET_LEN - 2).ok_or(Verdict::PassOther)?;
    let mut tag = NO_TAG;
    if matches!(u16::from_be(ether_type), TAG_8021Q | TAG_8021AD) {
        let ether_type = frame.load::<u16>(ETHERNET_LEN + TAG_LEN - 2).ok_or(Verdict::PassOther)?;
        match u16::from_be(ether_type) {
            IPV4 | IPV6 => {}
            TAG_8021Q | TAG_8021AD => return Err(Verdict::PassTag),
            _ => return Err(Verdict::PassOther),
        }
        tag = frame.take_tag().ok_or(Verdict::PassTag)?;
    }
    host.workspace().ok_or(Verdict::PassOther)?.tag = tag;
    Ok(())
}

/// No tag begins with this EtherType.
const NO_TAG: u32 = 0;

/// Gives a frame its tag back.
#[inline(always)]
fn retag<F: Frame, H: Host>(frame: &mut F, host: &mut H, verdict: Verdict) -> Verdict {
    match host.workspace() {
        // The place that the tag had is still there.
        Some(work) if work.tag != NO_TAG => frame.put_tag(work.tag).map_or(Verdict::DropTag, |()| verdict),
        _ => verdict,
    }
}

/// The journey from the IP header on, once for each family.
#[inline(always)]
fn ip<F: Frame, H: Host, N: Network>(frame: &mut F, host: &mut H) -> Verdict {
    match checked::<F, H, N>(frame, host) {
        Next::End(verdict) => verdict,
        Next::Announce => announce::announce::<F, H, N>(frame, host),
        Next::Scrape if H::ANSWERS => scrape::scrape::<F, H, N>(frame, host),
        Next::Scrape => Verdict::PassScrape,
    }
}

/// The journey up to a checked connection id.
///
/// Not inlined, and neither is what follows: together they would need more than the 512 bytes of stack that a BPF program has.
#[inline(never)]
fn checked<F: Frame, H: Host, N: Network>(frame: &mut F, host: &mut H) -> Next {
    match guard::<F, H, N>(frame, host) {
        Ok(datagram) => match request::<F, H, N>(frame, host, &datagram) {
            Ok(next) => next,
            Err(verdict) => Next::End(verdict),
        },
        Err(verdict) => Next::End(verdict),
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

/// Answers a connect, or checks the connection id of anything else.
#[inline(always)]
fn request<F: Frame, H: Host, N: Network>(
    frame: &mut F,
    host: &mut H,
    datagram: &Datagram<N::Ip>,
) -> Result<Next, Verdict> {
    if datagram.payload_len() < wire::HEADER_LEN {
        return Err(Verdict::DropShort);
    }
    let [action, transaction] = frame.load::<[u32; 2]>(N::PAYLOAD + 8).ok_or(Verdict::PassLength)?;
    let connection_id = frame.load::<u64>(N::PAYLOAD).ok_or(Verdict::PassLength)?;
    let (action, connection_id) = (u32::from_be(action), u64::from_be(connection_id));
    match action {
        ACTION_CONNECT if connection_id != wire::CONNECT_MAGIC => return Err(Verdict::DropMagic),
        ACTION_CONNECT | ACTION_ANNOUNCE | ACTION_SCRAPE => {}
        _ => return Err(Verdict::DropAction),
    }
    // The stack drops what is left to it here. Garbage was dropped above without the cost of a sum.
    if !frame::udp_checksum_holds::<F, N>(frame, datagram) {
        return Err(Verdict::PassChecksum);
    }
    let keys = host.keys().ok_or(Verdict::PassOther)?;
    let now_ns = host.now_ns();
    let (source, epoch) = (datagram.source.address(), Epoch::at(now_ns));
    let limits = host.limits();
    if action == ACTION_CONNECT {
        let connection_id = connection_id::issue(keys, &source, epoch);
        if limits.connects != 0 {
            let hash = Seed::of(connection_id).source_hash(keys, &source, epoch);
            if !host.is_within(Kind::Connects, hash, now_ns, limits.connects) {
                return Err(Verdict::DropLimitConnect);
            }
        }
        let payload = ConnectAnswer { transaction, connection_id };
        let sent = frame::answer::<F, N, _>(frame, datagram, &payload);
        return Ok(Next::End(if sent.is_some() { Verdict::Connect } else { Verdict::PassResize }));
    }
    match connection_id::verify(keys, &source, epoch, connection_id) {
        Ok(valid) => {
            if limits.announces != 0 {
                let hash = valid.seed().source_hash(keys, &source, epoch);
                if !host.is_within(Kind::Announces, hash, now_ns, limits.announces) {
                    return Err(Verdict::DropLimitAnnounce);
                }
            }
        }
        Err(invalid) => {
            if limits.bad_ids != 0 {
                let hash = invalid.seed.source_hash(keys, &source, epoch);
                if !host.is_within(Kind::BadIds, hash, now_ns, limits.bad_ids) {
                    return Err(Verdict::DropLimitBadId);
                }
            }
            // An answer to an unproven source is never longer than what came from it.
            let unproven = invalid.seed.of_address();
            if datagram.payload_len() < ERROR_LEN || !host.may_send_error(unproven, now_ns) {
                return Err(Verdict::DropConnectionId);
            }
            return Ok(Next::End(refuse::<F, N, ERROR_LEN>(
                frame,
                datagram,
                Refusal::InvalidConnectionId,
                transaction,
                Verdict::ErrorConnectionId,
            )));
        }
    }
    Ok(if action == ACTION_ANNOUNCE { Next::Announce } else { Next::Scrape })
}
