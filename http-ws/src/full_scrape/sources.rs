//! Who had a full scrape lately.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use tracker_common::connection_id::Address;

/// A source: an IPv4 address, or the /64 of an IPv6 address, which is what one client has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Source {
    V4([u8; 4]),
    V6([u8; 8]),
}

impl From<Address> for Source {
    fn from(address: Address) -> Self {
        match address {
            Address::V4(ip) => Self::V4(ip),
            Address::V6([a, b, c, d, e, f, g, h, ..]) => Self::V6([a, b, c, d, e, f, g, h]),
        }
    }
}

/// Sources that are remembered at once. When there are more, further ones are refused: so many answers in `every` are enough for anybody, and an
/// attacker with many addresses can't make the tracker do nothing else, nor forget them.
const SOURCES: usize = 4096;

/// The last full scrape of each source.
#[derive(Debug)]
pub(super) struct Sources {
    every: Duration,
    /// When it may have the next one.
    next: HashMap<Source, Instant>,
}

impl Sources {
    /// Lets each source have one in this time.
    pub(super) fn new(every: Duration) -> Self {
        Self { every, next: HashMap::new() }
    }

    /// Notes that a source has one now.
    ///
    /// # Errors
    ///
    /// It has to wait for so long.
    pub(super) fn take(&mut self, address: Address, now: Instant) -> Result<(), Duration> {
        let source = Source::from(address);
        match self.next.get(&source) {
            Some(next) if *next > now => return Err(*next - now),
            Some(_) => {}
            None if self.next.len() >= SOURCES => {
                self.next.retain(|_, next| *next > now);
                if self.next.len() >= SOURCES {
                    let first = self.next.values().min().copied().unwrap_or(now);
                    return Err(first - now);
                }
            }
            None => {}
        }
        self.next.insert(source, now + self.every);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_secs(900);

    #[test]
    fn a_source_has_one_in_its_time() {
        let (mut sources, now) = (Sources::new(EVERY), Instant::now());
        let (one, other) = (Address::V4([192, 0, 2, 1]), Address::V4([192, 0, 2, 2]));
        assert_eq!(sources.take(one, now), Ok(()));
        assert_eq!(sources.take(other, now), Ok(()));
        assert_eq!(sources.take(one, now + EVERY / 3), Err(EVERY / 3 * 2));
        assert_eq!(sources.take(one, now + EVERY), Ok(()));
        assert_eq!(sources.take(one, now + EVERY), Err(EVERY));
    }

    #[test]
    fn addresses_of_a_64_are_one_source() {
        let (mut sources, now) = (Sources::new(EVERY), Instant::now());
        let address = |network: u8, host: u8| {
            Address::V6([0x20, 1, 0xd, 0xb8, 0, 0, 0, network, 0, 0, 0, 0, 0, 0, 0, host])
        };
        assert_eq!(sources.take(address(1, 1), now), Ok(()));
        assert_eq!(sources.take(address(1, 2), now), Err(EVERY));
        assert_eq!(sources.take(address(2, 1), now), Ok(()));
    }

    #[test]
    fn memory_is_bounded_however_many_sources_come() {
        let (mut sources, now) = (Sources::new(EVERY), Instant::now());
        let address = |number: u32| Address::V4(number.to_be_bytes());
        for number in 0..SOURCES as u32 {
            assert_eq!(sources.take(address(number), now), Ok(()));
        }
        let later = now + EVERY / 2;
        assert_eq!(sources.take(address(1 << 20), later), Err(EVERY / 2));
        assert_eq!(sources.next.len(), SOURCES);
        assert_eq!(sources.take(address(1 << 20), now + EVERY), Ok(()));
        assert_eq!(sources.next.len(), 1);
    }
}
