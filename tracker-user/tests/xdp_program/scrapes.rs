//! Scrapes that the program answers.

use std::net::SocketAddr;

use tracker_common::connection_id::Epoch;
use tracker_common::event::AnnounceEvent;
use tracker_common::settings::Settings;
use tracker_common::verdict::Verdict;
use tracker_common::wire::AnnounceKind;
use tracker_testkit::payload;
use tracker_testkit::skip::{Requirement, must_skip};

use crate::{
    LISTED, LOOPBACK, TRANSACTION, Tracker, answered, around, error_answer, families, good_id, peer_address,
    peers, settings, within_one_epoch,
};

/// Hashes that fit into a request of 1,500 bytes with an IPv4 header.
const MOST: usize = 72;

/// Torrent `n`, of which every third is unknown.
fn hash(n: usize) -> [u8; 20] {
    let mut hash = *b"to be scraped: .....";
    hash[15..20].copy_from_slice(format!("{n:05}").as_bytes());
    hash
}

fn is_known(n: usize) -> bool {
    !n.is_multiple_of(3)
}

/// Seeders, completed and leechers of torrent `n`: of both families, small and large.
fn counts(n: usize) -> [u32; 3] {
    let n = n as u32;
    if is_known(n as usize) { [2 * (n % 4), n % 2, 2 * (n % 9)] } else { [0; 3] }
}

fn tracker() -> Tracker {
    let mut tracker = Tracker::new();
    for (client, _) in families() {
        for n in (0..=MOST).filter(|n| is_known(*n)) {
            tracker.join(hash(n), &peers(client, 0, (n % 9) as u16), false);
            tracker.join(hash(n), &peers(client, 100, (n % 4) as u16), true);
        }
        tracker.join(LISTED, &peers(client, 0, 5), false);
    }
    // Somebody downloads everything, and leaves.
    for n in (0..=MOST).filter(|n| is_known(*n) && n % 2 == 1) {
        let peer = peer_address(SocketAddr::from(([10, 9, 9, 9], 9)));
        for (kind, seeder) in
            [(AnnounceKind::Started, false), (AnnounceKind::Completed, true), (AnnounceKind::Stopped, true)]
        {
            tracker.apply(&AnnounceEvent::new(hash(n), peer, kind, seeder, 0));
        }
    }
    tracker
}

fn scrape(client: SocketAddr, epoch: Epoch, hashes: &[[u8; 20]]) -> Vec<u8> {
    payload::scrape(good_id(client, epoch), TRANSACTION, hashes)
}

fn scraped(counts: &[[u32; 3]]) -> Vec<u8> {
    let head = [2, TRANSACTION];
    head.iter().chain(counts.as_flattened()).flat_map(|word| word.to_be_bytes()).collect()
}

#[test]
fn any_number_of_hashes_is_answered_in_order_up_to_the_limit() {
    if must_skip(&[Requirement::Bpf]) {
        return;
    }
    let mut tracker = tracker();
    for max_scrape_torrents in [1, 2, 69, 70, 71, 1000] {
        tracker.program.set_settings(&Settings { max_scrape_torrents, ..settings() });
        within_one_epoch(|epoch| {
            for (client, server) in families() {
                // 1,480 bytes of UDP are looked at in both families.
                for number in 1..=MOST {
                    let hashes: Vec<_> = (0..number).map(hash).collect();
                    let expected: Vec<_> =
                        (0..number.min(max_scrape_torrents as usize)).map(counts).collect();
                    let whole = around(client, server, scrape(client, epoch, &hashes));
                    for frame in [whole.clone(), whole.clone().vlan(7), whole.padded_to(1600)] {
                        let frame = frame.build();
                        let outcome = tracker.program.run(&frame, LOOPBACK);
                        assert_eq!(outcome.verdict, Verdict::Scrape, "{number} hashes");
                        assert_eq!(answered(&frame, &outcome), scraped(&expected), "{number} hashes");
                    }
                }
            }
        });
    }
    assert_eq!(tracker.program.events(), []);
}

#[test]
fn duplicates_stay_and_denied_hashes_are_zeros() {
    if must_skip(&[Requirement::Bpf]) {
        return;
    }
    let mut tracker = tracker();
    within_one_epoch(|epoch| {
        for (client, server) in families() {
            let hashes = [hash(5), LISTED, hash(5), hash(3), LISTED, hash(7), hash(7), hash(7), hash(5)];
            let of =
                |hash_wanted: &[u8; 20]| (0..=MOST).find(|n| hash(*n) == *hash_wanted).map_or([0; 3], counts);
            let expected: Vec<_> = hashes.iter().map(of).collect();
            assert_eq!(expected[0], [2, 1, 10]);
            assert_eq!(expected[1], [0; 3]);
            let frame = around(client, server, scrape(client, epoch, &hashes)).build();
            let outcome = tracker.program.run(&frame, LOOPBACK);
            assert_eq!(outcome.verdict, Verdict::Scrape);
            assert_eq!(answered(&frame, &outcome), scraped(&expected));
        }
    });
}

#[test]
fn stray_bytes_are_ignored_and_no_hash_is_an_error() {
    if must_skip(&[Requirement::Bpf]) {
        return;
    }
    let mut tracker = tracker();
    within_one_epoch(|epoch| {
        for (client, server) in families() {
            for number in [0, 1, 2, 5, 70] {
                for stray in 0..20 {
                    let hashes: Vec<_> = (0..number).map(hash).collect();
                    let expected: Vec<_> = (0..number).map(counts).collect();
                    let payload = [scrape(client, epoch, &hashes), vec![0x77; stray]].concat();
                    let whole = around(client, server, payload);
                    for frame in [whole.clone(), whole.qinq(9)] {
                        let frame = frame.build();
                        let outcome = tracker.program.run(&frame, LOOPBACK);
                        let (verdict, payload) = match number {
                            0 => (Verdict::ErrorFullScrape, error_answer("full scrapes are not allowed")),
                            _ => (Verdict::Scrape, scraped(&expected)),
                        };
                        assert_eq!(outcome.verdict, verdict, "{number} hashes, {stray} stray bytes");
                        assert_eq!(
                            answered(&frame, &outcome),
                            payload,
                            "{number} hashes, {stray} stray bytes"
                        );
                    }
                }
            }
        }
    });
}
