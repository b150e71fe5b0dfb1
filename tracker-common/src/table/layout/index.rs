//! Where the index of buckets is now, and how many they are.

use super::{high, low, pair};

/// The buckets in use: consecutive numbers of the bucket space. One word, so that a reader has the place and the size of one index, whichever
/// it is, while the writer goes over to a larger one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Index {
    /// Number of bucket 0 in the bucket space.
    pub first: u32,
    /// How many buckets follow, itself included.
    pub buckets: u32,
}

impl Index {
    /// The word in the root record.
    #[inline(always)]
    pub const fn word(self) -> u64 {
        pair(self.first, self.buckets)
    }

    /// What the word says.
    #[inline(always)]
    pub const fn from_word(word: u64) -> Self {
        Self { first: high(word), buckets: low(word) }
    }
}

/// Words of the root record.
pub mod root {
    /// The [`Index`](super::Index).
    pub const INDEX: usize = 0;
    /// The key of info hashes, in this word and the next.
    pub const KEY: usize = 1;
    /// The generation of freed records.
    pub const GENERATION: usize = 3;
}
