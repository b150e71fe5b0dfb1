//! The BPF maps, and the journey's look-ups in them.
//!
//! Names and values are [`tracker_common::settings`]'; the daemon pins all maps. Unless said otherwise the daemon writes and the
//! program reads.

use aya_ebpf::bindings::BPF_F_NO_PREALLOC;
use aya_ebpf::btf_maps::lpm_trie::Key;
use aya_ebpf::btf_maps::{Array, ArrayOfMaps, HashMap, LpmTrie, PerCpuArray, RingBuf};
use aya_ebpf::helpers::{bpf_get_prandom_u32, bpf_ktime_get_coarse_ns};
use aya_ebpf::macros::btf_map;
use tracker_common::connection_id::{Address, Keys};
use tracker_common::counters::{Counters, IpVersion};
use tracker_common::journey::Host;
use tracker_common::scratch::{Scratch, next_random};
use tracker_common::settings::{
    ACCESS_ENTRIES, BLOCK_ENTRIES, BLOCK4_WORDS, EVENT_RING_BYTES, Endpoints, Settings, access_mode, answer,
    block4_bit,
};
use tracker_common::sketch::{Kind, Sketch, SourceLimits};
use tracker_common::table::Workspace;
use tracker_common::terms::Terms;
use tracker_common::verdict::Verdict;
use tracker_common::wire::InfoHash;

use crate::table::Table;

const NO_PREALLOC: usize = BPF_F_NO_PREALLOC as usize;

/// Switches.
#[btf_map]
static SETTINGS: Array<Settings, 1> = Array::new();

/// Served addresses and ports.
#[btf_map]
static ENDPOINTS: Array<Endpoints, 1> = Array::new();

/// Keys of connection ids.
#[btf_map]
static KEYS: Array<Keys, 1> = Array::new();

/// One counter per verdict; the program writes, the daemon reads.
#[btf_map]
static COUNTERS: PerCpuArray<Counters, 1> = PerCpuArray::new();

/// The rate limits of sources, one sketch a kind; only the program uses them.
#[btf_map]
static SKETCH: PerCpuArray<Sketch, { Kind::COUNT }> = PerCpuArray::new();

/// The access list, swapped whole on reload.
#[btf_map]
static ACCESS: ArrayOfMaps<HashMap<InfoHash, u8, { ACCESS_ENTRIES as usize }, NO_PREALLOC>, 1> =
    ArrayOfMaps::new();

/// One bit for each IPv4 /24 of which any address is blocked: most sources are done with one load.
#[btf_map]
static BLOCK4_BITS: Array<u64, { BLOCK4_WORDS as usize }> = Array::new();

/// Blocked IPv4 prefixes.
#[btf_map]
static BLOCK4: LpmTrie<[u8; 4], u8, { BLOCK_ENTRIES as usize }> = LpmTrie::new();

/// Blocked IPv6 prefixes.
#[btf_map]
static BLOCK6: LpmTrie<[u8; 16], u8, { BLOCK_ENTRIES as usize }> = LpmTrie::new();

/// Events of answered announces; the program writes, the daemon reads.
#[btf_map]
static EVENTS: RingBuf<[u64; 6], { EVENT_RING_BYTES as usize }> = RingBuf::new();

/// What the program keeps between packets; only it uses it.
#[btf_map]
static SCRATCH: PerCpuArray<Scratch, 1> = PerCpuArray::new();

/// Counts a verdict on this CPU.
#[inline(always)]
pub(crate) fn count(version: IpVersion, verdict: Verdict) {
    if let Some(counters) = COUNTERS.get_ptr_mut(0) {
        // SAFETY: a per-CPU value, and XDP programs of one CPU don't interrupt each other.
        unsafe { (*counters).count(version, verdict) }
    }
}

/// True when the access list has the info hash. Only presence counts: the value isn't looked at.
#[inline(always)]
fn listed(info_hash: &InfoHash) -> bool {
    ACCESS.get_value_ptr_mut(0, info_hash).is_some()
}

/// A key of BLOCK6 with its address on a word boundary: a packed key's would not be, and the verifier refuses unaligned stores to the
/// stack, which LLVM makes where the target may access memory so.
#[repr(C, align(8))]
struct Key6 {
    unused: u32,
    prefix_len: u32,
    address: [u8; 16],
}

#[inline(always)]
fn blocks6(address: [u8; 16]) -> bool {
    let key = Key6 { unused: 0, prefix_len: 128, address };
    // SAFETY: `Key<[u8; 16]>` is a prefix length and 16 bytes, packed: what `Key6` holds behind its first word.
    let key = unsafe { &*(&raw const key).cast::<u32>().add(1).cast::<Key<[u8; 16]>>() };
    BLOCK6.get(key).is_some()
}

/// The program's memory on this CPU.
#[inline(always)]
fn scratch<'a>() -> Option<&'a mut Scratch> {
    // SAFETY: a per-CPU value, XDP programs of one CPU don't interrupt each other, and no caller keeps the reference while it asks for
    // another.
    SCRATCH.get_ptr_mut(0).map(|scratch| unsafe { &mut *scratch })
}

