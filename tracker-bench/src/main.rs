//! The laboratory: measures and stresses the XDP program and the swarm table.

#![deny(unsafe_code)]

mod cable;
mod drive;
mod laboratory;
mod reference;
mod shape;
mod sys;

use std::time::Duration;
use std::sync::atomic::{AtomicBool, Ordering};
use tracker_lab::traffic::{self, Traffic};
use drive::Load;
use bytemuck::Zeroable as _;

fn main() -> anyhow::Result<()> {
    let object = std::path::Path::new("/work/main/target/bpf/lab");
    let cable = cable::Cable::new();
    let mut lab = laboratory::Laboratory::load(object, &[])?;
    let _sink = lab.attach("count", &cable.client, &cable.client_interface)?;
    let time = Duration::from_millis(1000);
    let t = |torrents, peers| Traffic { torrents, peers, want: 50, ..Traffic::zeroed() };
    for (program, bytes) in [("connect_v4", traffic::CONNECT_V4_LEN), ("connect_v6", traffic::CONNECT_V6_LEN), ("announce_v4", traffic::ANNOUNCE_V4_LEN), ("announce_ref", traffic::ANNOUNCE_V4_LEN), ("scrape1_v4", traffic::scrape_v4_len(1)), ("scrape70_v4", traffic::scrape_v4_len(70))] {
        for server in ["drop_all", "reflect"] {
            let at = lab.attach(server, &cable.server, &cable.server_interface)?;
            let d = drive::drive(&mut lab, &cable, &Load { program, bytes: bytes - 1, traffic: t(100_000, 51) }, time)?;
            lab.detach(at)?;
            println!("{program} {server}: {:.1} ns cpu, {:.1} wall {:?}", d.ns_per(d.tally.generated), d.wall.as_nanos() as f64 / d.tally.generated as f64, d.tally);
        }
    }
    for s in [shape::Shape::new(1000, 50), shape::Shape::new(10_000, 50), shape::Shape::new(100_000, 50), shape::Shape::new(1_000_000, 2)] {
        let mut r = reference::Reference::new(object, s)?;
        let at = r.attach("ref_announce", &cable)?;
        let stop = AtomicBool::new(false);
        let (d, c) = std::thread::scope(|scope| {
            let c = scope.spawn(|| r.consume(&stop));
            let d = drive::drive(&mut lab, &cable, &Load { program: "announce_ref", bytes: traffic::ANNOUNCE_V4_LEN - 1, traffic: t(s.torrents, s.peers_each()) }, time);
            stop.store(true, Ordering::Release);
            (d, c.join().unwrap())
        });
        r.detach(at)?;
        let (d, c) = (d?, c?);
        println!("{s}: {:.1} ns cpu, {:.1} wall {:?} events {} {:.0} verified {:?}", d.ns_per(d.tally.generated), d.wall.as_nanos() as f64 / d.tally.generated as f64, d.tally, c.events, c.ns_per_event(), r.verified("ref_announce")?);
    }
    Ok(())
}
