//! Clients of which nothing is heard any more (W09): those who don't answer pings, and those whose network is gone.

use std::sync::Arc;
use std::thread;

use tracker_testkit::daemon::{Configuration, Home};
use tracker_testkit::http::case::Setup;
use tracker_testkit::http::connection::Dial;
use tracker_testkit::http::{Place, Running};
use tracker_testkit::netns::Namespace;
use tracker_testkit::skip::{Requirement, must_skip};
use tracker_testkit::ws::Client;
use tracker_testkit::ws::counters::{self, CLOSED_IDLE, CONNECTIONS_OPEN, PEERS};
use tracker_testkit::ws::message::Message;

use crate::{BINARY, announce, leecher, open, open_tls, upgraded, wait_for};

#[test]
fn who_does_not_answer_pings_is_closed_and_who_does_is_not() {
    let setup = Setup {
        webtorrent_keys: vec![("idle_timeout_s", "2")],
        keys: vec![("workers", "2")],
        ..Setup::default()
    };
    let tracker = Running::start(BINARY, Place::Loopback, &setup);
    let mut listening = [open(&tracker, 1), open_tls(&tracker, 2)];
    announce(&mut listening[0], &leecher(1));
    announce(&mut listening[1], &leecher(2));
    let mut mute: Vec<Client> = (10..20).map(|n| open(&tracker, n)).chain([open_tls(&tracker, 20)]).collect();
    for (n, client) in (10..).zip(&mut mute) {
        client.ignore_pings();
        announce(client, &leecher(n));
    }
    thread::scope(|scope| {
        // These answer pings while they wait, and say nothing else.
        for client in &mut listening {
            scope.spawn(|| assert!(matches!(client.read(), Ok(Message::Offer(_)))));
        }
        // Those look at what comes, and don't answer.
        for client in &mut mute {
            assert_eq!(client.read_close(), Ok(Some(1001)));
        }
        assert_eq!(counters::counted(&tracker.home, CLOSED_IDLE), mute.len() as u64);
        let mut last = open(&tracker, 99);
        assert_eq!(announce(&mut last, &leecher(99).offering(&["1", "2"])), (0, 3));
    });
    wait_for(&tracker, PEERS, 2);
    wait_for(&tracker, CONNECTIONS_OPEN, 2);
    tracker.daemon.stop_well();
}

#[test]
fn clients_whose_network_is_gone_are_closed_in_time() {
    if must_skip(&[Requirement::Root]) {
        return;
    }
    let (here, there) = (Arc::new(Namespace::new()), Arc::new(Namespace::new()));
    here.cable_to(&there, "client0", "server0");
    for (namespace, interface, address) in [(&here, "client0", "10.98.0.1"), (&there, "server0", "10.98.0.2")]
    {
        namespace.ip(&format!("address add {address}/24 dev {interface}"));
        namespace.ip(&format!("link set {interface} up"));
    }
    let home = Home::new(BINARY);
    let http = "[http]\nlisten = [\"http://10.98.0.2:0\"]\nworkers = 2\n[webtorrent]\nidle_timeout_s = 3\n";
    home.configure(&Configuration { http: http.into(), ..Configuration::sockets(&["10.98.0.2:0"]) });
    let daemon = home.start(Some(&there));
    let to = daemon.http_address("http", false);
    let far = Dial { namespace: Some(Arc::clone(&here)), ..Dial::plain(to) };
    let near = Dial { namespace: Some(there), ..Dial::plain(to) };

    let mut gone: Vec<Client> = (0..20).map(|_| upgraded(&far)).collect();
    for (n, client) in (0..).zip(&mut gone) {
        announce(client, &leecher(n));
    }
    let mut near = upgraded(&near);
    assert_eq!(announce(&mut near, &leecher(50)), (0, 21));
    here.ip("link set client0 down");
    // There is something for them as well, which nobody acknowledges.
    announce(&mut near, &leecher(50).offering(&["1", "2", "3", "4", "5"]));
    daemon.eventually("those are closed whose network is gone", || {
        // It stays since it is heard.
        near.ping(b"there").expect("who answers is not closed");
        (counters::counted(&home, CLOSED_IDLE) == 20).then_some(())
    });
    daemon
        .eventually("their peers have left", || (announce(&mut near, &leecher(50)) == (0, 1)).then_some(()));
    assert_eq!(counters::counted(&home, CONNECTIONS_OPEN), 1);
    near.close(1000).unwrap();
    drop(gone);
    daemon.stop_well();
}
