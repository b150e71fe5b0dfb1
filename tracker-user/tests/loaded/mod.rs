//! The XDP program as the kernel has it: loaded, with maps to fill, and run on frames by BPF_PROG_TEST_RUN.
//!
//! Shared by the tests that need the loaded program but no traffic. Maps are written as plain bytes, not through the daemon's code; only
//! the swarm table's memory comes from there ([`KernelSegments`]), as nothing else can be mapped without unsafe code. What the
//! program emits is read by aya's reader of rings, not by the daemon's.
//!
//! - `table`: the swarm table's memory as this process sees it, for tests that run the read path on it.

// Each test has a use for another part.
#![allow(dead_code, reason = "shared by several tests")]

pub(crate) mod table;

use std::net::IpAddr;
use std::path::Path;

use aya::maps::lpm_trie::Key;
use aya::maps::{Array, ArrayOfMaps, HashMap, LpmTrie, Map, MapData, PerCpuArray, PerCpuValues, RingBuf};
use aya::programs::{TestRun as _, TestRunOptions, TestRunResult, Xdp};
use aya::{Ebpf, EbpfLoader};
use bytemuck::{Pod, Zeroable as _};
use tracker_common::connection_id::Keys;
use tracker_common::counters::{Counters, IpVersion};
use tracker_common::event::AnnounceEvent;
use tracker_common::scratch::Scratch;
use tracker_common::settings::{Endpoints, Settings, block4_bit, names};
use tracker_common::verdict::{Class, Verdict};
use tracker_core::Limits;
use tracker_user::bpf::KernelSegments;

const XDP_DROP: u32 = 1;
const XDP_PASS: u32 = 2;
const XDP_TX: u32 = 3;

/// What became of one frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) verdict: Verdict,
    /// The frame as the program left it.
    pub(crate) frame: Vec<u8>,
}

/// Bytes of the ring of events, if nothing else is asked for.
const RING_BYTES: u32 = 1 << 16;

/// What a record of the ring takes besides its event: a header.
const RING_HEADER_BYTES: u32 = 8;

const SCRATCH_WORDS: usize = size_of::<Scratch>() / 8;

type Scratches<T> = PerCpuArray<T, [u64; SCRATCH_WORDS]>;

/// Limits of the tables in these tests; the first index is small, so that others follow.
pub(crate) fn limits() -> Limits {
    Limits { max_torrents: 10_000, max_peers: 100_000, first_buckets: 64, ..Limits::default() }
}

pub(crate) struct LoadedProgram {
    pub(crate) ebpf: Ebpf,
    events: RingBuf<MapData>,
}

impl LoadedProgram {
    /// Loads the program; every instance has maps of its own.
    pub(crate) fn load() -> Self {
        Self::with_ring(RING_BYTES)
    }

    /// The same with a ring of events of so many bytes, a power of two and a whole number of pages.
    pub(crate) fn with_ring(bytes: u32) -> Self {
        Self::with_loader(bytes, &mut EbpfLoader::new())
    }

    /// The same with some of the maps that a running tracker has pinned in a directory.
    pub(crate) fn with_pins(directory: &Path, pinned: &[&str]) -> Self {
        let mut loader = EbpfLoader::new();
        for name in pinned {
            loader.map_pin_path(name, directory.join(name));
        }
        Self::with_loader(RING_BYTES, &mut loader)
    }

    fn with_loader(ring_bytes: u32, loader: &mut EbpfLoader<'_>) -> Self {
        let limits = limits();
        let mut ebpf = loader
            .map_max_entries(names::RECORDS, limits.segments())
            .map_max_entries(names::BUCKETS, limits.bucket_slots())
            .map_max_entries(names::EVENTS, ring_bytes)
            .load_file(env!("TRACKER_EBPF_OBJECT"))
            .expect("the kernel takes the maps");
        let program: &mut Xdp =
            ebpf.program_mut(names::PROGRAM).expect("the program is there").try_into().unwrap();
        program.load().expect("the verifier takes the program");
        let events = ebpf.take_map(names::EVENTS).expect("the ring is there").try_into().unwrap();
        Self { ebpf, events }
    }

