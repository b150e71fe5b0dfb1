//! Trackers under ordinary clients: ours in all its ways, and others beside it, over UDP.
//!
//! - [`places`]: where client and tracker meet; [`trackers`]: who answers, and how it is started; [`workloads`]: what clients ask;
//!   [`round`]: what came of it; [`rows`]: how that is told; [`null`]: a server that does nothing but answer.
//!
//! Rounds of the trackers alternate, each with a fresh daemon under the same closed-loop load (tracker-load), so that what else happens on the machine
//! hits all of them. The client has CPU 0, everything of the tracker CPU 1: the daemon, the kernel thread that receives for it and that
//! CPU's softirq thread. What they ran meanwhile, to the nanosecond, over the answers is the cost. It contains the answers' way into the
//! client's socket for all trackers, since veth and loopback deliver in the sender's time.

pub(crate) mod null;
pub(crate) mod places;
mod round;
mod rows;
pub(crate) mod trackers;
mod workloads;

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use clap::Args;

use crate::machine::Machine;
use crate::programs;
use crate::report::{self, Conditions, Row};

use places::{Net, Place};
use round::Round;
use trackers::{Daemon, Who};
use workloads::Workload;

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
    /// opentracker, to be measured beside; looked for in PATH
    #[arg(long, value_name = "FILE")]
    opentracker: Option<PathBuf>,
}

/// Wrong answers by what is wrong with them, as tracker-load reports them.
pub(crate) fn faults(report: &serde_json::Value) -> String {
    let faults = report["faults"].as_object().into_iter().flatten();
    let found = faults.filter_map(|(name, count)| Some((name, count.as_u64().filter(|count| *count > 0)?)));
    found
        .map(|(name, count)| format!("{count} wrong answers ({})", name.replace('_', " ")))
        .collect::<Vec<_>>()
        .join(", ")
}

impl Programs {
    /// Of all that take part.
    pub(crate) fn versions(&self) -> Vec<String> {
        let mut versions = report::versions();
        if let Some(aquatic) = self.aquatic() {
            versions.push(format!(
                "aquatic_udp {}",
                report::said(&aquatic.to_string_lossy(), &["--version"], "")
            ));
        }
        if self.opentracker().is_some() {
            let query = ["-W", "-f", "opentracker ${Version}", "opentracker"];
            versions.push(report::said("dpkg-query", &query, "opentracker"));
        }
        versions
    }

    /// tracker-load, in the client's namespace of a net, on CPU 0; its report, also when there are faults in it.
    pub(crate) fn load(&self, net: &Net, arguments: &[&str]) -> Result<serde_json::Value> {
        let mut command = net.client.command("taskset");
        command.args(["-c", "0"]).arg(&self.load).args(arguments);
        command.args(["--json", "--target", &format!("{}:{}", net.tracker(), trackers::PORT)]);
        let (text, result) = places::printed(command)?;
        match serde_json::from_str(&text) {
            Ok(report) => Ok(report),
            Err(error) => Err(result.err().unwrap_or_else(|| error.into())),
        }
    }

    fn aquatic(&self) -> Option<PathBuf> {
        self.aquatic.clone().or_else(|| programs::find("aquatic_udp"))
    }

    fn opentracker(&self) -> Option<PathBuf> {
        self.opentracker.clone().or_else(|| programs::find("opentracker"))
    }
}

