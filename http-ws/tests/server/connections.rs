//! The lives of connections: kept, parked, closed, turned away.

use std::time::Duration;

use http_ws::Settings;

use super::{Tracker, announce, answer, rest, send};

/// Limits that a test doesn't have to wait for.
fn impatient() -> Settings {
    Settings {
        request_timeout: Duration::from_millis(300),
        idle_timeout: Duration::from_millis(300),
        ..Settings::default()
    }
}

const HEALTH: &[u8] = b"GET /health HTTP/1.1\r\n\r\n";

#[test]
fn connection_that_was_parked_goes_on() {
    let tracker = Tracker::start(Settings::default());
    let mut stream = tracker.connect();
    for _ in 0..2 {
        send(&mut stream, HEALTH);
        assert_eq!(answer(&mut stream), ("HTTP/1.1 200 OK".to_owned(), b"ok\n".to_vec()));
        // Longer than a connection keeps its buffers.
        std::thread::sleep(Duration::from_secs(2));
    }
    send(&mut stream, b"GET /health HTTP/1.1\r\nConnection: close\r\n\r\n");
    assert!(rest(&mut stream).ends_with(b"\r\n\r\nok\n"));
}

#[test]
fn beginning_of_a_request_behind_another_survives_parking() {
    let tracker = Tracker::start(Settings::default());
    let mut stream = tracker.connect();
    send(&mut stream, &[HEALTH, b"GET /hea"].concat());
    assert_eq!(answer(&mut stream).1, b"ok\n");
    std::thread::sleep(Duration::from_secs(2));
    send(&mut stream, b"lth HTTP/1.1\r\n\r\n");
    assert_eq!(answer(&mut stream).1, b"ok\n");
}

#[test]
fn connections_that_take_too_long_are_closed_and_counted() {
    let tracker = Tracker::start(impatient());
    let [mut silent, mut slow, mut idle] = [tracker.connect(), tracker.connect(), tracker.connect()];
    send(&mut slow, b"GET /hea");
    send(&mut idle, HEALTH);
    answer(&mut idle);
    for stream in [&mut silent, &mut slow, &mut idle] {
        assert_eq!(rest(stream), b"");
    }
    tracker.until("connections_closed", 3);
    assert_eq!(tracker.count("connections_closed_idle"), 2);
    assert_eq!(tracker.count("connections_closed_slow_request"), 1);
    assert_eq!(tracker.count("connections_open"), 0);
}

#[test]
fn client_that_does_not_read_is_closed_and_counted() {
    let tracker = Tracker::start(impatient());
    let mut stream = tracker.connect();
    stream.set_write_timeout(Some(Duration::from_millis(100))).expect("not zero");
    let request = announce(1, 1, "");
    // Until both systems' buffers are full and the server writes no more, so it reads no more.
    let full = loop {
        if let Err(error) = std::io::Write::write_all(&mut stream, &request.repeat(100)) {
            break error;
        }
    };
    assert!(
        matches!(full.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::ConnectionReset),
        "{full}"
    );
    tracker.until("connections_closed_slow_reader", 1);
}

#[test]
fn there_are_only_so_many_connections() {
    let tracker = Tracker::start(Settings { max_connections: 1, ..Settings::default() });
    let mut first = tracker.connect();
    send(&mut first, HEALTH);
    answer(&mut first);
    let mut second = tracker.connect();
    send(&mut second, &announce(1, 1, ""));
    let told = rest(&mut second);
    assert!(
        told.ends_with(b"d14:failure reason20:too many connections8:retry ini5ee"),
        "{}",
        told.escape_ascii()
    );
    assert_eq!(tracker.count("connections_refused"), 1);
    drop(first);
    tracker.until("connections_open", 0);
    let mut third = tracker.connect();
    send(&mut third, HEALTH);
    assert_eq!(answer(&mut third).1, b"ok\n");
}

#[test]
fn an_address_has_only_so_many_connections() {
    let tracker = Tracker::start(Settings { max_connections_per_address: 1, ..Settings::default() });
    let mut first = tracker.connect();
    send(&mut first, HEALTH);
    answer(&mut first);
    assert_eq!(rest(&mut tracker.connect()), b"");
    tracker.until("connections_refused_address", 1);
    send(&mut first, HEALTH);
    assert_eq!(answer(&mut first).1, b"ok\n");
}

#[test]
fn bad_requests_are_told_so_and_closed() {
    let tracker = Tracker::start(Settings::default());
    let long = [b"GET /health HTTP/1.1\r\nX: ".as_slice(), &[b'x'; 20_000], b"\r\n\r\n"].concat();
    for (request, status) in [
        (b"no request at all\r\n\r\n".as_slice(), "400"),
        (&long, "431"),
        (b"GET /health HTTP/1.1\r\nContent-Length: 3\r\n\r\n\xff\xff\xff", "400"),
    ] {
        let mut stream = tracker.connect();
        send(&mut stream, request);
        let told = rest(&mut stream);
        assert!(told.starts_with(format!("HTTP/1.1 {status} ").as_bytes()), "{}", told.escape_ascii());
    }
    assert_eq!((tracker.count("bad_request"), tracker.count("header_too_large")), (2, 1));
}
