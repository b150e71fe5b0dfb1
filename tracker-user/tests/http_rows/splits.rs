//! Requests that come in two parts, cut at every byte, and byte by byte.
//!
//! Before the next part is sent the tracker has read the one before: the kernel says so.

use std::time::Duration;

use socket2::SockRef;
use tracker_testkit::http::answer::Answer;
use tracker_testkit::http::case::{Host, Setup};
use tracker_testkit::http::connection::{Connection, Response};
use tracker_testkit::http::play::read_answer;
use tracker_testkit::http::query::{self, Announce, Version};
use tracker_testkit::http::unread::Unread;
use tracker_testkit::http::{Place, Running};
use tracker_testkit::rows::Family;

const CLIENT: Host = Host { family: Family::V4, number: 1 };
/// A proxy that may speak the PROXY protocol.
const PROXY: Host = Host { family: Family::V4, number: 0xf100 };

fn tracker() -> Running {
    let setup = Setup { trusted_hosts: vec![(Family::V4, PROXY.number, 8)], ..Setup::default() };
    Running::start(crate::BINARY, Place::Loopback, &setup)
}

/// What is asked, and how the answer is known.
struct Asked {
    request: Vec<u8>,
    is_answered: fn(&Response) -> bool,
}

fn requests() -> [Asked; 5] {
    let announced = |response: &Response| matches!(read_answer(response), Ok(Answer::Announce(_)));
    let raw_bytes = [
        &b"GET http://tracker.test/announce?info_hash=\xff\xfe%c3\xa9+%2B=&peer_id="[..],
        b"abcdefghijklmnopqrst&port=1&left=0&info_hash=%00%01%02%03%04%05%06%07%08%09\x80\x90abcdefgh HTTP/1.1\r\n",
        b"Host: tracker.test\r\nUser-Agent: B\xe4r\r\n\r\n",
    ]
    .concat();
    let headers: &[(&str, &[u8])] = &[("User-Agent", b"client/1.0"), ("Accept", b"*/*"), ("X-Empty", b"")];
    [
        Asked {
            request: query::get(Announce::default().target().as_bytes(), headers, Version::Http11),
            is_answered: announced,
        },
        Asked { request: raw_bytes, is_answered: announced },
        Asked {
            request: query::get(query::scrape(&[[1; 20], [2; 20]]).as_bytes(), &[], Version::Http10),
            is_answered: |response| matches!(read_answer(response), Ok(Answer::Scrape(torrents)) if torrents.len() == 2),
        },
        Asked {
            request: b"\r\nGET /announce?x=1 HTTP/1.1\r\nhost:x\r\n\r\n".to_vec(),
            is_answered: |response| matches!(read_answer(response), Ok(Answer::Failure { .. })),
        },
        Asked {
            request: b"HEAD /nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_vec(),
            is_answered: |response| response.status == 404,
        },
    ]
}

#[test]
fn requests_may_be_cut_at_every_byte() {
    let tracker = tracker();
    let unread = Unread::new();
    for tls in [false, true] {
        let way = tracker.dial(CLIENT, tls, None);
        for asked in requests() {
            for at in 1..asked.request.len() {
                let (first, second) = asked.request.split_at(at);
                let mut connection = way.open().unwrap();
                connection.send(first).unwrap();
                unread.wait(connection.socket());
                connection.send(second).unwrap();
                expect(&mut connection, &asked, at);
            }
        }
    }
    tracker.daemon.stop_well();
}

#[test]
fn requests_may_come_byte_by_byte() {
    let tracker = tracker();
    let unread = Unread::new();
    for tls in [false, true] {
        for asked in requests() {
            let mut connection = tracker.dial(CLIENT, tls, None).open().unwrap();
            for (n, byte) in asked.request.iter().enumerate() {
                // After the last one the tracker may be gone at once.
                if n > 0 {
                    unread.wait(connection.socket());
                }
                connection.send(std::slice::from_ref(byte)).unwrap();
            }
            expect(&mut connection, &asked, asked.request.len());
        }
    }
    tracker.daemon.stop_well();
}

#[test]
fn a_request_and_half_the_next_one_come_together() {
    let tracker = tracker();
    for tls in [false, true] {
        let [asked, ..] = requests();
        for at in 1..asked.request.len() {
            let (begin, end) = asked.request.split_at(at);
            let mut connection = tracker.dial(CLIENT, tls, None).open().unwrap();
            connection.send(&[&asked.request, begin].concat()).unwrap();
            expect(&mut connection, &asked, at);
            connection.send(end).unwrap();
            expect(&mut connection, &asked, at);
        }
    }
    tracker.daemon.stop_well();
}

#[test]
fn a_header_of_the_proxy_protocol_may_be_cut_at_every_byte() {
    let tracker = tracker();
    let unread = Unread::new();
    let v1 = b"PROXY TCP4 192.0.2.1 198.51.100.1 1000 80\r\n".to_vec();
    let v2 = [
        &b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0f"[..],
        &[192, 0, 2, 1, 198, 51, 100, 1, 3, 232, 0, 80],
        &[4, 0, 0],
    ]
    .concat();
    let [asked, ..] = requests();
    for header in [v1, v2] {
        let whole = [&header[..], &asked.request].concat();
        for at in 1..=header.len() + 2 {
            let mut connection = tracker.dial(PROXY, false, Some(b"")).open().unwrap();
            connection.send(&whole[..at]).unwrap();
            // While a header is incomplete some of it may stay in the socket.
            if at > header.len() {
                unread.wait(connection.socket());
            }
            connection.send(&whole[at..]).unwrap();
            let response = connection.read_response(false).unwrap_or_else(|why| panic!("cut at {at}: {why}"));
            let Ok(Answer::Announce(announced)) = read_answer(&response) else {
                panic!("cut at {at}: {response:?}")
            };
            assert_eq!(announced.external_ip.to_string(), "192.0.2.1", "cut at {at}");
        }
    }
    tracker.daemon.stop_well();
}

#[track_caller]
fn expect(connection: &mut Connection, asked: &Asked, at: usize) {
    let tls = connection.session().is_some();
    let text = format!("{} (TLS: {tls})", asked.request.escape_ascii());
    let to_head = asked.request.starts_with(b"HEAD ");
    let response =
        connection.read_response(to_head).unwrap_or_else(|why| panic!("{text} cut at {at}: {why}"));
    assert!((asked.is_answered)(&response), "{text} cut at {at}: {response:?}");
    // Thousands of connections that linger would make the kernel's table long; this one ends with a reset.
    SockRef::from(connection.socket()).set_linger(Some(Duration::ZERO)).expect("a socket");
}
