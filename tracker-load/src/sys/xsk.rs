//! An AF_XDP socket on one queue of an interface: frames as they are, past the network stack, both ways.
//!
//! A small XDP program, given here in the machine's words, hands answers (UDP from the tracker's port) to the socket and passes everything
//! else to the kernel. Frames lie in memory that is shared with the kernel: one half is for what comes, the other for what goes. The kernel
//! does without a copy where the driver can. Closing it detaches the program.

use std::ffi::CString;
use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Room for a frame.
pub(crate) const FRAME: usize = 2048;

/// Frames in each direction, and places of each ring: a power of two.
const FRAMES: u32 = 4096;

/// How long a queue that is taken is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// An interface's number and hardware address.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Interface {
    pub(crate) index: u32,
    pub(crate) mac: [u8; 6],
}

fn checked(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Finds an interface of this network namespace.
pub(crate) fn interface(name: &str) -> io::Result<Interface> {
    let wrong = || io::Error::new(io::ErrorKind::InvalidInput, "no name of an interface");
    let text = CString::new(name).map_err(|_nul| wrong())?;
    // SAFETY: the string ends with a zero and lives until the call returns.
    let index = unsafe { libc::if_nametoindex(text.as_ptr()) };
    if index == 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `ifreq` is a name and a union of plain data, for which all zeros is a value.
    let mut request: libc::ifreq = unsafe { zeroed() };
    let bytes = text.as_bytes_with_nul();
    if bytes.len() > request.ifr_name.len() {
        return Err(wrong());
    }
    for (to, from) in request.ifr_name.iter_mut().zip(bytes) {
        *to = *from as libc::c_char;
    }
    // SAFETY: takes three numbers.
    let socket = checked(unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) })?;
    // SAFETY: the kernel has just made this descriptor and nobody else knows it.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    // SAFETY: the kernel reads the name and writes an address into the union, both within `request`.
    checked(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFHWADDR, &raw mut request) })?;
    // SAFETY: SIOCGIFHWADDR fills in this member of the union.
    let data = unsafe { request.ifr_ifru.ifru_hwaddr.sa_data };
    Ok(Interface { index, mac: std::array::from_fn(|at| data[at] as u8) })
}

/// Memory that is shared with the kernel.
struct Mapping {
    start: NonNull<u8>,
    len: usize,
}

impl Mapping {
    fn new(len: usize, flags: libc::c_int, descriptor: libc::c_int, offset: i64) -> io::Result<Self> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice touches nothing that exists.
        let start = unsafe {
            libc::mmap(null_mut(), len, protection, flags | libc::MAP_POPULATE, descriptor, offset)
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        NonNull::new(start.cast())
            .map(|start| Self { start, len })
            .ok_or_else(|| io::Error::other("mapped at 0"))
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: it was mapped with this length, and whoever uses it borrows it.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}

/// A ring of places that one side fills and the other empties.
struct Ring<T> {
    mapping: Mapping,
    producer: u64,
    consumer: u64,
    flags: u64,
    places: u64,
    _of: std::marker::PhantomData<T>,
}

impl<T: Copy> Ring<T> {
    fn map(socket: &OwnedFd, offset: i64, at: &libc::xdp_ring_offset) -> io::Result<Self> {
        let len = at.desc as usize + FRAMES as usize * size_of::<T>();
        let mapping = Mapping::new(len, libc::MAP_SHARED, socket.as_raw_fd(), offset)?;
        let libc::xdp_ring_offset { producer, consumer, desc, flags } = *at;
        Ok(Self { mapping, producer, consumer, flags, places: desc, _of: std::marker::PhantomData })
    }

    fn word(&self, at: u64) -> &AtomicU32 {
        // SAFETY: the kernel has said that an aligned word that both sides use as an atomic is here, within the mapping.
        unsafe { AtomicU32::from_ptr(self.mapping.start.as_ptr().add(at as usize).cast()) }
    }

    fn place(&self, number: u32) -> *mut T {
        let at = self.places as usize + (number % FRAMES) as usize * size_of::<T>();
        // SAFETY: the mapping has FRAMES places of this type from `places` on.
        unsafe { self.mapping.start.as_ptr().add(at).cast() }
    }

