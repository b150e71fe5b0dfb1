//! BEP 15 (UDP tracker protocol) on the wire: constants, requests, error texts.
//!
//! All integers are big-endian. Parsing takes fixed-size arrays, so that an access out of bounds doesn't compile.

/// BEP 15, "connect request": the number in the place of the connection id.
pub const CONNECT_MAGIC: u64 = 0x0000_0417_2710_1980;
/// BEP 15 actions.
pub const ACTION_CONNECT: u32 = 0;
/// Announce.
pub const ACTION_ANNOUNCE: u32 = 1;
/// Scrape.
pub const ACTION_SCRAPE: u32 = 2;
/// Error: only ever sent, never answered (U02).
pub const ACTION_ERROR: u32 = 3;

/// Bytes of the fields that all requests begin with: connection id, action, transaction id.
pub const HEADER_LEN: usize = 16;
/// Bytes of a connect answer.
pub const CONNECT_ANSWER_LEN: usize = 16;
/// Bytes of an announce request without extensions.
pub const ANNOUNCE_LEN: usize = 98;
/// Offset of the info hash in an announce request, and of the first one in a scrape request.
pub const INFO_HASH_AT: usize = 16;
/// Bytes of an announce answer before its peers.
pub const ANNOUNCE_ANSWER_LEN: usize = 20;
/// Bytes of a scrape or error answer before its contents.
pub const ANSWER_HEADER_LEN: usize = 8;
/// Bytes of an info hash, also of a truncated v2 one (BEP 52).
pub const INFO_HASH_LEN: usize = 20;
/// Bytes of one torrent in a scrape answer.
pub const SCRAPE_ENTRY_LEN: usize = 12;
/// Bytes of a peer in an IPv4 answer.
pub const PEER_V4_LEN: usize = 4 + 2;
/// Bytes of a peer in an IPv6 answer.
pub const PEER_V6_LEN: usize = 16 + 2;

/// U22: payload bytes of an IPv4 answer at most: below an MTU of 1,500 with room for tunnels.
pub const MAX_PAYLOAD_V4: usize = 1400;
/// U22: payload bytes of an IPv6 answer at most: the minimum MTU, 1,280 − 40 (IPv6) − 8 (UDP).
pub const MAX_PAYLOAD_V6: usize = 1280 - 40 - 8;
/// Peers in an IPv4 answer at most: 230.
pub const MAX_PEERS_V4: usize = (MAX_PAYLOAD_V4 - ANNOUNCE_ANSWER_LEN) / PEER_V4_LEN;
/// Peers in an IPv6 answer at most: 67.
pub const MAX_PEERS_V6: usize = (MAX_PAYLOAD_V6 - ANNOUNCE_ANSWER_LEN) / PEER_V6_LEN;

const _: () = assert!(MAX_PEERS_V4 == 230 && MAX_PEERS_V6 == 67);

/// An info hash.
pub type InfoHash = [u8; INFO_HASH_LEN];

/// The fields that all requests begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Connection id, or [`CONNECT_MAGIC`].
    pub connection_id: u64,
    /// One of the `ACTION_` constants, or something else.
    pub action: u32,
    /// Transaction id, in network order: it is only ever copied.
    pub transaction: [u8; 4],
}

impl Header {
    /// Reads the first 16 bytes of a request.
    #[inline(always)]
    pub fn parse(bytes: &[u8; HEADER_LEN]) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l, transaction @ ..] = *bytes;
        Self {
            connection_id: u64::from_be_bytes([a, b, c, d, e, f, g, h]),
            action: u32::from_be_bytes([i, j, k, l]),
            transaction,
        }
    }
}

/// The `event` field of an announce, with unknown values as [`AnnounceKind::None`] (U09).
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnnounceKind {
    /// 0 and everything unknown.
    None = 0,
    /// 1: the download was completed (U14).
    Completed = 1,
    /// 2: the first announce.
    Started = 2,
    /// 3: the peer leaves (U13).
    Stopped = 3,
    /// 4, as libtorrent sends it: a partial seed (BEP 21).
    Paused = 4,
}

impl AnnounceKind {
    /// The kind that a field's value stands for.
    #[inline(always)]
    pub const fn from_wire(event: u32) -> Self {
        match event {
            1 => Self::Completed,
            2 => Self::Started,
            3 => Self::Stopped,
            4 => Self::Paused,
            _ => Self::None,
        }
    }
}

/// BEP 15, "announce request". The ip field is left out: it is ignored (U10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnnounceRequest {
    /// The torrent.
    pub info_hash: InfoHash,
    /// Chosen by the client; not kept.
    pub peer_id: [u8; 20],
    /// Bytes left to download; 0 is a seeder (U12).
    pub left: u64,
    /// What happened.
    pub kind: AnnounceKind,
    /// Peers wanted; 0 and negative numbers mean "as many as you give" (U11).
    pub num_want: i32,
    /// Port on which the client listens.
    pub port: u16,
}

impl AnnounceRequest {
    /// Reads the first 98 bytes of an announce request.
    #[inline(always)]
    pub fn parse(bytes: &[u8; ANNOUNCE_LEN]) -> Self {
        Self {
            info_hash: array(bytes, INFO_HASH_AT),
            peer_id: array(bytes, 36),
            left: u64::from_be_bytes(array(bytes, 64)),
            kind: AnnounceKind::from_wire(u32::from_be_bytes(array(bytes, 80))),
            num_want: i32::from_be_bytes(array(bytes, 92)),
            port: u16::from_be_bytes(array(bytes, 96)),
        }
    }
}

