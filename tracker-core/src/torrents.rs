//! A walk over all torrents, for a full scrape (H14).
//!
//! It goes through the records and not through the index: a torrent keeps its record for as long as it is there, while an index is replaced as a
//! whole, and moves entries to places that a walk may have passed already.
//!
//! Tests: `tests/torrents.rs`.

use std::hint::spin_loop;
use std::sync::Arc;
use std::thread::yield_now;

use tracker_common::table::layout::{SEGMENT_SHIFT, Torrent, torrent_version};
use tracker_common::table::{Record, ScrapeCounts, TableMemory};
use tracker_common::wire::InfoHash;

use crate::memory::{Memory, Shared};

/// All torrents with their counts, in no order; the table goes on changing meanwhile, and neither waits for the other.
///
/// - A torrent that is there from the walk's begin to its end is met. One that comes or goes meanwhile may be met or not.
/// - A torrent that goes and comes back may be met again: who needs each once looks for duplicates.
/// - Each torrent's counts are as they stood together at one moment, torrents' among each other are not.
#[derive(Debug)]
pub struct Torrents {
    memory: Arc<Memory>,
    /// Number of the record that is looked at next.
    next: u32,
}

impl Torrents {
    pub(crate) fn new(memory: Arc<Memory>) -> Self {
        // Number 0 is nobody's.
        Self { memory, next: 1 }
    }
}

impl Torrents {
    /// The next torrent with everything that its record says.
    pub fn next_record(&mut self) -> Option<Torrent> {
        let memory = self.memory.as_ref();
        loop {
            let segment = self.next >> SEGMENT_SHIFT;
            if !memory.is_for_torrents(segment)? {
                self.next = (segment + 1) << SEGMENT_SHIFT;
                continue;
            }
            let number = self.next;
            self.next += 1;
            let torrent = (&memory).record(number).and_then(|record| torrent(&memory, record));
            if torrent.is_some() {
                return torrent;
            }
        }
    }
}

impl Iterator for Torrents {
    type Item = (InfoHash, ScrapeCounts);

    fn next(&mut self) -> Option<Self::Item> {
        let Torrent { info_hash, seeders, leechers, completed, partial, .. } = self.next_record()?;
        Some((info_hash, ScrapeCounts { seeders, completed, leechers, partial }))
    }
}

/// Tries that the writer is met in the middle of a change, some 10 ns each, before it is taken to be held up.
const TRIES: u32 = 100;

/// The torrent in a record; `None` when the record isn't in use.
fn torrent(memory: &&Memory, record: Shared<'_>) -> Option<Torrent> {
    let mut tries = 0;
    loop {
        let version = record.word(2);
        if Torrent::is_free(version) {
            return None;
        }
        memory.acquire();
        let words = std::array::from_fn(|index| record.word(index));
        memory.acquire();
        // Word 2 was loaded three times: the same version before, with and after the others.
        if words[2] == version && record.word(2) == version && torrent_version(version).is_multiple_of(2) {
            return Some(Torrent::from_words(&words));
        }
        // A hash that is half of one torrent's and half of another's must not be met, nor a torrent be left out: so it tries on.
        tries += 1;
        if tries % TRIES == 0 { yield_now() } else { spin_loop() }
    }
}
