//! Requests with bytes changed at random: whatever they are, the tracker answers or closes, and goes on.

use tracker_testkit::http::case::{Host, Setup};
use tracker_testkit::http::query::{self, Announce, Version};
use tracker_testkit::http::{Place, Running};
use tracker_testkit::rows::Family;

/// Each is a connection.
const ROUNDS: u32 = 10_000;

/// A trusted proxy: its headers are read as well.
const PROXY: Host = Host { family: Family::V4, number: 0xf100 };

/// Marsaglia's xorshift: the same mutations in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }

    /// Some bytes changed, cut out, doubled, or put in.
    fn mutate(&mut self, bytes: &mut Vec<u8>) {
        const PIECES: [&[u8]; 12] =
            [b"%", b"&", b"=", b"?", b"\r\n", b"\0", b"\xff", b" ", b":", b",", b"\r\n\r\n", b"info_hash="];
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len());
            let end = (at + self.below(20)).min(bytes.len());
            match self.below(5) {
                0 => bytes[at] = self.below(256) as u8,
                1 => drop(bytes.drain(at..end)),
                2 => {
                    let copy = bytes[at..end].to_vec();
                    bytes.splice(at..at, copy);
                }
                3 => {
                    let piece = PIECES[self.below(PIECES.len())];
                    bytes.splice(at..at, piece.iter().copied());
                }
                _ => bytes[at] ^= 1 << self.below(8),
            }
            if bytes.is_empty() {
                bytes.push(0);
            }
        }
    }
}

#[test]
fn no_request_ends_a_worker() {
    let setup = Setup {
        trusted_hosts: vec![(Family::V4, PROXY.number, 8)],
        keys: vec![("use_ip_parameters", "true"), ("full_scrape", "true")],
        ..Setup::default()
    };
    let tracker = Running::start(crate::BINARY, Place::Loopback, &setup);
    let announce = Announce { tail: "&ip=192.0.2.9&ipv6=[2001:db8::1]:80".to_owned(), ..Announce::default() };
    let headers: &[(&str, &[u8])] =
        &[("X-Forwarded-For", b"192.0.2.1, [2001:db8::7]:80"), ("Accept-Encoding", b"gzip;q=0.5")];
    let requests = [
        query::get(announce.target().as_bytes(), headers, Version::Http11),
        query::get(query::scrape(&[[1; 20], [2; 20]]).as_bytes(), headers, Version::Http10),
        query::get(b"/scrape", headers, Version::Http11),
    ];
    let header: &[u8] = b"PROXY TCP4 192.0.2.1 198.51.100.1 1000 80\r\n";
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for round in 0..ROUNDS as usize {
        let proxied = round % 4 == 0;
        let mut bytes = requests[random.below(requests.len())].clone();
        if proxied {
            bytes.splice(0..0, header.iter().copied());
        }
        random.mutate(&mut bytes);
        let mut connection =
            tracker.dial(PROXY, false, proxied.then_some(b"")).open().expect("the tracker listens");
        // Nobody knows what comes; but something does, or the end, since nothing follows.
        let sent = connection.send(&bytes).and_then(|()| connection.finish_sending());
        if sent.is_ok() {
            let _ = connection.read_response(false);
        }
    }
    let mut good = tracker.dial(PROXY, false, None).open().unwrap();
    assert_eq!(good.ask(&query::get(b"/health", &[], Version::Http11)).unwrap().status, 200);
    assert!(!tracker.daemon.log().contains("panicked"), "{}", tracker.daemon.log());
    tracker.daemon.stop_well();
}
