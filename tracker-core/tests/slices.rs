//! Cleaning in slices, with announces between them: who is gone is removed within a round, and nobody else.

mod swarm;

use std::collections::BTreeMap;

use proptest::prelude::*;
use tracker_common::table::Family;
use tracker_common::wire::AnnounceKind;
use tracker_core::Millis;

use swarm::{LIFETIME_S, ask, event, join, peer, table, torrent};

/// Something between two slices.
#[derive(Clone, Debug)]
enum Step {
    Slice { budget: u32 },
    Announce { first: u32, len: u32, seeder: bool },
    Stop { first: u32, len: u32 },
}

fn steps() -> impl Strategy<Value = Step> {
    let crowd = || (0..900u32, prop_oneof![1..5u32, 1..200u32]);
    prop_oneof![
        4 => prop_oneof![1..30u32, 1..300u32].prop_map(|budget| Step::Slice { budget }),
        3 => (crowd(), any::<bool>()).prop_map(|((first, len), seeder)| Step::Announce { first, len, seeder }),
        2 => crowd().prop_map(|(first, len)| Step::Stop { first, len }),
    ]
}

proptest! {
    #[test]
    fn who_announces_between_slices_stays(
        v6: bool, leechers in 0..700u32, seeders in 0..300u32, history in proptest::collection::vec(steps(), 1..60),
    ) {
        let family = if v6 { Family::V6 } else { Family::V4 };
        let hash = torrent(1);
        let (mut writer, reader) = table(10, 10_000);
        let come = Millis(1_000_000);
        join(&mut writer, &hash, family, 0..leechers, false, come);
        join(&mut writer, &hash, family, leechers..leechers + seeders, true, come);
        // The cursor is somewhere already.
        writer.expire(come, 50);
        let now = Millis(come.0 + u64::from(LIFETIME_S) * 1000 + 100_000);
        let mut alive = BTreeMap::new();
        for step in &history {
            match *step {
                Step::Slice { budget } => {
                    writer.expire(now, budget);
                }
                Step::Announce { first, len, seeder } => for n in first..first + len {
                    writer.apply(&event(&hash, peer(family, n), AnnounceKind::None, seeder), now);
                    alive.insert(n, seeder);
                },
                Step::Stop { first, len } => for n in first..first + len {
                    writer.apply(&event(&hash, peer(family, n), AnnounceKind::Stopped, false), now);
                    alive.remove(&n);
                },
            }
            let counts = reader.scrape(&hash);
            let present = counts.seeders + counts.leechers;
            prop_assert_eq!(u64::from(present), writer.totals().peers());
            prop_assert!(present as usize >= alive.len());
        }
        // The rest of this round, and a whole one.
        for _ in 0..2 {
            while !writer.expire(now, 40).wrapped {}
        }
        let counts = reader.scrape(&hash);
        let expected = alive.values().filter(|seeder| **seeder).count() as u32;
        prop_assert_eq!((counts.seeders, counts.seeders + counts.leechers), (expected, alive.len() as u32));
        let handed_out = ask(&reader, &hash, peer(family, 5_000), false, 60, 7).distinct();
        let known: std::collections::BTreeSet<_> = alive.keys().map(|n| peer(family, *n)).collect();
        prop_assert!(handed_out.is_subset(&known));
        prop_assert_eq!(handed_out.len(), known.len().min(60));
    }
}
