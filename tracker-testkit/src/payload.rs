//! BEP 15 requests as bytes, written field by field from the BEP.
//!
//! Used by the protocol rows and by tests that need one particular request.

/// First eight bytes of every connect request.
pub const CONNECT_MAGIC: u64 = 0x0000_0417_2710_1980;

/// Length of an announce request without options.
pub const ANNOUNCE_LEN: usize = 98;

/// A connect request.
pub fn connect(transaction: u32) -> Vec<u8> {
    header(CONNECT_MAGIC, 0, transaction)
}

/// The sixteen bytes that every request begins with.
pub fn header(first: u64, action: u32, transaction: u32) -> Vec<u8> {
    let mut bytes = Vec::from(first.to_be_bytes());
    bytes.extend(action.to_be_bytes());
    bytes.extend(transaction.to_be_bytes());
    bytes
}

/// A scrape request.
pub fn scrape(connection_id: u64, transaction: u32, info_hashes: &[[u8; 20]]) -> Vec<u8> {
    let mut bytes = header(connection_id, 2, transaction);
    bytes.extend(info_hashes.as_flattened());
    bytes
}

/// Values of the announce request's event field.
pub mod event {
    /// An announce at the regular interval.
    pub const NONE: u32 = 0;
    /// The download has just finished.
    pub const COMPLETED: u32 = 1;
    /// The first announce.
    pub const STARTED: u32 = 2;
    /// The last announce.
    pub const STOPPED: u32 = 3;
    /// BEP 21 "paused", as libtorrent sends it.
    pub const PAUSED: u32 = 4;
}

/// All fields of an announce request; [`Announce::default`] is a leecher that has just started.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are BEP 15's, under its names")]
pub struct Announce {
    pub connection_id: u64,
    pub transaction: u32,
    pub info_hash: [u8; 20],
    pub peer_id: [u8; 20],
    pub downloaded: u64,
    pub left: u64,
    pub uploaded: u64,
    pub event: u32,
    pub ip: [u8; 4],
    pub key: u32,
    pub num_want: i32,
    pub port: u16,
    /// BEP 41 options, or anything else behind the 98 bytes.
    pub tail: Vec<u8>,
}

impl Default for Announce {
    fn default() -> Self {
        Self {
            connection_id: 0,
            transaction: 0x7261_6e64,
            info_hash: [0xaa; 20],
            peer_id: *b"-KT0001-abcdefghijkl",
            downloaded: 0,
            left: 1_000_000,
            uploaded: 0,
            event: event::STARTED,
            ip: [0; 4],
            key: 0x1020_3040,
            num_want: -1,
            port: 51_413,
            tail: Vec::new(),
        }
    }
}

impl Announce {
    /// The request's bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = header(self.connection_id, 1, self.transaction);
        bytes.extend(self.info_hash);
        bytes.extend(self.peer_id);
        bytes.extend(self.downloaded.to_be_bytes());
        bytes.extend(self.left.to_be_bytes());
        bytes.extend(self.uploaded.to_be_bytes());
        bytes.extend(self.event.to_be_bytes());
        bytes.extend(self.ip);
        bytes.extend(self.key.to_be_bytes());
        bytes.extend(self.num_want.to_be_bytes());
        bytes.extend(self.port.to_be_bytes());
        debug_assert_eq!(bytes.len(), ANNOUNCE_LEN);
        bytes.extend(&self.tail);
        bytes
    }
}

/// BEP 41 options, to be chained into [`Announce::tail`].
pub mod option {
    /// The end of the options: one byte.
    pub fn end() -> Vec<u8> {
        vec![0]
    }

    /// Padding: one byte.
    pub fn nop() -> Vec<u8> {
        vec![1]
    }

    /// A piece of at most 255 bytes of the path and query of the announce URL.
    pub fn url_data(text: &[u8]) -> Vec<u8> {
        other(2, text)
    }

    /// Any option with a length byte.
    #[track_caller]
    pub fn other(kind: u8, value: &[u8]) -> Vec<u8> {
        let length = u8::try_from(value.len()).expect("an option's value has at most 255 bytes");
        let mut bytes = vec![kind, length];
        bytes.extend(value);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_stand_where_bep_15_has_them() {
        let bytes = Announce {
            connection_id: 0x0102_0304_0506_0708,
            num_want: -2,
            port: 0x1ae1,
            ..Announce::default()
        }
        .bytes();
        assert_eq!(bytes.len(), 98);
        assert_eq!(bytes[..12], [1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 1]);
        assert_eq!(bytes[16..36], [0xaa; 20]);
        assert_eq!(bytes[64..72], 1_000_000u64.to_be_bytes());
        assert_eq!(bytes[80..84], [0, 0, 0, 2]);
        assert_eq!(bytes[92..], [0xff, 0xff, 0xff, 0xfe, 0x1a, 0xe1]);
        assert_eq!(connect(7), [0, 0, 4, 0x17, 0x27, 0x10, 0x19, 0x80, 0, 0, 0, 0, 0, 0, 0, 7]);
        assert_eq!(scrape(0, 7, &[[1; 20], [2; 20]]).len(), 56);
    }
}
