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
    let _browser = tracker.browser(page);
    script.end_well();
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
