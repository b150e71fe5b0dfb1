//! Warnings that a stranger can bring about: one a minute is logged.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const EVERY: Duration = Duration::from_secs(60);

/// When something was last said.
#[derive(Debug, Default)]
pub(crate) struct Occasionally(Mutex<Option<Instant>>);

impl Occasionally {
    /// True when it may be said again; asked where something has gone wrong, never on the way of a request that is answered.
    pub(crate) fn may_speak(&self) -> bool {
        self.may_speak_at(Instant::now())
    }

    fn may_speak_at(&self, now: Instant) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let may = last.is_none_or(|last| now.saturating_duration_since(last) >= EVERY);
        if may {
            *last = Some(now);
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_failures_is_one_line_a_minute() {
        let warnings = Occasionally::default();
        let begin = Instant::now();
        let said =
            (0..180_000).filter(|ms| warnings.may_speak_at(begin + Duration::from_millis(*ms))).count();
        assert_eq!(said, 3);
    }
}
