//! One order for the events of several sources: the program's ring and the queues of the socket workers.
//!
//! What has to hold: when a peer announces *started*, is answered, and announces *stopped*, the table must not end with the peer in it, even if
//! one announce came through the kernel and the other through a socket. Each source keeps its own order; between two of them there is
//! nothing but the time that each event carries, in milliseconds of one clock that goes in steps of up to 10 ms.
//!
//! A round of the writer is: take everything from the queues (these events are *sure*), read where the ring ends, take everything from the
//! queues again (these are *fresh*), read the ring up to that end. An event is emitted before its announce is answered, so whatever led to
//! an event was in its source earlier. Therefore:
//!
//! - What led to a sure event, or to one in the ring, is in this round or was in one before.
//! - What led to a fresh event may be in the ring behind the end. So a fresh event waits for the next round, where it is sure; unless
//!   something of this round is younger, for then what led to it was emitted before the end was read.
//! - A fresh event may itself have led to a sure one, of another queue that was looked at later. So one of the same time goes with it, if it
//!   isn't a stop: those go last anyway.
//!
//! Within one step of the clock the time says nothing, and stops go last: a peer that is alive comes back with its next announce, one that is
//! gone would be handed out for its whole lifetime. The events of one peer in one queue and one step stay together: they are a stop
//! when the last of them is one.
//!
//! Pure: called by `writer_thread`, tested below on histories of many sources.

use std::collections::HashMap;

use tracker_common::event::AnnounceEvent;
use tracker_common::table::PeerAddress;
use tracker_common::wire::{AnnounceKind, InfoHash};

/// Events of the queues that were not applied yet.
#[derive(Debug, Default)]
pub(super) struct Order {
    waiting: Vec<Waiting>,
    /// Empty between two rounds; kept for its memory.
    stops: HashMap<Group, bool>,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    event: AnnounceEvent,
    queue: usize,
    sure: bool,
    /// Behind the ring's events of the same time.
    late: bool,
}

/// The events of one peer in one queue and one step of the clock.
type Group = (usize, u32, InfoHash, PeerAddress);

impl Order {
    /// An event from a queue, taken before the end of the ring was read.
    pub(super) fn sure(&mut self, queue: usize, event: AnnounceEvent) {
        self.waiting.push(Waiting { event, queue, sure: true, late: false });
    }

    /// An event from a queue, taken after the end of the ring was read.
    pub(super) fn fresh(&mut self, queue: usize, event: AnnounceEvent) {
        self.waiting.push(Waiting { event, queue, sure: false, late: false });
    }

    /// True when no event waits for the next round.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Ends a round: calls `apply` with the events of the ring and of the queues in their order; how many of them were from queues.
    ///
    /// `complete`: `ring` is everything up to the end that was read. Otherwise what led to a waiting event may be in the rest.
    pub(super) fn merge(
        &mut self,
        ring: &[AnnounceEvent],
        complete: bool,
        mut apply: impl FnMut(&AnnounceEvent),
    ) -> usize {
        let Some(first) = self.waiting.first() else {
            ring.iter().for_each(apply);
            return 0;
        };
        // Times wrap; all that meet here are close together, so they compare by their distance to one of them.
        let base = first.event.time_ms().wrapping_sub(1 << 31);
        let age = |event: &AnnounceEvent| event.time_ms().wrapping_sub(base);
        self.mark_late();
        // Stable: what is equal stays in the order of its queue.
        self.waiting.sort_by_key(|waiting| (age(&waiting.event), waiting.late));

        let mut applied = 0;
        for event in ring {
            while let Some(next) = self.waiting.get(applied)
                && (age(&next.event), next.late) <= (age(event), false)
            {
                apply(&next.event);
                applied += 1;
            }
            apply(event);
        }
        // The youngest that is sure: what is older goes with it.
        let sure = self.waiting.iter().skip(applied).filter(|waiting| waiting.sure && complete);
        let youngest = sure.map(|waiting| age(&waiting.event)).max();
        let mut index = 0;
        let ahead = applied;
        self.waiting.retain_mut(|waiting| {
            index += 1;
            if index <= ahead {
                return false;
            }
            let goes = youngest.is_some_and(|youngest| {
                let age = age(&waiting.event);
                age < youngest || age == youngest && (waiting.sure || !waiting.late)
            });
            if goes {
                apply(&waiting.event);
                applied += 1;
            }
            waiting.sure = true;
            !goes
        });
        applied
    }

