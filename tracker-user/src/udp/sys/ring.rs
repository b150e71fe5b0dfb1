//! io_uring: one request that goes on receiving, into buffers that the kernel picks, and answers that are sent by the call that waits.
//!
//! - A multishot `recvmsg` fills buffers of a ring that is shared with the kernel, and reports each packet by a completion; it ends when
//!   the buffers run out, and is then started again.
//! - Answers are `sendmsg` requests of the next [`receive`](Backend::receive), which submits them and waits in one system call. They never
//!   wait in the kernel (`MSG_DONTWAIT`), so they are done when the call returns, their buffers are free, and only those that failed say so.
//! - A kernel before Linux 6.1, a sandbox such as Docker's default seccomp profile, or `kernel.io_uring_disabled` refuses [`Ring::new`].
//!
//! The kernel keeps pointers to the buffers of requests for as long as the receiving request lives; [`Ring`] ends it before it frees them.
//! Tests are in `udp::backend`.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::io;
use std::mem::{MaybeUninit, size_of};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use io_uring::types::{BufRingEntry, CancelBuilder, Fixed, RecvMsgOut, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode, squeue};

use super::message::{CONTROL_BYTES, Control, Local, local_of, source_of, write_control, zeroed_name};
use super::{ANSWER_BYTES, BATCH, REQUEST_BYTES};
use crate::udp::backend::Backend;

/// Buffers for packets that came and weren't looked at yet, a power of two.
const BUFFERS: u16 = 256;

/// Room for a source's address: that of IPv6, rounded up so that what follows is aligned for a `cmsghdr`.
const NAME_BYTES: usize = 32;

/// A buffer: the kernel's header, the source, control messages, the packet.
const BUFFER_BYTES: usize = RECVMSG_OUT_BYTES + NAME_BYTES + CONTROL_BYTES + REQUEST_BYTES;

/// `struct io_uring_recvmsg_out`: four lengths of 32 bits.
const RECVMSG_OUT_BYTES: usize = 16;

/// The group of the buffers; there is one in each ring.
const GROUP: u16 = 0;

/// The socket's place among the ring's files.
const SOCKET: Fixed = Fixed(0);

/// Which request a completion is of.
const RECEIVED: u64 = 1;
const REFUSED: u64 = 2;

/// How long [`Backend::receive`] waits for a request.
const PATIENCE: Timespec = Timespec::new().nsec(200_000_000);

/// How long [`Ring`] waits for the kernel to let go of its buffers.
const FAREWELL: Timespec = Timespec::new().sec(1);

/// A ring for one socket; stays in the thread that made it.
pub struct Ring<'a> {
    /// Dropped before the memory that it points to.
    ring: IoUring,
    buffers: Buffers,
    /// What the receiving request asks for.
    template: Box<libc::msghdr>,
    /// Whether the receiving request lives.
    receives: bool,
    /// What was taken when the ring was made hasn't been given out yet.
    fresh: bool,
    taken: Box<[Taken]>,
    count: usize,
    answers: Box<[[u8; ANSWER_BYTES]]>,
    answer_lengths: Box<[usize]>,
    names: Box<[libc::sockaddr_storage]>,
    controls: Box<[Control]>,
    headers: Box<[libc::msghdr]>,
    vectors: Box<[libc::iovec]>,
    /// Answers that the kernel didn't take since the last [`Backend::send`].
    refused: u64,
    /// The ring knows it by its place; it must live as long.
    _socket: BorrowedFd<'a>,
}

/// A packet that came.
#[derive(Clone, Copy)]
struct Taken {
    buffer: u16,
    len: usize,
    source: Option<SocketAddr>,
    local: Local,
}

