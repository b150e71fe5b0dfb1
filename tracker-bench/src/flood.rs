//! The part that floods: more is offered than can be answered.
//!
//! CPU 1 has all of the tracker's kernel work and nothing else: its end of the cable receives in a kernel thread of its own (threaded
//! NAPI) that is pinned there, and the answers' way into the far end's queue is that thread's, too. CPU 0 has everybody else: the
//! generator, the thread that takes the answers off the far end's queue, and the writer.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::cable::{End, run_time_ns};
use crate::cases::{self, MIDDLE};
use crate::drive::{KERNEL_CPU, WRITER_CPU};
use crate::laboratory::Laboratory;
use crate::report::{Row, Target};
use crate::rounds::Rounds;
use crate::station::{Round, Server, Station};
use crate::sys;

/// Names, generators, and millions of answers a second to reach.
const CASES: [(&str, &str, &str, f64); 2] =
    [("flood-announce", "announces", "announce_v4", 0.9), ("flood-connect", "connects", "connect_v4", 1.5)];

/// Frames of one call: a second's worth, so that the pause between two calls doesn't count.
const FRAMES: u32 = 1 << 22;

pub(crate) fn cases() -> Vec<String> {
    CASES.iter().map(|(id, ..)| (*id).to_owned()).collect()
}

/// One round, and how long the tracker's thread ran in it.
struct Flooded {
    round: Round,
    busy: Duration,
}

pub(crate) fn measure(object: &Path, only: &[String], rounds: u32, time: Duration) -> Result<Vec<Row>> {
    let mut laboratory = Laboratory::load(object, &[])?;
    let mut station = Station::new(&mut laboratory, object, Server::Ours(MIDDLE))?;
    let thread = station.cable.receive_in_thread(End::Server, Some(WRITER_CPU))?;
    let thread = thread.context("the thread was asked for")?;
    let far = station.cable.receive_in_thread(End::Client, Some(KERNEL_CPU))?;
    // The queue between the ends has room for 256 frames: the generator must make way at once.
    sys::prefer_thread(far.context("the thread was asked for")?)
        .context("preferring the far end's thread")?;
    let wanted = |id: &str| only.is_empty() || only.iter().any(|name| id.starts_with(name.as_str()));
    let mut rows = Vec::new();
    for (id, what, program, least) in CASES.into_iter().filter(|(id, ..)| wanted(id)) {
        let mut load = cases::load(program, MIDDLE, false);
        load.frames = FRAMES;
        let mut kept = Vec::new();
        for number in 0..=rounds {
            let before = run_time_ns(thread)?;
            let round = station.round(&mut laboratory, &load, time, KERNEL_CPU)?;
            let busy = Duration::from_nanos(run_time_ns(thread)? - before);
            if number > 0 {
                kept.push(Flooded { round, busy });
            }
        }
        rows.push(row(id, what, least, &kept));
    }
    Ok(rows)
}

fn row(id: &str, what: &str, least: f64, rounds: &[Flooded]) -> Row {
    let a_second = |count: u64, of: &Flooded| count as f64 / of.round.driven.wall.as_secs_f64() / 1e6;
    let figure = |of: &dyn Fn(&Flooded) -> f64| Rounds::new(rounds.iter().map(of));
    let answered = figure(&|of| a_second(of.round.driven.tally.answers(), of));
    let offered = figure(&|of| a_second(of.round.driven.tally.generated, of));
    let busy = figure(&|of| 100.0 * of.busy.as_secs_f64() / of.round.driven.wall.as_secs_f64());
    let cost = figure(&|of| of.busy.as_nanos() as f64 / of.round.driven.tally.answers().max(1) as f64);
    let full: u64 = rounds.iter().map(|of| of.round.ring_full).sum();
    Row::new(
        id,
        format!(
            "flood of {what}, {} peers, {} torrents, kernel work on one core",
            MIDDLE.others, MIDDLE.torrents
        ),
        "M answers/s",
        2,
        answered,
    )
    .target(Target::AtLeast(least))
    .note(format!("{} M/s offered", offered.show(2)))
    .note(format!("the core {} % busy, {} ns an answer", busy.show(0), cost.show(0)))
    .note(format!("{full} met a full ring"))
}
