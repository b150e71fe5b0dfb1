//! `tracker-load udp mix`: connects, announces and scrapes together, as a public tracker gets them, in a closed or an open loop.
//!
//! - [`configuration`]: what is asked for, by flags or a file. [`client`]: a socket, its requests and the answers that belong to them.
//!   [`drive`]: when the next request is due. [`verdict`]: what is wrong with an answer. [`outcome`]: what came of it; [`report`]: for people and
//!   programs.
//!
//! In a **closed loop** a window of requests is in flight, and the next one is sent when an answer has come: it finds a tracker's speed. In an
//! **open loop** (`--rate`) requests are due at fixed times, whatever the tracker does, and an answer's latency counts from when its request
//! was due: one that could not be sent in time has waited, too (no coordinated omission).
//!
//! Tested against reference trackers with known faults in [`tests`].

mod client;
mod configuration;
mod drive;
mod outcome;
mod report;
#[cfg(test)]
mod tests;
mod verdict;

use anyhow::{Result, bail};

use configuration::Configuration;
pub(crate) use configuration::Flags;

/// Runs it, and reports; an error when an answer was wrong.
pub(crate) fn run(flags: &Flags) -> Result<()> {
    let configuration = flags.configuration()?;
    if flags.print {
        print!("{}", configuration.to_text()?);
        return Ok(());
    }
    let outcome = drive::run(&configuration)?;
    report::print(&configuration, &outcome, flags.json);
    let faults = outcome.faults.total();
    if faults > 0 {
        bail!("{faults} answers were wrong");
    }
    Ok(())
}

/// How long a request may be without an answer before it is lost.
const LOST_AFTER: std::time::Duration = std::time::Duration::from_secs(1);

impl Configuration {
    /// Requests are due at fixed times.
    fn is_open(&self) -> bool {
        self.rate > 0.0
    }
}
