//! `cargo xtask build-ebpf`: the XDP program, from sources to a checked object in target/bpf/tracker-ebpf.
//!
//! The program is a workspace of its own and needs its own compiler (see [`crate::toolchain`]); tracker-user
//! embeds the object that lies at the end of this.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;

use crate::bpf_object::BpfObject;
use crate::bpf_stack::{Chain, STACK};
use crate::paths;
use crate::step::Step;
use crate::strict::is_strict;
use crate::toolchain::{self, Compilers, LINKER_VERSION, Toolchain};

/// - `debuginfo=2` and `--btf`: maps and functions with their types, for bpftool and the verifier's log.
/// - `target-cpu=v3`: 32-bit jumps and arithmetic, Linux 5.1.
/// - `allows-misaligned-mem-access`: without it LLVM loads packet fields byte by byte (594 instead of 377 verified
///   instructions for a connect, 28 ns instead of 20). The kernel allows it where the CPU does: x86-64, arm64.
/// - `bpf_target_arch`: whose registers aya-ebpf's tracing contexts describe; XDP has none, the cfg must be known.
const RUSTFLAGS: &str = "-C debuginfo=2 -C link-arg=--btf -C target-cpu=v3 \
     -C link-arg=--cpu-features=+allows-misaligned-mem-access --cfg=bpf_target_arch=\"x86_64\"";

pub(crate) const TARGET: &str = "bpfel-unknown-none";

/// Flags of `build-ebpf`.
#[derive(Args, Default)]
pub(crate) struct Flags {
    /// Features of tracker-ebpf, comma separated (`debug`: log through aya-log, not for production)
    #[arg(long, value_name = "LIST")]
    features: Option<String>,
    /// The laboratory's programs too, into target/bpf/lab: what `bench udp` and `stress` need, no part of the tracker
    #[arg(long)]
    lab: bool,
}

impl Flags {
    /// The flags that build with these features.
    pub(crate) fn with_features(list: &str) -> Self {
        Self { features: Some(list.to_owned()), ..Self::default() }
    }

    /// The flags that build the laboratory's programs too.
    pub(crate) fn with_lab() -> Self {
        Self { lab: true, ..Self::default() }
    }
}

/// Builds, checks and installs the object; its path.
pub(crate) fn run(flags: &Flags) -> Result<PathBuf> {
    let toolchain = ready_toolchain()?;
    eprintln!("building tracker-ebpf with {}", toolchain.name());
    let features = flags.features.iter().flat_map(|list| ["--features", list]);
    build_step(toolchain, "build").args(["--release", "--locked"]).args(features).run()?;
    // What logs with each packet is for developers.
    let is_product = flags.features.is_none();
    let installed = check_and_install("tracker-ebpf", &paths::bpf_object(), is_product)?;
    if flags.lab {
        let lab = ["--release", "--locked", "--package", "tracker-lab-ebpf"];
        build_step(toolchain, "build").args(lab).run()?;
        check_and_install("lab", &paths::lab_object(), false)?;
    }
    Ok(installed)
}

/// Checks what cargo has built under this name, and puts it in place.
fn check_and_install(name: &str, installed: &Path, is_product: bool) -> Result<PathBuf> {
    let built = paths::cargo_target().join("ebpf").join(TARGET).join("release").join(name);
    let bytes = fs::read(&built).with_context(|| format!("cannot read {}", built.display()))?;
    let object = BpfObject::parse(&bytes).with_context(|| format!("{}", built.display()))?;
    let panics = object.panic_paths();
    if !panics.is_empty() {
        bail!(
            "{} can panic, which the verifier would take for an endless loop or refuse: {}; \
             look for indexing, slicing, unwrap, division and overflow checks that LLVM could not remove",
            built.display(),
            panics.join(", ")
        );
    }
    if is_product && let Err(error) = is_fit(&object).with_context(|| format!("{}", built.display())) {
        // Another compiler than that of the tests may inline otherwise, and what it makes is good for newer kernels.
        if is_strict() {
            return Err(error);
        }
        eprintln!("warning: {error:#}");
    }

    install(&bytes, installed)?;
    println!("{}: {} bytes, {}", installed.display(), bytes.len(), object.summary());
    Ok(installed.to_owned())
}

/// What the kernel that it is built on wouldn't say.
fn is_fit(object: &BpfObject<'_>) -> Result<()> {
    let slow = object.slow_calls();
    ensure!(
        slow.is_empty(),
        "it calls {}, which go byte by byte with each packet; look for arrays that are copied or set whole",
        slow.join(", ")
    );
    let Chain { bytes, functions } = object.deepest()?;
    ensure!(
        bytes <= STACK,
        "Linux before 6.8 would refuse it, and get the program of connects alone: these calls take {bytes} bytes of stack, of {STACK}: {functions:?}; \
         look for functions that are inlined into others of the chain"
    );
    Ok(())
}

/// A cargo command on tracker-ebpf for the BPF target.
pub(crate) fn build_step(toolchain: Toolchain, command: &str) -> Step {
    toolchain::with_cargo_bin(toolchain.cargo(command))
        .env("RUSTFLAGS", RUSTFLAGS)
        .args(["-Z", "build-std=core", "--target", TARGET, "--target-dir"])
        .arg(paths::cargo_target().join("ebpf"))
        .dir(&paths::workspace().join("tracker-ebpf"))
}

/// The toolchain, once everything a BPF build needs is there.
pub(crate) fn ready_toolchain() -> Result<Toolchain> {
    let Some(toolchain) = Compilers::of_this_machine().choose() else {
        bail!("no compiler with the sources of core for the BPF target; `cargo xtask setup` installs one");
    };
    match toolchain::linker() {
        Some(version) if version >= LINKER_VERSION => Ok(toolchain),
        Some(old) => {
            bail!("bpf-linker {old} is older than {LINKER_VERSION}; `cargo xtask setup` installs a newer one")
        }
        None => bail!("no working bpf-linker in PATH or $CARGO_HOME/bin; `cargo xtask setup` installs it"),
    }
}

/// Puts the object in place whole or not at all (a build of tracker-user may be reading), and leaves an equal
/// one alone so that nothing that depends on its time is built again.
fn install(bytes: &[u8], path: &Path) -> Result<()> {
    if fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    let dir = path.parent().expect("the object lies in target/bpf");
    fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let fresh = path.with_extension(format!("{}.tmp", std::process::id()));
    fs::write(&fresh, bytes).with_context(|| format!("cannot write {}", fresh.display()))?;
    fs::rename(&fresh, path).with_context(|| format!("cannot rename to {}", path.display()))
}
