//! The swarm table's memory as plain arrays, and the XDP program's journey over it: its code, compiled for this machine.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::sync::{Arc, Mutex};

use tracker_common::connection_id::{Address, Keys};
use tracker_common::journey::Host;
use tracker_common::scratch::next_random;
use tracker_common::siphash::SipKey;
use tracker_common::sketch::{Kind, SourceLimits};
use tracker_common::table::layout::{Index, SEGMENT_RECORDS, SEGMENT_SHIFT, WORDS, root};
use tracker_common::table::{Record, TableMemory, Workspace};
use tracker_common::terms::Terms;
use tracker_core::{NoMemory, Segment, Segments, Words};

type Records = &'static [Words];

/// Where everything is.
#[derive(Debug, Default)]
pub(crate) struct Places {
    root: Option<Records>,
    records: Vec<Option<Records>>,
    buckets: Vec<Option<Records>>,
}

/// Segments that are never given back, and where they are.
#[derive(Debug, Default)]
pub(crate) struct Leaked {
    pub(crate) places: Arc<Mutex<Places>>,
}

fn leak() -> Records {
    Vec::leak((0..SEGMENT_RECORDS).map(|_| [const { AtomicU64::new(0) }; WORDS]).collect())
}

fn put(space: &mut Vec<Option<Records>>, number: u32, records: Records) {
    let number = number as usize;
    if space.len() <= number {
        space.resize(number + 1, None);
    }
    space[number] = Some(records);
}

impl Leaked {
    fn places(&self) -> std::sync::MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Segments for Leaked {
    fn root(&mut self) -> Result<Segment, NoMemory> {
        let records = leak();
        self.places().root = Some(records);
        Ok(Segment::Static(records))
    }

    fn create(&mut self, number: u32, bucket_slot: Option<u32>) -> Result<Segment, NoMemory> {
        let records = leak();
        let mut places = self.places();
        put(&mut places.records, number, records);
        if let Some(slot) = bucket_slot {
            put(&mut places.buckets, slot, records);
        }
        Ok(Segment::Static(records))
    }

    fn settle(&mut self) -> bool {
        true
    }
}

/// The table as it is now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View(&'static Places);

impl View {
    /// Of a table that doesn't grow any more.
    pub(crate) fn of(places: &Arc<Mutex<Places>>) -> Self {
        let places = std::mem::take(&mut *places.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
        Self(Box::leak(Box::new(places)))
    }

    fn root_word(self, index: usize) -> u64 {
        self.0.root.map_or(0, |root| root[0][index].load(Ordering::Relaxed))
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Mapped(&'static Words);

impl Record for Mapped {
    fn word(self, index: usize) -> u64 {
        self.0[index].load(Ordering::Relaxed)
    }
}

fn find(space: &[Option<Records>], number: u32) -> Option<Mapped> {
    let segment = space.get((number >> SEGMENT_SHIFT) as usize)?.as_ref()?;
    segment.get((number & (SEGMENT_RECORDS - 1)) as usize).map(Mapped)
}

impl TableMemory for View {
    type Record = Mapped;

    fn root(&self) -> (Index, SipKey) {
        let key = SipKey { k0: self.root_word(root::KEY), k1: self.root_word(root::KEY + 1) };
        (Index::from_word(self.root_word(root::INDEX)), key)
    }

    fn bucket(&self, number: u32) -> Option<Mapped> {
        find(&self.0.buckets, number)
    }

    fn record(&self, number: u32) -> Option<Mapped> {
        find(&self.0.records, number)
    }

    fn generation(&self) -> u64 {
        self.root_word(root::GENERATION)
    }

    fn acquire(&self) {
        fence(Ordering::Acquire);
    }
}

/// What the program looks up, without lists and limits.
pub(crate) struct Program {
    pub(crate) table: View,
    pub(crate) served: (Address, u16),
    pub(crate) keys: Keys,
    pub(crate) now_ns: u64,
    pub(crate) random: u64,
    pub(crate) work: Workspace,
    pub(crate) events: Rc<RefCell<u64>>,
}

impl Host for Program {
    type Table = View;

    fn serves(&self, address: &Address, port: u16) -> bool {
        self.served == (*address, port)
    }

    fn blocks(&self, _: &Address) -> bool {
        false
    }

    fn allows(&self, _: &[u8; 20]) -> bool {
        true
    }

    fn keys(&self) -> Option<&Keys> {
        Some(&self.keys)
    }

    fn now_ns(&self) -> u64 {
        self.now_ns
    }

    fn may_send_error(&mut self, _: u64, _: u64) -> bool {
        false
    }

    fn limits(&self) -> SourceLimits {
        SourceLimits::default()
    }

    fn is_within(&mut self, _: Kind, _: u64, _: u64, _: u32) -> bool {
        true
    }

    fn terms(&self) -> Option<Terms> {
        Some(Terms { interval_s: 1800, max_response_peers: 50, max_scrape_torrents: 70 })
    }

    fn table(&self) -> View {
        self.table
    }

    fn random(&mut self) -> u64 {
        next_random(&mut self.random)
    }

    fn emit(&mut self, _: &[u64; 6]) -> bool {
        *self.events.borrow_mut() += 1;
        true
    }

    fn workspace(&mut self) -> Option<&mut Workspace> {
        Some(&mut self.work)
    }
}
