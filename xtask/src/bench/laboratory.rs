//! `bench udp` and `stress`: builds everything, and leaves the rest to tracker-bench.

use std::ffi::OsString;

use anyhow::Result;
use clap::Args;

use crate::run::{build_daemon, cargo};
use crate::step::Step;
use crate::{build_ebpf, paths};

/// Flags that are handed on: `cargo xtask bench udp --help` shows tracker-bench's.
#[derive(Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Flags {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "FLAGS")]
    flags: Vec<OsString>,
}

pub(crate) fn run(command: &str, flags: &Flags) -> Result<()> {
    build_ebpf::run(&build_ebpf::Flags::with_lab())?;
    build_daemon()?;
    let packages = ["--package", "tracker-bench", "--package", "tracker-load"];
    cargo().args(["build", "--release", "--locked"]).args(packages).run()?;
    let programs = paths::cargo_target().join("release");
    let named = |flag: &str| flags.flags.iter().any(|given| given.to_string_lossy().starts_with(flag));
    let mut step = Step::new(programs.join("tracker-bench").to_string_lossy()).arg(command);
    step = step.arg("--lab").arg(paths::lab_object()).args(&flags.flags);
    if command == "udp" && !named("--only") && !named("--output") {
        // The whole table is what the documentation shows; a part of it isn't.
        step = step.arg("--output").arg(paths::workspace().join("docs/benchmarks"));
    }
    step.run()
}
