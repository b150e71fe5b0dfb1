//! Announces and scrapes that the XDP program answers: who answers them, and what becomes of their events.
//!
//! A request that is cut into fragments is left to the sockets, whatever the program answers otherwise: so a test has both ways
//! from one address.

use std::fs;
use std::thread;
use std::time::Duration;

use tracker_testkit::answer::Answer;
use tracker_testkit::client::Client;
use tracker_testkit::daemon::Daemon;
use tracker_testkit::payload::{Announce, event, scrape};
use tracker_testkit::skip::{Requirement, must_skip};

use crate::HASH;
use crate::wired::Wired;

fn skip() -> bool {
    must_skip(&[Requirement::Root, Requirement::Bpf])
}

/// The ways of an announce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Kernel,
    Sockets,
}

/// An announce of a torrent, padded beyond the cable's MTU if it is to reach the sockets.
fn announce(connection_id: u64, torrent: u32, event: u32, way: Way) -> Announce {
    let tail = match way {
        Way::Kernel => Vec::new(),
        Way::Sockets => vec![0; 1600],
    };
    Announce { connection_id, info_hash: hash(torrent), event, tail, ..Announce::default() }
}

fn hash(torrent: u32) -> [u8; 20] {
    let mut hash = [0xee; 20];
    hash[..4].copy_from_slice(&torrent.wrapping_mul(0x9e37_79b1).to_be_bytes());
    hash
}

#[track_caller]
fn answered(client: &Client, announce: &Announce) -> usize {
    match client.ask(&announce.bytes()) {
        Answer::Announce { peers, .. } => peers.len(),
        other => panic!("{announce:?} got {other:?}"),
    }
}

/// Nanoseconds that all threads of the tracker have run.
fn cpu_ns(daemon: &Daemon) -> u64 {
    let threads = fs::read_dir(format!("/proc/{}/task", daemon.id())).expect("it runs");
    let of = |thread: fs::DirEntry| -> u64 {
        // A thread that has ended meanwhile has no file.
        let text = fs::read_to_string(thread.path().join("schedstat")).unwrap_or_default();
        text.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(0)
    };
    threads.map(|thread| of(thread.expect("it is listed"))).sum()
}

#[test]
fn kernel_and_sockets_answer_from_one_table() {
    if skip() {
        return;
    }
    let wired = Wired::new("off", "");
    let daemon = wired.start();
    let client = wired.client(&daemon);
    let id = client.connection_id();
    let peer = |port: u16, way: Way| Announce { port, ..announce(id, 1, event::STARTED, way) };
    assert_eq!(answered(&client, &peer(1001, Way::Kernel)), 0);
    wired.applied(&daemon, 1);
    assert_eq!(answered(&client, &peer(1002, Way::Sockets)), 1);
    wired.applied(&daemon, 2);
    assert_eq!(answered(&client, &peer(1003, Way::Kernel)), 2);
    wired.applied(&daemon, 3);
    assert_eq!((wired.swarm("events_from_kernel"), wired.swarm("events_from_sockets")), (2, 1));
    assert_eq!((wired.count("kernel", "announce"), wired.count("sockets", "announce")), (2, 1));
    assert_eq!(wired.count("kernel", "pass_fragment"), 2);
    assert_eq!(client.counts(hash(1)).leechers, 3);
    assert_eq!((wired.count("kernel", "scrape"), wired.count("sockets", "scrape")), (1, 0));
    assert_eq!(wired.swarm("event_ring_bytes_in_use"), 0);
}

#[test]
fn with_answer_connect_the_sockets_answer_the_rest() {
    if skip() {
        return;
    }
    let wired = Wired::new("off", "");
    wired.set("answer = \"all\"", "answer = \"connect\"");
    let daemon = wired.start();
    let client = wired.client(&daemon);
    assert_eq!(client.refusal(HASH), None);
    wired.applied(&daemon, 1);
    assert_eq!(client.counts(HASH).leechers, 1);
    assert_eq!(wired.swarm("events_from_kernel"), 0);
    for (side, verdict, number) in [
        ("kernel", "connect", 2),
        ("kernel", "pass_announce", 1),
        ("kernel", "pass_scrape", 1),
        ("kernel", "announce", 0),
        ("kernel", "scrape", 0),
        ("sockets", "connect", 0),
        ("sockets", "announce", 1),
        ("sockets", "scrape", 1),
    ] {
        assert_eq!(wired.count(side, verdict), number, "{side} {verdict}");
    }
}

