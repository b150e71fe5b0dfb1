//! How a worker takes requests from its socket and gives answers to it: by `recvmmsg` and `sendmmsg`, or by io_uring.
//!
//! [`Chosen`] is what the configuration wants and this machine can; [`worker`](super::worker) is the same for both. Tests, which all run with
//! both, are below.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::thread;

use crate::config::UdpBackend;
use crate::udp::sys::ANSWER_BYTES;
#[cfg(any(test, doc))]
use crate::udp::sys::BATCH;
use crate::udp::sys::mmsg::Mmsg;
use crate::udp::sys::ring::Ring;

/// A socket with buffers for [`BATCH`] requests and their answers.
pub trait Backend {
    /// Waits for a request and takes all that are there, up to [`BATCH`]; none when nothing came for a while.
    ///
    /// # Errors
    ///
    /// Those of receiving; `WouldBlock` too when nothing came for a while.
    fn receive(&mut self) -> io::Result<usize>;

    /// The `i`th request, its source, and the buffer for its answer. No source: not an Internet address.
    fn request(&mut self, i: usize) -> Option<(&[u8], SocketAddr, &mut [u8; ANSWER_BYTES])>;

    /// Sets the length of the `i`th answer; 0 is silence.
    fn answer(&mut self, i: usize, len: usize);

    /// Sends the answers to the first `count` requests, each from the address that the request was sent to, at the latest in the next
    /// [`receive`](Self::receive). Returns how many the kernel refused since the call before (its buffer was full, or the source has no
    /// route): UDP may lose them.
    ///
    /// # Errors
    ///
    /// Those of sending that concern the socket and not one packet.
    fn send(&mut self, count: usize) -> io::Result<u64>;
}

/// The backend of all workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chosen {
    /// `recvmmsg` and `sendmmsg`.
    Mmsg,
    /// io_uring.
    IoUring,
}

impl Chosen {
    /// What the configuration wants, if this machine can: io_uring is tried with a socket of its own. Otherwise the log says why not.
    pub fn for_this_machine(wanted: UdpBackend) -> Self {
        if wanted == UdpBackend::Mmsg {
            return Self::Mmsg;
        }
        let try_it = || UdpSocket::bind("127.0.0.1:0").and_then(|socket| Ring::new(socket.as_fd()).map(drop));
        match in_a_thread_of_its_own(try_it) {
            Ok(()) => Self::IoUring,
            Err(error) => {
                fall_back(&error);
                Self::Mmsg
            }
        }
    }

    /// Makes the backend of a socket; of one that can't have a ring after all, the other one.
    pub fn open(self, socket: BorrowedFd<'_>) -> Opened<'_> {
        if self == Self::IoUring {
            match Ring::new(socket) {
                Ok(ring) => return Opened::IoUring(Box::new(ring)),
                Err(error) => fall_back(&error),
            }
        }
        Opened::Mmsg(Mmsg::new(socket))
    }

    /// As in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mmsg => "mmsg",
            Self::IoUring => "io_uring",
        }
    }
}

