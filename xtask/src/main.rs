//! The project's tasks, as `cargo xtask <task>`: this file only dispatches, each task is a module.
//!
//! `cargo xtask --help` is the documentation of the workflow. Nothing here is part of the tracker itself.

#![forbid(unsafe_code)]

mod bench;
mod bpf_object;
mod bpf_stack;
mod build_ebpf;
mod documents;
mod lint;
mod old_kernel;
mod paths;
mod run;
mod setup;
mod step;
mod strict;
mod test;
#[cfg(test)]
mod tidy;
mod toolchain;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Tasks of this repository: from a fresh machine to a running, tested, measured tracker.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install what building the BPF program needs; says what it runs, and runs only what is missing
    Setup(setup::Flags),
    /// Build the XDP program into target/bpf/tracker-ebpf and check the object
    BuildEbpf(build_ebpf::Flags),
    /// Install what is missing, build everything and start a tracker on `lo`; Ctrl-C stops it
    Run(run::Flags),
    /// Install what is missing, build everything and run all tests; ends with the counts
    Test(test::Flags),
    /// Measure what an answer costs on this machine
    Bench(bench::Flagged),
    /// Let readers in the kernel and in user space check every answer while the writer churns
    Stress(bench::Flags),
    /// Boot Debian's kernel in QEMU, the oldest that is supported on Debian 12, and see whether it takes the whole program
    OldKernel(old_kernel::Flags),
    /// Write what is generated from the code: docs/configuration.md, and under target/documents manual pages and shell completions
    Documents,
    /// Check formatting and run clippy with warnings denied, for the BPF program too
    Lint,
}

fn main() -> ExitCode {
    let done = match Cli::parse().task {
        Task::Setup(flags) => setup::run(&flags),
        Task::BuildEbpf(flags) => build_ebpf::run(&flags).map(drop),
        Task::Run(flags) => run::run(&flags),
        Task::Test(flags) => return test::run(&flags),
        Task::Bench(bench) => bench::run(&bench),
        Task::Stress(flags) => bench::stress(&flags),
        Task::OldKernel(flags) => old_kernel::run(&flags),
        Task::Documents => documents::run(),
        Task::Lint => lint::run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cargo xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
