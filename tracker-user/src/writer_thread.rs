//! The writer's thread: applies the events of all front ends to the swarm table, and tends it in slices.
//!
//! Events come from the ring of the XDP program and from the queues of the socket workers; [`order`] puts them in one order. The thread
//! sleeps in `poll` until the ring has something, a worker rings, a slice is due, or the main loop wants something. Whenever it
//! applied events it naps for a millisecond, so that under load it takes many at once and nobody has to wake it; it never spins. It is the
//! only thread that changes the table. What it applies is tested in `tracker-core`; the thread below and in `tests/cli`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};

use anyhow::Context as _;
use tracker_common::siphash::SipKey;
use tracker_core::AccessList;
use tracker_core::queue::{EventSink, LostEvents, queues};
use tracker_core::software::SoftwareTally;
use tracker_core::{Millis, Segments, TableReader, TableWriter};

use crate::bpf::{EventRing, RingGauge};
use crate::config::Config;
use crate::daemon::Event;
use crate::metrics::readings::{LAG_BOUNDS, Lag, WriterReadings};
use crate::udp::sys;
use crate::udp::sys::wait::Bell;

mod cleaning;
mod duty;
mod inflow;
mod order;

use duty::Duty;
use inflow::{Inflow, Round};

/// What the main loop wants.
enum Command {
    DropDenied(Arc<AccessList>),
    Stop,
}

/// The running writer.
pub struct Writer {
    thread: JoinHandle<()>,
    commands: Sender<Command>,
    bell: Arc<Bell>,
    reader: TableReader,
    lost: LostEvents,
    applied: Arc<AppliedEvents>,
    gauge: Option<RingGauge>,
    ring_bytes: u64,
}

/// Events applied, by the way they came, by software, and how long they waited. Written by the writer alone.
#[derive(Debug, Default)]
struct AppliedEvents {
    ring: AtomicU64,
    queues: AtomicU64,
    software: SoftwareTally,
    lag: [AtomicU64; LAG_BOUNDS.len() + 1],
    lag_sum_ms: AtomicU64,
    rounds: AtomicU64,
}

/// Makes an empty table.
///
/// # Errors
///
/// No memory for it, no random key.
pub fn table(config: &Config, segments: Box<dyn Segments>) -> anyhow::Result<TableWriter> {
    let mut key = [0; 16];
    getrandom::fill(&mut key)
        .map_err(|error| anyhow::anyhow!("random bytes for the swarm table: {error}"))?;
    Ok(TableWriter::new(config.limits(), SipKey::from_bytes(key), segments)?)
}

/// There is one writer, so no locked instruction is needed; relaxed, since each number is read by itself.
fn add(counter: &AtomicU64, number: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(number), Ordering::Relaxed);
}

impl AppliedEvents {
    fn add(&self, round: &Round, lag_ms: u32) {
        add(&self.rounds, 1);
        add(&self.ring, round.from_ring as u64);
        add(&self.queues, round.from_queues as u64);
        if round.applied() > 0 {
            let bucket = LAG_BOUNDS.partition_point(|bound| bound * 1000.0 < f64::from(lag_ms));
            add(&self.lag[bucket], 1);
            add(&self.lag_sum_ms, lag_ms.into());
        }
    }

    fn lag(&self) -> Lag {
        let number = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Lag {
            buckets: std::array::from_fn(|bucket| number(&self.lag[bucket])),
            sum_ms: number(&self.lag_sum_ms),
        }
    }
}

impl Writer {
    /// Starts the thread that writes `table`; also gives a queue for each of `workers`.
    ///
    /// # Errors
    ///
    /// No thread, no descriptor for its bell.
    pub fn start(
        config: &Config,
        table: TableWriter,
        ring: Option<EventRing>,
        workers: usize,
        events: Sender<Event>,
    ) -> anyhow::Result<(Self, Vec<EventSink>)> {
        let reader = table.reader();
        let (sinks, source) = queues(workers);
        let lost = source.lost_counter();
        let (commands, received) = channel();
        let bell = Arc::new(Bell::new().context("a bell for the writer")?);
        let applied = Arc::new(AppliedEvents::default());
        let gauge = ring.as_ref().map(EventRing::gauge);
        let rung = Arc::clone(&bell);
        source.attend(Box::new(move || rung.ring()));
        let inflow = Inflow::new(source, workers > 1, ring);
        let (bell_of_thread, applied_by_thread) = (Arc::clone(&bell), Arc::clone(&applied));
        let ring_bytes = config.xdp.event_ring_bytes.into();
        let cleaning_interval_s = config.swarm.cleaning_interval_s;
        let thread = thread::Builder::new()
            .name("writer".to_owned())
            .spawn(move || {
                let ended = Ended(events);
                Duty::new(table, inflow, bell_of_thread, applied_by_thread, received, cleaning_interval_s)
                    .run();
                // Stopped by the main loop: nobody has to hear of it.
                std::mem::forget(ended);
            })
            .context("starting the writer")?;
        Ok((Self { thread, commands, bell, reader, lost, applied, gauge, ring_bytes }, sinks))
    }

    /// A reader of the table.
    pub fn reader(&self) -> TableReader {
        self.reader.clone()
    }

    /// Drops the torrents that the list denies, now and once more when no worker can still use the list before it.
    pub fn drop_denied(&self, list: Arc<AccessList>) {
        self.command(Command::DropDenied(list));
    }

