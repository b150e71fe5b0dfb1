//! Several runs of the same thing: the median, and how far they were apart.

use serde::{Deserialize, Serialize};

/// Figures of the rounds of one case, at least one.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Rounds(Vec<f64>);

impl Rounds {
    pub(crate) fn new(figures: impl IntoIterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = figures.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        Self(sorted)
    }

    pub(crate) fn median(&self) -> f64 {
        let middle = self.0.len() / 2;
        match self.0.as_slice() {
            [] => f64::NAN,
            even if even.len().is_multiple_of(2) => (even[middle - 1] + even[middle]) / 2.0,
            odd => odd[middle],
        }
    }

    /// The figures, from the least to the most.
    pub(crate) fn all(&self) -> &[f64] {
        &self.0
    }

    /// `1.47 [1.45–1.52]`, with so many digits behind the point.
    pub(crate) fn show(&self, digits: usize) -> String {
        let (first, last) = (self.0.first().unwrap_or(&f64::NAN), self.0.last().unwrap_or(&f64::NAN));
        format!("{:.digits$} [{first:.digits$}–{last:.digits$}]", self.median())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_of_odd_and_even_numbers_of_rounds() {
        assert_eq!(Rounds::new([3.0, 1.0, 2.0]).median(), 2.0);
        assert_eq!(Rounds::new([4.0, 1.0, 2.0, 3.0]).median(), 2.5);
    }

    #[test]
    fn spread_is_shown_with_the_median() {
        assert_eq!(Rounds::new([1.5, 1.47, 1.452]).show(2), "1.47 [1.45–1.50]");
    }
}
