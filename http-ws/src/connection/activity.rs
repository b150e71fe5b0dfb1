//! What a connection is doing, and since when: the basis of its time limits (H17).
//!
//! Noted by `wire` (bytes came, bytes went) and `service` (a request is whole), read by `connection`, which wakes up now and then to look
//! whether a limit has passed. So no timer is set or cleared for a request.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tracker_common::connection_id::Address;

use crate::settings::Settings;

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Nothing has come yet.
    New,
    /// Some of a request has come.
    Reading,
    /// A request is whole, and its answer isn't sent.
    Answering,
    /// An answer was sent, and nothing has come since.
    Idle,
}

/// Bytes of a long answer that count as progress: who takes less within the request timeout isn't reading.
const PROGRESS: u32 = 4096;

/// How long a busy connection keeps its buffers when nothing comes. One is busy when a request came within this time after an answer: most
/// clients have one request, and not another for half an hour.
const PARK_AFTER: Duration = Duration::from_millis(1500);

/// What to do when nothing happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Look again after this time.
    In(Duration),
    /// The limit of this phase has passed.
    Expired(Phase),
    /// Give back the buffers.
    Park,
}

#[derive(Debug)]
pub(crate) struct Activity {
    clock: fn() -> u64,
    phase: Cell<Phase>,
    since_ns: Cell<u64>,
    taken: Cell<u32>,
    streaming: Cell<bool>,
    /// There is nothing to send, and that isn't the client's fault.
    starving: Cell<bool>,
    busy: Cell<bool>,
    last: Cell<bool>,
    left_some_unread: Cell<bool>,
    upgraded: Cell<Option<Address>>,
    /// Connections of the worker whose answer isn't sent yet.
    answering: Rc<Cell<u32>>,
}

impl Activity {
    pub(crate) fn new(clock: fn() -> u64, answering: &Rc<Cell<u32>>) -> Rc<Self> {
        Rc::new(Self {
            clock,
            answering: Rc::clone(answering),
            phase: Cell::new(Phase::New),
            since_ns: Cell::new(clock()),
            taken: Cell::new(0),
            streaming: Cell::new(false),
            starving: Cell::new(false),
            busy: Cell::new(false),
            last: Cell::new(false),
            left_some_unread: Cell::new(false),
            upgraded: Cell::new(None),
        })
    }

    #[cfg(test)]
    fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// Bytes have come.
    pub(crate) fn read(&self) {
        match self.phase.get() {
            // The time runs from the acceptance.
            Phase::New => self.phase.set(Phase::Reading),
            Phase::Idle => {
                self.busy.set(self.elapsed() < PARK_AFTER);
                self.enter(Phase::Reading);
            }
            Phase::Reading | Phase::Answering => {}
        }
    }

    /// A request is whole.
    pub(crate) fn request(&self) {
        self.enter(Phase::Answering);
    }

    /// The client's system has taken some of an answer.
    pub(crate) fn wrote(&self, bytes: usize) {
        let taken = self.taken.get().saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
        if taken >= PROGRESS {
            self.enter(self.phase.get());
        } else {
            self.taken.set(taken);
        }
    }

    /// Everything that was to be sent is sent.
    pub(crate) fn flushed(&self) {
        if self.phase.get() == Phase::Answering && !self.streaming.get() {
            self.enter(Phase::Idle);
        }
    }

    /// The connection is closed behind the answer, all of which is there.
    pub(crate) fn ends_with_answer(&self) {
        self.last.set(true);
    }

    /// True when nothing is sent behind this answer.
    pub(crate) fn is_last(&self) -> bool {
        self.last.get()
    }

    /// The request has a body, which nobody reads.
    pub(crate) fn leave_unread(&self) {
        self.left_some_unread.set(true);
    }

    /// True when there is more to read than was wanted.
    pub(crate) fn left_some_unread(&self) -> bool {
        self.left_some_unread.get()
    }

    /// The connection goes on as WebSocket, and is this client's.
    pub(crate) fn upgrade(&self, client: Address) {
        self.upgraded.set(Some(client));
    }

    /// Whose connection goes on as WebSocket.
    pub(crate) fn upgraded(&self) -> Option<Address> {
        self.upgraded.get()
    }

    /// An answer comes piece by piece until the value is dropped.
    pub(crate) fn stream(self: &Rc<Self>) -> Streaming {
        self.streaming.set(true);
        Streaming(Rc::clone(self))
    }

    /// What is due; `parked` when there is nothing to give back.
    pub(crate) fn due(&self, settings: &Settings, parked: bool) -> Due {
        let elapsed = self.elapsed();
        let phase = self.phase.get();
        let limit = match phase {
            Phase::Idle => settings.idle_timeout,
            Phase::New | Phase::Reading | Phase::Answering => settings.request_timeout,
        };
        if self.starving.get() {
            return Due::In(limit);
        }
        let mut left = limit.saturating_sub(elapsed);
        if left.is_zero() {
            return Due::Expired(phase);
        }
        if phase == Phase::Idle && !parked {
            let until_park = PARK_AFTER.saturating_sub(elapsed);
            if until_park.is_zero() {
                return Due::Park;
            }
            left = left.min(until_park);
        }
        // The clock is coarse: not a tick too early.
        Due::In(left + Duration::from_millis(5))
    }

