//! `bench connect`: CPU time per connect, answered by the XDP program and by the socket workers.
//!
//! Rounds of the two modes alternate, each with a fresh daemon under the same closed-loop load, so that what else
//! happens on the machine hits both. The client has CPU 0, everything of the tracker CPU 1: the daemon, the kernel
//! thread that receives for it ([`super::lab`]) and that CPU's softirq thread. What they ran meanwhile, to the nanosecond,
//! over the answers is the cost. It contains the answers' way into the client's socket in both modes, since a veth
//! delivers in the sender's time.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use serde_json::{Value, json};

use super::lab::{Lab, TRACKER, process_named};
use super::machine::Machine;
use super::rounds::Rounds;
use crate::run::{build_daemon, cargo};
use crate::step::Step;
use crate::{build_ebpf, paths};

const PORT: u16 = 6969;

/// Flags of `bench connect`.
#[derive(Args)]
pub(crate) struct Flags {
    /// Rounds of each mode
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Measured seconds of a round
    #[arg(long, default_value_t = 3)]
    seconds: u32,
    /// Requests in flight
    #[arg(long, default_value_t = 256)]
    window: u32,
    /// Client sockets
    #[arg(long, default_value_t = 8)]
    sockets: u32,
}

/// Who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Xdp,
    Sockets,
}

impl Mode {
    const ALL: [Self; 2] = [Self::Xdp, Self::Sockets];

    fn name(self) -> &'static str {
        match self {
            Self::Xdp => "XDP, native",
            Self::Sockets => "sockets",
        }
    }

    /// The value of tracker-user's `--xdp`.
    fn option(self) -> &'static str {
        match self {
            Self::Xdp => "native",
            Self::Sockets => "off",
        }
    }
}

/// One round.
struct Round {
    mode: Mode,
    answers_per_s: f64,
    lost: u64,
    p50_us: f64,
    p99_us: f64,
    /// µs of CPU per answer: kernel thread, softirq thread, daemon.
    receiving_us: f64,
    softirq_us: f64,
    daemon_us: f64,
}

impl Round {
    fn total_us(&self) -> f64 {
        self.receiving_us + self.softirq_us + self.daemon_us
    }
}

pub(crate) fn run(flags: &Flags) -> Result<()> {
    let machine = Machine::this();
    ensure!(machine.cpus() >= 2, "client and tracker need a CPU each, and this machine has one");
    build_ebpf::run(&build_ebpf::Flags::default())?;
    build_daemon()?;
    cargo().args(["build", "--release", "--locked", "--package", "tracker-load"]).run()?;
    // Ctrl-C reaches the children, whose end is an error here, and so the namespaces are removed on the way out.
    signal_hook::flag::register(signal_hook::consts::SIGINT, Arc::new(AtomicBool::new(false)))
        .context("cannot take SIGINT")?;

    let scratch = paths::target().join("bench");
    fs::create_dir_all(&scratch).with_context(|| format!("cannot create {}", scratch.display()))?;
    let lab = Lab::build(&scratch)?;
    let mut rounds = Vec::new();
    for number in 1..=flags.rounds {
        for mode in Mode::ALL {
            let round = measure(&lab, &scratch, mode, flags)?;
            eprintln!(
                "round {number}, {}: {:.0} answers/s, {:.2} µs CPU an answer",
                mode.name(),
                round.answers_per_s,
                round.total_us()
            );
            rounds.push(round);
        }
    }
    drop(lab);

    let table = markdown(&machine, flags, &rounds);
    println!("{table}");
    write(&scratch.join("connect.md"), &table)?;
    write(&scratch.join("connect.json"), &to_json(&machine, flags, &rounds).to_string())
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, format!("{}\n", text.trim_end()))
        .with_context(|| format!("cannot write {}", path.display()))?;
    eprintln!("written: {}", path.display());
    Ok(())
}

