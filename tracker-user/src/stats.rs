//! What `map stats` shows, as a table for people and as JSON.
//!
//! Filled by the main loop of `daemon`. Counters are named like their verdicts; in the kernel they begin with the attachment, in the
//! sockets with the process. Tests are below.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

use serde::{Deserialize, Serialize};
use tracker_common::counters::Counters;
use tracker_common::verdict::{Class, Verdict};

use crate::config::AccessMode;

/// Statistics of a running tracker.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Stats {
    /// Seconds since its start.
    pub uptime_s: u64,
    /// What became of each interface that was asked for.
    pub interfaces: Vec<InterfaceMode>,
    /// Packets by verdict in the XDP program, all CPUs together; empty without one.
    pub kernel: BTreeMap<String, u64>,
    /// Packets by verdict in the socket workers.
    pub sockets: BTreeMap<String, u64>,
    /// Answers that the kernel refused to send for a socket worker.
    pub answers_refused: u64,
    /// What became of HTTP's requests, connections and TLS handshakes, all workers together; empty without HTTP.
    pub http: BTreeMap<String, u64>,
    /// What became of WebTorrent's messages and connections, all workers together, and its swarms in numbers; empty without it.
    pub webtorrent: BTreeMap<String, u64>,
    /// The swarm table in numbers, and its events: how many came which way, how full the program's ring is, and how many were lost
    /// because a queue to the writer was full. (A full ring loses nothing: those packets are counted as `pass_event_ring`.)
    pub swarm: BTreeMap<String, u64>,
    /// The access list.
    pub access_list: AccessList,
    /// Networks in the block list.
    pub blocked_networks: u64,
}

/// How an interface is served.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct InterfaceMode {
    /// Its name.
    pub name: String,
    /// "native", "generic" or "off".
    pub mode: String,
    /// Why it isn't better.
    pub reason: Option<String>,
}

impl Display for InterfaceMode {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        write!(out, "{} {}", self.name, self.mode)?;
        match &self.reason {
            // One interface a line, whatever the kernel has to say.
            Some(reason) => write!(out, " ({})", reason.replace('\n', " ")),
            None => Ok(()),
        }
    }
}

/// The access list in short.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AccessList {
    /// What it means.
    pub mode: AccessMode,
    /// How many torrents are listed.
    pub torrents: u64,
}

impl Default for AccessList {
    fn default() -> Self {
        Self { mode: AccessMode::Off, torrents: 0 }
    }
}

/// Counters by the names of their verdicts.
pub fn by_name(counters: &Counters) -> BTreeMap<String, u64> {
    Verdict::ALL.iter().map(|verdict| (verdict.name().to_owned(), counters.of(*verdict))).collect()
}

impl Display for Stats {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let (minutes, seconds) = (self.uptime_s / 60, self.uptime_s % 60);
        writeln!(out, "up {} h {} min {seconds} s", minutes / 60, minutes % 60)?;
        for interface in &self.interfaces {
            writeln!(out, "xdp {interface}")?;
        }
        writeln!(out, "\n{:<26}{:>20}{:>20}", "verdict", "kernel", "sockets")?;
        for (class, title) in
            [(Class::Answer, "answered"), (Class::Pass, "left to the sockets"), (Class::Drop, "dropped")]
        {
            writeln!(out, "{title}")?;
            for verdict in Verdict::ALL.iter().filter(|verdict| verdict.class() == class) {
                let count = |counters: &BTreeMap<String, u64>| match counters.get(verdict.name()) {
                    Some(count) => count.to_string(),
                    None => "-".to_owned(),
                };
                let sockets = if class == Class::Pass { String::new() } else { count(&self.sockets) };
                writeln!(out, "  {:<24}{:>20}{:>20}", verdict.name(), count(&self.kernel), sockets)?;
            }
        }
        for (title, numbers) in
            [("http", &self.http), ("webtorrent", &self.webtorrent), ("swarm table", &self.swarm)]
        {
            if !numbers.is_empty() {
                writeln!(out, "\n{title}")?;
            }
            for (name, number) in numbers {
                writeln!(out, "  {name:<34}{number:>10}")?;
            }
        }
        writeln!(out)?;
        writeln!(out, "{:<26}{:>20}", "answers not sent", self.answers_refused)?;
        writeln!(
            out,
            "{:<26}{:>20}   mode {}",
            "access list", self.access_list.torrents, self.access_list.mode
        )?;
        write!(out, "{:<26}{:>20}", "blocked networks", self.blocked_networks)
    }
}

#[cfg(test)]
mod tests {
    use tracker_common::counters::IpVersion;

    use super::*;

    #[test]
    fn table_has_every_verdict_once() {
        let mut counters = Counters::ZERO;
        counters.count(IpVersion::V6, Verdict::Connect);
        let stats =
            Stats { kernel: by_name(&counters), sockets: by_name(&Counters::ZERO), ..Stats::default() };
        let table = stats.to_string();
        for verdict in Verdict::ALL {
            let lines =
                table.lines().filter(|line| line.split_whitespace().next() == Some(verdict.name())).count();
            assert_eq!(lines, 1, "{} in\n{table}", verdict.name());
        }
        assert!(table.lines().any(|line| line.split_whitespace().eq(["connect", "1", "0"])), "{table}");
    }

    #[test]
    fn json_reads_back() {
        let stats = Stats { kernel: by_name(&Counters::ZERO), uptime_s: 5, ..Stats::default() };
        let json = serde_json::to_string(&stats).expect("it is data");
        assert_eq!(serde_json::from_str::<Stats>(&json).expect("it is its own"), stats);
    }
}
