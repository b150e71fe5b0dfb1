//! How many peers each torrent has: models that a load can be drawn from.
//!
//! - `uniform`: all torrents have the same number.
//! - `zipf`: the torrent at rank r has a share of 1 / r of all peers; the mean is as asked for, and no torrent has fewer than one.
//! - `public`: as on public trackers, where most torrents have one or two peers and a few have thousands: the number is at least n with a
//!   chance of n^-1.2, so 56 % have one peer and 73 % one or two; the mean is some five.
//!
//! Tests compare with these laws.

use std::str::FromStr;

use crate::population::{MAX_PEERS, splitmix};

/// A model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Popularity {
    #[default]
    Uniform,
    Zipf,
    Public,
}

impl FromStr for Popularity {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "uniform" => Ok(Self::Uniform),
            "zipf" => Ok(Self::Zipf),
            "public" => Ok(Self::Public),
            _ => Err(format!("`{name}` is none of: uniform, zipf, public")),
        }
    }
}

/// The tail of [`Popularity::Public`].
const EXPONENT: f64 = 1.2;

impl Popularity {
    /// The numbers of peers, torrent by torrent; `mean` is what `public` doesn't ask for.
    pub(crate) fn sizes(self, torrents: u32, mean: u16, seed: u64) -> Vec<u16> {
        let within = |size: f64| size.clamp(1.0, f64::from(MAX_PEERS)) as u16;
        match self {
            Self::Uniform => vec![mean; torrents as usize],
            Self::Zipf => {
                let shares: f64 = (1..=torrents).map(|rank| 1.0 / f64::from(rank)).sum();
                let most = f64::from(mean) * f64::from(torrents) / shares;
                (1..=torrents).map(|rank| within((most / f64::from(rank)).round())).collect()
            }
            Self::Public => {
                let mut random = seed;
                let uniform = std::iter::repeat_with(move || {
                    // In (0, 1].
                    ((splitmix(&mut random) >> 11) + 1) as f64 / (1u64 << 53) as f64
                });
                uniform.take(torrents as usize).map(|u| within(u.powf(-1.0 / EXPONENT).floor())).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_torrents_are_mostly_of_one_or_two_peers() {
        let torrents = 200_000;
        let sizes = Popularity::Public.sizes(torrents, 0, 7);
        for least in [2u16, 3, 10, 100, 1000] {
            let share = sizes.iter().filter(|size| **size >= least).count() as f64 / f64::from(torrents);
            let expected = f64::from(least).powf(-EXPONENT);
            // Four standard deviations.
            let tolerance = 4.0 * (expected * (1.0 - expected) / f64::from(torrents)).sqrt();
            assert!((share - expected).abs() < tolerance, "{least}: {share}, not {expected}");
        }
        assert_eq!(sizes, Popularity::Public.sizes(torrents, 0, 7), "the same seed gives the same torrents");
        assert_ne!(sizes, Popularity::Public.sizes(torrents, 0, 8));
    }

    #[test]
    fn zipf_has_the_mean_that_was_asked_for_and_halves_with_the_rank() {
        let sizes = Popularity::Zipf.sizes(1000, 50, 0);
        let mean = sizes.iter().map(|size| f64::from(*size)).sum::<f64>() / 1000.0;
        assert!((mean - 50.0).abs() < 1.0, "{mean}");
        for rank in [1usize, 5, 20] {
            let ratio = f64::from(sizes[rank - 1]) / f64::from(sizes[2 * rank - 1]);
            assert!((ratio - 2.0).abs() < 0.01, "{rank}: {ratio}");
        }
        assert!(sizes.is_sorted_by(|a, b| a >= b) && sizes.last().is_some_and(|last| *last >= 1));
    }

    #[test]
    fn uniform_is_uniform() {
        assert_eq!(Popularity::Uniform.sizes(3, 5, 0), [5, 5, 5]);
    }
}