    fn mark_late(&mut self) {
        let stopped = |event: &AnnounceEvent| event.kind() == AnnounceKind::Stopped;
        let any = self.waiting.iter().any(|waiting| stopped(&waiting.event));
        for Waiting { event, queue, late, .. } in self.waiting.iter_mut().rev() {
            // From the end: the first of a group that is met is its last.
            let group = (*queue, event.time_ms(), *event.info_hash(), event.peer());
            *late = any && *self.stops.entry(group).or_insert_with(|| stopped(event));
        }
        self.stops.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn event(peer: u8, kind: AnnounceKind, time_ms: u32) -> AnnounceEvent {
        AnnounceEvent::new([7; 20], PeerAddress::v4([192, 0, 2, peer], 6881), kind, false, time_ms)
    }

    fn started(peer: u8, time_ms: u32) -> AnnounceEvent {
        event(peer, AnnounceKind::Started, time_ms)
    }

    fn stopped(peer: u8, time_ms: u32) -> AnnounceEvent {
        event(peer, AnnounceKind::Stopped, time_ms)
    }

    fn merged(order: &mut Order, ring: &[AnnounceEvent], complete: bool) -> Vec<AnnounceEvent> {
        let mut out = Vec::new();
        order.merge(ring, complete, |event| out.push(*event));
        out
    }

    #[test]
    fn older_events_of_queues_come_before_those_of_the_ring() {
        let mut order = Order::default();
        order.sure(0, started(1, 10));
        order.sure(0, started(2, 30));
        let ring = [stopped(1, 20), stopped(2, 40)];
        assert_eq!(
            merged(&mut order, &ring, true),
            [started(1, 10), stopped(1, 20), started(2, 30), stopped(2, 40)]
        );
        assert!(order.is_empty());
    }

    #[test]
    fn at_the_same_time_stops_are_last_whichever_way_they_came() {
        let mut order = Order::default();
        order.sure(0, stopped(1, 10));
        order.sure(0, started(2, 10));
        let ring = [started(1, 10), stopped(2, 10)];
        let out = merged(&mut order, &ring, true);
        assert_eq!(out, [started(2, 10), started(1, 10), stopped(2, 10), stopped(1, 10)]);
    }

    #[test]
    fn a_restart_within_a_step_of_the_clock_stays_a_restart() {
        let mut order = Order::default();
        order.sure(0, stopped(1, 10));
        order.sure(0, started(1, 10));
        // Another queue's stop is no reason to turn it round.
        order.sure(1, stopped(2, 10));
        let out = merged(&mut order, &[started(3, 10)], true);
        assert_eq!(out, [stopped(1, 10), started(1, 10), started(3, 10), stopped(2, 10)]);
    }

    #[test]
    fn fresh_events_wait_for_a_round_unless_something_younger_is_there() {
        let mut order = Order::default();
        order.fresh(0, stopped(1, 10));
        assert_eq!(merged(&mut order, &[], true), []);
        // What led to it has come behind the end of the ring.
        assert_eq!(merged(&mut order, &[started(1, 10)], true), [started(1, 10), stopped(1, 10)]);

        order.sure(0, started(2, 21));
        order.fresh(1, stopped(1, 20));
        order.fresh(1, stopped(1, 21));
        assert_eq!(merged(&mut order, &[], true), [stopped(1, 20), started(2, 21)]);
        assert_eq!(merged(&mut order, &[], true), [stopped(1, 21)]);
    }

    /// Queues are looked at one after the other: the first was empty, then a start came there and its stop to the second. The stop was applied a round
    /// ahead of the start, and the peer stayed; seen once in some hundred runs of the test of the whole thread on a busy machine.
    #[test]
    fn regression_fresh_start_goes_with_the_sure_stop_that_it_led_to() {
        let mut order = Order::default();
        order.sure(1, stopped(1, 10));
        order.fresh(0, started(1, 10));
        assert_eq!(merged(&mut order, &[], true), [started(1, 10), stopped(1, 10)]);
        assert!(order.is_empty());
    }

    #[test]
    fn a_part_of_the_ring_lets_only_older_events_through() {
        let mut order = Order::default();
        order.sure(0, stopped(1, 20));
        order.sure(0, started(2, 10));
        assert_eq!(merged(&mut order, &[started(1, 11)], false), [started(2, 10), started(1, 11)]);
        assert_eq!(merged(&mut order, &[started(1, 19)], true), [started(1, 19), stopped(1, 20)]);
    }

    #[test]
    fn times_compare_across_their_wrap() {
        let mut order = Order::default();
        order.sure(0, stopped(1, 3));
        order.sure(1, started(1, u32::MAX));
        assert_eq!(
            merged(&mut order, &[started(1, 1)], true),
            [started(1, u32::MAX), started(1, 1), stopped(1, 3)]
        );
    }

    const SOURCES: usize = 4;
    const PEERS: u8 = 6;
    /// Source 0 is the ring.
    const RING: usize = 0;

    #[derive(Clone, Copy, Debug)]
    enum Step {
        /// The clock goes on.
        Tick,
        /// A source begins an announce: it reads the clock.
        Begin { peer: u8, source: usize, stop: bool },
        /// The source emits the event, and the peer has its answer.
        Emit { peer: u8 },
        /// The writer goes on by one step of its round.
        Write,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            2 => Just(Step::Tick),
            4 => (0..PEERS, 0..SOURCES, any::<bool>()).prop_map(|(peer, source, stop)| Step::Begin { peer, source, stop }),
            4 => (0..PEERS).prop_map(|peer| Step::Emit { peer }),
            6 => Just(Step::Write),
        ];
        prop::collection::vec(step, 0..300)
    }

