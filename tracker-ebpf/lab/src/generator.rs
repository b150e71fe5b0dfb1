//! The generator: each run turns one recycled frame into a request.
//!
//! Two things that a recycled frame asks for (`xdp_test_run_batch` in the kernel's net/bpf/test_run.c): it holds what the answerer left, so
//! the whole request is written each time; and the kernel would send it with the answer's length unless the program changes its
//! bounds, so each program is given frames shorter by a byte or more, and grows them.
//!
//! UDP checksums: 0 over IPv4 unless [`Traffic::checksum`] is set, always a valid one over IPv6. The header checksum of IPv4 is valid.

use aya_ebpf::bindings::xdp_action::{XDP_DROP, XDP_TX};
use aya_ebpf::macros::xdp;
use aya_ebpf::programs::XdpContext;
use tracker_common::connection_id::{Address, Epoch, issue};
use tracker_common::wire::{ACTION_ANNOUNCE, ACTION_CONNECT, ACTION_SCRAPE, CONNECT_MAGIC};
use tracker_lab::population::{below, hash_words, ip4, ip6, port, walk};
use tracker_lab::reference;
use tracker_lab::traffic::{
    ANNOUNCE_V4_LEN, ANNOUNCE_V6_LEN, CLIENT_MAC, CONNECT_V4_LEN, CONNECT_V6_LEN, PORT_BASE, SERVER_MAC,
    SERVER_PORT, SERVER_V4, SERVER_V6, Traffic, scrape_v4_len,
};

use crate::maps;
use crate::packet::{bytes_mut, fold, grow, load2, store, sum};

/// Who answers: decides about the connection id.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answerer {
    Tracker,
    Reference,
    /// The id is wrong, in one bit.
    Refuser,
}

/// What one announce says.
struct Announce {
    torrent: u32,
    peer: u32,
    want: u32,
    seeder: bool,
    event: u32,
}

#[xdp]
fn connect_v4(mut context: XdpContext) -> u32 {
    make(&mut context, 1, connect4)
}

#[xdp]
fn connect_v6(mut context: XdpContext) -> u32 {
    make(&mut context, 1, connect6)
}

#[xdp]
fn announce_v4(mut context: XdpContext) -> u32 {
    make(&mut context, 1, |context, traffic, random| {
        announce4(context, traffic, Answerer::Tracker, &known(traffic, random))
    })
}

#[xdp]
fn announce_v6(mut context: XdpContext) -> u32 {
    make(&mut context, 1, |context, traffic, random| announce6(context, traffic, &known(traffic, random)))
}

/// Announces for the reference.
#[xdp]
fn announce_ref(mut context: XdpContext) -> u32 {
    make(&mut context, 1, |context, traffic, random| {
        announce4(context, traffic, Answerer::Reference, &known(traffic, random))
    })
}

/// Announces whose connection id isn't valid.
#[xdp]
fn bad_id_v4(mut context: XdpContext) -> u32 {
    make(&mut context, 1, |context, traffic, random| {
        announce4(context, traffic, Answerer::Refuser, &known(traffic, random))
    })
}

#[xdp]
fn scrape1_v4(mut context: XdpContext) -> u32 {
    make(&mut context, 1, scrape4::<1, { scrape_v4_len(1) }>)
}

#[xdp]
fn scrape70_v4(mut context: XdpContext) -> u32 {
    make(&mut context, 1, scrape4::<70, { scrape_v4_len(70) }>)
}

/// A bit of everything, from frames of [`CONNECT_V4_LEN`] − 1 bytes: peers come, go and change sides, in tiny and in large swarms.
#[xdp]
fn stress(mut context: XdpContext) -> u32 {
    let short = CONNECT_V4_LEN - 1;
    let Some(random) = next() else { return XDP_DROP };
    let Some(traffic) = maps::traffic() else { return XDP_DROP };
    let done = match random & 31 {
        0 => grow(&mut context, 1) && connect4(&mut context, traffic, random).is_some(),
        1 | 2 => {
            grow(&mut context, (scrape_v4_len(3) - short) as i32)
                && scrape4::<3, { scrape_v4_len(3) }>(&mut context, traffic, random).is_some()
        }
        3..18 => {
            grow(&mut context, (ANNOUNCE_V4_LEN - short) as i32)
                && announce4(&mut context, traffic, Answerer::Tracker, &any(traffic, random)).is_some()
        }
        _ => {
            grow(&mut context, (ANNOUNCE_V6_LEN - short) as i32)
                && announce6(&mut context, traffic, &any(traffic, random)).is_some()
        }
    };
    if done { XDP_TX } else { XDP_DROP }
}

/// Random bits of the next request.
#[inline(always)]
fn next() -> Option<u64> {
    let tally = maps::tally()?;
    tally.generated += 1;
    Some(walk(tally.generated))
}

#[inline(always)]
fn make(
    context: &mut XdpContext,
    by: i32,
    request: impl FnOnce(&mut XdpContext, &Traffic, u64) -> Option<()>,
) -> u32 {
    if !grow(context, by) {
        return XDP_DROP;
    }
    let (Some(random), Some(traffic)) = (next(), maps::traffic()) else { return XDP_DROP };
    match request(context, traffic, random ^ traffic.seed as u64) {
        Some(()) => XDP_TX,
        None => XDP_DROP,
    }
}

