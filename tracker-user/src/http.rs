//! HTTP, HTTPS and WebTorrent: what the workers of `http-ws` are given, and what is asked of them while they run.
//!
//! Owned by the main loop of `daemon`. Sockets are bound and the certificate is read before anything that changes the machine, so a start
//! that fails leaves nothing behind. Tested end to end in `tests/cli` and `tests/http_rows`.
//!
//! - [`bind`]: sockets on the configured addresses, one for each worker.
//! - [`descriptors`]: as many file descriptors as connections may need.
//! - [`sys`]: the system calls that no safe wrapper offers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use anyhow::Context as _;
use http_ws::counters::{Count, Counter, Signal};
use http_ws::tls::Tls;
use http_ws::{Context, Endpoint, Listener, Server, Settings};
use tracker_core::{AccessList, EventSink, SharedLists, TableReader};

use crate::config::Config;
use crate::daemon::Event;
use crate::udp::sys::coarse_monotonic_ns;

pub mod bind;
pub mod descriptors;
#[expect(unsafe_code, reason = "TCP_DEFER_ACCEPT and the limits of a process exist only as raw system calls")]
pub mod sys;

/// How long a stop waits for answers that are being sent. Clients that take no answer in that time don't need one.
const GRACE: Duration = Duration::from_millis(500);

/// Everything that HTTP needs and the machine may refuse.
pub struct Prepared {
    listeners: Vec<Listener>,
    tls: Option<Arc<Tls>>,
    workers: usize,
    max_connections: u32,
}

/// The running workers.
pub struct Http {
    server: Option<Server>,
    tls: Option<Arc<Tls>>,
    endpoints: Vec<Endpoint>,
}

/// Binds all addresses, reads certificate and key, and provides for enough file descriptors.
///
/// # Errors
///
/// An address that can't be had; a certificate or key that can't be used.
pub fn prepare(config: &Config) -> anyhow::Result<Prepared> {
    let listeners = bind::bind_all(&config.http)?;
    let has_tls = listeners.iter().any(|listener| listener.endpoint.tls);
    let tls = match config.tls.files() {
        Some(files) if has_tls => {
            let tls = Tls::load(files)?;
            tracing::info!("tls: {}", tls.summary());
            Some(Arc::new(tls))
        }
        _ => None,
    };
    let workers = if listeners.is_empty() { 0 } else { config.http.worker_count() };
    let max_connections = match workers {
        0 => 0,
        _ => descriptors::provide(config.http.max_connections, workers, listeners.len()),
    };
    Ok(Prepared { listeners, tls, workers, max_connections })
}

impl Prepared {
    /// How many workers there will be; each needs a queue to the writer.
    pub fn workers(&self) -> usize {
        self.workers
    }

    /// From now on files are where this configuration says.
    pub fn move_to(&mut self, config: &Config) {
        if let (Some(tls), Some(files)) = (self.tls.as_mut().and_then(Arc::get_mut), config.tls.files()) {
            tls.move_to(files);
        }
    }

    /// Starts the workers.
    ///
    /// # Errors
    ///
    /// Those of making threads and their runtimes.
    pub fn start(
        self,
        config: &Config,
        table: TableReader,
        lists: Arc<SharedLists>,
        sinks: Vec<EventSink>,
        events: Sender<Event>,
    ) -> anyhow::Result<Http> {
        let Self { listeners, tls, workers, max_connections } = self;
        let endpoints = listeners.iter().map(|listener| listener.endpoint).collect();
        if workers == 0 {
            return Ok(Http { server: None, tls, endpoints });
        }
        let context = Context {
            table,
            lists,
            policy: config.policy(),
            settings: Arc::new(Settings { max_connections, ..config.http_settings() }),
            clock: coarse_monotonic_ns,
            tls: tls.clone(),
        };
        let failed = move |reason: String| {
            // The main loop may have ended already.
            let _stopping = events.send(Event::Failed(reason));
        };
        let server =
            http_ws::start(listeners, context, sinks, failed).context("http: starting the workers")?;
        Ok(Http { server: Some(server), tls, endpoints })
    }
}

impl Http {
    /// What is listened on, with the ports that were bound.
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// Reads certificate and key again; `None` without TLS. When they can't be used everything stays as it was.
    pub fn reload_certificate(&self) -> Option<anyhow::Result<String>> {
        self.tls.as_ref().map(|tls| Ok(tls.reload()?))
    }

    /// What all workers have counted of HTTP; empty without workers.
    pub fn numbers(&self) -> BTreeMap<String, u64> {
        self.by_name(Server::numbers)
    }

    /// What all workers have counted of WebTorrent; empty without it.
    pub fn webtorrent_numbers(&self) -> BTreeMap<String, u64> {
        self.by_name(Server::webtorrent_numbers)
    }

    /// What all workers have counted of HTTP, for metrics.
    pub fn counts(&self) -> Vec<(Counter, Count)> {
        self.server.as_ref().map(Server::counts).unwrap_or_default()
    }

    /// What all workers have counted of WebTorrent, for metrics.
    pub fn webtorrent_counts(&self) -> Vec<(Signal, Count)> {
        self.server.as_ref().map(Server::webtorrent_counts).unwrap_or_default()
    }

    /// Announces of WebTorrent by software; a name may come more than once.
    pub fn software(&self) -> Vec<(&'static str, u64)> {
        self.server.as_ref().map(Server::webtorrent_software).unwrap_or_default()
    }

    fn by_name(&self, numbers: impl FnOnce(&Server) -> Vec<(&'static str, u64)>) -> BTreeMap<String, u64> {
        let numbers = self.server.as_ref().map(numbers).unwrap_or_default();
        numbers.into_iter().map(|(name, number)| (name.to_owned(), number)).collect()
    }

    /// Drops the torrents of WebTorrent that the list denies, which has to be in force already.
    pub fn drop_denied(&self, list: &AccessList) {
        if let Some(server) = &self.server {
            server.drop_denied(list);
        }
    }

    /// Accepts nothing more, lets answers end for a moment, and ends the workers.
    pub fn stop(self) {
        if let Some(server) = self.server {
            server.stop(GRACE);
        }
    }
}
