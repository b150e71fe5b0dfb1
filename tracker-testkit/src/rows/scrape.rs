//! U17–U19: scrapes.

use super::Expected::{Accepted, Error};
use super::{Id, Rows, Setup, scraped};
use crate::payload;

const FULL_SCRAPE: &str = "full scrapes are not allowed";

pub(super) fn add(rows: &mut Rows) {
    rows.both("U17", "a scrape without a hash gets an error", |s| {
        vec![s.host(0).scrapes(&[], Error(FULL_SCRAPE))]
    });
    rows.both("U17", "a tail that makes no whole hash is no hash", |s| {
        let with_tail = |len: usize| [payload::scrape(0, 7, &[]), vec![1; len]].concat();
        [1, 7, 19].map(|len| s.host(0).sends_with(Id::Good, with_tail(len), Error(FULL_SCRAPE))).to_vec()
    });
    rows.both("U17", "stray bytes behind the hashes are ignored", |s| {
        let with_tail = |len: usize| [payload::scrape(0, 7, &[s.hash(0), s.hash(1)]), vec![1; len]].concat();
        let mut steps = vec![s.host(0).announces(s.leecher(), Accepted)];
        for len in [1, 10, 19] {
            steps.push(s.host(1).sends_with(Id::Good, with_tail(len), scraped(&[(0, 0, 1), (0, 0, 0)])));
        }
        steps
    });
    rows.both("U18", "seventy hashes are answered, and of more the first seventy", |s| {
        let hashes: Vec<_> = (0..72).map(|n| s.hash(n)).collect();
        let mut entries = vec![(0, 0, 0); 70];
        entries[0] = (1, 0, 0);
        vec![
            s.host(0).announces(s.seeder(), Accepted),
            s.host(1).scrapes(&hashes[..69], scraped(&entries[..69])),
            s.host(1).scrapes(&hashes[..70], scraped(&entries)),
            s.host(1).scrapes(&hashes[..71], scraped(&entries)),
            s.host(1).scrapes(&hashes, scraped(&entries)),
        ]
    });
    rows.set_up(Setup { max_scrape_torrents: 3, ..Setup::default() });
    rows.both("U18", "the limit is configured", |s| {
        let hashes: Vec<_> = (0..5).map(|n| s.hash(n)).collect();
        vec![
            s.host(1).scrapes(&hashes[..3], scraped(&[(0, 0, 0); 3])),
            s.host(1).scrapes(&hashes, scraped(&[(0, 0, 0); 3])),
        ]
    });
    rows.set_up(Setup::default());
    rows.both("U19", "entries stand in the order of the request, duplicates kept, unknown ones zero", |s| {
        let (known, unknown) = (s.hash(0), s.hash(1));
        vec![
            s.host(0).announces(s.leecher(), Accepted),
            s.host(1).announces(s.seeder(), Accepted),
            s.host(2).scrapes(
                &[unknown, known, unknown, known, known],
                scraped(&[(0, 0, 0), (1, 0, 1), (0, 0, 0), (1, 0, 1), (1, 0, 1)]),
            ),
        ]
    });
    rows.both("U19", "scraping an unknown hash leaves it unknown", |s| {
        vec![
            s.host(0).scrapes(&[s.hash(0)], scraped(&[(0, 0, 0)])),
            s.host(0).scrapes(&[s.hash(0)], scraped(&[(0, 0, 0)])),
            s.host(1).announces(s.leecher(), super::announced(0, 1, &[])),
        ]
    });
}
