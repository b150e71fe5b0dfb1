//! `cargo xtask bench …`: what an answer costs, measured on this machine.
//!
//! Figures are printed with the machine, the kernel and the mode, and written to target/bench as Markdown and JSON.

mod connect;
mod lab;
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
}

pub(crate) fn run(bench: &Bench) -> Result<()> {
    match bench {
        Bench::Connect(flags) => connect::run(flags),
    }
}
