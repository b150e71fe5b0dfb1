//! The table of rate limits, and its checks.

use tracker_common::sketch::{MAX_LIMIT, SourceLimits};

use super::within;
use crate::config::Refusal;

section! {
    /// What one source may send over UDP; what is beyond gets no answer and is counted. A source is an IPv4 address or the /64
    /// of an IPv6 address, and may be thousands of clients behind a carrier's NAT. In the kernel each processor counts what
    /// arrives at it, without the others, and so does each thread of a socket: a source with many ports may get as many
    /// times the limit. Each limit is 1 to 65535 in a second (more exactly, in 1.07 s); 0: none.
    /// `tracker-user map limit` overrides them until one of these values is edited.
    RateLimits {
        /// Connects of a source.
        connects_per_second: u32 = 1000,
        /// Announces and scrapes of a source with a bad connection id. Beyond udp.errors_per_second they get no answer anyway;
        /// from here on they count as drop_limit_bad_id. A good id is never refused for bad ones.
        bad_ids_per_second: u32 = 1000,
        /// Announces and scrapes of a source with a good connection id.
        announces_per_second: u32 = 0,
    }
}

impl RateLimits {
    pub(super) fn check(&self) -> Result<(), Refusal> {
        within("limits.connects_per_second", self.connects_per_second, 0..=MAX_LIMIT)?;
        within("limits.bad_ids_per_second", self.bad_ids_per_second, 0..=MAX_LIMIT)?;
        within("limits.announces_per_second", self.announces_per_second, 0..=MAX_LIMIT)
    }

    /// The limits as they are counted.
    pub fn sources(&self) -> SourceLimits {
        SourceLimits {
            connects: self.connects_per_second,
            bad_ids: self.bad_ids_per_second,
            announces: self.announces_per_second,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    #[test]
    fn limits_are_within_what_a_cell_holds() {
        let of = |text: &str| Config::parse("limits.toml", &format!("[limits]\n{text}\n"));
        let limits = of("connects_per_second = 0\nannounces_per_second = 65535").expect("both are allowed");
        assert_eq!((limits.limits.connects_per_second, limits.limits.announces_per_second), (0, 65_535));
        let error = of("bad_ids_per_second = 65536").expect_err("it is too high").to_string();
        assert!(error.contains("limits.toml:2") && error.contains("0 to 65535"), "{error}");
    }
}