/// Flags of `sockets`.
#[derive(Args, Clone)]
pub(crate) struct Flags {
    /// Rounds of each tracker
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Measured seconds of a round
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Cases, by name or its beginning, comma separated; all without
    #[arg(long, value_delimiter = ',', value_name = "CASE,…")]
    only: Vec<String>,
    /// Where sockets.md and sockets.json are written
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    #[command(flatten)]
    programs: Programs,
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

/// `sockets`: all of it, as a report.
pub(crate) fn run(flags: &Flags) -> Result<()> {
    let machine = two_cpus()?;
    let rows = measure(&flags.programs, &flags.only, flags.rounds, flags.seconds)?;
    ensure!(!rows.is_empty(), "no case is called {}", flags.only.join(", "));
    let mut command =
        format!("cargo xtask bench sockets --rounds {} --seconds {}", flags.rounds, flags.seconds);
    if !flags.only.is_empty() {
        command += &format!(" --only {}", flags.only.join(","));
    }
    let conditions = Conditions {
        title: "Trackers under ordinary clients, over UDP",
        machine: &machine,
        command,
        rounds: flags.rounds,
        seconds: flags.seconds,
        versions: flags.programs.versions(),
        remarks: rows::REMARKS,
    };
    report::publish(&conditions, &rows, flags.output.as_deref(), "sockets")
}

/// `connect`: what a connect costs, answered by the program and by the socket workers.
pub(crate) fn connect(flags: &ConnectFlags) -> Result<()> {
    let machine = two_cpus()?;
    let only = ["xdp", "sockets", "aquatic"].map(|who| format!("clients-connect-{who}"));
    let rows = measure(&flags.programs, &only, flags.rounds, flags.seconds)?;
    println!("{}\n", machine.line());
    for row in &rows {
        println!("{}: {} {}; {}", row.what, row.figures.show(row.digits), row.unit, row.notes.join("; "));
    }
    Ok(())
}

fn two_cpus() -> Result<Machine> {
    let machine = Machine::this();
    ensure!(machine.cpus() >= 2, "client and tracker need a CPU each, and this machine has one");
    Ok(machine)
}

/// A case's name.
fn id(place: Place, workload: Workload, who: Who) -> String {
    format!("{}-{}-{}", place.id(), workload.name(), who.id())
}

/// Rows of the cases that were asked for; those that are compared run together.
///
/// Without other trackers on this machine ours are measured alone.
fn measure(programs: &Programs, only: &[String], rounds: u32, seconds: f64) -> Result<Vec<Row>> {
    let wanted = |id: &str| only.is_empty() || only.iter().any(|name| id.starts_with(name.as_str()));
    let absent = Who::ALL.into_iter().filter(|who| !who.is_there(programs));
    for program in absent.map(Who::name).collect::<std::collections::BTreeSet<_>>() {
        eprintln!("{program} isn't installed and isn't measured; `cargo xtask bench setup` installs it");
    }
    let mut rows = Vec::new();
    for place in Place::ALL {
        let workloads_of = |who: Who| -> Vec<Workload> {
            Workload::ALL.into_iter().filter(|workload| wanted(&id(place, *workload, who))).collect()
        };
        let whos: Vec<Who> = Who::ALL
            .into_iter()
            .filter(|who| who.is_there(programs) && place.suits(*who) && !workloads_of(*who).is_empty())
            .collect();
        let mut kept: Vec<(Who, Workload, Vec<Round>)> = Vec::new();
        for number in 1..=rounds {
            for who in &whos {
                let workloads = workloads_of(*who);
                let measured = one(programs, place, *who, &workloads, seconds)
                    .with_context(|| format!("{}, {}", place.name(), who.name()))?;
                for (workload, round) in workloads.into_iter().zip(measured) {
                    eprintln!(
                        "round {number}, {}: {:.0} answers/s, {:.2} µs CPU an answer",
                        id(place, workload, *who),
                        round.answers_per_s,
                        round.total_us()
                    );
                    match kept.iter_mut().find(|(other, of, _)| (*other, *of) == (*who, workload)) {
                        Some((_, _, rounds)) => rounds.push(round),
                        None => kept.push((*who, workload, vec![round])),
                    }
                }
            }
        }
        rows.extend(Workload::ALL.into_iter().flat_map(|workload| {
            let of: Vec<(Who, &[Round])> = kept
                .iter()
                .filter(|(_, other, _)| *other == workload)
                .map(|(who, _, rounds)| (*who, rounds.as_slice()))
                .collect();
            rows::of(place, workload, &of)
        }));
    }
    Ok(rows)
}

/// A fresh daemon under the workloads, one after the other.
fn one(
    programs: &Programs,
    place: Place,
    who: Who,
    workloads: &[Workload],
    seconds: f64,
) -> Result<Vec<Round>> {
    let net = Net::new(place)?;
    let scratch = crate::server::scratch()?;
    let daemon = Daemon::start(&net, programs, who, scratch.path(), 10_000, "")?;
    let kernel = net.kernel_threads(who)?;
    let mut rounds = Vec::new();
    for workload in workloads {
        let round = Round::measure(&net, &programs.load, *workload, who, seconds, &kernel, daemon.pid());
        rounds.push(round.map_err(|error| error.context(daemon.statistics(&net, programs, scratch.path())))?);
    }
    Ok(rounds)
}
