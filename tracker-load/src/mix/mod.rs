//! `tracker-load udp mix`: connects, announces and scrapes together, as a public tracker gets them, in a closed or an open loop.
//!
//! - [`configuration`]: what is asked for, by flags or a file. [`client`]: its requests and the answers that belong to them; [`wire`]: a
//!   socket of its own, or frames past the network stack.
//!   [`pace`]: when the next request is due; [`drive`]: the loop over all sockets. [`verdict`]: what is wrong with an answer. [`outcome`]: what came of it; [`report`], [`plot`]: for people and
//!   programs. What is not UDP's own serves `http mix` and `ws mix`, too.
//!
//! In a **closed loop** a window of requests is in flight, and the next one is sent when an answer has come: it finds a tracker's speed. In an
//! **open loop** (`--rate`) requests are due at fixed times, whatever the tracker does, and an answer's latency counts from when its request
//! was due: one that could not be sent in time has waited, too (no coordinated omission).
//!
//! Tested against reference trackers with known faults in [`tests`].

mod client;
mod configuration;
mod drive;
pub(crate) mod outcome;
pub(crate) mod pace;
mod plot;
pub(crate) mod report;
#[cfg(test)]
mod tests;
pub(crate) mod verdict;
mod wire;

use anyhow::Result;

pub(crate) use configuration::Flags;

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

/// How long a request may be without an answer before it is lost.
const LOST_AFTER: std::time::Duration = std::time::Duration::from_secs(1);
