//! HTTP and WebSocket on one port: a connection may have been used for requests before, and each has swarms of its own.

use tracker_testkit::http::answer::Answer;
use tracker_testkit::http::case::Setup;
use tracker_testkit::http::play::read_answer;
use tracker_testkit::http::query::{self, Version};
use tracker_testkit::http::{Place, Running};
use tracker_testkit::ws::Client;
use tracker_testkit::ws::counters;
use tracker_testkit::ws::frames;
use tracker_testkit::ws::upgrade::Upgrade;

use crate::{BINARY, TORRENT, announce, gets_offer, host, leecher, open};

/// An announce over HTTP.
fn by_http() -> Vec<u8> {
    let announce = query::Announce { info_hash: TORRENT, ..query::Announce::default() };
    query::get(announce.target().as_bytes(), &[], Version::Http11)
}

#[test]
fn a_connection_is_upgraded_after_any_number_of_requests() {
    let tracker = Running::start(BINARY, Place::Loopback, &Setup::default());
    for tls in [false, true] {
        let mut connection = tracker.dial(host(1), tls, None).open().expect("it listens");
        for _ in 0..3 {
            let response = connection.ask(&by_http()).expect("an answer");
            assert!(matches!(read_answer(&response), Ok(Answer::Announce(_))), "{response:?}");
        }
        let health = query::get(b"/health", &[], Version::Http11);
        assert_eq!(connection.ask(&health).expect("an answer").status, 200);
        // A request that is refused is one like others.
        let refused = connection.ask(&Upgrade::default().with("Sec-WebSocket-Version", "8").bytes());
        assert_eq!(refused.expect("an answer").status, 426);
        if connection.ask(&health).map(|response| response.status) != Ok(200) {
            connection = tracker.dial(host(1), tls, None).open().expect("it listens");
        }
        let mut client = Client::over(connection, &Upgrade::to("/announce")).expect("an upgrade");
        assert_eq!(announce(&mut client, &leecher(1)), (0, 1));
        client.close(1000).unwrap();
    }
    tracker.daemon.stop_well();
}

#[test]
fn each_has_swarms_of_its_own() {
    let mut tracker = Running::start(BINARY, Place::Loopback, &Setup::default());
    let (mut first, mut second) = (open(&tracker, 1), open(&tracker, 2));
    announce(&mut first, &leecher(1));
    let mut connection = tracker.dial(host(3), false, None).open().expect("it listens");
    let mut ask = || match read_answer(&connection.ask(&by_http()).expect("an answer")) {
        Ok(Answer::Announce(announced)) => announced,
        other => panic!("an announce got {other:?}"),
    };
    assert_eq!(ask().incomplete, 1);
    tracker.settle();
    let announced = ask();
    assert_eq!((announced.incomplete, announced.peers.len()), (1, 0));
    assert_eq!(announce(&mut second, &leecher(2).offering(&["1", "2"])), (0, 2));
    gets_offer(&mut first, 2, "1");
    assert_eq!(first.scrape(&[TORRENT]).unwrap()[0].1.leechers, 2);
    let scrape = query::get(query::scrape(&[TORRENT]).as_bytes(), &[], Version::Http11);
    let mut connection = tracker.dial(host(3), false, None).open().expect("it listens");
    match read_answer(&connection.ask(&scrape).expect("an answer")) {
        Ok(Answer::Scrape(torrents)) => assert_eq!(torrents[0].1.counts.leechers, 1),
        other => panic!("a scrape got {other:?}"),
    }
    first.close(1000).unwrap();
    second.close(1000).unwrap();
    tracker.daemon.stop_well();
}

#[test]
fn a_message_that_does_not_wait_for_the_upgrade_ends_the_connection() {
    let tracker = Running::start(BINARY, Place::Loopback, &Setup::default());
    let mut connection = tracker.dial(host(1), false, None).open().expect("it listens");
    let message = frames::text(leecher(1).text().as_bytes());
    connection.send(&[Upgrade::default().bytes(), message].concat()).expect("it listens");
    // It may have been a request to somebody else, which a proxy in front took for a part of this one.
    match connection.read_response(false) {
        Ok(response) if response.status == 101 => connection.read_end().expect("the end"),
        Ok(response) => assert_eq!(response.status, 400),
        Err(_) => {}
    }
    assert_eq!(counters::counted(&tracker.home, counters::IN_ANNOUNCE), 0);
    tracker.daemon.stop_well();
}
