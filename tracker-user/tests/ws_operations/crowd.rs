//! Many clients that come, offer, answer and go at the same time, on several workers: nobody gets what isn't his, nothing comes twice, and
//! in the end nothing is left.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;

use tracker_testkit::http::case::Setup;
use tracker_testkit::http::{Place, Running};
use tracker_testkit::ws::Client;
use tracker_testkit::ws::case::peer_id;
use tracker_testkit::ws::client::Vanishing;
use tracker_testkit::ws::counters::{self, ANSWERS_FORWARDED, ANSWERS_UNMATCHED};
use tracker_testkit::ws::message::Message;

use crate::{BINARY, answer, leecher, open, open_tls, wait_for_nothing};

/// Clients at the same time.
const CLIENTS: u16 = 24;
/// Times that each of them comes.
const LIVES: u32 = 12;
/// Announces in a life.
const ANNOUNCES: u32 = 25;

/// Marsaglia's xorshift.
struct Random(u32);

impl Random {
    fn below(&mut self, limit: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0 % limit
    }
}

/// What all clients have sent and got.
#[derive(Debug, Default)]
struct Totals {
    answers_sent: AtomicU64,
    answers_got: AtomicU64,
    unknown: AtomicU64,
    /// Clients that haven't finished their last life.
    alive: AtomicUsize,
}

/// One client's connection, and the offers that it has made: whether they have been answered.
struct Life<'a> {
    number: u16,
    client: Client,
    offers: HashMap<String, bool>,
    totals: &'a Totals,
}

impl Life<'_> {
    /// Takes what has come: answers offers, and looks whether answers are to its own ones.
    fn take(&mut self, message: Message, random: &mut Random) {
        match message {
            Message::Offer(offer) => {
                assert_ne!(offer.peer_id, peer_id(self.number), "its own offer");
                // Not everybody answers.
                if random.below(4) > 0 {
                    let [high, low] = [offer.peer_id[18], offer.peer_id[19]];
                    let from = u16::from_be_bytes([high, low]);
                    let text = answer(self.number, from, &offer.offer_id).text();
                    self.client.say(&text).expect("it is open");
                    self.totals.answers_sent.fetch_add(1, Ordering::Relaxed);
                }
            }
            Message::Answer(answer) => {
                assert_ne!(answer.peer_id, peer_id(self.number), "its own answer");
                let answered = self.offers.get_mut(&answer.offer_id).expect("an answer to its own offer");
                assert!(!std::mem::replace(answered, true), "{} is answered twice", answer.offer_id);
                self.totals.answers_got.fetch_add(1, Ordering::Relaxed);
            }
            Message::Failure { reason, .. } => {
                assert_eq!(reason, "unknown offer");
                self.totals.unknown.fetch_add(1, Ordering::Relaxed);
            }
            other => panic!("nobody asked for {other:?}"),
        }
    }

    /// Announces with some offers, and takes everything that comes before the answer.
    fn announce(&mut self, name: &str, random: &mut Random) {
        let ids: Vec<String> = (0..random.below(6)).map(|n| format!("{name} {n}")).collect();
        self.offers.extend(ids.iter().map(|id| (id.clone(), false)));
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        self.client.say(&leecher(self.number).offering(&ids).text()).expect("it is open");
        loop {
            match self.client.read().expect("an answer") {
                Message::Announced { complete: 0, incomplete, .. } => {
                    assert!((1..=u64::from(CLIENTS)).contains(&incomplete), "{incomplete} peers");
                    return;
                }
                other => self.take(other, random),
            }
        }
    }

    /// Takes everything that comes until a round trip brings nothing more.
    fn linger(&mut self, random: &mut Random) {
        loop {
            self.client.round_trip().expect("an answer");
            let messages = self.client.take_inbox();
            if messages.is_empty() {
                return;
            }
            messages.into_iter().for_each(|message| self.take(message, random));
        }
    }
}

fn live(tracker: &Running, number: u16, totals: &Totals) {
    let mut random = Random(0x9e37_79b9 ^ u32::from(number) << 8);
    for life in 0..LIVES {
        let client = if random.below(8) == 0 { open_tls(tracker, number) } else { open(tracker, number) };
        let mut it = Life { number, client, offers: HashMap::new(), totals };
        for round in 0..ANNOUNCES {
            it.announce(&format!("{number} {life} {round}"), &mut random);
        }
        if life + 1 < LIVES {
            match random.below(3) {
                0 => it.client.vanish(Vanishing::Fin),
                1 => it.client.vanish(Vanishing::Reset),
                // What comes before the tracker's close frame is nobody's any more.
                _ => _ = it.client.close(1000),
            }
            continue;
        }
        // In the last life nobody goes before all have said all: what was sent then arrives.
        totals.alive.fetch_sub(1, Ordering::Relaxed);
        while totals.alive.load(Ordering::Relaxed) > 0 {
            it.linger(&mut random);
        }
        it.linger(&mut random);
        it.client.vanish(Vanishing::Fin);
    }
}

#[test]
fn a_crowd_that_comes_and_goes_gets_each_others_messages_once_and_leaves_nothing() {
    let setup = Setup { keys: vec![("workers", "3")], ..Setup::default() };
    let tracker = Running::start(BINARY, Place::Loopback, &setup);
    let totals = Totals::default();
    totals.alive.store(usize::from(CLIENTS), Ordering::Relaxed);
    thread::scope(|scope| {
        for number in 0..CLIENTS {
            let (tracker, totals) = (&tracker, &totals);
            scope.spawn(move || live(tracker, number, totals));
        }
    });
    wait_for_nothing(&tracker);
    let counted = |name| counters::counted(&tracker.home, name);
    let [sent, got, unknown] = [&totals.answers_sent, &totals.answers_got, &totals.unknown]
        .map(|total| total.load(Ordering::Relaxed));
    assert!(sent > 1000 && got > sent / 2, "{totals:?}");
    // Some that were forwarded were to somebody who went without reading them.
    assert!(counted(ANSWERS_FORWARDED) >= got, "{totals:?}");
    assert!(counted(ANSWERS_UNMATCHED) >= unknown, "{totals:?}");
    assert!(counted(ANSWERS_FORWARDED) + counted(ANSWERS_UNMATCHED) <= sent, "{totals:?}");
    let log = tracker.daemon.log();
    assert!(!log.contains("panicked"), "{log}");
    tracker.daemon.stop_well();
}
