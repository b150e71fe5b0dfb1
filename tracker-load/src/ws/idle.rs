//! Many connections that announce one torrent and then do nothing, and what they cost the server.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::counts::Counts;
use super::crowd::{self, Crowd};
use crate::memory::Memory;

/// How long a server that has become quiet may still return memory.
const SETTLES_WITHIN: Duration = Duration::from_secs(5);

/// What to open where.
pub(crate) struct Load {
    pub(crate) crowd: crowd::Load,
    /// How long they do nothing before the memory is looked at.
    pub(crate) idle: Duration,
    pub(crate) memory_of: Option<u32>,
}

/// What came of it.
pub(crate) struct Measured {
    /// Connections that were open, with their announce answered, all at once.
    pub(crate) opened: u32,
    /// Those of them that the server has closed since.
    pub(crate) closed: u32,
    /// Until all were open.
    pub(crate) time: Duration,
    pub(crate) counts: Counts,
    /// Before the first connection and with all of them.
    pub(crate) memory: Option<(Memory, Memory)>,
}

pub(crate) fn run(load: &Load) -> Result<Measured> {
    let before = load.memory_of.map(Memory::of).transpose()?;
    let mut crowd = Crowd::new(&load.crowd)?;
    let start = Instant::now();
    crowd.announce_once(load.crowd.offers)?;
    let time = start.elapsed();
    crowd.drive(load.idle, None)?;
    let after = load.memory_of.map(Memory::settled(SETTLES_WITHIN)).transpose()?;
    // What has come meanwhile.
    crowd.drive(Duration::from_millis(500), None)?;
    let open = u32::try_from(crowd.open()).unwrap_or(u32::MAX);
    Ok(Measured {
        opened: load.crowd.connections,
        closed: load.crowd.connections.saturating_sub(open),
        time,
        counts: std::mem::replace(&mut crowd.counts, Counts::new()),
        memory: before.zip(after),
    })
}
