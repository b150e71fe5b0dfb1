//! Answers with peers of both families against what the swarm is.

mod swarm;

use std::collections::BTreeSet;

use proptest::prelude::*;
use tracker_common::table::{Family, MAX_PEERS_OF_BOTH, PeerAddress, Query};
use tracker_common::wire::AnnounceKind;
use tracker_core::Millis;

use swarm::{event, join, peer, query_both, table, torrent};

const NOW: Millis = Millis(1_000_000);

/// How many peers there are of each kind; those of a family are numbered from 0, leechers first.
#[derive(Clone, Copy, Debug)]
struct Swarm {
    leechers4: u32,
    seeders4: u32,
    leechers6: u32,
    seeders6: u32,
}

impl Swarm {
    fn of(self, family: Family) -> (u32, u32) {
        match family {
            Family::V4 => (self.leechers4, self.seeders4),
            Family::V6 => (self.leechers6, self.seeders6),
        }
    }

    /// Every peer, and whether it is a seeder.
    fn peers(self) -> impl Iterator<Item = (PeerAddress, bool)> {
        [Family::V4, Family::V6].into_iter().flat_map(move |family| {
            let (leechers, seeders) = self.of(family);
            (0..leechers + seeders).map(move |n| (peer(family, n), n >= leechers))
        })
    }
}

fn sizes() -> impl Strategy<Value = Swarm> {
    let size = || prop_oneof![3 => Just(0u32), 4 => 1..4u32, 3 => 0..40u32, 2 => 0..400u32];
    (size(), size(), size(), size()).prop_map(|(leechers4, seeders4, leechers6, seeders6)| Swarm {
        leechers4,
        seeders4,
        leechers6,
        seeders6,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn an_answer_is_what_the_swarm_allows(
        swarm in sizes(),
        v6: bool,
        number in prop_oneof![0..4u32, 0..400u32],
        seeder: bool,
        stopped in prop_oneof![4 => Just(false), 1 => Just(true)],
        // Often about as many as there are.
        want in prop_oneof![(0..600u32).prop_map(Ok), (-2..3i32).prop_map(Err)],
        random: u64,
    ) {
        let hash = torrent(1);
        let (mut writer, reader) = table(10, 10_000);
        for family in [Family::V4, Family::V6] {
            let (leechers, seeders) = swarm.of(family);
            join(&mut writer, &hash, family, 0..leechers, false, NOW);
            join(&mut writer, &hash, family, leechers..leechers + seeders, true, NOW);
        }
        let family = if v6 { Family::V6 } else { Family::V4 };
        let announcer = peer(family, number);
        let fit: BTreeSet<_> = swarm
            .peers()
            .filter(|(address, seeds)| *address != announcer && !(seeder && *seeds))
            .map(|(address, _)| address)
            .collect();
        let want = want.unwrap_or_else(|near| (fit.len() as u32).saturating_add_signed(near));
        let query = Query { info_hash: &hash, peer: announcer, seeder, stopped, want, random };
        let answer = query_both(&reader, &query);

        let given: BTreeSet<_> = answer.peers.iter().copied().collect();
        prop_assert_eq!(given.len(), answer.peers.len(), "a peer is there twice");
        let expected = if stopped { 0 } else { fit.len().min(want.min(MAX_PEERS_OF_BOTH) as usize) };
        prop_assert_eq!(given.len(), expected, "{} wanted of {}", want, fit.len());
        prop_assert!(given.is_subset(&fit), "{:?}", given.difference(&fit));

        let before = reader.scrape(&hash);
        let kind = if stopped { AnnounceKind::Stopped } else { AnnounceKind::None };
        writer.apply(&event(&hash, announcer, kind, seeder), NOW);
        let after = reader.scrape(&hash);
        let counts = (answer.found.seeders, answer.found.leechers);
        let everybody = swarm.peers().count();
        let all_looked_at = want.min(MAX_PEERS_OF_BOTH) as usize >= everybody;
        if !stopped && !seeder && all_looked_at {
            prop_assert_eq!(counts, (after.seeders, after.leechers));
        } else {
            let near = [(before.seeders, before.leechers), (after.seeders, after.leechers)];
            prop_assert!(near.contains(&counts), "{:?} is none of {:?}", counts, near);
        }
    }

    #[test]
    fn one_family_is_answered_as_announce_answers_it(leechers in prop_oneof![0..60u32, 0..300u32], seeders in prop_oneof![0..4u32, 0..100u32], v6: bool, seeder: bool, number in 0..500u32, random: u64) {
        let hash = torrent(1);
        let family = if v6 { Family::V6 } else { Family::V4 };
        let (mut writer, reader) = table(10, 10_000);
        join(&mut writer, &hash, family, 0..leechers, false, NOW);
        join(&mut writer, &hash, family, leechers..leechers + seeders, true, NOW);
        let query = Query { info_hash: &hash, peer: peer(family, number), seeder, stopped: false, want: 50, random };
        let (both, one) = (query_both(&reader, &query), swarm::query(&reader, &query));
        prop_assert_eq!(both.peers.len(), one.peers.len());
        // Beyond that, whether the announcer is met is chance.
        if leechers + seeders <= 51 {
            prop_assert_eq!(both.found.seeders, one.found.seeders);
            prop_assert_eq!(both.found.leechers, one.found.leechers);
        }
    }
}

#[test]
fn completed_downloads_are_counted() {
    let hash = torrent(1);
    let (mut writer, reader) = table(10, 100);
    join(&mut writer, &hash, Family::V6, 0..3, false, NOW);
    writer.apply(&event(&hash, peer(Family::V6, 1), AnnounceKind::Completed, true), NOW);
    let query = Query {
        info_hash: &hash,
        peer: peer(Family::V4, 1),
        seeder: false,
        stopped: false,
        want: 50,
        random: 1,
    };
    let found = query_both(&reader, &query).found;
    assert_eq!((found.completed, found.seeders, found.leechers), (1, 1, 3));
    assert_eq!((found.peers_v4, found.peers_v6), (0, 3));
}
