//! `cargo xtask bench …`: what an answer costs, measured on this machine.
//!
//! Figures are printed with the machine, the kernel and the mode, and written to target/bench as Markdown and JSON.

mod connect;
mod lab;
mod laboratory;
mod machine;
mod pass_program;
mod rounds;

use anyhow::Result;
use clap::Subcommand;

/// What to measure.
#[derive(Subcommand)]
pub(crate) enum Bench {
    /// CPU time per connect, answered by XDP and by sockets, side by side under the same load
    Connect(connect::Flags),
    /// What answers cost in the kernel, beside the floor and the reference; the writer, memory, a flood; into docs/benchmarks
    Udp(laboratory::Flags),
}

pub(crate) fn run(bench: &Bench) -> Result<()> {
    match bench {
        Bench::Connect(flags) => connect::run(flags),
        Bench::Udp(flags) => laboratory::run("udp", flags),
    }
}

pub(crate) use laboratory::Flags as StressFlags;

/// `cargo xtask stress`.
pub(crate) fn stress(flags: &StressFlags) -> Result<()> {
    laboratory::run("stress", flags)
}
