//! Threads, listeners, the stop.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use tracker_core::{EventSink, Policy, SharedLists, TableReader};

use crate::counters::Counter;
use crate::endpoint::Endpoint;
use crate::settings::Settings;
use crate::tls::Tls;

/// What answers depend on, besides the request.
#[derive(Clone)]
pub struct Context {
    /// The swarms.
    pub table: TableReader,
    /// Which torrents and networks are served.
    pub lists: Arc<SharedLists>,
    /// Intervals and limits.
    pub policy: Policy,
    /// Limits, timeouts, trust.
    pub settings: Arc<Settings>,
    /// `CLOCK_MONOTONIC_COARSE` in nanoseconds: the clock of announce events.
    pub clock: fn() -> u64,
    /// Certificate and key; needed when an endpoint has TLS.
    pub tls: Option<Arc<Tls>>,
}

/// An endpoint with a bound, listening socket for each worker.
#[derive(Debug)]
pub struct Listener {
    /// What is spoken, and the address with the port that was bound.
    pub endpoint: Endpoint,
    /// One for each worker, bound with SO_REUSEPORT.
    pub sockets: Vec<TcpListener>,
}

/// The running workers.
pub struct Server {}

/// Starts a worker for each of `sinks`; every listener has as many sockets. `failed` is called with the reason when a worker ends by itself.
///
/// # Errors
///
/// No thread, no runtime.
pub fn start(
    _listeners: Vec<Listener>,
    _context: Context,
    _sinks: Vec<EventSink>,
    _failed: impl Fn(String) + Clone + Send + 'static,
) -> io::Result<Server> {
    unimplemented!()
}

impl Server {
    /// What all workers have counted, by name; with `connections_open`.
    pub fn numbers(&self) -> Vec<(&'static str, u64)> {
        Counter::ALL.iter().map(|counter| (counter.name(), 0)).collect()
    }

    /// Accepts nothing more, lets answers that are being sent end, at most for `grace`, and ends the threads.
    pub fn stop(self, _grace: Duration) {}
}
