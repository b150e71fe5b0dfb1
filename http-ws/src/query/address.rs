//! An IP address as it is written in parameters and headers: bare, in brackets, with a port behind it.
//!
//! Called for `ip`, `ipv4` and `ipv6` (H08), and for the headers of reverse proxies (H16). Tests: below.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Longest text that is read: an IPv6 address of 45 characters in brackets, and room for a port or a name (RFC 7239) in its place.
pub(crate) const ADDRESS_ROOM: usize = 64;

/// Reads `192.0.2.1`, `192.0.2.1:6881`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:6881`. An IPv4-mapped address is an IPv4 one (U20).
///
/// The port may also be one that is hidden behind a name, `_` and letters, digits, `.`, `_`, `-` (RFC 7239, section 6.2).
pub(crate) fn address(text: &[u8]) -> Option<IpAddr> {
    if text.len() > ADDRESS_ROOM {
        return None;
    }
    let text = str::from_utf8(text).ok()?;
    if let Some(bracketed) = text.strip_prefix('[') {
        let (address, port) = bracketed.split_once(']')?;
        let is_port = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
        return if is_port { Some(canonical(address.parse().ok()?)) } else { None };
    }
    match text.split_once(':') {
        Some((address, port)) if !port.contains(':') => {
            let address = address.parse::<Ipv4Addr>().ok()?;
            is_port(port).then_some(IpAddr::V4(address))
        }
        Some(_) => Some(canonical(text.parse().ok()?)),
        None => Some(IpAddr::V4(text.parse().ok()?)),
    }
}

fn canonical(address: Ipv6Addr) -> IpAddr {
    IpAddr::V6(address).to_canonical()
}

fn is_port(text: &str) -> bool {
    match text.strip_prefix('_') {
        Some(name) => {
            !name.is_empty()
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        }
        None => (1..=5).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_have_brackets_and_a_port() {
        for (text, expected) in [
            ("192.0.2.1", "192.0.2.1"),
            ("192.0.2.1:6881", "192.0.2.1"),
            ("192.0.2.1:_hidden-1.x", "192.0.2.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("2001:DB8:0:0:0:0:0:1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:6881", "2001:db8::1"),
            ("[2001:db8::1]:_x", "2001:db8::1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("[::ffff:c000:201]:1", "192.0.2.1"),
            ("::", "::"),
            ("::1", "::1"),
        ] {
            assert_eq!(address(text.as_bytes()), Some(expected.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn other_texts_are_not_addresses() {
        for text in [
            "",
            " ",
            "localhost",
            "example.org:80",
            "unknown",
            "_hidden",
            "192.0.2",
            "192.0.2.256",
            "192.0.2.01",
            "192.0.2.1:",
            "192.0.2.1:x",
            "192.0.2.1:_",
            "192.0.2.1:123456",
            "192.0.2.1:+1",
            "192.0.2.1 ",
            "[192.0.2.1]",
            "[192.0.2.1]:80",
            "[2001:db8::1",
            "2001:db8::1]",
            "[2001:db8::1]80",
            "[2001:db8::1]:",
            "[[2001:db8::1]]",
            "[]",
            ":",
            ":::",
            "fe80::1%eth0",
            "3232235777",
            "0xc0000201",
        ] {
            assert_eq!(address(text.as_bytes()), None, "{text}");
        }
        assert_eq!(address(b"192.0.2.1\xff"), None);
        assert_eq!(address(&[b'1'; ADDRESS_ROOM + 1]), None);
    }
}
