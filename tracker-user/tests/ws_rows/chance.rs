//! What is random: whom an offer reaches (W01), and the interval (W04).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tracker_testkit::http::case::{Host, Setup};
use tracker_testkit::http::{Place, Running};
use tracker_testkit::rows::Family;
use tracker_testkit::ws::case::peer_id;
use tracker_testkit::ws::client::Client;
use tracker_testkit::ws::message::Message;
use tracker_testkit::ws::request::Announce;
use tracker_testkit::ws::upgrade::Upgrade;

/// Those who get offers.
const RECEIVERS: u16 = 20;
/// Announces with an offer each, and then as many with five.
const ANNOUNCES: usize = 1000;

/// Of a chi-square distribution with 19 degrees of freedom not one in 100,000 is larger.
const UNLIKELY: f64 = 60.0;

/// How long forwarded offers may take; nothing is measured with it.
const PATIENCE: Duration = Duration::from_secs(20);

fn open(tracker: &Running, name: u16) -> Client {
    let host = Host { family: Family::V4, number: name };
    Client::open(&tracker.dial(host, false, None), &Upgrade::default()).expect("a client is let in")
}

/// Announces so often, and returns the intervals.
fn announce(client: &mut Client, announce: &Announce) -> Vec<u64> {
    let text = announce.text();
    let ask = |_| match client.ask(&text).expect("an answer") {
        Message::Announced { interval, complete: 0, incomplete, .. } => {
            assert_eq!(incomplete, u64::from(RECEIVERS) + 1);
            interval
        }
        other => panic!("an announce got {other:?}"),
    };
    (0..ANNOUNCES).map(ask).collect()
}

/// How often each receiver has got an offer, when that are so many together.
fn received(receivers: &mut BTreeMap<u16, Client>, together: usize) -> Vec<usize> {
    let mut counts = vec![0; usize::from(RECEIVERS)];
    let deadline = Instant::now() + PATIENCE;
    while counts.iter().sum::<usize>() < together {
        assert!(
            Instant::now() < deadline,
            "{counts:?} are {} and not {together}",
            counts.iter().sum::<usize>()
        );
        for (name, client) in &mut *receivers {
            client.round_trip().expect("an answer");
            let messages = client.take_inbox();
            assert!(messages.iter().all(|message| matches!(message, Message::Offer(_))), "{messages:?}");
            counts[usize::from(*name)] += messages.len();
        }
    }
    assert_eq!(counts.iter().sum::<usize>(), together);
    counts
}

fn is_uniform(counts: &[usize]) {
    let expected = counts.iter().sum::<usize>() as f64 / counts.len() as f64;
    let distance: f64 = counts.iter().map(|count| (*count as f64 - expected).powi(2) / expected).sum();
    assert!(distance < UNLIKELY, "{counts:?}: {distance}");
}

#[test]
fn offers_reach_every_peer_with_the_same_chance_and_intervals_differ() {
    let setup = Setup { keys: vec![("workers", "2")], ..Setup::default() };
    let tracker = Running::start(crate::BINARY, Place::Loopback, &setup);
    let mut receivers: BTreeMap<u16, Client> = (0..RECEIVERS)
        .map(|name| {
            let mut client = open(&tracker, name);
            client
                .ask(&Announce { peer_id: peer_id(name), ..Announce::default() }.text())
                .expect("an answer");
            (name, client)
        })
        .collect();
    let mut offering = open(&tracker, RECEIVERS);
    let peer = Announce { peer_id: peer_id(RECEIVERS), ..Announce::default() };

    let mut intervals = announce(&mut offering, &peer.clone().offering(&["1"]));
    is_uniform(&received(&mut receivers, ANNOUNCES));
    intervals.extend(announce(&mut offering, &peer.offering(&["1", "2", "3", "4", "5"])));
    // Five of twenty at once are more alike than if each were drawn for itself: never less uniform.
    is_uniform(&received(&mut receivers, 5 * ANNOUNCES));

    // A tenth to either side of 120 s. That one of 25 lengths is missing among 2,000 is unlikelier than one in 10^30.
    let (least, most) = (intervals.iter().min(), intervals.iter().max());
    assert!(least <= Some(&109) && least >= Some(&108), "{least:?}");
    assert!(most >= Some(&131) && most <= Some(&132), "{most:?}");
    tracker.daemon.stop_well();
}