/// `M` bytes of `bytes` from a constant offset. The loop is unrolled and the bounds are known: no panic path is left.
#[inline(always)]
fn array<const N: usize, const M: usize>(bytes: &[u8; N], at: usize) -> [u8; M] {
    let mut out = [0; M];
    let mut index = 0;
    while index < M {
        out[index] = bytes[at + index];
        index += 1;
    }
    out
}

/// The URLData options (BEP 41) behind an announce request, piece by piece; several of them make up one string.
///
/// Unknown options are skipped by their length byte; whatever is malformed ends the list (U07).
#[derive(Clone, Debug)]
pub struct UrlData<'a> {
    tail: &'a [u8],
}

impl<'a> UrlData<'a> {
    /// The options in the bytes after the first 98.
    pub fn new(tail: &'a [u8]) -> Self {
        Self { tail }
    }
}

impl<'a> Iterator for UrlData<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        loop {
            match *self.tail {
                // BEP 41: 0 ends the options, 1 does nothing; every other type is followed by a length byte.
                [1, ref rest @ ..] => self.tail = rest,
                [option, length, ref rest @ ..] if option >= 2 => {
                    let (data, rest) = rest.split_at_checked(length.into())?;
                    self.tail = rest;
                    if option == 2 {
                        return Some(data);
                    }
                }
                _ => return None,
            }
        }
    }
}

/// Why a request is refused: all that a client is ever told, in the kernel, over sockets and over HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// U04.
    InvalidConnectionId,
    /// U06.
    AnnounceTooShort,
    /// U08.
    PortZero,
    /// U15, H12.
    InfoHashNotAllowed,
    /// U17, H14.
    FullScrape,
}

impl Refusal {
    /// The text of the error answer.
    pub const fn text(self) -> &'static str {
        match self {
            Self::InvalidConnectionId => "invalid connection id",
            Self::AnnounceTooShort => "announce request too short",
            Self::PortZero => "port must not be 0",
            Self::InfoHashNotAllowed => "info hash not allowed",
            Self::FullScrape => "full scrapes are not allowed",
        }
    }

    /// Bytes of the UDP error answer.
    pub const fn answer_len(self) -> usize {
        ANSWER_HEADER_LEN + self.text().len()
    }

    /// BEP 15, "error response": writes it to the front of `out` and returns its length, 0 when it doesn't fit.
    pub fn write(self, transaction: [u8; 4], out: &mut [u8]) -> usize {
        let len = self.answer_len();
        let Some((header, rest)) = out.split_first_chunk_mut::<ANSWER_HEADER_LEN>() else { return 0 };
        let Some(text) = rest.get_mut(..self.text().len()) else { return 0 };
        text.copy_from_slice(self.text().as_bytes());
        header[..4].copy_from_slice(&ACTION_ERROR.to_be_bytes());
        header[4..].copy_from_slice(&transaction);
        len
    }
}

/// BEP 15, "connect response".
#[inline(always)]
pub fn connect_answer(transaction: [u8; 4], connection_id: u64) -> [u8; CONNECT_ANSWER_LEN] {
    let [a, b, c, d, e, f, g, h] = connection_id.to_be_bytes();
    let [t0, t1, t2, t3] = transaction;
    [0, 0, 0, 0, t0, t1, t2, t3, a, b, c, d, e, f, g, h]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn an_announce_request_is_read_field_by_field() {
        let mut bytes = [0; ANNOUNCE_LEN];
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = index as u8;
        }
        bytes[80..84].copy_from_slice(&4u32.to_be_bytes());
        bytes[92..96].copy_from_slice(&(-1i32).to_be_bytes());
        let announce = AnnounceRequest::parse(&bytes);
        assert_eq!(announce.info_hash, bytes[16..36]);
        assert_eq!(announce.peer_id, bytes[36..56]);
        assert_eq!(announce.left, u64::from_be_bytes(bytes[64..72].try_into().unwrap()));
        assert_eq!(announce.kind, AnnounceKind::Paused);
        assert_eq!(announce.num_want, -1);
        assert_eq!(announce.port, 0x6061);
    }

    #[test]
    fn url_data_is_found_between_other_options() {
        let tail = b"\x01\x02\x04/ann\x07\x02xx\x02\x04ounc\x02\x00\x00\x02\x01z";
        let pieces: Vec<_> = UrlData::new(tail).collect();
        assert_eq!(pieces, [&b"/ann"[..], b"ounc", b""]);
    }

    #[test]
    fn a_malformed_tail_ends_the_options() {
        for tail in [&b"\x02"[..], b"\x02\x05abcd", b"\xff", b"", b"\x09\xff"] {
            assert_eq!(UrlData::new(tail).count(), 0, "{tail:?}");
        }
    }

    #[test]
    fn an_error_is_its_action_the_transaction_and_a_text() {
        let mut out = [0; 64];
        let len = Refusal::InvalidConnectionId.write(*b"abcd", &mut out);
        assert_eq!(out[..len], *b"\0\0\0\x03abcdinvalid connection id");
    }

    #[test]
    fn an_error_that_does_not_fit_is_not_written() {
        for room in 0..Refusal::PortZero.answer_len() {
            let mut out = [0; 64];
            assert_eq!(Refusal::PortZero.write(*b"abcd", &mut out[..room]), 0);
            assert_eq!(out, [0; 64]);
        }
    }
}
