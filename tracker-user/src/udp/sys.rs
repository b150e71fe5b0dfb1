//! The system calls that no safe wrapper offers: `recvmmsg`, `sendmmsg` with packet information, and the coarse clock.
//!
//! Used by `udp::worker` and, for the clock, by everything that needs connection-id epochs. [`Batch`] owns all buffers of a worker and
//! is the only place where the kernel is given pointers; they are made anew before each call, from the buffers as they are, so
//! no pointer outlives the call it was made for. Sleeping for more than one thing is in [`wait`]. Tests are below.

use std::io;
use std::mem::{MaybeUninit, size_of};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::AsRawFd;

pub mod wait;

/// Packets taken from and given to the kernel in one call.
pub const BATCH: usize = 64;

/// Longer than every request that is answered in full: a scrape of 100 torrents has 2,016 bytes.
const REQUEST_BYTES: usize = 2048;

/// Longer than every answer: 1,400 bytes (PROTOCOL U22), and what a handler needs to grow into.
pub const ANSWER_BYTES: usize = 1472;

/// Room for one control message of `in6_pktinfo` (20 bytes) or `in_pktinfo` (12 bytes): a header of 16 and padding.
const CONTROL_BYTES: usize = 64;

/// Control messages start with a `cmsghdr`, which wants the alignment of `usize`.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Control([u8; CONTROL_BYTES]);

/// The local address that a request was sent to, as the kernel wants it back in the answer.
#[derive(Clone, Copy)]
enum Local {
    /// The socket has it.
    Bound,
    V4(libc::in_pktinfo),
    V6(libc::in6_pktinfo),
}

/// Buffers for [`BATCH`] requests and their answers.
pub struct Batch {
    requests: Box<[[u8; REQUEST_BYTES]]>,
    answers: Box<[[u8; ANSWER_BYTES]]>,
    names: Box<[libc::sockaddr_storage]>,
    controls: Box<[Control]>,
    headers: Box<[libc::mmsghdr]>,
    vectors: Box<[libc::iovec]>,
    received: Box<[Received]>,
    /// Length of the answer to each request; 0: none.
    answer_lengths: Box<[usize]>,
}

/// What came with a request.
#[derive(Clone, Copy)]
struct Received {
    len: usize,
    source: Option<SocketAddr>,
    local: Local,
}

impl Default for Batch {
    fn default() -> Self {
        Self::new()
    }
}

impl Batch {
    /// Allocates everything a worker needs.
    pub fn new() -> Self {
        Self {
            requests: vec![[0; REQUEST_BYTES]; BATCH].into_boxed_slice(),
            answers: vec![[0; ANSWER_BYTES]; BATCH].into_boxed_slice(),
            names: vec![zeroed_name(); BATCH].into_boxed_slice(),
            controls: vec![Control([0; CONTROL_BYTES]); BATCH].into_boxed_slice(),
            headers: vec![empty_header(); BATCH].into_boxed_slice(),
            vectors: vec![libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; BATCH]
                .into_boxed_slice(),
            received: vec![Received { len: 0, source: None, local: Local::Bound }; BATCH].into_boxed_slice(),
            answer_lengths: vec![0; BATCH].into_boxed_slice(),
        }
    }

