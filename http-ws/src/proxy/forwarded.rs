//! One line of the header `Forwarded` (RFC 7239, section 4): elements between commas, pairs between semicolons, values bare or in quotes.
//!
//! Called by `chain`. What is between quotes separates nothing. A client that opens quotes to swallow what a proxy appends leaves an odd number
//! of them, whatever follows: the line then ends in quotes, and its last element is an error. Tests: below, and in `tests`.

use std::net::IpAddr;

use super::NoClientAddress;
use crate::query::address::{ADDRESS_ROOM, address};

/// Whom each element names, from the left; empty elements are nothing.
pub(super) fn elements(value: &[u8]) -> impl Iterator<Item = Result<IpAddr, NoClientAddress>> + '_ {
    split(value, b',').filter_map(|element| match element {
        None => Some(Err(NoClientAddress)),
        Some(b"") => None,
        Some(element) => Some(named_by(element).ok_or(NoClientAddress)),
    })
}

/// The address in the parameter `for`, which has to be there once.
fn named_by(element: &[u8]) -> Option<IpAddr> {
    let mut node = None;
    for pair in split(element, b';') {
        let pair = pair?;
        if pair.is_empty() {
            continue;
        }
        let equals = pair.iter().position(|&byte| byte == b'=')?;
        let (name, value) = (pair.get(..equals)?, pair.get(equals + 1..)?);
        if name.eq_ignore_ascii_case(b"for") && node.replace(value).is_some() {
            return None;
        }
    }
    let node = node?;
    if node.starts_with(b"\"") { address(unquoted(node, &mut [0; ADDRESS_ROOM])?) } else { address(node) }
}

/// What a quoted string says (RFC 9110, section 5.6.4), when it fits.
fn unquoted<'a>(text: &[u8], room: &'a mut [u8; ADDRESS_ROOM]) -> Option<&'a [u8]> {
    let mut inside = text.strip_prefix(b"\"")?.strip_suffix(b"\"")?.iter();
    let mut len = 0;
    while let Some(&byte) = inside.next() {
        *room.get_mut(len)? = match byte {
            b'\\' => *inside.next()?,
            b'"' => return None,
            byte => byte,
        };
        len += 1;
    }
    room.get(..len)
}

/// What stands between separators that aren't in quotes, without blanks around it; `None` in the place of a last piece whose quotes aren't closed.
fn split(text: &[u8], separator: u8) -> impl Iterator<Item = Option<&[u8]>> + '_ {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest.take()?;
        let mut is_quoted = false;
        let mut bytes = text.iter().enumerate();
        while let Some((at, &byte)) = bytes.next() {
            match byte {
                b'"' => is_quoted = !is_quoted,
                b'\\' if is_quoted => drop(bytes.next()),
                _ if byte == separator && !is_quoted => {
                    rest = text.get(at + 1..);
                    return text.get(..at).map(|piece| Some(piece.trim_ascii()));
                }
                _ => {}
            }
        }
        Some((!is_quoted).then_some(text.trim_ascii()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(value: &str) -> Vec<Option<String>> {
        elements(value.as_bytes()).map(|named| named.ok().map(|address| address.to_string())).collect()
    }

    fn named(address: &str) -> Option<String> {
        Some(address.to_owned())
    }

    #[test]
    fn the_examples_of_rfc_7239() {
        assert_eq!(all("for=\"_gazonk\""), [None]);
        assert_eq!(all("For=\"[2001:db8:cafe::17]:4711\""), [named("2001:db8:cafe::17")]);
        assert_eq!(all("for=192.0.2.60;proto=http;by=203.0.113.43"), [named("192.0.2.60")]);
        assert_eq!(all("for=192.0.2.43, for=198.51.100.17"), [named("192.0.2.43"), named("198.51.100.17")]);
        assert_eq!(all("for=_hidden, for=_SEVKISEK"), [None, None]);
        assert_eq!(
            all("for=192.0.2.43,for=\"[2001:db8:cafe::17]\",for=unknown"),
            [named("192.0.2.43"), named("2001:db8:cafe::17"), None]
        );
        assert_eq!(all("for=\"192.0.2.43:47011\""), [named("192.0.2.43")]);
        assert_eq!(all("for=\"192.0.2.43:_port\""), [named("192.0.2.43")]);
    }

    #[test]
    fn parameters_come_in_any_order_and_case() {
        assert_eq!(all("proto=https;host=\"a,b;for=1.2.3.4\"; FOR=192.0.2.1 ;;by=x"), [named("192.0.2.1")]);
    }

    #[test]
    fn a_quoted_value_may_have_escapes() {
        assert_eq!(
            all(r#"for="192\.0.2.\1";host="\"",for=192.0.2.2"#),
            [named("192.0.2.1"), named("192.0.2.2")]
        );
    }

    #[test]
    fn an_element_has_to_name_one_client() {
        for bad in [
            "proto=http",
            "for",
            "for=",
            "for=\"\"",
            "for =192.0.2.1",
            "for= 192.0.2.1",
            "192.0.2.1",
            "for=192.0.2.1;for=192.0.2.2",
            "for=\"192.0.2.1\"x",
            "for=x\"192.0.2.1\"",
            "for=\"192.0.2.1\"\"\"",
            "for=\"192.0.2.1",
            "for=192.0.2.1;x",
        ] {
            assert_eq!(all(bad), [None], "{bad}");
        }
    }

    #[test]
    fn empty_elements_are_nothing() {
        assert!(all("").is_empty());
        assert!(all(" , ,").is_empty());
        assert_eq!(all(",for=192.0.2.1, ,"), [named("192.0.2.1")]);
    }

    #[test]
    fn quotes_that_a_client_leaves_open_make_the_last_element_an_error() {
        for appended in [", for=192.0.2.1", ", for=\"[2001:db8::1]:80\"", ", for=\"a\";by=\"b\""] {
            for client in ["for=\"", "for=203.0.113.9;x=\"", "x=\"\\", "\"\"\"", "for=203.0.113.9, \""] {
                assert_eq!(all(&format!("{client}{appended}")).last(), Some(&None), "{client}{appended}");
            }
        }
    }
}
