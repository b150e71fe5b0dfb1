//! Sums over the result lines of all test programs of a `cargo test`.

use std::fmt::{self, Display, Formatter};

/// How it went, over all test programs.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    pub(crate) skipped: usize,
}

impl Tally {
    /// Takes a line of output; only result lines count.
    pub(crate) fn line(&mut self, line: &str) {
        let Some(("ok" | "FAILED", counts)) =
            line.strip_prefix("test result: ").and_then(|result| result.split_once(". "))
        else {
            return;
        };
        for count in counts.split("; ") {
            match count.split_once(' ').and_then(|(number, what)| Some((number.parse::<usize>().ok()?, what)))
            {
                Some((number, "passed")) => self.passed += number,
                Some((number, "failed")) => self.failed += number,
                Some((number, "ignored")) => self.skipped += number,
                _ => {}
            }
        }
    }

    /// A test that could do nothing here has returned early, and was counted as passed.
    pub(crate) fn skip(&mut self) {
        self.passed = self.passed.saturating_sub(1);
        self.skipped += 1;
    }
}

impl Display for Tally {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_all_programs_are_added_up() {
        let mut tally = Tally::default();
        for line in [
            "running 3 tests",
            "test a ... ok",
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s",
            "test result: FAILED. 4 passed; 2 failed; 0 ignored; 0 measured; 7 filtered out; finished in 1.00s",
        ] {
            tally.line(line);
        }
        assert_eq!(tally, Tally { passed: 7, failed: 2, skipped: 1 });
    }

    #[test]
    fn skipped_test_is_not_a_passed_one() {
        let mut tally = Tally { passed: 2, ..Tally::default() };
        tally.skip();
        assert_eq!(tally.to_string(), "1 passed, 0 failed, 1 skipped");
    }
}
