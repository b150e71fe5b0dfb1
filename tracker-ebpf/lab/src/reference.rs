//! The reference: connect and announce, answered the plainest way; see [`tracker_lab::reference`].

use aya_ebpf::bindings::xdp_action::{XDP_DROP, XDP_PASS, XDP_TX};
use aya_ebpf::bindings::{BPF_F_MMAPABLE, BPF_RB_NO_WAKEUP};
use aya_ebpf::btf_maps::{Array, RingBuf};
use aya_ebpf::macros::{btf_map, xdp};
use aya_ebpf::programs::XdpContext;
use tracker_common::wire::ACTION_ANNOUNCE;
use tracker_lab::reference::{Bucket, Config, Event, Line, MAX_PEERS, Torrent, connection_id, place};
use tracker_lab::traffic::{ANNOUNCE_V4_LEN, CONNECT_V4_LEN, SERVER_PORT};

use crate::maps;
use crate::packet::{bytes_mut, fold, grow, load2, load4, load8, store};

const MMAPABLE: usize = BPF_F_MMAPABLE as usize;

#[btf_map]
static REF_CONFIG: Array<Config, 1> = Array::new();
#[btf_map]
static REF_BUCKETS: Array<Bucket, { 1 << 17 }, MMAPABLE> = Array::new();
#[btf_map]
static REF_TORRENTS: Array<Torrent, { 1 << 20 }, MMAPABLE> = Array::new();
#[btf_map]
static REF_LINES: Array<Line, { 1 << 21 }, MMAPABLE> = Array::new();
#[btf_map]
static REF_EVENTS: RingBuf<Event, { 1 << 24 }> = RingBuf::new();

/// Bytes of the longest answer's frame.
const LONGEST: usize = 42 + 20 + 6 * MAX_PEERS;

#[xdp]
fn ref_connect(mut context: XdpContext) -> u32 {
    let Some(frame) = bytes_mut::<CONNECT_V4_LEN>(&mut context) else { return XDP_PASS };
    let ours = load2(frame, 12) == 0x0800u16.to_be()
        && frame[23] == 17
        && frame[14] == 0x45
        && load2(frame, 36) == SERVER_PORT.to_be()
        && load4(frame, 42) == 0x417u32.to_be()
        && load4(frame, 46) == 0x2710_1980u32.to_be()
        && load4(frame, 50) == 0;
    let Some(config) = REF_CONFIG.get(0) else { return XDP_PASS };
    if !ours {
        return XDP_PASS;
    }
    let (to, to_end) = (load8(frame, 0), load4(frame, 8));
    swap_macs(frame, to, to_end);
    let (source, destination) = (load4(frame, 26), load4(frame, 30));
    let id = connection_id(&config.keys, source);
    store(frame, 26, destination.to_ne_bytes());
    store(frame, 30, source.to_ne_bytes());
    let (from_port, to_port) = (load2(frame, 34), load2(frame, 36));
    store(frame, 34, to_port.to_ne_bytes());
    store(frame, 36, from_port.to_ne_bytes());
    store(frame, 40, [0, 0]);
    let transaction = load4(frame, 54);
    store(frame, 42, [0; 4]);
    store(frame, 46, transaction.to_ne_bytes());
    store(frame, 50, id.to_ne_bytes());
    if let Some(tally) = maps::tally() {
        tally.reference += 1;
    }
    XDP_TX
}

#[xdp]
fn ref_announce(mut context: XdpContext) -> u32 {
    match announce(&mut context) {
        Some(action) => action,
        None => {
            if let Some(tally) = maps::tally() {
                tally.reference_refused += 1;
            }
            XDP_DROP
        }
    }
}

