//! What tracker-load is told to do, and what it reports.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use serde_json::Value;

use super::servers::Server;
use super::workload::{OFFERS, Workload};
use crate::load::{Held, run};

/// One round.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Round {
    /// All that the server has sent.
    pub(crate) messages: f64,
    pub(crate) announces: f64,
    pub(crate) offers: f64,
    pub(crate) answers: f64,
    pub(crate) acknowledgements: f64,
    pub(crate) bytes: f64,
    pub(crate) seconds: f64,
    pub(crate) memory: Held,
    sent: Sent,
    failures: f64,
    wrong: f64,
    refused: f64,
    broken: f64,
    pub(crate) lost: f64,
    /// The first of these, in words.
    trouble: Value,
    latency_us: Latency,
    cpu: Vec<Cpu>,
}

#[derive(Clone, Debug, Deserialize)]
struct Sent {
    offers: f64,
}

#[derive(Clone, Debug, Deserialize)]
struct Latency {
    p50: f64,
    p99: f64,
}

#[derive(Clone, Debug, Deserialize)]
struct Cpu {
    ns: f64,
}

impl Round {
    fn check(self) -> Result<Self> {
        ensure!(self.announces > 0.0, "no answer at all: {self:?}");
        let trouble = &self.trouble;
        ensure!(self.wrong == 0.0, "messages that aren't what they should be, at first {trouble}: {self:?}");
        // A server may lose a connection now and then; one that loses many isn't measured. aquatic_ws leaves announces without an
        // answer when many come, which the row tells of.
        ensure!(self.lost <= self.announces, "too many announces without an answer: {self:?}");
        let bad = self.failures + self.refused + self.broken;
        ensure!(bad <= self.announces / 100.0, "too many failures, at first {trouble}: {self:?}");
        ensure!(self.offers >= self.sent.offers / 2.0, "too few offers are forwarded: {self:?}");
        ensure!(self.cpu.len() == 1 && self.cpu[0].ns > 0.0, "no CPU time: {self:?}");
        Ok(self)
    }

    /// CPU time of the server for an announce and all that follows from it.
    pub(crate) fn us_per_announce(&self) -> f64 {
        self.cpu[0].ns / 1000.0 / self.announces
    }

    /// Thousand messages out for a second of its CPU time.
    pub(crate) fn per_cpu_second(&self) -> f64 {
        self.messages / self.cpu[0].ns * 1e6
    }

    /// How many CPUs it had work for.
    pub(crate) fn busy(&self) -> f64 {
        self.cpu[0].ns / 1e9 / self.seconds
    }

    pub(crate) fn p50_ms(&self) -> f64 {
        self.latency_us.p50 / 1000.0
    }

    pub(crate) fn p99_ms(&self) -> f64 {
        self.latency_us.p99 / 1000.0
    }
}

/// A crowd for some time.
pub(crate) fn measure(load: &Path, workload: Workload, server: &Server, seconds: f64) -> Result<Round> {
    let pid = server.pid().to_string();
    let mut command = command(load, server.who.generator_cpus(), "announce", server.address(workload.tls));
    command.args(["--cpu-of", &pid, "--memory-of", &pid]).args(workload.flags(seconds));
    let report: Round = serde_json::from_value(run(&mut command)?).context("tracker-load's report")?;
    report.check()
}

/// 64 connections with TLS announce so often, each time a random torrent of so many.
pub(crate) fn last(load: &Path, server: &Server, torrents: u32, announces: u32) -> Result<Held> {
    let pid = server.pid().to_string();
    let mut command = command(load, server.who.generator_cpus(), "announce", server.address(true));
    command.args(["--cpu-of", &pid, "--memory-of", &pid, "--tls", "--warmup", "0", "--seconds", "300"]);
    command.args(["--torrents", &torrents.to_string(), "--announces", &announces.to_string()]);
    let report: Round = serde_json::from_value(run(&mut command)?).context("tracker-load's report")?;
    Ok(report.check()?.memory)
}

/// Opens connections that announce once and do nothing more.
pub(crate) fn hold(load: &Path, tls: bool, server: &Server, connections: u32) -> Result<Held> {
    let mut command = command(load, server.who.generator_cpus(), "idle", server.address(tls));
    command.args(["--connections", &connections.to_string(), "--memory-of", &server.pid().to_string()]);
    if tls {
        command.arg("--tls");
    }
    let report = run(&mut command)?;
    ensure!(report["closed"] == 0, "the server has closed connections meanwhile: {report}");
    ensure!(report["wrong"] == 0, "messages that aren't what they should be: {report}");
    serde_json::from_value(report["memory"].clone()).context("tracker-load's report")
}

fn command(load: &Path, cpus: &str, what: &str, target: SocketAddr) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", cpus]).arg(load).args(["ws", what, "--target", &target.to_string()]);
    command.args(["--offers", &OFFERS.to_string(), "--leechers", "--json"]);
    command
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use serde_json::json;

    /// A round in which a message took so long.
    pub(crate) fn report(ns_per_message: u64) -> Value {
        let memory = json!({"resident": 10e6, "proportional": 9e6, "anonymous": 8e6});
        json!({
            "messages": 1250, "announces": 100, "offers": 1000, "answers": 150, "acknowledgements": 0, "bytes": 700_000,
            "seconds": 2.0, "sent": {"announces": 101, "offers": 1010, "answers": 151}, "failures": 0, "wrong": 0,
            "refused": 0, "broken": 0, "lost": 0, "trouble": null, "latency_us": {"p50": 1000.0, "p99": 2000.0},
            "cpu": [{"ns": 1250 * ns_per_message}], "memory": {"before": memory, "after": memory},
        })
    }

    fn check(field: &str, value: u64) -> Result<Round> {
        let mut report = report(4000);
        report[field] = value.into();
        serde_json::from_value::<Round>(report).unwrap().check()
    }

    #[test]
    fn cost_is_cpu_time_over_messages_and_announces() {
        let round = check("lost", 1).unwrap();
        assert_eq!((round.per_cpu_second(), round.us_per_announce(), round.busy()), (250.0, 50.0, 0.0025));
        assert_eq!((round.p50_ms(), round.p99_ms()), (1.0, 2.0));
    }

    #[test]
    fn round_with_bad_messages_is_refused() {
        for (field, value) in [
            ("announces", 0),
            ("wrong", 1),
            ("failures", 2),
            ("lost", 101),
            ("broken", 2),
            ("refused", 2),
            ("offers", 500),
        ] {
            assert!(check(field, value).is_err(), "{field}");
        }
    }
}
