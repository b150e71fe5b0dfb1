//! `ws`: messages per CPU second of WebTorrent's trackers, and their memory.
//!
//! - [`servers`]: ours and aquatic_ws; [`load`]: tracker-load; [`workload`]: what its clients do.
//! - [`rows`]: messages per CPU second; [`lasting`]: memory after many announces; [`memory`]: idle connections.
//!
//! The servers run throughout the rounds of a crowd and take turns, as for `http`.

mod lasting;
mod load;
mod memory;
mod rows;
mod servers;
mod workload;

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use clap::Args;

use crate::certificate::Certificate;
use crate::crowds;
use crate::machine::Machine;
use crate::programs::WsPrograms;
use crate::report::{self, Conditions, Row};
use rows::Measured;
use servers::{Server, Who};
use workload::{Crowd, Workload, case};

/// Flags of `ws`.
#[derive(Args, Clone)]
pub(crate) struct Flags {
    /// Rounds of each case
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Measured seconds of a round; three times as many with 10,000 connections
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Cases, by name or its beginning, comma separated; all without
    #[arg(long, value_delimiter = ',', value_name = "CASE,…")]
    only: Vec<String>,
    /// Where ws.md and ws.json are written
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    #[command(flatten)]
    programs: WsPrograms,
}

impl Flags {
    fn wants(&self, case: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| case.starts_with(name.as_str()))
    }

    fn has(&self, who: Who) -> bool {
        match who {
            Who::Ours => true,
            Who::Aquatic { .. } => self.programs.aquatic().is_some(),
        }
    }
}

pub(crate) fn run(flags: &Flags) -> Result<()> {
    let machine = Machine::this();
    ensure!(machine.cpus() >= 2, "client and tracker need a CPU each, and this machine has one");
    // Servers inherit the limit that this raises.
    let connections = crowds::connections()?;
    if flags.programs.aquatic().is_none() {
        eprintln!("aquatic_ws isn't installed and isn't measured; `cargo xtask bench setup` installs it");
    }
    let directory = tempfile::tempdir().context("a temporary directory")?;
    let certificate = Certificate::make(directory.path())?;

    let mut rows = Vec::new();
    for crowd in Crowd::ALL {
        rows.extend(speed(flags, &certificate, crowd)?);
    }
    for torrents in lasting::TORRENTS {
        let servers = [Who::Ours, Who::Aquatic { tls: true }].into_iter();
        let wants =
            |who: &Who| flags.has(*who) && flags.wants(&format!("{}-{}", lasting::id(torrents), who.id()));
        let servers: Vec<Who> = servers.filter(wants).collect();
        rows.extend(lasting::rows(&flags.programs, &certificate, torrents, &servers)?);
    }
    for case in memory::Case::all().filter(|case| flags.has(case.who) && flags.wants(&case.id())) {
        let server = Server::start(&flags.programs, case.who, &certificate).with_context(|| case.id())?;
        let row = memory::measure(flags.programs.ours.load(), case, &server, connections)?;
        eprintln!("{}: {} {}", row.case, row.figures.show(row.digits), row.unit);
        rows.push(row);
    }
    ensure!(!rows.is_empty(), "no case is called {}", flags.only.join(", "));
    publish(flags, &machine, &rows)
}

/// Rows of one crowd, plain and with TLS, whose rounds take turns. The servers are fresh: a larger crowd leaves its memory behind.
fn speed(flags: &Flags, certificate: &Certificate, crowd: Crowd) -> Result<Vec<Row>> {
    let mut measured: Vec<Measured> = Workload::all()
        .filter(|workload| workload.crowd == crowd)
        .map(|workload| {
            let servers = workload.servers().into_iter();
            let wanted = servers.filter(|who| flags.has(*who) && flags.wants(&case(workload, *who)));
            Measured { workload, rounds: wanted.map(|who| (who, Vec::new())).collect() }
        })
        .collect();
    let wanted =
        |who: &Who| measured.iter().any(|measured| measured.rounds.iter().any(|(one, _)| one == who));
    let servers: Vec<Server> = Who::ALL
        .into_iter()
        .filter(wanted)
        .map(|who| Server::start(&flags.programs, who, certificate))
        .collect::<Result<_>>()?;
    for number in 1..=flags.rounds {
        for Measured { workload, rounds } in &mut measured {
            for (who, rounds) in rounds {
                let server = servers.iter().find(|server| server.who == *who).context("started above")?;
                let round = load::measure(flags.programs.ours.load(), *workload, server, flags.seconds)
                    .with_context(|| case(*workload, *who))?;
                eprintln!(
                    "round {number}, {}: {:.0} announces/s, {:.1} thousand messages out a CPU second, {:.1} µs of CPU an announce",
                    case(*workload, *who),
                    round.announces / round.seconds,
                    round.per_cpu_second(),
                    round.us_per_announce()
                );
                rounds.push(round);
            }
        }
    }
    Ok(measured.iter().flat_map(Measured::rows).collect())
}

