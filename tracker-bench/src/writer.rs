//! The part that measures the writer: ns of CPU time an event, and the memory of a full table.

use std::time::Duration;

use anyhow::{Context as _, Result};
use tracker_core::TableWriter;

use crate::held::Held;
use crate::ours::{self, Loaded, Ours};
use crate::report::{Row, Target};
use crate::rounds::Rounds;
use crate::shape::Shape;
use crate::sys;

/// Where the writer's figures come from: 1,000,000 torrents with two peers each.
const WRITTEN: Shape = Shape::new(1_000_000, 1);

/// Torrents × peers, and bytes a peer to stay below.
const MEMORY: [(Shape, f64); 2] = [(Shape::new(1_000_000, 1), 40.0), (Shape::new(10_000, 199), 10.0)];

/// 10,000,000 torrents with three peers each, in MB.
const HUGE: (Shape, f64) = (Shape::new(10_000_000, 2), 1500.0);

/// Names of the cases here.
pub(crate) const WRITER: [&str; 2] = ["writer-known", "writer-new"];

/// Names of the memory cases.
pub(crate) fn memory_cases() -> Vec<String> {
    MEMORY.iter().map(|(shape, _)| memory_case(*shape)).chain([memory_case(HUGE.0)]).collect()
}

fn memory_case(shape: Shape) -> String {
    format!("memory-{}x{}", shape.torrents, shape.peers_each())
}

/// ns an event: new peers into an empty table, then the same ones again, in another order. One round a process: segments stay.
pub(crate) fn events() -> Result<Vec<Row>> {
    sys::pin(crate::drive::WRITER_CPU)?;
    let mut table = Ours::load(&ours::limits(WRITTEN), 50)?;
    let new = applied(&mut table.writer, WRITTEN, 0);
    let known = applied(&mut table.writer, WRITTEN, 2);
    let total = table.writer.totals();
    anyhow::ensure!(total.peers() == WRITTEN.peers(), "{total:?}");
    let per_event = |time: Duration| Rounds::new([time.as_nanos() as f64 / WRITTEN.peers() as f64]);
    let what = format!("writer, {} torrents with {} peers", WRITTEN.torrents, WRITTEN.peers_each());
    Ok(vec![
        Row::new("writer-known", format!("{what}, all known"), "ns an event", 0, per_event(known))
            .target(Target::AtMost(250.0)),
        Row::new(
            "writer-new",
            format!("{what}, all new, from an empty table"),
            "ns an event",
            0,
            per_event(new),
        )
        .target(Target::AtMost(500.0)),
    ])
}

/// CPU time of applying everybody's arrival; making the events isn't in it.
fn applied(writer: &mut TableWriter, shape: Shape, way: u64) -> Duration {
    let mut time = Duration::ZERO;
    // Many batches at a time, so that the clock is read seldom and the events come from memory, as they do from a ring.
    let mut batches = ours::arrivals(shape, false, way);
    loop {
        let some: Vec<_> = batches.by_ref().take(64).collect();
        if some.is_empty() {
            return time;
        }
        let start = sys::thread_time();
        for batch in &some {
            writer.apply_batch(batch, ours::now());
        }
        time += sys::thread_time() - start;
    }
}

/// Memory of one full table, in a process of its own.
pub(crate) fn memory(case: &str) -> Result<Vec<Row>> {
    let all = MEMORY.into_iter().chain([HUGE]);
    let (shape, most) = all
        .into_iter()
        .find(|(shape, _)| memory_case(*shape) == case)
        .with_context(|| format!("no case {case}"))?;
    // Before there is any segment of a table: those that are made ahead are the table's, too.
    let loaded = Loaded::new(&ours::limits(shape), 50)?;
    let before = Held::of("self")?;
    let mut table = loaded.with_table()?;
    ours::fill(&mut table.writer, shape, false)?;
    let after = Held::of("self")?;
    let held = after.bytes.saturating_sub(before.bytes);
    let a_peer = held as f64 / shape.peers() as f64;
    let megabytes = held as f64 / 1e6;
    let what = format!("memory, {} torrents with {} IPv4 peers", shape.torrents, shape.peers_each());
    let row = if shape == HUGE.0 {
        Row::new(case, what, "MB", 0, Rounds::new([after.bytes as f64 / 1e6]))
            .note(format!("{a_peer:.1} bytes a peer"))
    } else {
        Row::new(case, what, "bytes a peer", 1, Rounds::new([a_peer])).note(format!("{megabytes:.1} MB"))
    };
    let of_totals = table.writer.totals().memory_bytes as f64 / 1e6;
    Ok(vec![row.target(Target::AtMost(most)).note(format!(
        "process {:.1} MB before, {:.1} MB after, of which {:.1} MB are maps; the table says {of_totals:.1} MB",
        before.bytes as f64 / 1e6,
        after.bytes as f64 / 1e6,
        after.maps as f64 / 1e6
    ))])
}
