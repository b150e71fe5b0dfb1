//! The memory of maps in this process, and the system calls on maps that aya doesn't offer: maps of maps, many keys at once.
//!
//! All that the rest of `bpf` sees are slices of atomic words: what the kernel's program, this process and tools with access to the pins
//! share is only ever loaded and stored whole. Tests are below, in `segments` and in `events`.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
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

/// Makes a map: of a type, with the sizes of a key and of a value, so many entries and flags; a map of maps with one of those that it will hold.
///
/// # Errors
///
/// Those of `bpf`.
pub(super) fn create(
    map_type: u32,
    [key_size, value_size, max_entries, map_flags]: [u32; 4],
    inner: Option<BorrowedFd<'_>>,
) -> io::Result<OwnedFd> {
    let inner_map_fd = inner.map_or(0, |inner| inner.as_raw_fd().cast_unsigned());
    let mut create = Create { map_type, key_size, value_size, max_entries, map_flags, inner_map_fd };
    // SAFETY: `create` is what the command BPF_MAP_CREATE (0) takes, with its size; it has no pointers.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, 0, &raw mut create, size_of::<Create>() as libc::c_uint) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was just made and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as libc::c_int) })
}

/// linux/bpf.h: `union bpf_attr`, the part of `BPF_MAP_*_BATCH`.
#[repr(C)]
struct Batch {
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    map_fd: u32,
    elem_flags: u64,
    flags: u64,
}

/// linux/bpf.h.
const BPF_MAP_UPDATE_BATCH: libc::c_long = 26;

/// Keys that one call takes: the kernel is asked once for so many, and a signal doesn't wait for more.
pub(super) const BATCH: usize = 1 << 14;

/// Puts [`BATCH`] keys at most into a hash map whose values are one byte, each with the value 1. (Linux 5.6; half of the time of single calls.)
///
/// # Errors
///
/// Those of `bpf`; some of the keys may be there then.
pub(super) fn insert_batch<const LEN: usize>(map: BorrowedFd<'_>, keys: &[[u8; LEN]]) -> io::Result<()> {
    let values = [1u8; BATCH];
    let Some(values) = values.get(..keys.len()) else {
        return Err(io::Error::other("more keys than one call takes"));
    };
    let mut batch = Batch {
        in_batch: 0,
        out_batch: 0,
        keys: keys.as_ptr().expose_provenance() as u64,
        values: values.as_ptr().expose_provenance() as u64,
        count: keys.len() as u32,
        map_fd: map.as_raw_fd().cast_unsigned(),
        elem_flags: 0,
        flags: 0,
    };
    // SAFETY: `batch` is what the command takes, with its size. It reads `count` keys and values of the sizes that the map has, which the caller
    // made with keys of LEN bytes and values of one; both live until the call returns, and the kernel writes to `count` alone.
    let result = unsafe {
        libc::syscall(libc::SYS_bpf, BPF_MAP_UPDATE_BATCH, &raw mut batch, size_of::<Batch>() as libc::c_uint)
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

    use tracker_testkit::skip::{Requirement, must_skip};

    /// A map as the object of the program would bring it.
    pub(in crate::bpf) fn create(map_type: u32, sizes: [u32; 4], inner: Option<&MapData>) -> MapData {
        let map = super::create(map_type, sizes, inner.map(|inner| inner.fd().as_fd()));
        MapData::from_fd(map.expect("it can be made")).expect("it is a map")
    }

    #[test]
    fn batch_is_in_the_map_or_is_refused() {
        if must_skip(&[Requirement::Root, Requirement::Bpf]) {
            return;
        }
        let map = create(1, [20, 1, 2 * BATCH as u32, 1], None);
        let keys: Vec<[u8; 20]> = (0..BATCH as u32)
            .map(|number| std::array::from_fn(|at| number.to_le_bytes().get(at).copied().unwrap_or(9)))
            .collect();
        insert_batch(map.fd().as_fd(), &keys).expect("there is room");
        assert!(insert_batch(map.fd().as_fd(), &vec![[0; 20]; BATCH + 1]).is_err());
        let map = aya::maps::HashMap::<_, [u8; 20], u8>::try_from(aya::maps::Map::HashMap(map))
            .expect("it is a hash map");
        assert_eq!(map.keys().count(), BATCH);
        assert!(keys.iter().all(|key| map.get(key, 0).is_ok_and(|value| value == 1)));
        let small = create(1, [20, 1, 5, 1], None);
        assert!(insert_batch(small.fd().as_fd(), &keys).is_err(), "there is no room");
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
