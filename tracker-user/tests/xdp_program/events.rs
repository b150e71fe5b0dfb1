//! The ring of announce events.

use tracker_common::event::AnnounceEvent;
use tracker_common::verdict::Verdict;
use tracker_common::wire::AnnounceKind;
use tracker_testkit::payload::{Announce, event};
use tracker_testkit::skip::{Requirement, must_skip};

use crate::loaded::LoadedProgram;
use crate::{
    LISTED, LOOPBACK, Tracker, UNLISTED, announce, around, connect, families, good_id, peer_address, peers,
    scrape, set_up, within_one_epoch,
};

/// The smallest ring: one page.
const RING_BYTES: u32 = 4096;

#[test]
fn an_event_has_the_bytes_that_its_drawing_shows() {
    if must_skip(&[Requirement::Bpf]) {
        return;
    }
    let mut tracker = Tracker::new();
    let info_hash = *b"abcdefghijklmnopqrst";
    let events = [event::NONE, event::COMPLETED, event::STARTED, event::STOPPED, event::PAUSED, 5, 0x0300];
    for (client, server) in families() {
        for (event, left) in events.iter().flat_map(|event| [(*event, 0), (*event, 1), (*event, u64::MAX)]) {
            tracker.program.set_random(1);
            let outcome = within_one_epoch(|epoch| {
                let announce = Announce {
                    connection_id: good_id(client, epoch),
                    info_hash,
                    event,
                    left,
                    port: 0x1ae1,
                    ..Announce::default()
                };
                tracker.program.run(&around(client, server, announce.bytes()).build(), LOOPBACK)
            });
            assert_eq!(outcome.verdict, Verdict::Announce);
            let now_ms = (tracker.program.clock().expect("it is asked for") / 1_000_000) as u32;
            let kind = if event > 4 { 0 } else { event as u8 };
            let (mut ip, family) = ([0; 16], if client.is_ipv4() { 4 } else { 6 });
            match client.ip() {
                std::net::IpAddr::V4(v4) => ip[..4].copy_from_slice(&v4.octets()),
                std::net::IpAddr::V6(v6) => ip = v6.octets(),
            }
            let bytes = [
                &info_hash[..],
                &ip,
                &[0x1a, 0xe1, family, kind, u8::from(left == 0), b'-', b'K', b'T'],
                &now_ms.to_le_bytes(),
            ]
            .concat();
            let emitted = tracker.program.events();
            assert_eq!(emitted.iter().map(bytemuck::bytes_of).collect::<Vec<_>>(), [&bytes]);
            let mut peer = client;
            peer.set_port(0x1ae1);
            let kind = AnnounceKind::from_wire(event);
            let event = AnnounceEvent::new(info_hash, peer_address(peer), kind, left == 0, now_ms);
            assert_eq!(emitted, [event.with_peer_id(b"-KT0001-............")]);
        }
    }
}

#[test]
fn announces_pass_untouched_while_the_ring_is_full() {
    if must_skip(&[Requirement::Bpf]) {
        return;
    }
    let mut tracker = Tracker::over(set_up(LoadedProgram::with_ring(RING_BYTES)));
    let room = LoadedProgram::events_in(RING_BYTES);
    for (client, server) in families() {
        // Answers of 50 peers: frames have grown when the ring turns out to be full.
        tracker.join(UNLISTED, &peers(client, 0, 100), false);
        within_one_epoch(|epoch| {
            tracker.program.events();
            let request = announce(good_id(client, epoch), UNLISTED);
            let whole = around(client, server, request.clone());
            for count in 0..room {
                let outcome = tracker.program.run(&whole.build(), LOOPBACK);
                assert_eq!(outcome.verdict, Verdict::Announce, "event {count} of {room}");
            }
            let unknown = announce(good_id(client, epoch), *b"nobody's info hash..");
            for frame in [
                whole.clone(),
                whole.clone().vlan(7),
                whole.clone().qinq(7),
                whole.clone().padded_to(200),
                whole.clone().padded_to(1514),
                around(client, server, [request, vec![1; 900]].concat()),
                around(client, server, unknown),
            ] {
                let frame = frame.build();
                let outcome = tracker.program.run(&frame, LOOPBACK);
                assert_eq!(outcome.verdict, Verdict::PassEventRing);
                assert_eq!(outcome.frame, frame);
            }
            // What needs no event is answered as ever.
            for (payload, verdict) in [
                (announce(good_id(client, epoch), LISTED), Verdict::ErrorInfoHash),
                (scrape(good_id(client, epoch)), Verdict::Scrape),
            ] {
                let outcome = tracker.program.run(&around(client, server, payload).build(), LOOPBACK);
                assert_eq!(outcome.verdict, verdict);
            }
            let outcome = tracker.program.run(&connect(client, server).build(), LOOPBACK);
            assert_eq!(outcome.verdict, Verdict::Connect);
            assert_eq!(tracker.program.events().len(), room as usize);
            let outcome = tracker.program.run(&whole.build(), LOOPBACK);
            assert_eq!(outcome.verdict, Verdict::Announce, "there is room again");
        });
    }
}
