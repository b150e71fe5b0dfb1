//! tracker-load, told what to do, and what it reports.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use super::workload::Workload;
use crate::load::{Held, run};

/// Who announces what.
#[derive(Clone, Copy)]
pub(crate) struct Population {
    pub(crate) torrents: u32,
    pub(crate) peers: u32,
    pub(crate) want: u32,
}

impl Population {
    fn flags(self) -> Vec<String> {
        let flags = [("--torrents", self.torrents), ("--peers", self.peers), ("--want", self.want)];
        let flags = flags.iter().flat_map(|(name, value)| [(*name).to_owned(), value.to_string()]);
        flags.chain(["--leechers".to_owned(), "--json".to_owned()]).collect()
    }
}

/// The info hash of a torrent of tracker-load's population: SplitMix64 from the torrent's number.
pub(crate) fn info_hash(torrent: u32) -> [u8; 20] {
    let mut state = u64::from(torrent);
    let mut info_hash = [0; 20];
    for chunk in info_hash.chunks_mut(8) {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        chunk.copy_from_slice(&z.to_le_bytes()[..chunk.len()]);
    }
    info_hash
}

/// All of them, a line each in hexadecimal.
pub(crate) fn info_hashes(population: Population) -> String {
    let mut text = String::with_capacity(population.torrents as usize * 41);
    for torrent in 0..population.torrents {
        info_hash(torrent).iter().for_each(|byte| {
            text.extend(
                [byte >> 4, byte & 15].map(|digit| char::from(b"0123456789abcdef"[usize::from(digit)])),
            );
        });
        text.push('\n');
    }
    text
}

/// Everybody announces once; tracker-load measures nothing before that.
pub(crate) fn fill_over_udp(load: &Path, tracker: SocketAddr, population: Population) -> Result<()> {
    let mut command = Command::new(load);
    command.args(["udp", "announce", "--target", &tracker.to_string(), "--seconds", "0", "--warmup", "0"]);
    // Whom they get doesn't matter yet.
    run(command.args(Population { want: 0, ..population }.flags())).map(drop)
}

pub(crate) fn fill_over_http(
    load: &Path,
    tracker: SocketAddr,
    tls: bool,
    population: Population,
) -> Result<()> {
    let mut command = Command::new(load);
    command.args(["http", "announce", "--target", &tracker.to_string(), "--seconds", "0", "--warmup", "0"]);
    if tls {
        command.args(["--tls", "full"]);
    }
    run(command.args(population.flags())).map(drop)
}

/// One round.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Round {
    pub(crate) answers: f64,
    pub(crate) answers_per_s: f64,
    pub(crate) seconds: f64,
    pub(crate) connections: f64,
    pub(crate) resumed: f64,
    pub(crate) bytes: f64,
    short: f64,
    failures: f64,
    wrong: f64,
    broken: f64,
    lost: f64,
    latency_us: Latency,
    cpu: Vec<Cpu>,
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
    fn check(self, workload: Workload) -> Result<Self> {
        ensure!(self.answers > 0.0, "no answer at all: {self:?}");
        let bad = self.failures + self.wrong + self.short;
        ensure!(bad == 0.0, "answers that are none, or have too few peers: {self:?}");
        // A connection that breaks now and then is the tracker's right; many are a tracker that isn't measured.
        ensure!(self.broken + self.lost <= self.answers / 1000.0, "too many broken connections: {self:?}");
        ensure!(workload != Workload::TlsFull || self.resumed == 0.0, "resumed handshakes: {self:?}");
        ensure!(self.cpu.len() == 1 && self.cpu[0].ns > 0.0, "no CPU time: {self:?}");
        Ok(self)
    }

    /// CPU time of the server for an answer.
    pub(crate) fn us(&self) -> f64 {
        self.cpu[0].ns / 1000.0 / self.answers
    }

    /// Thousand answers for a second of its CPU time.
    pub(crate) fn per_cpu_second(&self) -> f64 {
        1000.0 / self.us()
    }

    /// How many CPUs it had work for.
    pub(crate) fn busy(&self) -> f64 {
        self.cpu[0].ns / 1e9 / self.seconds
    }

    pub(crate) fn p50_us(&self) -> f64 {
        self.latency_us.p50
    }

    pub(crate) fn p99_us(&self) -> f64 {
        self.latency_us.p99
    }
}

/// 64 connections for some time.
pub(crate) fn measure(
    load: &Path,
    workload: Workload,
    target: SocketAddr,
    server: u32,
    cpus: &str,
    seconds: f64,
    population: Population,
) -> Result<Round> {
    let mut command = Command::new("taskset");
    command.args(["-c", cpus]).arg(load).args(["http", "announce", "--announced", "--warmup", "0.3"]);
    command.args(["--target", &target.to_string(), "--seconds", &seconds.to_string()]);
    command.args(["--connections", "64", "--cpu-of", &server.to_string()]);
    command.args(workload.flags()).args(population.flags());
    let report: Round = serde_json::from_value(run(&mut command)?).context("tracker-load's report")?;
    report.check(workload)
}

/// Opens connections that do nothing, after what they send at first.
pub(crate) fn hold(
    load: &Path,
    target: SocketAddr,
    tls: bool,
    sends: &str,
    connections: u32,
    server: u32,
    population: Population,
) -> Result<Held> {
    let mut command = Command::new("taskset");
    command.args(["-c", "0"]).arg(load).args(["http", "idle", "--target", &target.to_string()]);
    command.args(["--sends", sends, "--connections", &connections.to_string()]);
    command.args(["--memory-of", &server.to_string()]).args(population.flags());
    if tls {
        command.arg("--tls");
    }
    let report = run(&mut command)?;
    ensure!(report["closed"] == 0, "the server has closed connections meanwhile: {report}");
    serde_json::from_value(report["memory"].clone()).context("tracker-load's report")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn report() -> Value {
        json!({
            "answers": 1000, "answers_per_s": 500.0, "seconds": 2.0, "connections": 10, "resumed": 0, "bytes": 300_000,
            "short": 0, "failures": 0, "wrong": 0, "broken": 0, "lost": 0,
            "latency_us": {"p50": 60.0, "p99": 130.0}, "cpu": [{"ns": 20_000_000}],
        })
    }

    fn check(field: &str, value: Value, workload: Workload) -> Result<Round> {
        let mut report = report();
        report[field] = value;
        serde_json::from_value::<Round>(report).unwrap().check(workload)
    }

    #[test]
    fn cost_is_cpu_time_over_answers() {
        let round = check("lost", json!(1), Workload::KeepAlive).unwrap();
        assert_eq!((round.us(), round.per_cpu_second(), round.busy()), (20.0, 50.0, 0.01));
    }

    #[test]
    fn round_with_bad_answers_is_refused() {
        for (field, value) in
            [("answers", 0), ("short", 1), ("failures", 1), ("wrong", 1), ("lost", 2), ("broken", 2)]
        {
            assert!(check(field, json!(value), Workload::Close).is_err(), "{field}");
        }
        assert!(check("resumed", json!(1), Workload::TlsFull).is_err());
        assert!(check("resumed", json!(1), Workload::TlsResumed).is_ok());
    }

    #[test]
    fn info_hashes_are_those_of_the_generator() {
        // SplitMix64's first number from 0.
        assert_eq!(info_hash(0)[..8], 0xe220_a839_7b1d_cdaf_u64.to_le_bytes());
        let two = info_hashes(Population { torrents: 2, peers: 1, want: 0 });
        assert_eq!(two.lines().map(str::len).collect::<Vec<_>>(), [40, 40]);
    }
}
