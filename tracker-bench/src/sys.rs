//! System calls that std has no safe form of: CPU affinity, limits, clocks, shared maps. The only unsafe code of the crate.

#![expect(unsafe_code, reason = "system calls; every other module forbids it by lint")]

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::time::Duration;

/// Keeps the calling thread on one CPU.
pub(crate) fn pin(cpu: usize) -> io::Result<()> {
    // SAFETY: an all-zero set is an empty one.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: `cpu` is below CPU_SETSIZE on any machine this is run on; the macro checks its bounds by itself.
    unsafe { libc::CPU_SET(cpu, &mut set) };
    pin_to(0, &set)
}

/// Keeps another thread, by its number, on one CPU.
pub(crate) fn pin_thread(thread: u32, cpu: usize) -> io::Result<()> {
    // SAFETY: as in `pin`.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: as in `pin`.
    unsafe { libc::CPU_SET(cpu, &mut set) };
    pin_to(thread.cast_signed(), &set)
}

/// Lets another thread run before all ordinary ones (SCHED_FIFO).
pub(crate) fn prefer_thread(thread: u32) -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: 1 };
    // SAFETY: the kernel reads the parameters.
    match unsafe { libc::sched_setscheduler(thread.cast_signed(), libc::SCHED_FIFO, &raw const parameters) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Lets the calling thread run a third of the time that an ordinary one gets beside it (nice 5).
pub(crate) fn step_back() {
    // SAFETY: takes numbers; 0 is the calling thread. Nothing depends on its success.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, 5) };
}

fn pin_to(thread: i32, set: &libc::cpu_set_t) -> io::Result<()> {
    // SAFETY: the kernel reads the set, whose size is given.
    match unsafe { libc::sched_setaffinity(thread, size_of::<libc::cpu_set_t>(), set) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Raises the limit of open files of this process and its children to `wanted`, or as far as it goes; what it is now.
pub(crate) fn raise_file_limit(wanted: u64) -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: writes one rlimit.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // Beyond the hard limit only the superuser goes; everybody else goes as far as that.
    for hard in [limit.rlim_max.max(wanted), limit.rlim_max] {
        let raised = libc::rlimit { rlim_cur: limit.rlim_cur.max(wanted.min(hard)), rlim_max: hard };
        // SAFETY: the kernel reads one rlimit.
        if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const raised) } == 0 {
            return Ok(raised.rlim_cur);
        }
    }
    Ok(limit.rlim_cur)
}

/// Index of an interface of the calling thread's network namespace.
pub(crate) fn interface_index(name: &std::ffi::CStr) -> io::Result<u32> {
    // SAFETY: a NUL-terminated string that lives until the call has returned.
    match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        0 => Err(io::Error::last_os_error()),
        index => Ok(index),
    }
}

/// CPU time of the calling thread.
pub(crate) fn thread_time() -> Duration {
    clock(libc::CLOCK_THREAD_CPUTIME_ID)
}

/// `CLOCK_MONOTONIC_COARSE`, which the tracker's epochs and events count in.
pub(crate) fn monotonic_coarse() -> Duration {
    clock(libc::CLOCK_MONOTONIC_COARSE)
}

fn clock(id: libc::clockid_t) -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes one timespec. The two clocks always exist, so it can't fail.
    unsafe { libc::clock_gettime(id, &raw mut time) };
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// A BPF array that user space has in its own address space, unmapped on drop.
pub(crate) struct Shared<T: bytemuck::Pod> {
    values: *mut T,
    len: usize,
}

// SAFETY: the mapping belongs to this value alone within the process, and it isn't tied to a thread.
unsafe impl<T: bytemuck::Pod + Send> Send for Shared<T> {}
// SAFETY: `&Shared` gives `&[T]` only.
unsafe impl<T: bytemuck::Pod + Sync> Sync for Shared<T> {}

impl<T: bytemuck::Pod> Shared<T> {
    /// Maps `len` values of a map made with BPF_F_MMAPABLE, whose value size is a multiple of 8 and `T`'s own.
    ///
    /// The program that reads them must not run while they are changed: nothing here is atomic.
    pub(crate) fn map(map: BorrowedFd<'_>, len: usize) -> io::Result<Self> {
        // SAFETY: a fresh mapping at an address of the kernel's choice. The kernel refuses a length beyond the map's.
        let address = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len * size_of::<T>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                map.as_raw_fd(),
                0,
            )
        };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { values: address.cast(), len })
    }

    pub(crate) fn values(&self) -> &[T] {
        // SAFETY: mapped for as long as `self`, page-aligned, and any bytes are a `Pod`.
        unsafe { std::slice::from_raw_parts(self.values, self.len) }
    }

    pub(crate) fn values_mut(&mut self) -> &mut [T] {
        // SAFETY: as above, and `&mut self` is the only way to it in this process.
        unsafe { std::slice::from_raw_parts_mut(self.values, self.len) }
    }
}

impl<T: bytemuck::Pod> Drop for Shared<T> {
    fn drop(&mut self) {
        // SAFETY: mapped by `map` with this length, and no borrow outlives `self`.
        unsafe { libc::munmap(self.values.cast(), self.len * size_of::<T>()) };
    }
}