    /// The swarm table's memory. Asked for once.
    pub(crate) fn segments(&mut self) -> KernelSegments {
        let [root, records, buckets] =
            [names::TABLE, names::RECORDS, names::BUCKETS].map(|name| {
                match self.ebpf.take_map(name).expect("the map is there") {
                    Map::Array(data) | Map::ArrayOfMaps(data) => data,
                    other => panic!("{name} is {other:?}"),
                }
            });
        KernelSegments::new(root, records, buckets).expect("a thread")
    }

    /// Takes what the program has emitted since the last time.
    pub(crate) fn events(&mut self) -> Vec<AnnounceEvent> {
        let mut events = Vec::new();
        while let Some(record) = self.events.next() {
            events.push(bytemuck::pod_read_unaligned(&record));
        }
        events
    }

    /// Events that a ring of so many bytes has room for.
    pub(crate) fn events_in(bytes: u32) -> u32 {
        bytes / (size_of::<AnnounceEvent>() as u32 + RING_HEADER_BYTES)
    }

    /// Sets the state of the program's random numbers, wherever it runs next.
    pub(crate) fn set_random(&mut self, state: u64) {
        let mut map = Scratches::try_from(self.ebpf.map_mut(names::SCRATCH).unwrap()).unwrap();
        let scratch = Scratch { random: state, ..Scratch::zeroed() };
        let cpus = map.get(&0, 0).unwrap().len();
        let values = PerCpuValues::try_from(vec![bytemuck::cast(scratch); cpus]).unwrap();
        map.set(0, values, 0).unwrap();
    }

    /// The clock that the program has read since [`LoadedProgram::set_random`], if it has: `CLOCK_MONOTONIC_COARSE` in nanoseconds.
    pub(crate) fn clock(&self) -> Option<u64> {
        let map = Scratches::try_from(self.ebpf.map(names::SCRATCH).unwrap()).unwrap();
        let values = map.get(&0, 0).unwrap();
        let read = |value: &[u64; SCRATCH_WORDS]| bytemuck::cast::<_, Scratch>(*value).now_ns;
        values.iter().map(read).find(|now_ns| *now_ns != 0)
    }

    pub(crate) fn set_settings(&mut self, settings: &Settings) {
        self.set(names::SETTINGS, settings);
    }

    pub(crate) fn set_endpoints(&mut self, endpoints: &Endpoints) {
        self.set(names::ENDPOINTS, endpoints);
    }

    pub(crate) fn set_keys(&mut self, keys: &Keys) {
        self.set(names::KEYS, keys);
    }

    fn set<T: Pod>(&mut self, name: &str, value: &T) {
        // aya has its own `Pod`, which our types can't have; arrays of words do.
        let map = self.ebpf.map_mut(name).unwrap();
        let words: &[u32] = bytemuck::cast_slice(bytemuck::bytes_of(value));
        match words.len() {
            11 => set_words::<11>(map, words),
            16 => set_words::<16>(map, words),
            514 => set_words::<514>(map, words),
            other => panic!("{name}: no map has values of {other} words"),
        }
    }

    /// Swaps in an access list.
    pub(crate) fn set_access_list(&mut self, info_hashes: &[[u8; 20]]) {
        const BPF_F_NO_PREALLOC: u32 = 1;
        let mut list = HashMap::<MapData, [u8; 20], u8>::create(1024, BPF_F_NO_PREALLOC).unwrap();
        for info_hash in info_hashes {
            list.insert(info_hash, 1, 0).unwrap();
        }
        let map = self.ebpf.map_mut(names::ACCESS).unwrap();
        ArrayOfMaps::<_, HashMap<MapData, [u8; 20], u8>>::try_from(map).unwrap().set(0, &list, 0).unwrap();
    }