    /// As the filling side: puts as many as there is room for; how many.
    fn put(&self, mut next: impl FnMut() -> Option<T>) -> u32 {
        let producer = self.word(self.producer);
        // Relaxed: only this side stores it.
        let begin = producer.load(Ordering::Relaxed);
        let mut number = begin;
        // Pairs with the other side's release: what it has emptied may be filled.
        let end = self.word(self.consumer).load(Ordering::Acquire).wrapping_add(FRAMES);
        while number != end {
            let Some(item) = next() else { break };
            // SAFETY: the place is this side's until the producer's number is behind it.
            unsafe { self.place(number).write(item) };
            number = number.wrapping_add(1);
        }
        producer.store(number, Ordering::Release);
        number.wrapping_sub(begin)
    }

    /// As the emptying side: takes what is there, at most so many; how many.
    fn take(&self, most: u32, mut each: impl FnMut(T)) -> u32 {
        let consumer = self.word(self.consumer);
        let begin = consumer.load(Ordering::Relaxed);
        // Pairs with the other side's release: what it has filled is whole.
        let filled = self.word(self.producer).load(Ordering::Acquire).wrapping_sub(begin).min(most);
        for number in 0..filled {
            // SAFETY: the place is this side's until the consumer's number is behind it, and was filled.
            each(unsafe { self.place(begin.wrapping_add(number)).read() });
        }
        consumer.store(begin.wrapping_add(filled), Ordering::Release);
        filled
    }

    fn needs_wakeup(&self) -> bool {
        self.word(self.flags).load(Ordering::Relaxed) & libc::XDP_RING_NEED_WAKEUP != 0
    }
}

/// The socket.
pub(crate) struct Xsk {
    // Dropped in this order: the program before what it redirects to.
    _attached: OwnedFd,
    _program: OwnedFd,
    _map: OwnedFd,
    received: Ring<libc::xdp_desc>,
    sent: Ring<libc::xdp_desc>,
    fill: Ring<u64>,
    completed: Ring<u64>,
    socket: OwnedFd,
    frames: Mapping,
    /// Frames that may be sent.
    free: Vec<u64>,
}

impl Xsk {
    /// Opens it on queue 0, and has the answers of a tracker's port come to it. Waits a moment for a queue that is taken: the kernel gives
    /// back the queue of a process that has ended a little after its end.
    pub(crate) fn open(interface: Interface, tracker_port: u16) -> io::Result<Self> {
        let begin = Instant::now();
        loop {
            match Self::try_open(interface, tracker_port) {
                Err(error) if error.kind() == io::ErrorKind::ResourceBusy && begin.elapsed() < PATIENCE => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                result => return result,
            }
        }
    }

