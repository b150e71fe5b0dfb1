//! Clients that don't read, or don't finish what they say, are closed and counted, and others don't notice (W10).

use std::io::Write as _;
use std::thread;

use socket2::SockRef;
use tracker_testkit::http::case::Setup;
use tracker_testkit::http::{Place, Running};
use tracker_testkit::ws::Client;
use tracker_testkit::ws::counters::{self, CLOSED_BAD, CLOSED_SLOW, PEERS};
use tracker_testkit::ws::frames;
use tracker_testkit::ws::message::Message;
use tracker_testkit::ws::request::Announce;

use crate::{BINARY, announce, leecher, memory_kib, open, open_tls, wait_for};

/// Announces at most: more than enough for what kernel and tracker may keep of them.
const ANNOUNCES: u32 = 1000;

/// An announce with two offers of 30 KB.
fn large(number: u16, round: u32) -> Announce {
    let offer = format!("\"{}\"", "x".repeat(30_000));
    let offers = vec![(format!("{round}"), offer.clone()), (format!("{round}"), offer)];
    Announce { offers, ..leecher(number) }
}

fn does_not_read(client: &Client) {
    // What waits at this end doesn't count.
    SockRef::from(client.connection().socket()).set_recv_buffer_size(4096).expect("a socket");
}

/// The id of the next message, which is an offer.
fn next_offer(client: &mut Client) -> Result<u32, String> {
    match client.read()? {
        Message::Offer(offer) => Ok(offer.offer_id.parse().expect("a number")),
        other => panic!("{other:?} is no offer"),
    }
}

/// A client offers until the third one, which doesn't read, is closed; the second one gets all of it.
fn offer_until_closed(tracker: &Running, slow: &mut Client) {
    let (mut offering, mut reading) = (open(tracker, 1), open_tls(tracker, 2));
    assert_eq!(announce(slow, &leecher(3)), (0, 1));
    assert_eq!(announce(&mut reading, &leecher(2)), (0, 2));
    does_not_read(slow);
    let before = memory_kib(tracker, "VmRSS:");
    let mut rounds = 0;
    while counters::counted(&tracker.home, CLOSED_SLOW) == 0 {
        assert!(rounds < ANNOUNCES, "it isn't closed: {}", counters::all(&tracker.home));
        announce(&mut offering, &large(1, rounds));
        assert_eq!(next_offer(&mut reading), Ok(rounds), "others get everything");
        rounds += 1;
    }
    let grown = memory_kib(tracker, "VmRSS:").saturating_sub(before);
    assert!(grown < 8 << 10, "by {grown} KiB");
    wait_for(tracker, PEERS, 2);
    // What the slow one gets is what was sent, without a gap, and then the end.
    let mut got = 0;
    let why = loop {
        match next_offer(slow) {
            Ok(id) => assert_eq!(id, got, "nothing is dropped silently"),
            Err(why) => break why,
        }
        got += 1;
    };
    assert!(got < rounds && !why.contains("nothing comes"), "{got} of {rounds} offers, then {why}");
    // The others go on.
    assert_eq!(announce(&mut offering, &large(1, rounds)), (0, 2));
    assert_eq!(next_offer(&mut reading), Ok(rounds));
    assert_eq!(counters::counted(&tracker.home, CLOSED_SLOW), 1);
    offering.close(1000).unwrap();
    reading.close(1000).unwrap();
}

#[test]
fn who_does_not_read_is_closed_when_its_queue_is_full() {
    for (tls, workers) in [(false, "1"), (true, "3")] {
        let setup = Setup {
            // A full queue is what closes it, not time.
            keys: vec![("workers", workers), ("request_timeout_s", "600")],
            webtorrent_keys: vec![("max_queue_bytes", "100000")],
            ..Setup::default()
        };
        let tracker = Running::start(BINARY, Place::Loopback, &setup);
        let mut slow = if tls { open_tls(&tracker, 3) } else { open(&tracker, 3) };
        offer_until_closed(&tracker, &mut slow);
        tracker.daemon.stop_well();
    }
}

