//! What a client can't do to another one, though it knows peer ids and offer ids (W02, W07).

use tracker_testkit::http::case::Setup;
use tracker_testkit::http::{Place, Running};
use tracker_testkit::ws::Client;
use tracker_testkit::ws::client::Vanishing;

use crate::{BINARY, announce, answer, fails, gets_answer, gets_offer, leecher, open};

const STOPPED: &str = "\"stopped\"";
const UNKNOWN: &str = "unknown offer";

/// Alice is peer 1 and Bob peer 2; Mallory is peer 3, if anybody.
struct Scene {
    tracker: Running,
    alice: Client,
    bob: Client,
    mallory: Client,
}

impl Scene {
    /// Alice and Bob are in the torrent, each on whatever worker.
    fn new() -> Self {
        let setup = Setup { keys: vec![("workers", "3")], ..Setup::default() };
        let tracker = Running::start(BINARY, Place::Loopback, &setup);
        let (mut alice, mut bob) = (open(&tracker, 1), open(&tracker, 2));
        let mallory = open(&tracker, 3);
        assert_eq!(announce(&mut alice, &leecher(1)), (0, 1));
        assert_eq!(announce(&mut bob, &leecher(2)), (0, 2));
        Self { tracker, alice, bob, mallory }
    }

    /// Bob gets Alice's offer.
    fn offer(&mut self, id: &str) {
        announce(&mut self.alice, &leecher(1).offering(&[id]));
        gets_offer(&mut self.bob, 1, id);
    }

    /// Whatever has been tried, Alice and Bob find each other, and have got nothing else.
    fn is_unharmed(mut self) {
        self.offer("at last");
        self.bob.say(&answer(2, 1, "at last").text()).unwrap();
        gets_answer(&mut self.alice, 2, "at last");
        self.alice.expect_nothing().unwrap();
        self.bob.expect_nothing().unwrap();
        self.tracker.daemon.stop_well();
    }
}

#[test]
fn a_stranger_cannot_stop_somebody_elses_peer() {
    let mut scene = Scene::new();
    assert_eq!(announce(&mut scene.mallory, &leecher(1).event(STOPPED)), (0, 2));
    assert_eq!(announce(&mut scene.mallory, &leecher(2).event(STOPPED)), (0, 2));
    scene.mallory.vanish(Vanishing::Fin);
    scene.mallory = open(&scene.tracker, 3);
    assert_eq!(announce(&mut scene.alice, &leecher(1)), (0, 2));
    scene.is_unharmed();
}

#[test]
fn who_takes_a_peer_over_evicts_nobody_for_good() {
    for leave in [
        (|mallory: Client| mallory.close(1000).unwrap()) as fn(Client),
        |mallory| mallory.vanish(Vanishing::Fin),
        |mallory| mallory.vanish(Vanishing::Reset),
        |mut mallory| {
            announce(&mut mallory, &leecher(2).event(STOPPED));
        },
    ] {
        let mut scene = Scene::new();
        let mut mallory = std::mem::replace(&mut scene.mallory, open(&scene.tracker, 3));
        // As a seeder, so that it is seen when Bob is back.
        let seeding = tracker_testkit::ws::request::Announce { left: Some("0"), ..leecher(2) };
        assert_eq!(announce(&mut mallory, &seeding), (1, 1));
        leave(mallory);
        let Scene { tracker, alice, .. } = &mut scene;
        tracker
            .daemon
            .eventually("Bob is there again", || (announce(alice, &leecher(1)) == (0, 2)).then_some(()));
        scene.is_unharmed();
    }
}

#[test]
fn who_takes_a_peer_over_gets_no_answers_to_its_offers() {
    let mut scene = Scene::new();
    scene.offer("1");
    assert_eq!(announce(&mut scene.mallory, &leecher(1)), (0, 2));
    scene.bob.say(&answer(2, 1, "1").text()).unwrap();
    gets_answer(&mut scene.alice, 2, "1");
    scene.mallory.expect_nothing().unwrap();
    // Alice comes back by announcing.
    assert_eq!(announce(&mut scene.alice, &leecher(1)), (0, 2));
    scene.is_unharmed();
}