    fn try_open(interface: Interface, tracker_port: u16) -> io::Result<Self> {
        // SAFETY: takes three numbers.
        let socket = checked(unsafe { libc::socket(libc::AF_XDP, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) })?;
        // SAFETY: the kernel has just made this descriptor and nobody else knows it.
        let socket = unsafe { OwnedFd::from_raw_fd(socket) };
        let frames =
            Mapping::new(2 * FRAMES as usize * FRAME, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0)?;
        // SAFETY: plain numbers, for which all zeros is a value.
        let mut memory: libc::xdp_umem_reg = unsafe { zeroed() };
        memory.addr = frames.start.as_ptr() as u64;
        memory.len = frames.len as u64;
        memory.chunk_size = FRAME as u32;
        set(&socket, libc::XDP_UMEM_REG, &memory)?;
        for ring in
            [libc::XDP_UMEM_FILL_RING, libc::XDP_UMEM_COMPLETION_RING, libc::XDP_RX_RING, libc::XDP_TX_RING]
        {
            set(&socket, ring, &FRAMES)?;
        }
        let offsets = offsets(&socket)?;
        let fill = Ring::map(&socket, libc::XDP_UMEM_PGOFF_FILL_RING as i64, &offsets.fr)?;
        let completed = Ring::map(&socket, libc::XDP_UMEM_PGOFF_COMPLETION_RING as i64, &offsets.cr)?;
        let received = Ring::map(&socket, libc::XDP_PGOFF_RX_RING, &offsets.rx)?;
        let sent = Ring::map(&socket, libc::XDP_PGOFF_TX_RING, &offsets.tx)?;
        let mut coming = (0..u64::from(FRAMES)).map(|number| number * FRAME as u64);
        fill.put(|| coming.next());
        // SAFETY: plain numbers, for which all zeros is a value.
        let mut address: libc::sockaddr_xdp = unsafe { zeroed() };
        address.sxdp_family = libc::AF_XDP as u16;
        address.sxdp_flags = libc::XDP_USE_NEED_WAKEUP;
        address.sxdp_ifindex = interface.index;
        let len = size_of::<libc::sockaddr_xdp>() as libc::socklen_t;
        // SAFETY: the kernel reads `len` bytes, which are all of `address`.
        checked(unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), len) })
            .map_err(|error| io::Error::new(error.kind(), format!("bind to queue 0: {error}")))?;
        let map = bpf::socket_map(&socket)?;
        let program = bpf::load(&program(map.as_raw_fd(), tracker_port))?;
        let attached = bpf::attach(&program, interface.index)
            .map_err(|error| io::Error::new(error.kind(), format!("attach the program: {error}")))?;
        let going = (u64::from(FRAMES)..2 * u64::from(FRAMES)).map(|number| number * FRAME as u64);
        let free = going.collect();
        Ok(Self {
            _attached: attached,
            _program: program,
            _map: map,
            received,
            sent,
            fill,
            completed,
            socket,
            frames,
            free,
        })
    }

    fn frame(&mut self, at: u64) -> &mut [u8] {
        let at = (at as usize).min(self.frames.len - FRAME);
        // SAFETY: within the mapping; the frame is this side's: it was taken from a ring, or not yet given to one, and `self` is borrowed.
        unsafe { std::slice::from_raw_parts_mut(self.frames.start.as_ptr().add(at), FRAME) }
    }

    /// Sends frames as long as `next` writes some and there is room; how many.
    pub(crate) fn send(&mut self, mut next: impl FnMut(&mut [u8]) -> Option<usize>) -> io::Result<usize> {
        self.reap();
        let mut written = Vec::new();
        while let Some(at) = self.free.pop() {
            match next(self.frame(at)) {
                Some(len) => {
                    written.push(libc::xdp_desc { addr: at, len: len.min(FRAME) as u32, options: 0 })
                }
                None => {
                    self.free.push(at);
                    break;
                }
            }
        }
        let mut descriptors = written.iter().copied();
        // As many places as frames, so that all fit.
        let count = self.sent.put(|| descriptors.next());
        self.free.extend(descriptors.map(|descriptor| descriptor.addr));
        if count > 0 {
            self.wake()?;
        }
        Ok(count as usize)
    }

    /// Takes back what has been sent.
    fn reap(&mut self) {
        let Self { completed, free, .. } = self;
        completed.take(FRAMES, |at| free.push(at));
    }

    /// Has the kernel send what is in the ring, some 32 frames a call.
    fn wake(&self) -> io::Result<()> {
        while self.sent.needs_wakeup()
            && self.sent.word(self.sent.consumer).load(Ordering::Acquire)
                != self.sent.word(self.sent.producer).load(Ordering::Relaxed)
        {
            // SAFETY: nothing is sent from memory of ours but what the rings say; no address is given.
            let result = unsafe {
                libc::sendto(self.socket.as_raw_fd(), null_mut(), 0, libc::MSG_DONTWAIT, null_mut(), 0)
            };
            if result < 0 {
                let error = io::Error::last_os_error();
                match error.raw_os_error() {
                    // There is more to send than one call does.
                    Some(libc::EAGAIN | libc::EBUSY | libc::EINTR) => {}
                    // The device's queue is full: later.
                    Some(libc::ENOBUFS) => return Ok(()),
                    _ => return Err(error),
                }
            }
        }
        Ok(())
    }

    /// Calls `each` with the frames that have come; how many.
    pub(crate) fn receive(&mut self, mut each: impl FnMut(&[u8])) -> usize {
        let mut came = Vec::new();
        self.received.take(256, |descriptor| came.push(descriptor));
        for descriptor in &came {
            // A frame may begin anywhere in its chunk.
            let chunk = descriptor.addr / FRAME as u64 * FRAME as u64;
            let begin = (descriptor.addr - chunk) as usize;
            let frame = self.frame(chunk);
            let end = (begin + descriptor.len as usize).min(FRAME);
            each(frame.get(begin..end).unwrap_or_default());
        }
        let mut back = came.iter().map(|descriptor| descriptor.addr / FRAME as u64 * FRAME as u64);
        self.fill.put(|| back.next());
        came.len()
    }

    /// Waits until something has come, or the time is over.
    pub(crate) fn wait(&self, time: Duration) -> io::Result<()> {
        let mut polled = libc::pollfd { fd: self.socket.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        let milliseconds = libc::c_int::try_from(time.as_millis()).unwrap_or(libc::c_int::MAX);
        // SAFETY: one `pollfd`, borrowed until the call returns.
        match unsafe { libc::poll(&raw mut polled, 1, milliseconds) } {
            0.. => Ok(()),
            _ => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::Interrupted => Ok(()),
                error => Err(error),
            },
        }
    }
}

