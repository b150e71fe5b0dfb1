//! `cargo xtask lint`: formatting and clippy with warnings denied, for all workspaces.
//!
//! The BPF program is linted for its own target by its own toolchain: for the host it would not even compile, and
//! another compiler's opinion is not the one that counts.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::build_ebpf::{self, build_step, ready_toolchain};
use crate::run::cargo;
use crate::step::Step;
use crate::{paths, setup};

pub(crate) fn run() -> Result<()> {
    setup::run(&setup::Flags { tests: true, ..setup::Flags::default() })?;
    cargo().args(["fmt", "--all", "--check"]).run()?;
    for workspace in workspaces_beside()? {
        Step::new("cargo").args(["fmt", "--check"]).dir(&workspace).run()?;
    }

    // tracker-user embeds the object, so there must be one before it can be looked at.
    build_ebpf::run(&build_ebpf::Flags::default())?;
    let deny = ["--", "--deny", "warnings"];
    cargo().args(["clippy", "--workspace", "--all-targets", "--locked"]).args(deny).run()?;
    cargo()
        .args(["clippy", "--package", "tracker-user", "--no-default-features", "--all-targets", "--locked"])
        .args(deny)
        .run()?;
    for features in [None, Some("--all-features")] {
        build_step(ready_toolchain()?, "clippy")
            .args(["--release", "--locked"])
            .args(features)
            .args(deny)
            .run()?;
    }
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
