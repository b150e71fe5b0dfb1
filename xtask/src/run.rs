//! `cargo xtask run`: from a clone to a tracker that answers on `lo`.
//!
//! Everything of a trial run lies under target/run and in a pin directory of its own, so that nothing is written to
//! /var or /run and a tracker that is installed on the same machine is left alone.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use clap::Args;

use crate::step::Step;
use crate::{build_ebpf, paths, setup};

/// Flags of `run`.
#[derive(Args)]
pub(crate) struct Flags {
    /// Arguments for tracker-user instead of `--iface lo`
    #[arg(last = true, value_name = "ARGS")]
    arguments: Vec<String>,
}

pub(crate) fn run(flags: &Flags) -> Result<()> {
    setup::run(&setup::Flags::default())?;
    build_ebpf::run(&build_ebpf::Flags::default())?;
    build_daemon()?;

    let configuration = write_configuration(&paths::target().join("run"))?;
    let daemon = paths::cargo_target().join("release/tracker-user");
    let start = Step::new(daemon.to_string_lossy()).arg("-c").arg(&configuration);
    let ask = start.clone();
    let start = match flags.arguments.as_slice() {
        [] => start.args(["--iface", "lo"]),
        arguments => start.args(arguments),
    };
    println!("while it runs, from another terminal:");
    println!("  {}", ask.clone().args(["map", "stats"]));
    println!("  {}", ask.args(["map", "access", "list"]));
    println!("$ {start}");
    // The daemon takes the place of this process: signals reach it directly and its exit status is ours.
    Err(start.command().exec()).with_context(|| format!("cannot start {}", daemon.display()))
}

/// The daemon with the XDP program in it, optimised.
pub(crate) fn build_daemon() -> Result<()> {
    cargo().args(["build", "--release", "--locked", "--package", "tracker-user"]).run()
}

/// The cargo that runs this, on the workspace.
pub(crate) fn cargo() -> Step {
    Step::new("cargo").dir(paths::workspace())
}

fn write_configuration(directory: &Path) -> Result<std::path::PathBuf> {
    fs::create_dir_all(directory).with_context(|| format!("cannot create {}", directory.display()))?;
    let file = directory.join("tracker.toml");
    fs::write(&file, configuration(directory)).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(file)
}

fn configuration(directory: &Path) -> String {
    let directory = directory.display();
    format!(
        "# Written by `cargo xtask run` at every start; `tracker-user config print` shows all keys.\n\
         state_directory = \"{directory}/state\"\n\n\
         [xdp]\n\
         pin_directory = \"/sys/fs/bpf/tracker-trial\"\n\n\
         [control]\n\
         socket = \"{directory}/control.sock\"\n"
    )
}
