//! nginx as a reverse proxy in front of WebSocket (H16).

use tracker_testkit::http::case::{Host, Setup};
use tracker_testkit::http::nginx::{Nginx, through};
use tracker_testkit::http::query::{self, Version};
use tracker_testkit::http::{Place, Running};
use tracker_testkit::rows::{self, Family};
use tracker_testkit::skip::{Requirement, must_skip};
use tracker_testkit::ws::Client;

use crate::{BINARY, announce, answer, gets_answer, gets_offer, leecher, upgraded, wait_for_nothing};

/// A port of the namespace, where nobody else listens.
const PORT: u16 = 8080;

const BLOCKED: Host = Host { family: Family::V4, number: 0xf307 };

fn nginx(tracker: &Running) -> Nginx {
    let plain = tracker.listener("http", false);
    let http = format!(
        "map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
         upstream tracker {{ server {plain}; keepalive 4; }}
         server {{
             listen 127.0.0.1:{PORT};
             listen [::1]:{PORT};
             location / {{
                 proxy_pass http://tracker;
                 proxy_http_version 1.1;
                 proxy_set_header Upgrade $http_upgrade;
                 proxy_set_header Connection $connection_upgrade;
                 proxy_set_header X-Forwarded-For $remote_addr;
             }}
         }}"
    );
    let host = Host { family: Family::V4, number: 1 };
    Nginx::start(tracker, &http, "", &[through(tracker, host, PORT, false)])
}

#[test]
fn browsers_meet_through_nginx() {
    if must_skip(&[Requirement::Root, Requirement::Program("nginx")]) {
        return;
    }
    let setup = Setup {
        base: rows::Setup { blocked: vec![(Family::V4, 0xf300, 8)], ..Default::default() },
        keys: vec![("workers", "2")],
        trusted_networks: vec!["127.0.0.1", "::1"],
        ..Setup::default()
    };
    let tracker = Running::start(BINARY, Place::Namespace, &setup);
    let _nginx = nginx(&tracker);
    let hosts = [Family::V4, Family::V6].map(|family| Host { family, number: 1 });
    let mut clients = hosts.map(|host| upgraded(&through(&tracker, host, PORT, false)));
    // Somebody beside them, without nginx.
    let direct: Client = upgraded(&tracker.dial(Host { family: Family::V4, number: 7 }, false, None));
    assert_eq!(announce(&mut clients[0], &leecher(0)), (0, 1));
    assert_eq!(announce(&mut clients[1], &leecher(1).offering(&["1"])), (0, 2));
    gets_offer(&mut clients[0], 1, "1");
    clients[0].say(&answer(0, 1, "1").text()).unwrap();
    gets_answer(&mut clients[1], 0, "1");
    direct.close(1000).unwrap();
    // Requests go the same way.
    let mut plain = through(&tracker, hosts[0], PORT, false).open().expect("nginx listens");
    assert_eq!(plain.ask(&query::get(b"/health", &[], Version::Http11)).unwrap().status, 200);
    let refused = crate::refused(&through(&tracker, BLOCKED, PORT, false), &Default::default());
    assert_eq!(refused, Some(403));
    let [first, second] = clients;
    first.close(1000).unwrap();
    // nginx tells the tracker of an end without a word.
    drop(second);
    wait_for_nothing(&tracker);
    tracker.daemon.stop_well();
}
