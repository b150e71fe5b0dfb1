//! WebTorrent over WebSocket: clients that announce with offers, get each other's, and answer some.
//!
//! - [`closed_loop`] announces for some time, [`mix`] at a given rate if wanted, [`idle`] once; all have a [`crowd`] do it. [`counts`]: what came; [`report`] prints it.
//! - [`swarms`]: who announces what; [`messages`] writes, [`message`] reads; [`offer`]: an offer's number, from which its content follows;
//!   [`ledger`] and [`members`]: whose it may be.
//! - [`upgrade`] and [`frames`]: the protocol below.

mod closed_loop;
mod counts;
mod crowd;
pub(crate) mod frames;
mod idle;
mod ledger;
mod members;
pub(crate) mod message;
mod messages;
mod mix;
mod offer;
mod report;
mod swarms;
mod upgrade;

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use clap::{Args, Subcommand};

use crate::seconds;
use swarms::Choice;

/// What is done over WebSocket.
#[derive(Subcommand)]
pub(crate) enum Ws {
    /// Announces with offers, the next one of a connection when the last is answered
    ///
    /// Without --per-connection each announce is of a random torrent of the population, all with the same chance, so that in time every
    /// connection becomes a member of every swarm; swarms are small at first and offers go nowhere. With it each connection has so many
    /// torrents of its own, and --peers connections share a torrent; it announces each of them once, and only when all have done so, the
    /// warm-up begins.
    Announce(Announce),
    /// Announces and scrapes of torrents as popular as real ones are, in a closed or an open loop
    Mix(Box<mix::Flags>),
    /// Connections that announce one torrent and do nothing more but answer pings, and what they cost
    Idle(Idle),
}

#[derive(Args)]
pub(crate) struct Common {
    /// Where the tracker listens
    #[arg(long, value_name = "ADDR:PORT")]
    target: SocketAddr,
    /// What is asked for in the upgrade
    #[arg(long, default_value = "/announce")]
    path: String,
    /// Over TLS
    #[arg(long)]
    tls: bool,
    /// Offers of an announce
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(0..=i64::from(offer::MOST)))]
    offers: u32,
    /// Length of an offer's and of an answer's session description
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u32).range(i64::from(messages::SHORTEST_SDP)..=60_000))]
    sdp_bytes: u32,
    /// Part of the offers that is answered
    #[arg(long, default_value_t = 0.15, value_parser = share)]
    answer_share: f64,
    /// Everybody is a leecher; otherwise every second connection is a seeder
    #[arg(long)]
    leechers: bool,
    /// Report as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub(crate) struct Announce {
    #[command(flatten)]
    common: Common,
    /// Connections at once, each from an address of its own when the tracker is on loopback
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    connections: u32,
    /// Torrents in the population
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..), conflicts_with = "per_connection")]
    torrents: u32,
    /// Torrents of each connection, instead of all
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    per_connection: Option<u32>,
    /// Members of each torrent, with --per-connection
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..), requires = "per_connection")]
    peers: u32,
    /// Measured time
    #[arg(long, default_value_t = 5.0, value_parser = seconds)]
    seconds: f64,
    /// Time before that, not measured
    #[arg(long, default_value_t = 0.5, value_parser = seconds)]
    warmup: f64,
    /// Stop after so many measured announces
    #[arg(long, value_name = "N")]
    announces: Option<u64>,
    /// Count the CPU time of this process over the measured time; can be given several times
    #[arg(long, value_name = "PID")]
    cpu_of: Vec<u32>,
    /// Compare this process's memory at the end, with all connections, to that before
    #[arg(long, value_name = "PID")]
    memory_of: Option<u32>,
}

#[derive(Args)]
pub(crate) struct Idle {
    #[command(flatten)]
    common: Common,
    /// Connections, each from an address of its own when the tracker is on loopback
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    connections: u32,
    /// Members of each torrent
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    peers: u32,
    /// Time without an announce before the memory is looked at
    #[arg(long, default_value_t = 3.0, value_parser = seconds)]
    seconds: f64,
    /// Compare this process's memory with all connections to that before
    #[arg(long, value_name = "PID")]
    memory_of: Option<u32>,
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(value) if (0.0..=1.0).contains(&value) => Ok(value),
        _ => Err("a part of 1, from 0 to 1".to_owned()),
    }
}

impl Common {
    fn crowd(&self, connections: u32, choice: Choice) -> crowd::Load {
        crowd::Load {
            target: self.target,
            path: self.path.clone(),
            connections,
            tls: self.tls,
            choice,
            leechers: self.leechers,
            offers: self.offers,
            sdp_bytes: self.sdp_bytes,
            answer_share: self.answer_share,
            scrape_share: 0.0,
            sources: Vec::new(),
            shared: true,
            seed: 1,
        }
    }
}

pub(crate) fn run(what: &Ws) -> Result<()> {
    match what {
        Ws::Mix(flags) => mix::run(flags)?,
        Ws::Announce(flags) => {
            let choice = match flags.per_connection {
                Some(each) => Choice::Own { each, peers: flags.peers },
                None => Choice::Any { torrents: flags.torrents },
            };
            let load = closed_loop::Load {
                crowd: flags.common.crowd(flags.connections, choice),
                measured: Duration::from_secs_f64(flags.seconds),
                warmup: Duration::from_secs_f64(flags.warmup),
                announces: flags.announces,
                cpu_of: flags.cpu_of.clone(),
                memory_of: flags.memory_of,
            };
            let measured = closed_loop::run(&load)?;
            report::announces(&load, &measured, flags.common.json);
        }
        Ws::Idle(flags) => {
            let peers = flags.peers.min(flags.connections);
            let load = idle::Load {
                crowd: flags.common.crowd(flags.connections, Choice::Own { each: 1, peers }),
                idle: Duration::from_secs_f64(flags.seconds),
                memory_of: flags.memory_of,
            };
            let measured = idle::run(&load)?;
            report::idle(&load, &measured, flags.common.json);
        }
    }
    Ok(())
}
