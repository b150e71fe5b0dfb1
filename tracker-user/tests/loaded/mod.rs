//! The XDP program as the kernel has it: loaded, with maps to fill, and run on frames by BPF_PROG_TEST_RUN.
//!
//! Shared by the tests that need the loaded program but no traffic. Maps are written as plain bytes, not through the daemon's code.

use std::net::IpAddr;

use aya::Ebpf;
use aya::maps::lpm_trie::Key;
use aya::maps::{Array, ArrayOfMaps, HashMap, LpmTrie, MapData, PerCpuArray};
use aya::programs::{TestRun as _, TestRunOptions, Xdp};
use bytemuck::Pod;
use tracker_common::connection_id::Keys;
use tracker_common::counters::Counters;
use tracker_common::settings::{Endpoints, Settings, block4_bit, names};
use tracker_common::verdict::{Class, Verdict};

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

pub(crate) struct LoadedProgram {
    pub(crate) ebpf: Ebpf,
}

impl LoadedProgram {
    /// Loads the program; every instance has maps of its own.
    pub(crate) fn load() -> Self {
        let mut ebpf = Ebpf::load_file(env!("TRACKER_EBPF_OBJECT")).expect("the kernel takes the maps");
        let program: &mut Xdp =
            ebpf.program_mut(names::PROGRAM).expect("the program is there").try_into().unwrap();
        program.load().expect("the verifier takes the program");
        Self { ebpf }
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
            4 => set_words::<4>(map, words),
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
        let counters = PerCpuArray::<_, [u64; Verdict::COUNT]>::try_from(map).unwrap();
        let mut sum = Counters::ZERO;
        for by_verdict in counters.get(&0, 0).unwrap().iter() {
            sum.add(&Counters { by_verdict: *by_verdict });
        }
        sum
    }

    /// Runs the program on one frame of at least 14 bytes, as if the interface `ingress` (1 is loopback) had brought it.
    ///
    /// Checks that exactly one counter rose, by one, and that it belongs to the action.
    #[track_caller]
    pub(crate) fn run(&mut self, frame: &[u8], ingress: u32) -> Outcome {
        let before = self.counters();
        let program: &Xdp = self.ebpf.program(names::PROGRAM).unwrap().try_into().unwrap();
        let mut out = vec![0; 4096];
        // struct xdp_md: data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex.
        let context = [0, frame.len() as u32, 0, ingress, 0, 0];
        let result = program
            .test_run(TestRunOptions {
                data_in: Some(frame),
                data_out: Some(&mut out),
                ctx_in: Some(bytemuck::cast_slice(&context)),
                ..TestRunOptions::new()
            })
            .unwrap_or_else(|error| panic!("BPF_PROG_TEST_RUN on {frame:02x?}: {error}"));
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
        Outcome { verdict, frame: out }
    }
}

fn set_words<const N: usize>(map: &mut aya::maps::Map, words: &[u32]) {
    let words: [u32; N] = words.try_into().unwrap();
    Array::<_, [u32; N]>::try_from(map).unwrap().set(0, words, 0).unwrap();
}
