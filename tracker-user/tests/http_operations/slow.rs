//! Clients that take their time cost a bounded amount, and nobody else notices them (H17).

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use socket2::SockRef;
use tracker_testkit::http::answer::Answer;
use tracker_testkit::http::authority::client_hello;
use tracker_testkit::http::case::Setup;
use tracker_testkit::http::connection::Dial;
use tracker_testkit::http::play::read_answer;
use tracker_testkit::http::{Place, Running};
use tracker_testkit::rows::Family;

use crate::{BINARY, announce, counted, host, memory_kib};

/// Clients that send a byte a second.
const SLOW_SENDERS: u16 = 4800;
/// Clients that ask and ask and never read.
const SLOW_READERS: u16 = 200;
/// Connections of each host: fewer than an address may have.
const PER_HOST: u16 = 60;

/// Memory that a slow client may cost at most, with all that the process needs for itself. What a client hasn't read waits in the kernel.
const KIB_PER_CLIENT: u64 = 16;

/// Bytes of requests at most that the tracker takes from a client that reads nothing: their answers wait in the kernel's memory.
const MOST_UNREAD: usize = 1 << 20;

/// When the tracker has to have closed them all; nothing is measured with it.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn thousands_of_slow_clients_are_closed_and_counted_while_others_are_served() {
    // Each connection is a descriptor here as well.
    let wanted = format!("--nofile={}:", SLOW_SENDERS + SLOW_READERS + 500);
    let raised = Command::new("prlimit").args([&format!("--pid={}", std::process::id()), &wanted]).output();
    if !raised.is_ok_and(|output| output.status.success()) {
        println!("skipping: this process may not have {wanted} descriptors");
        return;
    }
    let setup = Setup {
        keys: vec![("request_timeout_s", "3"), ("workers", "2")],
        // The good client's requests come through a proxy, so that it may have any number of connections.
        trusted_hosts: vec![(Family::V4, 0xf100, 8)],
        ..Setup::default()
    };
    let tracker = Running::start(BINARY, Place::Loopback, &setup);
    let before = memory_kib(&tracker, "VmRSS:");

    let finished = AtomicBool::new(false);
    let served = AtomicU64::new(0);
    let most = thread::scope(|scope| {
        let good = [true, false].map(|keep_alive| {
            let (tracker, finished, served) = (&tracker, &finished, &served);
            scope.spawn(move || be_served(tracker, keep_alive, finished, served))
        });
        let most = be_slow(&tracker);
        finished.store(true, Ordering::Relaxed);
        for client in good {
            client.join().expect("every good request is answered well");
        }
        most
    });
    assert!(served.load(Ordering::Relaxed) > 100, "{served:?} requests were answered");
    let clients = u64::from(SLOW_SENDERS + SLOW_READERS);
    assert!(most - before < clients * KIB_PER_CLIENT, "from {before} KiB to {most} KiB");
    let counts = ["connections_closed_slow_request", "connections_closed_slow_reader"]
        .map(|name| counted(&tracker.home, name));
    assert_eq!(
        counts,
        [u64::from(SLOW_SENDERS), u64::from(SLOW_READERS)],
        "{}",
        tracker.home.stats()["http"]
    );
    tracker.daemon.stop_well();
}

/// A good client: one request after the other, each answered.
fn be_served(tracker: &Running, keep_alive: bool, finished: &AtomicBool, served: &AtomicU64) {
    let dial = tracker.dial(host(0xf200), false, None);
    let request = announce([0xaa; 20]);
    let mut connection = dial.open().expect("a good client is let in");
    while !finished.load(Ordering::Relaxed) {
        if !keep_alive {
            connection = dial.open().expect("a good client is let in");
        }
        let response = connection.ask(&request).unwrap_or_else(|why| panic!("a good request: {why}"));
        assert!(matches!(read_answer(&response), Ok(Answer::Announce(_))), "{response:?}");
        served.fetch_add(1, Ordering::Relaxed);
    }
}

