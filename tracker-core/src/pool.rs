//! Segments at hand: those that an old index has left, and new ones.

use tracker_common::table::layout::{RECORD_BYTES, SEGMENT_RECORDS};

use crate::memory::{Memory, NoMemory, Segments};

/// Gives out whole segments, for torrents, for lines or for buckets.
#[derive(Debug)]
pub(crate) struct Pool {
    source: Box<dyn Segments>,
    /// Segments that held buckets and are empty again.
    free: Vec<u32>,
    /// Number of the next new segment.
    next: u32,
    end: u32,
    /// The generation in which there was no memory: until it is over, nobody asks again.
    failed: Option<u64>,
    failure: Option<NoMemory>,
}

impl Pool {
    /// Up to `segments` segments from `source`.
    pub(crate) fn new(source: Box<dyn Segments>, segments: u32) -> Self {
        Self { source, free: Vec::new(), next: 0, end: segments, failed: None, failure: None }
    }

    /// An empty segment for records.
    pub(crate) fn take(&mut self, memory: &Memory, generation: u64) -> Option<u32> {
        self.free.pop().or_else(|| self.create(memory, None, generation))
    }

    /// An empty segment for buckets, shown in a slot of the bucket space. Always a new one: those at hand can't be shown there.
    pub(crate) fn take_for_buckets(&mut self, memory: &Memory, slot: u32, generation: u64) -> Option<u32> {
        self.create(memory, Some(slot), generation)
    }

    /// Whether a new segment needs no waiting: see [`Segments::is_at_hand`].
    pub(crate) fn is_at_hand(&self) -> bool {
        self.source.is_at_hand()
    }

    /// Before readers are sent to new buckets: see [`Segments::settle`].
    pub(crate) fn settle(&mut self) -> bool {
        let settled = self.source.settle();
        if !settled {
            self.failure = Some(NoMemory::new("a part of the index can't be shown to readers"));
        }
        settled
    }

    /// Takes back a segment that was emptied and that no reader can still know as buckets.
    pub(crate) fn give(&mut self, segment: u32) {
        self.free.push(segment);
    }

    /// Bytes of all segments ever created.
    pub(crate) fn bytes(&self) -> u64 {
        u64::from(self.next) * u64::from(SEGMENT_RECORDS) * RECORD_BYTES as u64
    }

    /// Why there was no memory, since the last call.
    pub(crate) fn take_failure(&mut self) -> Option<NoMemory> {
        self.failure.take()
    }

    fn create(&mut self, memory: &Memory, slot: Option<u32>, generation: u64) -> Option<u32> {
        if self.next >= self.end || self.failed == Some(generation) {
            return None;
        }
        let number = self.next;
        let created = self.source.create(number, slot).and_then(|segment| {
            // A number that was shown isn't used again, whatever became of it.
            self.next += 1;
            let shown = memory.show(number, segment, slot);
            if shown { Ok(number) } else { Err(NoMemory::new("a segment is too small")) }
        });
        match created {
            Ok(number) => Some(number),
            Err(failure) => {
                (self.failed, self.failure) = (Some(generation), Some(failure));
                None
            }
        }
    }
}