    /// Blocks prefixes, each an address and a length.
    pub(crate) fn block(&mut self, prefixes: &[(IpAddr, u8)]) {
        for (address, length) in prefixes {
            match address {
                IpAddr::V4(address) => {
                    assert!(*length >= 24, "this helper sets one bit a prefix");
                    let key = Key::new(u32::from(*length), address.octets());
                    let map = self.ebpf.map_mut(names::BLOCK4).unwrap();
                    LpmTrie::<_, [u8; 4], u8>::try_from(map).unwrap().insert(&key, 1, 0).unwrap();
                    let (word, bit) = block4_bit(address.octets());
                    let map = self.ebpf.map_mut(names::BLOCK4_BITS).unwrap();
                    let mut bits = Array::<_, u64>::try_from(map).unwrap();
                    let before = bits.get(&word, 0).unwrap();
                    bits.set(word, before | bit, 0).unwrap();
                }
                IpAddr::V6(address) => {
                    let key = Key::new(u32::from(*length), address.octets());
                    let map = self.ebpf.map_mut(names::BLOCK6).unwrap();
                    LpmTrie::<_, [u8; 16], u8>::try_from(map).unwrap().insert(&key, 1, 0).unwrap();
                }
            }
        }
    }

    pub(crate) fn counters(&self) -> Counters {
        let map = self.ebpf.map(names::COUNTERS).unwrap();
        let counters = PerCpuArray::<_, [[u64; Verdict::COUNT]; IpVersion::COUNT]>::try_from(map).unwrap();
        let mut sum = Counters::ZERO;
        for by_version in counters.get(&0, 0).unwrap().iter() {
            sum.add(&Counters { by_version: *by_version });
        }
        sum
    }

    /// Runs the program on one frame of at least 14 bytes, as if the interface `ingress` (1 is loopback) had brought it.
    ///
    /// Checks that exactly one counter rose, by one, that it belongs to the action, and that a frame that isn't answered is left as it came.
    #[track_caller]
    pub(crate) fn run(&mut self, frame: &[u8], ingress: u32) -> Outcome {
        let before = self.counters();
        let mut out = vec![0; 4096];
        let result = self.test_run(frame, ingress, Some(&mut out));
        out.truncate(result.data_size_out as usize);
        let after = self.counters();
        let risen: Vec<_> = Verdict::ALL
            .into_iter()
            .filter(|verdict| after.of(*verdict) != before.of(*verdict))
            .map(|verdict| (verdict, after.of(verdict) - before.of(verdict)))
            .collect();
        let [(verdict, 1)] = risen[..] else { panic!("one counter must rise by one, not {risen:?}") };
        let action = match verdict.class() {
            Class::Answer => XDP_TX,
            Class::Pass => XDP_PASS,
            Class::Drop => XDP_DROP,
        };
        assert_eq!(result.return_value, action, "{verdict:?}");
        assert!(
            verdict.class() == Class::Answer || out == frame,
            "{verdict:?}: {frame:02x?} became {out:02x?}"
        );
        Outcome { verdict, frame: out }
    }

    /// The same without a look at counters and frame, for a million frames: whether it was answered.
    pub(crate) fn answers(&self, frame: &[u8], ingress: u32) -> bool {
        self.test_run(frame, ingress, None).return_value == XDP_TX
    }

    fn test_run(&self, frame: &[u8], ingress: u32, out: Option<&mut [u8]>) -> TestRunResult {
        let program: &Xdp = self.ebpf.program(names::PROGRAM).unwrap().try_into().unwrap();
        // struct xdp_md: data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex.
        let context = [0, frame.len() as u32, 0, ingress, 0, 0];
        program
            .test_run(TestRunOptions {
                data_in: Some(frame),
                data_out: out,
                ctx_in: Some(bytemuck::cast_slice(&context)),
                ..TestRunOptions::new()
            })
            .unwrap_or_else(|error| panic!("BPF_PROG_TEST_RUN on {frame:02x?}: {error}"))
    }
}

fn set_words<const N: usize>(map: &mut Map, words: &[u32]) {
    let words: [u32; N] = words.try_into().unwrap();
    Array::<_, [u32; N]>::try_from(map).unwrap().set(0, words, 0).unwrap();
}
