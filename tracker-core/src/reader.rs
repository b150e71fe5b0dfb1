//! What front ends hold: the swarm table without a way to change it.

use std::sync::Arc;

use tracker_common::table::{self, BothPeers, Found, FoundBoth, Query, ScrapeCounts, TableMemory};
use tracker_common::wire::InfoHash;

use crate::memory::Memory;
use crate::stats::Totals;
use crate::torrents::Torrents;

/// Reads the swarm table. Clones read the same table.
#[derive(Clone, Debug)]
pub struct TableReader {
    pub(crate) memory: Arc<Memory>,
}

impl TableReader {
    /// Answers an announce: see [`table::announce`].
    pub fn announce(&self, query: &Query<'_>, out: &mut [u8]) -> Found {
        in_one_index(&self.memory.as_ref(), |memory| table::announce(memory, query, out))
    }

    /// Answers an announce with peers of both families: see [`table::announce_both`].
    pub fn announce_both(&self, query: &Query<'_>, out: &mut BothPeers) -> FoundBoth {
        in_one_index(&self.memory.as_ref(), |memory| table::announce_both(memory, query, out))
    }

    /// Fetches what answers to announces of these torrents need, so that they are waited for together: see [`table::expect`].
    pub fn expect(&self, wanted: [Option<&InfoHash>; table::TOGETHER as usize]) {
        let wanted = wanted.map(|info_hash| info_hash.map(table::layout::hash_words));
        table::expect(&self.memory.as_ref(), &mut table::Workspace::default(), &wanted);
    }

    /// Answers a scrape: see [`table::scrape`].
    pub fn scrape(&self, info_hash: &InfoHash) -> ScrapeCounts {
        in_one_index(&self.memory.as_ref(), |memory| table::scrape(memory, info_hash))
    }

    /// All torrents, one after the other: see [`Torrents`].
    pub fn torrents(&self) -> Torrents {
        Torrents::new(Arc::clone(&self.memory))
    }

    /// The table in numbers, as the writer last published them.
    pub fn totals(&self) -> Totals {
        self.memory.totals()
    }
}

/// Reads again when the index has moved meanwhile: a thread that was held up for long may have looked into one that was being emptied.
pub(crate) fn in_one_index<M: TableMemory, T>(memory: &M, mut read: impl FnMut(&M) -> T) -> T {
    loop {
        let (index, _) = memory.root();
        let result = read(memory);
        // Pairs with the writer's fence before it empties an old index.
        memory.acquire();
        if memory.root().0 == index {
            return result;
        }
    }
}
