//! The far end: answers are counted, or checked and counted, and dropped.

use aya_ebpf::bindings::xdp_action::XDP_DROP;
use aya_ebpf::helpers::generated::bpf_xdp_load_bytes;
use aya_ebpf::macros::xdp;
use aya_ebpf::programs::XdpContext;
use tracker_common::wire::{
    ACTION_ANNOUNCE, ACTION_CONNECT, ACTION_ERROR, ACTION_SCRAPE, MAX_PEERS_V4, MAX_PEERS_V6,
};
use tracker_lab::population::{holds4, holds6};
use tracker_lab::tally::{EVIDENCE_BYTES, Tally, fault};
use tracker_lab::traffic::{PORT_BASE, SERVER_PORT, SERVER_V4, Traffic};

use crate::maps;
use crate::packet::{bytes, bytes_at, fold, len, load2, load4, load8};

const IPV4: u16 = 0x0800u16.to_be();
const IPV6: u16 = 0x86ddu16.to_be();

/// Counts answers by kind, and peers by the UDP length.
#[xdp]
fn count(context: XdpContext) -> u32 {
    let Some(tally) = maps::tally() else { return XDP_DROP };
    match answer(&context) {
        Some((ACTION_CONNECT, ..)) => tally.connects += 1,
        Some((ACTION_ANNOUNCE, datagram, peer)) => {
            tally.announces += 1;
            tally.peers += ((datagram.saturating_sub(28)) / peer) as u64;
        }
        Some((ACTION_SCRAPE, ..)) => tally.scrapes += 1,
        Some((ACTION_ERROR, ..)) => tally.errors += 1,
        _ => tally.others += 1,
    }
    XDP_DROP
}

/// Action, bytes of the datagram, bytes of a peer.
#[inline(always)]
fn answer(context: &XdpContext) -> Option<(u32, u32, u32)> {
    let frame = bytes::<46>(context)?;
    match load2(frame, 12) {
        IPV4 => Some((load4(frame, 42).swap_bytes(), load2(frame, 38).swap_bytes() as u32, 6)),
        IPV6 => {
            let frame = bytes::<66>(context)?;
            Some((load4(frame, 62).swap_bytes(), load2(frame, 58).swap_bytes() as u32, 18))
        }
        _ => None,
    }
}

/// Checks every answer; the first bad one is kept.
#[xdp]
fn check(context: XdpContext) -> u32 {
    let (Some(tally), Some(traffic)) = (maps::tally(), maps::traffic()) else { return XDP_DROP };
    if let Err(bad) = judge(&context, tally, traffic) {
        tally.bad += 1;
        keep(&context, bad);
    }
    XDP_DROP
}

/// What is wrong, where, and for which torrent.
struct Bad {
    fault: u32,
    at: u32,
    torrent: u32,
}

#[inline(always)]
const fn bad(fault: u32, at: usize) -> Bad {
    Bad { fault, at: at as u32, torrent: 0 }
}

#[inline(always)]
fn judge(context: &XdpContext, tally: &mut Tally, traffic: &Traffic) -> Result<(), Bad> {
    let Some(frame) = bytes::<14>(context) else { return Err(bad(fault::LENGTH, 0)) };
    match load2(frame, 12) {
        IPV4 => judge4(context, tally, traffic),
        IPV6 => judge6(context, tally, traffic),
        // Neighbour discovery and the like, of the kernel's own.
        _ => {
            tally.others += 1;
            Ok(())
        }
    }
}

#[inline(always)]
fn judge4(context: &XdpContext, tally: &mut Tally, traffic: &Traffic) -> Result<(), Bad> {
    let whole = len(context);
    let Some(frame) = bytes::<50>(context) else { return Err(bad(fault::LENGTH, 14)) };
    let ours = load2(frame, 14) == u16::from_ne_bytes([0x45, 0])
        && frame[23] == 17
        && load4(frame, 26) == u32::from_ne_bytes(SERVER_V4)
        && load2(frame, 34) == SERVER_PORT.to_be();
    if !ours {
        return Err(bad(fault::NO_ANSWER, 14));
    }
    let datagram = load2(frame, 38).swap_bytes() as usize;
    if load2(frame, 16).swap_bytes() as usize != datagram + 20 || whole != datagram + 34 {
        return Err(bad(fault::LENGTH, 16));
    }
    let mut sum = 0;
    let mut at = 14;
    while at < 34 {
        sum += load4(frame, at) as u64;
        at += 4;
    }
    if fold(sum) != 0xffff {
        return Err(bad(fault::CHECKSUM, 24));
    }
    let announcer = load4(frame, 30);
    let asked = (load2(frame, 36).swap_bytes() as u32).wrapping_sub(PORT_BASE as u32);
    let torrent = load4(frame, 46).swap_bytes();
    let action = load4(frame, 42).swap_bytes();
    if action != ACTION_ANNOUNCE {
        return other(tally, action, datagram, asked);
    }
    tally.announces += 1;
    tally.checked += 1;
    let peers = datagram.wrapping_sub(28);
    if datagram < 28 || !peers.is_multiple_of(6) {
        return Err(Bad { torrent, ..bad(fault::LENGTH, 38) });
    }
    let peers = peers / 6;
    if peers > MAX_PEERS_V4 || peers as u32 > asked {
        return Err(Bad { torrent, ..bad(fault::TOO_MANY, 38) });
    }
    tally.peers += peers as u64;
    let mut index = 0;
    while index < MAX_PEERS_V4 {
        if index >= peers {
            break;
        }
        let at = 62 + 6 * index;
        let Some(peer) = bytes_at::<6>(context, at) else { return Err(bad(fault::LENGTH, at)) };
        let ip = load4(peer, 0);
        if !holds4(ip, load2(peer, 4), torrent, traffic.salt) {
            return Err(Bad { torrent, ..bad(fault::STRANGER, at) });
        }
        if ip == announcer {
            return Err(Bad { torrent, ..bad(fault::ITSELF, at) });
        }
        index += 1;
    }
    Ok(())
}