#[test]
fn who_does_not_read_is_closed_in_time_though_its_queue_is_not_full() {
    let setup = Setup {
        keys: vec![("workers", "2"), ("request_timeout_s", "2")],
        webtorrent_keys: vec![("max_queue_bytes", "67108864")],
        ..Setup::default()
    };
    let tracker = Running::start(BINARY, Place::Loopback, &setup);
    let (mut offering, mut slow) = (open(&tracker, 1), open(&tracker, 3));
    assert_eq!(announce(&mut slow, &leecher(3)), (0, 1));
    does_not_read(&slow);
    for round in 0..300 {
        announce(&mut offering, &large(1, round));
    }
    wait_for(&tracker, CLOSED_SLOW, 1);
    wait_for(&tracker, PEERS, 1);
    offering.close(1000).unwrap();
    tracker.daemon.stop_well();
}

#[test]
fn who_does_not_finish_a_message_is_closed_in_time() {
    let setup = Setup { keys: vec![("request_timeout_s", "1")], ..Setup::default() };
    let tracker = Running::start(BINARY, Place::Loopback, &setup);
    let (mut fragment, mut frame, mut idle) = (open(&tracker, 1), open_tls(&tracker, 2), open(&tracker, 3));
    for (n, client) in [(1, &mut fragment), (2, &mut frame), (3, &mut idle)] {
        announce(client, &leecher(n));
    }
    fragment.send(&frames::unfinished(b"{")).unwrap();
    let whole = frames::text(leecher(2).text().as_bytes());
    frame.send(&whole[..whole.len() - 1]).unwrap();
    assert_eq!(fragment.read_close(), Ok(Some(1008)));
    assert_eq!(frame.read_close(), Ok(Some(1008)));
    wait_for(&tracker, CLOSED_BAD, 2);
    wait_for(&tracker, PEERS, 1);
    idle.ping(b"still there").unwrap();
    tracker.daemon.stop_well();
}

#[test]
fn who_asks_faster_than_it_reads_gets_all_answers() {
    const REQUESTS: usize = 30_000;
    let tracker = Running::start(BINARY, Place::Loopback, &Setup::default());
    let mut client = open(&tracker, 1);
    does_not_read(&client);
    let announce = frames::text(leecher(1).text().as_bytes());
    let many = announce.repeat(REQUESTS);
    let mut sending = client.connection().socket().try_clone().expect("a descriptor");
    thread::scope(|scope| {
        scope.spawn(move || sending.write_all(&many).expect("the tracker reads on when answers are read"));
        for n in 0..REQUESTS {
            let message = client.read().unwrap_or_else(|why| panic!("after {n} answers: {why}"));
            assert!(matches!(message, Message::Announced { complete: 0, incomplete: 1, .. }), "{message:?}");
        }
    });
    client.close(1000).unwrap();
    assert_eq!(counters::counted(&tracker.home, CLOSED_SLOW), 0);
    tracker.daemon.stop_well();
}

#[test]
fn who_asks_and_does_not_read_is_closed() {
    let setup = Setup { keys: vec![("request_timeout_s", "1")], ..Setup::default() };
    let tracker = Running::start(BINARY, Place::Loopback, &setup);
    let before = memory_kib(&tracker, "VmRSS:");
    let client = open(&tracker, 1);
    does_not_read(&client);
    let many = frames::text(leecher(1).text().as_bytes()).repeat(1000);
    let mut sending = client.connection().socket();
    // Until the tracker has gone.
    while sending.write_all(&many).is_ok() {}
    wait_for(&tracker, CLOSED_SLOW, 1);
    wait_for(&tracker, PEERS, 0);
    let grown = memory_kib(&tracker, "VmRSS:").saturating_sub(before);
    assert!(grown < 8 << 10, "by {grown} KiB");
    tracker.daemon.stop_well();
}
