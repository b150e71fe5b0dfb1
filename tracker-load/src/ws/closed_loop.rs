//! Announces for some time, each connection's next one when the last is answered; before that every connection joins the swarms that are
//! its own.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::counts::Counts;
use super::crowd::{self, Crowd};
use crate::cpu_time::CpuTime;
use crate::memory::Memory;

/// What to do, for how long, and whom to watch.
pub(crate) struct Load {
    pub(crate) crowd: crowd::Load,
    pub(crate) measured: Duration,
    pub(crate) warmup: Duration,
    pub(crate) announces: Option<u64>,
    pub(crate) cpu_of: Vec<u32>,
    pub(crate) memory_of: Option<u32>,
}

/// What came of it, within the measured time.
pub(crate) struct Measured {
    pub(crate) torrents: u32,
    /// Until all connections were there and in their swarms.
    pub(crate) gathering: Duration,
    pub(crate) time: Duration,
    pub(crate) counts: Counts,
    pub(crate) cpu: Vec<CpuTime>,
    /// Before the first connection, and at the end with all of them.
    pub(crate) memory: Option<(Memory, Memory)>,
}

pub(crate) fn run(load: &Load) -> Result<Measured> {
    let memory_before = load.memory_of.map(Memory::of).transpose()?;
    let mut crowd = Crowd::new(&load.crowd)?;
    let start = Instant::now();
    crowd.join(load.crowd.offers)?;
    let gathering = start.elapsed();
    crowd.drive(load.warmup, None)?;

    crowd.counts = Counts::new();
    let cpu_before = cpu_times(load)?;
    let start = Instant::now();
    crowd.drive(load.measured, load.announces)?;
    let time = start.elapsed();
    let cpu = cpu_times(load)?.into_iter().zip(&cpu_before).map(|(now, before)| now.since(before)).collect();
    let memory_after = load.memory_of.map(Memory::of).transpose()?;
    Ok(Measured {
        torrents: crowd.torrents(),
        gathering,
        time,
        counts: std::mem::replace(&mut crowd.counts, Counts::new()),
        cpu,
        memory: memory_before.zip(memory_after),
    })
}

fn cpu_times(load: &Load) -> Result<Vec<CpuTime>> {
    load.cpu_of.iter().map(|pid| CpuTime::of(*pid)).collect()
}
