//! `cargo xtask lint`: formatting and clippy with warnings denied, for all workspaces.
//!
//! The BPF program is linted for its own target by its own toolchain: for the host it would not even compile, and
//! another compiler's opinion is not the one that counts.

use anyhow::Result;

use crate::build_ebpf::{self, build_step, ready_toolchain};
use crate::run::cargo;
use crate::step::Step;
use crate::{paths, setup};

pub(crate) fn run() -> Result<()> {
    setup::run(&setup::Flags { tests: true, ..setup::Flags::default() })?;
    cargo().args(["fmt", "--all", "--check"]).run()?;
    for other_workspace in ["tracker-ebpf", "fuzz"] {
        Step::new("cargo").args(["fmt", "--check"]).dir(&paths::workspace().join(other_workspace)).run()?;
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
