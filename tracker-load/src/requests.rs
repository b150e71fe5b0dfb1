//! UDP requests as a client writes them, and the verdict on an answer.

use tracker_common::wire::{
    ACTION_ANNOUNCE, ACTION_CONNECT, ACTION_ERROR, ACTION_SCRAPE, ANNOUNCE_ANSWER_LEN, ANNOUNCE_LEN,
    CONNECT_ANSWER_LEN, CONNECT_MAGIC, HEADER_LEN, InfoHash, PEER_V4_LEN, PEER_V6_LEN,
};

use crate::population::Peer;

/// A request in a buffer that fits any of them.
#[derive(Clone, Copy)]
pub(crate) struct Request {
    bytes: [u8; ANNOUNCE_LEN],
    len: usize,
}

impl Request {
    pub(crate) fn connect(transaction: u32) -> Self {
        let mut request = Self { bytes: [0; ANNOUNCE_LEN], len: HEADER_LEN };
        request.header(CONNECT_MAGIC, ACTION_CONNECT, transaction);
        request
    }

    pub(crate) fn announce(connection_id: u64, transaction: u32, peer: &Peer, want: i32) -> Self {
        let mut request = Self { bytes: [0; ANNOUNCE_LEN], len: ANNOUNCE_LEN };
        request.header(connection_id, ACTION_ANNOUNCE, transaction);
        // BEP 15, "IPv4 announce request": info hash 16, peer id 36, left 64, num_want 92, port 96. The peer id is the
        // hash once more: trackers don't look at it.
        request.bytes[16..36].copy_from_slice(&peer.info_hash);
        request.bytes[36..56].copy_from_slice(&peer.info_hash);
        request.bytes[64..72].copy_from_slice(&u64::from(!peer.seeder).to_be_bytes());
        request.bytes[92..96].copy_from_slice(&want.to_be_bytes());
        request.bytes[96..98].copy_from_slice(&peer.port.to_be_bytes());
        request
    }

    /// Of one torrent.
    pub(crate) fn scrape(connection_id: u64, transaction: u32, info_hash: &InfoHash) -> Self {
        let mut request = Self { bytes: [0; ANNOUNCE_LEN], len: HEADER_LEN + info_hash.len() };
        request.header(connection_id, ACTION_SCRAPE, transaction);
        request.bytes[16..36].copy_from_slice(info_hash);
        request
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    fn header(&mut self, connection_id: u64, action: u32, transaction: u32) {
        self.bytes[..8].copy_from_slice(&connection_id.to_be_bytes());
        self.bytes[8..12].copy_from_slice(&action.to_be_bytes());
        self.bytes[12..16].copy_from_slice(&transaction.to_be_bytes());
    }
}

/// What an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// A connection id.
    Connected(u64),
    /// Counts and this many peers.
    Announced(usize),
    /// An error packet.
    Error,
    /// Nothing that a tracker may answer.
    Wrong,
}

/// The transaction id of anything long enough to have one.
pub(crate) fn transaction(answer: &[u8]) -> Option<u32> {
    answer.get(4..8).map(|bytes| u32::from_be_bytes(bytes.try_into().expect("four bytes")))
}

/// Reads an answer; `ipv6` is the family of the packet, which decides about the length of a peer.
pub(crate) fn judge(answer: &[u8], ipv6: bool) -> Answer {
    let Some((action, rest)) = answer.split_first_chunk::<4>() else { return Answer::Wrong };
    match u32::from_be_bytes(*action) {
        ACTION_CONNECT if answer.len() == CONNECT_ANSWER_LEN => {
            let id = rest.last_chunk::<8>().map_or(0, |id| u64::from_be_bytes(*id));
            Answer::Connected(id)
        }
        ACTION_ANNOUNCE if answer.len() >= ANNOUNCE_ANSWER_LEN => {
            let peers = answer.len() - ANNOUNCE_ANSWER_LEN;
            let peer_len = if ipv6 { PEER_V6_LEN } else { PEER_V4_LEN };
            if peers.is_multiple_of(peer_len) { Answer::Announced(peers / peer_len) } else { Answer::Wrong }
        }
        ACTION_ERROR if answer.len() > 8 => Answer::Error,
        _ => Answer::Wrong,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracker_common::wire::{AnnounceRequest, Header};

    #[test]
    fn tracker_reads_what_is_written_here() {
        let peer = Peer::number(7, 3);
        let request = Request::announce(0x0102_0304_0506_0708, 0x0a0b_0c0d, &peer, 30);
        let header = Header::parse(request.bytes().first_chunk().unwrap());
        assert_eq!((header.connection_id, header.action), (0x0102_0304_0506_0708, ACTION_ANNOUNCE));
        assert_eq!(header.transaction, [0x0a, 0x0b, 0x0c, 0x0d]);
        let announce = AnnounceRequest::parse(request.bytes().first_chunk().unwrap());
        assert_eq!((announce.info_hash, announce.port), (peer.info_hash, peer.port));
        assert_eq!((announce.left == 0, announce.num_want), (true, 30));
    }

    #[test]
    fn connect_is_sixteen_bytes_with_the_magic() {
        let expected = [0, 0, 4, 0x17, 0x27, 0x10, 0x19, 0x80, 0, 0, 0, 0, 0, 0, 0, 9];
        assert_eq!(Request::connect(9).bytes(), expected);
    }

    #[test]
    fn answers_are_told_apart() {
        let connected = [0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 5];
        assert_eq!(judge(&connected, false), Answer::Connected(5));
        assert_eq!(transaction(&connected), Some(9));
        let mut announced = [0; 20 + 36];
        announced[3] = 1;
        assert_eq!(judge(&announced, false), Answer::Announced(6));
        assert_eq!(judge(&announced, true), Answer::Announced(2));
        assert_eq!(judge(&announced[..21], false), Answer::Wrong);
        assert_eq!(judge(b"\0\0\0\x03\0\0\0\x09text", false), Answer::Error);
        assert_eq!(judge(b"\0\0", false), Answer::Wrong);
    }
}
