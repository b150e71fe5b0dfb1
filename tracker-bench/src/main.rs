//! The laboratory: measures and stresses the XDP program and the swarm table. `cargo xtask bench` and `cargo xtask stress` build and run it.
//!
//! - [`cases`]: what is measured; [`kernel`]: how; [`report`], [`rounds`], [`machine`]: what is made of it.
//! - [`writer`]: the writer's time and the table's memory.
//! - [`flood`]: more offered than can be answered.
//! - [`sockets`]: trackers under ordinary clients over UDP, aquatic_udp and opentracker among them.
//! - [`footprint`]: memory of a peer, beside others; [`expiry`]: what clients notice while peers expire; [`held`]: memory of a process.
//! - [`summary`]: all reports on one page.
//! - [`instructions`]: how many a request takes, for CI.
//! - [`http`]: trackers over HTTP and HTTPS, opentracker and aquatic_http among them; [`ws`]: trackers of WebTorrent, beside aquatic_ws;
//!   [`server`], [`load`], [`certificate`], [`crowds`]: what both need; [`programs`]: where they are.
//! - [`cable`]: namespaces and a veth pair; [`station`]: a program on one; [`drive`]: the generator, one round.
//! - [`laboratory`]: the laboratory's own BPF programs; [`mod@reference`], [`ours`]: the tables that are measured beside each other.
//! - [`stress`]: every answer checked while the writer churns.
//! - [`sys`]: system calls.

#![deny(unsafe_code)]

mod cable;
mod cases;
mod certificate;
mod crowds;
mod drive;
mod expiry;
mod flood;
mod footprint;
mod held;
mod http;
mod instructions;
mod kernel;
mod laboratory;
mod load;
mod machine;
mod ours;
mod programs;
mod reference;
mod report;
mod rounds;
mod server;
mod shape;
mod sockets;
mod station;
mod stress;
mod summary;
mod sys;
mod udp;
mod writer;
mod ws;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Measures and stresses the tracker on this machine.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// What an answer costs in the kernel, beside the floor and the reference; the writer; memory; a flood
    Udp(udp::Flags),
    /// Trackers under ordinary clients over UDP: ours in all its ways, aquatic_udp, opentracker, and a server that does nothing
    Sockets(sockets::Flags),
    /// What a peer takes in memory, beside aquatic_udp and opentracker
    Footprint(footprint::Flags),
    /// Latency at half load while ten million peers expire, beside aquatic_udp; takes a quarter of an hour
    Expiry(expiry::Flags),
    /// All reports on one page
    Summary(summary::Flags),
    /// Instructions of each hot path, a request
    Instructions(instructions::Flags),
    /// What a connect costs with ordinary clients, answered by XDP and by sockets
    Connect(sockets::ConnectFlags),
    /// What a request costs over HTTP and HTTPS, beside a bare hyper server, opentracker and aquatic_http; memory of idle connections
    Http(http::Flags),
    /// What WebTorrent's messages cost over WebSocket, plain and with TLS, beside aquatic_ws; memory
    Ws(ws::Flags),
    /// The server that does nothing, which `sockets` measures
    #[command(hide = true)]
    Null(sockets::null::Flags),
    /// The bare hyper server that `http` measures
    #[command(hide = true)]
    Floor(http::floor::Flags),
    /// Readers in the kernel and in user space check every answer while the writer churns
    Stress(stress::Flags),
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Udp(flags) => udp::run(&flags),
        Command::Sockets(flags) => sockets::run(&flags),
        Command::Null(flags) => sockets::null::run(&flags),
        Command::Footprint(flags) => footprint::run(&flags),
        Command::Expiry(flags) => expiry::run(&flags),
        Command::Summary(flags) => summary::run(&flags),
        Command::Instructions(flags) => instructions::run(&flags),
        Command::Connect(flags) => sockets::connect(&flags),
        Command::Http(flags) => http::run(&flags),
        Command::Ws(flags) => ws::run(&flags),
        Command::Floor(flags) => http::floor::run(&flags),
        Command::Stress(flags) => stress::run(&flags),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tracker-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
