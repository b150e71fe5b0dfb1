//! Which peers of a list go into an answer.
//!
//! `take` of a list's `count` peers, each with the same probability, in few lines: the list is thought of as a ring, and `take` is cut
//! into runs of three lines' length, which follow each other from a random start at a random distance. As the start is uniform over all
//! positions, so is each peer's chance. (With the distance fixed the chances were the same, but the same peers met in every answer;
//! shorter runs mix more, and cost more lines, since a run rarely begins where a line does.)
//!
//! ```text
//!  ring of 97 peers, 75 wanted, 10 to a line: 3 runs, a gap of 0 to (97 − 75) / 3 = 7 between them, the rest after the last
//!  start 5, gap 4   .....[30 peers]....[30 peers]....[15 peers].........
//! ```
//!
//! One more position, the **spare**, is uniform over what is left: it takes the announcer's own place should that be among the drawn. (To draw
//! one more and remove one would favour the announcer's neighbours by 1/n; this favours nobody by more than 1/(N − n).)

use super::PeerFamily;
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

/// Lines that a run is long.
const LINES_PER_RUN: u32 = 3;

/// The positions drawn from one list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Draw {
    /// Peers in the list.
    pub(super) count: u32,
    /// Peers drawn, at most `count`.
    pub(super) take: u32,
    /// Where the first run begins.
    pub(super) start: u32,
    /// Positions between two runs.
    pub(super) gap: u32,
}

impl Draw {
    /// Peers of a run; the last may have fewer.
    pub(super) const fn run<P: PeerFamily>() -> u32 {
        LINES_PER_RUN * P::PER_LINE
    }

    /// Draws `take` (at most `count`) of `count` peers.
    #[inline(always)]
    pub(super) fn new<P: PeerFamily>(count: u32, take: u32, dice: &mut Dice) -> Self {
        if take >= count || take == 0 {
            // All (whole lines from the first) or nothing.
            return Self { count, take, start: 0, gap: 0 };
        }
        let gap = dice.below((count - take) / Self::runs::<P>(take) + 1);
        Self { count, take, start: dice.below(count), gap }
    }

    /// Runs for so many peers, of which there is one.
    #[inline(always)]
    fn runs<P: PeerFamily>(take: u32) -> u32 {
        // A division by three, then by a line's length.
        P::line_of((take - 1) / LINES_PER_RUN) + 1
    }

    /// How many peers were not drawn.
    #[inline(always)]
    pub(super) const fn left_over(&self) -> u32 {
        self.count.saturating_sub(self.take)
    }

    /// Position of the peer that was not drawn with this index, below [`Draw::left_over`].
    #[inline(always)]
    pub(super) fn left_over_position<P: PeerFamily>(&self, index: u32) -> u32 {
        // Behind run j come the peers j × gap and up; the last run's are all the rest. Nothing drawn: all are left.
        let last = if self.take == 0 { 0 } else { Self::runs::<P>(self.take) - 1 };
        let before = match index.checked_div(self.gap) {
            Some(before) if before < last => before,
            _ => last,
        };
        // The runs up to that one, and all left-over peers up to this one.
        let drawn = ((before + 1) * Self::run::<P>()).min(self.take);
        let position = self.start + drawn + index;
        if position >= self.count { position - self.count } else { position }
    }
}

/// A walk over the drawn positions, line by line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Walk {
    pub(super) position: u32,
    /// Positions left of the present run.
    pub(super) in_run: u32,
    /// Positions left altogether.
    pub(super) left: u32,
}

/// Consecutive positions, in one line or some.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Positions {
    /// The first line's index in the list.
    pub(super) line: u32,
    /// The first slot in it.
    pub(super) slot: u32,
    /// How many.
    pub(super) peers: u32,
}

impl Walk {
    #[inline(always)]
    pub(super) fn new<P: PeerFamily>(count: u32, take: u32, start: u32) -> Self {
        let in_run = if take >= count { take } else { take.min(Draw::run::<P>()) };
        Self { position: start, in_run, left: take }
    }

