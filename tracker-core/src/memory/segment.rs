//! Segments: the pieces that the table's memory grows by, and where they come from.

use std::fmt::Debug;
use std::sync::atomic::AtomicU64;

use bytemuck::Zeroable;
use tracker_common::table::layout::{SEGMENT_RECORDS, WORDS};

/// A record's words, as the writer sees them.
pub type Words = [AtomicU64; WORDS];

/// Zeroed records of 64 bytes, each in a cache line of its own, which stay where they are for as long as the table lives.
#[derive(Debug)]
pub enum Segment {
    /// Ordinary memory.
    Heap(HeapRecords),
    /// Memory that is shared with the kernel.
    Static(&'static [Words]),
}

impl Segment {
    /// Ordinary memory for so many records.
    ///
    /// # Errors
    ///
    /// [`NoMemory`] when the allocator has none.
    pub fn heap(records: u32) -> Result<Self, NoMemory> {
        let records = bytemuck::allocation::try_zeroed_slice_box(records as usize);
        let records = records.map_err(|()| NoMemory::new("the allocator has none"))?;
        Ok(Self::Heap(HeapRecords(records)))
    }

    /// The record with this index in the segment.
    #[inline(always)]
    pub(crate) fn record(&self, index: u32) -> Option<&Words> {
        match self {
            Self::Heap(records) => records.0.get(index as usize).map(|record| &record.0),
            Self::Static(records) => records.get(index as usize),
        }
    }
}

/// Records in ordinary memory.
#[derive(Debug)]
pub struct HeapRecords(Box<[CacheLine]>);

#[derive(Debug, Zeroable)]
#[repr(C, align(64))]
struct CacheLine(Words);

/// There is no memory for another segment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no memory for a part of the swarm table: {reason}")]
pub struct NoMemory {
    reason: String,
}

impl NoMemory {
    /// With the reason, in words for the operator.
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }
}

/// Where segments come from: ordinary memory, or maps of the kernel.
pub trait Segments: Send + Debug {
    /// The root record, zeroed: a segment of one record.
    ///
    /// # Errors
    ///
    /// [`NoMemory`].
    fn root(&mut self) -> Result<Segment, NoMemory>;

    /// A new segment of [`SEGMENT_RECORDS`] zeroed records, which readers find as segment `number` of the record space from now on and,
    /// with a `bucket_slot`, in that slot of the bucket space too, at the latest when [`Segments::settle`] returns.
    ///
    /// No number is asked for again once it was given.
    ///
    /// # Errors
    ///
    /// [`NoMemory`]: the table goes on with what it has, and asks again later.
    fn create(&mut self, number: u32, bucket_slot: Option<u32>) -> Result<Segment, NoMemory>;

    /// Whether [`Segments::create`] needn't wait: asked by who can do without for a moment, so that who can't finds one.
    fn is_at_hand(&self) -> bool {
        true
    }

    /// Returns when readers find all of the bucket space that was created. False when a part of it will never be found: then the index
    /// that it was for isn't used.
    fn settle(&mut self) -> bool {
        true
    }
}

/// Segments in ordinary memory, for a table that no kernel reads.
#[derive(Clone, Copy, Debug, Default)]
pub struct HeapSegments;

impl Segments for HeapSegments {
    fn root(&mut self) -> Result<Segment, NoMemory> {
        Segment::heap(1)
    }

    fn create(&mut self, _number: u32, _bucket_slot: Option<u32>) -> Result<Segment, NoMemory> {
        Segment::heap(SEGMENT_RECORDS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_begin_at_cache_lines() {
        for count in [1, 2, 100, SEGMENT_RECORDS] {
            let segment = Segment::heap(count).unwrap();
            for index in [0, count / 2, count - 1] {
                let address = std::ptr::from_ref(segment.record(index).unwrap()).addr();
                assert_eq!(address % 64, 0, "record {index} of {count}");
            }
            assert!(segment.record(count).is_none(), "{count} records");
        }
    }
}
