//! A file goes from one peer to another by WebRTC, in browsers and between a browser and Node.

use tracker_testkit::skip::must_skip;

use crate::tracker::{Tracker, Way};
use crate::{BROWSER, NODE};

/// Peers of a torrent, as the script names them.
fn transfer(seeder: &str, leecher: &str, way: Way) {
    if must_skip(&[NODE[0], NODE[1], NODE[2], BROWSER]) {
        return;
    }
    let tracker = Tracker::start();
    let script = tracker.node("exchange.mjs", &[&tracker.url(way, "/announce"), seeder, leecher]);
    let open = script.hear("open");
    let page = open["page"].as_str().expect("the script tells it");
    let browser = tracker.browser(page);
    script.end_well();

    let stats = tracker.home.stats();
    let count =
        |map: &str, name: &str| stats[map][name].as_u64().unwrap_or_else(|| panic!("{name}: {stats}"));
    let signals = |name| count("webtorrent", name);
    assert!(signals("out_announce") >= 2, "{stats}");
    assert!(signals("offers_forwarded") >= 1 && signals("answers_forwarded") >= 1, "{stats}");
    tracker.has_counted(&[
        ("connections", 2),
        ("in_invalid", 0),
        ("out_error", 0),
        ("answers_unmatched", 0),
        ("undelivered", 0),
    ]);
    assert_eq!(count("http", "tls_handshakes"), if way == Way::Wss { 2 } else { 0 }, "{stats}");
    drop(browser);
    tracker.is_left_alone();
}

#[test]
fn browser_gets_a_file_from_another_over_ws() {
    transfer("browser", "browser", Way::Ws);
}

#[test]
fn browser_gets_a_file_from_another_over_wss() {
    transfer("browser", "browser", Way::Wss);
}

#[test]
fn browser_gets_a_file_from_node() {
    transfer("node", "browser", Way::Ws);
}

#[test]
fn node_gets_a_file_from_a_browser() {
    transfer("browser", "node", Way::Wss);
}
