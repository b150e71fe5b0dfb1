//! Where events come from: the queues of the socket workers and the ring of the XDP program, round by round.
//!
//! A round takes what is there when it begins, in the order that [`Order`] needs, and gives it to the table in batches. Called by the writer's
//! thread alone. Tests are in `order`, in `writer_thread` and, with a kernel, in `tests/cli`.

use std::os::fd::{AsFd as _, BorrowedFd};

use tracker_common::event::AnnounceEvent;
use tracker_core::queue::EventSource;

use super::order::Order;
use crate::bpf::{EventRing, Taken};

/// Events taken from the ring in one round, before the thread looks at its other duties: half a millisecond of work.
const RING_AT_ONCE: usize = 1024;

/// Events applied at once: the table fetches what they need from memory at the same time.
const BATCH: usize = 64;

/// All sources of events, and what was taken from them but not applied yet.
pub(super) struct Inflow {
    queues: EventSource,
    several_queues: bool,
    ring: Option<EventRing>,
    order: Order,
    from_ring: Vec<AnnounceEvent>,
    batch: Vec<AnnounceEvent>,
}

/// What a round brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Round {
    /// Events of the ring that were applied.
    pub(super) from_ring: usize,
    /// Events of queues that were applied.
    pub(super) from_queues: usize,
    /// Nothing is left of what was there when the round began, nor does an event wait for the next round.
    pub(super) complete: bool,
    /// The next round finds something at once.
    pub(super) more: bool,
}

impl Inflow {
    pub(super) fn new(queues: EventSource, several_queues: bool, ring: Option<EventRing>) -> Self {
        Self {
            queues,
            several_queues,
            ring,
            order: Order::default(),
            from_ring: Vec::with_capacity(RING_AT_ONCE),
            batch: Vec::with_capacity(BATCH),
        }
    }

    /// Takes what is there and calls `apply` with it, in batches.
    pub(super) fn round(&mut self, mut apply: impl FnMut(&[AnnounceEvent])) -> Round {
        let Self { queues, ring, order, from_ring, batch, .. } = self;
        let room = queues.room();
        queues.drain(room, |queue, event| order.sure(queue, event));
        let mut taken = Taken::All;
        from_ring.clear();
        let end = ring.as_ref().map(EventRing::end);
        if ring.is_some() || self.several_queues {
            queues.drain(room, |queue, event| order.fresh(queue, event));
        }
        if let (Some(ring), Some(end)) = (ring, end) {
            taken = ring.take(end, RING_AT_ONCE, from_ring);
        }
        let from_queues = order.merge(from_ring, taken == Taken::All, |event| {
            batch.push(*event);
            if batch.len() == BATCH {
                apply(batch);
                batch.clear();
            }
        });
        if !batch.is_empty() {
            apply(batch);
            batch.clear();
        }
        Round {
            from_ring: from_ring.len(),
            from_queues,
            complete: taken == Taken::All && order.is_empty(),
            more: taken == Taken::Some,
        }
    }

    /// True when there is nothing to take: asked before the thread sleeps.
    pub(super) fn is_empty(&self) -> bool {
        self.queues.is_empty() && self.ring.as_ref().is_none_or(EventRing::is_empty)
    }

    /// The descriptor that can be read when the ring has something.
    pub(super) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.ring.as_ref().map(|ring| ring.as_fd())
    }
}

impl Round {
    /// Events that were applied.
    pub(super) fn applied(&self) -> usize {
        self.from_ring + self.from_queues
    }
}
