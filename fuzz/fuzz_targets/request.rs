//! UDP requests: the handler never panics, stays below the limits of an answer, and never answers an unproven source with more than it sent.
#![no_main]

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};

use libfuzzer_sys::fuzz_target;
use tracker_common::connection_id::{Address, Epoch, Keys, issue};
use tracker_common::siphash::SipKey;
use tracker_common::sketch::Sketches;
use tracker_common::verdict::Verdict;
use tracker_common::wire::{MAX_PAYLOAD_V4, MAX_PAYLOAD_V6};
use tracker_core::access_list::Mode;
use tracker_core::udp::{ANSWER_ROOM, Context, handle};
use tracker_core::{AccessList, BlockList, HeapSegments, Limits, Millis, Policy, TableWriter};

struct Tracker {
    writer: TableWriter,
    errors: Box<Sketches>,
    requests: u64,
}

thread_local! {
    static TRACKER: RefCell<Tracker> = RefCell::new(Tracker {
        writer: TableWriter::new(
            Limits { max_torrents: 1000, max_peers: 10_000, first_buckets: 4, ..Limits::default() },
            SipKey { k0: 1, k1: 2 },
            Box::new(HeapSegments),
        )
        .expect("memory"),
        errors: bytemuck::zeroed_box(),
        requests: 0,
    });
}

fuzz_target!(|input: (bool, IpAddr, u16, &[u8])| {
    let (prove, ip, port, request) = input;
    TRACKER.with_borrow_mut(|tracker| {
        let keys = Keys::from_bytes(&[7; Keys::BYTES]);
        let mut request = request.to_vec();
        if prove && request.len() >= 8 {
            request[..8].copy_from_slice(&issue(&keys, &Address::from(ip), Epoch(0)).to_be_bytes());
        }
        tracker.requests += 1;
        let context = Context {
            table: &tracker.writer.reader(),
            access: &AccessList::new(Mode::Off),
            block: &BlockList::default(),
            policy: &Policy::default(),
            keys: &keys,
            now_ns: 0,
            random: tracker.requests.wrapping_mul(0x9e37_79b9_7f4a_7c15),
        };
        let mut out = [0; ANSWER_ROOM];
        let handled = handle(&request, SocketAddr::new(ip, port), &context, &mut tracker.errors, &mut out);
        let limit = if matches!(Address::from(ip), Address::V4(_)) { MAX_PAYLOAD_V4 } else { MAX_PAYLOAD_V6 };
        assert!(handled.len <= limit);
        if matches!(handled.verdict, Verdict::Connect | Verdict::ErrorConnectionId) {
            assert!(handled.len <= request.len());
        }
        if let Some(event) = handled.event {
            tracker.writer.apply(&event, Millis(tracker.requests / 1000));
        }
    });
});
