//! The PROXY protocol, versions 1 and 2 (haproxy's doc/proxy-protocol.txt, sections 2.1 and 2.2): a header before everything else on a
//! connection, before TLS too, that says whose connection it is.
//!
//! The connection calls [`preface`] with all bytes so far until it is told something else than [`Preface::Incomplete`]. Whatever begins a valid
//! header is incomplete, whatever doesn't is bad with its first wrong byte where that is simple to see, and with the header's end at the latest.
//! Tests: below; fuzz target `proxy`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use memchr::memchr2;

/// What stands at the beginning of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preface {
    /// Not a whole header yet, but the beginning of one.
    Incomplete,
    /// A header of the PROXY protocol.
    Header {
        /// Its length in bytes.
        len: usize,
        /// The client; `None` when the proxy speaks for itself (LOCAL, UNKNOWN, an address family that isn't IP).
        source: Option<SocketAddr>,
    },
    /// Not a header of the PROXY protocol, or a bad one.
    Bad,
}

/// Bytes that a header of the PROXY protocol has at most: the caller needs no larger buffer. A version 2 header has 16 + 216 with the longest
/// addresses; the rest is for the proxy's extensions (TLS certificates of clients need more, which a tracker's don't have).
pub const MAX_PREFACE: usize = 1024;

/// Section 2.1: a line of version 1 with its end.
const MAX_LINE: usize = 107;
const LINE_BEGIN: &[u8] = b"PROXY ";

/// Section 2.2.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Reads a header of the PROXY protocol, version 1 or 2, from the beginning of a connection.
pub fn preface(bytes: &[u8]) -> Preface {
    // The two begin with different bytes.
    match begins(bytes, LINE_BEGIN) {
        Begin::Whole => return line(bytes),
        Begin::Part => return Preface::Incomplete,
        Begin::Other => {}
    }
    match begins(bytes, SIGNATURE) {
        Begin::Whole => block(bytes),
        Begin::Part => Preface::Incomplete,
        Begin::Other => Preface::Bad,
    }
}

/// How bytes begin.
enum Begin {
    /// With all of it.
    Whole,
    /// They end within it.
    Part,
    /// With something else.
    Other,
}

fn begins(bytes: &[u8], with: &[u8]) -> Begin {
    if bytes.starts_with(with) {
        Begin::Whole
    } else if with.starts_with(bytes) {
        Begin::Part
    } else {
        Begin::Other
    }
}

/// Version 1: "PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n".
fn line(bytes: &[u8]) -> Preface {
    let window = bytes.get(..MAX_LINE).unwrap_or(bytes);
    let Some((words, end)) = memchr2(b'\r', b'\n', window).and_then(|at| window.split_at_checked(at)) else {
        // Its end has two bytes.
        return if window.len() > MAX_LINE - 2 { Preface::Bad } else { Preface::Incomplete };
    };
    match *end {
        [b'\r', b'\n', ..] => match named_by(words) {
            Some(source) => Preface::Header { len: words.len() + 2, source },
            None => Preface::Bad,
        },
        [b'\r'] if words.len() + 2 <= MAX_LINE => Preface::Incomplete,
        _ => Preface::Bad,
    }
}

/// Whom a line without its end names, when it is a good one.
fn named_by(line: &[u8]) -> Option<Option<SocketAddr>> {
    let mut words = line.split(|&byte| byte == b' ');
    let (_proxy, protocol) = (words.next()?, words.next()?);
    if protocol == b"UNKNOWN" {
        // Whatever follows is to be ignored.
        return Some(None);
    }
    let source = match protocol {
        b"TCP4" => addresses::<Ipv4Addr>(&mut words)?,
        b"TCP6" => addresses::<Ipv6Addr>(&mut words)?,
        _ => return None,
    };
    let (source_port, _destination_port) = (port(words.next()?)?, port(words.next()?)?);
    words.next().is_none().then(|| Some(client(source, source_port)))
}

/// The first of two addresses of a family.
fn addresses<'a, A: FromStr + Into<IpAddr>>(words: &mut impl Iterator<Item = &'a [u8]>) -> Option<IpAddr> {
    let mut next = || str::from_utf8(words.next()?).ok()?.parse::<A>().ok();
    let (source, _destination) = (next()?, next()?);
    Some(source.into())
}

