//! All torrents in one answer (H14).

use std::process::Command;

use tracker_testkit::http::answer::{Answer, Scraped};
use tracker_testkit::http::case::{Setup, counts};
use tracker_testkit::http::connection::Response;
use tracker_testkit::http::query::{self, Announce, Version};
use tracker_testkit::http::{Place, Running};
use tracker_testkit::skip::{Requirement, must_skip};

use crate::{BINARY, counted, host, run};

/// More than fit into one piece of an answer.
const TORRENTS: u32 = 3000;

fn info_hash(n: u32) -> [u8; 20] {
    let mut hash = [0; 20];
    // Not in order.
    hash[..4].copy_from_slice(&n.wrapping_mul(2_654_435_761).to_be_bytes());
    hash
}

/// A tracker with many torrents.
fn tracker(keys: &[(&'static str, &'static str)]) -> Running {
    let keys = [&[("full_scrape", "true")], keys].concat();
    let mut tracker = Running::start(BINARY, Place::Loopback, &Setup { keys, ..Setup::default() });
    let mut connection = tracker.dial(host(1), false, None).open().unwrap();
    for n in 0..TORRENTS {
        let left = Some(u64::from(n % 3));
        let announce = Announce { info_hash: info_hash(n), left, ..Announce::default() };
        let request = query::get(announce.target().as_bytes(), &[], Version::Http11);
        assert_eq!(connection.ask(&request).unwrap().status, 200);
    }
    tracker.settle();
    tracker
}

fn ask(tracker: &Running, from: u16, version: Version, headers: &[(&str, &[u8])]) -> Response {
    let mut connection = tracker.dial(host(from), false, None).open().unwrap();
    connection.ask(&query::get(b"/scrape", headers, version)).unwrap()
}

fn expected() -> Vec<([u8; 20], Scraped)> {
    let mut torrents: Vec<_> = (0..TORRENTS)
        .map(|n| (info_hash(n), if n % 3 == 0 { counts(1, 0, 0) } else { counts(0, 0, 1) }))
        .collect();
    torrents.sort_by_key(|(hash, _)| *hash);
    torrents
}

fn has_all(body: &[u8]) {
    let Ok(Answer::Scrape(mut torrents)) = Answer::read(body) else { panic!("no scrape answer") };
    // The tests' own marker.
    torrents.retain(|(hash, _)| *hash != [0xf8; 20]);
    assert!(torrents == expected(), "{} torrents", torrents.len());
}

#[test]
fn a_full_scrape_has_every_torrent_sorted_once_for_each_source() {
    let tracker = tracker(&[]);
    let whole = ask(&tracker, 2, Version::Http11, &[]);
    assert_eq!(whole.header("content-type"), Some("text/plain"));
    assert_eq!(whole.header("content-encoding"), None);
    has_all(&whole.body);
    // The same source again is too early, another one isn't.
    let again = ask(&tracker, 2, Version::Http11, &[]);
    let refused = Answer::read(&again.body).unwrap();
    assert!(refused.reason().is_some(), "{refused:?}");
    has_all(&ask(&tracker, 3, Version::Http11, &[("Accept-Encoding", b"identity")]).body);
    assert_eq!(counted(&tracker.home, "full_scrape"), 2);
    tracker.daemon.stop_well();
}

#[test]
fn a_full_scrape_is_compressed_for_who_can_read_it() {
    let needs = [Requirement::Program("gzip"), Requirement::Program("zstd")];
    if must_skip(&needs) {
        return;
    }
    let tracker = tracker(&[]);
    for (from, accepted, encoding) in [
        (10, &b"gzip"[..], "gzip"),
        (11, b"zstd", "zstd"),
        (12, b"deflate, gzip;q=1.0, *;q=0.5", "gzip"),
        (13, b"br, GZIP", "gzip"),
        (14, b"gzip;q=0, zstd", "zstd"),
    ] {
        let response = ask(&tracker, from, Version::Http11, &[("Accept-Encoding", accepted)]);
        assert_eq!(response.header("content-encoding"), Some(encoding), "{}", accepted.escape_ascii());
        let packed = tracker.home.path("packed");
        std::fs::write(&packed, &response.body).unwrap();
        let output =
            Command::new(encoding).arg("-dc").stdin(std::fs::File::open(&packed).unwrap()).output().unwrap();
        assert!(output.status.success(), "{encoding}: {}", String::from_utf8_lossy(&output.stderr));
        has_all(&output.stdout);
    }
    for (from, accepted) in [(20, &b"br"[..]), (21, b"gzip;q=0"), (22, b"")] {
        let response = ask(&tracker, from, Version::Http11, &[("Accept-Encoding", accepted)]);
        assert_eq!(response.header("content-encoding"), None, "{}", accepted.escape_ascii());
        has_all(&response.body);
    }
    tracker.daemon.stop_well();
}

#[test]
fn a_full_scrape_reaches_curl_over_any_version() {
    if must_skip(&[Requirement::Program("curl")]) {
        return;
    }
    let tracker = tracker(&[]);
    let url = format!("http://{}/scrape", tracker.listener("http", false));
    for (from, words) in
        [(30, &["--http1.1"][..]), (31, &["--http1.0"]), (32, &["--http1.1", "--compressed"])]
    {
        let body = tracker.home.path("body");
        let from = tracker.address(host(from)).to_string();
        run(Command::new("curl")
            .args(["-q", "-sS", "-f", "--interface", &from, "-o"])
            .arg(&body)
            .args(words)
            .arg(&url));
        has_all(&std::fs::read(&body).unwrap());
    }
    tracker.daemon.stop_well();
}
