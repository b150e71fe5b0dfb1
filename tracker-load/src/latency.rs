//! A histogram of durations that is exact to 1 in 32 and never allocates while it counts.

use std::time::Duration;

/// Steps within a power of two: 32 steps are an error of 3 % at most.
const STEPS_LOG2: u32 = 5;
const STEPS: usize = 1 << STEPS_LOG2;

/// Powers of two of nanoseconds: the last one begins at 2^(37+5) ns, more than an hour.
const POWERS: usize = 38;

/// Counts by duration.
pub(crate) struct Histogram {
    counts: Box<[u64; STEPS * POWERS]>,
    total: u64,
}

impl Histogram {
    pub(crate) fn new() -> Self {
        Self { counts: Box::new([0; STEPS * POWERS]), total: 0 }
    }

    pub(crate) fn add(&mut self, time: Duration) {
        let ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.counts[bucket(ns)] += 1;
        self.total += 1;
    }

    /// The duration that this fraction of all is not above, in microseconds; 0 when there is none.
    pub(crate) fn quantile_us(&self, fraction: f64) -> f64 {
        let rank = (self.total as f64 * fraction).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return upper_ns(index) as f64 / 1000.0;
            }
        }
        0.0
    }
}

/// Below 32 ns one bucket each; above, the power of two and the five bits after the highest.
fn bucket(ns: u64) -> usize {
    let power = ns.max(1).ilog2().saturating_sub(STEPS_LOG2);
    let step = (ns >> power) as usize;
    let index = if power == 0 && step < STEPS { step } else { (power as usize + 1) * STEPS + (step - STEPS) };
    index.min(STEPS * POWERS - 1)
}

/// The last nanosecond of a bucket.
fn upper_ns(index: usize) -> u64 {
    if index < STEPS {
        return index as u64;
    }
    let (power, step) = (index / STEPS - 1, index % STEPS + STEPS);
    ((step as u64 + 1) << power) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_lies_in_its_bucket() {
        let mut previous = None;
        for index in 0..STEPS * POWERS {
            let first = previous.map_or(0, |last| last + 1);
            let last = upper_ns(index);
            assert_eq!((bucket(first), bucket(last)), (index, index), "bucket {index}: {first}..={last} ns");
            assert!((last - first) as f64 <= first as f64 / STEPS as f64, "bucket {index} is too wide");
            previous = Some(last);
        }
        assert_eq!(bucket(u64::MAX), STEPS * POWERS - 1);
    }

    #[test]
    fn quantiles_are_exact_to_three_percent() {
        let mut histogram = Histogram::new();
        (1..=1000).for_each(|us| histogram.add(Duration::from_micros(us)));
        for (fraction, expected) in [(0.5, 500.0), (0.99, 990.0), (1.0, 1000.0)] {
            let found = histogram.quantile_us(fraction);
            assert!((found / expected - 1.0).abs() < 0.032, "{fraction}: {found} µs, wanted {expected} µs");
        }
    }

    /// Exponential: the share above t is e^(-t / mean).
    #[test]
    fn quantiles_of_an_exponential_distribution_are_what_they_should_be() {
        const MEAN_US: f64 = 250.0;
        let (mut histogram, mut random) = (Histogram::new(), 7);
        for _ in 0..400_000 {
            // In (0, 1].
            let drawn = (crate::population::splitmix(&mut random) >> 11) + 1;
            let uniform: f64 = drawn as f64 / (1u64 << 53) as f64;
            histogram.add(Duration::from_secs_f64(-uniform.ln() * MEAN_US / 1e6));
        }
        for share in [0.5, 0.9, 0.99, 0.999] {
            let expected = -(1.0_f64 - share).ln() * MEAN_US;
            let ratio = histogram.quantile_us(share) / expected;
            // A bucket is 3 % wide; beyond 0.999 there are 400, so chance adds five per cent of a mean.
            assert!((0.97..1.07).contains(&ratio), "{share}: {ratio}");
        }
    }

    #[test]
    fn empty_histogram_says_zero() {
        assert_eq!(Histogram::new().quantile_us(0.5), 0.0);
    }
}
