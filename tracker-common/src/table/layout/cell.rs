//! Deadlines of peers, one byte each.

/// Deadline and partial-seed flag of a peer.
///
/// Time is counted in units that the table's writer chooses from the lifetime of a peer ([`Cell::unit_s`]), so that seven bits are enough
/// for any lifetime: half of the 128 units are the future, half the past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell(pub u8);

const DEADLINE_MASK: u8 = 0x7f;
const PARTIAL: u8 = 1 << 7;

impl Cell {
    /// Furthest deadline, in units from now.
    pub const MAX_AHEAD: u64 = 63;

    /// Longest lifetime of a peer, in seconds: about nine hours, which makes a unit of ten minutes.
    pub const MAX_LIFETIME_S: u64 = 32_760;

    /// Units in a lifetime at most. A deadline is rounded up and "now" down, so it can be two units further ahead than that; the rest is
    /// reserve for a clock that is read late.
    const LIFETIME_UNITS: u32 = 56;

    /// Seconds of a unit, for a lifetime in seconds: a peer lives at most this much longer than its lifetime, less than 2 % where the
    /// lifetime isn't below a minute.
    pub const fn unit_s(lifetime_s: u32) -> u32 {
        let unit_s = lifetime_s.div_ceil(Self::LIFETIME_UNITS);
        if unit_s == 0 { 1 } else { unit_s }
    }

    /// A cell with a deadline in units since the clock's zero.
    #[inline(always)]
    pub const fn new(deadline: u64, partial: bool) -> Self {
        Self(deadline as u8 & DEADLINE_MASK | if partial { PARTIAL } else { 0 })
    }

    /// The same deadline with the other flag.
    pub const fn with_partial(self, partial: bool) -> Self {
        Self::new(self.0 as u64, partial)
    }

    /// True when the deadline is not after the unit `now`.
    #[inline(always)]
    pub const fn expired(self, now: u64) -> bool {
        // Wrapping: what lies up to half the range ahead is the future.
        (self.0.wrapping_sub(now as u8).wrapping_sub(1) & DEADLINE_MASK) as u64 >= Self::MAX_AHEAD
    }

    /// True for a partial seed (BEP 21).
    #[inline(always)]
    pub const fn partial(self) -> bool {
        self.0 & PARTIAL != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadline_passes_once_and_not_before() {
        for lifetime in [1u32, 20, 56, 57, 600, 4_200, Cell::MAX_LIFETIME_S as u32] {
            let unit = u64::from(Cell::unit_s(lifetime));
            // Around the places where 7 bits wrap, too.
            for start in [0, 1, unit, 128 * unit - u64::from(lifetime) / 2, 128 * unit * 3 - 1, 1 << 40] {
                let deadline_s = start + u64::from(lifetime);
                let cell = Cell::new(deadline_s.div_ceil(unit), false);
                let passed = (start..deadline_s + 60 * unit).find(|now| cell.expired(now / unit)).unwrap();
                assert!(passed >= deadline_s, "{start} + {lifetime}: early at {passed}");
                assert!(passed < deadline_s + unit, "{start} + {lifetime}: late at {passed}");
            }
        }
    }

    #[test]
    fn unit_is_less_than_a_fiftieth_of_a_lifetime() {
        for lifetime in (60..=Cell::MAX_LIFETIME_S as u32).step_by(7) {
            assert!(Cell::unit_s(lifetime) <= lifetime.div_ceil(30), "{lifetime}");
            assert!(lifetime < 560 || Cell::unit_s(lifetime) * 50 <= lifetime, "{lifetime}");
            assert!(
                u64::from(lifetime.div_ceil(Cell::unit_s(lifetime))) + 2 <= Cell::MAX_AHEAD,
                "{lifetime}"
            );
        }
    }

    #[test]
    fn flag_and_deadline_keep_apart() {
        for deadline in 0..256 {
            let (flagged, plain) = (Cell::new(deadline, true), Cell::new(deadline, false));
            assert!(flagged.partial() && !plain.partial());
            for now in 0..128 {
                assert_eq!(flagged.expired(now), plain.expired(now));
            }
        }
    }
}
