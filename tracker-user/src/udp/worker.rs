//! The thread of one socket: takes requests in batches, answers them from the table as it stands, hands their events to the writer.
//!
//! Started by `daemon`, one for each socket. Everything is allocated before the first request; the clock, the lists and the writer's bell
//! are touched once a batch. The thread ends when the tracker stops, or with an [`Event::Failed`] that stops the tracker. What is
//! answered is `tracker_core::udp`'s; the loop is tested end to end in `tests/protocol_rows`.

use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::thread::{self, JoinHandle};

use anyhow::Context as _;
use socket2::Socket;
use tracker_common::connection_id::Keys;
use tracker_common::counters::{Counters, IpVersion};
use tracker_common::sketch::Sketches;
use tracker_common::verdict::Verdict;
use tracker_core::policy::Policy;
use tracker_core::queue::EventSink;
use tracker_core::udp::{Context, announced, handle};
use tracker_core::{Random, SharedLists, TableReader};

use crate::daemon::Event;
use crate::limits::SharedLimits;
use crate::udp::backend::{Backend, Chosen, Opened};
use crate::udp::sys;

/// Everything that a worker needs.
pub struct WorkerContext {
    /// The socket's address, for messages.
    pub address: SocketAddr,
    /// The socket, with a receive timeout.
    pub socket: Socket,
    /// How it is read.
    pub backend: Chosen,
    /// The swarms.
    pub table: TableReader,
    /// Which torrents and networks are served.
    pub lists: Arc<SharedLists>,
    /// Intervals and limits.
    pub policy: Policy,
    /// The rate limits of sources, in the place of the policy's.
    pub limits: Arc<SharedLimits>,
    /// The keys of the connection ids.
    pub keys: Keys,
    /// The way to the writer.
    pub sink: EventSink,
    /// Where it counts.
    pub tally: Arc<Tally>,
    /// Set when the tracker stops.
    pub stopping: Arc<AtomicBool>,
    /// The main loop, which hears of failures.
    pub events: Sender<Event>,
}

/// What a worker has counted: written by it alone, read by the main loop.
#[derive(Debug)]
// Two cache lines: processors fetch them in pairs, and a neighbour's counters would slow ours.
#[repr(align(128))]
pub struct Tally {
    version: IpVersion,
    by_verdict: [AtomicU64; Verdict::COUNT],
    answers_refused: AtomicU64,
}

impl Tally {
    /// Zeros, for a socket with this address.
    pub fn new(address: SocketAddr) -> Self {
        let version = if address.is_ipv4() { IpVersion::V4 } else { IpVersion::V6 };
        Self {
            version,
            by_verdict: [const { AtomicU64::new(0) }; Verdict::COUNT],
            answers_refused: AtomicU64::new(0),
        }
    }

    /// Packets by verdict.
    pub fn counters(&self) -> Counters {
        let mut counters = Counters::ZERO;
        let by_verdict = &mut counters.by_version[self.version as usize];
        for (copy, counter) in by_verdict.iter_mut().zip(&self.by_verdict) {
            // Relaxed here and below: each number is read by itself.
            *copy = counter.load(Ordering::Relaxed);
        }
        counters
    }

    /// Answers that the kernel didn't take.
    pub fn answers_refused(&self) -> u64 {
        self.answers_refused.load(Ordering::Relaxed)
    }

    fn count(&self, verdict: Verdict) {
        if let Some(counter) = self.by_verdict.get(verdict.index()) {
            add(counter, 1);
        }
    }
}

/// There is one writer, so no locked instruction is needed.
fn add(counter: &AtomicU64, number: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(number), Ordering::Relaxed);
}

/// Starts a worker.
///
/// # Errors
///
/// Those of making a thread, and of the system's random numbers.
pub fn start(context: WorkerContext) -> anyhow::Result<JoinHandle<()>> {
    let mut seed = [0; 8];
    getrandom::fill(&mut seed)
        .map_err(|error| anyhow::anyhow!("random bytes for a socket worker: {error}"))?;
    let random = Random::new(u64::from_ne_bytes(seed));
    thread::Builder::new()
        .name(format!("udp {}", context.address))
        .spawn(move || {
            let ended = Ended {
                events: context.events.clone(),
                stopping: Arc::clone(&context.stopping),
                address: context.address,
            };
            if let Err(error) = work(&context, random) {
                // The main loop may have ended already.
                let _stopping = ended.events.send(Event::Failed(format!("udp {}: {error}", context.address)));
            }
        })
        .context("starting a socket worker")
}

fn work(context: &WorkerContext, random: Random) -> io::Result<()> {
    match context.backend.open(context.socket.as_fd()) {
        Opened::Mmsg(mmsg) => answer(context, mmsg, random),
        Opened::IoUring(ring) => answer(context, *ring, random),
    }
}

fn answer(context: &WorkerContext, mut batch: impl Backend, mut random: Random) -> io::Result<()> {
    let mut sketches: Box<Sketches> = bytemuck::zeroed_box();
    while !context.stopping.load(Ordering::Relaxed) {
        let count = match batch.receive() {
            Ok(count) => count,
            Err(error) if is_transient(&error) => continue,
            Err(error) => return Err(error),
        };
        let access = context.lists.access.load();
        let block = context.lists.block.load();
        let policy = Policy { limits: context.limits.load(), ..context.policy };
        let now_ns = sys::coarse_monotonic_ns();
        let mut emitted = false;
        for i in 0..count {
            if i % AHEAD == 0 {
                look_ahead(&mut batch, i..count, &context.table);
            }
            let Some((request, source, out)) = batch.request(i) else { continue };
            let surroundings = Context {
                table: &context.table,
                access: &access,
                block: &block,
                policy: &policy,
                keys: &context.keys,
                now_ns,
                random: random.next(),
            };
            let handled = handle(request, source, &surroundings, &mut sketches, out);
            batch.answer(i, handled.len);
            context.tally.count(handled.verdict);
            if let Some(event) = handled.event {
                // A full queue is counted there.
                context.sink.emit(event);
                emitted = true;
            }
        }
        // Before the answers: who has one may ask again at once, and should find itself.
        if emitted {
            context.sink.wake();
        }
        let refused = batch.send(count)?;
        if refused > 0 {
            add(&context.tally.answers_refused, refused);
        }
    }
    Ok(())
}

