//! Trackers under ordinary clients: `connect`, and the part of `udp` that asks aquatic_udp to run beside ours.
//!
//! Rounds of the trackers alternate, each with a fresh daemon under the same closed-loop load (tracker-load), so that what else happens on the machine
//! hits all of them. The client has CPU 0, everything of the tracker CPU 1: the daemon, the kernel thread that receives for it and that
//! CPU's softirq thread. What they ran meanwhile, to the nanosecond, over the answers is the cost. It contains the answers' way into the
//! client's socket for all trackers, since a veth delivers in the sender's time.
//!
//! The tracker's end receives in a kernel thread of its own (threaded NAPI): a veth otherwise receives in the time of whoever sends, and the
//! client would pay for the tracker. Without a program, a veth has a NAPI only with GRO on, and uses it only for packets of a sender that
//! can't do TSO (`veth_skb_is_eligible_for_gro`). So GRO is on and the client's TSO, which UDP has no use for, off for all.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use serde_json::Value;
use tracker_testkit::netns::{AttachedProgram, Namespace};

use crate::cable::process_named;
use crate::machine::Machine;
use crate::report::{Row, Target};
use crate::rounds::Rounds;
use crate::{programs, sys};

const TRACKER: &str = "10.199.0.1";
const CLIENT: &str = "10.199.0.2";
const PORT: u16 = 6969;

/// Where programs are.
#[derive(Args, Clone)]
pub(crate) struct Programs {
    /// The daemon
    #[arg(long, value_name = "FILE", default_value = "target/release/tracker-user")]
    tracker: PathBuf,
    /// The load generator
    #[arg(long, value_name = "FILE", default_value = "target/release/tracker-load")]
    load: PathBuf,
    /// aquatic_udp, to be measured beside; looked for in PATH and in $CARGO_HOME/bin
    #[arg(long, value_name = "FILE")]
    aquatic: Option<PathBuf>,
}

impl Programs {
    /// The flags that say the same.
    pub(crate) fn flags(&self) -> Vec<std::ffi::OsString> {
        let mut flags = vec!["--tracker".into(), self.tracker.clone().into()];
        flags.extend(["--load".into(), self.load.clone().into()]);
        if let Some(aquatic) = &self.aquatic {
            flags.extend(["--aquatic".into(), aquatic.clone().into()]);
        }
        flags
    }

    fn aquatic(&self) -> Option<PathBuf> {
        self.aquatic.clone().or_else(|| programs::find("aquatic_udp"))
    }
}

/// Who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Xdp,
    Sockets,
    Aquatic,
}

impl Who {
    fn name(self) -> &'static str {
        match self {
            Self::Xdp => "XDP, native",
            Self::Sockets => "sockets",
            Self::Aquatic => "aquatic_udp",
        }
    }
}

/// What clients do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Workload {
    Connect,
    /// 10,000 torrents with 50 leechers each, all announced before; 30 peers wanted.
    Announce,
}

impl Workload {
    fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Announce => "announce",
        }
    }

    fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Connect => &["udp", "connect"],
            Self::Announce => {
                &["udp", "announce", "--torrents", "10000", "--peers", "50", "--want", "30", "--leechers"]
            }
        }
    }
}

/// One round.
struct Round {
    answers_per_s: f64,
    peers: f64,
    lost: f64,
    p50_us: f64,
    p99_us: f64,
    /// µs of CPU an answer: kernel thread, softirq thread, daemon.
    receiving_us: f64,
    softirq_us: f64,
    daemon_us: f64,
}

impl Round {
    fn total_us(&self) -> f64 {
        self.receiving_us + self.softirq_us + self.daemon_us
    }
}

/// Flags of `connect`.
#[derive(Args, Clone)]
pub(crate) struct ConnectFlags {
    /// Rounds of each tracker
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Measured seconds of a round
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    #[command(flatten)]
    programs: Programs,
}

/// `connect`: what a connect costs, answered by the program and by the socket workers.
pub(crate) fn connect(flags: &ConnectFlags) -> Result<()> {
    let machine = Machine::this();
    ensure!(machine.cpus() >= 2, "client and tracker need a CPU each, and this machine has one");
    let rows = measure(&flags.programs, &["clients-connect".to_owned()], flags.rounds, flags.seconds)?;
    println!("{}\n", machine.line());
    for row in &rows {
        println!("{}: {} {}; {}", row.what, row.figures.show(row.digits), row.unit, row.notes.join("; "));
    }
    Ok(())
}