impl<'a> Ring<'a> {
    /// Makes the ring and starts to receive.
    ///
    /// # Errors
    ///
    /// The kernel has no io_uring, not enough of it, or doesn't allow it; no memory.
    pub fn new(socket: BorrowedFd<'a>) -> io::Result<Self> {
        let ring = IoUring::builder()
            // One thread submits, and completions are made when it waits: nothing interrupts it, nothing is locked. Linux 6.1.
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_cqsize(4 * u32::from(BUFFERS))
            .build(2 * BATCH as u32)?;
        let buffers = Buffers::new();
        ring.submitter().register_files(&[socket.as_raw_fd()])?;
        buffers.register(&ring)?;
        let mut template = Box::new(empty_header());
        template.msg_namelen = NAME_BYTES as libc::socklen_t;
        template.msg_controllen = CONTROL_BYTES;
        let nothing = Taken { buffer: 0, len: 0, source: None, local: Local::Bound };
        let mut ring = Self {
            ring,
            buffers,
            template,
            receives: false,
            fresh: true,
            taken: vec![nothing; BATCH].into_boxed_slice(),
            count: 0,
            answers: vec![[0; ANSWER_BYTES]; BATCH].into_boxed_slice(),
            answer_lengths: vec![0; BATCH].into_boxed_slice(),
            names: vec![zeroed_name(); BATCH].into_boxed_slice(),
            controls: vec![Control([0; CONTROL_BYTES]); BATCH].into_boxed_slice(),
            headers: vec![empty_header(); BATCH].into_boxed_slice(),
            vectors: vec![libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; BATCH]
                .into_boxed_slice(),
            refused: 0,
            _socket: socket,
        };
        // A kernel that can't says so at once.
        ring.start_receiving()?;
        ring.ring.submit()?;
        ring.take()?;
        Ok(ring)
    }

    fn start_receiving(&mut self) -> io::Result<()> {
        let receive = opcode::RecvMsgMulti::new(SOCKET, &raw const *self.template, GROUP);
        self.push(&receive.build().user_data(RECEIVED))?;
        self.receives = true;
        Ok(())
    }

    fn push(&mut self, request: &squeue::Entry) -> io::Result<()> {
        // SAFETY: what the entry points to is in boxes of `self`, which live until the request has ended: an answer with the call that
        // submits it, the receiving request at the latest in `drop`.
        let pushed = unsafe { self.ring.submission().push(request) };
        // There is room for a whole batch and more.
        pushed.map_err(|_full| io::Error::other("the submission queue of io_uring is full"))
    }

    /// Reads completions, up to [`BATCH`] packets.
    fn take(&mut self) -> io::Result<()> {
        let mut failure = None;
        for completion in self.ring.completion() {
            let result = completion.result();
            if completion.user_data() == REFUSED {
                match -result {
                    libc::EBADF | libc::ENOTSOCK | libc::EFAULT | libc::EOPNOTSUPP => failure = Some(-result),
                    _ => self.refused += 1,
                }
                continue;
            }
            self.receives = cqueue::more(completion.flags());
            match (cqueue::buffer_select(completion.flags()), usize::try_from(result)) {
                (Some(buffer), Ok(len)) => {
                    let taken = &mut self.taken[self.count];
                    *taken = Taken { buffer, len: 0, source: None, local: Local::Bound };
                    self.buffers.read(len, &self.template, taken);
                    self.answer_lengths[self.count] = 0;
                    self.count += 1;
                }
                (Some(buffer), Err(_negative)) => self.buffers.give_back(buffer),
                // The buffers have run out, or the request was ended.
                (None, _) if [libc::ENOBUFS, libc::ECANCELED].contains(&-result) => {}
                (None, _) => failure = Some(-result),
            }
            if self.count == BATCH {
                break;
            }
        }
        failure.map_or(Ok(()), |error| Err(io::Error::from_raw_os_error(error)))
    }

    /// Submits what is queued, and waits for a completion.
    fn enter(&self, longest: &Timespec) -> io::Result<()> {
        match self.ring.submitter().submit_with_args(1, &SubmitArgs::new().timespec(longest)) {
            // Nothing came; or completions have to be read before there is room for more.
            Err(error) if [Some(libc::ETIME), Some(libc::EBUSY)].contains(&error.raw_os_error()) => Ok(()),
            result => result.map(drop),
        }
    }
}