    /// Waits for a request and takes all that are there, up to [`BATCH`].
    ///
    /// # Errors
    ///
    /// Those of `recvmmsg`; `WouldBlock` when the socket's receive timeout passed.
    pub fn receive(&mut self, socket: &impl AsRawFd) -> io::Result<usize> {
        for i in 0..BATCH {
            self.vectors[i] =
                libc::iovec { iov_base: self.requests[i].as_mut_ptr().cast(), iov_len: REQUEST_BYTES };
            let header = &mut self.headers[i].msg_hdr;
            header.msg_name = (&raw mut self.names[i]).cast();
            header.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
            header.msg_iov = &raw mut self.vectors[i];
            header.msg_iovlen = 1;
            header.msg_control = self.controls[i].0.as_mut_ptr().cast();
            header.msg_controllen = CONTROL_BYTES;
            header.msg_flags = 0;
            self.answer_lengths[i] = 0;
        }
        // SAFETY: the first BATCH headers point to buffers of `self` (made above, from exclusive borrows), with their true
        // lengths; `self` is borrowed exclusively until the call returns, and the kernel keeps no pointer beyond it.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                BATCH as libc::c_uint,
                libc::MSG_WAITFORONE,
                std::ptr::null_mut(),
            )
        };
        let count = usize::try_from(count).map_err(|_negative| io::Error::last_os_error())?;
        for i in 0..count {
            self.received[i] = Received {
                // A longer packet was cut; the rest of it can't change the answer (U01, U07, U17).
                len: (self.headers[i].msg_len as usize).min(REQUEST_BYTES),
                source: source_of(&self.names[i]),
                local: local_of(&self.headers[i].msg_hdr),
            };
        }
        Ok(count)
    }

    /// The `i`th request, its source, and the buffer for its answer. No source: not an Internet address.
    pub fn request(&mut self, i: usize) -> Option<(&[u8], SocketAddr, &mut [u8; ANSWER_BYTES])> {
        let Received { len, source, .. } = self.received[i];
        Some((&self.requests[i][..len], source?, &mut self.answers[i]))
    }

    /// Sets the length of the `i`th answer; 0 is silence.
    pub fn answer(&mut self, i: usize, len: usize) {
        self.answer_lengths[i] = len.min(ANSWER_BYTES);
    }

    /// Sends the answers to the first `count` requests, each from the address that the request was sent to. Returns how many the
    /// kernel refused (its buffer was full, or the source has no route): UDP may lose them.
    ///
    /// # Errors
    ///
    /// Those of `sendmmsg` that concern the socket and not one packet.
    pub fn send(&mut self, socket: &impl AsRawFd, count: usize) -> io::Result<u64> {
        let mut queued = 0;
        for i in 0..count {
            let len = self.answer_lengths[i];
            if len == 0 {
                continue;
            }
            self.vectors[queued] =
                libc::iovec { iov_base: self.answers[i].as_mut_ptr().cast(), iov_len: len };
            // The name is still the source's, as the kernel wrote it.
            let namelen = match self.received[i].source {
                Some(SocketAddr::V4(_)) => size_of::<libc::sockaddr_in>(),
                Some(SocketAddr::V6(_)) => size_of::<libc::sockaddr_in6>(),
                None => continue,
            };
            let controllen = write_control(&mut self.controls[i], &self.received[i].local);
            let header = &mut self.headers[queued].msg_hdr;
            header.msg_name = (&raw mut self.names[i]).cast();
            header.msg_namelen = namelen as libc::socklen_t;
            header.msg_iov = &raw mut self.vectors[queued];
            header.msg_iovlen = 1;
            header.msg_control =
                if controllen == 0 { std::ptr::null_mut() } else { self.controls[i].0.as_mut_ptr().cast() };
            header.msg_controllen = controllen;
            header.msg_flags = 0;
            queued += 1;
        }
        let mut refused = 0;
        let mut first = 0;
        while first < queued {
            // SAFETY: the headers `first..queued` were made above and point to buffers of `self`, with their true lengths; `self` is
            // borrowed exclusively until the call returns, and the kernel keeps no pointer beyond it.
            let sent = unsafe {
                libc::sendmmsg(
                    socket.as_raw_fd(),
                    self.headers[first..].as_mut_ptr(),
                    (queued - first) as libc::c_uint,
                    0,
                )
            };
            match usize::try_from(sent) {
                Ok(sent) => first += sent.max(1),
                Err(_negative) => {
                    let error = io::Error::last_os_error();
                    match error.raw_os_error() {
                        Some(libc::EINTR) => {}
                        Some(libc::EBADF | libc::ENOTSOCK | libc::EFAULT | libc::EOPNOTSUPP) => {
                            return Err(error);
                        }
                        // The error is about the first of the remaining answers: go on behind it.
                        _ => {
                            refused += 1;
                            first += 1;
                        }
                    }
                }
            }
        }
        Ok(refused)
    }
}

fn zeroed_name() -> libc::sockaddr_storage {
    // SAFETY: `sockaddr_storage` is integers and arrays of them; all zero is a value (family AF_UNSPEC).
    unsafe { MaybeUninit::zeroed().assume_init() }
}

fn empty_header() -> libc::mmsghdr {
    // SAFETY: `mmsghdr` is integers and raw pointers; all zero is a value (no buffers).
    unsafe { MaybeUninit::zeroed().assume_init() }
}