    /// The table in numbers, and how its events come.
    pub fn numbers(&self) -> BTreeMap<String, u64> {
        let totals = self.reader.totals();
        let mut numbers: BTreeMap<String, u64> =
            totals.named().map(|(name, number)| (name.to_owned(), number)).collect();
        numbers.insert("peers".to_owned(), totals.peers());
        numbers.insert("events_lost".to_owned(), self.lost.count());
        numbers.insert("events_from_sockets".to_owned(), self.applied.queues.load(Ordering::Relaxed));
        if let Some(gauge) = &self.gauge {
            numbers.insert("events_from_kernel".to_owned(), self.applied.ring.load(Ordering::Relaxed));
            numbers.insert("event_ring_bytes_in_use".to_owned(), gauge.bytes_in_use());
        }
        numbers
    }

    /// The same for metrics.
    pub fn readings(&self) -> WriterReadings {
        let Self { applied, lost, gauge, .. } = self;
        WriterReadings {
            from_kernel: applied.ring.load(Ordering::Relaxed),
            from_sockets: applied.queues.load(Ordering::Relaxed),
            lost: lost.count(),
            ring: gauge.as_ref().map(|gauge| [gauge.bytes_in_use(), self.ring_bytes]),
            lag: applied.lag(),
        }
    }

    /// Goes up ten times a second or more, as long as the thread lives.
    pub fn rounds(&self) -> u64 {
        self.applied.rounds.load(Ordering::Relaxed)
    }

    /// Announces over UDP and HTTP by software; a name may come more than once.
    pub fn software(&self) -> Vec<(&'static str, u64)> {
        self.applied.software.named().collect()
    }

    /// Applies what is left and ends the thread.
    pub fn stop(self) {
        self.command(Command::Stop);
        if self.thread.join().is_err() {
            tracing::error!("the writer panicked");
        }
    }

    fn command(&self, command: Command) {
        // A writer that has failed has told the main loop.
        let _failed = self.commands.send(command);
        self.bell.ring();
    }
}
fn now() -> Millis {
    Millis(sys::coarse_monotonic_ns() / 1_000_000)
}

/// Tells the main loop when the thread panics.
struct Ended(Sender<Event>);

impl Drop for Ended {
    fn drop(&mut self) {
        let _stopping = self.0.send(Event::Failed("the writer of the swarm table has ended".to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use tracker_common::event::AnnounceEvent;
    use tracker_common::table::PeerAddress;
    use tracker_common::wire::AnnounceKind;
    use tracker_core::HeapSegments;
    use tracker_core::access_list::Mode;

    fn writer() -> (Writer, Vec<EventSink>) {
        let mut config = Config::default();
        config.swarm.max_torrents = 100;
        config.swarm.max_peers = 1000;
        let (events, _main_loop) = channel();
        let table = table(&config, Box::new(HeapSegments)).expect("there is memory");
        Writer::start(&config, table, None, 2, events).expect("a thread can be made")
    }

    fn announce_as(sink: &EventSink, torrent: u8, kind: AnnounceKind, time_ms: u32) {
        let peer = PeerAddress::v4([192, 0, 2, 1], 6881);
        assert!(sink.emit(AnnounceEvent::new([torrent; 20], peer, kind, false, time_ms)));
        sink.wake();
    }

    fn announce(sink: &EventSink, torrent: u8) {
        announce_as(sink, torrent, AnnounceKind::Started, now().0 as u32);
    }

    fn until(writer: &Writer, name: &str, number: u64) {
        while writer.numbers()[name] != number {
            thread::yield_now();
        }
    }

    #[test]
    fn event_is_applied_after_the_bell() {
        let (writer, sinks) = writer();
        announce(&sinks[0], 1);
        until(&writer, "torrents", 1);
        assert_eq!(writer.reader().scrape(&[1; 20]).leechers, 1);
        writer.stop();
    }

    #[test]
    fn denied_torrents_are_dropped() {
        let (writer, sinks) = writer();
        announce(&sinks[0], 1);
        announce(&sinks[0], 2);
        until(&writer, "torrents", 2);
        let mut list = AccessList::new(Mode::Allow);
        list.insert([2; 20]);
        writer.drop_denied(Arc::new(list));
        until(&writer, "torrents", 1);
        assert_eq!(writer.reader().scrape(&[2; 20]).leechers, 1);
        writer.stop();
    }

    #[test]
    fn what_is_in_the_queues_is_applied_before_the_end() {
        let (writer, sinks) = writer();
        let reader = writer.reader();
        for torrent in 1..=50 {
            announce(&sinks[usize::from(torrent) % 2], torrent);
        }
        let numbers = writer.applied.clone();
        writer.stop();
        assert_eq!(reader.totals().torrents, 50);
        assert_eq!((numbers.queues.load(Ordering::Relaxed), numbers.ring.load(Ordering::Relaxed)), (50, 0));
    }

    #[test]
    fn who_stopped_last_is_gone_whichever_queue_it_went_through() {
        let (writer, sinks) = writer();
        let started = 2000;
        for number in 0..started {
            let (first, second) = (usize::from(number % 2 == 0), usize::from(number % 2 == 1));
            announce_as(&sinks[first], 1, AnnounceKind::Started, now().0 as u32);
            announce_as(&sinks[second], 1, AnnounceKind::Stopped, now().0 as u32);
        }
        until(&writer, "events_from_sockets", 2 * started);
        assert_eq!(writer.reader().scrape(&[1; 20]).leechers, 0);
        writer.stop();
    }
}
