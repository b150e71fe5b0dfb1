//! When requests are due, and how far it has come.

use std::io::{self, IsTerminal as _};
use std::time::{Duration, Instant};

/// When requests are due.
pub(crate) enum Pace {
    /// As soon as there is room.
    Closed,
    /// One at these times.
    Open { next: Instant, every: Duration },
}

impl Pace {
    /// So many requests a second from now on; 0: as fast as answers come.
    pub(crate) fn at(rate: f64) -> Self {
        match rate > 0.0 {
            true => Self::Open { next: Instant::now(), every: Duration::from_secs_f64(1.0 / rate) },
            false => Self::Closed,
        }
    }

    /// How far behind its times an open loop is.
    pub(crate) fn behind(&self, now: Instant) -> Duration {
        match self {
            Self::Closed => Duration::ZERO,
            Self::Open { next, .. } => now.saturating_duration_since(*next),
        }
    }

    /// When the request behind `others` that are about to be sent is due; none if not yet.
    pub(crate) fn due(&self, others: usize, now: Instant) -> Option<Instant> {
        match self {
            Self::Closed => Some(now),
            Self::Open { next, every } => Some(*next + *every * others as u32).filter(|due| *due <= now),
        }
    }

    pub(crate) fn sent(&mut self, count: usize) {
        if let Self::Open { next, every } = self {
            *next += *every * count as u32;
        }
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        match self {
            Self::Closed => None,
            Self::Open { next, .. } => Some(*next),
        }
    }
}

/// Between two lines of progress.
const PROGRESS: Duration = Duration::from_secs(1);

/// Lines of progress for whoever watches.
pub(crate) struct Progress {
    what: &'static str,
    is_watched: bool,
    start: Instant,
    next: Instant,
    answers_before: u64,
}

impl Progress {
    pub(crate) fn new(what: &'static str, answers: u64) -> Self {
        let start = Instant::now();
        let is_watched = io::stderr().is_terminal();
        Self { what, is_watched, start, next: start + PROGRESS, answers_before: answers }
    }

    pub(crate) fn tell(&mut self, now: Instant, answers: u64) {
        if !self.is_watched || now < self.next {
            return;
        }
        self.next = now + PROGRESS;
        let answers = answers - self.answers_before;
        let seconds = (now - self.start).as_secs_f64();
        eprintln!("{}: {answers} answers, {:.0}/s", self.what, answers as f64 / seconds);
    }
}