#[test]
fn who_takes_a_peer_over_can_answer_no_offer_that_it_has_not_got() {
    let mut scene = Scene::new();
    scene.offer("1");
    assert_eq!(announce(&mut scene.mallory, &leecher(2)), (0, 2));
    fails(&mut scene.mallory, &answer(2, 1, "1").text(), UNKNOWN);
    scene.bob.say(&answer(2, 1, "1").text()).unwrap();
    gets_answer(&mut scene.alice, 2, "1");
    assert_eq!(announce(&mut scene.bob, &leecher(2)), (0, 2));
    scene.is_unharmed();
}

#[test]
fn a_stranger_cannot_answer_others_offers() {
    let mut scene = Scene::new();
    scene.offer("1");
    // As nobody, as Bob, as itself, as a member and in Alice's name.
    for from in [3, 2, 1] {
        fails(&mut scene.mallory, &answer(from, 1, "1").text(), UNKNOWN);
    }
    assert_eq!(announce(&mut scene.mallory, &leecher(3)), (0, 3));
    fails(&mut scene.mallory, &answer(3, 1, "1").text(), UNKNOWN);
    fails(&mut scene.mallory, &answer(2, 1, "1").text(), UNKNOWN);
    scene.bob.say(&answer(2, 1, "1").text()).unwrap();
    gets_answer(&mut scene.alice, 2, "1");
    assert_eq!(announce(&mut scene.mallory, &leecher(3).event(STOPPED)), (0, 2));
    scene.is_unharmed();
}

#[test]
fn an_answer_cannot_be_replayed() {
    let mut scene = Scene::new();
    scene.offer("1");
    scene.bob.say(&answer(2, 1, "1").text()).unwrap();
    gets_answer(&mut scene.alice, 2, "1");
    fails(&mut scene.bob, &answer(2, 1, "1").text(), UNKNOWN);
    fails(&mut scene.mallory, &answer(2, 1, "1").text(), UNKNOWN);
    // The same id in another offer is another offer.
    scene.offer("1");
    fails(&mut scene.mallory, &answer(2, 1, "1").text(), UNKNOWN);
    scene.bob.say(&answer(2, 1, "1").text()).unwrap();
    gets_answer(&mut scene.alice, 2, "1");
    scene.is_unharmed();
}

#[test]
fn who_got_an_offer_cannot_answer_it_as_somebody_else() {
    let mut scene = Scene::new();
    assert_eq!(announce(&mut scene.mallory, &leecher(3)), (0, 3));
    // One of them gets it; neither may say that it is the other.
    announce(&mut scene.alice, &leecher(1).offering(&["1", "2"]));
    let mut ids = [String::new(), String::new()];
    for (id, client) in ids.iter_mut().zip([&mut scene.bob, &mut scene.mallory]) {
        match client.read().unwrap() {
            tracker_testkit::ws::message::Message::Offer(offer) => *id = offer.offer_id,
            other => panic!("{other:?} is no offer"),
        }
    }
    let [bobs, mallorys] = ids;
    fails(&mut scene.mallory, &answer(2, 1, &mallorys).text(), UNKNOWN);
    fails(&mut scene.mallory, &answer(3, 1, &bobs).text(), UNKNOWN);
    fails(&mut scene.mallory, &answer(3, 2, &mallorys).text(), UNKNOWN);
    scene.alice.expect_nothing().unwrap();
    scene.mallory.say(&answer(3, 1, &mallorys).text()).unwrap();
    gets_answer(&mut scene.alice, 3, &mallorys);
    scene.bob.say(&answer(2, 1, &bobs).text()).unwrap();
    gets_answer(&mut scene.alice, 2, &bobs);
    announce(&mut scene.mallory, &leecher(3).event(STOPPED));
    scene.is_unharmed();
}