/// Section 2.1: decimal, no zeros before it, from 0 to 65535.
fn port(word: &[u8]) -> Option<u16> {
    let is_canonical = match word {
        [] | [b'0', _, ..] => false,
        digits => digits.iter().all(u8::is_ascii_digit),
    };
    // The standard library would take a sign.
    if is_canonical { str::from_utf8(word).ok()?.parse().ok() } else { None }
}

/// U20: an IPv4-mapped address is an IPv4 one.
fn client(address: IpAddr, port: u16) -> SocketAddr {
    SocketAddr::new(address.to_canonical(), port)
}

/// Version 2: signature, version and command, family and protocol, length of the rest, addresses, extensions.
fn block(bytes: &[u8]) -> Preface {
    let mut fields = bytes.iter().copied().skip(SIGNATURE.len());
    let Some(command) = fields.next() else { return Preface::Incomplete };
    let is_local = match command {
        0x20 => true,
        0x21 => false,
        _ => return Preface::Bad,
    };
    let Some(family) = fields.next() else { return Preface::Incomplete };
    // IPv4 or IPv6, Unix sockets, each for streams or datagrams, or nothing that is known. LOCAL's doesn't count. Datagrams don't come over
    // TCP, but an address is an address.
    let addresses_len = match family {
        _ if is_local => 0,
        0x00 => 0,
        0x11 | 0x12 => 4 + 4 + 2 + 2,
        0x21 | 0x22 => 16 + 16 + 2 + 2,
        0x31 | 0x32 => 108 + 108,
        _ => return Preface::Bad,
    };
    let (Some(high), low) = (fields.next(), fields.next()) else { return Preface::Incomplete };
    let begin = SIGNATURE.len() + 4;
    let len = begin + usize::from(u16::from_be_bytes([high, low.unwrap_or(0)]));
    if len > MAX_PREFACE {
        return Preface::Bad;
    }
    if low.is_none() {
        return Preface::Incomplete;
    }
    if len < begin + addresses_len {
        return Preface::Bad;
    }
    // Extensions follow the addresses. None is needed; their checksum is no use to who trusts the proxy and reads over TCP.
    let Some(addresses) = bytes.get(begin..len) else { return Preface::Incomplete };
    let source = match addresses_len {
        12 => v4(addresses),
        36 => v6(addresses),
        _ => None,
    };
    Preface::Header { len, source }
}

/// Source address, destination address, source port, destination port.
fn v4(addresses: &[u8]) -> Option<SocketAddr> {
    let (source, rest) = addresses.split_first_chunk::<4>()?;
    let [_, _, _, _, high, low, ..] = *rest else { return None };
    Some(client(Ipv4Addr::from(*source).into(), u16::from_be_bytes([high, low])))
}

