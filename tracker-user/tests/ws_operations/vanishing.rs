//! Connections that open, announce and end without a close frame leave nothing behind (W08).

use std::process::Command;

use tracker_testkit::http::case::Setup;
use tracker_testkit::http::{Place, Running};
use tracker_testkit::ws::Client;
use tracker_testkit::ws::case::peer_id;
use tracker_testkit::ws::client::Vanishing;
use tracker_testkit::ws::counters;
use tracker_testkit::ws::message::Message;
use tracker_testkit::ws::request::Announce;

use crate::{BINARY, host, memory_kib, open, open_tls, wait_for, wait_for_nothing};

/// Connections that are open at the same time.
const CONNECTIONS: u16 = 1000;
/// Connections of each host: fewer than an address may have.
const PER_HOST: u16 = 50;
/// Torrents among which they are distributed.
const TORRENTS: u16 = 100;

/// What the process may grow by from the first thousand to the fourth: a connection takes more than that by three thousand.
const MOST_GROWTH_KIB: u64 = 3 * 1024;

/// Opens all connections, each with a peer in two torrents, and lets them vanish.
fn round(tracker: &Running) {
    let clients: Vec<Client> = (0..CONNECTIONS)
        .map(|n| {
            let number = n / PER_HOST;
            // A handshake is dearer than all that follows.
            let mut client = if n % 10 == 0 { open_tls(tracker, number) } else { open(tracker, number) };
            for torrent in [n % TORRENTS, TORRENTS + n] {
                let mut info_hash = [0x99; 20];
                info_hash[..2].copy_from_slice(&torrent.to_be_bytes());
                let left = Some(if n % 3 == 0 { "0" } else { "1" });
                let announce = Announce { info_hash, peer_id: peer_id(n), left, ..Announce::default() };
                client.say(&announce.offering(&["1", "2"]).text()).expect("a message");
            }
            // The first answer: after it the peer is there. Not all is read that comes.
            assert!(matches!(client.read(), Ok(Message::Announced { .. })));
            client
        })
        .collect();
    wait_for(tracker, counters::PEERS, 2 * u64::from(CONNECTIONS));
    wait_for(tracker, counters::CONNECTIONS_OPEN, u64::from(CONNECTIONS));
    assert_eq!(counters::counted(&tracker.home, counters::TORRENTS), u64::from(TORRENTS + CONNECTIONS));
    for (n, client) in clients.into_iter().enumerate() {
        client.vanish(if n % 2 == 0 { Vanishing::Fin } else { Vanishing::Reset });
    }
    wait_for_nothing(tracker);
}

#[test]
fn a_thousand_connections_that_vanish_leave_nothing_behind() {
    // Each connection is a descriptor here as well.
    let wanted = format!("--nofile={}:", CONNECTIONS + 500);
    let raised = Command::new("prlimit").args([&format!("--pid={}", std::process::id()), &wanted]).output();
    if !raised.is_ok_and(|output| output.status.success()) {
        println!("skipping: this process may not have {wanted} descriptors");
        return;
    }
    let setup = Setup { keys: vec![("workers", "2")], ..Setup::default() };
    let tracker = Running::start(BINARY, Place::Loopback, &setup);
    round(&tracker);
    let first = memory_kib(&tracker, "VmRSS:");
    for _ in 0..3 {
        round(&tracker);
    }
    let last = memory_kib(&tracker, "VmRSS:");
    assert!(last < first + MOST_GROWTH_KIB, "from {first} KiB to {last} KiB");
    // Closed by themselves: nobody was thrown out.
    for name in [counters::CLOSED_SLOW, counters::CLOSED_IDLE, counters::CLOSED_BAD] {
        assert_eq!(counters::counted(&tracker.home, name), 0, "{name}");
    }
    assert_eq!(counters::counted(&tracker.home, counters::CONNECTIONS), 4 * u64::from(CONNECTIONS));
    // An address may have as many as before.
    for n in 0..4 {
        assert_eq!(open(&tracker, n).ping(b"there?"), Ok(()), "{:?}", host(n));
    }
    tracker.daemon.stop_well();
}
