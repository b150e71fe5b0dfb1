//! Messages and frames with bytes changed at random: whatever they are, the tracker answers or closes, and goes on; and nobody is left in a
//! swarm.

use tracker_testkit::http::case::{Host, Setup};
use tracker_testkit::http::{Place, Running};
use tracker_testkit::rows::Family;
use tracker_testkit::ws::Client;
use tracker_testkit::ws::case::peer_id;
use tracker_testkit::ws::client::Vanishing;
use tracker_testkit::ws::counters;
use tracker_testkit::ws::frames;
use tracker_testkit::ws::request::{ANSWER, Announce, Answer, scrape};
use tracker_testkit::ws::upgrade::Upgrade;

/// Each is a connection.
const ROUNDS: usize = 5000;

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
        const PIECES: [&[u8]; 14] = [
            b"\"",
            b"{",
            b"[",
            b"}",
            b",",
            b":",
            b"\\u00",
            b"\\",
            b"\0",
            b"\xff",
            b"null",
            b"0",
            b"\"offers\":",
            b"\x81\x80",
        ];
        for _ in 0..=self.below(3) {
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
fn no_message_and_no_frame_ends_a_worker() {
    let setup = Setup {
        keys: vec![("workers", "2"), ("full_scrape", "true"), ("full_scrape_interval_s", "1")],
        ..Setup::default()
    };
    let tracker = Running::start(crate::BINARY, Place::Loopback, &setup);
    let open = |number| {
        let host = Host { family: Family::V4, number };
        Client::open(&tracker.dial(host, false, None), &Upgrade::default()).expect("a client is let in")
    };
    let info_hash = [0xe9; 20];
    let answer = Answer {
        info_hash,
        peer_id: peer_id(0),
        to_peer_id: peer_id(1),
        offer_id: "1".into(),
        answer: ANSWER.into(),
    };
    let messages = [
        Announce { info_hash, ..Announce::default() }.offering(&["1", "2"]).text(),
        Announce { info_hash, ..Announce::default() }.event("\"stopped\"").text(),
        answer.text(),
        scrape(&[info_hash, [0; 20]]),
        "{\"action\":\"scrape\"}".to_owned(),
    ];
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for round in 0..ROUNDS {
        let mut message = messages[random.below(messages.len())].clone().into_bytes();
        // Half of them are wrong in what they say, the others in how it is framed.
        let bytes = match random.below(4) {
            0 | 1 => {
                random.mutate(&mut message);
                if round % 2 == 0 { frames::text(&message) } else { frames::fragments(&message) }
            }
            2 => {
                let mut bytes = frames::fragments(&message);
                random.mutate(&mut bytes);
                bytes
            }
            _ => {
                let mut bytes = [frames::ping(b"x"), frames::binary(&message), frames::close(1000)].concat();
                random.mutate(&mut bytes);
                bytes
            }
        };
        let mut client = open(round as u16 % 100);
        // Nobody knows what comes, if anything; but then the end, since nothing follows.
        let sent = client.send(&bytes).and_then(|()| client.send(&frames::close(1000)));
        if sent.and_then(|()| client.finish_sending()).is_ok() && round % 8 != 0 {
            while client.read().is_ok() {}
        }
        client.vanish(if round % 2 == 0 { Vanishing::Reset } else { Vanishing::Fin });
    }
    for name in counters::NOW {
        tracker.daemon.eventually(name, || (counters::counted(&tracker.home, name) == 0).then_some(()));
    }
    open(1).ping(b"there?").expect("a pong");
    assert!(!tracker.daemon.log().contains("panicked"), "{}", tracker.daemon.log());
    tracker.daemon.stop_well();
}
