//! Waiting on many sockets: epoll, edge-triggered, so that a socket is registered once and for everything.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::time::Duration;

/// Events in one call at most.
const EVENTS: usize = 256;

/// Sockets under numbers of the caller's; one that is closed is gone by itself.
pub(crate) struct Poller {
    epoll: OwnedFd,
    events: Box<[libc::epoll_event; EVENTS]>,
    count: usize,
}

/// What has happened to a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) number: usize,
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    /// The other side has closed, or the connection broke.
    pub(crate) ended: bool,
}

impl Poller {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: takes a number.
        let epoll = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if epoll < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: a fresh descriptor that nobody else has.
        let epoll = unsafe { OwnedFd::from_raw_fd(epoll) };
        let none = libc::epoll_event { events: 0, u64: 0 };
        Ok(Self { epoll, events: Box::new([none; EVENTS]), count: 0 })
    }

    /// Reports what happens to the socket as `number`, until it is closed.
    pub(crate) fn add(&self, socket: BorrowedFd<'_>, number: usize) -> io::Result<()> {
        let events = libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP | libc::EPOLLET;
        let mut event = libc::epoll_event { events: events.cast_unsigned(), u64: number as u64 };
        let (epoll, socket) = (self.epoll.as_raw_fd(), socket.as_raw_fd());
        // SAFETY: both descriptors are open as long as they are borrowed; the kernel reads one event.
        match unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, socket, &raw mut event) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Waits until something has happened, or the time is over; then [`event`](Self::event) has it. How many.
    pub(crate) fn wait(&mut self, time: Duration) -> io::Result<usize> {
        let ms = libc::c_int::try_from(time.as_millis()).unwrap_or(libc::c_int::MAX);
        let (epoll, room) = (self.epoll.as_raw_fd(), EVENTS as libc::c_int);
        // SAFETY: there is room for as many events as are said, borrowed mutably.
        let count = unsafe { libc::epoll_wait(epoll, self.events.as_mut_ptr(), room, ms) };
        self.count = usize::try_from(count).unwrap_or(0);
        match io::Error::last_os_error() {
            error if count < 0 && error.kind() != io::ErrorKind::Interrupted => Err(error),
            _ => Ok(self.count),
        }
    }

    /// Event number `index` of the last call of [`wait`](Self::wait).
    pub(crate) fn event(&self, index: usize) -> Option<Event> {
        let event = self.events[..self.count].get(index)?;
        let has = |flags: libc::c_int| event.events & flags.cast_unsigned() != 0;
        Some(Event {
            number: usize::try_from(event.u64).ok()?,
            readable: has(libc::EPOLLIN),
            writable: has(libc::EPOLLOUT),
            ended: has(libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use std::os::fd::AsFd as _;
    use std::os::unix::net::UnixStream;

    #[test]
    fn what_happens_to_a_socket_is_reported_under_its_number() {
        let (mut near, far) = UnixStream::pair().unwrap();
        let mut poller = Poller::new().unwrap();
        poller.add(far.as_fd(), 7).unwrap();
        assert_eq!(poller.wait(Duration::from_secs(10)).unwrap(), 1);
        let event = Event { number: 7, readable: false, writable: true, ended: false };
        assert_eq!((poller.event(0), poller.event(1)), (Some(event), None));
        near.write_all(b"x").unwrap();
        assert_eq!(poller.wait(Duration::from_secs(10)).unwrap(), 1);
        assert!(poller.event(0).unwrap().readable);
        drop(near);
        assert_eq!(poller.wait(Duration::from_secs(10)).unwrap(), 1);
        assert!(poller.event(0).unwrap().ended);
        drop(far);
        assert_eq!(poller.wait(Duration::ZERO).unwrap(), 0);
    }
}
