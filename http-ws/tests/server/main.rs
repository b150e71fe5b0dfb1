//! A server with a swarm table of its own, asked over real connections.
//!
//! What every request gets is tested against the whole tracker (tracker-user's `tests/http_rows`); here are the lives of connections, and what a test
//! has to look into the table for.

mod connections;
mod swarms;
mod webtorrent;

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use http_ws::{Context, Endpoint, Listener, Server, Settings};
use socket2::{Domain, Socket, Type};
use tracker_common::siphash::SipKey;
use tracker_core::{HeapSegments, Limits, Millis, Policy, SharedLists, TableWriter};

/// Nothing is measured with it.
const PATIENCE: Duration = Duration::from_secs(20);

/// A clock that begins with the first test.
fn clock() -> u64 {
    static START: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
    START.elapsed().as_nanos() as u64
}

/// A running server and the writer of its table.
struct Tracker {
    server: Option<Server>,
    address: SocketAddr,
    stopping: Arc<AtomicBool>,
    writer: Option<JoinHandle<()>>,
}

impl Tracker {
    fn start(settings: Settings) -> Self {
        Self::start_with(settings, 1)
    }

    fn start_with(settings: Settings, workers: usize) -> Self {
        let limits = Limits { first_buckets: 2, ..Limits::default() };
        let key = SipKey::from_bytes([1; 16]);
        let mut table = TableWriter::new(limits, key, Box::new(HeapSegments)).expect("there is memory");
        let reader = table.reader();
        let (sinks, source) = tracker_core::queues(workers);
        let stopping = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stopping);
        let writer = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                source.drain(1000, |_, event| {
                    table.apply(&event, Millis(clock() / 1_000_000));
                });
                thread::yield_now();
            }
        });
        let mut address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let mut sockets = Vec::new();
        for _ in 0..workers {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a descriptor");
            socket.set_reuse_port(true).expect("it is a socket");
            socket.bind(&address.into()).expect("a free port");
            socket.listen(1024).expect("it is bound");
            socket.set_nonblocking(true).expect("it is a socket");
            address = socket.local_addr().ok().and_then(|address| address.as_socket()).expect("it is bound");
            sockets.push(std::net::TcpListener::from(socket));
        }
        let endpoint = Endpoint { address, tls: false, proxy_protocol: false };
        let context = Context {
            table: reader,
            lists: Arc::new(SharedLists::default()),
            policy: Policy::default(),
            settings: Arc::new(settings),
            clock,
            tls: None,
        };
        let listeners = vec![Listener { endpoint, sockets }];
        let server = http_ws::start(listeners, context, sinks, |reason| panic!("{reason}"));
        Self { server: Some(server.expect("there are threads")), address, stopping, writer: Some(writer) }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("not zero");
        stream
    }

    fn count(&self, name: &str) -> u64 {
        let numbers = self.server.as_ref().expect("it runs").numbers();
        numbers.iter().find(|(known, _)| *known == name).unwrap_or_else(|| panic!("no {name}")).1
    }

    /// Waits until WebTorrent has this number.
    fn until_webtorrent(&self, name: &str, number: u64) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let numbers = self.server.as_ref().expect("it runs").webtorrent_numbers();
            let (_, found) =
                numbers.iter().find(|(known, _)| *known == name).unwrap_or_else(|| panic!("no {name}"));
            if *found == number {
                break;
            }
            assert!(Instant::now() < deadline, "{name} is {found} and not {number}: {numbers:?}");
            thread::yield_now();
        }
    }

    /// Waits until something has been counted.
    fn until(&self, name: &str, number: u64) {
        let deadline = Instant::now() + PATIENCE;
        while self.count(name) != number {
            assert!(Instant::now() < deadline, "{name} is {} and not {number}", self.count(name));
            thread::yield_now();
        }
    }
}

impl Drop for Tracker {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            server.stop(Duration::ZERO);
        }
        self.stopping.store(true, Ordering::Relaxed);
        if let Some(writer) = self.writer.take() {
            writer.join().expect("the writer doesn't panic");
        }
    }
}

fn send(stream: &mut TcpStream, bytes: &[u8]) {
    stream.write_all(bytes).expect("the server reads");
}

/// Everything until the server closes.
fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("the server closes");
    bytes
}

/// One answer of a connection that goes on: status and body.
fn answer(stream: &mut TcpStream) -> (String, Vec<u8>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("an answer");
        head.extend(byte);
    }
    let head = String::from_utf8(head).expect("a header is text");
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
    let mut body = vec![0; length.parse().expect("a number")];
    stream.read_exact(&mut body).expect("a body");
    (head.lines().next().unwrap_or_default().to_owned(), body)
}

/// The request of an announce.
fn announce(torrent: u8, port: u16, more: &str) -> Vec<u8> {
    let hash = format!("%{torrent:02x}").repeat(20);
    format!(
        "GET /announce?info_hash={hash}&peer_id=-XX0001-000000000000&port={port}&uploaded=0&downloaded=0&left=1&compact=1{more} HTTP/1.1\r\n\
         Host: tracker.example\r\n\r\n"
    )
    .into_bytes()
}