impl Backend for Ring<'_> {
    fn receive(&mut self) -> io::Result<usize> {
        if std::mem::take(&mut self.fresh) && self.count > 0 {
            return Ok(self.count);
        }
        for taken in &self.taken[..self.count] {
            self.buffers.give_back(taken.buffer);
        }
        self.count = 0;
        self.buffers.publish();
        if !self.receives {
            self.start_receiving()?;
        }
        self.enter(&PATIENCE)?;
        self.take()?;
        Ok(self.count)
    }

    fn request(&mut self, i: usize) -> Option<(&[u8], SocketAddr, &mut [u8; ANSWER_BYTES])> {
        let Taken { buffer, len, source, .. } = self.taken[i];
        Some((self.buffers.packet(buffer, len), source?, &mut self.answers[i]))
    }

    fn answer(&mut self, i: usize, len: usize) {
        self.answer_lengths[i] = len.min(ANSWER_BYTES);
    }

    fn send(&mut self, count: usize) -> io::Result<u64> {
        for i in 0..count.min(self.count) {
            let len = self.answer_lengths[i];
            let Taken { source: Some(source), local, .. } = self.taken[i] else { continue };
            if len == 0 {
                continue;
            }
            let namelen = write_name(&mut self.names[i], source);
            let send = match write_control(&mut self.controls[i], &local) {
                // Without control messages there is less to copy.
                0 => opcode::Send::new(SOCKET, self.answers[i].as_ptr(), len as u32)
                    .flags(libc::MSG_DONTWAIT)
                    .dest_addr((&raw const self.names[i]).cast())
                    .dest_addr_len(namelen)
                    .build(),
                controllen => {
                    self.vectors[i] =
                        libc::iovec { iov_base: self.answers[i].as_mut_ptr().cast(), iov_len: len };
                    let header = &mut self.headers[i];
                    header.msg_name = (&raw mut self.names[i]).cast();
                    header.msg_namelen = namelen;
                    header.msg_iov = &raw mut self.vectors[i];
                    header.msg_iovlen = 1;
                    header.msg_control = self.controls[i].0.as_mut_ptr().cast();
                    header.msg_controllen = controllen;
                    opcode::SendMsg::new(SOCKET, &raw const self.headers[i])
                        .flags(libc::MSG_DONTWAIT as u32)
                        .build()
                }
            };
            let send = send.flags(squeue::Flags::SKIP_SUCCESS).user_data(REFUSED);
            self.push(&send)?;
        }
        Ok(std::mem::take(&mut self.refused))
    }
}

impl Drop for Ring<'_> {
    /// Ends the receiving request: until then the kernel may write to the buffers.
    fn drop(&mut self) {
        if self.receives {
            let _ended_already =
                self.ring.submitter().register_sync_cancel(Some(FAREWELL), CancelBuilder::any());
        }
        for _attempt in 0..4 {
            if !self.receives {
                return;
            }
            let _again = self.enter(&Timespec::from(Duration::from_millis(100)));
            self.count = 0;
            let _of_no_interest = self.take();
        }
        if self.receives {
            self.buffers.leak();
        }
    }
}

/// The buffers of requests, and the ring of those that the kernel may take.
struct Buffers {
    /// One page of ring entries, and the buffers behind it.
    memory: NonNull<u8>,
    /// The next place in the ring of entries.
    tail: u16,
    leaked: bool,
}

const ENTRIES_BYTES: usize = 4096;
const _: () =
    assert!(BUFFERS as usize * size_of::<BufRingEntry>() <= ENTRIES_BYTES && BUFFERS.is_power_of_two());
const _: () = assert!(BUFFER_BYTES.is_multiple_of(align_of::<Control>()));

impl Buffers {
    fn new() -> Self {
        // SAFETY: the layout has a size.
        let memory = unsafe { alloc_zeroed(Self::layout()) };
        let Some(memory) = NonNull::new(memory) else { handle_alloc_error(Self::layout()) };
        let mut buffers = Self { memory, tail: 0, leaked: false };
        for buffer in 0..BUFFERS {
            buffers.give_back(buffer);
        }
        buffers.publish();
        buffers
    }

    const fn layout() -> Layout {
        // The kernel wants the entries at the start of a page.
        match Layout::from_size_align(ENTRIES_BYTES + BUFFERS as usize * BUFFER_BYTES, 4096) {
            Ok(layout) => layout,
            Err(_impossible) => panic!("a power of two, and a size that fits"),
        }
    }

    fn register(&self, ring: &IoUring) -> io::Result<()> {
        // SAFETY: the entries are a page of `self`, which lives as long as the ring: it is behind it in `Ring`.
        unsafe {
            ring.submitter().register_buf_ring_with_flags(self.memory.as_ptr() as u64, BUFFERS, GROUP, 0)
        }
    }

