//! Many datagrams in one call, and waiting on several sockets. Sockets are connected, so no message carries an address.

use std::io;
use std::mem::zeroed;
use std::net::UdpSocket;
use std::os::fd::AsRawFd as _;
use std::ptr::from_mut;
use std::time::Duration;

/// Datagrams in one call at most.
pub(crate) const BATCH: usize = 64;

/// Room for the largest answer: 1,400 bytes, and then some for a tracker that sends more.
pub(crate) const DATAGRAM: usize = 2048;

/// Buffers for one call of [`receive`].
pub(crate) struct Received {
    buffers: Box<[[u8; DATAGRAM]; BATCH]>,
    lengths: [usize; BATCH],
    count: usize,
}

impl Received {
    pub(crate) fn new() -> Self {
        Self { buffers: Box::new([[0; DATAGRAM]; BATCH]), lengths: [0; BATCH], count: 0 }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Takes datagrams that came otherwise, as many as there is room for.
    pub(crate) fn refill(&mut self, from: &mut std::collections::VecDeque<Vec<u8>>) {
        self.count = 0;
        while self.count < BATCH
            && let Some(datagram) = from.pop_front()
        {
            let len = datagram.len().min(DATAGRAM);
            self.buffers[self.count][..len].copy_from_slice(&datagram[..len]);
            self.lengths[self.count] = len;
            self.count += 1;
        }
    }

    pub(crate) fn datagrams(&self) -> impl Iterator<Item = &[u8]> {
        self.buffers.iter().zip(self.lengths).take(self.count).map(|(buffer, length)| &buffer[..length])
    }
}

/// Sends the datagrams, at most [`BATCH`] of them, without blocking; how many went out.
pub(crate) fn send<'a>(socket: &UdpSocket, datagrams: impl Iterator<Item = &'a [u8]>) -> io::Result<usize> {
    // SAFETY: iovec and mmsghdr are plain C structs of integers and pointers, for which all zeros is a value.
    let (mut vectors, mut headers): ([libc::iovec; BATCH], [libc::mmsghdr; BATCH]) = unsafe { zeroed() };
    let mut count = 0;
    for ((datagram, vector), header) in datagrams.zip(&mut vectors).zip(&mut headers) {
        // The kernel only reads through the pointer; the struct is shared with receiving and has no const variant.
        vector.iov_base = datagram.as_ptr().cast_mut().cast();
        vector.iov_len = datagram.len();
        header.msg_hdr.msg_iov = from_mut(vector);
        header.msg_hdr.msg_iovlen = 1;
        count += 1;
    }
    // SAFETY: the first `count` headers point to vectors of this frame, and those to datagrams borrowed for 'a; the
    // descriptor is open as long as the socket is borrowed.
    let sent = unsafe { libc::sendmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), count, libc::MSG_DONTWAIT) };
    match sent {
        0.. => Ok(sent.unsigned_abs() as usize),
        _ => none_if_blocked(io::Error::last_os_error()),
    }
}

/// Takes what has arrived, without blocking; how many datagrams.
pub(crate) fn receive(socket: &UdpSocket, into: &mut Received) -> io::Result<usize> {
    into.count = 0;
    // SAFETY: as in `send`.
    let (mut vectors, mut headers): ([libc::iovec; BATCH], [libc::mmsghdr; BATCH]) = unsafe { zeroed() };
    for ((buffer, vector), header) in into.buffers.iter_mut().zip(&mut vectors).zip(&mut headers) {
        vector.iov_base = buffer.as_mut_ptr().cast();
        vector.iov_len = DATAGRAM;
        header.msg_hdr.msg_iov = from_mut(vector);
        header.msg_hdr.msg_iovlen = 1;
    }
    // SAFETY: BATCH headers point to BATCH vectors of this frame, and those to buffers of DATAGRAM bytes that are
    // borrowed mutably; a null timeout is allowed.
    let received = unsafe {
        libc::recvmmsg(
            socket.as_raw_fd(),
            headers.as_mut_ptr(),
            BATCH as libc::c_uint,
            libc::MSG_DONTWAIT,
            std::ptr::null_mut(),
        )
    };
    if received < 0 {
        return none_if_blocked(io::Error::last_os_error());
    }
    into.count = received.unsigned_abs() as usize;
    for (length, header) in into.lengths.iter_mut().zip(&headers).take(into.count) {
        *length = (header.msg_len as usize).min(DATAGRAM);
    }
    Ok(into.count)
}

/// Waits until one of the sockets has something to read, or the time is over.
pub(crate) fn wait<'a>(sockets: impl Iterator<Item = &'a UdpSocket>, time: Duration) -> io::Result<()> {
    let mut polled: Vec<libc::pollfd> =
        sockets.map(|s| libc::pollfd { fd: s.as_raw_fd(), events: libc::POLLIN, revents: 0 }).collect();
    let milliseconds = libc::c_int::try_from(time.as_millis()).unwrap_or(libc::c_int::MAX);
    // SAFETY: pointer and length are those of one vector; the descriptors are open as long as they are borrowed.
    let ready = unsafe { libc::poll(polled.as_mut_ptr(), polled.len() as libc::nfds_t, milliseconds) };
    match io::Error::last_os_error() {
        error if ready < 0 && error.kind() != io::ErrorKind::Interrupted => Err(error),
        _ => Ok(()),
    }
}

/// An empty queue is no error, and neither is an ICMP answer to an earlier datagram: while nobody listens
/// everything is lost, which is counted as that.
fn none_if_blocked(error: io::Error) -> io::Result<usize> {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted | io::ErrorKind::ConnectionRefused => Ok(0),
        _ => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (UdpSocket, UdpSocket) {
        let (a, b) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        a.connect(b.local_addr().unwrap()).unwrap();
        b.connect(a.local_addr().unwrap()).unwrap();
        (a, b)
    }

    #[test]
    fn datagrams_arrive_whole_and_in_order() {
        let (a, b) = pair();
        let sent: [&[u8]; 3] = [b"one", b"", b"three"];
        assert_eq!(send(&a, sent.into_iter()).unwrap(), 3);
        let mut received = Received::new();
        wait([&b].into_iter(), Duration::from_secs(10)).unwrap();
        assert_eq!(receive(&b, &mut received).unwrap(), 3);
        assert!(received.datagrams().eq(sent));
    }

    #[test]
    fn one_call_sends_a_batch_at_most() {
        let (a, _b) = pair();
        assert_eq!(send(&a, std::iter::repeat_n(&b"x"[..], BATCH + 1)).unwrap(), BATCH);
    }

    #[test]
    fn nothing_received_is_no_error() {
        let (a, _b) = pair();
        assert_eq!(receive(&a, &mut Received::new()).unwrap(), 0);
    }
}
