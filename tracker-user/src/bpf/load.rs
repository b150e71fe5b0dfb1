//! Loads the object that is part of this binary, and keeps program, links, maps and pins together.

use std::path::PathBuf;

use anyhow::{Context as _, anyhow};
use aya::programs::Xdp;
use aya::programs::links::FdLink;
use aya::{Ebpf, EbpfLoader};
use tracker_common::settings::names;

use super::maps::Maps;
use super::pin;
use crate::{config, privileges};

static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("TRACKER_EBPF_OBJECT"));

/// The XDP program in the kernel.
pub struct Kernel {
    pub(super) ebpf: Ebpf,
    pub(super) links: Vec<FdLink>,
    pub(super) maps: Maps,
    pins: Vec<PathBuf>,
}

impl Kernel {
    /// Loads the program and makes its maps. Nothing is attached yet.
    ///
    /// # Errors
    ///
    /// Missing capabilities by name; otherwise what the kernel said.
    pub fn load(config: &config::Xdp) -> anyhow::Result<Self> {
        let missing = privileges::missing_for_xdp();
        if !missing.is_empty() {
            return Err(anyhow!(
                "loading it needs {}: start as root, or `setcap cap_bpf,cap_perfmon,cap_net_admin+ep` on the binary",
                missing.join(", ")
            ));
        }
        let directory = pin::directory(&config.pin_directory);
        let mut loader = EbpfLoader::new();
        if let Err(error) = pin::make_room(&directory, &shapes) {
            log::warn!("{}: {error:#}", directory.display());
        }
        let counters = directory.join(names::COUNTERS);
        if counters.exists() {
            loader.map_pin_path(names::COUNTERS, counters);
        }
        let mut ebpf = loader.load(OBJECT).context("making the maps")?;
        let program: &mut Xdp = ebpf
            .program_mut(names::PROGRAM)
            .with_context(|| format!("the BPF object has no program {}", names::PROGRAM))?
            .try_into()?;
        program.load().context("the verifier refused the program")?;
        let pins = pin::pin_all(&directory, &ebpf);
        let maps = Maps::take(&mut ebpf)?;
        Ok(Self { ebpf, links: Vec::new(), maps, pins })
    }

    pub(super) fn program(&mut self) -> anyhow::Result<&mut Xdp> {
        Ok(self.ebpf.program_mut(names::PROGRAM).context("the program was loaded")?.try_into()?)
    }

    /// Detaches from all interfaces and removes the pins.
    pub fn detach(self) {
        drop(self);
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        // The kernel detaches when the last descriptor of a link is closed.
        self.links.clear();
        pin::remove(&self.pins);
    }
}

/// The maps as this binary's object wants them, to compare pinned ones with.
fn shapes() -> anyhow::Result<Ebpf> {
    EbpfLoader::new().load(OBJECT).context("making the maps")
}