/// Names of the cases here.
pub(crate) fn cases() -> Vec<String> {
    let all = [Workload::Connect, Workload::Announce];
    all.into_iter()
        .flat_map(|workload| [Who::Xdp, Who::Sockets, Who::Aquatic].map(|who| id(workload, who)))
        .collect()
}

fn id(workload: Workload, who: Who) -> String {
    let who = match who {
        Who::Xdp => "xdp",
        Who::Sockets => "sockets",
        Who::Aquatic => "aquatic",
    };
    format!("clients-{}-{who}", workload.name())
}

/// Rows of the cases that were asked for; those that are compared run together.
///
/// Without aquatic_udp on this machine ours are measured alone.
pub(crate) fn measure(programs: &Programs, only: &[String], rounds: u32, seconds: f64) -> Result<Vec<Row>> {
    let wanted = |id: &str| only.is_empty() || only.iter().any(|name| id.starts_with(name.as_str()));
    let mut trackers = vec![Who::Xdp, Who::Sockets];
    match programs.aquatic() {
        Some(_) => trackers.push(Who::Aquatic),
        None => {
            eprintln!("aquatic_udp isn't installed and isn't measured; `cargo xtask bench setup` installs it")
        }
    }
    let mut rows = Vec::new();
    for workload in [Workload::Connect, Workload::Announce] {
        if !trackers.iter().any(|who| wanted(&id(workload, *who))) {
            continue;
        }
        let mut kept: Vec<Vec<Round>> = trackers.iter().map(|_| Vec::new()).collect();
        for number in 1..=rounds {
            for (who, kept) in trackers.iter().zip(&mut kept) {
                let round = one(programs, workload, *who, seconds)
                    .with_context(|| format!("{}, {}", workload.name(), who.name()))?;
                eprintln!(
                    "round {number}, {}, {}: {:.0} answers/s, {:.2} µs CPU an answer",
                    workload.name(),
                    who.name(),
                    round.answers_per_s,
                    round.total_us()
                );
                kept.push(round);
            }
        }
        rows.extend(workload_rows(workload, &trackers, &kept));
    }
    Ok(rows)
}

fn workload_rows(workload: Workload, trackers: &[Who], rounds: &[Vec<Round>]) -> Vec<Row> {
    let per_cpu_second = |rounds: &[Round]| Rounds::new(rounds.iter().map(|round| 1000.0 / round.total_us()));
    let aquatic = trackers.iter().position(|who| *who == Who::Aquatic).map(|at| per_cpu_second(&rounds[at]));
    let rows = trackers.iter().zip(rounds).map(|(who, rounds)| {
        let figure = |figure: fn(&Round) -> f64, digits| Rounds::new(rounds.iter().map(figure)).show(digits);
        let what = match workload {
            Workload::Connect => "connects",
            Workload::Announce => "announces of 30 peers",
        };
        let mut row = Row::new(
            &id(workload, *who),
            format!("clients over sockets across the veth, {what}, {}", who.name()),
            "thousand answers a CPU second",
            0,
            per_cpu_second(rounds),
        );
        if let (Who::Xdp, Workload::Announce, Some(aquatic)) = (who, workload, &aquatic) {
            row = row.target(Target::AtLeast(2.0 * aquatic.median()));
        }
        if workload == Workload::Announce {
            row = row.note(format!("{} peers an answer", figure(|round| round.peers, 1)));
        }
        row.note(format!(
            "{} µs an answer: receiving thread {}, softirq thread {}, daemon {}",
            figure(Round::total_us, 2),
            figure(|round| round.receiving_us, 2),
            figure(|round| round.softirq_us, 2),
            figure(|round| round.daemon_us, 2)
        ))
        .note(format!(
            "{} answers/s, p50 {} µs, p99 {} µs, {} lost",
            figure(|round| round.answers_per_s, 0),
            figure(|round| round.p50_us, 0),
            figure(|round| round.p99_us, 0),
            figure(|round| round.lost, 0)
        ))
    });
    rows.collect()
}

/// A client and a tracker on a cable.
struct Net {
    client: Namespace,
    tracker: Namespace,
    /// The tracker's end; its name is used nowhere else, so the kernel thread can be told by it.
    interface: String,
    _pass: AttachedProgram,
}

