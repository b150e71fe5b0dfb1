//! The loop of the writer's thread: events first, then a piece of everything else, then sleep.
//!
//! No piece takes longer than a fraction of a millisecond (the table sees to it), so an announce waits for one of them at most. Tests are in
//! `writer_thread`.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::thread;
use std::time::Duration;

use tracker_core::access_list::{AccessList, Mode};
use tracker_core::{DropRound, Millis, TableWriter};

use super::cleaning::Rhythm;
use super::inflow::{Inflow, Round};
use super::{AppliedEvents, Command, now};
use crate::udp::sys::wait::Bell;

/// Between two rounds that found something: what an announce may wait until others see it. Under load, events gather meanwhile, and
/// nobody has to wake the thread.
const NAP: Duration = Duration::from_millis(1);

/// The longest sleep: the rhythm of cleaning.
const SLICE: Duration = Duration::from_millis(100);

/// Rounds that a stop waits for a record that is still being written: nobody emits any more, so there is none.
const LAST_ROUNDS: u32 = 100;

/// How long the growth of the table rests when there was no memory for it.
const NO_MEMORY_MS: u64 = 1000;

/// How often it is told that there is no memory.
const COMPLAIN_EVERY_MS: u64 = 60_000;

/// What the thread works with.
pub(super) struct Duty {
    table: TableWriter,
    inflow: Inflow,
    bell: Arc<Bell>,
    applied: Arc<AppliedEvents>,
    received: Receiver<Command>,
    rhythm: Rhythm,
    dropping: Option<Dropping>,
    /// Before that, the table isn't asked to grow in idle time.
    grow_after: Millis,
    complain_after: Millis,
}

/// Torrents that a list denies: dropped in one round through the table, and in another one when nobody uses the list before it.
struct Dropping {
    list: Arc<AccessList>,
    round: DropRound,
    /// When this round begins.
    begin: Millis,
    /// There is another one to come.
    again: bool,
    dropped: u64,
}

/// A front end that still used the old list has emitted its last event by then: a worker takes the new one with its next batch.
const OLD_LIST_MS: u64 = 500;

impl Duty {
    pub(super) fn new(
        table: TableWriter,
        inflow: Inflow,
        bell: Arc<Bell>,
        applied: Arc<AppliedEvents>,
        received: Receiver<Command>,
        cleaning_interval_s: u32,
    ) -> Self {
        let rhythm = Rhythm::new(u64::from(cleaning_interval_s) * 1000, now().0);
        let (grow_after, complain_after) = (Millis(0), Millis(0));
        Self { table, inflow, bell, applied, received, rhythm, dropping: None, grow_after, complain_after }
    }

    /// Works until it is told to stop, and then applies what is left.
    pub(super) fn run(mut self) {
        let mut command = self.received.try_recv();
        loop {
            let now = now();
            match command {
                Ok(Command::DropDenied(list)) => self.dropping = Dropping::of(list, now),
                Ok(Command::Stop) | Err(TryRecvError::Disconnected) => break,
                Err(TryRecvError::Empty) => {}
            }
            let round = self.round(now);
            let more_to_clean = self.clean(now);
            let more_to_drop = self.drop_denied(now);
            command = self.received.try_recv();
            if round.more || more_to_clean || more_to_drop || command.is_ok() {
                continue;
            }
            if round.applied() > 0 || !round.complete {
                thread::sleep(NAP);
                continue;
            }
            let longest = if self.grow(now) { NAP } else { SLICE };
            let Self { inflow, bell, received, .. } = &mut self;
            let slept = bell.sleep(inflow.descriptor(), longest, || {
                command = received.try_recv();
                matches!(command, Err(TryRecvError::Empty)) && inflow.is_empty()
            });
            if let Err(error) = slept {
                tracing::error!("the writer of the swarm table sleeps without being woken: {error}");
                thread::sleep(SLICE);
            }
        }
        for _ in 0..LAST_ROUNDS {
            let round = self.round(now());
            if round.applied() == 0 && round.complete {
                break;
            }
        }
    }

    /// Applies what has come.
    fn round(&mut self, now: Millis) -> Round {
        let Self { table, inflow, applied, .. } = self;
        let mut lag_ms = 0;
        let round = inflow.round(|events| {
            for event in events {
                applied.software.count(event.software());
                // Both wrap after 49 days; what was answered since this round began hasn't waited.
                let waited = (now.0 as u32).wrapping_sub(event.time_ms()) as i32;
                lag_ms = lag_ms.max(waited);
            }
            table.apply_batch(events, now);
        });
        applied.add(&round, lag_ms as u32);
        round
    }

    /// Cleans a piece of the table, if one is due; true when another one is.
    fn clean(&mut self, now: Millis) -> bool {
        let due = self.rhythm.due(now.0, self.table.round());
        if due == 0 {
            return false;
        }
        let expired = self.table.expire(now, due);
        // The end of the table is a piece, too: the next one is at its front.
        let looked = expired.looked + u32::from(expired.wrapped);
        self.rhythm.done(looked);
        due > looked
    }

    /// Drops some of the torrents that are denied; true when there may be more.
    fn drop_denied(&mut self, now: Millis) -> bool {
        let Some(dropping) = self.dropping.as_mut().filter(|dropping| dropping.begin <= now) else {
            return false;
        };
        let list = &dropping.list;
        let done = self.table.drop_torrents(&mut dropping.round, |info_hash| !list.allows(info_hash), now);
        dropping.dropped += u64::from(done.torrents);
        if !done.done {
            return true;
        }
        if dropping.dropped > 0 {
            tracing::info!(
                "tracked torrents dropped, since the access list doesn't allow them any more: {}",
                dropping.dropped
            );
        }
        if dropping.again {
            let begin = Millis(now.0 + OLD_LIST_MS);
            (dropping.round, dropping.begin) = (DropRound::default(), begin);
            (dropping.again, dropping.dropped) = (false, 0);
        } else {
            self.dropping = None;
        }
        false
    }

    /// Lets the table go on growing; true when there is more to do.
    fn grow(&mut self, now: Millis) -> bool {
        let more = self.grow_after <= now && self.table.tend(now);
        let Some(failure) = self.table.take_failure() else { return more };
        self.grow_after = Millis(now.0 + NO_MEMORY_MS);
        if self.complain_after <= now {
            self.complain_after = Millis(now.0 + COMPLAIN_EVERY_MS);
            tracing::warn!("{failure}; new torrents and peers are answered but not remembered");
        }
        false
    }
}

impl Dropping {
    /// From now on; nothing if the list denies nothing.
    fn of(list: Arc<AccessList>, now: Millis) -> Option<Self> {
        let denies = list.mode() != Mode::Off;
        denies.then(|| Self { list, round: DropRound::default(), begin: now, again: true, dropped: 0 })
    }
}
