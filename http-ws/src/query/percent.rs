//! Percent-decoding (RFC 3986, section 2.1) into arrays: nothing is allocated. `+` is a plus sign (H01), every other byte stands for itself,
//! whatever it is.
//!
//! Called by the parsers beside it. Tests: below, and in `tests`.

/// What a byte is worth as a hexadecimal digit, in either case; [`NO_DIGIT`] when it is none.
static DIGITS: [u8; 256] = {
    let mut digits = [NO_DIGIT; 256];
    let mut value = 0;
    while value < 16 {
        digits[b"0123456789abcdef"[value] as usize] = value as u8;
        digits[b"0123456789ABCDEF"[value] as usize] = value as u8;
        value += 1;
    }
    digits
};

/// Has a bit that no digit has.
const NO_DIGIT: u8 = 0xf0;

/// The bytes that `text` stands for; `None` for an escape that is cut off or has no digits, which ends them.
pub(super) fn bytes(text: &[u8]) -> impl Iterator<Item = Option<u8>> + '_ {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let byte = first(rest);
        rest = byte.map_or(&[], |(_, rest)| rest);
        Some(byte.map(|(byte, _)| byte))
    })
}

/// The bytes that `text` stands for, when they are exactly `N`.
pub(super) fn exactly<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let mut rest = text;
    for byte in &mut bytes {
        (*byte, rest) = first(rest)?;
    }
    rest.is_empty().then_some(bytes)
}

/// The bytes that `text` stands for, in `room` when there is anything to decode; `None` also when they don't fit.
pub(super) fn at_most<'a>(text: &'a [u8], room: &'a mut [u8]) -> Option<&'a [u8]> {
    if !text.contains(&b'%') {
        return (text.len() <= room.len()).then_some(text);
    }
    let mut rest = text;
    let mut len = 0;
    while !rest.is_empty() {
        (*room.get_mut(len)?, rest) = first(rest)?;
        len += 1;
    }
    room.get(..len)
}

/// The byte at the beginning of `text`, and what follows it. `None` at the end, and for an escape that is cut off or has no digits.
#[inline(always)]
fn first(text: &[u8]) -> Option<(u8, &[u8])> {
    match *text {
        [b'%', high, low, ref rest @ ..] => {
            let (high, low) = (DIGITS[usize::from(high)], DIGITS[usize::from(low)]);
            ((high | low) & NO_DIGIT == 0).then_some((high << 4 | low, rest))
        }
        [b'%', ..] | [] => None,
        [byte, ref rest @ ..] => Some((byte, rest)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_stand_for_bytes_in_either_case_of_their_digits() {
        assert_eq!(exactly(b"%00%fF%Aa%2b%25"), Some([0x00, 0xff, 0xaa, b'+', b'%']));
    }

    #[test]
    fn all_other_bytes_stand_for_themselves() {
        assert_eq!(exactly(b"+ \x00\x80\xff&=?~"), Some(*b"+ \x00\x80\xff&=?~"));
    }

    #[test]
    fn an_escape_needs_two_digits() {
        for bad in [&b"%"[..], b"%4", b"%4g", b"%g4", b"%%41", b"%4%", b"% 1", b"%+1", b"%\xb21"] {
            assert_eq!(exactly::<1>(bad), None, "{}", bad.escape_ascii());
            assert_eq!(at_most(bad, &mut [0; 8]), None, "{}", bad.escape_ascii());
        }
    }

    #[test]
    fn a_length_is_one_of_decoded_bytes() {
        assert_eq!(exactly::<2>(b"%41"), None);
        assert_eq!(exactly::<2>(b"%41%42%43"), None);
        assert_eq!(exactly::<2>(b"%41B"), Some(*b"AB"));
        assert_eq!(exactly::<0>(b""), Some([]));
    }

    #[test]
    fn what_does_not_fit_is_not_decoded() {
        assert_eq!(at_most(b"ab%63", &mut [0; 3]), Some(&b"abc"[..]));
        assert_eq!(at_most(b"ab%63", &mut [0; 2]), None);
        assert_eq!(at_most(b"abc", &mut [0; 2]), None);
        assert_eq!(at_most(b"", &mut []), Some(&b""[..]));
    }
}
