//! WebTorrent as an operator sees it: proxies in front, clients that want what isn't theirs, that vanish or don't read, lists and
//! certificates that change, a stop.
//!
//! - `proxies`: whose a connection is that comes through a reverse proxy; `nginx`: one from Debian.
//! - `strangers`: what a client can't do to another one.
//! - `vanishing`: a thousand connections that end without a word.
//! - `silence`: clients whose network is gone, or who don't answer pings.
//! - `slow`: clients that don't read what is sent to them, or don't finish what they say.
//! - `crowd`: many clients that come, talk and go at the same time.
//! - `changes`: the lists, the certificate, a stop.
//! - `limits`: too many connections.
//! - `beside_http`: both on one port, with swarms of their own.

mod beside_http;
mod changes;
mod crowd;
mod limits;
mod nginx;
mod proxies;
mod silence;
mod slow;
mod strangers;
mod vanishing;

use tracker_testkit::http::Running;
use tracker_testkit::http::case::Host;
use tracker_testkit::http::connection::Dial;
use tracker_testkit::rows::Family;
use tracker_testkit::ws::Client;
use tracker_testkit::ws::case::peer_id;
use tracker_testkit::ws::client::Refused;
use tracker_testkit::ws::counters;
use tracker_testkit::ws::message::{Forwarded, Message};
use tracker_testkit::ws::request::{ANSWER, Announce, Answer, OFFER};
use tracker_testkit::ws::upgrade::Upgrade;

const BINARY: &str = env!("CARGO_BIN_EXE_tracker-user");

/// The torrent of most tests.
const TORRENT: [u8; 20] = [0x7a; 20];

/// An IPv4 host.
fn host(number: u16) -> Host {
    Host { family: Family::V4, number }
}

/// A client at this host.
#[track_caller]
fn open(tracker: &Running, number: u16) -> Client {
    upgraded(&tracker.dial(host(number), false, None))
}

/// The same in TLS.
#[track_caller]
fn open_tls(tracker: &Running, number: u16) -> Client {
    upgraded(&tracker.dial(host(number), true, None))
}

#[track_caller]
fn upgraded(dial: &Dial) -> Client {
    Client::open(dial, &Upgrade::default()).unwrap_or_else(|why| panic!("no WebSocket: {why:?}"))
}

/// The status that an upgrade request gets instead of 101; `None`: the connection is closed.
#[track_caller]
fn refused(dial: &Dial, upgrade: &Upgrade) -> Option<u16> {
    match Client::open(dial, upgrade) {
        Ok(_) => panic!("{dial:?} is upgraded"),
        Err(Refused::Response(response)) => Some(response.status),
        Err(Refused::Broken(_)) => None,
    }
}

/// A leecher's announce.
fn leecher(number: u16) -> Announce {
    Announce { info_hash: TORRENT, peer_id: peer_id(number), ..Announce::default() }
}

/// Seeders and leechers of the answer to an announce.
#[track_caller]
fn announce(client: &mut Client, announce: &Announce) -> (u64, u64) {
    match client.ask(&announce.text()).expect("an answer") {
        Message::Announced { complete, incomplete, .. } => (complete, incomplete),
        other => panic!("{announce:?} got {other:?}"),
    }
}

/// An answer to an offer.
fn answer(from: u16, to: u16, offer_id: &str) -> Answer {
    Answer {
        info_hash: TORRENT,
        peer_id: peer_id(from),
        to_peer_id: peer_id(to),
        offer_id: offer_id.to_owned(),
        answer: ANSWER.to_owned(),
    }
}

/// The next message is this offer.
#[track_caller]
fn gets_offer(client: &mut Client, from: u16, offer_id: &str) {
    assert_eq!(client.read(), Ok(Message::Offer(forwarded(from, offer_id, OFFER))));
}

/// The next message is an answer to this offer.
#[track_caller]
fn gets_answer(client: &mut Client, from: u16, offer_id: &str) {
    assert_eq!(client.read(), Ok(Message::Answer(forwarded(from, offer_id, ANSWER))));
}

fn forwarded(from: u16, offer_id: &str, content: &str) -> Forwarded {
    Forwarded {
        info_hash: TORRENT,
        peer_id: peer_id(from),
        offer_id: offer_id.to_owned(),
        content: content.to_owned(),
    }
}

/// A message fails, for this reason.
#[track_caller]
fn fails(client: &mut Client, text: &str, why: &str) {
    match client.ask(text).expect("an answer") {
        Message::Failure { reason, .. } if reason == why => {}
        other => panic!("{text} got {other:?}"),
    }
}

/// Waits until a number of WebTorrent's is this one.
#[track_caller]
fn wait_for(tracker: &Running, name: &str, wanted: u64) {
    tracker.daemon.eventually(&format!("{name} is {wanted}"), || {
        (counters::counted(&tracker.home, name) == wanted).then_some(())
    });
}

/// Waits until nothing is there: no connection, no torrent, no peer.
#[track_caller]
fn wait_for_nothing(tracker: &Running) {
    for name in counters::NOW {
        wait_for(tracker, name, 0);
    }
}

/// A field of /proc/PID/status in KiB.
fn memory_kib(tracker: &Running, field: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", tracker.daemon.id())).expect("it runs");
    let line = status.lines().find(|line| line.starts_with(field)).expect("Linux has the field");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number of kB")
}
