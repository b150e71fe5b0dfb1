//! What a peer takes in memory: ours and others, filled over UDP by the same announces.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Args;

use crate::held::Held;
use crate::machine::Machine;
use crate::report::{self, Conditions, Row};
use crate::rounds::Rounds;
use crate::sockets::places::{Net, Place};
use crate::sockets::trackers::{Daemon, Who};
use crate::sockets::{Programs, faults};

/// Flags of `footprint`.
#[derive(Args, Clone)]
pub(crate) struct Flags {
    /// Where footprint.md and footprint.json are written
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    #[command(flatten)]
    programs: Programs,
}

/// Torrents, and peers of each.
const SHAPES: [(u32, u32); 2] = [(1_000_000, 2), (10_000, 200)];

const TRACKERS: [Who; 5] = [Who::Xdp, Who::Mmsg, Who::Aquatic, Who::AquaticIoUring, Who::Opentracker];

pub(crate) fn run(flags: &Flags) -> Result<()> {
    let machine = Machine::this();
    let mut rows = Vec::new();
    for (torrents, peers) in SHAPES {
        for who in TRACKERS.into_iter().filter(|who| who.is_there(&flags.programs)) {
            rows.push(one(&flags.programs, who, torrents, peers)?);
        }
    }
    let conditions = Conditions {
        title: "What a peer takes in memory",
        machine: &machine,
        command: "cargo xtask bench footprint".to_owned(),
        rounds: 1,
        seconds: 0.0,
        versions: flags.programs.versions(),
        remarks: REMARKS,
    };
    report::publish(&conditions, &rows, flags.output.as_deref(), "footprint")
}

fn one(programs: &Programs, who: Who, torrents: u32, peers: u32) -> Result<Row> {
    let net = Net::new(if who == Who::Xdp { Place::Veth } else { Place::Loopback })?;
    let scratch = crate::server::scratch()?;
    let daemon = Daemon::start(&net, programs, who, scratch.path(), torrents, "")?;
    let process = daemon.pid().to_string();
    let before = Held::of(&process)?;
    let (torrents_flag, peers_flag) = (torrents.to_string(), peers.to_string());
    let report = programs.load(
        &net,
        &[
            "udp",
            "mix",
            "--torrents",
            &torrents_flag,
            "--peers",
            &peers_flag,
            "--leechers",
            "true",
            "--fill",
            "true",
            "--shared",
            "true",
            "--want",
            "1",
            "--connects",
            "0",
            "--scrapes",
            "0",
            "--warmup",
            "0.5",
            "--seconds",
            "0.5",
        ],
    )?;
    let answers = report.pointer("/kinds/announce/answers").and_then(serde_json::Value::as_u64).unwrap_or(0);
    ensure!(answers > 0, "{} doesn't answer when it is full: {report}", who.name());
    let after = Held::of(&process)?;
    let total = f64::from(torrents) * f64::from(peers);
    let a_peer = after.bytes.saturating_sub(before.bytes) as f64 / total;
    eprintln!("{}, {torrents} × {peers}: {a_peer:.1} bytes a peer", who.name());
    let row = Row::new(
        &format!("footprint-{torrents}x{peers}-{}", who.id()),
        format!("{torrents} torrents with {peers} IPv4 peers, {}", who.name()),
        "bytes a peer",
        1,
        Rounds::new([a_peer]),
    )
    .note(format!(
        "process {:.1} MB before, {:.1} MB after, of which {:.1} MB are maps",
        before.bytes as f64 / 1e6,
        after.bytes as f64 / 1e6,
        after.maps as f64 / 1e6
    ));
    let faults = faults(&report);
    Ok(if faults.is_empty() { row } else { row.note(faults) })
}

const REMARKS: &str = "\
## How it is measured

- tracker-load announces every peer once over UDP, all from one address with ports of their own, and then some at random. What the process holds (smaps: all of its \
memory, and the BPF maps in it) after that, less what it held before the first request, over the peers.
- Ours is as it is configured by default, with XDP across a veth pair and without on loopback; opentracker (Debian's) has a whitelist of the torrents, which is there \
before; aquatic_udp has its defaults.

## What it doesn't show

- Peers that come and go for days, and what a heap looks like after that.
- Peers of many addresses, which a per-address limit would have to remember (`swarm.max_torrents_per_address`, off by default).
- What the trackers count: announces that were lost on the way (there are few) are taken for peers.
";
