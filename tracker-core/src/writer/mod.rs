//! The single writer of the swarm table: applies announces, lets peers expire, drops torrents.
//!
//! [`TableWriter`] can't be cloned and its methods take `&mut self`, so there is one at a time; [`TableReader`] can be cloned freely and has
//! no method that stores. Time is an argument: milliseconds of a clock that never goes backwards.
//!
//! Each change is made in an order that leaves readers with something true at every step: first the lines, then the torrent's record under
//! its version, then, for a new torrent, its slot in the index. Whatever a change takes out of reach is freed in the generation
//! of this call, and the generation is only advanced at the beginning of a call: so nothing can be handed out again while a reader that
//! still knows it counts itself to the same or the next generation.
//!
//! No call takes long: what concerns many peers or torrents is done in slices.
//!
//! - here: what a caller sees
//! - `apply`: what becomes of an announce
//! - `batch`: many announces, whose memory is fetched together
//! - `peers`: a torrent's peers found, added, changed, removed
//! - `store`: a torrent's record stored under its version
//! - `cleaning`, `dropping`: peers that are gone, torrents that aren't allowed any more
//!
//! Tests: `tests/model.rs` (against a plain map), `tests/writer.rs` (each rule by name), `tests/concurrent.rs`.

use std::sync::Arc;

use tracker_common::event::AnnounceEvent;
use tracker_common::siphash::SipKey;
use tracker_common::table::layout::{Cell, Torrent, hash_words};

use crate::addresses::Addresses;
use crate::grow::{Buckets, Table};
use crate::limits::Limits;
use crate::lists::Lines;
use crate::memory::{Memory, NoMemory, OutOfMemory, Segments};
use crate::numbers::{GENERATION_SHIFT, Numbers};
use crate::place;
use crate::pool::Pool;
use crate::reader::TableReader;
use crate::scan::Indexes;
use crate::stats::Totals;

mod apply;
mod batch;
mod cleaning;
mod dropping;
mod peers;
mod store;

pub use apply::Applied;
pub use cleaning::Expired;
pub use dropping::{DropRound, Dropped};

/// Milliseconds of a monotonic clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Millis(pub u64);

impl Millis {
    const fn seconds(self) -> u64 {
        self.0 / 1000
    }

    const fn generation(self) -> u64 {
        self.0 >> GENERATION_SHIFT
    }
}

/// Changes the swarm table.
#[derive(Debug)]
pub struct TableWriter {
    memory: Arc<Memory>,
    limits: Limits,
    pool: Pool,
    buckets: Buckets,
    torrents: Numbers,
    lines: Lines,
    indexes: Indexes,
    /// Only with a limit for them.
    addresses: Option<Addresses>,
    totals: Totals,
    now: Millis,
    generation: u64,
    /// Unit of deadlines.
    unit_s: u64,
    cursor: cleaning::Cursor,
    /// Work on a growing index that the announces of this call may still do.
    growth: u32,
}

impl TableWriter {
    /// An empty table. `hash_key` is secret and random: whoever knows it can fill one bucket.
    ///
    /// # Errors
    ///
    /// [`OutOfMemory`] when `segments` has no memory for the first ones.
    pub fn new(
        limits: Limits,
        hash_key: SipKey,
        mut segments: Box<dyn Segments>,
    ) -> Result<Self, OutOfMemory> {
        let root = segments.root()?;
        let memory = Memory::new(&limits, hash_key, root)?;
        let mut pool = Pool::new(segments, limits.segments());
        let buckets = Buckets::new(&memory, &mut pool, limits.first_buckets, limits.bucket_slots());
        let Some(buckets) = buckets else {
            let failure = pool.take_failure();
            return Err(failure
                .unwrap_or_else(|| NoMemory::new("the limits leave no room for an index"))
                .into());
        };
        let mut writer = Self {
            memory: Arc::new(memory),
            pool,
            buckets,
            torrents: Numbers::default(),
            lines: Lines::default(),
            indexes: Indexes::default(),
            addresses: (limits.max_torrents_per_address > 0).then(|| Addresses::new(hash_key)),
            totals: Totals::default(),
            now: Millis(0),
            generation: 0,
            unit_s: Cell::unit_s(limits.peer_lifetime_s).into(),
            cursor: cleaning::Cursor::default(),
            growth: 0,
            limits,
        };
        writer.publish();
        Ok(writer)
    }

    /// A reader of this table.
    pub fn reader(&self) -> TableReader {
        TableReader { memory: Arc::clone(&self.memory) }
    }

    /// The table in numbers.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// Why there was no memory for a segment, if there was none since the last call: for the log.
    pub fn take_failure(&mut self) -> Option<NoMemory> {
        self.pool.take_failure()
    }

    /// Applies one announce.
    pub fn apply(&mut self, event: &AnnounceEvent, now: Millis) -> Applied {
        self.advance(now);
        self.growth = apply::GROWTH_PER_GROUP;
        let info_hash = hash_words(event.info_hash());
        let applied = self.apply_at(event, place::hash(&self.memory, info_hash), None);
        self.publish();
        applied
    }

    /// Goes on with what is done in idle time: a growing index, an old one. True when there is more to do at this time.
    ///
    /// Takes a fraction of a millisecond. Without it the index grows all the same, with each new torrent and each cleaning.
    pub fn tend(&mut self, now: Millis) -> bool {
        self.advance(now);
        self.tend_index(IDLE_WORK);
        self.publish();
        self.buckets.is_busy(self.totals.torrents, self.now.0)
    }

    /// Begins the generation of `now`, if it is a new one.
    fn advance(&mut self, now: Millis) {
        // A clock that steps back stands still here: nobody is removed for it, and numbers rest longer.
        self.now = self.now.max(now);
        if self.now.generation() > self.generation {
            self.generation = self.now.generation();
            self.memory.begin_generation(self.generation);
        }
    }

    /// The present, in units of deadlines.
    fn now_units(&self) -> u64 {
        self.now.seconds() / self.unit_s
    }

    fn tend_index(&mut self, work: u32) -> u32 {
        let torrents = self.totals.torrents;
        let (buckets, mut table) = self.index_and_table();
        buckets.tend(&mut table, torrents, work)
    }

    fn index_and_table(&mut self) -> (&mut Buckets, Table<'_>) {
        let table = Table {
            memory: &self.memory,
            pool: &mut self.pool,
            torrents: &self.torrents,
            generation: self.generation,
            now: self.now.0,
        };
        (&mut self.buckets, table)
    }

    /// Frees a torrent whose peers are gone.
    fn free(&mut self, number: u32, torrent: &Torrent) {
        let hash = place::hash(&self.memory, hash_words(&torrent.info_hash));
        self.buckets.remove(&self.memory, &self.torrents, hash, number);
        self.store_free(number, torrent);
        self.torrents.free(number, self.generation);
        self.totals.torrents -= 1;
    }

    fn publish(&mut self) {
        self.totals.lines = u64::from(self.lines.numbers.in_use());
        self.totals.memory_bytes = self.pool.bytes() + self.lines.cell_bytes();
        self.memory.publish(&self.totals);
    }
}

/// Work of one call of [`TableWriter::tend`], in torrents entered into a growing index.
const IDLE_WORK: u32 = 2048;
