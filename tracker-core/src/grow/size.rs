//! How large an index is, and when the next one is made.

use tracker_common::table::layout::SEGMENT_RECORDS;

/// Buckets of an index at least, so that a torrent's two are not the same one in a table of a few torrents.
const MIN_BUCKETS: u32 = 2;

/// Torrents that an index takes before a larger one is made: 7.25 of 8 slots. From there on it takes ever more moves to make room for one, and
/// it would be completely full at 7.85.
pub(super) const fn capacity(buckets: u32) -> u64 {
    buckets as u64 * 29 / 4
}

/// Torrents beyond which a larger index is waited for, if need be: 7.5 of 8 slots.
pub(super) const fn late(buckets: u32) -> u64 {
    buckets as u64 * 15 / 2
}

/// Buckets of the index after one with `buckets`: a fifth more. So each new torrent brings about five others with it into a new index, and a slot
/// costs 8.8 bytes a torrent when an index is full, 10.5 when it is new.
pub(super) const fn larger(buckets: u32) -> u32 {
    let larger = buckets as u64 + (buckets as u64).div_ceil(5);
    // From a segment on, whole ones: a part of one would lie idle.
    let whole = if larger <= SEGMENT_RECORDS as u64 {
        larger
    } else {
        larger.div_ceil(SEGMENT_RECORDS as u64) * SEGMENT_RECORDS as u64
    };
    if whole > MAX_BUCKETS as u64 { MAX_BUCKETS } else { whole as u32 }
}

/// Enough for 2^32 torrents.
const MAX_BUCKETS: u32 = 1 << 30;

pub(super) const fn segments_of(buckets: u32) -> u32 {
    buckets.div_ceil(SEGMENT_RECORDS)
}

/// Buckets of the first index.
pub(super) const fn first_buckets(wanted: u32) -> u32 {
    if wanted < MIN_BUCKETS { MIN_BUCKETS } else { wanted }
}

/// Segments of all indexes, from the first to the one for `torrents`, each of which has slots of its own in the bucket space.
pub(crate) const fn segments_for(first: u32, torrents: u32) -> u32 {
    let mut buckets = first_buckets(first);
    let mut segments = segments_of(buckets);
    while capacity(buckets) < torrents as u64 && buckets < MAX_BUCKETS {
        buckets = larger(buckets);
        segments = segments.saturating_add(segments_of(buckets));
    }
    // A small index may turn out too full at an unlucky place, and a larger one is made before its time.
    segments.saturating_add(segments_of(larger(buckets))).saturating_add(SPARE_INDEXES)
}

const SPARE_INDEXES: u32 = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use tracker_common::table::layout::SEGMENT_SHIFT;

    #[test]
    fn indexes_grow_by_a_fifth_and_end_at_whole_segments() {
        let mut sizes = vec![2];
        while sizes.len() < 60 {
            sizes.push(larger(sizes[sizes.len() - 1]));
        }
        for pair in sizes.windows(2) {
            let [before, after] = pair else { unreachable!() };
            assert!(after > before && (*after <= SEGMENT_RECORDS || after.is_multiple_of(SEGMENT_RECORDS)));
            let spare = u64::from(*after) * 5 - u64::from(*before) * 6;
            assert!(spare < 5 * u64::from(SEGMENT_RECORDS), "{before} to {after}");
        }
    }

    #[test]
    fn space_for_all_indexes_is_bounded() {
        for (first, torrents) in [(2, 10), (8192, 1_000_000), (8192, 10_000_000), (8192, 2_000_000_000)] {
            let slots = segments_for(first, torrents);
            let last = torrents.div_ceil(7).div_ceil(SEGMENT_RECORDS) + 1;
            assert!(slots < last * 8 + 50, "{torrents} torrents: {slots} slots");
            assert!(slots <= 1 << (32 - SEGMENT_SHIFT), "{torrents} torrents: {slots} slots");
        }
    }
}