impl Net {
    fn new() -> Result<Self> {
        let (client, tracker) = (Namespace::new(), Namespace::new());
        // A name of its own each time: an earlier namespace, and its kernel thread, may still be on their way out.
        static NETS: AtomicU32 = AtomicU32::new(0);
        let interface = format!("tb{}n{}", std::process::id(), NETS.fetch_add(1, Ordering::Relaxed));
        client.ip("link set lo up");
        let far = "client";
        client.cable_to(&tracker, far, &interface);
        client.ip(&format!("address add {CLIENT}/30 dev {far}"));
        tracker.ip(&format!("address add {TRACKER}/30 dev {interface}"));
        client.ip(&format!("link set {far} up"));
        tracker.ip(&format!("link set {interface} up"));
        let pass = client.attach_pass_program(far, "bench_pass");
        output(&mut with(tracker.command("ethtool"), &["-K", &interface, "gro", "on"]))?;
        output(&mut with(client.command("ethtool"), &["-K", far, "tso", "off"]))?;
        Ok(Self { client, tracker, interface, _pass: pass })
    }

    /// Makes the kernel thread that receives for the tracker, and keeps it on CPU 1; its process id.
    fn receiving_thread(&self) -> Result<u32> {
        let script =
            format!("mount -t sysfs sysfs /sys && echo 1 > /sys/class/net/{}/threaded", self.interface);
        output(&mut with(self.tracker.command("unshare"), &["--mount", "sh", "-c", &script]))
            .context("the kernel has no threaded NAPI (Linux 5.12) or the interface has no NAPI")?;
        let prefix = format!("napi/{}-", self.interface);
        let thread = process_named(|name| name.starts_with(&prefix));
        let thread = thread.with_context(|| format!("no kernel thread {prefix}…"))?;
        sys::pin_thread(thread, 1)?;
        Ok(thread)
    }
}

fn with(mut command: Command, arguments: &[&str]) -> Command {
    command.args(arguments);
    command
}

fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot start {command:?}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {}: {}", output.status, said.trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn one(programs: &Programs, workload: Workload, who: Who, seconds: f64) -> Result<Round> {
    let net = Net::new()?;
    let scratch = tempfile::tempdir().context("a temporary directory")?;
    let daemon = Daemon::start(&net, programs, who, scratch.path())?;
    let receiving = net.receiving_thread()?;
    let softirq = process_named(|name| name == "ksoftirqd/1").context("no kernel thread ksoftirqd/1")?;
    let mut load = net.client.command("taskset");
    load.args(["-c", "0"]).arg(&programs.load).args(workload.arguments());
    load.args(["--json", "--target", &format!("{TRACKER}:{PORT}"), "--seconds", &seconds.to_string()]);
    for process in [receiving, softirq, daemon.child.id()] {
        load.args(["--cpu-of", &process.to_string()]);
    }
    let report = output(&mut load)?;
    let report = serde_json::from_str(&report).context("tracker-load's report")?;
    round(workload, who, &report)
        .map_err(|error| error.context(daemon.statistics(&net, programs, scratch.path())))
}

fn round(workload: Workload, who: Who, report: &Value) -> Result<Round> {
    let number = |pointer: &str| {
        let value = report.pointer(pointer).and_then(Value::as_f64);
        value.with_context(|| format!("tracker-load's report has no {pointer}: {report}"))
    };
    let answers = number("/answers")?;
    ensure!(answers > 0.0, "no answer at all: {report}");
    ensure!(number("/wrong")? == 0.0, "wrong answers: {report}");
    let us = |index: usize| Ok::<f64, anyhow::Error>(number(&format!("/cpu/{index}/ns"))? / 1000.0 / answers);
    let round = Round {
        answers_per_s: number("/answers_per_s")?,
        peers: number("/peers")? / answers,
        lost: number("/lost")?,
        p50_us: number("/latency_us/p50")?,
        p99_us: number("/latency_us/p99")?,
        receiving_us: us(0)?,
        softirq_us: us(1)?,
        daemon_us: us(2)?,
    };
    // A connect that the program answers costs the daemon nothing; anything else means that it did not answer.
    let by_program = workload != Workload::Connect || who != Who::Xdp || round.daemon_us < round.receiving_us;
    ensure!(
        by_program,
        "the daemon worked though XDP was attached: the program passed the connects on ({report})"
    );
    Ok(round)
}

/// A running tracker on the tracker's end; killed when dropped.
struct Daemon {
    child: Child,
    pins: Option<PathBuf>,
}

