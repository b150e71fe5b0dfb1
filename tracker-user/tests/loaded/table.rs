//! The swarm table's memory as this process sees it.
//!
//! Used here and by `fuzz`. A second way to the same words: [`Witnessed`] notes where each segment is when the writer asks for it, so that the read path can run in
//! user space without any of the writer's code.

use std::collections::HashMap;
use std::sync::atomic::{Ordering, fence};
use std::sync::{Arc, Mutex};

use tracker_common::siphash::SipKey;
use tracker_common::table::layout::{Index, SEGMENT_RECORDS, SEGMENT_SHIFT, root};
use tracker_common::table::{Record, TableMemory};
use tracker_core::{NoMemory, Segment, Segments, Words};

type Records = &'static [Words];

/// Where everything is: the root, the record space, the bucket space.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    root: Records,
    records: HashMap<u32, Records>,
    buckets: HashMap<u32, Records>,
}

/// Segments from `S`, noted down.
#[derive(Debug)]
pub(crate) struct Witnessed<S> {
    segments: S,
    view: Arc<Mutex<View>>,
}

impl<S: Segments> Witnessed<S> {
    pub(crate) fn new(segments: S) -> Self {
        Self { segments, view: Arc::default() }
    }

    /// What is noted down, now and later.
    pub(crate) fn view(&self) -> Arc<Mutex<View>> {
        Arc::clone(&self.view)
    }
}

fn records(segment: &Segment) -> Records {
    match segment {
        Segment::Static(records) => records,
        Segment::Heap(_) => panic!("the kernel's segments are mapped"),
    }
}

impl<S: Segments> Segments for Witnessed<S> {
    fn root(&mut self) -> Result<Segment, NoMemory> {
        let segment = self.segments.root()?;
        self.view.lock().unwrap().root = records(&segment);
        Ok(segment)
    }

    fn create(&mut self, number: u32, bucket_slot: Option<u32>) -> Result<Segment, NoMemory> {
        let segment = self.segments.create(number, bucket_slot)?;
        let mut view = self.view.lock().unwrap();
        view.records.insert(number, records(&segment));
        if let Some(slot) = bucket_slot {
            view.buckets.insert(slot, records(&segment));
        }
        Ok(segment)
    }

    fn settle(&mut self) -> bool {
        self.segments.settle()
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Mapped(&'static Words);

impl Record for Mapped {
    fn word(self, index: usize) -> u64 {
        self.0[index].load(Ordering::Relaxed)
    }
}

fn find(space: &HashMap<u32, Records>, number: u32) -> Option<Mapped> {
    let segment = space.get(&(number >> SEGMENT_SHIFT))?;
    segment.get((number & (SEGMENT_RECORDS - 1)) as usize).map(Mapped)
}

impl View {
    fn root_word(&self, index: usize) -> u64 {
        Mapped(&self.root[0]).word(index)
    }
}

impl TableMemory for View {
    type Record = Mapped;

    fn root(&self) -> (Index, SipKey) {
        let key = SipKey { k0: self.root_word(root::KEY), k1: self.root_word(root::KEY + 1) };
        (Index::from_word(self.root_word(root::INDEX)), key)
    }

    fn bucket(&self, number: u32) -> Option<Mapped> {
        find(&self.buckets, number)
    }

    fn record(&self, number: u32) -> Option<Mapped> {
        find(&self.records, number)
    }

    fn generation(&self) -> u64 {
        self.root_word(root::GENERATION)
    }

    fn acquire(&self) {
        fence(Ordering::Acquire);
    }
}
