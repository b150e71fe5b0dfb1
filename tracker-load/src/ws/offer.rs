//! An offer's number, from which everything about the offer follows: its id, and the line of its SDP that tells one from another.
//!
//! So whoever receives an offer, or the answer to one, knows what it must look like without remembering it.

use crate::population::splitmix;

/// Digits of a session's number, and of an offer's within it: together as many as a browser's session id in the same line.
const SESSION_DIGITS: usize = 10;
const SERIAL_DIGITS: usize = 9;

/// Digits of an offer's number.
pub(crate) const DIGITS: usize = SESSION_DIGITS + SERIAL_DIGITS;

/// Who made an offer, and which of theirs it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Offer {
    /// A connection, from its upgrade to its end.
    pub(crate) session: u32,
    /// The announce that it came with and its place there, see [`of_announce`](Self::of_announce).
    pub(crate) serial: u32,
}

/// Offers of an announce at most.
pub(crate) const MOST: u32 = 64;

/// Announces of a session at most: their offers' serials have nine digits.
pub(crate) const MOST_ANNOUNCES: u32 = 999_999_999 / MOST;

impl Offer {
    /// Offer number `index` of a session's announce number `announce`.
    pub(crate) fn of_announce(session: u32, announce: u32, index: u32) -> Self {
        Self { session, serial: announce % MOST_ANNOUNCES * MOST + index % MOST }
    }

    /// The number of the announce, and the offer's place in it.
    pub(crate) fn place(self) -> (u32, u32) {
        (self.serial / MOST, self.serial % MOST)
    }

    /// 20 bytes of any kind, as clients draw them at random.
    pub(crate) fn id(self) -> [u8; 20] {
        let mut state = (u64::from(self.session) << 32 | u64::from(self.serial)) ^ 0x6f66_6665_7200_0000;
        let mut id = [0; 20];
        for chunk in id.chunks_mut(8) {
            chunk.copy_from_slice(&splitmix(&mut state).to_le_bytes()[..chunk.len()]);
        }
        id
    }

    /// Its number in digits.
    pub(crate) fn write(self, into: &mut Vec<u8>) {
        decimal(self.session, SESSION_DIGITS, into);
        decimal(self.serial, SERIAL_DIGITS, into);
    }

    /// What [`write`](Self::write) wrote at the beginning of `text`.
    pub(crate) fn read(text: &[u8]) -> Option<Self> {
        let session = digits(text.get(..SESSION_DIGITS)?)?;
        let serial = digits(text.get(SESSION_DIGITS..DIGITS)?)?;
        Some(Self { session, serial })
    }
}

/// The peer id of a session, as WebTorrent's clients build theirs.
pub(crate) fn peer_id(session: u32, into: &mut Vec<u8>) {
    into.extend_from_slice(b"-WW0208-");
    decimal(session, 12, into);
}

/// A number with leading zeros.
pub(crate) fn decimal(number: u32, digits: usize, into: &mut Vec<u8>) {
    let start = into.len();
    into.resize(start + digits, b'0');
    let mut rest = number;
    for digit in into[start..].iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
}

fn digits(text: &[u8]) -> Option<u32> {
    text.iter().try_fold(0_u32, |sum, byte| {
        let digit = byte.is_ascii_digit().then(|| u32::from(byte - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_is_read_as_it_was_written() {
        for offer in [
            Offer { session: 0, serial: 0 },
            Offer { session: 7, serial: 123_456 },
            Offer { session: u32::MAX, serial: 999_999_934 },
        ] {
            let mut text = Vec::new();
            offer.write(&mut text);
            assert_eq!(text.len(), DIGITS);
            assert_eq!(Offer::read(&text), Some(offer));
            assert_eq!(Offer::read(&text[1..]), None);
            let (announce, index) = offer.place();
            assert_eq!(Offer::of_announce(offer.session, announce, index).place(), (announce, index));
        }
        assert_eq!(Offer::read(b"000000000000000000x"), None);
        assert_eq!(Offer::read(b"9999999999000000000"), None, "no session has this number");
    }

    #[test]
    fn offers_of_sessions_and_announces_have_different_ids() {
        let mut ids: Vec<[u8; 20]> = Vec::new();
        for (session, announce, index) in [(0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0), (2, 0, 0)] {
            ids.push(Offer::of_announce(session, announce, index).id());
        }
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 5);
    }

    #[test]
    fn peer_id_has_20_characters() {
        let mut id = Vec::new();
        peer_id(42, &mut id);
        assert_eq!(id, b"-WW0208-000000000042");
    }
}
