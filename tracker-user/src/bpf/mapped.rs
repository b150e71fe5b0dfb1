//! The memory of maps in this process, and the system calls on maps of maps that aya doesn't offer.
//!
//! All that the rest of `bpf` sees are slices of atomic words: what the kernel's program, this process and tools with access to the pins
//! share is only ever loaded and stored whole. Tests are in `segments` and `events`.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};
use std::sync::atomic::AtomicU64;

use aya::maps::MapData;

/// What may be done with a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Loads; a store would be a segmentation fault. (Atomic loads of read-only memory have to be relaxed: see `std::sync::atomic`.)
    Read,
    /// Loads and stores.
    Write,
}

/// Maps `words` words of a map's memory, from the byte `offset` on, until the end of the process.
///
/// They are never unmapped, so the slice is valid for ever; the memory itself lives as long as the mapping does, also when the map is
/// in no table any more and its descriptors are closed.
///
/// # Errors
///
/// Those of `mmap`: the map can't be mapped, or is smaller; no memory; more mappings than vm.max_map_count.
pub(super) fn mapped(
    map: &MapData,
    offset: usize,
    words: usize,
    access: Access,
) -> io::Result<&'static [AtomicU64]> {
    let offset = libc::off_t::try_from(offset).map_err(io::Error::other)?;
    let protection = match access {
        Access::Read => libc::PROT_READ,
        Access::Write => libc::PROT_READ | libc::PROT_WRITE,
    };
    // SAFETY: the kernel chooses the place, so nothing that exists is touched.
    let place = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            words * size_of::<AtomicU64>(),
            protection,
            libc::MAP_SHARED,
            map.fd().as_fd().as_raw_fd(),
            offset,
        )
    };
    if place == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `place` is so many bytes, page-aligned and mapped until the process ends, as nothing here unmaps. The descriptor is a BPF
    // map's: unlike a file it can't be cut short, and the kernel refuses to map more than there is. Every bit pattern is an `AtomicU64`, and
    // whoever else has the memory (the kernel's program, which stores to none of it; the kernel's ring, which hands over
    // by a header word; a tool) is another machine to the compiler: within this process there are only atomic accesses.
    Ok(unsafe { std::slice::from_raw_parts(place.cast::<AtomicU64>(), words) })
}

/// linux/bpf.h: `union bpf_attr`, the part of `BPF_MAP_*_ELEM`.
#[repr(C)]
struct Element {
    map_fd: u32,
    padding: u32,
    key: u64,
    value: u64,
    flags: u64,
}

/// linux/bpf.h.
const BPF_MAP_LOOKUP_ELEM: libc::c_long = 1;
const BPF_MAP_UPDATE_ELEM: libc::c_long = 2;

/// Puts a map into a place of a map of maps.
///
/// It is there at once; then the call waits until every program that runs has ended, some 10 ms of sleep.
///
/// # Errors
///
/// Those of `bpf`.
pub(super) fn place_map(outer: &MapData, key: u32, map: BorrowedFd<'_>) -> io::Result<()> {
    let mut map = map.as_raw_fd().cast_unsigned();
    element(outer, BPF_MAP_UPDATE_ELEM, key, &mut map)
}

/// Whether a map of maps has a map in this place.
///
/// # Errors
///
/// Those of `bpf`, but for the one that says no.
pub(super) fn has_map(outer: &MapData, key: u32) -> io::Result<bool> {
    let mut id = 0;
    match element(outer, BPF_MAP_LOOKUP_ELEM, key, &mut id) {
        Ok(()) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

fn element(outer: &MapData, command: libc::c_long, key: u32, value: &mut u32) -> io::Result<()> {
    let mut element = Element {
        map_fd: outer.fd().as_fd().as_raw_fd().cast_unsigned(),
        padding: 0,
        key: (&raw const key).expose_provenance() as u64,
        value: (&raw mut *value).expose_provenance() as u64,
        flags: 0,
    };
    // SAFETY: `element` is what both commands take, with its size; its pointers are to a key and a value of the sizes of a map of maps (4
    // bytes each), which live until the call returns. The kernel writes to the value at most.
    let result = unsafe {
        libc::syscall(libc::SYS_bpf, command, &raw mut element, size_of::<Element>() as libc::c_uint)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Bytes of a page of this machine.
pub(super) fn page_size() -> usize {
    // SAFETY: the call takes no pointers.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::os::fd::{FromRawFd as _, OwnedFd};

    use tracker_testkit::skip::{Requirement, must_skip};

    /// linux/bpf.h: `union bpf_attr`, the part of `BPF_MAP_CREATE`.
    #[repr(C)]
    struct Create {
        map_type: u32,
        key_size: u32,
        value_size: u32,
        max_entries: u32,
        map_flags: u32,
        inner_map_fd: u32,
    }

    /// A map as the object of the program would bring it.
    pub(in crate::bpf) fn create(
        map_type: u32,
        [key_size, value_size, max_entries, map_flags]: [u32; 4],
        inner: Option<&MapData>,
    ) -> MapData {
        let inner_map_fd = inner.map_or(0, |inner| inner.fd().as_fd().as_raw_fd().cast_unsigned());
        let mut create = Create { map_type, key_size, value_size, max_entries, map_flags, inner_map_fd };
        // SAFETY: `create` is what the command BPF_MAP_CREATE (0) takes, with its size; it has no pointers.
        let fd =
            unsafe { libc::syscall(libc::SYS_bpf, 0, &raw mut create, size_of::<Create>() as libc::c_uint) };
        assert!(fd >= 0, "{}", io::Error::last_os_error());
        // SAFETY: the descriptor was just made and nobody else knows it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd as libc::c_int) };
        MapData::from_fd(fd).expect("it is a map")
    }

    #[test]
    fn no_more_is_mapped_than_there_is_and_not_what_may_not_be() {
        if must_skip(&[Requirement::Root, Requirement::Bpf]) {
            return;
        }
        let words = page_size() / 8;
        let array = create(2, [4, 64, words as u32 / 8, 1 << 10], None);
        mapped(&array, 0, words, Access::Write).expect("it is as long");
        assert!(mapped(&array, 0, words + 1, Access::Write).is_err());
        assert!(mapped(&array, page_size(), words, Access::Write).is_err());
        let plain = create(2, [4, 64, words as u32 / 8, 0], None);
        assert!(mapped(&plain, 0, words, Access::Write).is_err());
    }
}
