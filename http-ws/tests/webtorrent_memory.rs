//! What a membership of a WebTorrent swarm costs, at the swarm and at the connection: counted by the allocator of this process, so in a process of its own.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicIsize, Ordering};

use http_ws::webtorrent::connection_id::ConnectionId;
use http_ws::webtorrent::memberships::Memberships;
use http_ws::webtorrent::swarms::{Announcement, Swarms};
use tracker_common::wire::AnnounceKind;
use tracker_core::Random;

struct Counting;

static LIVE: AtomicIsize = AtomicIsize::new(0);

/// What glibc takes for so many bytes: a word of its own with them, in steps of 16.
const fn taken(layout: Layout) -> isize {
    let chunk = (layout.size() + 8).next_multiple_of(16) as isize;
    if chunk > 32 { chunk } else { 32 }
}

// SAFETY: all of it is the system's allocator; a number is kept beside it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(taken(layout), Ordering::Relaxed);
        // SAFETY: what the caller owes is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(taken(layout), Ordering::Relaxed);
        // SAFETY: what the caller owes is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn id(number: u64) -> [u8; 20] {
    let mut id = [0; 20];
    id[..8].copy_from_slice(&number.to_be_bytes());
    id
}

/// A population.
struct Case {
    name: &'static str,
    connections: usize,
    /// Of all connections, in turn, each of a random torrent.
    announces: usize,
    torrents: u64,
    /// Bytes that a membership may take, with its part of what its swarm and its connection take.
    limit: f64,
}

/// A few hosts with thousands of torrents are a benchmark's clients, or seed libraries; a browser has a torrent or two.
const CASES: [Case; 5] = [
    Case { name: "libraries", connections: 64, announces: 250_000, torrents: 10_000, limit: 60.0 },
    Case { name: "popular torrents", connections: 64, announces: 25_000, torrents: 100, limit: 80.0 },
    Case { name: "a crowd", connections: 50_000, announces: 50_000, torrents: 1, limit: 165.0 },
    Case { name: "browsers", connections: 50_000, announces: 50_000, torrents: 20_000, limit: 215.0 },
    Case { name: "alone", connections: 50_000, announces: 50_000, torrents: 1 << 60, limit: 290.0 },
];

/// In one test, since the count is the whole process's.
#[test]
fn memberships_take_little_memory_in_any_population() {
    for Case { name, connections, announces, torrents, limit } in CASES {
        let swarms = Swarms::new(1_000_000);
        let (mut random, mut picked) = (Random::new(1), Vec::new());
        let mut clients: Vec<Memberships> = Vec::new();
        clients.resize_with(connections, Memberships::default);
        let before = LIVE.load(Ordering::Relaxed);
        for number in 0..announces {
            let at = number % connections;
            let (torrent, peer) = (id(random.next() % torrents), id(at as u64));
            let client = &mut clients[at];
            let speaker = client.speaker(&peer).cloned();
            let speaker = speaker.unwrap_or_else(|| swarms.speaker(peer, ConnectionId::new(0, at as u64)));
            let kind = AnnounceKind::None;
            let announcement =
                Announcement { info_hash: torrent, speaker: &speaker, kind, seeder: at % 2 == 0 };
            swarms.announce(&announcement, 0, &mut random, &mut picked, |_| true).expect("there is room");
            client.announced(torrent, &speaker, 0);
        }
        let took = LIVE.load(Ordering::Relaxed) - before;
        let memberships: usize = clients.iter().map(Memberships::len).sum();
        assert_eq!(swarms.peers(), memberships as u64, "{name}");
        let each = took as f64 / memberships as f64;
        println!(
            "{name}: {each:.1} bytes for each of {memberships} memberships of {} torrents",
            swarms.torrents()
        );
        assert!(each <= limit, "{name}: {each:.1} bytes");
    }
}
