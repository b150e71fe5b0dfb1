//! The rhythm of cleaning: how much of the table is due at a time, so that each cleaning interval covers it once.
//!
//! Called by the writer's thread. Small pieces at short distances: announces wait for one piece at most. Tests are below.

/// What is due of a round that takes one interval.
#[derive(Debug)]
pub(super) struct Rhythm {
    interval_ms: u64,
    last_ms: u64,
    /// Pieces that are due, times `interval_ms`.
    due: u64,
}

impl Rhythm {
    /// A round in `interval_ms`, the first of which begins now.
    pub(super) fn new(interval_ms: u64, now_ms: u64) -> Self {
        Self { interval_ms: interval_ms.max(1), last_ms: now_ms, due: 0 }
    }

    /// How many of the `round` pieces of a whole round are due.
    pub(super) fn due(&mut self, now_ms: u64, round: u64) -> u32 {
        // A thread that was kept from running doesn't make up for more than a round.
        let passed = now_ms.saturating_sub(self.last_ms).min(self.interval_ms);
        self.last_ms = self.last_ms.max(now_ms);
        // One more: the call that comes to the end of the table does nothing else.
        let round = round.saturating_add(1);
        self.due = self.due.saturating_add(passed * round).min(round.saturating_mul(self.interval_ms));
        u32::try_from(self.due / self.interval_ms).unwrap_or(u32::MAX)
    }

    /// So many of them are done.
    pub(super) fn done(&mut self, pieces: u32) {
        self.due = self.due.saturating_sub(u64::from(pieces) * self.interval_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_covers_the_table_however_often_somebody_asks() {
        for (round, step) in [(0, 100), (1, 100), (599, 7), (1_000_000, 100), (40_000_000, 1), (7, 59_999)] {
            let mut rhythm = Rhythm::new(60_000, 1000);
            let mut done = 0;
            let mut now = 1000;
            while now < 61_000 {
                now = (now + step).min(61_000);
                loop {
                    // In pieces, as the table takes them.
                    let piece = rhythm.due(now, round).min(5000);
                    if piece == 0 {
                        break;
                    }
                    rhythm.done(piece);
                    done += u64::from(piece);
                }
            }
            assert!(done >= round && done <= round + 1, "{done} of {round} in steps of {step} ms");
        }
    }

    #[test]
    fn a_pause_is_not_made_up_for_more_than_once() {
        let mut rhythm = Rhythm::new(1000, 0);
        assert_eq!(rhythm.due(1_000_000, 99), 100);
        assert_eq!(rhythm.due(2_000_000, 99), 100);
        // A clock that steps back stands still.
        rhythm.done(100);
        assert_eq!(rhythm.due(0, 99), 0);
    }
}
