//! Loads the object that is part of this binary, and keeps program, links, maps and pins together.

use std::path::PathBuf;

use anyhow::{Context as _, anyhow};
use aya::maps::{Map, MapData};
use aya::programs::links::FdLink;
use aya::programs::{ProgramError, Xdp};
use aya::{Ebpf, EbpfLoader};
use tracker_common::settings::names;

use super::EventRing;
use super::events;
use super::maps::Maps;
use super::pin::{self, Pins};
use super::segments::KernelSegments;
use crate::config::{Config, XdpAnswer};
use crate::privileges;

/// linux/magic.h: `BPF_FS_MAGIC`.
const BPF_FS_MAGIC: rustix::fs::FsWord = 0xcafe_4a11;

static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("TRACKER_EBPF_OBJECT"));

/// The XDP program in the kernel.
///
/// Loaded, it answers nothing; attached, it answers from the maps until it is detached.
pub struct Kernel {
    pub(super) ebpf: Ebpf,
    /// Name of the program that the kernel took.
    program: &'static str,
    pub(super) links: Vec<FdLink>,
    pub(super) maps: Maps,
    pins: Option<Pins>,
}

impl Kernel {
    /// Loads the program and makes its maps, as large as the configuration lets the swarm table grow. Nothing is attached yet.
    ///
    /// # Errors
    ///
    /// Missing capabilities by name; otherwise what the kernel said.
    pub fn load(config: &Config) -> anyhow::Result<Self> {
        let missing = privileges::missing_for_xdp();
        if !missing.is_empty() {
            return Err(anyhow!(
                "loading it needs {}: start as root, or `setcap cap_bpf,cap_perfmon,cap_net_admin+ep` on the binary",
                missing.join(", ")
            ));
        }
        events::check_size(config.xdp.event_ring_bytes)?;
        let limits = config.limits();
        let directory = pin::directory(&config.xdp.pin_directory);
        let mut loader = EbpfLoader::new();
        // Maps of maps are arrays of pointers: 8 bytes for each segment that may ever be.
        loader
            .map_max_entries(names::RECORDS, limits.segments())
            .map_max_entries(names::BUCKETS, limits.bucket_slots())
            .map_max_entries(names::EVENTS, config.xdp.event_ring_bytes);
        let room = pin::make_room(&directory, &shapes);
        let counters = directory.join(names::COUNTERS);
        if room.is_ok() && counters.exists() {
            loader.map_pin_path(names::COUNTERS, counters);
        }
        let mut ebpf = loader.load(OBJECT).context("making the maps")?;
        let program = load_program(&mut ebpf, config.xdp.answer)?;
        #[cfg(feature = "debug")]
        super::log::relay(&mut ebpf)?;
        let pins = room.and_then(|claim| pin::pin_all(claim, &directory, &ebpf));
        if let Err(error) = &pins {
            tracing::warn!(
                "{}: the maps aren't pinned, so tools don't find them: {error:#}",
                directory.display()
            );
        }
        let maps = Maps::take(&mut ebpf)?;
        Ok(Self { ebpf, program, links: Vec::new(), maps, pins: pins.ok() })
    }

    /// Which program the kernel takes, by loading it for a moment; nothing is attached or pinned.
    ///
    /// # Errors
    ///
    /// What the kernel said to the smaller one.
    pub fn try_program(config: &Config) -> anyhow::Result<XdpAnswer> {
        let name = load_program(&mut shapes()?, config.xdp.answer)?;
        Ok(if name == names::PROGRAM { XdpAnswer::All } else { XdpAnswer::Connect })
    }

    /// Where the maps would be pinned.
    ///
    /// # Errors
    ///
    /// The nearest directory above isn't on a BPF file system.
    pub fn can_pin(config: &Config) -> anyhow::Result<PathBuf> {
        let directory = pin::directory(&config.xdp.pin_directory);
        let existing = directory.ancestors().find(|path| path.exists()).context("no such directory")?;
        let kind = rustix::fs::statfs(existing).with_context(|| existing.display().to_string())?.f_type;
        anyhow::ensure!(kind == BPF_FS_MAGIC, "{} isn't on a BPF file system", existing.display());
        Ok(directory)
    }

