//! H13, H14: scrapes.

use super::Rows;
use crate::http::case::Reply::Accepted;
use crate::http::case::{Reply, Setup, counts};
use crate::http::query::{self, Announce};

const NO_FULL_SCRAPE: Reply = Reply::Failure("full scrapes are not allowed");

pub(super) fn add(rows: &mut Rows) {
    rows.both("H13", "files are sorted, each torrent once, unknown ones with zeros", |s| {
        let of = |n| Announce { info_hash: s.hash(n), ..s.leecher() };
        let seeding = |n| Announce { left: Some(0), ..of(n) };
        let known =
            [(s.hash(1), counts(1, 0, 1)), (s.hash(2), counts(0, 0, 2)), (s.hash(200), counts(1, 0, 0))];
        let unknown = (s.hash(50), counts(0, 0, 0));
        vec![
            s.host(0).announces(of(1), Accepted),
            s.host(1).announces(seeding(1), Accepted),
            s.host(0).announces(of(2), Accepted),
            s.host(1).announces(of(2), Accepted),
            s.host(0).announces(seeding(200), Accepted),
            s.host(2).scrapes(&[s.hash(200), s.hash(2), s.hash(1)], &known),
            s.host(2).scrapes(
                &[s.hash(50), s.hash(200), s.hash(1), s.hash(50), s.hash(2), s.hash(1)],
                &[known[0], known[1], unknown, known[2]],
            ),
            s.host(2).scrapes(&[s.hash(50)], &[unknown]),
            // A scrape creates no entry.
            s.host(2).scrapes(&[s.hash(50)], &[unknown]),
        ]
    });
    rows.both("H13", "other parameters change nothing", |s| {
        let target = query::scrape(&[s.hash(0)]);
        let reply = || Reply::Scraped(vec![(s.hash(0), counts(0, 0, 0))]);
        vec![
            s.host(0).gets(target.replacen('?', "?key=1&", 1), reply()),
            s.host(0).gets(format!("{target}&compact=0&x"), reply()),
            s.host(0).gets(target.replacen('?', "?&", 1), reply()),
        ]
    });
    rows.any("H13", "as many torrents as fit into a request are answered up to the limit", |s| {
        let hashes: Vec<[u8; 20]> = (0..70).map(|n| [n; 20]).collect();
        let torrents: Vec<_> = hashes.iter().map(|hash| (*hash, counts(0, 0, 0))).collect();
        vec![s.host(0).scrapes(&hashes, &torrents)]
    });
    rows.both("H14", "a scrape without an info hash is refused", |s| {
        ["/scrape", "/scrape?", "/scrape?x=1", "/scrape?&&", "/scrape?infohash=abcdefghijklmnopqrst"]
            .map(|target| s.host(0).gets(target, NO_FULL_SCRAPE))
            .into()
    });
    rows.set_up(Setup { keys: vec![("full_scrape", "true")], ..Setup::default() });
    rows.any("H14", "a full scrape, once it is allowed, has every torrent", |s| {
        vec![
            s.host(0).announces(Announce { info_hash: s.hash(7), ..s.leecher() }, Accepted),
            s.host(0).announces(s.seeder(), Accepted),
            s.host(1).scrapes(&[s.hash(0)], &[(s.hash(0), counts(1, 0, 0))]),
            s.host(0).gets("/scrape", Reply::Status(200)),
        ]
    });
    rows.set_up(Setup::default());
}
