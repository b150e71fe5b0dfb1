//! One round: tracker-load's report, and what it says about the cost.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::places::{Net, output};
use super::trackers::{PORT, Who};
use super::workloads::Workload;

/// What a round came to.
pub(crate) struct Round {
    pub(crate) answers_per_s: f64,
    /// Peers an answer to an announce.
    pub(crate) peers: f64,
    pub(crate) lost: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    /// µs of CPU an answer: kernel threads, daemon.
    pub(crate) kernel_us: f64,
    pub(crate) daemon_us: f64,
}

impl Round {
    pub(crate) fn total_us(&self) -> f64 {
        self.kernel_us + self.daemon_us
    }

    /// Thousand answers a CPU second.
    pub(crate) fn per_cpu_second(&self) -> f64 {
        1000.0 / self.total_us()
    }

    /// Runs tracker-load on CPU 0 against a tracker whose kernel threads and process are given.
    pub(crate) fn measure(
        net: &Net,
        load: &Path,
        workload: Workload,
        who: Who,
        seconds: f64,
        kernel: &[u32],
        daemon: u32,
    ) -> Result<Self> {
        let mut command = net.client.command("taskset");
        command.args(["-c", "0"]).arg(load).args(workload.arguments());
        let target = format!("{}:{PORT}", net.tracker());
        command.args(["--json", "--target", &target, "--seconds", &seconds.to_string()]);
        command.args(["--warmup", "0.5", "--window", "256", "--sockets", "8"]);
        for process in kernel.iter().chain([&daemon]) {
            command.args(["--cpu-of", &process.to_string()]);
        }
        let report = serde_json::from_str(&output(command)?).context("tracker-load's report")?;
        Self::read(workload, who, &report)
    }

    fn read(workload: Workload, who: Who, report: &Value) -> Result<Self> {
        let number = |pointer: &str| {
            let value = report.pointer(pointer).and_then(Value::as_f64);
            value.with_context(|| format!("tracker-load's report has no {pointer}: {report}"))
        };
        let answers = number("/answers")?;
        ensure!(answers > 0.0, "no answer at all: {report}");
        let mixed = workload == Workload::Mix;
        let processes = if mixed { "processes" } else { "cpu" };
        let count = report[processes].as_array().map_or(0, Vec::len);
        ensure!(count > 0, "tracker-load's report has no {processes}: {report}");
        let us = |index: usize| {
            let ns = number(&format!("/{processes}/{index}/{}", if mixed { "cpu_ns" } else { "ns" }))?;
            Ok::<f64, anyhow::Error>(ns / 1000.0 / answers)
        };
        let kernel_us = (0..count - 1).map(us).sum::<Result<f64>>()?;
        let (peers, lost, latency) = if mixed {
            let kinds = ["connect", "announce", "scrape"];
            let lost: f64 =
                kinds.iter().map(|kind| number(&format!("/kinds/{kind}/lost"))).sum::<Result<f64>>()?;
            (number("/peers_per_answer")?, lost, "/kinds/announce/latency_us")
        } else {
            ensure!(number("/wrong")? == 0.0, "wrong answers: {report}");
            (number("/peers")? / answers, number("/lost")?, "/latency_us")
        };
        let round = Self {
            answers_per_s: number("/answers_per_s")?,
            peers,
            lost,
            p50_us: number(&format!("{latency}/p50"))?,
            p99_us: number(&format!("{latency}/p99"))?,
            kernel_us,
            daemon_us: us(count - 1)?,
        };
        // A connect that the program answers costs the daemon nothing; anything else means that it did not answer.
        let by_program =
            workload != Workload::Connect || who != Who::Xdp || round.daemon_us < round.kernel_us;
        ensure!(
            by_program,
            "the daemon worked though XDP was attached: the program passed the connects on ({report})"
        );
        Ok(round)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn report(receiving_ns: u64, daemon_ns: u64) -> Value {
        json!({
            "answers": 1000, "answers_per_s": 500_000.0, "lost": 1, "wrong": 0, "peers": 30_000,
            "latency_us": {"p50": 60.0, "p99": 130.0},
            "cpu": [{"ns": receiving_ns}, {"ns": 0}, {"ns": daemon_ns}],
        })
    }

    #[test]
    fn cost_is_the_sum_of_the_parts() {
        let round = Round::read(Workload::Connect, Who::Mmsg, &report(1_000_000, 3_000_000)).unwrap();
        assert_eq!((round.kernel_us, round.daemon_us, round.total_us()), (1.0, 3.0, 4.0));
        assert_eq!((round.peers, round.per_cpu_second()), (30.0, 250.0));
    }

    #[test]
    fn mix_is_read_by_its_kinds() {
        let kind = |lost: u32| json!({"lost": lost, "latency_us": {"p50": 5.0, "p99": 9.0}});
        let report = json!({
            "answers": 1000, "answers_per_s": 500_000.0, "peers_per_answer": 29.5,
            "kinds": {"connect": kind(1), "announce": kind(2), "scrape": kind(4)},
            "processes": [{"cpu_ns": 1_000_000}, {"cpu_ns": 2_000_000}],
        });
        let round = Round::read(Workload::Mix, Who::Aquatic, &report).unwrap();
        assert_eq!((round.kernel_us, round.daemon_us, round.lost, round.peers), (1.0, 2.0, 7.0, 29.5));
    }

    #[test]
    fn xdp_round_in_which_the_daemon_answered_is_refused() {
        assert!(Round::read(Workload::Connect, Who::Xdp, &report(1_000_000, 3_000_000)).is_err());
        assert!(Round::read(Workload::Connect, Who::Xdp, &report(1_000_000, 10_000)).is_ok());
    }

    #[test]
    fn round_without_answers_is_refused() {
        let mut empty = report(1, 1);
        empty["answers"] = json!(0);
        assert!(Round::read(Workload::Connect, Who::Xdp, &empty).is_err());
    }
}
