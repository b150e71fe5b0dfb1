//! Announces as libtorrent writes them: its parameters in its order, its way of escaping, its header lines.

use std::net::SocketAddr;

use crate::population::Peer;

/// Writes requests to one tracker.
pub(crate) struct Requests {
    /// From the version of HTTP to the end of the header.
    tail: Vec<u8>,
    want: u32,
}

impl Requests {
    pub(crate) fn new(target: SocketAddr, want: u32, keep_alive: bool) -> Self {
        let connection = if keep_alive { "keep-alive" } else { "close" };
        let tail = format!(
            " HTTP/1.1\r\nHost: {target}\r\nUser-Agent: libtorrent/2.0.11\r\nAccept-Encoding: gzip\r\nConnection: {connection}\r\n\r\n"
        );
        Self { tail: tail.into_bytes(), want }
    }

    /// The announce of a peer, in place of what `into` held.
    pub(crate) fn announce(&self, peer: &Peer, into: &mut Vec<u8>) {
        into.clear();
        into.extend_from_slice(b"GET /announce?info_hash=");
        escape(&peer.info_hash, into);
        into.extend_from_slice(b"&peer_id=-LT20B0-load-");
        (0..7).rev().for_each(|digit| into.push(b'0' + ((u32::from(peer.port) >> (3 * digit)) & 7) as u8));
        into.extend_from_slice(b"&port=");
        number(peer.port.into(), into);
        into.extend_from_slice(b"&uploaded=0&downloaded=0&left=");
        number(if peer.seeder { 0 } else { 16_384 }, into);
        into.extend_from_slice(b"&corrupt=0&key=4D2AF1C3&numwant=");
        number(self.want, into);
        into.extend_from_slice(b"&compact=1&no_peer_id=1&supportcrypto=1&redundant=0");
        into.extend_from_slice(&self.tail);
    }

    /// The scrape of a torrent, in place of what `into` held.
    pub(crate) fn scrape(&self, info_hash: &[u8; 20], into: &mut Vec<u8>) {
        into.clear();
        into.extend_from_slice(b"GET /scrape?info_hash=");
        escape(info_hash, into);
        into.extend_from_slice(&self.tail);
    }
}

fn number(number: u32, into: &mut Vec<u8>) {
    let mut digits = [0; 10];
    let mut rest = number;
    let mut first = digits.len();
    loop {
        first -= 1;
        digits[first] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    into.extend_from_slice(&digits[first..]);
}

/// RFC 3986: what isn't unreserved becomes `%` and two digits; libtorrent's are lower case.
fn escape(bytes: &[u8], into: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-_.!~*()".contains(byte) {
            into.push(*byte);
        } else {
            into.extend_from_slice(&[b'%', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn announce_is_written_as_libtorrent_does() {
        let requests = Requests::new("127.0.0.1:6969".parse().unwrap(), 30, true);
        let info_hash = *b"\0a-\x7f\xff%&+ =Z~_.*()!9\0";
        let mut request = b"what was there before".to_vec();
        requests.announce(&Peer { info_hash, port: 1024, seeder: false }, &mut request);
        let expected = "GET /announce?info_hash=%00a-%7f%ff%25%26%2b%20%3dZ~_.*()!9%00&peer_id=-LT20B0-load-0002000&port=1024\
            &uploaded=0&downloaded=0&left=16384&corrupt=0&key=4D2AF1C3&numwant=30&compact=1&no_peer_id=1&supportcrypto=1&redundant=0 \
            HTTP/1.1\r\nHost: 127.0.0.1:6969\r\nUser-Agent: libtorrent/2.0.11\r\nAccept-Encoding: gzip\r\nConnection: keep-alive\r\n\r\n";
        assert_eq!(String::from_utf8(request).unwrap(), expected);
    }

    #[test]
    fn numbers_are_decimal() {
        for wanted in [0, 7, 10, 65_535, u32::MAX] {
            let mut written = Vec::new();
            number(wanted, &mut written);
            assert_eq!(written, wanted.to_string().as_bytes());
        }
    }
}