fn measure(lab: &Lab, scratch: &Path, mode: Mode, flags: &Flags) -> Result<Round> {
    let daemon = Daemon::start(lab, scratch, mode)?;
    let receiving = lab.receiving_thread()?;
    let softirq = process_named(|name| name == "ksoftirqd/1").context("no kernel thread ksoftirqd/1")?;
    let watched = [receiving, softirq, daemon.child.id()];
    let report = lab
        .in_client(paths::cargo_target().join("release/tracker-load"))
        .args(["udp", "connect", "--json", "--target", &format!("{TRACKER}:{PORT}")])
        .args(["--seconds", &flags.seconds.to_string(), "--window", &flags.window.to_string()])
        .args(["--sockets", &flags.sockets.to_string()])
        .args(watched.iter().flat_map(|pid| ["--cpu-of".to_owned(), pid.to_string()]))
        .output()?;
    daemon.stop()?;
    round(mode, &serde_json::from_str(&report).context("tracker-load's report")?)
}

fn round(mode: Mode, report: &Value) -> Result<Round> {
    let number = |pointer: &str| {
        let value = report.pointer(pointer).and_then(Value::as_f64);
        value.with_context(|| format!("tracker-load's report has no {pointer}: {report}"))
    };
    let answers = number("/answers")?;
    ensure!(answers > 0.0, "no answer at all from the tracker ({}): {report}", mode.name());
    ensure!(number("/wrong")? == 0.0, "wrong answers from the tracker ({}): {report}", mode.name());
    let us = |index: usize| Ok::<f64, anyhow::Error>(number(&format!("/cpu/{index}/ns"))? / 1000.0 / answers);
    let round = Round {
        mode,
        answers_per_s: number("/answers_per_s")?,
        lost: number("/lost")? as u64,
        p50_us: number("/latency_us/p50")?,
        p99_us: number("/latency_us/p99")?,
        receiving_us: us(0)?,
        softirq_us: us(1)?,
        daemon_us: us(2)?,
    };
    // A connect that the program answers costs the daemon nothing; anything else means that it did not answer.
    ensure!(
        mode != Mode::Xdp || round.daemon_us < round.receiving_us,
        "the daemon worked though XDP was attached: the program passed the connects on ({report})"
    );
    Ok(round)
}

/// A running tracker on the tracker's end of the lab; killed when dropped.
struct Daemon {
    child: Child,
}

impl Daemon {
    fn start(lab: &Lab, scratch: &Path, mode: Mode) -> Result<Self> {
        let configuration = scratch.join("tracker.toml");
        fs::write(&configuration, configuration_text(scratch, lab))
            .with_context(|| format!("cannot write {}", configuration.display()))?;
        let step = daemon_step(lab, &configuration).args(["--iface", &lab.interface, "--xdp", mode.option()]);
        let log = scratch.join("daemon.log");
        let stderr = File::create(&log).with_context(|| format!("cannot create {}", log.display()))?;
        let child = step.command().stdout(Stdio::piped()).stderr(stderr).spawn();
        let mut daemon = Self { child: child.with_context(|| format!("cannot start `{step}`"))? };
        if !daemon.becomes_ready()? {
            let log = fs::read_to_string(&log).unwrap_or_default();
            bail!("`{step}` ended before it was ready: {}", log.trim_end());
        }
        Ok(daemon)
    }

