//! Sleeping until something comes: an eventfd that other threads write to, and `poll`.
//!
//! Used by `writer_thread`, whose events come from threads of this process and from the kernel. A [`Bell`] costs its ringers a system
//! call only when somebody sleeps. Tests are below.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::time::Duration;

/// What wakes one sleeper from any thread.
#[derive(Debug)]
pub struct Bell {
    /// An eventfd.
    file: File,
    /// Set by the sleeper before it looks around for the last time; whoever takes it back has to ring.
    asleep: AtomicBool,
}

impl Bell {
    /// A bell that nobody has rung.
    ///
    /// # Errors
    ///
    /// Those of `eventfd`: too many open files.
    pub fn new() -> io::Result<Self> {
        // SAFETY: the call takes no pointers.
        let fd = unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor was just made and nobody else knows it.
        let file = File::from(unsafe { OwnedFd::from_raw_fd(fd) });
        Ok(Self { file, asleep: AtomicBool::new(false) })
    }

    /// Wakes the sleeper, if there is one: call it after what it has to see was stored.
    pub fn ring(&self) {
        // Pairs with the fence in `sleep`: either the flag is seen here, or what was stored before is seen there.
        fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::Relaxed) && self.asleep.swap(false, Ordering::Relaxed) {
            // It can't fail but by a counter of 2^64, which one write a sleep doesn't reach.
            let _full = (&self.file).write(&1u64.to_ne_bytes());
        }
    }

    /// Sleeps until the bell rings, `other` can be read, or `longest` has passed; not at all when `nothing` is false, which is asked
    /// when ringers know already that somebody sleeps. May also return without any of these.
    ///
    /// # Errors
    ///
    /// Those of `poll`: no memory in the kernel.
    pub fn sleep(
        &self,
        other: Option<BorrowedFd<'_>>,
        longest: Duration,
        nothing: impl FnOnce() -> bool,
    ) -> io::Result<()> {
        self.asleep.store(true, Ordering::Relaxed);
        // Pairs with the fence in `ring`.
        fence(Ordering::SeqCst);
        let result = if nothing() { self.poll(other, longest) } else { Ok(()) };
        if !self.asleep.swap(false, Ordering::Relaxed) {
            // Somebody has rung or is about to: what is left in the counter only makes the next sleep a short one.
            let _not_yet = (&self.file).read(&mut [0; 8]);
        }
        result
    }

    fn poll(&self, other: Option<BorrowedFd<'_>>, longest: Duration) -> io::Result<()> {
        let interest = |fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        // A negative descriptor is passed over.
        let mut fds =
            [interest(self.file.as_raw_fd()), interest(other.map_or(-1, |other| other.as_raw_fd()))];
        // Rounded up, or the end of a sleep would be waited for in a loop.
        let timeout = libc::c_int::try_from(longest.as_micros().div_ceil(1000)).unwrap_or(libc::c_int::MAX);
        // SAFETY: `fds` is an array of as many `pollfd` as is said, borrowed exclusively until the call returns.
        let count = unsafe { libc::poll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, timeout) };
        let error = io::Error::last_os_error();
        match count {
            0.. => Ok(()),
            _ if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            _ => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd as _;
    use std::sync::atomic::AtomicU64;
    use std::thread;

    const LONG: Duration = Duration::from_secs(600);

    #[test]
    fn every_ring_is_heard() {
        let bell = Bell::new().expect("a descriptor");
        let (sent, seen) = (AtomicU64::new(0), AtomicU64::new(0));
        thread::scope(|scope| {
            scope.spawn(|| {
                for number in 1..=20_000 {
                    sent.store(number, Ordering::Relaxed);
                    bell.ring();
                    if number % 16 == 0 {
                        // Wait for the sleeper, so that many of the rings find it asleep.
                        while seen.load(Ordering::Relaxed) < number {
                            thread::yield_now();
                        }
                    }
                }
            });
            let mut last = 0;
            while last < 20_000 {
                // A ring that isn't heard hangs here.
                bell.sleep(None, LONG, || sent.load(Ordering::Relaxed) == last).expect("poll works");
                last = sent.load(Ordering::Relaxed);
                seen.store(last, Ordering::Relaxed);
            }
        });
    }

    #[test]
    fn ringing_somebody_who_is_awake_leaves_nothing_behind() {
        let bell = Bell::new().expect("a descriptor");
        bell.ring();
        assert_eq!(
            (&bell.file).read(&mut [0; 8]).expect_err("it is empty").kind(),
            io::ErrorKind::WouldBlock
        );
    }

    #[test]
    fn sleep_ends_with_the_other_descriptor_with_its_time_and_with_news() {
        let bell = Bell::new().expect("a descriptor");
        let (reader, mut writer) = io::pipe().expect("two descriptors");
        writer.write_all(b"x").expect("somebody reads");
        bell.sleep(Some(reader.as_fd()), LONG, || true).expect("poll works");
        bell.sleep(None, Duration::from_micros(1), || true).expect("poll works");
        bell.sleep(None, LONG, || false).expect("poll works");
    }
}
