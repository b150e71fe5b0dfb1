//! Announces over HTTP and HTTPS: [`closed_loop`] drives, [`requests`] writes and [`answer`] judges; [`idle`] holds connections
//! open; [`report`] prints. [`mix`] has announces and scrapes, at a given rate if wanted, and looks at answers closely.

pub(crate) mod answer;
mod closed_loop;
mod idle;
pub(crate) mod mix;
mod report;
mod requests;

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use clap::{Args, Subcommand};

use crate::population::Population;
use crate::seconds;
use crate::stream::tls::Handshakes;

/// A request without an answer for so long is lost.
const LOST_AFTER: Duration = Duration::from_secs(5);

/// The longest answer, header included, that is taken.
const LONGEST: usize = 16 << 10;

/// What is done over HTTP.
#[derive(Subcommand)]
pub(crate) enum Http {
    /// Announces: first every peer of every torrent once, then random ones
    Announce(Announce),
    /// Announces and scrapes together, in a closed or an open loop, with answers looked at closely
    Mix(Box<mix::Flags>),
    /// Connections that do nothing, and what they cost
    Idle(Idle),
}

#[derive(Args)]
pub(crate) struct Swarms {
    /// Where the tracker listens
    #[arg(long, value_name = "ADDR:PORT")]
    target: SocketAddr,
    /// Torrents in the population
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    torrents: u32,
    /// Peers of each torrent; they share an address and differ in their port, every second one is a seeder
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=60_000))]
    peers: u16,
    /// Peers wanted in an answer
    #[arg(long, default_value_t = 30)]
    want: u32,
    /// Everybody is a leecher, so that everybody may be given to everybody
    #[arg(long)]
    leechers: bool,
    /// The population has announced before (over UDP, say): begin at random
    #[arg(long)]
    announced: bool,
    /// Report as JSON
    #[arg(long)]
    json: bool,
}

impl Swarms {
    fn population(&self) -> Population {
        let population = Population::new(self.torrents, self.peers, self.leechers);
        if self.announced { population.announced() } else { population }
    }
}

#[derive(Args)]
pub(crate) struct Announce {
    #[command(flatten)]
    swarms: Swarms,
    /// Measured time
    #[arg(long, default_value_t = 5.0, value_parser = seconds)]
    seconds: f64,
    /// Time before that, not measured; announces are not measured before every peer has announced once
    #[arg(long, default_value_t = 0.5, value_parser = seconds)]
    warmup: f64,
    /// Stop after so many measured answers
    #[arg(long, value_name = "N")]
    answers: Option<u64>,
    /// Connections at once, with one request under way on each
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    connections: u32,
    /// A connection for each request, instead of keeping them alive
    #[arg(long)]
    close: bool,
    /// Over TLS
    #[arg(long, value_name = "HANDSHAKES")]
    tls: Option<Handshakes>,
    /// Count the CPU time of this process over the measured time; can be given several times
    #[arg(long, value_name = "PID")]
    cpu_of: Vec<u32>,
}

#[derive(Args)]
pub(crate) struct Idle {
    #[command(flatten)]
    swarms: Swarms,
    /// Connections, each from an address of its own when the tracker is on loopback
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    connections: u32,
    /// Over TLS
    #[arg(long)]
    tls: bool,
    /// What is sent on each connection
    #[arg(long, value_enum, default_value_t = idle::Sends::Announce)]
    sends: idle::Sends,
    /// Compare this process's memory with all connections to that before
    #[arg(long, value_name = "PID")]
    memory_of: Option<u32>,
}

pub(crate) fn run(what: &Http) -> Result<()> {
    match what {
        Http::Mix(flags) => mix::run(flags)?,
        Http::Announce(flags) => {
            let load = closed_loop::Load {
                target: flags.swarms.target,
                connections: flags.connections,
                close: flags.close,
                tls: flags.tls,
                want: flags.swarms.want,
                measured: Duration::from_secs_f64(flags.seconds),
                warmup: Duration::from_secs_f64(flags.warmup),
                answers: flags.answers,
                cpu_of: flags.cpu_of.clone(),
            };
            let measured = closed_loop::run(&load, flags.swarms.population())?;
            report::announces(&load, &measured, flags.swarms.json);
        }
        Http::Idle(flags) => {
            let load = idle::Load {
                target: flags.swarms.target,
                connections: flags.connections,
                tls: flags.tls,
                sends: flags.sends,
                want: flags.swarms.want,
                memory_of: flags.memory_of,
            };
            let measured = idle::run(&load, flags.swarms.population())?;
            report::idle(&load, &measured, flags.swarms.json);
        }
    }
    Ok(())
}