#[inline(always)]
fn announce(context: &mut XdpContext) -> Option<u32> {
    let frame = bytes_mut::<ANNOUNCE_V4_LEN>(context)?;
    let ours = load2(frame, 12) == 0x0800u16.to_be()
        && frame[23] == 17
        && frame[14] == 0x45
        && load2(frame, 36) == SERVER_PORT.to_be()
        && load4(frame, 50) == ACTION_ANNOUNCE.to_be();
    if !ours {
        return Some(XDP_PASS);
    }
    let config = REF_CONFIG.get(0)?;
    let source = load4(frame, 26);
    let id = connection_id(&config.keys, source);
    if load8(frame, 42) != id {
        return None;
    }
    let (first, second, third) = (load8(frame, 58), load8(frame, 66), load4(frame, 74));
    let (number, torrent) = find(config, first, second, third)?;
    let mut event = REF_EVENTS.reserve(0)?;
    event.write(Event {
        info_hash: [first as u32, (first >> 32) as u32, second as u32, (second >> 32) as u32, third],
        ip: source,
        port: load2(frame, 138),
        event: frame[125],
        seeder: (load8(frame, 106) == 0) as u8,
        torrent: number,
    });
    event.submit(BPF_RB_NO_WAKEUP as u64);
    let transaction = load4(frame, 54);
    let peers = torrent.peers;
    let want = config.want.min(peers).min(MAX_PEERS as u32);
    let (seeders, leechers) = (torrent.seeders.to_be(), torrent.leechers.to_be());
    let (macs, macs_end) = (load8(frame, 0), load4(frame, 8));
    let destination = load4(frame, 30);
    let (source_port, destination_port) = (load2(frame, 34), load2(frame, 36));
    let random = (id >> 17) as u32 ^ transaction;
    if !grow(context, (LONGEST - ANNOUNCE_V4_LEN) as i32) {
        return None;
    }
    let frame = bytes_mut::<LONGEST>(context)?;
    swap_macs(frame, macs, macs_end);
    let payload = 20 + 6 * want;
    store(frame, 16, ((28 + payload) as u16).to_be_bytes());
    store(frame, 22, [64]);
    store(frame, 24, [0, 0]);
    store(frame, 26, destination.to_ne_bytes());
    store(frame, 30, source.to_ne_bytes());
    let mut sum = 0;
    let mut at = 14;
    while at < 34 {
        sum += load4(frame, at) as u64;
        at += 4;
    }
    store(frame, 24, (!fold(sum)).to_ne_bytes());
    store(frame, 34, destination_port.to_ne_bytes());
    store(frame, 36, source_port.to_ne_bytes());
    store(frame, 38, ((8 + payload) as u16).to_be_bytes());
    store(frame, 40, [0, 0]);
    store(frame, 42, ACTION_ANNOUNCE.to_be_bytes());
    store(frame, 46, transaction.to_ne_bytes());
    store(frame, 50, 1800u32.to_be_bytes());
    store(frame, 54, leechers.to_ne_bytes());
    store(frame, 58, seeders.to_ne_bytes());
    let lines = (peers + 7) >> 3;
    let needed = (want + 7) >> 3;
    let span = lines.wrapping_sub(needed) + 1;
    let skipped = if span > 1 { random % span } else { 0 };
    let mut index = 0;
    while index < MAX_PEERS / 8 {
        if index as u32 * 8 >= want {
            break;
        }
        let Some(line) = REF_LINES.get(torrent.line.wrapping_add(skipped).wrapping_add(index as u32)) else {
            break;
        };
        let mut peer = 0;
        while peer < 8 {
            let word = line.peers[peer];
            let at = 62 + 48 * index + 6 * peer;
            store(frame, at, (word as u32).to_ne_bytes());
            store(frame, at + 4, ((word >> 32) as u16).to_ne_bytes());
            peer += 1;
        }
        index += 1;
    }
    if let Some(tally) = maps::tally() {
        tally.reference += 1;
    }
    let shrink = 6 * want as i32 - 6 * MAX_PEERS as i32;
    if shrink != 0 {
        grow(context, shrink);
    }
    Some(XDP_TX)
}

/// Number and record of a torrent.
#[inline(always)]
fn find(config: &Config, first: u64, second: u64, third: u32) -> Option<(u32, &'static Torrent)> {
    let hash = place(&config.keys, first, second, third);
    let fingerprint = (hash >> 32) as u32;
    let bucket = REF_BUCKETS.get(hash as u32 & config.bucket_mask)?;
    let mut index = 0;
    while index < 8 {
        if bucket.fingerprints[index] == fingerprint {
            let number = bucket.torrents[index];
            let torrent = REF_TORRENTS.get(number)?;
            let hash = torrent.info_hash;
            if hash[0] == first as u32
                && hash[1] == (first >> 32) as u32
                && hash[2] == second as u32
                && hash[3] == (second >> 32) as u32
                && hash[4] == third
            {
                return Some((number, torrent));
            }
        }
        index += 1;
    }
    None
}

/// The twelve bytes of the two hardware addresses, the other way round.
#[inline(always)]
fn swap_macs<const N: usize>(frame: &mut [u8; N], first: u64, last: u32) {
    store(frame, 0, ((first >> 48) as u32 | last << 16).to_ne_bytes());
    store(frame, 4, ((last >> 16) as u16).to_ne_bytes());
    store(frame, 6, (first as u32).to_ne_bytes());
    store(frame, 10, ((first >> 32) as u16).to_ne_bytes());
}
