//! The way of announce events from the front ends to the writer.
//!
//! Each front end thread has a bounded, lock-free queue of its own; the writer looks through all of them. A full queue is not waited for:
//! the event is lost and counted, and the client's next announce brings it again. How the writer sleeps is its own affair: it leaves a bell
//! here, and a front end rings it once after a batch, not with each event.

use std::fmt::{self, Debug, Formatter};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use crossbeam_queue::ArrayQueue;
use tracker_common::event::AnnounceEvent;

/// Events that a queue holds: 16,384 × 48 bytes = 768 KiB, 16 ms of announces at a million a second.
pub const QUEUE_LEN: usize = 16_384;

/// One queue for each of `front_ends`, and their other end.
pub fn queues(front_ends: usize) -> (Vec<EventSink>, EventSource) {
    let bell = Arc::new(Bell::default());
    let queues: Vec<_> = (0..front_ends)
        .map(|_| Arc::new(Queue { events: ArrayQueue::new(QUEUE_LEN), lost: AtomicU64::new(0) }))
        .collect();
    let sinks =
        queues.iter().map(|queue| EventSink { queue: Arc::clone(queue), bell: Arc::clone(&bell) }).collect();
    (sinks, EventSource { queues, bell })
}

#[derive(Debug)]
struct Queue {
    events: ArrayQueue<AnnounceEvent>,
    lost: AtomicU64,
}

/// What wakes the writer, once it has said so.
#[derive(Default)]
struct Bell(OnceLock<Box<dyn Fn() + Send + Sync>>);

impl Debug for Bell {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        out.debug_tuple("Bell").field(&self.0.get().is_some()).finish()
    }
}

/// A front end's end of a queue.
#[derive(Clone, Debug)]
pub struct EventSink {
    queue: Arc<Queue>,
    bell: Arc<Bell>,
}

impl EventSink {
    /// Hands an event to the writer, which may be asleep: see [`EventSink::wake`]. False when the queue is full and the event lost.
    pub fn emit(&self, event: AnnounceEvent) -> bool {
        let room = self.queue.events.push(event).is_ok();
        if !room {
            self.queue.lost.fetch_add(1, Ordering::Relaxed);
        }
        room
    }

    /// Wakes the writer: once after the events of a batch.
    pub fn wake(&self) {
        if let Some(ring) = self.bell.0.get() {
            ring();
        }
    }
}

/// The writer's end of all queues.
#[derive(Debug)]
pub struct EventSource {
    queues: Vec<Arc<Queue>>,
    bell: Arc<Bell>,
}

impl EventSource {
    /// From now on, [`EventSink::wake`] calls `ring`, in the front ends' threads: it has to be quick, also when the writer is awake.
    /// Only the first call counts.
    pub fn attend(&self, ring: Box<dyn Fn() + Send + Sync>) {
        // There is one writer, so a second call brings the same bell.
        let _ = self.bell.0.set(ring);
    }

    /// Takes up to `budget` events, some from each queue in turn, and calls `apply` with the queue's number and each event; how many
    /// there were. Events of one queue come in the order in which they were emitted; nothing is said about two queues.
    pub fn drain(&self, budget: usize, mut apply: impl FnMut(usize, AnnounceEvent)) -> usize {
        // A share from each queue, so that a busy one can't keep the others waiting.
        let share = budget.div_ceil(self.queues.len().max(1));
        let mut taken = 0;
        for (number, queue) in self.queues.iter().enumerate() {
            for _ in 0..share {
                let Some(event) = queue.events.pop() else { break };
                apply(number, event);
                taken += 1;
            }
        }
        taken
    }

    /// True when no queue has an event: for a writer that is about to sleep.
    pub fn is_empty(&self) -> bool {
        self.queues.iter().all(|queue| queue.events.is_empty())
    }

    /// Events that all queues together hold at most: a [`EventSource::drain`] of so many takes whatever was there when it began.
    pub fn room(&self) -> usize {
        self.queues.len() * QUEUE_LEN
    }

    /// Events lost to full queues so far.
    pub fn lost(&self) -> u64 {
        self.queues.iter().map(|queue| queue.lost.load(Ordering::Relaxed)).sum()
    }

    /// Counts lost events from any thread.
    pub fn lost_counter(&self) -> LostEvents {
        LostEvents(self.queues.clone())
    }
}

/// How many events were lost; for statistics.
#[derive(Clone, Debug)]
pub struct LostEvents(Vec<Arc<Queue>>);

impl LostEvents {
    /// Events lost to full queues so far.
    pub fn count(&self) -> u64 {
        self.0.iter().map(|queue| queue.lost.load(Ordering::Relaxed)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracker_common::table::PeerAddress;
    use tracker_common::wire::AnnounceKind;

    fn event(port: u16) -> AnnounceEvent {
        AnnounceEvent::new([1; 20], PeerAddress::v4([192, 0, 2, 1], port), AnnounceKind::None, false, 0)
    }

    #[test]
    fn events_of_a_queue_come_out_in_order() {
        let (sinks, source) = queues(1);
        (1..=100).for_each(|port| assert!(sinks[0].emit(event(port))));
        let mut taken = Vec::new();
        assert_eq!(source.drain(60, |_, event| taken.push(event)), 60);
        assert_eq!(source.drain(60, |_, event| taken.push(event)), 40);
        assert_eq!(taken, (1..=100).map(event).collect::<Vec<_>>());
    }

    #[test]
    fn a_full_queue_loses_and_counts() {
        let (sinks, source) = queues(2);
        let kept = (0..QUEUE_LEN + 5).filter(|_| sinks[0].emit(event(1))).count();
        assert_eq!(kept, QUEUE_LEN);
        assert!(sinks[1].emit(event(2)));
        assert_eq!((source.lost(), source.lost_counter().count()), (5, 5));
        assert!(!source.is_empty());
        source.drain(source.room(), |_, _| {});
        assert!(source.is_empty());
    }

    #[test]
    fn a_busy_queue_does_not_keep_the_others_waiting() {
        let (sinks, source) = queues(2);
        (0..1000).for_each(|_| assert!(sinks[0].emit(event(1))));
        assert!(sinks[1].emit(event(2)));
        let mut ports = Vec::new();
        source.drain(10, |queue, event| ports.push((queue, event.peer().bytes()[5])));
        assert!(ports.contains(&(1, 2)), "{ports:?}");
    }

    #[test]
    fn a_wake_rings_the_writer_s_bell() {
        let (sinks, source) = queues(1);
        std::thread::scope(|scope| {
            let writer = scope.spawn(move || {
                let thread = std::thread::current();
                source.attend(Box::new(move || thread.unpark()));
                let mut taken = 0;
                while taken < 3 {
                    taken += source.drain(100, |_, _| {});
                    if taken < 3 {
                        std::thread::park_timeout(std::time::Duration::from_millis(1));
                    }
                }
                taken
            });
            for port in 1..=3 {
                assert!(sinks[0].emit(event(port)));
                sinks[0].wake();
            }
            assert_eq!(writer.join().unwrap(), 3);
        });
    }
}
