//! Clients of the tracker alone, in Node: what they ask, and how they find each other.

use crate::NODE;
use crate::tracker::{DENIED, Tracker, Way};
use tracker_testkit::skip::must_skip;

/// Starts, scrapes, completes and stops; every answer's counts are right (W04, W05, W06).
fn lives(way: Way) {
    if must_skip(&NODE) {
        return;
    }
    let tracker = Tracker::start();
    tracker.node("life.mjs", &[&tracker.url(way, "/announce")]).end_well();
    tracker.has_counted(&[
        ("connections", 1),
        ("in_announce", 3),
        ("out_announce", 3),
        ("in_scrape", 2),
        ("out_scrape", 2),
        ("in_invalid", 0),
        ("out_error", 0),
    ]);
    tracker.is_left_alone();
}

#[test]
fn client_lives_over_ws() {
    lives(Way::Ws);
}

#[test]
fn client_lives_over_wss() {
    lives(Way::Wss);
}

#[test]
fn client_lives_over_ws_and_ipv6() {
    lives(Way::WsOverIpv6);
}

/// Two clients exchange offer and answer, and then words over WebRTC (W01, W02); when they are gone they are out of the swarm (W08).
fn meet(urls: impl Fn(&Tracker) -> [String; 2]) {
    if must_skip(&NODE) {
        return;
    }
    let tracker = Tracker::start();
    let urls = urls(&tracker);
    tracker.node("meet.mjs", &urls.each_ref().map(String::as_str)).end_well();
    let connections = if urls[0] == urls[1] { 1 } else { 2 };
    tracker.has_counted(&[
        ("connections", connections),
        ("out_announce", 2),
        // The second one's first offer; the first one's had nobody to go to.
        ("offers_forwarded", 1),
        ("in_answer", 1),
        ("answers_forwarded", 1),
        ("answers_unmatched", 0),
        ("out_error", 0),
    ]);
    tracker.is_left_alone();
}

#[test]
fn clients_meet_over_ws() {
    meet(|tracker| [tracker.url(Way::Ws, "/announce"), tracker.url(Way::Ws, "/ws")]);
}

#[test]
fn clients_meet_over_wss() {
    meet(|tracker| [tracker.url(Way::Wss, "/announce"), tracker.url(Way::Wss, "/")]);
}

#[test]
fn clients_meet_over_ipv4_and_ipv6_and_tls() {
    meet(|tracker| [tracker.url(Way::WsOverIpv6, "/announce"), tracker.url(Way::Wss, "/announce")]);
}

#[test]
fn clients_meet_on_one_connection() {
    // W07: clients in one process share it.
    meet(|tracker| [tracker.url(Way::Ws, "/announce"), tracker.url(Way::Ws, "/announce")]);
}

#[test]
fn denied_torrent_is_a_warning_and_leaves_the_connection_alone() {
    if must_skip(&NODE) {
        return;
    }
    let tracker = Tracker::start();
    tracker.node("denied.mjs", &[&tracker.url(Way::Ws, "/announce"), DENIED]).end_well();
    tracker.has_counted(&[("connections", 1), ("out_error", 2), ("out_announce", 2), ("out_scrape", 1)]);
    tracker.is_left_alone();
}

#[test]
fn client_comes_back_after_a_restart() {
    if must_skip(&NODE) {
        return;
    }
    let mut tracker = Tracker::start();
    let client = tracker.node("reconnect.mjs", &[&tracker.url(Way::Ws, "/announce")]);
    client.hear("announced");
    tracker.restart();
    client.end_well();
    tracker.has_counted(&[("connections", 1), ("out_announce", 1)]);
    tracker.is_left_alone();
}
