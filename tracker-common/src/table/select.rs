//! Which peers of a list go into an answer.
//!
//! `take` of a list's `count` peers, each with the same probability, in few lines: the list is thought of as a ring, and `take` is cut
//! into segments of a line's length, which follow each other from a random start at a random distance. As the start is uniform over all
//! positions, so is each peer's chance. (With the distance fixed the chances were the same, but the same peers met in every answer.)
//!
//! ```text
//!  ring of 47 peers, 25 wanted, 10 to a line: 3 segments, a gap of 0 to (47 − 25) / 3 = 7 between them, the rest after the last
//!  start 5, gap 4   .....[##########]....[##########]....[#####].........
//! ```
//!
//! One more position, the **spare**, is uniform over what is left: it takes the announcer's own place should that be among the drawn. (To draw
//! one more and remove one would favour the announcer's neighbours by 1/n; this favours nobody by more than 1/(N − n).)

use super::Family;
use super::layout::scale;

/// A stream of random numbers from one 64-bit seed: splitmix64 (Steele, Lea, Flood 2014).
#[derive(Clone, Copy, Debug)]
pub(super) struct Dice(u64);

impl Dice {
    #[inline(always)]
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `n`; 0 when `n` is 0.
    #[inline(always)]
    pub(super) const fn below(&mut self, n: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        scale((bits >> 32) as u32, n)
    }
}

/// How many of `n` peers come from the leechers, when there are `leechers` and `seeders`: in proportion, the fraction rounded at random.
///
/// At most `leechers`, and the rest is at most `seeders`, provided that `n` is at most both together.
#[inline(always)]
pub(super) const fn leechers_share(n: u32, leechers: u32, seeders: u32, dice: &mut Dice) -> u32 {
    let total = leechers.saturating_add(seeders);
    if total == 0 {
        return 0;
    }
    let product = n as u64 * leechers as u64;
    let whole = (product / total as u64) as u32;
    let fraction = (product % total as u64) as u32;
    whole + (dice.below(total) < fraction) as u32
}

/// Consecutive positions of a list, seen as a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) start: u32,
    pub(super) len: u32,
}

/// The positions drawn from one list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Draw {
    pub(super) count: u32,
    pub(super) take: u32,
    per_line: u32,
    /// Segments.
    pub(super) segments: u32,
    start: u32,
    gap: u32,
}

impl Draw {
    /// Draws `take` (at most `count`) of `count` peers.
    #[inline(always)]
    pub(super) const fn new(count: u32, take: u32, family: Family, dice: &mut Dice) -> Self {
        let per_line = family.per_line();
        let segments = take.div_ceil(per_line);
        if take >= count || segments == 0 {
            // All (whole lines from the first) or nothing.
            return Self { count, take, per_line, segments, start: 0, gap: 0 };
        }
        let gap = dice.below((count - take) / segments + 1);
        Self { count, take, per_line, segments, start: dice.below(count), gap }
    }

    /// Segment `index`, below `segments`.
    #[inline(always)]
    pub(super) const fn segment(&self, index: u32) -> Segment {
        let before = index * self.per_line;
        let left = self.take.saturating_sub(before);
        Segment {
            start: self.wrap(self.start + before + index * self.gap),
            len: if left < self.per_line { left } else { self.per_line },
        }
    }

    /// How many peers were not drawn.
    #[inline(always)]
    pub(super) const fn left_over(&self) -> u32 {
        self.count.saturating_sub(self.take)
    }

    /// Position of the peer that was not drawn with this index, below [`Draw::left_over`].
    #[inline(always)]
    pub(super) const fn left_over_position(&self, index: u32) -> u32 {
        // Behind segment j come the peers j × gap and up; the last segment's are all the rest. Nothing drawn: all are left.
        let last = self.segments.saturating_sub(1);
        let after = match index.checked_div(self.gap) {
            Some(after) if after < last => after,
            _ => last,
        };
        let segment = self.segment(after);
        self.wrap(segment.start + segment.len + (index - after * self.gap))
    }

    #[inline(always)]
    const fn wrap(&self, position: u32) -> u32 {
        if position >= self.count { position - self.count } else { position }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    fn drawn(draw: &Draw) -> Vec<u32> {
        (0..draw.segments)
            .map(|index| draw.segment(index))
            .flat_map(|segment| (0..segment.len).map(move |offset| segment.start + offset))
            .map(|position| position % draw.count)
            .collect()
    }

    proptest! {
        #[test]
        fn drawn_and_left_over_are_each_position_once(count in 1..3_000u32, take in 0..300u32, v6: bool, seed: u64) {
            let take = take.min(count);
            let family = if v6 { Family::V6 } else { Family::V4 };
            let draw = Draw::new(count, take, family, &mut Dice::new(seed));
            let mut positions = drawn(&draw);
            prop_assert_eq!(positions.len(), take as usize);
            positions.extend((0..draw.left_over()).map(|index| draw.left_over_position(index)));
            positions.sort_unstable();
            prop_assert!(positions.into_iter().eq(0..count), "{draw:?}");
        }

        #[test]
        fn shares_never_exceed_their_lists(leechers in 0..5_000u32, seeders in 0..5_000u32, n in 0..300u32, seed: u64) {
            let n = n.min(leechers + seeders);
            let share = leechers_share(n, leechers, seeders, &mut Dice::new(seed));
            prop_assert!(share <= leechers && n - share <= seeders, "{share} of {n}");
        }

        #[test]
        fn dice_stay_below(n: u32, seed: u64) {
            prop_assert!(Dice::new(seed).below(n) < n.max(1));
        }
    }

    #[test]
    fn every_start_gives_every_peer_the_same_number_of_chances() {
        for (count, take) in [(11, 10), (47, 25), (51, 50), (160, 7), (161, 50)] {
            let mut chances = std::vec![0u32; count as usize];
            for start in 0..count {
                let mut draw = Draw::new(count, take, Family::V4, &mut Dice::new(0));
                draw.start = start;
                for position in drawn(&draw) {
                    chances[position as usize] += 1;
                }
            }
            assert!(chances.iter().all(|chance| *chance == take), "{take} of {count}: {chances:?}");
        }
    }

    #[test]
    fn a_share_is_rounded_in_proportion() {
        let mut dice = Dice::new(1);
        // 10 × 1 / 4 = 2.5.
        let sum: u32 = (0..10_000).map(|_| leechers_share(10, 100, 300, &mut dice)).sum();
        assert!((24_700..25_300).contains(&sum), "{sum}");
    }
}