fn set<T>(socket: &OwnedFd, option: libc::c_int, value: &T) -> io::Result<()> {
    let len = size_of::<T>() as libc::socklen_t;
    let value: *const T = value;
    // SAFETY: the kernel reads `len` bytes, which are all of the value.
    checked(unsafe { libc::setsockopt(socket.as_raw_fd(), libc::SOL_XDP, option, value.cast(), len) })
        .map(drop)
}

fn offsets(socket: &OwnedFd) -> io::Result<libc::xdp_mmap_offsets> {
    // SAFETY: plain numbers, for which all zeros is a value.
    let mut offsets: libc::xdp_mmap_offsets = unsafe { zeroed() };
    let mut len = size_of::<libc::xdp_mmap_offsets>() as libc::socklen_t;
    let into: *mut libc::c_void = (&raw mut offsets).cast();
    // SAFETY: the kernel writes at most `len` bytes, which are all of the offsets.
    checked(unsafe {
        libc::getsockopt(socket.as_raw_fd(), libc::SOL_XDP, libc::XDP_MMAP_OFFSETS, into, &raw mut len)
    })?;
    Ok(offsets)
}

/// UDP from the tracker's port goes to the socket of the queue it came by; the rest passes.
///
/// In words of eBPF, as the comments say; `r1` is the context, `r2` the packet, `r3` its end.
fn program(map: libc::c_int, tracker_port: u16) -> Vec<u64> {
    let port = i32::from(tracker_port.to_be());
    let word = |code: u8, to: u8, from: u8, offset: i16, value: i32| {
        let [o0, o1] = offset.to_le_bytes();
        let [v0, v1, v2, v3] = value.to_le_bytes();
        u64::from_le_bytes([code, from << 4 | to, o0, o1, v0, v1, v2, v3])
    };
    const LOAD_32: u8 = 0x61;
    const LOAD_16: u8 = 0x69;
    const LOAD_8: u8 = 0x71;
    const MOVE: u8 = 0xbf;
    const MOVE_VALUE: u8 = 0xb7;
    const ADD_VALUE: u8 = 0x07;
    const IF_ABOVE: u8 = 0x2d;
    const IF_NOT_VALUE: u8 = 0x55;
    const IF_VALUE: u8 = 0x15;
    let ipv4 = i32::from(0x0800_u16.to_be());
    let ipv6 = i32::from(0x86dd_u16.to_be());
    vec![
        word(LOAD_32, 2, 1, 0, 0),          // 0: packet
        word(LOAD_32, 3, 1, 4, 0),          // 1: its end
        word(MOVE, 4, 2, 0, 0),             // 2
        word(ADD_VALUE, 4, 0, 0, 42),       // 3: Ethernet, IPv4, UDP
        word(IF_ABOVE, 4, 3, 21, 0),        // 4: shorter: pass
        word(LOAD_16, 5, 2, 12, 0),         // 5: EtherType
        word(IF_VALUE, 5, 0, 6, ipv6),      // 6: to 13
        word(IF_NOT_VALUE, 5, 0, 18, ipv4), // 7: pass
        word(LOAD_8, 5, 2, 23, 0),          // 8: protocol
        word(IF_NOT_VALUE, 5, 0, 16, 17),   // 9: pass
        word(LOAD_16, 5, 2, 34, 0),         // 10: source port, without options
        word(IF_NOT_VALUE, 5, 0, 14, port), // 11: pass
        word(0x05, 0, 0, 7, 0),             // 12: to 20
        word(MOVE, 4, 2, 0, 0),             // 13
        word(ADD_VALUE, 4, 0, 0, 62),       // 14: Ethernet, IPv6, UDP
        word(IF_ABOVE, 4, 3, 10, 0),        // 15: pass
        word(LOAD_8, 5, 2, 20, 0),          // 16: next header
        word(IF_NOT_VALUE, 5, 0, 8, 17),    // 17: pass
        word(LOAD_16, 5, 2, 54, 0),         // 18: source port
        word(IF_NOT_VALUE, 5, 0, 6, port),  // 19: pass
        word(LOAD_32, 2, 1, 16, 0),         // 20: queue
        word(0x18, 1, 1, 0, map),           // 21: the map, in two words
        0,                                  // 22
        word(MOVE_VALUE, 3, 0, 0, 2),       // 23: XDP_PASS where there is no socket
        word(0x85, 0, 0, 0, 51),            // 24: bpf_redirect_map
        word(0x95, 0, 0, 0, 0),             // 25: exit
        word(MOVE_VALUE, 0, 0, 0, 2),       // 26: pass
        word(0x95, 0, 0, 0, 0),             // 27: exit
    ]
}

