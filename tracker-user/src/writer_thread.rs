//! The writer's thread: applies the front ends' events to the swarm table, and cleans it in slices.
//!
//! It sleeps until a worker rings, a slice is due, or the main loop wants something. The only thread that changes the table. What it
//! applies is tested in `tracker-core`; the thread below.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::Context as _;
use tracker_common::siphash::SipKey;
use tracker_core::access_list::{AccessList, Mode};
use tracker_core::queue::{EventSink, EventSource, LostEvents, queues};
use tracker_core::{Limits, Millis, TableReader, TableWriter};

use crate::config::Config;
use crate::daemon::Event;
use crate::udp::sys;

/// Events applied before the thread looks at the clock and at its other duties: below a millisecond of work.
const EVENTS_AT_ONCE: usize = 1024;

/// The table is cleaned in slices of this rhythm, so that announces wait for a small part of it only.
const SLICE_MS: u64 = 100;

/// How long a worker may still use a list that was replaced: it takes the new one with its next batch.
const OLD_LIST_MS: u64 = 500;

/// What the main loop wants.
enum Command {
    DropDenied(Arc<AccessList>),
    Stop,
}

/// The running writer.
pub struct Writer {
    thread: JoinHandle<()>,
    commands: Sender<Command>,
    reader: TableReader,
    lost: LostEvents,
}

impl Writer {
    /// Makes the table and starts the thread; also gives a queue for each of `workers`.
    ///
    /// # Errors
    ///
    /// No memory for the table, no random key, no thread.
    pub fn start(
        config: &Config,
        workers: usize,
        events: Sender<Event>,
    ) -> anyhow::Result<(Self, Vec<EventSink>)> {
        let mut key = [0; 16];
        getrandom::fill(&mut key)
            .map_err(|error| anyhow::anyhow!("random bytes for the swarm table: {error}"))?;
        let limits = Limits {
            max_torrents: config.swarm.max_torrents,
            max_peers: config.swarm.max_peers,
            peer_lifetime_s: config.protocol.peer_lifetime_s,
        };
        let table = TableWriter::new(limits, SipKey::from_bytes(key)).context("swarm")?;
        let reader = table.reader();
        let (sinks, source) = queues(workers);
        let lost = source.lost_counter();
        let (commands, received) = channel();
        let interval_ms = u64::from(config.swarm.cleaning_interval_s) * 1000;
        let thread = thread::Builder::new()
            .name("writer".to_owned())
            .spawn(move || {
                let ended = Ended(events);
                Duty { table, source, received, interval_ms, next_slice: now(), drop_again: None }.run();
                // Stopped by the main loop: nobody has to hear of it.
                std::mem::forget(ended);
            })
            .context("starting the writer")?;
        Ok((Self { thread, commands, reader, lost }, sinks))
    }

    /// A reader of the table.
    pub fn reader(&self) -> TableReader {
        self.reader.clone()
    }

    /// Drops the torrents that the list denies, now and once more when no worker can still use the list before it.
    pub fn drop_denied(&self, list: Arc<AccessList>) {
        self.command(Command::DropDenied(list));
    }

    /// The table in numbers.
    pub fn numbers(&self) -> BTreeMap<String, u64> {
        let totals = self.reader.totals();
        let mut numbers: BTreeMap<String, u64> =
            totals.named().map(|(name, number)| (name.to_owned(), number)).collect();
        numbers.insert("peers".to_owned(), totals.peers());
        numbers.insert("events_lost".to_owned(), self.lost.count());
        numbers
    }

    /// Applies what is left and ends the thread.
    pub fn stop(self) {
        self.command(Command::Stop);
        if self.thread.join().is_err() {
            log::error!("the writer panicked");
        }
    }

    fn command(&self, command: Command) {
        // A writer that has failed has told the main loop.
        let _failed = self.commands.send(command);
        self.thread.thread().unpark();
    }
}

/// What the thread works with.
struct Duty {
    table: TableWriter,
    source: EventSource,
    received: Receiver<Command>,
    interval_ms: u64,
    next_slice: Millis,
    drop_again: Option<(Millis, Arc<AccessList>)>,
}

impl Duty {
    fn run(mut self) {
        self.source.attend();
        loop {
            let now = now();
            let table = &mut self.table;
            let applied = self.source.drain(EVENTS_AT_ONCE, |event| {
                table.apply(&event, now);
            });
            match self.received.try_recv() {
                Ok(Command::DropDenied(list)) => {
                    self.drop_denied(&list, now);
                    self.drop_again = Some((Millis(now.0 + OLD_LIST_MS), list));
                }
                Ok(Command::Stop) | Err(TryRecvError::Disconnected) => return,
                Err(TryRecvError::Empty) => {}
            }
            if let Some((_, list)) = self.drop_again.take_if(|(due, _)| *due <= now) {
                self.drop_denied(&list, now);
            }
            if self.next_slice <= now {
                self.table.expire(now, slice(self.table.torrent_records(), self.interval_ms));
                self.next_slice = Millis(now.0 + SLICE_MS);
            }
            if applied == 0 {
                // A bell that rang since the queues were looked at makes this return at once.
                thread::park_timeout(Duration::from_millis(SLICE_MS));
            }
        }
    }

    fn drop_denied(&mut self, list: &AccessList, now: Millis) {
        if list.mode() == Mode::Off {
            return;
        }
        let dropped = self.table.drop_torrents(|info_hash| !list.allows(info_hash), now);
        if dropped > 0 {
            log::info!(
                "tracked torrents dropped, since the access list doesn't allow them any more: {dropped}"
            );
        }
    }
}

/// Records to clean in one slice, so that the whole table is cleaned once in the interval.
fn slice(records: u32, interval_ms: u64) -> u32 {
    let slices = (interval_ms / SLICE_MS).max(1);
    // One more: the call that reaches the end of the table stops there.
    u32::try_from(u64::from(records).div_ceil(slices)).unwrap_or(u32::MAX).saturating_add(1)
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

    fn writer() -> (Writer, Vec<EventSink>) {
        let mut config = Config::default();
        config.swarm.max_torrents = 100;
        config.swarm.max_peers = 1000;
        let (events, _main_loop) = channel();
        Writer::start(&config, 1, events).expect("there is memory")
    }

    fn announce(sink: &EventSink, torrent: u8) {
        let peer = PeerAddress::v4([192, 0, 2, 1], 6881);
        assert!(sink.emit(AnnounceEvent::new([torrent; 20], peer, AnnounceKind::Started, false)));
        sink.wake();
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
    fn slices_of_an_interval_cover_the_table() {
        for (records, interval_ms) in
            [(0, 60_000), (1, 60_000), (599, 60_000), (1_000_000, 60_000), (5, 1000), (u32::MAX, 1000)]
        {
            let covered = u64::from(slice(records, interval_ms)) * (interval_ms / SLICE_MS);
            assert!(covered >= u64::from(records), "{records} in {interval_ms} ms");
        }
    }
}
