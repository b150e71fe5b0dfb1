//! `cargo xtask setup`: what a machine lacks to build and test the tracker, installed step by step.
//!
//! [`facts`] looks at the machine, [`plan`] decides (a pure function, tested there on machines that don't exist), and this
//! runs what was decided. Each command is shown before it runs; where it can't run (not root, not Debian) all of
//! them are shown instead.

mod facts;
mod node_modules;
mod plan;

use anyhow::{Result, bail};
use clap::Args;

use facts::Facts;
use plan::Plan;

/// Flags of `setup`.
#[derive(Args, Default)]
pub(crate) struct Flags {
    /// Also what the tests run: real BitTorrent clients, a browser, npm packages, a reverse proxy, network tools, the linter of the BPF compiler
    #[arg(long)]
    pub(crate) tests: bool,
    /// Only show what would run
    #[arg(long)]
    pub(crate) dry_run: bool,
}

pub(crate) fn run(flags: &Flags) -> Result<()> {
    let facts = Facts::of_this_machine();
    match plan::plan(&facts, flags.tests) {
        Plan::Complete => {
            println!("setup: everything is there");
            Ok(())
        }
        Plan::Run(steps) => {
            for step in &steps {
                if flags.dry_run { println!("{step}") } else { step.run()? }
            }
            if flags.dry_run {
                return Ok(());
            }
            // Packages may have installed without giving what they were wanted for (another release of the distribution).
            match plan::plan(&Facts::of_this_machine(), flags.tests) {
                Plan::Complete => {
                    println!("setup: everything is there");
                    Ok(())
                }
                Plan::Run(missing) => {
                    let missing: Vec<String> = missing.iter().map(ToString::to_string).collect();
                    bail!("installed, but this is still missing: {}", missing.join("; "))
                }
                Plan::Manual { reason, .. } => bail!("{reason}"),
            }
        }
        Plan::Manual { reason, commands } => {
            println!("# {reason}; these commands do it:");
            for command in &commands {
                println!("{command}");
            }
            if flags.dry_run { Ok(()) } else { bail!("{reason}; run the commands above, then this again") }
        }
    }
}
