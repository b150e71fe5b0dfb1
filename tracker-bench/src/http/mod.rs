//! `http`: requests per CPU second of HTTP trackers, and the memory of their idle connections.
//!
//! - [`servers`]: ours, the [`floor`], opentracker and aquatic_http, with one certificate; [`load`]: tracker-load; [`workload`]: what
//!   its clients do.
//! - [`rows`]: answers per CPU second; [`memory`]: idle connections.
//!
//! All servers run throughout, each filled once, and take turns: what else happens on the machine hits all of them. A server that has
//! no turn waits, which costs nothing.

pub(crate) mod floor;
pub(crate) mod load;
mod memory;
mod rows;
mod servers;
mod workload;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use clap::Args;

use crate::certificate::Certificate;
use crate::crowds;
use crate::machine::Machine;
use crate::programs::HttpPrograms;
use crate::report::{self, Conditions, Row};
use load::Population;
use rows::Measured;
use servers::{Server, Who};
use workload::{Workload, case};

/// So many peers that each answer has 30 whatever the tracker leaves out.
const POPULATION: Population = Population { torrents: 10_000, peers: 40, want: 30 };

/// For idle connections, of which each adds a peer.
const SMALL: Population = Population { torrents: 1_000, peers: 40, want: 30 };

/// Flags of `http`.
#[derive(Args, Clone)]
pub(crate) struct Flags {
    /// Rounds of each case
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Measured seconds of a round
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Cases, by name or its beginning, comma separated; all without
    #[arg(long, value_delimiter = ',', value_name = "CASE,…")]
    only: Vec<String>,
    /// Where http.md and http.json are written
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    #[command(flatten)]
    programs: HttpPrograms,
}

impl Flags {
    fn wants(&self, case: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| case.starts_with(name.as_str()))
    }

    fn has(&self, who: Who) -> bool {
        match who {
            Who::Ours | Who::Hyper => true,
            Who::Opentracker => self.programs.opentracker().is_some(),
            Who::Aquatic { .. } => self.programs.aquatic().is_some(),
        }
    }
}

pub(crate) fn run(flags: &Flags) -> Result<()> {
    let machine = Machine::this();
    ensure!(machine.cpus() >= 2, "client and tracker need a CPU each, and this machine has one");
    // Servers inherit the limit that this raises.
    let connections = crowds::connections()?;
    for (who, name) in [(Who::Opentracker, "opentracker"), (Who::Aquatic { tls: false }, "aquatic_http")] {
        if !flags.has(who) {
            eprintln!("{name} isn't installed and isn't measured; `cargo xtask bench setup` installs it");
        }
    }
    let directory = tempfile::tempdir().context("a temporary directory")?;
    let certificate = Certificate::make(directory.path())?;
    let sample = directory.path().join("sample");

    let mut rows = Vec::new();
    let plan: Vec<(Workload, Vec<Who>)> = Workload::ALL
        .into_iter()
        .map(|workload| {
            let servers = workload.servers().into_iter();
            let wanted = servers.filter(|who| flags.has(*who) && flags.wants(&case(workload, *who)));
            (workload, wanted.collect())
        })
        .collect();
    if plan.iter().any(|(_, servers)| !servers.is_empty()) {
        rows.extend(speed(flags, &certificate, &sample, &plan)?);
    }
    let cases: Vec<memory::Case> = memory::Case::all()
        .into_iter()
        .filter(|case| flags.has(case.who) && flags.wants(&case.id()))
        .collect();
    for case in cases {
        if case.who == Who::Hyper && !sample.exists() {
            let ours = Server::start(&flags.programs, Who::Ours, &certificate, None, SMALL)?;
            fs::write(&sample, ours.sample(SMALL)?).context("cannot write the sample")?;
        }
        let server = Server::start(&flags.programs, case.who, &certificate, Some(&sample), SMALL)
            .with_context(|| case.id())?;
        let row = memory::measure(flags.programs.load(), case, &server, connections, SMALL)?;
        eprintln!("{}: {} {}", row.case, row.figures.show(row.digits), row.unit);
        rows.push(row);
    }
    ensure!(!rows.is_empty(), "no case is called {}", flags.only.join(", "));
    publish(flags, &machine, &rows)
}

