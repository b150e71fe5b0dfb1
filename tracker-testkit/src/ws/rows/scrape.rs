//! W06: scrapes.

use super::{Rows, Scene, says};
use crate::answer::Counts;
use crate::http::case::Setup;
use crate::ws::case::{Expected, Step, counts};
use crate::ws::request::{Announce, binary, scrape};

fn scraped(torrents: &[([u8; 20], Counts)]) -> [Expected; 1] {
    [Expected::Scraped(torrents.to_vec())]
}

/// Torrent 1 has a seeder and a leecher, torrent 2 a leecher.
fn two_torrents(s: &Scene) -> Vec<Step> {
    let of = |n, announce: Announce| Announce { info_hash: s.hash(n), ..announce }.text();
    let announced =
        |n, complete, incomplete| [Expected::Announced { info_hash: s.hash(n), complete, incomplete }];
    vec![
        s.opens(0),
        s.opens(1),
        says(0, of(1, s.seeder(0)), announced(1, 1, 0)),
        says(1, of(1, s.leecher(1)), announced(1, 1, 1)),
        says(0, of(2, s.leecher(0)), announced(2, 0, 1)),
    ]
}

pub(super) fn add(rows: &mut Rows) {
    rows.cut("W06", "a scrape has every torrent that is asked for, once, and zeros for unknown ones", |s| {
        let (one, two) = ((s.hash(1), counts(1, 0, 1)), (s.hash(2), counts(0, 0, 1)));
        let unknown = (s.hash(50), counts(0, 0, 0));
        let hashes = [one.0, unknown.0, two.0, one.0, unknown.0];
        [
            two_torrents(s),
            vec![
                says(0, scrape(&hashes), scraped(&[one, unknown, two])),
                says(1, scrape(&[two.0]), scraped(&[two])),
                says(
                    0,
                    format!("{{\"action\":\"scrape\",\"info_hash\":{}}}", binary(&one.0)),
                    scraped(&[one]),
                ),
                says(1, scrape(&[unknown.0]), scraped(&[unknown])),
            ],
        ]
        .concat()
    });
    rows.add("W06", "an empty array gets no files", |s| vec![s.opens(0), says(0, scrape(&[]), scraped(&[]))]);
    rows.add("W06", "as many torrents as a message has room for are answered", |s| {
        let hashes: Vec<[u8; 20]> = (0..2800_u16)
            .map(|n| {
                // Characters that are a byte each: no message has room for more.
                let mut hash = *b"abcdefghijklmnopqrst";
                for (at, place) in [(0, 26 * 26), (1, 26), (2, 1)] {
                    hash[at] = b'a' + (n / place % 26) as u8;
                }
                hash[3..6].copy_from_slice(format!("{:03}", s.number).as_bytes());
                hash
            })
            .collect();
        let text = scrape(&hashes);
        assert!((64_000..65_536).contains(&text.len()), "{} bytes", text.len());
        let zeros: Vec<_> = hashes.iter().map(|hash| (*hash, counts(0, 0, 0))).collect();
        vec![s.opens(0), says(0, text, scraped(&zeros))]
    });
    rows.add("W06", "who isn't in any torrent may scrape", |s| {
        vec![s.opens(0), says(0, scrape(&[s.hash(0)]), scraped(&[(s.hash(0), counts(0, 0, 0))]))]
    });
    rows.add("W06", "a full scrape is refused", |s| {
        let refused = || {
            [Expected::Failure { action: "scrape", reason: "full scrapes are not allowed", info_hash: None }]
        };
        vec![
            s.opens(0),
            says(0, "{\"action\":\"scrape\"}", refused()),
            says(0, "{\"action\":\"scrape\",\"info_hash\":null}", refused()),
            says(0, scrape(&[]), scraped(&[])),
        ]
    });
    rows.add("W06", "what isn't a list of torrents is invalid", |s| {
        let good = binary(&s.hash(0));
        let invalid =
            || [Expected::Failure { action: "scrape", reason: "invalid info_hash", info_hash: None }];
        let mut steps = vec![s.opens(0)];
        for wrong in [
            "[1]".to_owned(),
            "[null]".to_owned(),
            "[\"short\"]".to_owned(),
            format!("[{good},5]"),
            format!("[{good},\"\"]"),
            format!("[[{good}]]"),
            format!("{{\"0\":{good}}}"),
            "0".to_owned(),
        ] {
            steps.push(says(0, format!("{{\"action\":\"scrape\",\"info_hash\":{wrong}}}"), invalid()));
        }
        steps
    });
    rows.set_up(Setup {
        keys: vec![("full_scrape", "true"), ("full_scrape_interval_s", "3600")],
        ..Setup::default()
    });
    rows.add("W06", "a full scrape, once it is allowed, has every torrent, once for a source", |s| {
        let (one, two) = ((s.hash(1), counts(1, 0, 1)), (s.hash(2), counts(0, 0, 1)));
        [
            two_torrents(s),
            vec![
                says(0, "{\"action\":\"scrape\"}", [Expected::ScrapedWith(vec![one, two])]),
                // Too early.
                says(0, "{\"action\":\"scrape\",\"info_hash\":null}", [Expected::AnyFailure("scrape")]),
                says(
                    1,
                    "{\"info_hash\":null,\"action\":\"scrape\"}",
                    [Expected::ScrapedWith(vec![one, two])],
                ),
                says(0, scrape(&[two.0]), scraped(&[two])),
            ],
        ]
        .concat()
    });
    rows.set_up(Setup::default());
}
