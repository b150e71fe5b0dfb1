//! Who is in which swarm: a bit for each connection and torrent.

use anyhow::{Result, ensure};

/// Pages that no bit was ever set in take no memory, but the address space has to be there.
const MOST_BYTES: u64 = 16 << 30;

/// The members of all swarms.
pub(crate) struct Members {
    bits: Vec<u64>,
    /// Words of a connection.
    words: usize,
}

impl Members {
    pub(crate) fn new(connections: u32, torrents: u32) -> Result<Self> {
        let words = u64::from(torrents.div_ceil(u64::BITS));
        let all = words * u64::from(connections);
        ensure!(
            all * 8 <= MOST_BYTES,
            "{connections} connections and {torrents} torrents are too many together"
        );
        Ok(Self { bits: vec![0; usize::try_from(all)?], words: usize::try_from(words)? })
    }

    pub(crate) fn has(&self, connection: usize, torrent: u32) -> bool {
        let (word, bit) = self.place(connection, torrent);
        self.bits[word] & bit != 0
    }

    /// True when it is new there.
    pub(crate) fn join(&mut self, connection: usize, torrent: u32) -> bool {
        let (word, bit) = self.place(connection, torrent);
        let new = self.bits[word] & bit == 0;
        self.bits[word] |= bit;
        new
    }

    /// Leaves all swarms.
    pub(crate) fn leave(&mut self, connection: usize) {
        self.bits[connection * self.words..][..self.words].fill(0);
    }

    fn place(&self, connection: usize, torrent: u32) -> (usize, u64) {
        (connection * self.words + (torrent / u64::BITS) as usize, 1 << (torrent % u64::BITS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_join_and_leave_by_themselves() {
        let mut members = Members::new(3, 100).unwrap();
        for (connection, torrent) in [(0, 0), (1, 99), (2, 63), (2, 64)] {
            assert!(!members.has(connection, torrent));
            assert!(members.join(connection, torrent));
            assert!(!members.join(connection, torrent));
        }
        members.leave(2);
        assert!(members.has(0, 0) && members.has(1, 99));
        assert!(!members.has(2, 63) && !members.has(2, 64));
    }
}
