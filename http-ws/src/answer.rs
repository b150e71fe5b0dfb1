//! Bencoded answers (BEP 3; H10), written straight into the buffer that is sent.
//!
//! Called by `service`. Keys are in sorted order, as bencoding wants. Tests are below, and with real answers in `tests/`.

use std::net::{Ipv4Addr, Ipv6Addr};

use bytes::{BufMut as _, BytesMut};
use tracker_common::connection_id::Address;

/// The answer to an announce.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Announce<'a> {
    /// Seeders of both families, the announcer included.
    pub complete: u32,
    /// How often the torrent was completed.
    pub downloaded: u32,
    /// Leechers of both families, the announcer included.
    pub incomplete: u32,
    /// Whose announce it is (BEP 24).
    pub client: Address,
    /// Seconds until the next announce.
    pub interval: u32,
    /// Seconds before which no announce is welcome.
    pub min_interval: u32,
    /// IPv4 peers, 6 bytes each.
    pub peers_v4: &'a [[u8; 6]],
    /// IPv6 peers, 18 bytes each.
    pub peers_v6: &'a [[u8; 18]],
    /// BEP 23, or a list of dictionaries (H06).
    pub compact: bool,
}

impl Announce<'_> {
    /// Writes the answer.
    pub(crate) fn write(&self, out: &mut BytesMut) {
        out.reserve(256 + 64 * (self.peers_v4.len() + self.peers_v6.len()));
        // On the stack first: many short pieces cost less there.
        let mut head = Head { bytes: [0; HEAD], len: 0 };
        head.number(b"d8:complete", self.complete);
        head.number(b"10:downloaded", self.downloaded);
        head.put(b"11:external ip");
        match &self.client {
            Address::V4(ip) => {
                head.put(b"4:");
                head.put(ip);
            }
            Address::V6(ip) => {
                head.put(b"16:");
                head.put(ip);
            }
        }
        head.number(b"10:incomplete", self.incomplete);
        head.number(b"8:interval", self.interval);
        head.number(b"12:min interval", self.min_interval);
        head.put(b"5:peers");
        out.put_slice(head.bytes.get(..head.len).unwrap_or_default());
        if self.compact {
            string(out, self.peers_v4.as_flattened());
            // BEP 7
            if !self.peers_v6.is_empty() {
                out.put_slice(b"6:peers6");
                string(out, self.peers_v6.as_flattened());
            }
        } else {
            self.write_list(out);
        }
        out.put_u8(b'e');
    }

    fn write_list(&self, out: &mut BytesMut) {
        out.put_u8(b'l');
        for [a, b, c, d, p, q] in self.peers_v4 {
            peer(out, &Ipv4Addr::new(*a, *b, *c, *d), u16::from_be_bytes([*p, *q]));
        }
        for peer6 in self.peers_v6 {
            if let Some((ip, [p, q])) = peer6.split_first_chunk::<16>() {
                peer(out, &Ipv6Addr::from(*ip), u16::from_be_bytes([*p, *q]));
            }
        }
        out.put_u8(b'e');
    }
}

/// Keys: 83 bytes; numbers: 5 of at most 12; an address: 19.
const HEAD: usize = 192;

/// An answer up to its peers.
struct Head {
    bytes: [u8; HEAD],
    len: usize,
}

impl Head {
    #[inline(always)]
    fn put<const N: usize>(&mut self, bytes: &[u8; N]) {
        if let Some(place) = self.bytes.get_mut(self.len..).and_then(|rest| rest.first_chunk_mut::<N>()) {
            *place = *bytes;
            self.len += N;
        }
    }

    /// A key and its number.
    #[inline(always)]
    fn number<const N: usize>(&mut self, key: &[u8; N], number: u32) {
        self.put(key);
        self.put(b"i");
        let (digits, len) = digits(number);
        // All ten places, of which the last may be nothing: what comes next is put over it.
        self.put(&digits);
        self.len -= digits.len() - len;
        self.put(b"e");
    }
}