fn publish(flags: &Flags, machine: &Machine, rows: &[Row]) -> Result<()> {
    let mut command = format!("cargo xtask bench ws --rounds {} --seconds {}", flags.rounds, flags.seconds);
    if !flags.only.is_empty() {
        command += &format!(" --only {}", flags.only.join(","));
    }
    let mut versions = report::versions();
    if let Some(aquatic) = flags.programs.aquatic() {
        versions.push(format!("aquatic_ws {}", report::said(&aquatic.to_string_lossy(), &["--version"], "")));
    }
    let conditions = Conditions {
        title: "What WebTorrent's messages cost",
        machine,
        command,
        rounds: flags.rounds,
        seconds: flags.seconds,
        versions,
        remarks: REMARKS,
    };
    report::publish(&conditions, rows, flags.output.as_deref(), "ws")
}

/// What the figures are and what they don't show.
const REMARKS: &str = "\
## How it is measured

- tracker-load over loopback: one thread, 64 or 10,000 WebSocket connections, each from an address of its own and with one announce under \
way, the next one when the answer has come. The messages are written as bittorrent-tracker's client writes them: ten offers an announce \
with session descriptions of 400 bytes, 5.5 KB in all. Of the offers that a client gets it answers 15 %.
- Each connection is in 100 swarms (in 2, of 10,000) with 40 members. Every one is announced once before the time begins, and 0.5 s (5 s) \
of warm-up follow; so an announce always has somebody for each of its offers. With 10,000 connections three times the seconds are measured.
- **Every message is checked**: that offers and answers are what was sent, byte for byte or another spelling of the same JSON, under the right \
names, that an offer goes to one member of its swarm and its answer from there back to its maker, once. A round with one wrong message \
is none.
- **Messages out** are announce answers, offers and answers. aquatic_ws also sends an announce answer for each answer to an offer, which is \
counted for it here and does nothing for a client; the announces a CPU second, in the remarks of `…-over-aquatic`, leave it out.
- **The cost** is the CPU time of all threads of the server, to the nanosecond (schedstat): user and system, and what the kernel did in \
its time. A loopback delivers in the sender's time, so it contains the messages' way into the client's socket and not the announces' way \
into the server's; so for both servers.
- The generator has CPU 0, ours CPU 1, with one worker, and a configuration as for `bench http`. aquatic_ws has its defaults, one socket \
worker and one swarm worker, and both CPUs, as has the generator beside it: its two threads wait for each other.
- The clients confirm what comes at once (TCP_QUICKACK). aquatic_ws leaves Nagle's algorithm on: without that it would wait 40 ms for \
each client again and again. It also drops messages when more than 16 wait for a client, and its threads don't always wake each other: a client whose \
announce has no answer after 1.06 s (11 s of 10,000) announces again, and the lost ones are told of.
- Both servers run throughout the rounds of a crowd and their rounds take turns; each round has new connections. `…-over-…` are ratios of \
rounds that ran one after the other.
- **TLS**: TLS 1.3, a certificate with an ECDSA key on P-256; rustls on all sides, with ring in ours and in the generator and aws-lc in \
aquatic_ws. Handshakes are not in the measured time.
- **Memory after many announces** is what the process has in memory (VmRSS) when 64 connections with TLS have announced 250,000 times, \
each time a random torrent, which takes less than the 120 s for which both remember offers; a fresh server each time. Of 100 torrents each connection \
is soon a member of all (aquatic_ws's own load tester draws its torrents mostly from so few); of 10,000 there are 200,000 memberships in the end.
- **Memory of an idle connection** is VmRSS with 50,000 connections, or as many as files may be open, less what it had before the first, over \
their number; a fresh server, each connection has announced one torrent with ten offers, in swarms of up to 5, and has been quiet for 3 s. What \
the kernel keeps for a socket is in no process and not counted.

## What it doesn't show

- A network card and its interrupts, more than one worker, clients that are far away, slow, or come and go.
- Latency: the closed loop keeps an announce of every connection waiting, whose queue is what p50 and p99 show.
- aquatic_ws's own load tester: it sends an announce with ten offers for each message that comes, so that messages multiply until the tracker drops \
some. aquatic_ws drops what is more than 16 for a client; ours closes a client that lets 256 KiB wait.
- What a real crowd does: mostly idle connections, large swarms beside many tiny ones, and offers that are never answered.
";