/// The bpf system call, as far as it is needed.
mod bpf {
    use std::io;
    use std::mem::size_of;
    use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

    const MAP_CREATE: libc::c_long = 0;
    const MAP_UPDATE: libc::c_long = 2;
    const PROG_LOAD: libc::c_long = 5;
    const LINK_CREATE: libc::c_long = 28;
    const MAP_TYPE_XSKMAP: u32 = 17;
    const PROG_TYPE_XDP: u32 = 6;
    const ATTACH_TYPE_XDP: u32 = 37;

    fn call<T>(command: libc::c_long, attributes: &T) -> io::Result<libc::c_int> {
        let attributes: *const T = attributes;
        // SAFETY: the kernel reads `size_of::<T>()` bytes of a struct without padding, and takes the fields behind for zero; addresses in
        // it are of what the callers hold until the call returns.
        let result = unsafe { libc::syscall(libc::SYS_bpf, command, attributes, size_of::<T>()) };
        super::checked(libc::c_int::try_from(result).unwrap_or(-1))
    }

    fn made<T>(command: libc::c_long, attributes: &T) -> io::Result<OwnedFd> {
        let descriptor = call(command, attributes)?;
        // SAFETY: the kernel has just made this descriptor and nobody else knows it.
        Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
    }

    /// A map with the socket at queue 0.
    pub(super) fn socket_map(socket: &OwnedFd) -> io::Result<OwnedFd> {
        // Type, bytes of a key and of a value, entries, flags.
        let map = made(MAP_CREATE, &[MAP_TYPE_XSKMAP, 4, 4, 64, 0])?;
        #[repr(C, align(8))]
        struct Update {
            map: u64,
            key: u64,
            value: u64,
            flags: u64,
        }
        let (key, value) = (0_u32, socket.as_raw_fd());
        let update = Update {
            map: u64::from(map.as_raw_fd().cast_unsigned()),
            key: (&raw const key) as u64,
            value: (&raw const value) as u64,
            flags: 0,
        };
        call(MAP_UPDATE, &update)?;
        Ok(map)
    }

    pub(super) fn load(instructions: &[u64]) -> io::Result<OwnedFd> {
        #[repr(C, align(8))]
        struct Load {
            kind: u32,
            count: u32,
            instructions: u64,
            license: u64,
        }
        let load = Load {
            kind: PROG_TYPE_XDP,
            count: instructions.len() as u32,
            instructions: instructions.as_ptr() as u64,
            license: c"Apache-2.0".as_ptr() as u64,
        };
        made(PROG_LOAD, &load)
    }

    /// In the mode that the driver has.
    pub(super) fn attach(program: &OwnedFd, interface: u32) -> io::Result<OwnedFd> {
        // Program, target, type, flags.
        made(LINK_CREATE, &[program.as_raw_fd().cast_unsigned(), interface, ATTACH_TYPE_XDP, 0])
    }
}