fn peer(out: &mut BytesMut, ip: &dyn std::fmt::Display, port: u16) {
    use std::fmt::Write as _;
    let mut text = Text { bytes: [0; 45], len: 0 };
    // 45 bytes hold the longest of all addresses.
    let _ = write!(text, "{ip}");
    out.put_slice(b"d2:ip");
    string(out, text.bytes.get(..text.len).unwrap_or_default());
    out.put_slice(b"4:port");
    integer(out, u32::from(port));
    out.put_u8(b'e');
}

/// An address as text, on the stack: its length comes first.
struct Text {
    bytes: [u8; 45],
    len: usize,
}

impl std::fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let place = self.bytes.get_mut(self.len..self.len + text.len()).ok_or(std::fmt::Error)?;
        place.copy_from_slice(text.as_bytes());
        self.len += text.len();
        Ok(())
    }
}

/// Writes a failure (BEP 3); with a number of minutes, when to try again (BEP 31).
pub(crate) fn failure(out: &mut BytesMut, reason: &str, retry_in_minutes: Option<u32>) {
    out.reserve(64 + reason.len());
    out.put_slice(b"d14:failure reason");
    string(out, reason.as_bytes());
    if let Some(minutes) = retry_in_minutes {
        out.put_slice(b"8:retry in");
        integer(out, minutes);
    }
    out.put_u8(b'e');
}

pub(crate) fn integer(out: &mut BytesMut, number: u32) {
    out.put_u8(b'i');
    put_digits(out, number);
    out.put_u8(b'e');
}

pub(crate) fn string(out: &mut BytesMut, bytes: &[u8]) {
    put_digits(out, bytes.len() as u32);
    out.put_u8(b':');
    out.put_slice(bytes);
}

fn put_digits(out: &mut BytesMut, number: u32) {
    let (digits, len) = digits(number);
    out.put_slice(digits.get(..len).unwrap_or_default());
}

/// The decimal digits of a number, and how many there are.
#[inline(always)]
fn digits(number: u32) -> ([u8; 10], usize) {
    let len = number.checked_ilog10().unwrap_or(0) as usize + 1;
    let mut digits = [b'0'; 10];
    let mut rest = number;
    for place in digits.iter_mut().take(len).rev() {
        *place = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    (digits, len)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEERS_V4: [[u8; 6]; 2] = [[192, 0, 2, 1, 0x1a, 0xe1], [192, 0, 2, 255, 0, 1]];
    const PEERS_V6: [[u8; 18]; 1] = [[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0x1a, 0xe1]];

    fn announce(compact: bool, peers_v6: &[[u8; 18]]) -> String {
        let answer = Announce {
            complete: 1,
            downloaded: 0,
            incomplete: u32::MAX,
            client: Address::V4([192, 0, 2, 3]),
            interval: 1800,
            min_interval: 900,
            peers_v4: &PEERS_V4,
            peers_v6,
            compact,
        };
        let mut out = BytesMut::new();
        answer.write(&mut out);
        out.escape_ascii().to_string()
    }

    #[test]
    fn announce_is_written_with_sorted_keys() {
        assert_eq!(
            announce(true, &PEERS_V6),
            "d8:completei1e10:downloadedi0e11:external ip4:\\xc0\\x00\\x02\\x0310:incompletei4294967295e8:intervali1800e\
             12:min intervali900e5:peers12:\\xc0\\x00\\x02\\x01\\x1a\\xe1\\xc0\\x00\\x02\\xff\\x00\\x016:peers618: \\x01\\r\\xb8\
             \\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x01\\x1a\\xe1e"
        );
    }

    #[test]
    fn peers6_is_left_out_when_there_are_none() {
        assert!(announce(true, &[]).ends_with("\\x00\\x01e"));
    }

    #[test]
    fn list_of_dictionaries_has_both_families() {
        let text = announce(false, &PEERS_V6);
        assert!(
            text.ends_with(
                "5:peersld2:ip9:192.0.2.14:porti6881eed2:ip11:192.0.2.2554:porti1eed2:ip11:2001:db8::14:porti6881eeee"
            ),
            "{text}"
        );
    }

    #[test]
    fn failure_says_when_to_come_back() {
        let mut out = BytesMut::new();
        failure(&mut out, "no", None);
        failure(&mut out, "later", Some(15));
        assert_eq!(&out[..], b"d14:failure reason2:noed14:failure reason5:later8:retry ini15ee");
    }
}
