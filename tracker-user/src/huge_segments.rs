//! The swarm table's memory where no kernel reads it: large pages, four segments each.
//!
//! An announce follows five or six pointers through the table, each into a page of its own; on a virtual machine a page that the processor has to look
//! up costs more than the memory behind it. With pages of 2 MiB there is nothing to look up. Where the system gives none these are ordinary ones.
//! Used by `in_kernel::table`. Tests are below.

use std::io;
use std::ptr;
use std::slice;

use tracker_common::table::layout::SEGMENT_RECORDS;
use tracker_core::{NoMemory, Segment, Segments, Words};

/// Bytes of a large page on x86-64; also on arm64 with pages of 4 KiB.
const LARGE_PAGE: usize = 2 << 20;

const _: () = assert!(LARGE_PAGE.is_multiple_of(SEGMENT_RECORDS as usize * size_of::<Words>()));

/// Segments in large pages. They are the table's for as long as the process lives.
#[derive(Debug, Default)]
pub struct HugeSegments {
    /// What is left of the last page.
    spare: &'static [Words],
}

impl Segments for HugeSegments {
    fn root(&mut self) -> Result<Segment, NoMemory> {
        Segment::heap(1)
    }

    fn create(&mut self, _number: u32, _bucket_slot: Option<u32>) -> Result<Segment, NoMemory> {
        if self.spare.is_empty() {
            self.spare = large_page().map_err(|error| NoMemory::new(format!("mmap: {error}")))?;
        }
        let (segment, spare) = self.spare.split_at(SEGMENT_RECORDS as usize);
        self.spare = spare;
        Ok(Segment::Static(segment))
    }
}

/// Zeroed records that fill a large page.
fn large_page() -> io::Result<&'static [Words]> {
    // Twice as much address space, so that a whole page is in it; what is around it is never touched.
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: without an address and a file there is nothing that the call could do to existing memory.
    let mapped = unsafe { libc::mmap(ptr::null_mut(), 2 * LARGE_PAGE, protection, flags, -1, 0) };
    if mapped == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    let page = mapped.map_addr(|address| address.next_multiple_of(LARGE_PAGE));
    // A system without large pages has ordinary ones.
    // SAFETY: the page is in what was mapped, since that begins less than a page before it and is two pages long.
    let _ordinary = unsafe { libc::madvise(page, LARGE_PAGE, libc::MADV_HUGEPAGE) };
    // SAFETY: mapped, never unmapped, zeroed, which is a valid value of atomic integers, and aligned to more than they need; nothing else refers
    // to it.
    Ok(unsafe { slice::from_raw_parts(page.cast::<Words>(), LARGE_PAGE / size_of::<Words>()) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::sync::atomic::Ordering;

    #[test]
    fn segments_are_zeroed_apart_and_begin_at_cache_lines() {
        let mut segments = HugeSegments::default();
        let mut seen = HashSet::new();
        for number in 1..=9 {
            let Ok(Segment::Static(records)) = segments.create(number, None) else { panic!("no memory") };
            assert_eq!(records.len(), SEGMENT_RECORDS as usize);
            for record in [&records[0], &records[records.len() - 1]] {
                assert!(seen.insert(record.as_ptr().addr()) && record.as_ptr().addr() % 64 == 0);
                assert!(record.iter().all(|word| word.swap(u64::MAX, Ordering::Relaxed) == 0));
            }
        }
    }
}
