//! `cargo xtask documents`: what the command line and the configuration say of themselves.
//!
//! docs/configuration.md is part of the repository, and a test compares it; manual pages and completions are for those who make packages.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::paths;
use crate::run::cargo;

/// Shells, and what their files of completions are called.
const COMPLETIONS: [(&str, &str); 3] =
    [("bash", "tracker-user"), ("zsh", "_tracker-user"), ("fish", "tracker-user.fish")];

pub(crate) fn run() -> Result<()> {
    let directory = paths::target().join("documents");
    let (man, completions) = (directory.join("man"), directory.join("completions"));
    for directory in [&man, &completions] {
        // Pages of verbs that are gone don't stay.
        let _none = fs::remove_dir_all(directory);
        fs::create_dir_all(directory).with_context(|| format!("cannot create {}", directory.display()))?;
    }
    // Without XDP: the same words, and no BPF toolchain.
    cargo().args(["build", "--locked", "--package", "tracker-user", "--no-default-features"]).run()?;
    write(&paths::workspace().join("docs/configuration.md"), &["configuration"])?;
    generate().arg("man").arg(&man).run()?;
    for (shell, name) in COMPLETIONS {
        write(&completions.join(name), &["completions", shell])?;
    }
    println!("{}: manual pages and completions", directory.display());
    Ok(())
}

fn generate() -> crate::step::Step {
    let binary = paths::cargo_target().join("debug/tracker-user");
    crate::step::Step::new(binary.to_string_lossy()).arg("generate")
}

fn write(file: &Path, words: &[&str]) -> Result<()> {
    let step = generate().args(words);
    println!("$ {step} > {}", file.display());
    let output = step.command().output().with_context(|| step.to_string())?;
    anyhow::ensure!(output.status.success(), "{step}: {}", String::from_utf8_lossy(&output.stderr));
    fs::write(file, output.stdout).with_context(|| format!("cannot write {}", file.display()))
}