/// Comes with all slow clients, and goes on until the last of them is closed. Returns the most memory that the tracker had, in KiB.
fn be_slow(tracker: &Running) -> u64 {
    let request = announce([0xbb; 20]);
    let connect = |n: u16| {
        let connection = tracker.dial(host(n / PER_HOST), false, None).open().expect("there is room for all");
        let stream = connection.socket().try_clone().expect("a descriptor");
        stream.set_nonblocking(true).expect("a socket");
        stream
    };
    // The first byte with the connection: before that it is the kernel's alone.
    let mut senders: Vec<(TcpStream, usize)> = (0..SLOW_SENDERS)
        .map(|n| {
            let mut stream = connect(n);
            stream.write_all(&request[..1]).expect("one byte");
            (stream, 1)
        })
        .collect();
    let many = request.repeat(200);
    let mut readers: Vec<(TcpStream, usize)> = (0..SLOW_READERS)
        .map(|n| {
            let stream = connect(SLOW_SENDERS + n);
            // What waits at this end doesn't count.
            SockRef::from(&stream).set_send_buffer_size(16 << 10).expect("a socket");
            (stream, 0)
        })
        .collect();

    let begin = Instant::now();
    let mut most = 0;
    let mut second = 0;
    while !(senders.is_empty() && readers.is_empty()) {
        assert!(
            begin.elapsed() < PATIENCE,
            "{} slow senders and {} slow readers are still there: {}",
            senders.len(),
            readers.len(),
            tracker.home.stats()["http"]
        );
        let is_time = begin.elapsed().as_secs() > second;
        if is_time {
            second += 1;
        }
        senders.retain_mut(|(stream, sent)| {
            if is_time {
                // A request of some hundred bytes would take minutes.
                let _ = stream.write(&request[*sent..=*sent]);
                *sent += 1;
            }
            is_open(stream)
        });
        // As many requests as it takes until the tracker can't send any more answers.
        readers.retain_mut(|(stream, sent)| match stream.write(&many[*sent % request.len()..]) {
            Ok(count) => {
                *sent += count;
                assert!(
                    *sent < MOST_UNREAD,
                    "the tracker has taken {sent} bytes of requests and nobody reads the answers"
                );
                true
            }
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        });
        most = most.max(memory_kib(tracker, "VmRSS:"));
        thread::yield_now();
    }
    most
}

/// Looks whether the tracker has closed it.
fn is_open(mut stream: &TcpStream) -> bool {
    match stream.read(&mut [0; 64]) {
        Ok(count) => count > 0,
        Err(error) => error.kind() == io::ErrorKind::WouldBlock,
    }
}

#[test]
fn handshakes_that_take_too_long_or_are_none_keep_nobody_out_and_are_counted() {
    let tls_keys = vec![("handshake_timeout_s", "5"), ("max_handshakes", "4")];
    let tracker = Running::start(BINARY, Place::Loopback, &Setup { tls_keys, ..Setup::default() });
    let https = Dial { tls: None, ..tracker.dial(host(1), true, None) };
    let hello = client_hello(&tracker.authority.client());
    let good = tracker.dial(host(2), true, None);
    let be_served = || {
        let mut connection = good.open().expect("a good client is let in");
        assert_eq!(connection.ask(&announce([1; 20])).expect("an answer").status, 200);
    };
    let mut slow = Vec::new();
    // Some say half of the first thing; some all of it and nothing more, and four of these have all the turns, for a second.
    for (count, length) in [(10, 11), (6, hello.len())] {
        for _ in 0..count {
            let mut connection = https.open().expect("the tracker listens");
            connection.send(&hello[..length]).expect("a few bytes");
            slow.push(connection);
        }
        be_served();
    }
    for connection in &mut slow {
        // Some have had an answer before the end.
        while connection.read_end().is_err_and(|why| !why.contains("stays open")) {
            connection.forget_unread();
        }
    }
    be_served();
    let mut none = https.open().expect("the tracker listens");
    none.send(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n").expect("a few bytes");
    tracker.daemon.eventually("handshakes are counted", || {
        let counts = ["tls_handshakes", "tls_handshakes_timed_out", "tls_handshakes_failed"];
        let counts = counts.map(|name| counted(&tracker.home, name));
        (counts == [3, 16, 1]).then_some(())
    });
    tracker.daemon.stop_well();
}
