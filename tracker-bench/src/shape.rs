//! How many torrents a table has, and how many peers each.

use std::fmt;

/// A table's shape, named by what an answer holds: torrents × other peers than the announcer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Shape {
    pub(crate) torrents: u32,
    /// Peers that an answer can hold. Our table has one more for each torrent: the announcer, which gets all the others.
    pub(crate) others: u32,
}

impl Shape {
    pub(crate) const fn new(torrents: u32, others: u32) -> Self {
        Self { torrents, others }
    }

    /// Peers of a torrent, the announcer included.
    pub(crate) const fn peers_each(self) -> u32 {
        self.others + 1
    }

    /// All peers.
    pub(crate) const fn peers(self) -> u64 {
        self.torrents as u64 * self.peers_each() as u64
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.torrents, self.others)
    }
}
