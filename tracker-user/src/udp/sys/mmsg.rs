//! Many packets a call by `recvmmsg` and `sendmmsg`: what every kernel and every sandbox allows.
//!
//! [`Mmsg`] owns all buffers of a worker and gives the kernel pointers to them; they are made anew before each call, from the buffers
//! as they are, so no pointer outlives the call it was made for. Tests are in `udp::backend`.

use std::io;
use std::mem::{MaybeUninit, size_of};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd as _, BorrowedFd};

use super::message::{CONTROL_BYTES, Control, Local, local_of, source_of, write_control, zeroed_name};
use super::{ANSWER_BYTES, BATCH, REQUEST_BYTES};
use crate::udp::backend::Backend;

/// A socket, and buffers for [`BATCH`] requests and their answers.
pub struct Mmsg<'a> {
    socket: BorrowedFd<'a>,
    /// Several requests came together the last time, and no more than were taken.
    busy: bool,
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

impl<'a> Mmsg<'a> {
    /// Allocates everything a worker needs.
    pub fn new(socket: BorrowedFd<'a>) -> Self {
        Self {
            socket,
            busy: false,
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

    fn receive_with(&mut self, flags: libc::c_int) -> io::Result<usize> {
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
                self.socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                BATCH as libc::c_uint,
                flags,
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
        self.busy = (2..BATCH).contains(&count);
        Ok(count)
    }
}

impl Backend for Mmsg<'_> {
    fn receive(&mut self) -> io::Result<usize> {
        if self.busy {
            // Others that wait for this CPU first, such as the kernel's thread that receives from the network: a sleeper would be woken by the
            // first packet, in the middle of that thread's work, and again by the next one.
            std::thread::yield_now();
            match self.receive_with(libc::MSG_DONTWAIT) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                received => return received,
            }
        }
        self.receive_with(libc::MSG_WAITFORONE)
    }

    fn request(&mut self, i: usize) -> Option<(&[u8], SocketAddr, &mut [u8; ANSWER_BYTES])> {
        let Received { len, source, .. } = self.received[i];
        Some((&self.requests[i][..len], source?, &mut self.answers[i]))
    }

    fn answer(&mut self, i: usize, len: usize) {
        self.answer_lengths[i] = len.min(ANSWER_BYTES);
    }

    fn send(&mut self, count: usize) -> io::Result<u64> {
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
                    self.socket.as_raw_fd(),
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

fn empty_header() -> libc::mmsghdr {
    // SAFETY: `mmsghdr` is integers and raw pointers; all zero is a value (no buffers).
    unsafe { MaybeUninit::zeroed().assume_init() }
}
