//! What clients notice while ten million peers expire: latency at half of what a tracker can, before and meanwhile.

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use serde_json::Value;

use crate::machine::Machine;
use crate::report::{self, Conditions, Row};
use crate::rounds::Rounds;
use crate::sockets::places::{Net, Place};
use crate::sockets::trackers::{Daemon, Who};
use crate::sockets::{Programs, faults};

/// Flags of `expiry`.
#[derive(Args, Clone)]
pub(crate) struct Flags {
    /// Torrents of ten peers
    #[arg(long, default_value_t = 1_000_000)]
    torrents: u32,
    /// Where expiry.md and expiry.json are written
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    #[command(flatten)]
    programs: Programs,
}

/// A full tracker.
struct Full {
    who: Who,
    net: Net,
    _daemon: Daemon,
    _scratch: tempfile::TempDir,
    /// When the first peer came.
    begun: Instant,
    lifetime: Duration,
    /// Requests a second, half of what it can.
    rate: f64,
}

/// Peers live for so long; ours knows no shorter time, since a living one could be forgotten.
fn settings(who: Who) -> (Duration, &'static str) {
    match who {
        Who::Aquatic => {
            (Duration::from_secs(180), "\n[cleaning]\nmax_peer_age = 180\ntorrent_cleaning_interval = 10\n")
        }
        _ => (
            Duration::from_secs(720),
            "\n[protocol]\ninterval_s = 60\npeer_lifetime_s = 720\n\n[swarm]\ncleaning_interval_s = 60\n",
        ),
    }
}

pub(crate) fn run(flags: &Flags) -> Result<()> {
    let machine = Machine::this();
    let programs = &flags.programs;
    // Ours waits longest, so the other one comes and goes meanwhile.
    let ours = fill(flags, Who::Mmsg)?;
    let mut rows = Vec::new();
    if Who::Aquatic.is_there(programs) {
        rows.extend(finish(programs, &fill(flags, Who::Aquatic)?)?);
    }
    rows.splice(0..0, finish(programs, &ours)?);
    let conditions = Conditions {
        title: "Latency while ten million peers expire",
        machine: &machine,
        command: format!("cargo xtask bench expiry --torrents {}", flags.torrents),
        rounds: 1,
        seconds: MEASURED,
        versions: flags.programs.versions(),
        remarks: REMARKS,
    };
    report::publish(&conditions, &rows, flags.output.as_deref(), "expiry")
}

/// Seconds of each measurement.
const MEASURED: f64 = 15.0;

/// Clients that go on, of 10,000 torrents with ten peers.
const GOES_ON: [&str; 12] = [
    "udp",
    "mix",
    "--torrents",
    "10000",
    "--peers",
    "10",
    "--leechers",
    "true",
    "--shared",
    "true",
    "--fill",
    "false",
];

fn fill(flags: &Flags, who: Who) -> Result<Full> {
    let net = Net::new(Place::Loopback)?;
    let scratch = crate::server::scratch()?;
    let (lifetime, more) = settings(who);
    let daemon = Daemon::start(&net, &flags.programs, who, scratch.path(), 0, more)?;
    let begun = Instant::now();
    let torrents = flags.torrents.to_string();
    flags.programs.load(
        &net,
        &[
            "udp",
            "mix",
            "--torrents",
            &torrents,
            "--peers",
            "10",
            "--leechers",
            "true",
            "--shared",
            "true",
            "--want",
            "1",
            "--warmup",
            "0",
            "--seconds",
            "0.1",
        ],
    )?;
    eprintln!("{} is full after {:.0} s", who.name(), begun.elapsed().as_secs_f64());
    let load = |more: &[&str]| flags.programs.load(&net, &[&GOES_ON[..], more].concat());
    let closed = load(&["--warmup", "0.5", "--seconds", "2"])?;
    let most = closed["answers_per_s"].as_f64().context("answers_per_s")?;
    Ok(Full { who, net, _daemon: daemon, _scratch: scratch, begun, lifetime, rate: most / 2.0 })
}

fn finish(programs: &Programs, full: &Full) -> Result<Vec<Row>> {
    let arguments = ["--warmup", "1", "--seconds", &MEASURED.to_string(), "--rate", &full.rate.to_string()];
    let measured = |when: Instant| {
        thread::sleep(when.saturating_duration_since(Instant::now()));
        programs.load(&full.net, &[&GOES_ON[..], &arguments].concat())
    };
    let over = full.begun + full.lifetime;
    // Right before, so that what the machine does after so much was filled is over.
    let quiet = measured(over - Duration::from_secs(MEASURED as u64 + 8))?;
    let before = memory(full)?;
    // A round of the cleaning may just have begun.
    let busy = measured(over + Duration::from_secs(11))?;
    eprintln!("{}: {before} kB before, {} kB behind", full.who.name(), memory(full)?);
    let rows = [("quiet", &quiet), ("expiring", &busy)].map(|(name, report)| row(full, name, report));
    rows.into_iter().collect()
}

/// Resident, in kB.
fn memory(full: &Full) -> Result<u64> {
    let file = format!("/proc/{}/status", full._daemon.pid());
    let text = std::fs::read_to_string(&file).context(file)?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).context("VmRSS")
}

fn row(full: &Full, name: &str, report: &Value) -> Result<Row> {
    let us = |quantile: &str| {
        let pointer = format!("/kinds/announce/latency_us/{quantile}");
        report.pointer(&pointer).and_then(Value::as_f64).with_context(|| format!("no {pointer} in {report}"))
    };
    let rate = report["answers_per_s"].as_f64().unwrap_or(0.0);
    ensure!(rate > 0.0, "no answers: {report}");
    let what = match name {
        "quiet" => "nobody expires",
        _ => "peers expire",
    };
    let lost = report.pointer("/kinds/announce/lost").and_then(Value::as_u64).unwrap_or(0);
    let row = Row::new(
        &format!("expiry-{}-{name}", full.who.id()),
        format!("{}: 99.9 % of announces are answered within, while {what}", full.who.name()),
        "µs",
        0,
        Rounds::new([us("p99.9")?]),
    )
    .note(format!(
        "p50 {:.0} µs, p99 {:.0} µs, p99.99 {:.0} µs, max {:.0} µs",
        us("p50")?,
        us("p99")?,
        us("p99.99")?,
        us("max")?
    ))
    .note(format!("{rate:.0} answers/s of {:.0} asked, {lost} lost", full.rate));
    let faults = faults(report);
    Ok(if faults.is_empty() { row } else { row.note(faults) })
}

const REMARKS: &str = "\
## How it is measured

- 1,000,000 torrents with ten peers each announce once, as fast as they are answered. Then clients of 10,000 other peers' torrents go on in an open loop at half the \
rate that the tracker has just shown in a closed one; latency counts from when a request was due. Once for 15 s right before the first peer's time is over, and once for \
15 s from 12 s after it: the others follow as fast as they came.
- Client on CPU 0, tracker on CPU 1, over loopback. Ours forgets peers after 720 s, the least that it can be told, and looks through its table once a minute; aquatic_udp \
after 180 s, with a cleaning every 10 s.

## What it doesn't show

- One run, no rounds. What else happens on the machine is in the highest percentiles.
- A tracker with more than one processor, where cleaning has its own.
- Why the longest waits can be longer while nobody expires. Cleaning goes on then, too, and has all ten million peers to look at.
";