fn source_of(name: &libc::sockaddr_storage) -> Option<SocketAddr> {
    match i32::from(name.ss_family) {
        libc::AF_INET => {
            // SAFETY: `sockaddr_storage` is large and aligned enough for every address type, any bytes are a `sockaddr_in`, and the
            // family says that the kernel wrote one.
            let name = unsafe { &*(&raw const *name).cast::<libc::sockaddr_in>() };
            let ip = Ipv4Addr::from(u32::from_be(name.sin_addr.s_addr));
            Some(SocketAddrV4::new(ip, u16::from_be(name.sin_port)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: as above, for `sockaddr_in6`.
            let name = unsafe { &*(&raw const *name).cast::<libc::sockaddr_in6>() };
            let ip = Ipv6Addr::from(name.sin6_addr.s6_addr);
            Some(SocketAddrV6::new(ip, u16::from_be(name.sin6_port), 0, name.sin6_scope_id).into())
        }
        _ => None,
    }
}

fn local_of(header: &libc::msghdr) -> Local {
    // SAFETY: `header` came back from `recvmmsg`: its control pointer and length describe initialised bytes of `Batch::controls`,
    // aligned for `cmsghdr`; the macros stay inside that length. Data is read unaligned and only when the message says that it is
    // long enough.
    unsafe {
        let mut message = libc::CMSG_FIRSTHDR(header);
        while !message.is_null() {
            let holds = |bytes: usize| (*message).cmsg_len >= libc::CMSG_LEN(bytes as libc::c_uint) as usize;
            match ((*message).cmsg_level, (*message).cmsg_type) {
                (libc::IPPROTO_IP, libc::IP_PKTINFO) if holds(size_of::<libc::in_pktinfo>()) => {
                    let mut info: libc::in_pktinfo =
                        libc::CMSG_DATA(message).cast::<libc::in_pktinfo>().read_unaligned();
                    // Routing chooses the interface; `ipi_spec_dst` is the address to answer from.
                    info.ipi_ifindex = 0;
                    return Local::V4(info);
                }
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) if holds(size_of::<libc::in6_pktinfo>()) => {
                    let mut info: libc::in6_pktinfo =
                        libc::CMSG_DATA(message).cast::<libc::in6_pktinfo>().read_unaligned();
                    let address = Ipv6Addr::from(info.ipi6_addr.s6_addr);
                    if address.is_multicast() {
                        return Local::Bound;
                    }
                    // A link-local address means something only together with its interface.
                    if !address.is_unicast_link_local() {
                        info.ipi6_ifindex = 0;
                    }
                    return Local::V6(info);
                }
                _ => message = libc::CMSG_NXTHDR(header, message),
            }
        }
    }
    Local::Bound
}

/// Writes the local address as a control message; returns its length.
fn write_control(control: &mut Control, local: &Local) -> usize {
    match *local {
        Local::Bound => 0,
        Local::V4(info) => write_message(control, libc::IPPROTO_IP, libc::IP_PKTINFO, info),
        Local::V6(info) => write_message(control, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, info),
    }
}

fn write_message<T: Copy>(control: &mut Control, level: libc::c_int, kind: libc::c_int, data: T) -> usize {
    const { assert!(size_of::<libc::cmsghdr>() + size_of::<T>() + 8 <= CONTROL_BYTES) };
    // SAFETY: the buffer is aligned for `cmsghdr` and long enough for the header and `T` (asserted above); `CMSG_DATA` of a header
    // at its start is inside it. The data is written unaligned.
    unsafe {
        let message = control.0.as_mut_ptr().cast::<libc::cmsghdr>();
        (*message).cmsg_level = level;
        (*message).cmsg_type = kind;
        (*message).cmsg_len = libc::CMSG_LEN(size_of::<T>() as libc::c_uint) as usize;
        libc::CMSG_DATA(message).cast::<T>().write_unaligned(data);
        libc::CMSG_SPACE(size_of::<T>() as libc::c_uint) as usize
    }
}

/// Address family of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// Asks the kernel to tell with each packet which local address it was sent to; [`Batch::send`] answers from that one.
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
    use std::net::UdpSocket;
    use std::time::Duration;

    fn wildcard(address: &str) -> UdpSocket {
        let socket = UdpSocket::bind(address).expect("a free port");
        let family = if address.starts_with('[') { Family::V6 } else { Family::V4 };
        ask_for_local_address(&socket, family).expect("both families have the option");
        socket.set_read_timeout(Some(Duration::from_secs(5))).expect("not zero");
        socket
    }

    fn echo(batch: &mut Batch, socket: &UdpSocket) -> usize {
        let count = batch.receive(socket).expect("requests are there");
        for i in 0..count {
            let (request, _, answer) = batch.request(i).expect("it has an Internet source");
            let len = request.len();
            answer[..len].copy_from_slice(request);
            batch.answer(i, len);
        }
        assert_eq!(batch.send(socket, count).expect("the socket works"), 0);
        count
    }

    #[test]
    fn wildcard_socket_answers_from_the_address_it_was_asked_on() {
        let server = wildcard("0.0.0.0:0");
        let port = server.local_addr().expect("it is bound").port();
        let mut batch = Batch::new();
        for asked in ["127.0.0.1", "127.7.8.9"] {
            // Another source than the address asked, so that routing alone would choose 127.0.0.1 or the source.
            let client = UdpSocket::bind("127.0.0.5:0").expect("a free port");
            client.set_read_timeout(Some(Duration::from_secs(5))).expect("not zero");
            client.send_to(b"ping", (asked, port)).expect("loopback takes it");
            echo(&mut batch, &server);
            let mut buffer = [0; 16];
            let (len, from) = client.recv_from(&mut buffer).expect("an answer");
            assert_eq!((&buffer[..len], from.to_string()), (&b"ping"[..], format!("{asked}:{port}")));
        }
    }

    #[test]
    fn wildcard_ipv6_socket_answers() {
        let Ok(client) = UdpSocket::bind("[::1]:0") else {
            eprintln!("skipped: no IPv6 on this machine");
            return;
        };
        let server = wildcard("[::]:0");
        let port = server.local_addr().expect("it is bound").port();
        client.set_read_timeout(Some(Duration::from_secs(5))).expect("not zero");
        client.send_to(b"ping", ("::1", port)).expect("loopback takes it");
        echo(&mut Batch::new(), &server);
        let mut buffer = [0; 16];
        let (len, from) = client.recv_from(&mut buffer).expect("an answer");
        assert_eq!((&buffer[..len], from.to_string()), (&b"ping"[..], format!("[::1]:{port}")));
    }

    #[test]
    fn one_call_takes_and_answers_many_and_silence_stays_silent() {
        let server = wildcard("127.0.0.1:0");
        let address = server.local_addr().expect("it is bound");
        let client = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        client.set_read_timeout(Some(Duration::from_secs(5))).expect("not zero");
        for number in 0..10u8 {
            client.send_to(&[number], address).expect("loopback takes it");
        }
        let mut batch = Batch::new();
        let mut seen = 0;
        while seen < 10 {
            let count = batch.receive(&server).expect("requests are there");
            for i in 0..count {
                let (request, source, answer) = batch.request(i).expect("it has an Internet source");
                assert_eq!(Some(source), client.local_addr().ok());
                let number = request[0];
                answer[0] = number;
                batch.answer(i, usize::from(number % 2));
            }
            batch.send(&server, count).expect("the socket works");
            seen += count;
        }
        for number in [1, 3, 5, 7, 9] {
            let mut buffer = [0; 16];
            let (len, _) = client.recv_from(&mut buffer).expect("an answer");
            assert_eq!(&buffer[..len], [number]);
        }
    }

    #[test]
    fn packet_longer_than_the_buffer_is_cut() {
        let server = wildcard("127.0.0.1:0");
        let client = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        client.send_to(&[7; 5000], server.local_addr().expect("it is bound")).expect("loopback takes it");
        let mut batch = Batch::new();
        assert_eq!(batch.receive(&server).expect("a request is there"), 1);
        assert_eq!(batch.request(0).expect("it has an Internet source").0, [7; REQUEST_BYTES]);
    }

    #[test]
    fn refused_answer_is_counted_and_the_others_are_sent() {
        let server = wildcard("127.0.0.1:0");
        let client = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        client.set_read_timeout(Some(Duration::from_secs(5))).expect("not zero");
        let address = server.local_addr().expect("it is bound");
        client.send_to(b"a", address).expect("loopback takes it");
        client.send_to(b"b", address).expect("loopback takes it");
        let mut batch = Batch::new();
        let mut count = batch.receive(&server).expect("a request is there");
        if count == 2 {
            batch.answer(0, 1);
            batch.answer(1, 1);
            // An IPv6 destination on an IPv4 socket is refused.
            batch.names[0].ss_family = libc::AF_INET6 as libc::sa_family_t;
            assert_eq!(batch.send(&server, count).expect("the socket works"), 1);
        } else {
            batch.answer(0, 1);
            assert_eq!(batch.send(&server, count).expect("the socket works"), 0);
            count = batch.receive(&server).expect("a request is there");
            batch.answer(0, 1);
            assert_eq!(batch.send(&server, count).expect("the socket works"), 0);
        }
        let mut buffer = [0; 16];
        assert_eq!(client.recv_from(&mut buffer).expect("an answer").0, 1);
    }

    #[test]
    fn coarse_clock_goes_forward() {
        let before = coarse_monotonic_ns();
        assert!(before > 0);
        assert!(coarse_monotonic_ns() >= before);
    }
}