#[test]
fn the_table_grows_under_announces_that_are_all_answered() {
    if skip() {
        return;
    }
    // The first index is for 57,344.
    const TORRENTS: u32 = 70_000;
    let wired = Wired::new("off", "");
    wired.set("max_torrents = 10_000", "max_torrents = 100_000");
    let daemon = wired.start();
    let client = wired.client(&daemon);
    let id = client.connection_id();
    let before = wired.swarm("memory_bytes");
    for torrent in 0..TORRENTS {
        assert_eq!(answered(&client, &announce(id, torrent, event::STARTED, Way::Kernel)), 0);
    }
    wired.applied(&daemon, TORRENTS.into());
    assert_eq!(wired.count("kernel", "announce"), u64::from(TORRENTS));
    assert_eq!(wired.count("kernel", "pass_event_ring"), 0);
    assert_eq!(wired.swarm("torrents"), u64::from(TORRENTS));
    let after = wired.swarm("memory_bytes");
    assert!(after >= before + 64 * u64::from(TORRENTS), "{after} after {before}");
    // The kernel finds all of them, wherever they are now.
    for first in (0..TORRENTS).step_by(70) {
        let hashes: Vec<_> = (first..first + 70).map(hash).collect();
        let Answer::Scrape { counts, .. } = client.ask(&scrape(id, first, &hashes)) else {
            panic!("no answer to a scrape")
        };
        assert!(
            counts.len() == 70 && counts.iter().all(|counts| counts.leechers == 1),
            "from {first}: {counts:?}"
        );
    }
    assert_eq!(wired.count("sockets", "scrape"), 0);
}

#[test]
fn a_full_table_answers_and_counts_what_it_does_not_remember() {
    if skip() {
        return;
    }
    let wired = Wired::new("off", "");
    wired.set("max_torrents = 10_000", "max_torrents = 5\nmax_peers_per_torrent = 2");
    let daemon = wired.start();
    let client = wired.client(&daemon);
    let id = client.connection_id();
    for torrent in 0..8 {
        assert_eq!(answered(&client, &announce(id, torrent, event::STARTED, Way::Kernel)), 0);
    }
    wired.applied(&daemon, 8);
    for port in [1, 2] {
        let announce = Announce { port, ..announce(id, 0, event::STARTED, Way::Kernel) };
        answered(&client, &announce);
    }
    wired.applied(&daemon, 10);
    assert_eq!((wired.swarm("torrents"), wired.swarm("refused_torrents")), (5, 3));
    assert_eq!((wired.swarm("peers"), wired.swarm("refused_peers_per_torrent")), (6, 1));
}

#[test]
fn who_started_and_stopped_is_gone_whichever_ways_it_took() {
    if skip() {
        return;
    }
    const TORRENTS: u32 = 3000;
    let wired = Wired::new("off", "");
    let daemon = wired.start();
    let client = wired.client(&daemon);
    let id = client.connection_id();
    let mut events = 0;
    for torrent in 0..TORRENTS {
        // Every way there and back, some of them twice, as fast as answers come.
        let mut ways = (0..).map(|step| match torrent >> step & 1 {
            0 => Way::Kernel,
            _ => Way::Sockets,
        });
        for round in 0..1 + torrent % 2 {
            for event in [event::STARTED, event::STOPPED] {
                let way = ways.next().expect("it goes on");
                let announce = announce(id, torrent, event, way);
                assert_eq!(answered(&client, &announce), 0, "torrent {torrent}, round {round}, {way:?}");
                events += 1;
            }
        }
    }
    wired.applied(&daemon, events);
    assert_eq!(wired.swarm("peers"), 0);
    assert!(wired.swarm("events_from_kernel") > 1000 && wired.swarm("events_from_sockets") > 1000);
}

#[test]
fn what_is_in_the_ring_does_not_keep_a_stop_waiting() {
    if skip() {
        return;
    }
    let wired = Wired::new("off", "");
    let daemon = wired.start();
    let client = wired.client(&daemon);
    let id = client.connection_id();
    for torrent in 0..500 {
        client.send(&announce(id, torrent, event::STARTED, Way::Kernel).bytes());
    }
    daemon.stop_well();
    assert!(!wired.has_program());
}

#[test]
fn an_idle_tracker_sleeps() {
    if skip() {
        return;
    }
    let wired = Wired::new("off", "");
    let daemon = wired.start();
    let client = wired.client(&daemon);
    let id = client.connection_id();
    for torrent in 0..1000 {
        answered(&client, &announce(id, torrent, event::STARTED, Way::Kernel));
    }
    wired.applied(&daemon, 1000);
    let idle = Duration::from_secs(3);
    let before = cpu_ns(&daemon);
    thread::sleep(idle);
    let used = cpu_ns(&daemon) - before;
    // 0.5 % is what an idle tracker may use; the rest is room for a machine that is busy with other tests.
    assert!(u128::from(used) * 50 < idle.as_nanos(), "{used} ns of {idle:?}");
}

#[test]
fn a_tracker_with_a_small_ring_starts_and_one_with_an_odd_ring_does_not() {
    if skip() {
        return;
    }
    let wired = Wired::new("off", "");
    wired.set("[xdp]\n", "[xdp]\nevent_ring_bytes = 65536\n");
    let daemon = wired.start();
    let client = wired.client(&daemon);
    let id = client.connection_id();
    // Several times as many as there is room for.
    for torrent in 0..5000 {
        answered(&client, &announce(id, torrent, event::STARTED, Way::Kernel));
    }
    wired.applied(&daemon, 5000);
    assert_eq!(wired.swarm("torrents"), 5000);
    daemon.stop_well();
    wired.set("event_ring_bytes = 65536", "event_ring_bytes = 65535");
    let said = wired.home.try_start(Some(&wired.cable.server)).unwrap_err();
    assert!(said.contains("event_ring_bytes") && said.contains("power of two"), "{said}");
}
