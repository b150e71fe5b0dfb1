//! What front ends hold: the swarm table without a way to change it.

use std::sync::Arc;

use tracker_common::table::{self, Found, Query, ScrapeCounts};
use tracker_common::wire::InfoHash;

use crate::memory::Memory;
use crate::stats::Totals;

/// Reads the swarm table. Clones read the same table.
#[derive(Clone, Debug)]
pub struct TableReader {
    pub(crate) memory: Arc<Memory>,
}

impl TableReader {
    /// Answers an announce: see [`table::announce`].
    pub fn announce(&self, query: &Query<'_>, out: &mut [u8]) -> Found {
        table::announce(&self.memory.as_ref(), query, out)
    }

    /// Answers a scrape: see [`table::scrape`].
    pub fn scrape(&self, info_hash: &InfoHash) -> ScrapeCounts {
        table::scrape(&self.memory.as_ref(), info_hash)
    }

    /// The table in numbers, as the writer last published them.
    pub fn totals(&self) -> Totals {
        self.memory.totals()
    }
}
