//! The system calls of HTTP that no safe wrapper offers.
//!
//! Used by `bind` and `descriptors`. Tests are below.

use std::io;
use std::mem::size_of;
use std::os::fd::AsRawFd;

/// Has the kernel hand over connections when their first bytes are there (`TCP_DEFER_ACCEPT`), or after some `seconds` without any. Clients
/// of HTTP and of TLS speak first, so none waits for us; and who says nothing takes no descriptor meanwhile.
///
/// # Errors
///
/// Those of `setsockopt`.
pub fn defer_accept(socket: &impl AsRawFd, seconds: u32) -> io::Result<()> {
    let seconds = libc::c_int::try_from(seconds).unwrap_or(libc::c_int::MAX);
    // SAFETY: the option's value is an int that lives until the call returns, and its length is given.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_DEFER_ACCEPT,
            (&raw const seconds).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// How many file descriptors this process may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DescriptorLimit {
    /// The limit in force.
    pub soft: u64,
    /// How far the process may raise it.
    pub hard: u64,
}

impl DescriptorLimit {
    /// Reads it.
    ///
    /// # Errors
    ///
    /// Those of `getrlimit`.
    pub fn read() -> io::Result<Self> {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: `limit` is a valid place for an `rlimit`.
        let result = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
        if result == 0 {
            Ok(Self { soft: limit.rlim_cur, hard: limit.rlim_max })
        } else {
            Err(io::Error::last_os_error())
        }
    }

    /// Sets it.
    ///
    /// # Errors
    ///
    /// `EPERM` when the hard limit would rise without `CAP_SYS_RESOURCE`, or above fs.nr_open.
    pub fn set(self) -> io::Result<()> {
        let limit = libc::rlimit { rlim_cur: self.soft, rlim_max: self.hard };
        // SAFETY: `limit` is a valid `rlimit` until the call returns.
        let result = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn connection_that_says_nothing_is_not_handed_over() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        defer_accept(&listener, 60).expect("Linux has it");
        listener.set_nonblocking(true).expect("it is a socket");
        let mut client = TcpStream::connect(listener.local_addr().expect("it is bound")).expect("it listens");
        let nobody = listener.accept().expect_err("nothing was said");
        assert_eq!(nobody.kind(), io::ErrorKind::WouldBlock);
        client.write_all(b"G").expect("it is connected");
        listener.set_nonblocking(false).expect("it is a socket");
        listener.accept().expect("something was said");
    }

    #[test]
    fn limit_can_be_set_to_what_it_is() {
        let limit = DescriptorLimit::read().expect("there is a limit");
        assert!(limit.soft <= limit.hard, "{limit:?}");
        limit.set().expect("nothing is raised");
    }
}