/// An announce of a leecher that the tracker knows, without an event.
#[inline(always)]
fn known(traffic: &Traffic, random: u64) -> Announce {
    Announce {
        torrent: below(random, traffic.torrents),
        // The walk's low half is as good as its high half. Even peers are leechers.
        peer: below(random << 32, traffic.peers.div_ceil(2)) * 2,
        want: traffic.want,
        seeder: false,
        event: 0,
    }
}

/// Any announce, of any peer of a tiny or a large torrent.
#[inline(always)]
fn any(traffic: &Traffic, random: u64) -> Announce {
    let (torrent, peers) = match random >> 5 & 1 {
        0 => (below(random, traffic.large_torrents), traffic.large_peers),
        _ => (below(random, traffic.torrents), traffic.peers),
    };
    let more = walk(random);
    let event = match more & 15 {
        0 | 1 => 3,
        2 => 1,
        3 => 4,
        4 => 2,
        _ => 0,
    };
    Announce {
        torrent,
        peer: below(more, peers),
        want: 1 + ((more >> 8) as u32 & 0xff) * 230 / 256,
        seeder: more >> 16 & 1 == 0,
        event,
    }
}

#[inline(always)]
fn connect4(context: &mut XdpContext, traffic: &Traffic, random: u64) -> Option<()> {
    let frame = bytes_mut::<CONNECT_V4_LEN>(context)?;
    head4(frame, ip4(0, random as u32), PORT_BASE + (random >> 32 & 0xff) as u16);
    connect::<CONNECT_V4_LEN, 42>(frame, random);
    checksum4(frame, traffic);
    Some(())
}

#[inline(always)]
fn connect6(context: &mut XdpContext, _traffic: &Traffic, random: u64) -> Option<()> {
    let frame = bytes_mut::<CONNECT_V6_LEN>(context)?;
    head6(frame, ip6(0, random as u32), PORT_BASE + (random >> 32 & 0xff) as u16);
    connect::<CONNECT_V6_LEN, 62>(frame, random);
    checksum6(frame);
    Some(())
}

/// BEP 15, "connect request".
#[inline(always)]
fn connect<const N: usize, const AT: usize>(frame: &mut [u8; N], random: u64) {
    store(frame, AT, CONNECT_MAGIC.to_be_bytes());
    store(frame, AT + 8, ACTION_CONNECT.to_be_bytes());
    store(frame, AT + 12, (random as u32).to_ne_bytes());
}

#[inline(always)]
fn announce4(
    context: &mut XdpContext,
    traffic: &Traffic,
    answerer: Answerer,
    announce: &Announce,
) -> Option<()> {
    let ip = ip4(announce.torrent, announce.peer);
    // Words in network order, as the programs compare them.
    let id = match answerer {
        Answerer::Reference => reference::connection_id(&reference::Config::KEYS, ip),
        _ => issue(&traffic.keys, &Address::V4(ip.to_ne_bytes()), Epoch(traffic.epoch)).to_be(),
    };
    let id = if answerer == Answerer::Refuser { id ^ 1 } else { id };
    let frame = bytes_mut::<ANNOUNCE_V4_LEN>(context)?;
    head4(frame, ip, PORT_BASE + announce.want as u16);
    announce_body::<ANNOUNCE_V4_LEN, 42>(frame, id, announce, port(ip as u64, announce.torrent, 0));
    checksum4(frame, traffic);
    Some(())
}

#[inline(always)]
fn announce6(context: &mut XdpContext, traffic: &Traffic, announce: &Announce) -> Option<()> {
    let (first, last) = ip6(announce.torrent, announce.peer);
    let address = Address::V6((first as u128 | (last as u128) << 64).to_le_bytes());
    let id = issue(&traffic.keys, &address, Epoch(traffic.epoch)).to_be();
    let frame = bytes_mut::<ANNOUNCE_V6_LEN>(context)?;
    head6(frame, (first, last), PORT_BASE + announce.want as u16);
    announce_body::<ANNOUNCE_V6_LEN, 62>(frame, id, announce, port(last, announce.torrent, 0));
    checksum6(frame);
    Some(())
}

/// BEP 15, "IPv4 announce request": id 0, action 8, transaction 12, info hash 16, peer id 36, downloaded 56, left 64, uploaded 72, event 80, ip
/// 84, key 88, num_want 92, port 96.
#[inline(always)]
fn announce_body<const N: usize, const AT: usize>(
    frame: &mut [u8; N],
    id: u64,
    announce: &Announce,
    port: u16,
) {
    let (first, second, third) = hash_words(announce.torrent);
    store(frame, AT, id.to_ne_bytes());
    store(frame, AT + 8, ACTION_ANNOUNCE.to_be_bytes());
    store(frame, AT + 12, announce.torrent.to_be_bytes());
    store(frame, AT + 16, first.to_ne_bytes());
    store(frame, AT + 24, second.to_ne_bytes());
    store(frame, AT + 32, third.to_ne_bytes());
    store(frame, AT + 36, [0; 20]);
    store(frame, AT + 56, [0; 8]);
    store(frame, AT + 64, (!announce.seeder as u64).to_be_bytes());
    store(frame, AT + 72, [0; 8]);
    store(frame, AT + 80, announce.event.to_be_bytes());
    store(frame, AT + 84, [0; 8]);
    store(frame, AT + 92, announce.want.to_be_bytes());
    store(frame, AT + 96, port.to_ne_bytes());
}