    fn start(&self, buffer: u16) -> *mut u8 {
        let at = ENTRIES_BYTES + usize::from(buffer % BUFFERS) * BUFFER_BYTES;
        // SAFETY: the number is below BUFFERS, so the place is inside of the memory.
        unsafe { self.memory.as_ptr().add(at) }
    }

    /// The kernel may take this buffer from the next [`publish`](Self::publish) on.
    fn give_back(&mut self, buffer: u16) {
        let start = self.start(buffer);
        let place = usize::from(self.tail % BUFFERS);
        // SAFETY: the place is one of the entries. The kernel reads entries before the tail alone, and this one is behind it. All three
        // fields are written, and the fourth, which is the tail in the first entry, is not.
        let entry = unsafe { &mut *self.memory.as_ptr().cast::<BufRingEntry>().add(place) };
        entry.set_addr(start as u64);
        entry.set_len(BUFFER_BYTES as u32);
        entry.set_bid(buffer);
        self.tail = self.tail.wrapping_add(1);
    }

    fn publish(&self) {
        // SAFETY: the memory starts with the entries, of which the first holds the tail; it is aligned, and the kernel reads it by an acquiring
        // load, as it has to be written here.
        let tail = unsafe { AtomicU16::from_ptr(BufRingEntry::tail(self.memory.as_ptr().cast()).cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }

    /// Fills in what came into a buffer, `len` bytes with the kernel's header.
    fn read(&self, len: usize, template: &libc::msghdr, taken: &mut Taken) {
        // SAFETY: the kernel has filled this buffer and said so by a completion; it doesn't touch it until it is given back.
        let bytes = unsafe { std::slice::from_raw_parts(self.start(taken.buffer), len.min(BUFFER_BYTES)) };
        let Ok(parts) = RecvMsgOut::parse(bytes, template) else { return };
        // A longer packet was cut; the rest of it can't change the answer (U01, U07, U17).
        taken.len = parts.payload_data().len();
        let mut name = zeroed_name();
        let bytes = parts.name_data();
        // SAFETY: a `sockaddr_storage` is longer than NAME_BYTES, which bounds what is copied; any bytes are one.
        unsafe {
            std::ptr::copy_nonoverlapping(
                bytes.as_ptr(),
                (&raw mut name).cast(),
                bytes.len().min(NAME_BYTES),
            );
        }
        taken.source = source_of(&name);
        let mut header = empty_header();
        header.msg_control = parts.control_data().as_ptr().cast_mut().cast();
        header.msg_controllen = parts.control_data().len();
        taken.local = local_of(&header);
    }

    /// The packet in a buffer.
    fn packet(&self, buffer: u16, len: usize) -> &[u8] {
        let at = BUFFER_BYTES - REQUEST_BYTES;
        // SAFETY: as in `read`: the buffer was filled and wasn't given back; the packet is its end.
        unsafe { std::slice::from_raw_parts(self.start(buffer).add(at), len.min(REQUEST_BYTES)) }
    }

    /// The kernel may still write to it.
    fn leak(&mut self) {
        self.leaked = true;
    }
}

impl Drop for Buffers {
    fn drop(&mut self) {
        if !self.leaked {
            // SAFETY: it was allocated with this layout, and the ring that pointed to it is gone.
            unsafe { dealloc(self.memory.as_ptr(), Self::layout()) };
        }
    }
}

fn empty_header() -> libc::msghdr {
    // SAFETY: `msghdr` is integers and raw pointers; all zero is a value (no buffers).
    unsafe { MaybeUninit::zeroed().assume_init() }
}

/// Writes an address as the kernel wants it; returns its length.
fn write_name(name: &mut libc::sockaddr_storage, address: SocketAddr) -> libc::socklen_t {
    let address = socket2::SockAddr::from(address);
    // SAFETY: a `sockaddr_storage` is as long as every address; socket2 says how much of its own is one.
    unsafe {
        std::ptr::copy_nonoverlapping(
            address.as_ptr().cast::<u8>(),
            (&raw mut *name).cast(),
            address.len() as usize,
        );
    }
    address.len()
}