    /// True when it isn't worth while to keep buffers for the next request.
    pub(crate) fn has_nothing_more(&self) -> bool {
        self.phase.get() == Phase::Idle && !self.busy.get()
    }

    fn elapsed(&self) -> Duration {
        Duration::from_nanos((self.clock)().saturating_sub(self.since_ns.get()))
    }

    fn enter(&self, phase: Phase) {
        let answered = u32::from(self.phase.replace(phase) == Phase::Answering);
        let answers = u32::from(phase == Phase::Answering);
        self.answering.set(self.answering.get() + answers - answered);
        self.since_ns.set((self.clock)());
        self.taken.set(0);
    }
}

impl Drop for Activity {
    fn drop(&mut self) {
        self.enter(Phase::Idle);
    }
}

/// An answer that comes piece by piece.
#[derive(Debug)]
pub(crate) struct Streaming(Rc<Activity>);

impl Streaming {
    /// Whether there is a piece to send.
    pub(crate) fn has_piece(&self, has: bool) {
        if self.0.starving.replace(!has) && has {
            self.0.enter(Phase::Answering);
        }
    }
}

impl Drop for Streaming {
    fn drop(&mut self) {
        self.0.starving.set(false);
        self.0.streaming.set(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// Seconds; a clock of its own for each test's thread.
    fn at(seconds: f64) {
        NOW.with(|now| now.store((seconds * 1e9) as u64, Ordering::Relaxed));
    }

    fn clock() -> u64 {
        NOW.with(|now| now.load(Ordering::Relaxed))
    }

    thread_local!(static NOW: AtomicU64 = const { AtomicU64::new(0) });

    fn activity() -> Rc<Activity> {
        Activity::new(clock, &Rc::default())
    }

    fn due(activity: &Activity) -> Due {
        activity.due(&Settings::default(), false)
    }

    #[test]
    fn request_has_its_time_from_the_first_byte_however_it_trickles() {
        let activity = activity();
        activity.read();
        for second in 1..10 {
            at(f64::from(second));
            activity.read();
            assert!(matches!(due(&activity), Due::In(_)), "{second}");
        }
        at(10.0);
        assert_eq!(due(&activity), Due::Expired(Phase::Reading));
    }

    #[test]
    fn idle_connection_is_parked_and_later_closed() {
        let activity = activity();
        activity.read();
        activity.request();
        activity.flushed();
        assert!(matches!(due(&activity), Due::In(time) if time < Duration::from_secs(2)));
        at(2.0);
        assert_eq!(due(&activity), Due::Park);
        assert!(matches!(activity.due(&Settings::default(), true), Due::In(_)));
        at(60.0);
        assert_eq!(activity.due(&Settings::default(), true), Due::Expired(Phase::Idle));
    }

    #[test]
    fn client_is_not_blamed_for_an_answer_that_takes_long_to_make() {
        let activity = activity();
        activity.request();
        let streaming = activity.stream();
        streaming.has_piece(false);
        at(30.0);
        assert!(matches!(due(&activity), Due::In(_)));
        streaming.has_piece(true);
        at(39.0);
        assert!(matches!(due(&activity), Due::In(_)));
        at(41.0);
        assert_eq!(due(&activity), Due::Expired(Phase::Answering));
    }

    #[test]
    fn answers_in_the_making_are_counted() {
        let answering = Rc::default();
        let connections = [Activity::new(clock, &answering), Activity::new(clock, &answering)];
        for activity in &connections {
            activity.read();
            activity.request();
            activity.request();
        }
        assert_eq!(answering.get(), 2);
        connections[0].flushed();
        assert_eq!(answering.get(), 1);
        drop(connections);
        assert_eq!(answering.get(), 0);
    }

    #[test]
    fn connection_is_busy_when_requests_follow_each_other() {
        let activity = activity();
        let request = || {
            activity.read();
            activity.request();
            activity.flushed();
        };
        request();
        assert!(activity.has_nothing_more());
        at(1.0);
        request();
        assert!(!activity.has_nothing_more());
        at(5.0);
        request();
        assert!(activity.has_nothing_more());
    }

    #[test]
    fn reader_of_a_long_answer_has_to_get_on() {
        let activity = activity();
        activity.request();
        let streaming = activity.stream();
        for second in 1..=30 {
            at(f64::from(second));
            activity.wrote(2048);
            activity.flushed();
            assert!(matches!(due(&activity), Due::In(_)), "{second}");
        }
        for second in 31..=41 {
            at(f64::from(second));
            activity.wrote(1);
        }
        assert_eq!(due(&activity), Due::Expired(Phase::Answering));
        drop(streaming);
        activity.flushed();
        assert_eq!(activity.phase(), Phase::Idle);
    }
}