#[inline(always)]
fn scrape4<const TORRENTS: usize, const N: usize>(
    context: &mut XdpContext,
    traffic: &Traffic,
    random: u64,
) -> Option<()> {
    let ip = ip4(0, random as u32);
    let id = issue(&traffic.keys, &Address::V4(ip.to_ne_bytes()), Epoch(traffic.epoch)).to_be();
    let frame = bytes_mut::<N>(context)?;
    head4(frame, ip, PORT_BASE + TORRENTS as u16);
    store(frame, 42, id.to_ne_bytes());
    store(frame, 50, ACTION_SCRAPE.to_be_bytes());
    store(frame, 54, (random as u32).to_ne_bytes());
    let mut random = random;
    let mut index = 0;
    while index < TORRENTS {
        let (first, second, third) = hash_words(below(random, traffic.torrents));
        let at = 58 + 20 * index;
        store(frame, at, first.to_ne_bytes());
        store(frame, at + 8, second.to_ne_bytes());
        store(frame, at + 16, third.to_ne_bytes());
        random = walk(random);
        index += 1;
    }
    checksum4(frame, traffic);
    Some(())
}

/// Ethernet, IPv4 and UDP headers of a whole frame, but for the UDP checksum.
#[inline(always)]
fn head4<const N: usize>(frame: &mut [u8; N], source: u32, source_port: u16) {
    let datagram = (N - 34) as u16;
    ethernet(frame, 0x0800);
    store(frame, 14, [0x45, 0]);
    store(frame, 16, (datagram + 20).to_be_bytes());
    // No identification, "don't fragment"; TTL 64, UDP.
    store(frame, 18, [0, 0, 0x40, 0, 64, 17]);
    store(frame, 26, source.to_ne_bytes());
    store(frame, 30, SERVER_V4);
    let server = u32::from_ne_bytes(SERVER_V4) as u64;
    let fixed = u16::from_ne_bytes([0x45, 0]) as u64
        + (datagram + 20).to_be() as u64
        + u16::from_ne_bytes([0x40, 0]) as u64
        + u16::from_ne_bytes([64, 17]) as u64;
    store(frame, 24, (!fold(fixed + server + source as u64)).to_ne_bytes());
    udp::<N, 34>(frame, source_port, datagram);
}

/// Ethernet, IPv6 and UDP headers of a whole frame, but for the UDP checksum.
#[inline(always)]
fn head6<const N: usize>(frame: &mut [u8; N], source: (u64, u64), source_port: u16) {
    let datagram = (N - 54) as u16;
    ethernet(frame, 0x86dd);
    store(frame, 14, [0x60, 0, 0, 0]);
    store(frame, 18, datagram.to_be_bytes());
    store(frame, 20, [17, 64]);
    store(frame, 22, source.0.to_ne_bytes());
    store(frame, 30, source.1.to_ne_bytes());
    store(frame, 38, SERVER_V6);
    udp::<N, 54>(frame, source_port, datagram);
}

#[inline(always)]
fn ethernet<const N: usize>(frame: &mut [u8; N], ether_type: u16) {
    store(frame, 0, SERVER_MAC);
    store(frame, 6, CLIENT_MAC);
    store(frame, 12, ether_type.to_be_bytes());
}

#[inline(always)]
fn udp<const N: usize, const AT: usize>(frame: &mut [u8; N], source_port: u16, datagram: u16) {
    store(frame, AT, source_port.to_be_bytes());
    store(frame, AT + 2, SERVER_PORT.to_be_bytes());
    store(frame, AT + 4, datagram.to_be_bytes());
    store(frame, AT + 6, [0, 0]);
}

/// The pseudo header is the addresses, which stand in front of the UDP header, the protocol and the length once more.
#[inline(always)]
fn checksum4<const N: usize>(frame: &mut [u8; N], traffic: &Traffic) {
    if traffic.checksum != 0 {
        let pseudo = 17u16.to_be() as u64 + load2(frame, 38) as u64;
        let checksum = not_zero(!fold(sum(frame, 26) + pseudo));
        store(frame, 40, checksum.to_ne_bytes());
    }
}

#[inline(always)]
fn checksum6<const N: usize>(frame: &mut [u8; N]) {
    let pseudo = 17u16.to_be() as u64 + load2(frame, 58) as u64;
    let checksum = not_zero(!fold(sum(frame, 22) + pseudo));
    store(frame, 60, checksum.to_ne_bytes());
}

/// RFC 768: a computed 0 is sent as ffff.
#[inline(always)]
fn not_zero(checksum: u16) -> u16 {
    if checksum == 0 { 0xffff } else { checksum }
}