    pub(super) fn program(&mut self) -> anyhow::Result<&mut Xdp> {
        Ok(self.ebpf.program_mut(self.program).context("the program was loaded")?.try_into()?)
    }

    /// What the swarm table lives in so that the program can read it. Asked for once, before anything is attached.
    ///
    /// # Errors
    ///
    /// Those of making a thread.
    pub fn segments(&mut self) -> anyhow::Result<KernelSegments> {
        let [root, records, buckets] =
            [names::TABLE, names::RECORDS, names::BUCKETS].map(|name| take(&mut self.ebpf, name));
        KernelSegments::new(root?, records?, buckets?)
    }

    /// The ring of the program's announce events. Asked for once.
    ///
    /// # Errors
    ///
    /// Those of mapping it.
    pub fn events(&mut self) -> anyhow::Result<EventRing> {
        EventRing::new(take(&mut self.ebpf, names::EVENTS)?).context("map EVENTS")
    }

    /// The directory of the pins; a tracker that becomes another user has to own it.
    pub fn pin_directory(config: &Config) -> PathBuf {
        pin::directory(&config.xdp.pin_directory)
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
        self.pins = None;
    }
}

/// Loads the program that is wanted, or the smaller one where the kernel doesn't take the whole; its name.
fn load_program(ebpf: &mut Ebpf, wanted: XdpAnswer) -> anyhow::Result<&'static str> {
    if wanted == XdpAnswer::All {
        match load_one(ebpf, names::PROGRAM) {
            Ok(()) => return Ok(names::PROGRAM),
            Err(error) => tracing::warn!(
                "the kernel answers connects only, announces and scrapes are left to the sockets: {error:#}; a newer kernel may take the whole \
                 program, and xdp.answer = \"connect\" spares the attempt"
            ),
        }
    }
    load_one(ebpf, names::PROGRAM_CONNECT)?;
    Ok(names::PROGRAM_CONNECT)
}

fn load_one(ebpf: &mut Ebpf, name: &str) -> anyhow::Result<()> {
    let program: &mut Xdp = ebpf
        .program_mut(name)
        .with_context(|| format!("the BPF object has no program {name}"))?
        .try_into()?;
    program.load().map_err(refusal)
}

fn take(ebpf: &mut Ebpf, name: &str) -> anyhow::Result<MapData> {
    let map = ebpf.take_map(name).with_context(|| format!("the BPF object has no map {name}"))?;
    match map {
        Map::Array(data) | Map::ArrayOfMaps(data) | Map::RingBuf(data) => Ok(data),
        _ => Err(anyhow!("map {name} has another type")),
    }
}

/// What the kernel objects to. The verifier explains itself at great length; its verdict is near the end.
fn refusal(error: ProgramError) -> anyhow::Error {
    let ProgramError::LoadError { io_error, verifier_log } = &error else {
        return anyhow::Error::new(error).context("loading the program");
    };
    let log = verifier_log.to_string();
    tracing::debug!("the verifier's log:\n{log}");
    let statistics = ["processed ", "verification time ", "stack depth "];
    let verdict = log
        .lines()
        .rev()
        .map(str::trim)
        .find(|line| !line.is_empty() && !statistics.iter().any(|start| line.starts_with(start)))
        .unwrap_or("no explanation");
    anyhow!(
        "the kernel refused the program ({io_error}): {verdict}; log_level = \"debug\" shows the verifier's whole log"
    )
}

/// The maps as this binary's object wants them, to compare pinned ones with.
fn shapes() -> anyhow::Result<Ebpf> {
    EbpfLoader::new().load(OBJECT).context("making the maps")
}