/// Rows of the workloads, whose rounds take turns.
fn speed(
    flags: &Flags,
    certificate: &Certificate,
    sample: &std::path::Path,
    plan: &[(Workload, Vec<Who>)],
) -> Result<Vec<Row>> {
    let mut servers: Vec<Server> = Vec::new();
    let wanted: Vec<Who> = plan.iter().flat_map(|(_, servers)| servers).copied().collect();
    // Ours first: the bare server answers what it has answered.
    let all =
        [Who::Ours, Who::Hyper, Who::Opentracker, Who::Aquatic { tls: false }, Who::Aquatic { tls: true }];
    let needs = |who: &Who| wanted.contains(who) || (*who == Who::Ours && wanted.contains(&Who::Hyper));
    for who in all.into_iter().filter(needs) {
        eprintln!("starting and filling {}", who.name());
        let server = Server::start(&flags.programs, who, certificate, Some(sample), POPULATION)?;
        if who == Who::Ours {
            fs::write(sample, server.sample(POPULATION)?).context("cannot write the sample")?;
        }
        servers.push(server);
    }
    let mut measured: Vec<Measured> = plan
        .iter()
        .map(|(workload, servers)| Measured {
            workload: *workload,
            rounds: servers.iter().map(|who| (*who, Vec::new())).collect(),
        })
        .collect();
    for number in 1..=flags.rounds {
        for Measured { workload, rounds } in &mut measured {
            for (who, rounds) in rounds {
                let server = servers.iter().find(|server| server.who == *who).context("started above")?;
                let cpus = if who.takes_both_cpus() { "0,1" } else { "0" };
                let address = server.address(workload.tls());
                let load = flags.programs.load();
                let (pid, seconds) = (server.pid(), flags.seconds);
                let round = load::measure(load, *workload, address, pid, cpus, seconds, POPULATION)
                    .with_context(|| case(*workload, *who))?;
                eprintln!(
                    "round {number}, {}: {:.0} answers/s, {:.2} µs of CPU an answer",
                    case(*workload, *who),
                    round.answers_per_s,
                    round.us()
                );
                rounds.push(round);
            }
        }
    }
    Ok(measured.iter().flat_map(Measured::rows).collect())
}

fn publish(flags: &Flags, machine: &Machine, rows: &[Row]) -> Result<()> {
    let mut command = format!("cargo xtask bench http --rounds {} --seconds {}", flags.rounds, flags.seconds);
    if !flags.only.is_empty() {
        command += &format!(" --only {}", flags.only.join(","));
    }
    let mut versions = report::versions();
    if flags.has(Who::Opentracker) {
        versions.push(report::said(
            "dpkg-query",
            &["-W", "-f", "opentracker ${Version}", "opentracker"],
            "opentracker",
        ));
    }
    if let Some(aquatic) = flags.programs.aquatic() {
        versions
            .push(format!("aquatic_http {}", report::said(&aquatic.to_string_lossy(), &["--version"], "")));
    }
    let conditions = Conditions {
        title: "What an HTTP request costs",
        machine,
        command,
        rounds: flags.rounds,
        seconds: flags.seconds,
        versions,
        remarks: REMARKS,
    };
    report::publish(&conditions, rows, flags.output.as_deref(), "http")
}

/// What the figures are and what they don't show.
const REMARKS: &str = "\
## How it is measured

- tracker-load over loopback: one thread, 64 connections, each with one request under way and the next one when the answer has come. \
The announces are written as libtorrent writes them (its parameters, its header lines); torrent and peer are random, of 10,000 \
torrents with 40 peers that have all announced before. 30 peers are wanted, and every answer is checked: status, length, dictionary, \
30 peers.
- **The cost** is the CPU time of all threads of the server, to the nanosecond (schedstat), over the answers: user and system, and what \
the kernel did in its time. A loopback delivers in the sender's time, so it contains the answers' way into the client's socket and not \
the requests' way into the server's; so for all servers.
- The generator has CPU 0, the server CPU 1, with one worker. aquatic_http has both, as has the generator beside it: its two threads \
wait for each other, and on one CPU it does a quarter of that.
- All servers run throughout and their rounds take turns. `…-over-…` are ratios of rounds that ran one after the other.
- **Bare hyper** is the same hyper, tokio and rustls, with nothing around them: one current-thread runtime, an accept loop, and a \
service that answers always the same, which is an answer of ours, head and body.
- **close**: the client asks for `Connection: close`, waits for the server's end when the answer announces it, and closes with a \
reset, so that no address is used up. aquatic_http keeps connections whatever the client asks for; there the client closes.
- **HTTPS**: TLS 1.3, AES-256-GCM, X25519, a certificate with an ECDSA key on P-256; rustls and ring on both sides. Where sessions are resumed each of \
the 64 clients has tickets of its own.
- opentracker is Debian's, built with a whitelist that has the 10,000 torrents; it closes after each answer. aquatic_http 0.9.0 has its \
defaults: one socket worker, one swarm worker.
- **Memory** is what the process has in memory (VmRSS) with 50,000 connections, or as many as files may be open, less what it had \
before the first, over their number; a fresh server, each connection from an address of its own, which also becomes a peer of a swarm (some 40 bytes). What the kernel keeps for a \
socket is in no process and not counted.

## What it doesn't show

- A network card and its interrupts, more than one worker, clients that are far away and slow.
- Latency: the closed loop keeps 64 requests waiting, whose queue is what p50 and p99 show.
";