#[inline(always)]
fn judge6(context: &XdpContext, tally: &mut Tally, traffic: &Traffic) -> Result<(), Bad> {
    let whole = len(context);
    let Some(frame) = bytes::<70>(context) else { return Err(bad(fault::LENGTH, 14)) };
    if frame[20] != 17 || load2(frame, 54) != SERVER_PORT.to_be() {
        // Neighbour discovery of the kernel's own.
        tally.others += 1;
        return Ok(());
    }
    let datagram = load2(frame, 58).swap_bytes() as usize;
    if load2(frame, 18).swap_bytes() as usize != datagram || whole != datagram + 54 {
        return Err(bad(fault::LENGTH, 18));
    }
    let announcer = (load8(frame, 38), load8(frame, 46));
    let asked = (load2(frame, 56).swap_bytes() as u32).wrapping_sub(PORT_BASE as u32);
    let torrent = load4(frame, 66).swap_bytes();
    let action = load4(frame, 62).swap_bytes();
    if action != ACTION_ANNOUNCE {
        return other(tally, action, datagram, asked);
    }
    tally.announces += 1;
    tally.checked += 1;
    let peers = datagram.wrapping_sub(28);
    if datagram < 28 || !peers.is_multiple_of(18) {
        return Err(Bad { torrent, ..bad(fault::LENGTH, 58) });
    }
    let peers = peers / 18;
    if peers > MAX_PEERS_V6 || peers as u32 > asked {
        return Err(Bad { torrent, ..bad(fault::TOO_MANY, 58) });
    }
    tally.peers += peers as u64;
    let mut index = 0;
    while index < MAX_PEERS_V6 {
        if index >= peers {
            break;
        }
        let at = 82 + 18 * index;
        let Some(peer) = bytes_at::<18>(context, at) else { return Err(bad(fault::LENGTH, at)) };
        let (first, last) = (load8(peer, 0), load8(peer, 8));
        if !holds6(first, last, load2(peer, 16), torrent, traffic.salt) {
            return Err(Bad { torrent, ..bad(fault::STRANGER, at) });
        }
        if (first, last) == announcer {
            return Err(Bad { torrent, ..bad(fault::ITSELF, at) });
        }
        index += 1;
    }
    Ok(())
}

/// Connect and scrape answers have one length each.
#[inline(always)]
fn other(tally: &mut Tally, action: u32, datagram: usize, asked: u32) -> Result<(), Bad> {
    match action {
        ACTION_CONNECT => {
            tally.connects += 1;
            if datagram == 24 { Ok(()) } else { Err(bad(fault::LENGTH, 38)) }
        }
        ACTION_SCRAPE => {
            tally.scrapes += 1;
            if datagram as u32 == 16 + 12 * asked { Ok(()) } else { Err(bad(fault::TOO_MANY, 38)) }
        }
        ACTION_ERROR => {
            tally.errors += 1;
            Err(bad(fault::ACTION, 42))
        }
        _ => Err(bad(fault::ACTION, 42)),
    }
}

/// Keeps the first bad answer. Two CPUs may both think that theirs is the first; then one of them is kept, or parts of both, and it is a bad one
/// all the same.
#[inline(never)]
fn keep(context: &XdpContext, bad: Bad) {
    let Some(evidence) = maps::evidence() else { return };
    let whole = len(context);
    // SAFETY: a map value that lives as long as the program; the helper writes `whole` bytes, which the comparison bounds.
    unsafe {
        if (*evidence).fault != 0 {
            return;
        }
        if whole == 0 || whole > EVIDENCE_BYTES {
            (*evidence).len = 0;
        } else {
            (*evidence).len = whole as u32;
            let frame = (&raw mut (*evidence).frame).cast();
            let _ = bpf_xdp_load_bytes(context.ctx, 0, frame, whole as u32);
        }
        (*evidence).at = bad.at;
        (*evidence).torrent = bad.torrent;
        (*evidence).fault = bad.fault;
    }
}