/// As [`v4`].
fn v6(addresses: &[u8]) -> Option<SocketAddr> {
    let (source, rest) = addresses.split_first_chunk::<16>()?;
    let (_destination, rest) = rest.split_first_chunk::<16>()?;
    let [high, low, ..] = *rest else { return None };
    Some(client(Ipv6Addr::from(*source).into(), u16::from_be_bytes([high, low])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header(len: usize, source: &str) -> Preface {
        Preface::Header { len, source: Some(source.parse().unwrap()) }
    }

    fn block_of(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let len = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [SIGNATURE, &[command, family], &len, rest].concat()
    }

    #[test]
    fn a_line_names_the_client() {
        for (line, source) in [
            ("PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n", "192.0.2.1:56324"),
            ("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", "255.255.255.255:65535"),
            ("PROXY TCP6 2001:db8::1 2001:db8::2 0 1\r\n", "[2001:db8::1]:0"),
            (
                "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
                "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
            ),
            ("PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n", "192.0.2.1:1"),
        ] {
            assert_eq!(preface(line.as_bytes()), header(line.len(), source), "{line:?}");
            assert_eq!(
                preface(format!("{line}GET / HTTP/1.1\r\n").as_bytes()),
                header(line.len(), source),
                "{line:?}"
            );
        }
    }

    #[test]
    fn a_proxy_may_speak_for_itself() {
        let local = Preface::Header { len: 15, source: None };
        assert_eq!(preface(b"PROXY UNKNOWN\r\n"), local);
        let longest = format!("PROXY UNKNOWN {}\r\n", "x".repeat(MAX_LINE - 16));
        assert_eq!(preface(longest.as_bytes()), Preface::Header { len: MAX_LINE, source: None });
        for (command, family, rest) in [
            (0x20, 0x00, &[][..]),
            (0x20, 0x11, &[1; 12]),
            (0x20, 0xff, b"anything"),
            (0x21, 0x00, b"anything"),
            (0x21, 0x31, &[b'/'; 216]),
        ] {
            let bytes = block_of(command, family, rest);
            assert_eq!(
                preface(&bytes),
                Preface::Header { len: bytes.len(), source: None },
                "{command:x} {family:x}"
            );
        }
    }

    #[test]
    fn a_block_names_the_client() {
        let v4 = [192, 0, 2, 1, 198, 51, 100, 1, 0xdc, 0x04, 0x01, 0xbb];
        assert_eq!(preface(&block_of(0x21, 0x11, &v4)), header(28, "192.0.2.1:56324"));
        let extended = [&v4[..], &[0x03, 0, 4, 1, 2, 3, 4]].concat();
        assert_eq!(preface(&block_of(0x21, 0x11, &extended)), header(35, "192.0.2.1:56324"));
        let mut v6 = [0; 36];
        v6[..16].copy_from_slice(&Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).octets());
        v6[32..34].copy_from_slice(&443u16.to_be_bytes());
        assert_eq!(preface(&block_of(0x21, 0x21, &v6)), header(52, "[2001:db8::1]:443"));
        v6[..16].copy_from_slice(&Ipv4Addr::new(192, 0, 2, 1).to_ipv6_mapped().octets());
        assert_eq!(preface(&block_of(0x21, 0x21, &v6)), header(52, "192.0.2.1:443"));
    }

    #[test]
    fn other_beginnings_are_bad_at_once() {
        for bytes in [
            &b"GET"[..],
            b"P ",
            b"PROXX",
            b"proxy",
            b"PUT",
            b"\x16\x03\x01",
            b"\r\n\r\n\r",
            b"\r\nGET",
            b"PROXY \n",
            b"PROXY TCP4\rx",
            b"\r\n\r\n\0\r\nQUIT\n\x11",
            b"\r\n\r\n\0\r\nQUIT\n\x22",
            b"\r\n\r\n\0\r\nQUIT\n\x21\x13",
            b"\r\n\r\n\0\r\nQUIT\n\x21\x10",
            b"\r\n\r\n\0\r\nQUIT\n\x21\x41",
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x04",
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0b",
            b"\r\n\r\n\0\r\nQUIT\n\x21\x21\x00\x23",
        ] {
            assert_eq!(preface(bytes), Preface::Bad, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn a_line_is_read_strictly() {
        for line in [
            "PROXY \r\n",
            "PROXY TCP4\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 56324\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 56324 443 \r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 56324 443 1\r\n",
            "PROXY  TCP4 192.0.2.1 198.51.100.1 56324 443\r\n",
            "PROXY TCP4  192.0.2.1 198.51.100.1 56324 443\r\n",
            "PROXY tcp4 192.0.2.1 198.51.100.1 56324 443\r\n",
            "PROXY UDP4 192.0.2.1 198.51.100.1 56324 443\r\n",
            "PROXY UNKNOWNx\r\n",
            "PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n",
            "PROXY TCP6 192.0.2.1 198.51.100.1 1 2\r\n",
            "PROXY TCP6 [2001:db8::1] [2001:db8::2] 1 2\r\n",
            "PROXY TCP4 192.0.2.01 198.51.100.1 1 2\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100 1 2\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 65536 2\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 01 2\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 +1 2\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 1 \r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 1 2\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 1 2\r\r\n",
        ] {
            assert_eq!(preface(line.as_bytes()), Preface::Bad, "{line:?}");
        }
    }

    #[test]
    fn a_line_ends_within_107_bytes() {
        let unknown = |len: usize| format!("PROXY UNKNOWN {}", "x".repeat(len - 14));
        assert_eq!(preface(unknown(105).as_bytes()), Preface::Incomplete);
        assert_eq!(preface(format!("{}\r", unknown(105)).as_bytes()), Preface::Incomplete);
        assert_eq!(preface(unknown(106).as_bytes()), Preface::Bad);
        for end in ["\r", "\r\n", "x\r\n"] {
            assert_eq!(preface(format!("{}{end}", unknown(106)).as_bytes()), Preface::Bad, "{end:?}");
        }
    }

    #[test]
    fn a_block_ends_within_the_callers_buffer() {
        let longest = block_of(0x21, 0x00, &[0; MAX_PREFACE - 16]);
        assert_eq!(preface(&longest), Preface::Header { len: MAX_PREFACE, source: None });
        assert_eq!(preface(&block_of(0x21, 0x00, &[0; MAX_PREFACE - 15])[..16]), Preface::Bad);
    }

    /// A header, and its source.
    fn any_header() -> impl Strategy<Value = (Vec<u8>, Option<SocketAddr>)> {
        let v4 = (any::<Ipv4Addr>(), any::<Ipv4Addr>()).prop_map(|(a, b)| (IpAddr::V4(a), IpAddr::V4(b)));
        let v6 = (any::<Ipv6Addr>(), any::<Ipv6Addr>()).prop_map(|(a, b)| (IpAddr::V6(a), IpAddr::V6(b)));
        let pairs = (prop_oneof![v4, v6], any::<u16>(), any::<u16>());
        let lines = pairs.clone().prop_map(|((from, to), port, to_port)| {
            let family = if from.is_ipv4() { 4 } else { 6 };
            let line = format!("PROXY TCP{family} {from} {to} {port} {to_port}\r\n");
            (line.into_bytes(), Some(SocketAddr::new(from.to_canonical(), port)))
        });
        let blocks = (pairs, prop::collection::vec(any::<u8>(), 0..200)).prop_map(
            |(((from, to), port, to_port), more)| {
                let octets = |address| match address {
                    IpAddr::V4(v4) => v4.octets().to_vec(),
                    IpAddr::V6(v6) => v6.octets().to_vec(),
                };
                let rest =
                    [octets(from), octets(to), port.to_be_bytes().into(), to_port.to_be_bytes().into(), more]
                        .concat();
                let family = if from.is_ipv4() { 0x11 } else { 0x21 };
                (block_of(0x21, family, &rest), Some(SocketAddr::new(from.to_canonical(), port)))
            },
        );
        let unknown =
            "[ -~]{0,80}".prop_map(|ignored| (format!("PROXY UNKNOWN {ignored}\r\n").into_bytes(), None));
        let local = (any::<u8>(), prop::collection::vec(any::<u8>(), 0..300))
            .prop_map(|(family, rest)| (block_of(0x20, family, &rest), None));
        prop_oneof![lines, blocks, unknown, local]
    }

    proptest! {
        #[test]
        fn a_header_is_incomplete_until_its_last_byte((bytes, source) in any_header(), rest: Vec<u8>) {
            for len in 0..bytes.len() {
                prop_assert_eq!(preface(&bytes[..len]), Preface::Incomplete);
            }
            let expected = Preface::Header { len: bytes.len(), source };
            prop_assert_eq!(preface(&bytes), expected);
            prop_assert_eq!(preface(&[bytes, rest].concat()), expected);
        }

        #[test]
        fn a_damaged_header_never_panics_and_stays_bad((mut bytes, _) in any_header(), at: prop::sample::Index, byte: u8) {
            let at = at.index(bytes.len());
            bytes[at] = byte;
            let first_bad = (0..=bytes.len()).find(|len| preface(&bytes[..*len]) == Preface::Bad);
            if let Some(first_bad) = first_bad {
                for len in first_bad..=bytes.len() {
                    prop_assert_eq!(preface(&bytes[..len]), Preface::Bad);
                }
            }
        }

        #[test]
        fn a_full_buffer_is_never_incomplete(begin in 0..20usize, mut bytes in prop::collection::vec(any::<u8>(), MAX_PREFACE)) {
            let begin = &[SIGNATURE, &[0x21, 0x00]].concat()[..begin.min(14)];
            bytes[..begin.len()].copy_from_slice(begin);
            prop_assert_ne!(preface(&bytes), Preface::Incomplete);
        }
    }
}