impl Daemon {
    fn start(net: &Net, programs: &Programs, who: Who, scratch: &Path) -> Result<Self> {
        let configuration = scratch.join("tracker.toml");
        let pins = Path::new("/sys/fs/bpf").join(format!("tracker-bench-{}", net.interface));
        let mut command = net.tracker.command("taskset");
        command.args(["-c", "1"]);
        let text = match who {
            Who::Aquatic => {
                command.arg(programs.aquatic().context("looked for before")?).arg("-c").arg(&configuration);
                aquatic_configuration()
            }
            Who::Xdp | Who::Sockets => {
                let mode = if who == Who::Xdp { "native" } else { "off" };
                command.arg(&programs.tracker).arg("-c").arg(&configuration);
                command.args(["--iface", &net.interface, "--xdp", mode]);
                our_configuration(scratch, &pins)
            }
        };
        fs::write(&configuration, text)
            .with_context(|| format!("cannot write {}", configuration.display()))?;
        let log = scratch.join("daemon.log");
        let stderr = File::create(&log).with_context(|| format!("cannot create {}", log.display()))?;
        let child = command.stdout(Stdio::piped()).stderr(stderr).spawn();
        let child = child.with_context(|| format!("cannot start {command:?}"))?;
        let mut daemon = Self { child, pins: (who != Who::Aquatic).then_some(pins) };
        let ready = match who {
            Who::Aquatic => daemon.answers_connects(net)?,
            Who::Xdp | Who::Sockets => daemon.says_ready()?,
        };
        if !ready {
            let log = fs::read_to_string(&log).unwrap_or_default();
            bail!("{command:?} ended before it was ready: {}", log.trim_end());
        }
        Ok(daemon)
    }

    /// The daemon's last line of readiness is `ready`; its output ends when it could not start.
    fn says_ready(&mut self) -> Result<bool> {
        let stdout = self.child.stdout.take().context("stdout was piped")?;
        for line in BufReader::new(stdout).lines() {
            if line.context("cannot read from the daemon")? == "ready" {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What our daemon counts, for the message of a round that went wrong.
    fn statistics(&self, net: &Net, programs: &Programs, scratch: &Path) -> String {
        let mut ask = net.tracker.command(&programs.tracker);
        ask.arg("-c").arg(scratch.join("tracker.toml")).args(["map", "stats"]);
        output(&mut ask).unwrap_or_default()
    }

    /// A tracker that doesn't say when it is ready is asked until it answers.
    fn answers_connects(&mut self, net: &Net) -> Result<bool> {
        let start = Instant::now();
        let request = [0, 0, 4, 0x17, 0x27, 0x10, 0x19, 0x80, 0, 0, 0, 0, 0, 0, 0, 1];
        net.client.inside(|| -> Result<bool> {
            let socket = UdpSocket::bind((CLIENT, 0)).context("a socket")?;
            socket.set_read_timeout(Some(Duration::from_millis(100)))?;
            socket.connect((TRACKER, PORT))?;
            while start.elapsed() < Duration::from_secs(10) {
                // Refused until the port is open.
                let _refused = socket.send(&request);
                if socket.recv(&mut [0; 64]).is_ok_and(|len| len == 16) {
                    return Ok(true);
                }
                if self.child.try_wait()?.is_some() {
                    return Ok(false);
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            Ok(false)
        })
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // After its own end both find no process any more, which is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(pins) = &self.pins {
            let _ = fs::remove_dir_all(pins);
        }
    }
}

fn our_configuration(scratch: &Path, pins: &Path) -> String {
    let (scratch, pins) = (scratch.display(), pins.display());
    format!(
        "state_directory = \"{scratch}/state\"\nlog_level = \"warn\"\n\n\
         [xdp]\npin_directory = \"{pins}\"\n\n\
         [udp]\naddresses = [\"{TRACKER}:{PORT}\"]\n\n[limits]\nconnects_per_second = 0\nbad_ids_per_second = 0\n\n\
         [http]\nlisten = []\n\n\
         [metrics]\nlisten = []\n\n[control]\nsocket = \"{scratch}/control.sock\"\n"
    )
}

/// One socket worker, and otherwise its defaults (30 peers in an answer at most).
fn aquatic_configuration() -> String {
    format!("socket_workers = 1\n\n[network]\naddress = \"{TRACKER}:{PORT}\"\n")
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
        let round = round(Workload::Connect, Who::Sockets, &report(1_000_000, 3_000_000)).unwrap();
        assert_eq!((round.receiving_us, round.daemon_us, round.total_us()), (1.0, 3.0, 4.0));
        assert_eq!(round.peers, 30.0);
    }

    #[test]
    fn xdp_round_in_which_the_daemon_answered_is_refused() {
        assert!(round(Workload::Connect, Who::Xdp, &report(1_000_000, 3_000_000)).is_err());
        assert!(round(Workload::Connect, Who::Xdp, &report(1_000_000, 10_000)).is_ok());
    }

    #[test]
    fn round_without_answers_is_refused() {
        let mut empty = report(1, 1);
        empty["answers"] = json!(0);
        assert!(round(Workload::Connect, Who::Xdp, &empty).is_err());
    }
}
