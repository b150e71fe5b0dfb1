//! Whose a connection is that comes through a trusted proxy (H16): a header or the PROXY protocol names the client.

use tracker_testkit::http::case::{Host, Setup};
use tracker_testkit::http::{Place, Running};
use tracker_testkit::rows::{self, Family};
use tracker_testkit::ws::Client;
use tracker_testkit::ws::message::Message;
use tracker_testkit::ws::upgrade::Upgrade;

use crate::{BINARY, announce, host, leecher, open, refused, upgraded};

/// A trusted proxy.
const PROXY: Host = Host { family: Family::V4, number: 0xf100 };
/// In the block list.
const BLOCKED: Host = Host { family: Family::V4, number: 0xf307 };

const FULL_SCRAPE: &str = "{\"action\":\"scrape\"}";

fn tracker() -> Running {
    let setup = Setup {
        base: rows::Setup { blocked: vec![(Family::V4, 0xf300, 8)], ..Default::default() },
        trusted_hosts: vec![(Family::V4, PROXY.number, 8)],
        keys: vec![("full_scrape", "true"), ("full_scrape_interval_s", "3600")],
        ..Setup::default()
    };
    Running::start(BINARY, Place::Loopback, &setup)
}

fn named(client: &str) -> Upgrade {
    Upgrade::default().with("X-Forwarded-For", client)
}

/// A header of the PROXY protocol's first version.
fn proxied(client: &str) -> Vec<u8> {
    format!("PROXY TCP4 {client} 198.51.100.1 1000 80\r\n").into_bytes()
}

/// Whether this client may scrape everything: each address may once.
fn scrapes_all(mut client: Client) -> bool {
    match client.ask(FULL_SCRAPE).expect("an answer") {
        Message::Scraped { .. } => true,
        Message::Failure { .. } => false,
        other => panic!("a scrape got {other:?}"),
    }
}

#[test]
fn a_header_names_the_client() {
    let tracker = tracker();
    for tls in [false, true] {
        let dial = tracker.dial(PROXY, tls, None);
        let blocked = tracker.address(BLOCKED).to_string();
        assert_eq!(refused(&dial, &named(&blocked)), Some(403));
        assert_eq!(refused(&dial, &named(&format!("192.0.2.1, {blocked}"))), Some(403));
        assert_eq!(refused(&dial, &Upgrade::default()), Some(400), "without a header");
        assert_eq!(refused(&dial, &named("unknown")), Some(400), "without an address in it");
        let mut client = Client::open(&dial, &named("192.0.2.9")).expect("a good client");
        assert_eq!(announce(&mut client, &leecher(1)), (0, 1));
        client.close(1000).unwrap();
        // What the client says of itself doesn't count.
        let client = Client::open(&dial, &named(&format!("{blocked}, 192.0.2.9"))).expect("a good client");
        client.close(1000).unwrap();
    }
    // Nor what somebody says who is no proxy.
    let stranger = tracker.dial(host(1), false, None);
    let blocked = tracker.address(BLOCKED).to_string();
    Client::open(&stranger, &named(&blocked)).expect("the header is nothing").close(1000).unwrap();
    tracker.daemon.stop_well();
}

#[test]
fn clients_of_one_proxy_are_different_sources() {
    let tracker = tracker();
    let dial = tracker.dial(PROXY, false, None);
    let through = |client: &str| Client::open(&dial, &named(client)).expect("a good client");
    assert!(scrapes_all(through("192.0.2.1")));
    assert!(!scrapes_all(through("192.0.2.1")));
    assert!(scrapes_all(through("192.0.2.2")));
    let through = |client: &str| upgraded(&tracker.dial(PROXY, false, Some(&proxied(client))));
    assert!(!scrapes_all(through("192.0.2.2")));
    assert!(scrapes_all(through("192.0.2.3")));
    tracker.daemon.stop_well();
}

#[test]
fn the_proxy_protocol_names_the_client() {
    let tracker = tracker();
    for tls in [false, true] {
        let good = proxied("192.0.2.9");
        let mut client = upgraded(&tracker.dial(PROXY, tls, Some(&good)));
        assert_eq!(announce(&mut client, &leecher(1)), (0, 1));
        client.close(1000).unwrap();
        let v2 =
            [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"[..], &[192, 0, 2, 1, 198, 51, 100, 1, 3, 232, 0, 80]]
                .concat();
        upgraded(&tracker.dial(PROXY, tls, Some(&v2))).close(1000).unwrap();
        let blocked = proxied(&tracker.address(BLOCKED).to_string());
        let answer = refused(&tracker.dial(PROXY, tls, Some(&blocked)), &Upgrade::default());
        assert!(matches!(answer, None | Some(403)), "{answer:?}");
    }
    // Without the header there is nobody, and a stranger can't send one.
    for (from, preface) in [(PROXY, Vec::new()), (host(1), proxied("192.0.2.9"))] {
        let answer = refused(&tracker.dial(from, false, Some(&preface)), &Upgrade::default());
        assert!(matches!(answer, None | Some(400)), "{answer:?}");
    }
    open(&tracker, 1).close(1000).unwrap();
    tracker.daemon.stop_well();
}
