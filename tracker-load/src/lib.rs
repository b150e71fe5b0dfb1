//! Load generator for BitTorrent trackers over UDP, HTTP, HTTPS and WebSocket that checks what it is answered.
//!
//! `tracker-load udp connect --target 127.0.0.1:6969` keeps a window of requests in flight, sends the next one when an
//! answer has come, and reports answers per second, losses and latency; `--cpu-of PID` adds the CPU time that
//! a process used meanwhile. It speaks plain BEP 15, so it works against any tracker. `tracker-load http announce` does the same with
//! announces over some connections, kept alive or not, plain or TLS; `tracker-load http idle` holds many connections open and
//! says what memory they cost a process. `tracker-load ws announce` and `ws idle` are WebTorrent's clients, which get each other's offers
//! and answer them.
//!
//! `tracker-load udp mix` sends connects, announces and scrapes by weights, to swarms of realistic sizes, at a given rate if wanted.
//!
//! Modules: [`population`]: who announces; [`popularity`]: how large swarms are; [`mix`] has a map of its own; [`http`] and [`ws`] have maps of their own; [`stream`]: a connection of theirs; of UDP [`closed_loop`] drives, [`requests`] writes requests and
//! judges answers, [`report`] prints. [`latency`] counts times, [`cpu_time`] reads the scheduler's clocks, [`memory`] the kernel's
//! sums, [`sys`] has the system calls and all of the unsafe code.
//! [`options`] declares flags and files; [`answers`] is for fuzzing.

pub mod answers;
mod closed_loop;
mod cpu_time;
mod http;
mod latency;
mod memory;
mod mix;
mod options;
mod popularity;
mod population;
mod report;
mod requests;
mod stream;
mod sys;
mod ws;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};

use crate::closed_loop::{Load, Workload};

/// Load generator for BitTorrent trackers that checks what it is answered.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    protocol: Protocol,
}

#[derive(Subcommand)]
enum Protocol {
    /// BEP 15
    #[command(subcommand)]
    Udp(Udp),
    /// BEP 3 and 23
    #[command(subcommand)]
    Http(http::Http),
    /// WebTorrent's protocol over WebSocket
    #[command(subcommand)]
    Ws(ws::Ws),
}

#[derive(Subcommand)]
enum Udp {
    /// Connects only
    Connect(Common),
    /// Announces: first every peer of every torrent once, then random ones
    Announce {
        #[command(flatten)]
        common: Common,
        /// Torrents in the population
        #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
        torrents: u32,
        /// Peers of each torrent; they share an address and differ in their port, every second one is a seeder
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=60_000))]
        peers: u16,
        /// Peers wanted in an answer; -1 leaves it to the tracker
        #[arg(long, default_value_t = -1, allow_negative_numbers = true)]
        want: i32,
        /// Everybody is a leecher, so that everybody may be given to everybody
        #[arg(long)]
        leechers: bool,
    },
    /// Connects, announces and scrapes together, in a closed or an open loop, with answers looked at closely
    Mix(Box<mix::Flags>),
}

#[derive(Args)]
struct Common {
    /// Where the tracker listens
    #[arg(long, value_name = "ADDR:PORT")]
    target: SocketAddr,
    /// Measured time
    #[arg(long, default_value_t = 5.0, value_parser = seconds)]
    seconds: f64,
    /// Time before that, not measured; announces are not measured before every peer has announced once
    #[arg(long, default_value_t = 0.5, value_parser = seconds)]
    warmup: f64,
    /// Stop after so many measured answers
    #[arg(long, value_name = "N")]
    answers: Option<u64>,
    /// Requests in flight, over all sockets
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    window: u32,
    /// Sockets, each with a source port of its own
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1024))]
    sockets: u32,
    /// Count the CPU time of this process (or kernel thread) over the measured time; can be given several times
    #[arg(long, value_name = "PID")]
    cpu_of: Vec<u32>,
    /// Report as JSON
    #[arg(long)]
    json: bool,
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(value) if (0.0..=86_400.0).contains(&value) => Ok(value),
        _ => Err("a number of seconds from 0 to 86400".to_owned()),
    }
}

/// Does what the command line says.
pub fn run() -> ExitCode {
    let done = match Cli::parse().protocol {
        Protocol::Udp(udp) => run_udp(udp),
        Protocol::Http(what) => http::run(&what),
        Protocol::Ws(what) => ws::run(&what),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tracker-load: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run_udp(udp: Udp) -> Result<()> {
    let (common, workload) = match udp {
        Udp::Mix(flags) => return mix::run(&flags),
        Udp::Connect(common) => (common, Workload::Connect),
        Udp::Announce { common, torrents, peers, want, leechers } => {
            (common, Workload::Announce { torrents, peers, want, leechers })
        }
    };
    let load = Load {
        target: common.target,
        workload,
        measured: Duration::from_secs_f64(common.seconds),
        warmup: Duration::from_secs_f64(common.warmup),
        answers: common.answers,
        window: common.window,
        sockets: common.sockets,
        cpu_of: common.cpu_of,
    };
    let measured = closed_loop::run(&load)?;
    report::print(&load, &measured, common.json);
    Ok(())
}
