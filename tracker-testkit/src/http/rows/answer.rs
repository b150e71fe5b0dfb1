//! H05, H06, H10: what an answer looks like. That keys are sorted, lengths exact and intervals right is looked at in every answer.

use super::{Rows, peer};
use crate::http::case::Reply::Accepted;
use crate::http::case::{Reply, announced};
use crate::http::query::Announce;
use crate::rows::Family;

pub(super) fn add(rows: &mut Rows) {
    rows.both("H05", "without compact, with compact=1 and with anything but 0 it is compact", |s| {
        let asking = |compact| Announce { compact, ..s.leecher() };
        let mut steps = vec![s.host(0).announces(s.leecher(), Accepted)];
        for compact in [None, Some("1"), Some(""), Some("2"), Some("yes")] {
            steps.push(s.host(1).announces(asking(compact), announced(0, 2, &[peer(s.host(0))])));
        }
        steps
    });
    rows.both("H06", "compact=0 gives dictionaries of ip and port, and no peer ids", |s| {
        let asking = |tail: &str| Announce { compact: Some("0"), tail: tail.to_owned(), ..s.leecher() };
        let peers = [peer(s.host(0)), (s.host(2).address(), 1)];
        // A large torrent still counts who leaves, see H09.
        let own = u64::from(s.family == Family::V6);
        vec![
            s.host(1).announces(asking(""), announced(0, 1, &[]).in_a_list()),
            s.host(0).announces(s.leecher(), Accepted),
            s.host(2).announces(Announce { port: 1, left: Some(0), ..s.leecher() }, Accepted),
            s.host(1).announces(asking(""), announced(1, 2, &peers).in_a_list()),
            s.host(1).announces(asking("&no_peer_id=1"), announced(1, 2, &peers).in_a_list()),
            s.host(1).announces(asking("&no_peer_id=0"), announced(1, 2, &peers).in_a_list()),
            s.host(1).announces(
                Announce { event: Some("stopped"), ..asking("") },
                announced(1, 1 + own, &[]).in_a_list(),
            ),
        ]
    });
    rows.any("H10", "every kind of answer is text/plain", |s| {
        let plain = |status| Reply::With(status, "content-type", "text/plain");
        vec![
            s.host(0).announces(s.leecher(), plain(200)),
            s.host(0).announces(Announce { compact: Some("0"), ..s.leecher() }, plain(200)),
            s.host(0).gets("/announce", plain(200)),
            s.host(0).gets("/scrape", plain(200)),
            s.host(0).gets(crate::http::query::scrape(&[s.hash(0)]), plain(200)),
            s.host(0).gets("/health", plain(200)),
        ]
    });
}
