//! The swarms against a plain model, and the fairness of who is picked.
//!
//! The model is a list of claims in the order in which they were made: of those with the same torrent and peer id the last one is the member.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use tracker_core::Random;

use super::*;

use members::{FEWEST_WITH_INDEX, MOST_WITHOUT_INDEX};

fn id(number: u8) -> [u8; 20] {
    [number; 20]
}

fn connection(number: u8) -> ConnectionId {
    ConnectionId::new(u16::from(number % 3), u64::from(number))
}

/// A speaker is the same one as before, as it is for a client, or another one that is equal.
#[derive(Debug, Default)]
struct Speakers(BTreeMap<(u8, u8), Arc<Speaker>>);

impl Speakers {
    fn get(&mut self, swarms: &Swarms, peer: u8, number: u8, anew: bool) -> Arc<Speaker> {
        let made = swarms.speaker(id(peer), connection(number));
        if anew {
            return made;
        }
        Arc::clone(self.0.entry((peer, number)).or_insert(made))
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Announce {
        torrent: u8,
        peer: u8,
        connection: u8,
        kind: AnnounceKind,
        seeder: bool,
        offers: usize,
        anew: bool,
    },
    Leave {
        torrent: u8,
        peer: u8,
        connection: u8,
    },
    Close {
        connection: u8,
    },
    Deny {
        torrent: u8,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let kind = prop_oneof![
        4 => Just(AnnounceKind::None),
        2 => Just(AnnounceKind::Started),
        2 => Just(AnnounceKind::Completed),
        2 => Just(AnnounceKind::Stopped),
        1 => Just(AnnounceKind::Paused),
    ];
    let one = |step: Step| vec![step];
    let steps = prop_oneof![
        120 => (0..3_u8, 0..12_u8, 0..8_u8, kind, any::<bool>(), 0..14_usize, any::<bool>()).prop_map(
            |(torrent, peer, connection, kind, seeder, offers, anew)| Step::Announce { torrent, peer, connection, kind, seeder, offers, anew }
        ).prop_map(one),
        10 => (0..3_u8, 0..12_u8, 0..8_u8).prop_map(|(torrent, peer, connection)| Step::Leave { torrent, peer, connection }).prop_map(one),
        10 => (0..8_u8).prop_map(|connection| Step::Close { connection }).prop_map(one),
        10 => (0..3_u8).prop_map(|torrent| Step::Deny { torrent }).prop_map(one),
        // More than are found without an index.
        4 => (0..3_u8, any::<u64>()).prop_map(|(torrent, seeders)| crowd(torrent, seeders)),
        4 => (0..3_u8).prop_map(exodus),
    ];
    prop::collection::vec(steps, 0..120).prop_map(|steps| steps.concat())
}

const CROWD: u8 = 2 * MOST_WITHOUT_INDEX as u8;

/// Always by the same connections: of claims to a peer id that is somebody else's, only some are remembered.
fn crowd_connection(peer: u8) -> u8 {
    peer % 8
}

/// Many peers at once, those with a bit being seeders.
fn crowd(torrent: u8, seeders: u64) -> Vec<Step> {
    let announce = |peer: u8| Step::Announce {
        torrent,
        peer,
        connection: crowd_connection(peer),
        kind: AnnounceKind::None,
        seeder: seeders >> peer & 1 == 1,
        offers: 3,
        anew: peer.is_multiple_of(7),
    };
    (0..CROWD).map(announce).collect()
}

/// All but a few of a crowd leave.
fn exodus(torrent: u8) -> Vec<Step> {
    let leave = |peer| Step::Leave { torrent, peer, connection: crowd_connection(peer) };
    (3..CROWD).map(leave).collect()
}

#[derive(Clone, Copy, Debug)]
struct Claim {
    torrent: u8,
    peer: u8,
    connection: u8,
    seeder: bool,
}

#[derive(Debug, Default)]
struct Model {
    claims: Vec<Claim>,
    completed: BTreeMap<u8, u32>,
}

impl Model {
    /// The member for each peer id of a torrent.
    fn members(&self, torrent: u8) -> BTreeMap<u8, Claim> {
        let claims = self.claims.iter().filter(|claim| claim.torrent == torrent);
        claims.map(|claim| (claim.peer, *claim)).collect()
    }

    fn drop(&mut self, gone: impl Fn(&Claim) -> bool) {
        self.claims.retain(|claim| !gone(claim));
        self.completed.retain(|torrent, _| self.claims.iter().any(|claim| claim.torrent == *torrent));
    }

    fn counts(&self, torrent: u8) -> Counts {
        let members = self.members(torrent);
        let complete = members.values().filter(|claim| claim.seeder).count() as u32;
        let downloaded = self.completed.get(&torrent).copied().unwrap_or(0);
        Counts { complete, incomplete: members.len() as u32 - complete, downloaded }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn swarms_are_what_the_model_says(steps in steps(), seed: u64) {
        let swarms = Swarms::new(1000);
        let mut model = Model::default();
        let mut speakers = Speakers::default();
        let mut random = Random::new(seed);
        for step in steps {
            match step {
                Step::Announce { torrent, peer, connection: number, kind, seeder, offers, anew } => {
                    let was_leecher = model.members(torrent).get(&peer).is_some_and(|claim| !claim.seeder);
                    let is_same = |claim: &Claim| (claim.torrent, claim.peer, claim.connection) == (torrent, peer, number);
                    let stopped = kind == AnnounceKind::Stopped;
                    if stopped {
                        model.drop(is_same);
                    } else {
                        // It stays one of the torrent's, so what was completed is kept.
                        model.claims.retain(|claim| !is_same(claim));
                        model.claims.push(Claim { torrent, peer, connection: number, seeder });
                        if kind == AnnounceKind::Completed && seeder && was_leecher {
                            *model.completed.entry(torrent).or_default() += 1;
                        }
                    }
                    let speaker = speakers.get(&swarms, peer, number, anew);
                    let announcement = Announcement { info_hash: id(torrent), speaker: &speaker, kind, seeder };
                    let mut picked = Vec::new();
                    let counts = swarms.announce(&announcement, offers, &mut random, &mut picked, |_| true);
                    prop_assert_eq!(counts, Ok(model.counts(torrent)));
                    let others: BTreeMap<[u8; 20], ConnectionId> = model
                        .members(torrent)
                        .iter()
                        .filter(|(other, _)| **other != peer)
                        .map(|(other, claim)| (id(*other), connection(claim.connection)))
                        .collect();
                    let wanted = if stopped { 0 } else { offers.min(others.len()) };
                    prop_assert_eq!(picked.len(), wanted);
                    for recipient in &picked {
                        prop_assert_eq!(others.get(&recipient.peer), Some(&recipient.connection));
                    }
                    let different: BTreeSet<PeerId> = picked.iter().map(|recipient| recipient.peer).collect();
                    prop_assert_eq!(different.len(), picked.len());
                }
                Step::Leave { torrent, peer, connection: number } => {
                    model.drop(|claim| (claim.torrent, claim.peer, claim.connection) == (torrent, peer, number));
                    swarms.leave(&id(torrent), &speakers.get(&swarms, peer, number, false));
                }
                Step::Close { connection: number } => {
                    for claim in model.claims.clone().iter().filter(|claim| claim.connection == number) {
                        swarms.leave(&id(claim.torrent), &speakers.get(&swarms, claim.peer, number, false));
                    }
                    model.drop(|claim| claim.connection == number);
                }
                Step::Deny { torrent } => {
                    model.drop(|claim| claim.torrent == torrent);
                    swarms.retain(|info_hash| *info_hash != id(torrent));
                }
            }
            for torrent in 0..3 {
                prop_assert_eq!(swarms.scrape(&id(torrent)), model.counts(torrent));
                let part = swarms.part(&id(torrent));
                prop_assert!(part.get(&id(torrent)).is_none_or(Swarm::is_in_order), "{:?}", part.get(&id(torrent)));
            }
            let torrents: BTreeSet<u8> = model.claims.iter().map(|claim| claim.torrent).collect();
            let seeders: u32 = (0..3).map(|torrent| model.counts(torrent).complete).sum();
            prop_assert_eq!(
                (swarms.torrents(), swarms.peers(), swarms.seeders()),
                (torrents.len() as u64, model.claims.len() as u64, u64::from(seeders))
            );
        }
    }
}

fn join(
    swarms: &Swarms,
    peer: u32,
    offers: usize,
    random: &mut Random,
    picked: &mut Vec<Recipient>,
) -> Result<Counts, Refused> {
    let mut name = [0; 20];
    name[..4].copy_from_slice(&peer.to_be_bytes());
    let speaker = swarms.speaker(name, ConnectionId::new(0, u64::from(peer)));
    let announcement =
        Announcement { info_hash: id(1), speaker: &speaker, kind: AnnounceKind::None, seeder: peer % 3 == 2 };
    swarms.announce(&announcement, offers, random, picked, |_| true)
}

/// Pearson's chi-square of how often each other member is picked, far from what chance does in one of 10,000 tests; with the same seed each time.
#[test]
fn every_member_is_picked_as_often_as_any_other() {
    for (members, offers, critical) in [(3_u32, 1, 15.2), (12, 10, 34.0), (50, 10, 92.0), (1000, 10, 1170.0)]
    {
        let swarms = Swarms::new(10_000);
        let mut random = Random::new(u64::from(members));
        let mut picked = Vec::new();
        for peer in 0..members {
            join(&swarms, peer, 0, &mut random, &mut picked).expect("there is room");
        }
        let rounds = 4000 * members / offers as u32;
        let mut hits = vec![0_f64; members as usize];
        for _ in 0..rounds {
            picked.clear();
            join(&swarms, 1, offers, &mut random, &mut picked).expect("it is known");
            for recipient in &picked {
                hits[u32::from_be_bytes([0, 1, 2, 3].map(|at| recipient.peer[at])) as usize] += 1.0;
            }
        }
        assert_eq!(hits[1], 0.0, "never the sender");
        let wanted = f64::from(rounds) * offers as f64 / f64::from(members - 1);
        let others = hits.iter().enumerate().filter(|(peer, _)| *peer != 1);
        let chi_square: f64 = others.map(|(_, hits)| (hits - wanted).powi(2) / wanted).sum();
        assert!(chi_square < critical, "{members} members, {offers} offers: {chi_square}");
    }
}

#[test]
fn nobody_joins_who_is_too_many_or_denied_but_who_is_there_goes_on() {
    let swarms = Swarms::new(2);
    let (mut random, mut picked) = (Random::new(1), Vec::new());
    let mut join = |peer| {
        join(&swarms, peer, 0, &mut random, &mut picked).map(|counts| counts.incomplete + counts.complete)
    };
    assert_eq!([join(1), join(2), join(3), join(2)], [Ok(1), Ok(2), Err(Refused::Full), Ok(2)]);
    let speaker = swarms.speaker(id(1), connection(1));
    let announcement =
        Announcement { info_hash: id(9), speaker: &speaker, kind: AnnounceKind::None, seeder: true };
    let denied = swarms.announce(&announcement, 0, &mut Random::new(1), &mut Vec::new(), |_| false);
    assert_eq!(denied, Err(Refused::Denied));
}

#[test]
fn last_who_leaves_is_told_what_a_scrape_says() {
    let swarms = Swarms::new(10);
    let speaker = swarms.speaker(id(1), connection(1));
    let say = |kind, seeder| {
        let announcement = Announcement { info_hash: id(1), speaker: &speaker, kind, seeder };
        swarms.announce(&announcement, 0, &mut Random::new(1), &mut Vec::new(), |_| true)
    };
    assert_eq!(say(AnnounceKind::Started, false), Ok(Counts { complete: 0, incomplete: 1, downloaded: 0 }));
    assert_eq!(say(AnnounceKind::Completed, true), Ok(Counts { complete: 1, incomplete: 0, downloaded: 1 }));
    assert_eq!(say(AnnounceKind::Stopped, true), Ok(Counts::default()));
    assert_eq!(swarms.scrape(&id(1)), Counts::default());
}

#[test]
fn claims_to_one_peer_id_are_bounded() {
    let swarms = Swarms::new(1000);
    let speaker = |number| swarms.speaker(id(1), ConnectionId::new(0, number));
    for number in 0..200 {
        let speaker = speaker(number);
        let announcement =
            Announcement { info_hash: id(1), speaker: &speaker, kind: AnnounceKind::None, seeder: false };
        let counts = swarms.announce(&announcement, 5, &mut Random::new(1), &mut Vec::new(), |_| true);
        assert_eq!(counts.map(|counts| counts.incomplete), Ok(1));
    }
    assert_eq!(swarms.peers(), 65);
    for number in 0..200 {
        swarms.leave(&id(1), &speaker(number));
    }
    assert_eq!((swarms.peers(), swarms.torrents()), (0, 0));
}

/// Everybody is a seeder and a leecher in turn while the swarm grows beyond the size at which it has an index, and shrinks again.
#[test]
fn members_are_found_and_sorted_in_swarms_of_any_size() {
    let swarms = Swarms::new(1000);
    let speakers: Vec<Arc<Speaker>> =
        (0..3 * MOST_WITHOUT_INDEX as u8).map(|peer| swarms.speaker(id(peer), connection(peer))).collect();
    let mut swarm = Swarm::default();
    let mut seeders = BTreeSet::new();
    let sizes = (1..=speakers.len()).chain((0..speakers.len()).rev());
    for (round, size) in sizes.enumerate() {
        if size > swarm.claims() {
            swarm.join(&speakers[size - 1], AnnounceKind::Started, false);
        } else {
            swarm.leave(&speakers[size]);
            seeders.remove(&size);
        }
        for at in [round % 3, round % 7, size / 2, size.wrapping_sub(1)].into_iter().filter(|at| *at < size) {
            let seeder = !seeders.remove(&at) && seeders.insert(at);
            swarm.join(&speakers[at], AnnounceKind::None, seeder);
            assert!(swarm.is_in_order(), "{size} members, {at} changes: {swarm:?}");
        }
        let complete = seeders.len() as u32;
        let counts = Counts { complete, incomplete: size as u32 - complete, downloaded: 0 };
        assert_eq!(swarm.counts(), counts);
        assert!(swarm.is_in_order(), "{size} members: {swarm:?}");
        for (at, speaker) in speakers.iter().enumerate() {
            let seeder = swarm.is_member(speaker);
            assert_eq!(seeder, (at < size).then(|| seeders.contains(&at)), "{at} of {size}");
        }
    }
    assert!(swarm.is_empty());
    assert!(speakers.iter().all(|speaker| Arc::strong_count(speaker) == 1));
}

#[test]
fn one_peer_id_has_one_place_in_large_swarms_too() {
    for members in [2, FEWEST_WITH_INDEX, MOST_WITHOUT_INDEX + 1, 100] {
        let swarms = Swarms::new(1000);
        let mut swarm = Swarm::default();
        for number in 0..members as u8 {
            swarm.join(&swarms.speaker(id(number), connection(number)), AnnounceKind::None, number % 2 == 0);
        }
        let before = swarm.counts();
        let stranger = swarms.speaker(id(0), connection(200));
        swarm.join(&stranger, AnnounceKind::None, false);
        let counts = swarm.counts();
        assert_eq!((counts.complete, counts.incomplete), (before.complete - 1, before.incomplete + 1));
        assert!(swarm.has(&swarms.speaker(id(0), connection(0))) && swarm.is_in_order());
        swarm.leave(&stranger);
        assert_eq!(swarm.counts(), before);
        assert!(!swarm.has(&stranger) && swarm.is_in_order());
    }
}
