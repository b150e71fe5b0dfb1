//! An answer on a connection that is warm allocates nothing, hyper's part included: counted by the allocator of this process, so in a process of its own.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http_ws::{Context, Endpoint, Listener, Settings};
use tracker_common::siphash::SipKey;
use tracker_core::{HeapSegments, Limits, Policy, SharedLists, TableWriter};

struct Counting;

static COUNT: AtomicU64 = AtomicU64::new(0);

thread_local!(static IS_SERVER: Cell<bool> = const { Cell::new(true) });

fn count() {
    // A thread that ends has no such variable any more.
    if IS_SERVER.try_with(Cell::get) == Ok(true) {
        COUNT.fetch_add(1, Ordering::Relaxed);
    }
}

// SAFETY: all of it is the system's allocator; a number is kept beside it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: what the caller owes is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: what the caller owes is passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: what the caller owes is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// As libtorrent asks.
const ANNOUNCE: &[u8] = b"GET /announce?info_hash=%01%02%03%04%05%06%07%08%09%0a%0b%0c%0d%0e%0f%10%11%12%13%14&peer_id=-LT20B0-000000000000\
    &port=6881&uploaded=0&downloaded=0&left=16384&corrupt=0&key=4D3C2B1A&event=started&numwant=30&compact=1&no_peer_id=1&supportcrypto=1&redundant=0 \
    HTTP/1.1\r\nHost: tracker.example:6969\r\nUser-Agent: libtorrent/2.0.11.0\r\nAccept-Encoding: gzip\r\n\r\n";

const SCRAPE: &[u8] = b"GET /scrape?info_hash=aaaaaaaaaaaaaaaaaaaa&info_hash=bbbbbbbbbbbbbbbbbbbb HTTP/1.1\r\nHost: tracker.example:6969\r\n\r\n";

const REQUESTS: u64 = 1000;

/// Allocations of 1,000 requests on a connection that is warm.
fn allocations(address: SocketAddr, request: &[u8]) -> u64 {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("not zero");
    let mut before = 0;
    let mut buffer = [0; 4096];
    for number in 0..REQUESTS + 100 {
        if number == 100 {
            before = COUNT.load(Ordering::Relaxed);
        }
        stream.write_all(request).expect("it is read");
        // One write of the server, far smaller than what loopback sends at once.
        let count = stream.read(&mut buffer).expect("an answer");
        assert!(buffer[..count].starts_with(b"HTTP/1.1 200 OK"));
    }
    COUNT.load(Ordering::Relaxed) - before
}

#[test]
fn answers_allocate_nothing() {
    IS_SERVER.set(false);
    let (tracker, _server) = tracker();
    for (name, request) in [("announce", ANNOUNCE), ("scrape", SCRAPE)] {
        let count = allocations(tracker, request);
        // Buffers that grow once are allowed to.
        assert!(count <= REQUESTS / 100, "{name}: {count} allocations for {REQUESTS} requests");
    }
}

fn tracker() -> (SocketAddr, http_ws::Server) {
    let limits = Limits { first_buckets: 2, ..Limits::default() };
    let table = TableWriter::new(limits, SipKey::from_bytes([1; 16]), Box::new(HeapSegments));
    // Nobody applies events: the queue holds more than are emitted.
    let (sinks, source) = tracker_core::queues(1);
    std::mem::forget(source);
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    socket.set_nonblocking(true).expect("it is a socket");
    let address = socket.local_addr().expect("it is bound");
    let context = Context {
        table: table.expect("there is memory").reader(),
        lists: Arc::new(SharedLists::default()),
        policy: Policy::default(),
        settings: Arc::new(Settings::default()),
        clock: || 0,
        tls: None,
    };
    let endpoint = Endpoint { address, tls: false, proxy_protocol: false };
    let listeners = vec![Listener { endpoint, sockets: vec![socket] }];
    let server = http_ws::start(listeners, context, sinks, |reason| panic!("{reason}"));
    (address, server.expect("there are threads"))
}
