//! What the metrics are made of.

use std::sync::Arc;

use http_ws::counters::{Count, Counter, Signal};
use tracker_common::counters::Counters;
use tracker_core::Totals;

use crate::stats::Stats;
use crate::survey::Survey;

/// The tracker's numbers at one moment.
#[derive(Debug, Default)]
pub struct Readings {
    /// What `map stats` shows.
    pub stats: Stats,
    /// Packets in the XDP program; `None` without one.
    pub kernel: Option<Counters>,
    /// Packets in the socket workers.
    pub sockets: Counters,
    /// The swarm table.
    pub totals: Totals,
    /// Its writer.
    pub writer: WriterReadings,
    /// HTTP; empty without workers.
    pub http: Vec<(Counter, Count)>,
    /// WebTorrent; empty without it.
    pub webtorrent: Vec<(Signal, Count)>,
    /// Announces over UDP and HTTP by software, and those of WebTorrent; a name may come more than once.
    pub software: Vec<(&'static str, u64)>,
    /// What the last walk through the table has found.
    pub survey: Arc<Survey>,
}

/// The writer's numbers.
#[derive(Debug, Default)]
pub struct WriterReadings {
    /// Events of the XDP program that were applied.
    pub from_kernel: u64,
    /// Events of the socket and HTTP workers that were applied.
    pub from_sockets: u64,
    /// Events for which there was no room.
    pub lost: u64,
    /// Bytes of the ring that are in use, and all of them; `None` without one.
    pub ring: Option<[u64; 2]>,
    /// How long events waited.
    pub lag: Lag,
}

/// Upper bounds of the buckets of [`Lag`] in seconds.
pub const LAG_BOUNDS: [f64; 8] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0];

/// How long the oldest event of each batch waited.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lag {
    /// Batches by bucket; the last one has no bound.
    pub buckets: [u64; LAG_BOUNDS.len() + 1],
    /// The sum in milliseconds.
    pub sum_ms: u64,
}