/// The program's memory, with the time in it. The clock is asked for each packet although it moves once a tick: the tick, which would be
/// cheaper asked for, moves a moment before it, and a time that was remembered for a tick could be the one before. A peer's stop would then seem
/// older than the start that a socket has answered, and the peer would stay.
#[inline(always)]
fn clock<'a>() -> Option<&'a mut Scratch> {
    let scratch = scratch()?;
    // SAFETY: a helper without arguments.
    let now_ns = unsafe { bpf_ktime_get_coarse_ns() };
    if scratch.now_ns != now_ns {
        scratch.now_ns = now_ns;
        scratch.now_ms = now_ns / 1_000_000;
    }
    Some(scratch)
}

/// The journey's view of the maps, for a program with or without announces and scrapes.
pub(crate) struct Maps<const ANSWERS: bool>;

impl<const ANSWERS: bool> Host for Maps<ANSWERS> {
    const ANSWERS: bool = ANSWERS;
    type Table = Table;

    #[inline(always)]
    fn serves(&self, address: &Address, port: u16) -> bool {
        ENDPOINTS.get(0).is_some_and(|endpoints| endpoints.contains(address, port))
    }

    #[inline(always)]
    fn blocks(&self, address: &Address) -> bool {
        let Some(settings) = SETTINGS.get(0) else { return false };
        match *address {
            Address::V4(ip) if settings.block4 != 0 => {
                let (word, bit) = block4_bit(ip);
                BLOCK4_BITS.get(word).is_some_and(|bits| bits & bit != 0)
                    && BLOCK4.get(&Key::new(32, ip)).is_some()
            }
            Address::V6(ip) if settings.block6 != 0 => blocks6(ip),
            _ => false,
        }
    }

    #[inline(always)]
    fn allows(&self, info_hash: &InfoHash) -> bool {
        let Some(settings) = SETTINGS.get(0) else { return true };
        match settings.access_mode {
            access_mode::DENY => !listed(info_hash),
            access_mode::ALLOW => listed(info_hash),
            _ => true,
        }
    }

    #[inline(always)]
    fn keys(&self) -> Option<&Keys> {
        KEYS.get(0)
    }

    #[inline(always)]
    fn now_ns(&self) -> u64 {
        // What doesn't happen gives a number that the verifier doesn't know either: a known one would be one more way to follow.
        // SAFETY: a helper without arguments.
        clock().map_or_else(|| unsafe { bpf_ktime_get_coarse_ns() }, |scratch| scratch.now_ns)
    }

    #[inline(always)]
    fn now_ms(&self) -> u32 {
        // SAFETY: a helper without arguments.
        scratch().map_or_else(|| unsafe { bpf_get_prandom_u32() }, |scratch| scratch.now_ms as u32)
    }

    #[inline(always)]
    fn may_send_error(&mut self, source_hash: u64, now_ns: u64) -> bool {
        let limit = SETTINGS.get(0).map_or(0, |settings| settings.errors_per_window);
        self.is_within(Kind::Errors, source_hash, now_ns, limit)
    }

    #[inline(always)]
    fn limits(&self) -> SourceLimits {
        SETTINGS.get(0).map_or_else(SourceLimits::default, |settings| settings.limits)
    }

    #[inline(always)]
    fn is_within(&mut self, kind: Kind, source_hash: u64, now_ns: u64, limit: u32) -> bool {
        match SKETCH.get_ptr_mut(kind as u32) {
            // SAFETY: a per-CPU value, and XDP programs of one CPU don't interrupt each other.
            Some(sketch) => unsafe { (*sketch).allows(source_hash, now_ns, limit) },
            None => false,
        }
    }

    #[inline(always)]
    fn terms(&self) -> Option<Terms> {
        let settings = SETTINGS.get(0)?;
        (settings.answer == answer::ALL).then_some(Terms {
            interval_s: settings.interval_s,
            max_response_peers: settings.max_response_peers,
            max_scrape_torrents: settings.max_scrape_torrents,
        })
    }

    #[inline(always)]
    fn table(&self) -> Table {
        Table
    }

    #[inline(always)]
    fn random(&mut self) -> u64 {
        // SAFETY: a helper without arguments.
        let Some(scratch) = scratch() else { return unsafe { bpf_get_prandom_u32() }.into() };
        if scratch.random == 0 {
            // SAFETY: a helper without arguments.
            scratch.random = unsafe { bpf_get_prandom_u32() } as u64 | 1 << 32;
        }
        next_random(&mut scratch.random)
    }

    #[inline(always)]
    fn emit(&mut self, event: &[u64; 6]) -> bool {
        // Flags 0: the kernel wakes the daemon if it had read all that was there.
        EVENTS.output(event, 0).is_ok()
    }

    #[inline(always)]
    fn workspace(&mut self) -> Option<&mut Workspace> {
        scratch().map(|scratch| &mut scratch.work)
    }
}
