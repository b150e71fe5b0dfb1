//! `tracker-load http mix`: announces and scrapes together, to swarms of realistic sizes, in a closed or an open loop, with answers looked at
//! closely: what [`crate::mix`] is for UDP.
//!
//! - [`configuration`]: what is asked for. [`client`]: a connection and its request. [`drive`]: the loop over all. [`body`]: a bencoded answer
//!   taken apart; [`verdict`]: what is wrong with it.
//!
//! In a closed loop every connection has a request under way. In an open one (`--rate`) requests are due at fixed times and wait for a free
//! connection; their latency counts from when they were due.

pub(crate) mod body;
mod client;
mod configuration;
mod drive;
#[cfg(test)]
mod tests;
mod verdict;

use anyhow::Result;

pub(crate) use configuration::Flags;

use crate::mix::report;

/// Runs it, and reports; an error when an answer was wrong.
pub(crate) fn run(flags: &Flags) -> Result<()> {
    let configuration = flags.configuration()?;
    if flags.print {
        print!("{}", configuration.to_text()?);
        return Ok(());
    }
    let outcome = drive::run(&configuration)?;
    report::finish(&configuration.common(), &configuration, &outcome, flags.json, flags.plot.as_deref())
}