/// Announces that are looked at together before they are answered.
const AHEAD: usize = tracker_common::table::TOGETHER as usize;

/// Most of what an announce costs here is waiting for memory; several wait together.
fn look_ahead(batch: &mut impl Backend, range: Range<usize>, table: &TableReader) {
    let mut info_hashes = [None; AHEAD];
    for (info_hash, i) in info_hashes.iter_mut().zip(range) {
        *info_hash = batch.request(i).and_then(|(request, ..)| announced(request)).copied();
    }
    if info_hashes.iter().flatten().count() > 1 {
        table.expect(info_hashes.each_ref().map(Option::as_ref));
    }
}

/// The receive timeout, a signal, and memory that the kernel is short of right now.
fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
        || matches!(error.raw_os_error(), Some(libc::ENOMEM | libc::ENOBUFS))
}

/// Tells the main loop that the thread has ended, also when it panicked.
struct Ended {
    events: Sender<Event>,
    stopping: Arc<AtomicBool>,
    address: SocketAddr,
}

impl Drop for Ended {
    fn drop(&mut self) {
        if !self.stopping.load(Ordering::Relaxed) {
            let _stopping =
                self.events.send(Event::Failed(format!("udp {}: the worker has ended", self.address)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tally_counts_by_verdict() {
        let tally = Tally::new(SocketAddr::from(([127, 0, 0, 1], 0)));
        tally.count(Verdict::Connect);
        tally.count(Verdict::Connect);
        tally.count(Verdict::DropShort);
        let counters = tally.counters();
        assert_eq!((counters.of(Verdict::Connect), counters.of(Verdict::DropShort)), (2, 1));
        assert_eq!(counters.by_version.as_flattened().iter().sum::<u64>(), 3);
    }

    fn worker(
        socket: Socket,
        backend: Chosen,
    ) -> (JoinHandle<()>, Arc<Tally>, Arc<AtomicBool>, std::sync::mpsc::Receiver<Event>) {
        let limits = tracker_core::Limits { first_buckets: 2, ..tracker_core::Limits::default() };
        let key = tracker_common::siphash::SipKey::from_bytes([1; 16]);
        let memory = Box::new(tracker_core::HeapSegments);
        let table = tracker_core::TableWriter::new(limits, key, memory).expect("there is memory").reader();
        let (mut sinks, _source) = tracker_core::queues(1);
        let (events, received) = std::sync::mpsc::channel();
        let tally = Arc::new(Tally::new(SocketAddr::from(([127, 0, 0, 1], 0))));
        let stopping = Arc::new(AtomicBool::new(false));
        let context = WorkerContext {
            address: "127.0.0.1:1".parse().expect("an address"),
            socket,
            backend,
            table,
            lists: Arc::new(SharedLists::default()),
            policy: Policy::default(),
            limits: Arc::default(),
            keys: Keys::from_bytes(&[7; Keys::BYTES]),
            sink: sinks.pop().expect("one was asked for"),
            tally: Arc::clone(&tally),
            stopping: Arc::clone(&stopping),
            events,
        };
        (start(context).expect("a thread can be made"), tally, stopping, received)
    }

    #[test]
    fn connect_is_answered_and_counted_until_the_tracker_stops() {
        for backend in [Chosen::Mmsg, Chosen::IoUring] {
            connect_is_answered(backend);
        }
    }

    fn connect_is_answered(backend: Chosen) {
        let config = crate::config::Udp {
            addresses: vec!["127.0.0.1:0".parse().expect("an address")],
            ..crate::config::Udp::default()
        };
        let mut bound = crate::udp::bind::bind_all(&config).expect("a free port");
        let address = bound[0].address;
        let (thread, tally, stopping, events) = worker(bound[0].sockets.remove(0), backend);
        let client = std::net::UdpSocket::bind("127.0.0.1:0").expect("a free port");
        client.set_read_timeout(Some(std::time::Duration::from_secs(5))).expect("not zero");
        let mut request = tracker_common::wire::CONNECT_MAGIC.to_be_bytes().to_vec();
        request.extend([0, 0, 0, 0, 9, 8, 7, 6]);
        client.send_to(&request, address).expect("loopback takes it");
        let mut answer = [0; 32];
        assert_eq!(client.recv(&mut answer).expect("an answer"), 16);
        assert_eq!(answer[..8], [0, 0, 0, 0, 9, 8, 7, 6]);
        stopping.store(true, Ordering::Relaxed);
        thread.join().expect("it ends");
        assert_eq!(tally.counters().of(Verdict::Connect), 1);
        assert!(events.try_recv().is_err(), "a stop is no failure");
    }

    #[test]
    fn broken_socket_is_reported_to_the_main_loop() {
        // Nothing can be received on a stream that isn't connected.
        let stream = Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
        let (thread, _tally, _stopping, events) = worker(stream, Chosen::Mmsg);
        let Ok(Event::Failed(reason)) = events.recv() else { panic!("the failure isn't reported") };
        assert!(reason.starts_with("udp 127.0.0.1:1: ") && reason.contains("not connected"), "{reason}");
        thread.join().expect("it ends");
    }
}