/// The backend of one socket.
pub enum Opened<'a> {
    /// `recvmmsg` and `sendmmsg`.
    Mmsg(Mmsg<'a>),
    /// io_uring.
    IoUring(Box<Ring<'a>>),
}

/// A ring that is gone interrupts, somewhat later, a system call of the thread that had made it.
fn in_a_thread_of_its_own<T: Send>(make_ring: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    thread::scope(|scope| match thread::Builder::new().spawn_scoped(scope, make_ring)?.join() {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

fn fall_back(error: &io::Error) {
    let why = match error.raw_os_error() {
        Some(libc::ENOSYS) => "the kernel was built without it",
        Some(libc::EPERM | libc::EACCES) => {
            "it isn't permitted here: by a seccomp profile, such as Docker's default one, or by sysctl kernel.io_uring_disabled"
        }
        Some(libc::EINVAL | libc::EOPNOTSUPP) => "it needs Linux 6.1 or newer",
        Some(libc::ENOMEM) => "there is no memory for it, or RLIMIT_MEMLOCK is too small",
        _ => "it failed",
    };
    tracing::warn!(
        "udp.backend = \"io_uring\": {why} ({error}); requests are read by recvmmsg, as with \"mmsg\""
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::udp::sys::{Family, REQUEST_BYTES, ask_for_local_address};
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    use std::time::Duration;
    use tracker_testkit::skip::{Requirement, must_skip};

    const BOTH: [Chosen; 2] = [Chosen::Mmsg, Chosen::IoUring];

    fn server(address: &str) -> UdpSocket {
        let socket = UdpSocket::bind(address).expect("a free port");
        let family = if address.starts_with('[') { Family::V6 } else { Family::V4 };
        ask_for_local_address(&socket, family).expect("both families have the option");
        socket.set_read_timeout(Some(Duration::from_millis(100))).expect("not zero");
        socket
    }

    fn client(address: &str) -> UdpSocket {
        let socket = UdpSocket::bind(address).expect("a free port");
        socket.set_read_timeout(Some(Duration::from_secs(5))).expect("not zero");
        socket
    }

    /// Opens what was asked for, or says why it can't be tested here.
    fn open(kind: Chosen, socket: &UdpSocket) -> Box<dyn Backend + '_> {
        match kind.open(socket.as_fd()) {
            Opened::Mmsg(mmsg) => {
                // A machine that allows io_uring has to have used it.
                assert!(kind == Chosen::Mmsg || must_skip(&[Requirement::IoUring]), "it fell back");
                Box::new(mmsg)
            }
            Opened::IoUring(ring) => ring,
        }
    }

    /// Answers each request with what `answer` makes of it while `clients` runs; returns how many came, and how many answers were refused.
    fn serve(
        kind: Chosen,
        socket: &UdpSocket,
        answer: impl Fn(&[u8], SocketAddr, &mut [u8; ANSWER_BYTES]) -> usize + Sync,
        clients: impl FnOnce(),
    ) -> (u64, u64) {
        let (came, refused, stopping) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut backend = open(kind, socket);
                while !stopping.load(Ordering::Relaxed) {
                    let count = match backend.receive() {
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                        count => count.expect("the socket works"),
                    };
                    assert!(count <= BATCH);
                    for i in 0..count {
                        let (request, source, out) = backend.request(i).expect("it has an Internet source");
                        let len = answer(request, source, out);
                        backend.answer(i, len);
                    }
                    refused.fetch_add(backend.send(count).expect("the socket works"), Ordering::Relaxed);
                    came.fetch_add(count as u64, Ordering::Relaxed);
                }
            });
            // Also when a client fails: the scope waits for the thread.
            let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(clients));
            stopping.store(true, Ordering::Relaxed);
            ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        });
        (came.into_inner(), refused.into_inner())
    }

    fn echo(request: &[u8], _: SocketAddr, out: &mut [u8; ANSWER_BYTES]) -> usize {
        let len = request.len().min(out.len());
        out[..len].copy_from_slice(&request[..len]);
        len
    }

    #[test]
    fn wildcard_socket_answers_from_the_address_it_was_asked_on() {
        for kind in BOTH {
            let server = server("0.0.0.0:0");
            let port = server.local_addr().expect("it is bound").port();
            serve(kind, &server, echo, || {
                for asked in ["127.0.0.1", "127.7.8.9"] {
                    // Another source than the address asked, so that routing alone would choose 127.0.0.1 or the source.
                    let client = client("127.0.0.5:0");
                    client.send_to(b"ping", (asked, port)).expect("loopback takes it");
                    let mut buffer = [0; 16];
                    let (len, from) = client.recv_from(&mut buffer).expect("an answer");
                    assert_eq!((&buffer[..len], from.to_string()), (&b"ping"[..], format!("{asked}:{port}")));
                }
            });
        }
    }

    #[test]
    fn wildcard_ipv6_socket_answers() {
        if UdpSocket::bind("[::1]:0").is_err() {
            eprintln!("skipped: no IPv6 on this machine");
            return;
        }
        for kind in BOTH {
            let server = server("[::]:0");
            let port = server.local_addr().expect("it is bound").port();
            serve(kind, &server, echo, || {
                let client = client("[::1]:0");
                client.send_to(b"ping", ("::1", port)).expect("loopback takes it");
                let mut buffer = [0; 16];
                let (len, from) = client.recv_from(&mut buffer).expect("an answer");
                assert_eq!((&buffer[..len], from.to_string()), (&b"ping"[..], format!("[::1]:{port}")));
            });
        }
    }

    #[test]
    fn silence_stays_silent() {
        for kind in BOTH {
            let server = server("127.0.0.1:0");
            let address = server.local_addr().expect("it is bound");
            let answer = |request: &[u8], _: SocketAddr, out: &mut [u8; ANSWER_BYTES]| {
                out[0] = request[0];
                usize::from(request[0] % 2)
            };
            serve(kind, &server, answer, || {
                let client = client("127.0.0.1:0");
                for number in 0..10u8 {
                    client.send_to(&[number], address).expect("loopback takes it");
                }
                for number in [1, 3, 5, 7, 9] {
                    let mut buffer = [0; 16];
                    let (len, _) = client.recv_from(&mut buffer).expect("an answer");
                    assert_eq!(&buffer[..len], [number]);
                }
            });
        }
    }

    /// More than a batch holds, and in all more than there are buffers, from two sources: each request is answered once, to its sender.
    #[test]
    fn many_at_once_are_all_answered_to_whom_they_came_from() {
        for kind in BOTH {
            let server = server("127.0.0.1:0");
            let address = server.local_addr().expect("it is bound");
            let (came, refused) = serve(kind, &server, echo, || {
                let clients = [client("127.0.0.1:0"), client("127.0.0.2:0")];
                for round in 0..20_u16 {
                    let numbers =
                        || (0..100_u16).map(|number| [round, number].map(u16::to_be_bytes).concat());
                    for packet in numbers() {
                        for (name, client) in clients.iter().enumerate() {
                            let mut packet = packet.clone();
                            packet.push(name as u8);
                            client.send_to(&packet, address).expect("loopback takes it");
                        }
                    }
                    for (name, client) in clients.iter().enumerate() {
                        for packet in numbers() {
                            let mut buffer = [0; 16];
                            let (len, from) = client.recv_from(&mut buffer).expect("an answer");
                            assert_eq!((&buffer[..len - 1], buffer[len - 1]), (&packet[..], name as u8));
                            assert_eq!(from, address);
                        }
                    }
                }
            });
            assert_eq!((came, refused), (20 * 2 * 100, 0), "{}", kind.name());
        }
    }

    /// What waits in the socket before anybody reads: more than the buffers of io_uring, which have to be refilled.
    #[test]
    fn what_came_before_is_read() {
        for kind in BOTH {
            let server = server("127.0.0.1:0");
            let address = server.local_addr().expect("it is bound");
            let client = client("127.0.0.1:0");
            let sent = (0..200_u8).chain(0..200).map(|number| client.send_to(&[number], address));
            assert_eq!(sent.filter(Result::is_ok).count(), 400);
            let mut backend = open(kind, &server);
            let mut next = 0_u32;
            let mut patience = 100;
            // Fewer where the system's default receive buffer is small.
            while next < 250 && patience > 0 {
                match backend.receive() {
                    Ok(0) => patience -= 1,
                    Ok(count) => {
                        for i in 0..count {
                            let (request, ..) = backend.request(i).expect("it has an Internet source");
                            assert_eq!(request, [(next % 200) as u8], "in their order");
                            next += 1;
                        }
                        backend.send(count).expect("the socket works");
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => patience -= 1,
                    Err(error) => panic!("{error}"),
                }
            }
            assert!(next >= 250, "{}: {next}", kind.name());
        }
    }

    #[test]
    fn longest_request_is_whole_and_a_longer_packet_is_cut() {
        for kind in BOTH {
            let server = server("127.0.0.1:0");
            let address = server.local_addr().expect("it is bound");
            let answer = |request: &[u8], source: SocketAddr, out: &mut [u8; ANSWER_BYTES]| {
                assert!(request.iter().all(|byte| *byte == 7));
                out[..2].copy_from_slice(&(request.len() as u16).to_be_bytes());
                out[2..4].copy_from_slice(&source.port().to_be_bytes());
                4
            };
            serve(kind, &server, answer, || {
                let client = client("127.0.0.1:0");
                let port = client.local_addr().expect("it is bound").port().to_be_bytes();
                for (sent, seen) in
                    [(1, 1), (2016, 2016), (REQUEST_BYTES, REQUEST_BYTES), (5000, REQUEST_BYTES), (0, 0)]
                {
                    client.send_to(&vec![7; sent], address).expect("loopback takes it");
                    let mut buffer = [0; 16];
                    let (len, _) = client.recv_from(&mut buffer).expect("an answer");
                    let len_seen = (seen as u16).to_be_bytes();
                    assert_eq!(buffer[..len], [len_seen, port].concat(), "{}: {sent} bytes", kind.name());
                }
            });
        }
    }

    /// A source port of 0, which a raw socket can have, can't be answered.
    #[test]
    fn refused_answer_is_counted_and_the_others_are_sent() {
        use socket2::{Domain, Protocol, Socket, Type};
        let Ok(raw) = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::UDP)) else {
            eprintln!("skipped: raw sockets need root");
            return;
        };
        for kind in BOTH {
            let server = server("127.0.0.1:0");
            let address = server.local_addr().expect("it is bound");
            let (came, refused) = serve(kind, &server, echo, || {
                let client = client("127.0.0.1:0");
                for _ in 0..3 {
                    let port = address.port().to_be_bytes();
                    // From port 0, 9 bytes, no checksum.
                    let datagram = [0, 0, port[0], port[1], 0, 9, 0, 0, b'x'];
                    raw.send_to(&datagram, &address.into()).expect("loopback takes it");
                    client.send_to(b"good", address).expect("loopback takes it");
                    assert_eq!(client.recv_from(&mut [0; 16]).expect("an answer").0, 4);
                }
            });
            assert_eq!((came, refused), (6, 3), "{}", kind.name());
        }
    }

    /// The kernel must not write to what was given back.
    #[test]
    fn backend_ends_with_requests_on_their_way() {
        for kind in BOTH {
            let server = server("127.0.0.1:0");
            let address = server.local_addr().expect("it is bound");
            let client = client("127.0.0.1:0");
            for _ in 0..50 {
                in_a_thread_of_its_own(|| {
                    drop(open(kind, &server));
                    Ok(())
                })
                .expect("a thread");
                client.send_to(b"later", address).expect("loopback takes it");
            }
            // Those that were read by nobody are there for who comes next.
            let (came, _) = serve(kind, &server, echo, || {
                client.send_to(b"last", address).expect("loopback takes it");
                let mut buffer = [0; 16];
                while client.recv_from(&mut buffer).map(|(len, _)| &buffer[..len]).expect("an answer")
                    != b"last"
                {}
            });
            assert!(came >= 1);
        }
    }

    #[test]
    fn broken_socket_is_an_error_of_both() {
        let stream = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        for kind in BOTH {
            let mut backend: Box<dyn Backend> = match kind.open(stream.as_fd()) {
                Opened::Mmsg(mmsg) => Box::new(mmsg),
                Opened::IoUring(ring) => ring,
            };
            let error = (0..3).find_map(|_| backend.receive().err()).expect("a listener has no packets");
            assert_eq!(error.raw_os_error(), Some(libc::ENOTCONN), "{}", kind.name());
        }
    }
}
