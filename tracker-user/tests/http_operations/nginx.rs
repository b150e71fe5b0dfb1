//! nginx as a reverse proxy in front (H16): peers have their own addresses, whether a header or the PROXY protocol names them.

use std::net::SocketAddr;

use tracker_testkit::http::answer::{Announced, Answer};
use tracker_testkit::http::case::{Host, Setup};
use tracker_testkit::http::connection::Connection;
use tracker_testkit::http::nginx::{Nginx, through};
use tracker_testkit::http::play::read_answer;
use tracker_testkit::http::{Place, Running};
use tracker_testkit::rows::Family;
use tracker_testkit::skip::{Requirement, must_skip};

use crate::{BINARY, announce, counted};

/// Ports of the namespace, where nobody else listens.
const HTTP_PORT: u16 = 8080;
const STREAM_PORT: u16 = 8081;
const TLS_STREAM_PORT: u16 = 8443;

/// The clients.
const HOSTS: [Host; 6] = [
    Host { family: Family::V4, number: 1 },
    Host { family: Family::V6, number: 2 },
    Host { family: Family::V4, number: 3 },
    Host { family: Family::V6, number: 4 },
    Host { family: Family::V4, number: 5 },
    Host { family: Family::V6, number: 6 },
];

/// Starts nginx in the tracker's namespace; it passes requests on to the tracker in three ways.
fn nginx(tracker: &Running) -> Nginx {
    let plain = tracker.listener("http", false);
    let proxied = tracker.listener("proxy+http", false);
    let proxied_tls = tracker.listener("proxy+https", false);
    let http = format!(
        "upstream tracker {{ server {plain}; keepalive 4; }}
         server {{
             listen 127.0.0.1:{HTTP_PORT};
             listen [::1]:{HTTP_PORT};
             location / {{
                 proxy_pass http://tracker;
                 proxy_http_version 1.1;
                 proxy_set_header Connection \"\";
                 proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
             }}
         }}"
    );
    let stream = format!(
        "proxy_protocol on;
         server {{ listen 127.0.0.1:{STREAM_PORT}; listen [::1]:{STREAM_PORT}; proxy_pass {proxied}; }}
         server {{ listen 127.0.0.1:{TLS_STREAM_PORT}; listen [::1]:{TLS_STREAM_PORT}; proxy_pass {proxied_tls}; }}"
    );
    let ready = [HTTP_PORT, STREAM_PORT, TLS_STREAM_PORT].map(|port| through(tracker, HOSTS[0], port, false));
    Nginx::start(tracker, &http, &stream, &ready)
}

fn ask(connection: &mut Connection, request: &[u8]) -> Announced {
    let response = connection.ask(request).unwrap_or_else(|why| panic!("through nginx: {why}"));
    match read_answer(&response) {
        Ok(Answer::Announce(announced)) => announced,
        other => panic!("through nginx: {other:?}"),
    }
}

/// The tracker, whose trusted proxies are this machine's own addresses.
fn tracker() -> Running {
    let setup = Setup {
        keys: vec![("workers", "1")],
        trusted_networks: vec!["127.0.0.1", "::1"],
        ..Setup::default()
    };
    Running::start(BINARY, Place::Namespace, &setup)
}

/// All hosts announce; then each is told of all the others.
fn announce_from_all(tracker: &mut Running, port: u16, tls: bool, info_hash: [u8; 20]) {
    let request = announce(info_hash);
    let mut connections = HOSTS.map(|host| through(tracker, host, port, tls).open().expect("nginx listens"));
    for (host, connection) in HOSTS.iter().zip(&mut connections) {
        assert_eq!(ask(connection, &request).external_ip, tracker.address(*host));
    }
    tracker.settle();
    for (host, connection) in HOSTS.iter().zip(&mut connections) {
        let mut found: Vec<_> = ask(connection, &request).peers.iter().map(SocketAddr::ip).collect();
        let mut wanted: Vec<_> =
            HOSTS.iter().filter(|other| *other != host).map(|other| tracker.address(*other)).collect();
        found.sort();
        wanted.sort();
        assert_eq!(found, wanted, "port {port}");
    }
}

#[test]
fn nginx_names_the_client_in_a_header_of_each_request() {
    if must_skip(&[Requirement::Root, Requirement::Program("nginx")]) {
        return;
    }
    let mut tracker = tracker();
    let _nginx = nginx(&tracker);
    for n in 0..10 {
        announce_from_all(&mut tracker, HTTP_PORT, false, [n; 20]);
    }
    // 120 requests of nginx's, over connections that it keeps; and those of the fence.
    let accepted = counted(&tracker.home, "connections_accepted");
    assert!(accepted < 60, "{accepted} connections");
    assert_eq!(counted(&tracker.home, "error_client_address"), 0);
    tracker.daemon.stop_well();
}

#[test]
fn nginx_names_the_client_by_the_proxy_protocol() {
    if must_skip(&[Requirement::Root, Requirement::Program("nginx")]) {
        return;
    }
    let mut tracker = tracker();
    let _nginx = nginx(&tracker);
    announce_from_all(&mut tracker, STREAM_PORT, false, [1; 20]);
    announce_from_all(&mut tracker, TLS_STREAM_PORT, true, [2; 20]);
    assert_eq!(counted(&tracker.home, "error_client_address"), 0);
    tracker.daemon.stop_well();
}
