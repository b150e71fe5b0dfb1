//! Limits: connections beyond them are told to come back later (H15).

use tracker_testkit::http::case::Setup;
use tracker_testkit::http::{Place, Running};
use tracker_testkit::ws::Client;
use tracker_testkit::ws::client::Refused;
use tracker_testkit::ws::upgrade::Upgrade;

use crate::{BINARY, host, open};

/// The next connection gets 503 with `Retry-After`; or, where that is allowed, is closed without a word.
#[track_caller]
fn is_beyond(tracker: &Running, number: u16, tls: bool, may_be_silent: bool) {
    match Client::open(&tracker.dial(host(number), tls, None), &Upgrade::default()) {
        Err(Refused::Response(response)) => {
            assert_eq!(response.status, 503, "{response:?}");
            let seconds = response.header("retry-after").and_then(|value| value.parse::<u32>().ok());
            assert!(seconds > Some(0), "{response:?}");
        }
        Err(Refused::Broken(_)) if may_be_silent => {}
        other => panic!("{other:?}"),
    }
}

/// When one has gone, another one may come.
#[track_caller]
fn is_room_again(tracker: &Running, number: u16) {
    tracker.daemon.eventually("there is room again", || {
        Client::open(&tracker.dial(host(number), false, None), &Upgrade::default()).ok()
    });
}

#[test]
fn connections_beyond_the_limit_get_503() {
    let setup = Setup { keys: vec![("max_connections", "3")], ..Setup::default() };
    let tracker = Running::start(BINARY, Place::Loopback, &setup);
    let mut clients: Vec<Client> = (0..3).map(|n| open(&tracker, n)).collect();
    is_beyond(&tracker, 4, false, false);
    // A handshake is dearer than what would be said in it.
    is_beyond(&tracker, 4, true, true);
    for client in &mut clients {
        client.ping(b"undisturbed").unwrap();
    }
    clients.pop().unwrap().close(1000).unwrap();
    is_room_again(&tracker, 4);
    tracker.daemon.stop_well();
}

#[test]
fn connections_of_an_address_beyond_its_limit_are_refused() {
    let setup = Setup { keys: vec![("max_connections_per_address", "2")], ..Setup::default() };
    let tracker = Running::start(BINARY, Place::Loopback, &setup);
    let mut clients = [open(&tracker, 1), open(&tracker, 1)];
    // As over HTTP: who has that many may be told nothing.
    is_beyond(&tracker, 1, false, true);
    is_beyond(&tracker, 1, true, true);
    // Others aren't concerned.
    open(&tracker, 2).close(1000).unwrap();
    for client in &mut clients {
        client.ping(b"undisturbed").unwrap();
    }
    let [first, second] = clients;
    first.close(1000).unwrap();
    is_room_again(&tracker, 1);
    second.close(1000).unwrap();
    tracker.daemon.stop_well();
}
