//! Threads, listeners, the stop.
//!
//! A worker's thread runs one runtime, in which every listener has an accepting task and every connection a task. Workers share the table, the
//! limits, the swarms of WebTorrent, and nothing else. Started and stopped by tracker-user's daemon; tests are in `tests/`.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::net::{SocketFlags, acceptfrom_with};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::runtime::{self, LocalOptions, LocalRuntime};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};
use tracker_core::{AccessList, EventSink, Policy, SharedLists, TableReader};

use crate::connection;
use tracker_core::software::SoftwareTally;

use crate::counters::{Count, Counter, Signal, SignalTally, Tally};
use crate::endpoint::Endpoint;
use crate::full_scrape::Exports;
use crate::occasionally::Occasionally;
use crate::settings::Settings;
use crate::slots::Slots;
use crate::tls::Tls;
use crate::webtorrent::{Local, Shared};
use crate::worker::Worker;

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
pub struct Server {
    workers: Vec<Running>,
    webtorrent: Option<Arc<Shared>>,
}

struct Running {
    thread: JoinHandle<()>,
    tally: Arc<Tally>,
    signals: Arc<SignalTally>,
    software: Arc<SoftwareTally>,
    stop: oneshot::Sender<Duration>,
}

/// Starts a worker for each of `sinks`; every listener has as many sockets. `failed` is called with the reason when a worker ends by itself.
///
/// # Errors
///
/// No thread, no runtime, no random numbers, a listener without a socket for each worker.
pub fn start(
    mut listeners: Vec<Listener>,
    context: Context,
    sinks: Vec<EventSink>,
    failed: impl Fn(String) + Clone + Send + 'static,
) -> io::Result<Server> {
    let settings = &context.settings;
    let slots = Slots::new(settings.max_connections, settings.max_connections_per_address);
    let exports = settings
        .full_scrape_every
        .map(|every| Arc::new(Exports::new(context.table.clone(), Arc::clone(&context.lists), every)));
    let webtorrent =
        settings.webtorrent.map(|of_it| Shared::new(of_it, sinks.len(), settings.full_scrape_every));
    let mut workers = Vec::new();
    for (number, sink) in sinks.into_iter().enumerate() {
        let sockets = listeners
            .iter_mut()
            .map(|listener| Some((listener.endpoint, listener.sockets.pop()?)))
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| io::Error::other("a listener has fewer sockets than there are workers"))?;
        let mut seed = [0; 8];
        getrandom::fill(&mut seed).map_err(io::Error::other)?;
        let tally = Arc::new(Tally::default());
        let (stop, stopped) = oneshot::channel();
        let (context, slots, exports) = (context.clone(), Arc::clone(&slots), exports.clone());
        let tally_of_thread = Arc::clone(&tally);
        let signals = Arc::new(SignalTally::default());
        let number_of_worker = u16::try_from(number).map_err(io::Error::other)?;
        let signals_of_thread = Arc::clone(&signals);
        let software = Arc::new(SoftwareTally::default());
        let software_of_thread = Arc::clone(&software);
        let webtorrent = webtorrent.clone();
        let ended = Ended { failed: Box::new(failed.clone()), number };
        let thread = thread::Builder::new().name(format!("http {number}")).spawn(move || {
            let seed = u64::from_ne_bytes(seed);
            let local = webtorrent
                .map(|shared| Local::new(number_of_worker, shared, signals_of_thread, software_of_thread));
            let worker = Worker::new(context, tally_of_thread, sink, slots, exports, local, seed);
            // It belongs to its thread, and with it all tasks.
            let runtime =
                runtime::Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
            match runtime.and_then(|runtime| run(&runtime, &worker, sockets, stopped)) {
                Ok(()) => std::mem::forget(ended),
                Err(error) => tracing::error!("http worker {number}: {error}"),
            }
        })?;
        workers.push(Running { thread, tally, signals, software, stop });
    }
    Ok(Server { workers, webtorrent })
}

/// Reports a worker that ends by itself, by a panic too.
struct Ended {
    failed: Box<dyn Fn(String) + Send>,
    number: usize,
}

impl Drop for Ended {
    fn drop(&mut self) {
        (self.failed)(format!("http worker {} has ended", self.number));
    }
}

