//! `cargo xtask lint`: formatting and clippy with warnings denied, for all workspaces.
//!
//! The BPF program is linted for its own target by its own toolchain: for the host it would not even compile, and
//! another compiler's opinion is not the one that counts.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};

use crate::build_ebpf::{self, build_step, ready_toolchain};
use crate::run::cargo;
use crate::step::Step;
use crate::{paths, setup};

/// Runs all checks, also after one has failed: one run shows everything.
pub(crate) fn run() -> Result<()> {
    setup::run(&setup::Flags { tests: true, ..setup::Flags::default() })?;
    // tracker-user embeds the object, so there must be one before it can be looked at.
    build_ebpf::run(&build_ebpf::Flags::default())?;

    let mut checks = vec![cargo().args(["fmt", "--all", "--check"])];
    for workspace in workspaces_beside()? {
        checks.push(Step::new("cargo").args(["fmt", "--check"]).dir(&workspace));
    }
    let deny = ["--", "--deny", "warnings"];
    let clippy = |step: Step| step.args(["--locked"]).args(deny);
    checks.push(clippy(cargo().args(["clippy", "--workspace", "--all-targets"])));
    let sockets_only = ["clippy", "--package", "tracker-user", "--no-default-features", "--all-targets"];
    checks.push(clippy(cargo().args(sockets_only)));
    let with_log = ["clippy", "--package", "tracker-user", "--features", "debug", "--all-targets"];
    checks.push(clippy(cargo().args(with_log)));
    let toolchain = ready_toolchain()?;
    checks.push(clippy(build_step(toolchain, "clippy").args(["--release", "--workspace"])));
    checks.push(clippy(build_step(toolchain, "clippy").args(["--release", "--all-features"])));

    let failed: Vec<String> =
        checks.iter().filter_map(|check| check.run().err()).map(|error| error.to_string()).collect();
    ensure!(failed.is_empty(), "{} of {} checks failed: {}", failed.len(), checks.len(), failed.join("; "));
    println!("lint: all {} checks passed", checks.len());
    Ok(())
}

/// Crates that are workspaces of their own because they need another compiler: the BPF program, fuzz targets.
fn workspaces_beside() -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(paths::workspace()).context("cannot list the workspace")? {
        let directory = entry?.path();
        let manifest = fs::read_to_string(directory.join("Cargo.toml")).unwrap_or_default();
        if manifest.lines().any(|line| line.trim() == "[workspace]") {
            found.push(directory);
        }
    }
    Ok(found)
}
