//! `cargo xtask bench …` and `cargo xtask stress`: builds what is measured, and leaves the rest to tracker-bench.
//!
//! The figures of the whole `bench udp` are written to docs/benchmarks as Markdown and JSON; those of some of its cases only when
//! `--output` says where.

use std::ffi::OsString;

use anyhow::Result;
use clap::{Args, Subcommand};

use crate::run::{build_daemon, cargo};
use crate::step::Step;
use crate::{build_ebpf, paths};

/// What to measure.
#[derive(Subcommand)]
pub(crate) enum Bench {
    /// CPU time per connect, answered by XDP and by sockets, side by side under the same load
    Connect(Flags),
    /// What answers cost in the kernel, beside the floor and a reference; the writer, memory, a flood, ordinary clients
    Udp(Flags),
    /// Install aquatic_udp, which `bench connect` and `bench udp` measure beside ours when it is there
    Setup,
}

/// Flags that are handed on: `cargo xtask bench udp --help` shows tracker-bench's.
#[derive(Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Flags {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "FLAGS")]
    flags: Vec<OsString>,
}

impl Flags {
    fn have(&self, wanted: &str) -> bool {
        self.flags.iter().any(|given| given.to_string_lossy().starts_with(wanted))
    }
}

pub(crate) fn run(bench: &Bench) -> Result<()> {
    match bench {
        Bench::Connect(flags) => build()?.arg("connect").args(programs()).args(&flags.flags).run(),
        Bench::Udp(flags) => {
            let step = build()?.arg("udp").args(lab()).args(programs()).args(&flags.flags);
            let whole = !flags.have("--only") && !flags.have("--output") && !flags.have("--help");
            match whole {
                true => step.arg("--output").arg(paths::workspace().join("docs/benchmarks")).run(),
                false => step.run(),
            }
        }
        Bench::Setup => install_aquatic(),
    }
}

/// `cargo xtask stress`.
pub(crate) fn stress(flags: &Flags) -> Result<()> {
    build()?.arg("stress").args(lab()).args(&flags.flags).run()
}

/// Builds everything that is measured or measures; tracker-bench, to be told what to do.
fn build() -> Result<Step> {
    build_ebpf::run(&build_ebpf::Flags::with_lab())?;
    build_daemon()?;
    let packages = ["--package", "tracker-bench", "--package", "tracker-load"];
    cargo().args(["build", "--release", "--locked"]).args(packages).run()?;
    Ok(Step::new(release("tracker-bench")))
}

fn release(program: &str) -> String {
    paths::cargo_target().join("release").join(program).to_string_lossy().into_owned()
}

fn lab() -> [String; 2] {
    ["--lab".to_owned(), paths::lab_object().to_string_lossy().into_owned()]
}

fn programs() -> [String; 4] {
    ["--tracker".to_owned(), release("tracker-user"), "--load".to_owned(), release("tracker-load")]
}

/// As its own documentation says, without io_uring: that way it takes any kernel, and was not slower here.
fn install_aquatic() -> Result<()> {
    let install = ["install", "aquatic_udp", "--version", "0.9.0", "--no-default-features", "--locked"];
    Step::new("cargo").clean().args(install).run()
}
