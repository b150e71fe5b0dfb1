//! Buckets: where an info hash may be, and what a slot holds. The picture is in the [parent](super).

use super::{high, low};

/// Where an info hash may be in the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// First choice.
    pub first: u32,
    /// Second choice; may be the same bucket.
    pub second: u32,
    /// Tells most torrents of a bucket apart; never 0.
    pub fingerprint: u32,
}

impl Place {
    /// From the keyed hash of the info hash.
    ///
    /// The number of buckets need not be a power of two (that would cost up to twice the memory): the hash is scaled by a multiplication,
    /// and the two buckets add up to a number that the fingerprint alone determines, so each gives the other.
    #[inline(always)]
    pub const fn of(hash: u64, buckets: u32) -> Self {
        let fingerprint = (hash >> 32) as u32;
        let fingerprint = if fingerprint == 0 { 1 } else { fingerprint };
        let first = scale(hash as u32, buckets);
        Self { first, second: other_bucket(first, fingerprint, buckets), fingerprint }
    }
}

/// The other bucket of an entry.
#[inline(always)]
pub const fn other_bucket(bucket: u32, fingerprint: u32, buckets: u32) -> u32 {
    // 2^32 / golden ratio: spreads the fingerprint, which must not pick the same sum as its neighbour.
    let sum = scale(fingerprint.wrapping_mul(0x9e37_79b9) ^ fingerprint >> 15, buckets);
    if sum >= bucket { sum - bucket } else { buckets - (bucket - sum) }
}

/// A number below `n` from 32 uniform bits.
#[inline(always)]
pub(crate) const fn scale(bits: u32, n: u32) -> u32 {
    ((bits as u64 * n as u64) >> 32) as u32
}

/// A used slot of a bucket.
#[inline(always)]
pub const fn slot(fingerprint: u32, torrent: u32) -> u64 {
    (fingerprint as u64) << 32 | torrent as u64
}

/// Fingerprint of a slot, 0 when empty.
#[inline(always)]
pub const fn slot_fingerprint(slot: u64) -> u32 {
    high(slot)
}

/// Torrent number of a slot, 0 when empty.
#[inline(always)]
pub const fn slot_torrent(slot: u64) -> u32 {
    low(slot)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn each_bucket_gives_the_other(hash: u64, buckets in 2..u32::MAX) {
            let place = Place::of(hash, buckets);
            prop_assert!(place.first < buckets && place.second < buckets && place.fingerprint != 0);
            prop_assert_eq!(other_bucket(place.first, place.fingerprint, buckets), place.second);
            prop_assert_eq!(other_bucket(place.second, place.fingerprint, buckets), place.first);
        }
    }
}
