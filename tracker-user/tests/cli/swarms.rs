//! `map torrent`, `map top` and `map stats --watch`: looks into a running tracker.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use tracker_testkit::daemon::Daemon;
use tracker_testkit::payload::Announce;

use crate::{HASH, HASH_TEXT, OTHER, OTHER_TEXT, client, on_loopback, running};

/// Announces to a torrent from different ports.
#[track_caller]
fn join(daemon: &Daemon, info_hash: [u8; 20], seeders: u16, leechers: u16) {
    let client = client(daemon);
    for number in 0..seeders + leechers {
        let left = u64::from(number >= seeders);
        client.announce(&Announce { info_hash, left, port: 5000 + number, ..Announce::default() });
    }
    daemon.eventually("all are in the table", || {
        let counts = client.counts(info_hash);
        (counts.seeders + counts.leechers == u32::from(seeders + leechers)).then_some(())
    });
}

#[test]
fn torrents_are_shown_with_their_counts_the_largest_first() {
    let (home, daemon) = running(&on_loopback("off", ""));
    join(&daemon, HASH, 1, 2);
    join(&daemon, OTHER, 4, 0);
    let json = |words: &[&str]| -> serde_json::Value {
        serde_json::from_str(&home.told(words)).expect("it is JSON")
    };
    let top = json(&["map", "top", "--json"]);
    let order: Vec<_> = top.as_array().expect("a list").iter().map(|torrent| &torrent["info_hash"]).collect();
    assert_eq!(order, [OTHER_TEXT, HASH_TEXT]);
    assert_eq!(json(&["map", "top", "-n", "1", "--json"]).as_array().map(Vec::len), Some(1));
    let torrent = &json(&["map", "torrent", HASH_TEXT, "--json"])[0];
    assert_eq!((torrent["seeders"].as_u64(), torrent["leechers"].as_u64()), (Some(1), Some(2)), "{torrent}");
    let text = home.told(&["map", "torrent", &HASH_TEXT.to_uppercase()]);
    assert!(text.lines().any(|line| line.split_whitespace().eq([HASH_TEXT, "1", "2", "0", "0"])), "{text}");
    let text = home.told(&["map", "torrent", &"e".repeat(40)]);
    assert!(text.contains(" 0 "), "{text}");
    let said = home.refused(&["map", "torrent", "nonsense"]);
    assert!(said.contains("\"nonsense\""), "{said}");
    home.told(&["map", "access", "mode", "allow"]);
    let text = home.told(&["map", "torrent", HASH_TEXT]);
    assert!(text.contains("not allowed"), "{text}");
}

#[test]
fn statistics_are_told_again_and_again() {
    let (home, daemon) = running(&on_loopback("off", ""));
    let mut command = home.command(None, &["map", "stats", "--watch", "--json"]);
    let mut child = command.stdout(Stdio::piped()).spawn().expect("the binary exists");
    let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    let mut connects = || {
        let line = lines.next().expect("there is always another line").expect("it is text");
        let stats: serde_json::Value = serde_json::from_str(&line).expect("it is JSON");
        stats["sockets"]["connect"].as_u64().expect("a counter")
    };
    assert_eq!(connects(), 0);
    client(&daemon).connection_id();
    while connects() != 1 {}
    child.kill().expect("it runs");
    child.wait().expect("it is our child");
}
