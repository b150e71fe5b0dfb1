//! The laboratory's object in the kernel: its programs on the ends of the cable, its maps.

use std::path::Path;

use anyhow::{Context as _, Result};
use aya::maps::{Array, MapData, PerCpuArray};
use aya::programs::{TestRun as _, TestRunOptions, Xdp, XdpMode};
use aya::{Ebpf, EbpfLoader};
use tracker_lab::names;
use tracker_lab::tally::{Evidence, Tally};
use tracker_lab::traffic::Traffic;
use tracker_testkit::netns::Namespace;

/// One loaded copy of the object; programs are loaded when they are first used.
pub(crate) struct Laboratory {
    pub(crate) ebpf: Ebpf,
}

impl Laboratory {
    /// Loads the object. `sizes` are entries of maps; those of the reference are as small as can be if not named.
    pub(crate) fn load(object: &Path, sizes: &[(&'static str, u32)]) -> Result<Self> {
        let bytes = std::fs::read(object)
            .with_context(|| format!("{}: build it with `cargo xtask build-ebpf --lab`", object.display()))?;
        let mut loader = EbpfLoader::new();
        for name in [names::REFERENCE_BUCKETS, names::REFERENCE_TORRENTS, names::REFERENCE_LINES] {
            loader.map_max_entries(name, 1);
        }
        loader.map_max_entries(names::REFERENCE_EVENTS, 4096);
        for (name, size) in sizes {
            loader.map_max_entries(name, *size);
        }
        let ebpf = loader.load(&bytes).with_context(|| format!("loading {}", object.display()))?;
        Ok(Self { ebpf })
    }

    /// A program, in the kernel.
    pub(crate) fn program(&mut self, name: &str) -> Result<&mut Xdp> {
        let program: &mut Xdp = self
            .ebpf
            .program_mut(name)
            .with_context(|| format!("the laboratory's object has no program {name}"))?
            .try_into()?;
        if program.fd().is_err() {
            program.load().with_context(|| format!("program {name}"))?;
        }
        Ok(program)
    }

    /// Instructions that the verifier went through.
    pub(crate) fn verified(&mut self, name: &str) -> Result<Option<u32>> {
        Ok(self.program(name)?.info()?.verified_instruction_count())
    }

    /// Attaches a program in native mode, for as long as the laboratory lives.
    pub(crate) fn attach(&mut self, program: &str, namespace: &Namespace, interface: &str) -> Result<()> {
        let loaded = self.program(program)?;
        namespace
            .inside(|| loaded.attach(interface, XdpMode::Driver))
            .with_context(|| format!("attaching {program} to {interface}"))
            .map(drop)
    }

    /// Sends `frames` frames of the generator's out of the far end's interface. The calling thread is in the client's namespace.
    pub(crate) fn generate(
        &mut self,
        program: &str,
        bytes: usize,
        interface: u32,
        frames: u32,
    ) -> Result<()> {
        let packet = vec![0; bytes];
        // struct xdp_md: data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex.
        let context = [0, bytes as u32, 0, interface, 0, 0];
        let options = TestRunOptions {
            data_in: Some(&packet),
            ctx_in: Some(bytemuck::bytes_of(&context)),
            repeat: frames,
            attrs: aya::programs::TestRunAttrs::new().xdp_live_frames(64),
            ..TestRunOptions::default()
        };
        self.program(program)?.test_run(options).with_context(|| format!("running {program}")).map(drop)
    }

    pub(crate) fn set_traffic(&mut self, traffic: &Traffic) -> Result<()> {
        let mut map: Array<_, [u8; size_of::<Traffic>()]> = self.map(names::TRAFFIC)?.try_into()?;
        map.set(0, bytemuck::cast::<_, [u8; size_of::<Traffic>()]>(*traffic), 0).context("map TRAFFIC")
    }

    /// All CPUs together.
    pub(crate) fn tally(&mut self) -> Result<Tally> {
        let map: PerCpuArray<_, [u64; size_of::<Tally>() / 8]> = self.map(names::TALLY)?.try_into()?;
        let mut sum = Tally::default();
        for cpu in map.get(&0, 0).context("map TALLY")?.iter() {
            sum.add(bytemuck::cast_ref(cpu));
        }
        Ok(sum)
    }

    /// The first bad answer, if there was one.
    pub(crate) fn evidence(&mut self) -> Result<Option<Box<Evidence>>> {
        let map: Array<_, [u8; size_of::<Evidence>()]> = self.map(names::EVIDENCE)?.try_into()?;
        let bytes = map.get(&0, 0).context("map EVIDENCE")?;
        let evidence: Evidence = bytemuck::pod_read_unaligned(&bytes);
        Ok((evidence.fault != 0).then(|| Box::new(evidence)))
    }

    fn map(&mut self, name: &str) -> Result<&mut aya::maps::Map> {
        self.ebpf.map_mut(name).with_context(|| format!("the laboratory's object has no map {name}"))
    }

    /// The data of a map, to be mapped.
    pub(crate) fn map_data(&self, name: &str) -> Result<&MapData> {
        match self.ebpf.map(name) {
            Some(aya::maps::Map::Array(data) | aya::maps::Map::RingBuf(data)) => Ok(data),
            _ => anyhow::bail!("the laboratory's object has no array {name}"),
        }
    }
}