    /// The daemon's last line of readiness is `ready`; its output ends when it could not start.
    fn becomes_ready(&mut self) -> Result<bool> {
        let stdout = self.child.stdout.take().expect("stdout was piped above");
        for line in BufReader::new(stdout).lines() {
            if line.context("cannot read from the daemon")? == "ready" {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn stop(mut self) -> Result<()> {
        Step::new("kill").arg(self.child.id().to_string()).output()?;
        let status = self.child.wait().context("cannot wait for the daemon")?;
        ensure!(status.success(), "the daemon ended with {status}");
        Ok(())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // After `stop` both find no process any more, which is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn daemon_step(lab: &Lab, configuration: &Path) -> Step {
    lab.in_tracker(paths::cargo_target().join("release/tracker-user")).arg("-c").arg(configuration)
}

fn configuration_text(scratch: &Path, lab: &Lab) -> String {
    let (scratch, pins) = (scratch.join("run"), lab.pin_directory());
    format!(
        "state_directory = \"{scratch}/state\"\nlog_level = \"warn\"\n\n\
         [xdp]\npin_directory = \"{pins}\"\n\n\
         [udp]\naddresses = [\"{TRACKER}:{PORT}\"]\n\n\
         [control]\nsocket = \"{scratch}/control.sock\"\n",
        scratch = scratch.display(),
        pins = pins.display()
    )
}

fn of_mode(rounds: &[Round], mode: Mode, figure: impl Fn(&Round) -> f64) -> Rounds {
    Rounds::new(rounds.iter().filter(|round| round.mode == mode).map(figure))
}

fn markdown(machine: &Machine, flags: &Flags, rounds: &[Round]) -> String {
    let mut text = format!(
        "{}\n\n{} alternating rounds of {} s, median [least–most]; closed loop, {} requests in flight, {} sockets; \
         veth pair, client on CPU 0, tracker on CPU 1\n\n\
         | connects answered by | answers/s | µs CPU per answer | receiving thread | softirq thread | daemon | lost | p50 µs | p99 µs |\n\
         |---|---|---|---|---|---|---|---|---|\n",
        machine.line(),
        flags.rounds,
        flags.seconds,
        flags.window,
        flags.sockets,
    );
    for mode in Mode::ALL {
        let figure = |figure: fn(&Round) -> f64, digits| of_mode(rounds, mode, figure).show(digits);
        let lost: u64 = rounds.iter().filter(|round| round.mode == mode).map(|round| round.lost).sum();
        text += &format!(
            "| {} | {} | {} | {} | {} | {} | {lost} | {} | {} |\n",
            mode.name(),
            figure(|round| round.answers_per_s, 0),
            figure(Round::total_us, 2),
            figure(|round| round.receiving_us, 2),
            figure(|round| round.softirq_us, 2),
            figure(|round| round.daemon_us, 2),
            figure(|round| round.p50_us, 0),
            figure(|round| round.p99_us, 0),
        );
    }
    let total = |mode| of_mode(rounds, mode, Round::total_us).median();
    text + &format!(
        "\nSockets take {:.1} times the CPU of XDP for the same answer.\n",
        total(Mode::Sockets) / total(Mode::Xdp)
    )
}

fn to_json(machine: &Machine, flags: &Flags, rounds: &[Round]) -> Value {
    let rounds: Vec<Value> = rounds
        .iter()
        .map(|round| {
            json!({
                "mode": round.mode.name(),
                "answers_per_s": round.answers_per_s,
                "lost": round.lost,
                "latency_us": {"p50": round.p50_us, "p99": round.p99_us},
                "cpu_us_per_answer": {
                    "total": round.total_us(),
                    "receiving_thread": round.receiving_us,
                    "softirq_thread": round.softirq_us,
                    "daemon": round.daemon_us,
                },
            })
        })
        .collect();
    json!({
        "machine": machine.to_json(),
        "seconds": flags.seconds,
        "window": flags.window,
        "sockets": flags.sockets,
        "rounds": rounds,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(receiving_ns: u64, daemon_ns: u64) -> Value {
        json!({
            "answers": 1000, "answers_per_s": 500_000.0, "lost": 1, "wrong": 0,
            "latency_us": {"p50": 60.0, "p99": 130.0},
            "cpu": [{"ns": receiving_ns}, {"ns": 0}, {"ns": daemon_ns}],
        })
    }

    #[test]
    fn cost_is_the_sum_of_the_parts() {
        let round = round(Mode::Sockets, &report(1_000_000, 3_000_000)).unwrap();
        assert_eq!((round.receiving_us, round.daemon_us, round.total_us()), (1.0, 3.0, 4.0));
    }

    #[test]
    fn xdp_round_in_which_the_daemon_answered_is_refused() {
        assert!(round(Mode::Xdp, &report(1_000_000, 3_000_000)).is_err());
        assert!(round(Mode::Xdp, &report(1_000_000, 10_000)).is_ok());
    }

    #[test]
    fn round_without_answers_is_refused() {
        let mut empty = report(1, 1);
        empty["answers"] = json!(0);
        assert!(round(Mode::Xdp, &empty).is_err());
    }
}
