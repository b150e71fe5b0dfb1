//! The system calls that no safe wrapper offers.
//!
//! - [`mmsg`] and [`ring`]: the two ways to take and give many packets at once, behind `udp::backend`.
//! - [`message`]: addresses that come and go with packets.
//! - [`wait`]: sleeping for more than one thing.
//!
//! Here are options of sockets and the coarse clock, which everything uses that needs connection-id epochs. Tests are below.

use std::io;
use std::mem::size_of;
use std::os::fd::AsRawFd;

mod message;
pub mod mmsg;
pub mod ring;
pub mod wait;

/// Packets taken from and given to the kernel in one call.
pub const BATCH: usize = 64;

/// Longer than every request that is answered in full: a scrape of 100 torrents has 2,016 bytes.
pub const REQUEST_BYTES: usize = 2048;

/// Longer than every answer: 1,400 bytes (PROTOCOL U22), and what a handler needs to grow into.
pub const ANSWER_BYTES: usize = 1472;

/// Address family of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// Asks the kernel to tell with each packet which local address it was sent to; answers are sent from that one.
///
/// # Errors
///
/// Those of `setsockopt`.
pub fn ask_for_local_address(socket: &impl AsRawFd, family: Family) -> io::Result<()> {
    let (level, option) = match family {
        Family::V4 => (libc::IPPROTO_IP, libc::IP_PKTINFO),
        Family::V6 => (libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO),
    };
    set_option(socket, level, option, 1)
}

/// Sets the receive buffer of a socket past net.core.rmem_max, which needs `CAP_NET_ADMIN`.
///
/// # Errors
///
/// Those of `setsockopt`.
pub fn force_receive_buffer(socket: &impl AsRawFd, bytes: i32) -> io::Result<()> {
    set_option(socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, bytes)
}

fn set_option(
    socket: &impl AsRawFd,
    level: libc::c_int,
    option: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    // SAFETY: the option's value is a live `c_int`, and its size is passed; the options set here take one.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw const value).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Nanoseconds of `CLOCK_MONOTONIC_COARSE`: the clock that the XDP program reads too (`bpf_ktime_get_coarse_ns`).
pub fn coarse_monotonic_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid place for a `timespec`. The clock exists since Linux 2.6.32, so the call can't fail.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coarse_clock_goes_forward() {
        let before = coarse_monotonic_ns();
        assert!(before > 0);
        assert!(coarse_monotonic_ns() >= before);
    }
}