    /// The next positions, in `lines` neighbouring lines at most, of a list of `count` peers with `gap` positions between runs; there are
    /// some `left`.
    #[inline(always)]
    pub(super) fn next<P: PeerFamily>(&mut self, count: u32, gap: u32, lines: u32) -> Positions {
        let line = P::line_of(self.position);
        let slot = self.position - line * P::PER_LINE;
        let peers = self.in_run.min(lines * P::PER_LINE - slot).min(count - self.position);
        self.position += peers;
        self.left -= peers;
        self.in_run -= peers;
        if self.in_run == 0 {
            self.position += gap;
            self.in_run = self.left.min(Draw::run::<P>());
        }
        if self.position >= count {
            self.position -= count;
        }
        Positions { line, slot, peers }
    }
}

/// Steps at most for both lists of an answer with so many peers: whole lines, a line cut into two at each run's begin and at the ring's end.
pub(super) const fn max_steps<P: PeerFamily>(peers: u32) -> u32 {
    peers / P::PER_LINE + 2 * (peers / Draw::run::<P>() + 1) + 6
}

#[cfg(test)]
mod tests {
    use super::super::{Peers4, Peers6};
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    /// The drawn positions, in steps of so many lines.
    fn drawn_by<P: PeerFamily>(draw: &Draw, lines: u32) -> Vec<u32> {
        let mut walk = Walk::new::<P>(draw.count, draw.take, draw.start);
        let mut positions = Vec::new();
        while walk.left > 0 {
            let Positions { line, slot, peers } = walk.next::<P>(draw.count, draw.gap, lines);
            assert!(peers > 0 && slot + peers <= lines * P::PER_LINE, "{draw:?}");
            positions.extend((0..peers).map(|offset| line * P::PER_LINE + slot + offset));
        }
        positions
    }

    fn each_position_once<P: PeerFamily>(count: u32, take: u32, seed: u64) -> Result<(), TestCaseError> {
        let draw = Draw::new::<P>(count, take, &mut Dice::new(seed));
        let mut positions = drawn_by::<P>(&draw, 1);
        prop_assert_eq!(&positions, &drawn_by::<P>(&draw, 6));
        prop_assert_eq!(positions.len(), take as usize);
        positions.extend((0..draw.left_over()).map(|index| draw.left_over_position::<P>(index)));
        positions.sort_unstable();
        prop_assert!(positions.into_iter().eq(0..count), "{draw:?}");
        Ok(())
    }

    fn steps_taken<P: PeerFamily>(counts: [u32; 2], takes: [u32; 2], seed: u64) -> u32 {
        let mut dice = Dice::new(seed);
        let mut taken = 0;
        for (count, take) in counts.into_iter().zip(takes) {
            let draw = Draw::new::<P>(count, take.min(count), &mut dice);
            let mut walk = Walk::new::<P>(draw.count, draw.take, draw.start);
            while walk.left > 0 {
                walk.next::<P>(draw.count, draw.gap, 1);
                taken += 1;
            }
        }
        taken
    }

    proptest! {
        #[test]
        fn drawn_and_left_over_are_each_position_once(count in 1..3_000u32, take in 0..300u32, v6: bool, seed: u64) {
            let take = take.min(count);
            if v6 { each_position_once::<Peers6>(count, take, seed)? } else { each_position_once::<Peers4>(count, take, seed)? }
        }

        #[test]
        fn steps_have_a_bound(counts: [u16; 2], takes in [0..116u32, 0..116u32], seed: u64) {
            let counts = counts.map(u32::from);
            let [a, b] = takes;
            prop_assert!(steps_taken::<Peers4>(counts, takes, seed) <= max_steps::<Peers4>(a + b));
            prop_assert!(steps_taken::<Peers6>(counts, takes, seed) <= max_steps::<Peers6>(a + b));
        }

        #[test]
        fn lines_are_quotients(position: u32) {
            prop_assert_eq!(Peers4::line_of(position), position / 10);
            prop_assert_eq!(Peers6::line_of(position), position / 3);
            prop_assert_eq!(Peers4::peers_in(position), position / 6);
            prop_assert_eq!(Peers6::peers_in(position & 0xffff), (position & 0xffff) / 18);
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
                let mut draw = Draw::new::<Peers4>(count, take, &mut Dice::new(0));
                draw.start = start;
                for position in drawn_by::<Peers4>(&draw, 1) {
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
