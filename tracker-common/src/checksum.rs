//! The Internet checksum (RFC 1071) over fixed-size pieces.
//!
//! Pieces are added into 64 bits as the words that a load from the packet gives: the one's complement sum doesn't care about byte order as long as the
//! result is stored as it was summed (RFC 1071 §2 B). Only the last piece of a datagram may have an odd length.

/// A sum that has not been folded yet.
///
/// Room for 2^32 words of 32 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum(u64);

impl Sum {
    /// The sum of words whose lower and upper halves have these sums; both below 2^63.
    #[inline(always)]
    pub(crate) fn of_halves(low: u64, high: u64) -> Self {
        Self(low + high)
    }

    /// Adds four bytes, as they were loaded from a packet.
    #[inline(always)]
    pub fn add4(self, word: u32) -> Self {
        Self(self.0 + word as u64)
    }

    /// Adds another sum; the pieces of both begin at even places.
    #[inline(always)]
    pub fn plus(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }

    /// Adds two bytes, as they were loaded from a packet.
    #[inline(always)]
    pub fn add2(self, word: u16) -> Self {
        Self(self.0 + word as u64)
    }

    /// Adds eight bytes, as they were loaded from a packet.
    #[inline(always)]
    pub fn add8(self, word: u64) -> Self {
        self.add4(word as u32).add4((word >> 32) as u32)
    }

    /// Adds the last byte of an odd number; it is padded with zero.
    #[inline(always)]
    pub fn add_last(self, byte: u8) -> Self {
        self.add2(u16::from_ne_bytes([byte, 0]))
    }

    /// The one's complement sum in 16 bits, not complemented; in the byte order in which it stands in a packet.
    #[inline(always)]
    pub fn folded(self) -> u16 {
        let sum = (self.0 & 0xffff_ffff) + (self.0 >> 32);
        let sum = (sum & 0xffff) + (sum >> 16);
        let sum = (sum & 0xffff) + (sum >> 16);
        let sum = (sum & 0xffff) + (sum >> 16);
        sum as u16
    }

    /// The checksum as it goes into a header.
    #[inline(always)]
    pub fn checksum(self) -> u16 {
        !self.folded()
    }

    /// The checksum of a UDP datagram: 0 means "none", so a computed 0 is sent as ffff (RFC 768).
    #[inline(always)]
    pub fn udp_checksum(self) -> u16 {
        match self.checksum() {
            0 => 0xffff,
            checksum => checksum,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn plain(bytes: &[u8]) -> u16 {
        let mut sum = 0u32;
        for pair in bytes.chunks(2) {
            sum += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
            sum = (sum & 0xffff) + (sum >> 16);
        }
        !(sum as u16)
    }

    #[test]
    fn the_example_of_rfc_1071_sums_up() {
        let sum = Sum::default().add8(u64::from_ne_bytes([0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]));
        assert_eq!(u16::from_be(sum.folded()), 0xddf2);
    }

    #[test]
    fn a_udp_checksum_is_never_0() {
        assert_eq!(Sum::default().add2(0xffff).udp_checksum(), 0xffff);
    }

    proptest! {
        #[test]
        fn agrees_with_the_plain_sum(eight: [u8; 8], four: [u8; 4], two: [u8; 2], last: u8) {
            let whole = [&eight[..], &four, &two, &[last]].concat();
            let sum = Sum::default()
                .add8(u64::from_ne_bytes(eight))
                .add4(u32::from_ne_bytes(four))
                .add2(u16::from_ne_bytes(two))
                .add_last(last);
            prop_assert_eq!(u16::from_be(sum.checksum()), plain(&whole));
        }

        #[test]
        fn room_for_the_longest_datagram(words in proptest::collection::vec(0xffff_0000u32.., 16384)) {
            let bytes: std::vec::Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
            let sum = words.iter().fold(Sum::default(), |sum, word| sum.add4(*word));
            prop_assert_eq!(u16::from_be(sum.checksum()), plain(&bytes));
        }
    }
}
