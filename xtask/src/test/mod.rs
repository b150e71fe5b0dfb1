//! `cargo xtask test`: everything that can be tested here, and a count of what could not.
//!
//! Tests that need root, BPF or a real client say so and write one line to the file that TRACKER_SKIP_LOG names
//! when they are skipped; with `CI=true` a skip is a failure. Then the instructions of the hot paths are compared with those that were written
//! down. Last come the rows of docs/protocol.md that no test names.
//! The very last line is `N passed, N failed, N skipped`.

mod rows;
mod tally;

use std::fs;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::process::{ExitCode, Stdio};

use anyhow::{Context as _, Result};
use clap::Args;

use crate::run::cargo;
use crate::step::Step;
use crate::strict::is_strict;
use crate::{bench, build_ebpf, paths, setup};
use tally::Tally;

/// Flags of `test`.
#[derive(Args)]
pub(crate) struct Flags {
    /// Arguments for `cargo test` after `--`: names of tests, `--nocapture`, …
    #[arg(last = true, value_name = "FILTER")]
    filter: Vec<String>,
}

/// Runs everything; whatever happens, the last line is the count.
pub(crate) fn run(flags: &Flags) -> ExitCode {
    let tally = run_all(flags).unwrap_or_else(|error| {
        eprintln!("cargo xtask test: {error:#}");
        Tally { failed: 1, ..Tally::default() }
    });
    println!("{tally}");
    if tally.failed > 0 || (is_strict() && tally.skipped > 0) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn run_all(flags: &Flags) -> Result<Tally> {
    setup::run(&setup::Flags { tests: true, ..setup::Flags::default() })?;
    let skip_log = paths::target().join("skipped-tests.txt");
    fs::create_dir_all(paths::target()).context("cannot create target")?;
    fs::write(&skip_log, "").with_context(|| format!("cannot write {}", skip_log.display()))?;
    let mut tally = Tally::default();
    let mut test = |arguments: &[&str]| {
        let step = cargo()
            .env("TRACKER_SKIP_LOG", &skip_log)
            .args(["test", "--locked", "--no-fail-fast"])
            .args(arguments)
            .arg("--")
            .args(&flags.filter);
        count(&step, &mut tally)
    };

    // The variant that logs goes through the verifier too. It comes first, so that the usual object is the one that stays.
    build_ebpf::run(&build_ebpf::Flags::with_features("debug"))?;
    test(&["--package", "tracker-user", "--features", "debug", "--test", "xdp_program"])?;
    build_ebpf::run(&build_ebpf::Flags::default())?;
    cargo().args(["build", "--locked", "--package", "tracker-user", "--no-default-features"]).run()?;
    test(&["--workspace"])?;

    if flags.filter.is_empty() {
        match bench::check_instructions() {
            Ok(()) => tally.passed += 1,
            Err(error) => {
                println!("instructions a request: {error:#}");
                tally.failed += 1;
            }
        }
    }
    for skip in fs::read_to_string(&skip_log).unwrap_or_default().lines() {
        println!("{skip}");
        tally.skip();
    }
    let untested = rows::untested(paths::workspace())?;
    if !untested.is_empty() {
        println!("docs/protocol.md has rows that no test names: {}", untested.join(", "));
        tally.failed += untested.len();
    }
    Ok(tally)
}

/// Runs `cargo test`, shows what it prints and counts its tests.
fn count(step: &Step, tally: &mut Tally) -> Result<()> {
    eprintln!("$ {step}");
    let failed_before = tally.failed;
    let mut child = step.command().stdout(Stdio::piped()).spawn().context("cannot start cargo test")?;
    let output = child.stdout.take().expect("stdout was piped above");
    for line in BufReader::new(output).split(b'\n') {
        let line = line.context("cannot read from cargo test")?;
        tally.line(&String::from_utf8_lossy(&line));
        let mut stdout = io::stdout().lock();
        stdout.write_all(&line).and_then(|()| stdout.write_all(b"\n")).context("cannot write")?;
    }
    let status = child.wait().context("cannot wait for cargo test")?;
    if !status.success() && tally.failed == failed_before {
        // It did not compile, or a test program died before it could say how it went.
        tally.failed += 1;
    }
    Ok(())
}
