//! What changes while clients are connected: the lists, the certificate; and a stop.

use std::thread;

use tracker_testkit::daemon::{ACCESS_LIST, BLOCK_LIST};
use tracker_testkit::http::case::Setup;
use tracker_testkit::http::connection::Dial;
use tracker_testkit::http::{Place, Running};
use tracker_testkit::rows::{self, Family};
use tracker_testkit::ws::Client;
use tracker_testkit::ws::counters::{self, PEERS, TORRENTS};
use tracker_testkit::ws::frames;
use tracker_testkit::ws::request::Announce;
use tracker_testkit::ws::upgrade::Upgrade;

use crate::{
    BINARY, TORRENT, announce, fails, gets_offer, host, leecher, open, open_tls, upgraded, wait_for,
};

#[test]
fn torrents_that_are_denied_leave_the_swarms() {
    let setup = Setup {
        base: rows::Setup { access_mode: "deny", ..Default::default() },
        keys: vec![("workers", "3")],
        ..Setup::default()
    };
    let tracker = Running::start(BINARY, Place::Loopback, &setup);
    let mut clients: Vec<Client> = (0..9).map(|n| open(&tracker, n)).collect();
    let other = |n| Announce { info_hash: [1; 20], ..leecher(n) };
    for (n, client) in (0..).zip(&mut clients) {
        announce(client, &leecher(n));
        announce(client, &other(n));
    }
    wait_for(&tracker, PEERS, 18);
    tracker.home.write(ACCESS_LIST, &format!("{}\n", TORRENT.map(|byte| format!("{byte:02x}")).concat()));
    tracker.daemon.signal(libc::SIGHUP);
    wait_for(&tracker, TORRENTS, 1);
    wait_for(&tracker, PEERS, 9);
    fails(&mut clients[0], &leecher(0).text(), "info hash not allowed");
    // Allowed again, it begins anew.
    tracker.home.write(ACCESS_LIST, "");
    tracker.daemon.signal(libc::SIGHUP);
    let announced = tracker.daemon.eventually("it is allowed again", || {
        let text = leecher(0).offering(&["1", "2"]).text();
        match clients[0].ask(&text).expect("an answer") {
            tracker_testkit::ws::message::Message::Announced { incomplete, .. } => Some(incomplete),
            _ => None,
        }
    });
    assert_eq!(announced, 1);
    assert_eq!(announce(&mut clients[1], &other(1)), (0, 9));
    for client in clients {
        client.close(1000).unwrap();
    }
    tracker.daemon.stop_well();
}

#[test]
fn a_torrent_that_was_denied_is_none_of_a_connections_torrents_any_more() {
    let setup = Setup {
        base: rows::Setup { access_mode: "deny", ..Default::default() },
        webtorrent_keys: vec![("max_torrents_per_connection", "2")],
        ..Setup::default()
    };
    let tracker = Running::start(BINARY, Place::Loopback, &setup);
    let mut client = open(&tracker, 1);
    let of = |byte| Announce { info_hash: [byte; 20], ..leecher(1) };
    announce(&mut client, &of(1));
    announce(&mut client, &of(2));
    fails(&mut client, &of(3).text(), "too many torrents");
    tracker.home.write(ACCESS_LIST, &format!("{}\n", "01".repeat(20)));
    tracker.daemon.signal(libc::SIGHUP);
    wait_for(&tracker, TORRENTS, 1);
    assert_eq!(announce(&mut client, &of(3)), (0, 1));
    tracker.daemon.stop_well();
}

#[test]
fn who_is_blocked_meanwhile_is_closed_when_it_is_heard() {
    let setup = Setup {
        base: rows::Setup { blocked: vec![(Family::V4, 0xf300, 8)], ..Default::default() },
        ..Setup::default()
    };
    let tracker = Running::start(BINARY, Place::Loopback, &setup);
    let (mut blocked, mut other) = (open(&tracker, 1), open(&tracker, 2));
    announce(&mut blocked, &leecher(1));
    announce(&mut other, &leecher(2));
    tracker.home.write(BLOCK_LIST, &format!("{}/32\n", tracker.address(host(1))));
    tracker.daemon.signal(libc::SIGHUP);
    // What it says until then is answered.
    while blocked.ask(&leecher(1).text()).is_ok() {}
    wait_for(&tracker, PEERS, 1);
    assert_eq!(announce(&mut other, &leecher(2).offering(&["1"])), (0, 1));
    let refused = crate::refused(&tracker.dial(host(1), false, None), &Upgrade::default());
    assert!(matches!(refused, None | Some(403)), "{refused:?}");
    other.close(1000).unwrap();
    tracker.daemon.stop_well();
}

#[test]
fn a_new_certificate_closes_nothing() {
    let tracker = Running::start(BINARY, Place::Loopback, &Setup::default());
    let (mut first, mut second) = (open_tls(&tracker, 1), open_tls(&tracker, 2));
    announce(&mut first, &leecher(1));
    let looking =
        Dial { tls: Some(tracker.authority.forgetful_client()), ..tracker.dial(host(3), true, None) };
    let presented = || {
        let client = upgraded(&looking);
        let certificates = client.connection().session().and_then(|session| session.peer_certificates());
        certificates.expect("the handshake is over")[0].to_vec()
    };
    let old = presented();
    let identity = tracker.authority.identity(&["127.0.0.1", "::1", "localhost"]);
    tracker.home.write("chain.pem", &identity.chain);
    tracker.home.write("key.pem", &identity.key);
    tracker.daemon.signal(libc::SIGUSR1);
    tracker.daemon.eventually("a new certificate", || (presented() != old).then_some(()));
    assert_eq!(announce(&mut second, &leecher(2).offering(&["1"])), (0, 2));
    gets_offer(&mut first, 2, "1");
    first.close(1000).unwrap();
    second.close(1000).unwrap();
    tracker.daemon.stop_well();
}

#[test]
fn a_stop_closes_with_1001() {
    let setup = Setup { keys: vec![("workers", "2")], ..Setup::default() };
    let tracker = Running::start(BINARY, Place::Loopback, &setup);
    let mut clients: Vec<Client> =
        (0..10).map(|n| if n % 2 == 0 { open(&tracker, n) } else { open_tls(&tracker, n) }).collect();
    for (n, client) in (0..8).zip(&mut clients) {
        announce(client, &leecher(n));
    }
    // Two that are in the middle of a message and of a frame.
    clients[9].send(&frames::unfinished(b"{")).unwrap();
    clients[8].send(&frames::text(b"{}")[..3]).unwrap();
    thread::scope(|scope| {
        for (n, client) in clients.iter_mut().enumerate() {
            scope.spawn(move || assert_eq!(client.read_close(), Ok(Some(1001)), "client {n}"));
        }
        assert_eq!(counters::counted(&tracker.home, counters::CONNECTIONS_OPEN), 10);
        tracker.daemon.stop_well();
    });
}