    /// Sources and a writer, all at their own speed; each peer waits for its answer before it asks again.
    #[derive(Default)]
    struct Sim {
        clock: u32,
        /// The clock goes on with each step, so that no two announces have the same time.
        ticking: bool,
        sources: [Vec<AnnounceEvent>; SOURCES],
        pending: BTreeMap<u8, (usize, AnnounceEvent)>,
        /// What each peer announced, in the order of its answers.
        history: BTreeMap<u8, Vec<AnnounceEvent>>,
        order: Order,
        stage: usize,
        ring_end: usize,
        budget: usize,
        applied: Vec<AnnounceEvent>,
    }

    impl Sim {
        fn step(&mut self, step: Step) {
            if self.ticking {
                self.clock = self.clock.wrapping_add(4);
            }
            match step {
                Step::Tick => self.clock = self.clock.wrapping_add(4),
                Step::Begin { peer, source, stop } => {
                    let kind = if stop { AnnounceKind::Stopped } else { AnnounceKind::Started };
                    // A queue belongs to a thread, which does one thing after the other; the ring belongs to all processors.
                    let busy = source != RING && self.pending.values().any(|(other, _)| *other == source);
                    if !busy {
                        self.pending.entry(peer).or_insert((source, event(peer, kind, self.clock)));
                    }
                }
                Step::Emit { peer } => {
                    if let Some((source, event)) = self.pending.remove(&peer) {
                        self.sources[source].push(event);
                        self.history.entry(peer).or_default().push(event);
                    }
                }
                Step::Write => self.write(),
            }
        }

        /// One queue, the end of the ring, one queue again, the ring: at any of these points something may happen in between.
        fn write(&mut self) {
            let queues = SOURCES - 1;
            match self.stage {
                stage if stage < queues => {
                    for event in std::mem::take(&mut self.sources[1 + stage]) {
                        self.order.sure(stage, event);
                    }
                }
                stage if stage == queues => self.ring_end = self.sources[RING].len(),
                stage if stage <= 2 * queues => {
                    let queue = stage - queues - 1;
                    for event in std::mem::take(&mut self.sources[1 + queue]) {
                        self.order.fresh(queue, event);
                    }
                }
                _ => {
                    let count = self.ring_end.min(self.budget);
                    let ring: Vec<_> = self.sources[RING].drain(..count).collect();
                    let applied = &mut self.applied;
                    self.order.merge(&ring, count == self.ring_end, |event| applied.push(*event));
                }
            }
            self.stage = (self.stage + 1) % (2 * queues + 2);
        }

        fn finish(&mut self) {
            let total: usize = self.history.values().map(Vec::len).sum();
            for _ in 0..1000 {
                if self.applied.len() == total {
                    return;
                }
                self.write();
            }
            panic!("{} of {total} events were applied: {self:?}", self.applied.len());
        }
    }

    impl std::fmt::Debug for Sim {
        fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(out, "{:?} {:?}", self.order, self.sources)
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        #[test]
        fn who_stopped_last_is_gone_whatever_way_the_announces_took(
            steps in steps(), start in prop_oneof![Just(0), Just(u32::MAX - 40)], budget in 1..10usize,
            ticking: bool,
        ) {
            let mut sim = Sim { clock: start, ticking, budget, ..Sim::default() };
            for step in steps {
                sim.step(step);
            }
            sim.finish();
            // Where the clock tells all events apart, the writer does.
            let mut times: Vec<_> = sim.applied.iter().map(AnnounceEvent::time_ms).collect();
            times.sort_unstable();
            let apart = times.windows(2).all(|pair| pair[0] != pair[1]);
            for (peer, history) in &sim.history {
                let me = history[0].peer();
                let applied: Vec<_> = sim.applied.iter().filter(|event| event.peer() == me).copied().collect();
                prop_assert_eq!(applied.len(), history.len(), "peer {}", peer);
                let last = history[history.len() - 1];
                if last.kind() == AnnounceKind::Stopped {
                    prop_assert_eq!(applied[applied.len() - 1].kind(), AnnounceKind::Stopped, "peer {}", peer);
                }
                if apart {
                    prop_assert_eq!(&applied, history, "peer {}", peer);
                }
            }
        }
    }
}