/// Accepts connections until it is told to stop; then lets those end that are being answered.
fn run(
    runtime: &LocalRuntime,
    worker: &Rc<Worker>,
    sockets: Vec<(Endpoint, TcpListener)>,
    stopped: oneshot::Receiver<Duration>,
) -> io::Result<()> {
    runtime.block_on(async {
        let mut accepting = Vec::new();
        for (endpoint, socket) in sockets {
            #[expect(
                deprecated,
                reason = "its successor is unsafe; this descriptor is the socket's as long as that lives"
            )]
            let listener = AsyncFd::with_interest(socket, Interest::READABLE)?;
            accepting.push(tokio::task::spawn_local(accept(listener, endpoint, Rc::clone(worker))));
        }
        let for_dealing = Rc::clone(worker);
        tokio::task::spawn_local(async move {
            if let Some(local) = &for_dealing.webtorrent {
                local.deal().await;
            }
        });
        // A server that is dropped stops at once.
        let grace = stopped.await.unwrap_or_default();
        for listener in accepting {
            listener.abort();
        }
        worker.stopping.set(true);
        let _some_left = timeout(grace, async {
            let webtorrent = worker.webtorrent.as_ref();
            webtorrent.inspect(|local| local.stop());
            while worker.answering.get() > 0 || webtorrent.is_some_and(|local| local.connections() > 0) {
                sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
        Ok(())
    })
}

/// How long no connection is accepted after one couldn't be, at first and at most.
const BACK_OFF: [Duration; 2] = [Duration::from_millis(20), Duration::from_secs(1)];

async fn accept(listener: AsyncFd<TcpListener>, endpoint: Endpoint, worker: Rc<Worker>) {
    let mut back_off = BACK_OFF[0];
    let warnings = Occasionally::default();
    loop {
        let accepted = match listener.readable().await {
            Ok(mut ready) => match ready.try_io(|socket| accept_one(socket.get_ref())) {
                Ok(accepted) => accepted,
                Err(_would_block) => continue,
            },
            Err(error) => Err(error),
        };
        match accepted {
            Ok((stream, source)) => {
                back_off = BACK_OFF[0];
                worker.tally.count(Counter::ConnectionsAccepted);
                tokio::task::spawn_local(connection::serve(stream, source, endpoint, Rc::clone(&worker)));
            }
            // The client has gone before it was accepted.
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                worker.tally.count(Counter::AcceptErrors);
                if warnings.may_speak() {
                    tracing::warn!(
                        "{}: accepting a connection: {error}; waiting for others to end (the limits are LimitNOFILE and http.max_connections)",
                        endpoint.address
                    );
                }
                sleep(back_off).await;
                back_off = (back_off * 2).min(BACK_OFF[1]);
            }
        }
    }
}

/// A connection that isn't known to the runtime yet, see `connection::stream`. The standard library's `accept` needs a second system call
/// to make it non-blocking.
fn accept_one(listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    let (socket, source) = acceptfrom_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC)?;
    let source = source.and_then(|source| SocketAddr::try_from(source).ok());
    Ok((socket.into(), source.ok_or(io::ErrorKind::ConnectionAborted)?))
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

impl Server {
    /// What all workers have counted, by name; with `connections_open`.
    pub fn numbers(&self) -> Vec<(&'static str, u64)> {
        let sum = |counter| self.workers.iter().map(|worker| worker.tally.of(counter)).sum::<u64>();
        let mut numbers: Vec<_> =
            Counter::ALL.iter().map(|counter| (counter.name(), sum(*counter))).collect();
        let open = sum(Counter::ConnectionsAccepted).saturating_sub(sum(Counter::ConnectionsClosed));
        numbers.push(("connections_open", open));
        numbers
    }

    /// What all workers have counted; of requests, also how many came from clients with IPv6 addresses.
    pub fn counts(&self) -> Vec<(Counter, Count)> {
        let tallies = || self.workers.iter().map(|worker| &worker.tally);
        let count = |counter: Counter| Count {
            all: tallies().map(|tally| tally.of(counter)).sum(),
            v6: tallies().map(|tally| tally.of_v6(counter)).sum(),
        };
        Counter::ALL.iter().map(|counter| (*counter, count(*counter))).collect()
    }

    /// What all workers have counted of WebTorrent; of messages, also how many were from or to clients with IPv6 addresses. Empty without
    /// WebTorrent.
    pub fn webtorrent_counts(&self) -> Vec<(Signal, Count)> {
        if self.webtorrent.is_none() {
            return Vec::new();
        }
        let tallies = || self.workers.iter().map(|worker| &worker.signals);
        let count = |signal: Signal| Count {
            all: tallies().map(|tally| tally.of(signal)).sum(),
            v6: tallies().map(|tally| tally.of_v6(signal)).sum(),
        };
        Signal::ALL.iter().map(|signal| (*signal, count(*signal))).collect()
    }

    /// Announces of WebTorrent by software; a name may come more than once.
    pub fn webtorrent_software(&self) -> Vec<(&'static str, u64)> {
        self.workers.iter().flat_map(|worker| worker.software.named()).collect()
    }

    /// What all workers have counted of WebTorrent, by name, and the swarms in numbers; empty without it.
    pub fn webtorrent_numbers(&self) -> Vec<(&'static str, u64)> {
        let Some(shared) = &self.webtorrent else { return Vec::new() };
        let sum = |signal| self.workers.iter().map(|worker| worker.signals.of(signal)).sum::<u64>();
        let mut numbers: Vec<_> = Signal::ALL.iter().map(|signal| (signal.name(), sum(*signal))).collect();
        let open = sum(Signal::Connections).saturating_sub(sum(Signal::ConnectionsClosed));
        numbers.push(("connections_open", open));
        numbers.extend(shared.numbers());
        numbers
    }

    /// Drops the torrents of WebTorrent that the list denies. The list has to be in force already.
    pub fn drop_denied(&self, list: &AccessList) {
        if let Some(shared) = &self.webtorrent {
            shared.drop_denied(list);
        }
    }

    /// Accepts nothing more, lets answers that are being sent end, at most for `grace`, and ends the threads.
    pub fn stop(self, grace: Duration) {
        let mut threads = Vec::new();
        for worker in self.workers {
            // One that has ended by itself has reported it.
            let _ended = worker.stop.send(grace);
            threads.push(worker.thread);
        }
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("an http worker panicked");
            }
        }
    }
}
