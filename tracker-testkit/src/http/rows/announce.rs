//! H02–H04, H07–H09: the other parameters of an announce.

use super::{PORT, Rows, Scene, peer};
use crate::http::answer::Scraped;
use crate::http::case::Reply::{Accepted, FailureNaming};
use crate::http::case::{Step, announced, announced_some, counts};
use crate::http::query::{Announce, escaped};
use crate::rows::Family;

pub(super) fn add(rows: &mut Rows) {
    missing(rows);
    ports(rows);
    odd_queries(rows);
    wanted(rows);
    addresses(rows);
    events(rows);
}

/// Nothing of the case's torrent 0 has been recorded.
fn unknown(s: &Scene) -> Step {
    s.host(0).scrapes(&[s.hash(0)], &[(s.hash(0), counts(0, 0, 0))])
}

fn missing(rows: &mut Rows) {
    rows.both("H02", "a missing parameter is named", |s| {
        let hash = escaped(&s.hash(0));
        let peer_id = "abcdefghijklmnopqrst";
        vec![
            s.host(0).gets(format!("/announce?peer_id={peer_id}&port=1&left=1"), FailureNaming("info_hash")),
            s.host(0).gets(format!("/announce?info_hash={hash}&port=1&left=1"), FailureNaming("peer_id")),
            s.host(0)
                .gets(format!("/announce?info_hash={hash}&peer_id={peer_id}&left=1"), FailureNaming("port")),
            s.host(0).gets("/announce", FailureNaming("info_hash")),
            s.host(0).gets("/announce?", FailureNaming("info_hash")),
            s.host(0).gets("/announce?&&&", FailureNaming("info_hash")),
            // Names are case-sensitive.
            s.host(0).gets(
                format!("/announce?INFO_HASH={hash}&peer_id={peer_id}&port=1&left=1"),
                FailureNaming("info_hash"),
            ),
            unknown(s),
        ]
    });
    rows.both("H03", "without left it is a leecher; without uploaded and downloaded nothing changes", |s| {
        let bare = Announce { left: None, uploaded: None, downloaded: None, event: None, ..s.leecher() };
        vec![
            s.host(0).announces(bare.clone(), announced(0, 1, &[])),
            s.host(1).announces(Announce { left: Some(0), ..bare }, announced(1, 1, &[peer(s.host(0))])),
        ]
    });
    rows.both(
        "H03",
        "left and the other numbers may be as large as they like, and anything unreadable is as if missing",
        |s| {
            let odd = |tail: &str| Announce { left: None, tail: tail.to_owned(), ..s.leecher() };
            vec![
                s.host(0).announces(odd("&left=18446744073709551615"), announced(0, 1, &[])),
                s.host(0).announces(odd("&left=99999999999999999999999"), announced(0, 1, &[])),
                s.host(0).announces(odd("&left=-1"), announced(0, 1, &[])),
                s.host(0).announces(odd("&left="), announced(0, 1, &[])),
                s.host(0).announces(odd("&left=x"), announced(0, 1, &[])),
                s.host(0).announces(
                    Announce {
                        uploaded: None,
                        downloaded: None,
                        ..odd("&uploaded=-5&downloaded=x&left=000")
                    },
                    announced(1, 0, &[]),
                ),
            ]
        },
    );
}

fn ports(rows: &mut Rows) {
    rows.both("H02", "a port that is none is named and nobody is recorded", |s| {
        let hash = escaped(&s.hash(0));
        let mut steps: Vec<_> = [
            "0",
            "00000",
            "65536",
            "100000",
            "4294967297",
            "99999999999999999999999",
            "-1",
            "",
            "x",
            "1x",
            "%20",
            "0x50",
        ]
        .iter()
        .map(|port| {
            s.host(0).gets(
                format!("/announce?info_hash={hash}&peer_id=abcdefghijklmnopqrst&left=1&port={port}"),
                FailureNaming("port"),
            )
        })
        .collect();
        steps.push(unknown(s));
        steps
    });
    rows.both("H02", "every other port is a peer's", |s| {
        let announce = |n, port| s.host(n).announces(Announce { port, ..s.leecher() }, Accepted);
        vec![
            announce(1, 1),
            announce(2, 80),
            announce(3, 65_535),
            s.host(0).announces(
                s.leecher(),
                announced(
                    0,
                    4,
                    &[(s.host(1).address(), 1), (s.host(2).address(), 80), (s.host(3).address(), 65_535)],
                ),
            ),
        ]
    });
}

fn odd_queries(rows: &mut Rows) {
    rows.both("H04", "keys come in any order, and unknown ones are skipped", |s| {
        let (hash, id) = (escaped(&s.hash(0)), "abcdefghijklmnopqrst");
        let targets = [
            format!("/announce?left=1&port=51413&peer_id={id}&info_hash={hash}"),
            format!("/announce?key=ABCD&port=51413&trackerid=x&supportcrypto=1&info_hash={hash}&left=1&peer_id={id}&redundant=0"),
            format!("/announce?info_hashes=1&info_has=2&ninfo_hash=3&port=51413&ports=9&left=1&peer_id={id}&info_hash={hash}"),
            // Keys without a value, empty keys, empty pairs.
            format!("/announce?key&port=51413&=&&=x&corrupt=&peer_id={id}&info_hash={hash}&left=1&"),
            // A second question mark: clients append their query to an announce URL that has one already.
            format!("/announce?passkey=1?info_hash={hash}&peer_id={id}&port=51413&left=1&info_hash={hash}"),
            format!("/announce?x=1&y=2?z&info_hash={hash}&peer_id={id}&port=51413&left=1"),
            // Extra equals signs.
            format!("/announce?x=a=b==&info_hash={hash}&peer_id={id}&port=51413&left=1"),
            // Semicolons, odd bytes, bad escapes elsewhere.
            format!("/announce?x=%zz&y=%&z=;;&info_hash={hash}&peer_id={id}&port=51413&left=1&%41=%"),
        ];
        targets.iter().map(|target| s.host(0).gets(target, announced(0, 1, &[]))).collect()
    });
    rows.both("H04", "the same request over a path with a slash, a key or another name is not found", |s| {
        [
            "/announce/",
            "/announce/key",
            "/Announce",
            "/announcex",
            "//announce",
            "/an%6eounce",
            "/announce.php",
        ]
        .iter()
        .map(|path| {
            let target = s.leecher().target().replacen("/announce", path, 1);
            s.host(0).gets(target, crate::http::case::Reply::Status(404))
        })
        .chain([unknown(s)])
        .collect()
    });
}

fn wanted(rows: &mut Rows) {
    rows.both(
        "H07",
        "numwant decides up to the limit, odd or even; beyond, 0, less and none are the limit",
        |s| {
            let mut steps: Vec<_> = (0..60)
                .map(|n| s.host(0).announces(Announce { port: 1000 + n, ..s.leecher() }, Accepted))
                .collect();
            let others: Vec<_> = (0..60).map(|n| (s.host(0).address(), 1000 + n)).collect();
            steps.push(s.host(1).announces(s.leecher(), Accepted));
            for (numwant, count) in [
                (Some(1), 1),
                (Some(2), 2),
                (Some(3), 3),
                (Some(11), 11),
                (Some(49), 49),
                (Some(50), 50),
                (Some(51), 50),
                (Some(200), 50),
                (Some(i64::MAX), 50),
                (Some(0), 50),
                (Some(-1), 50),
                (Some(i64::MIN), 50),
                (None, 50),
            ] {
                let announce = Announce { numwant, ..s.leecher() };
                steps.push(s.host(1).announces(announce, announced_some(0, 61, count, &others)));
            }
            for numwant in ["", "x", "1e9", "99999999999999999999999999", "-99999999999999999999999999"] {
                let announce = Announce { tail: format!("&numwant={numwant}"), ..s.leecher() };
                steps.push(s.host(1).announces(announce, announced_some(0, 61, 50, &others)));
            }
            steps
        },
    );
}

fn addresses(rows: &mut Rows) {
    rows.both("H08", "ip, ipv4 and ipv6 are ignored", |s| {
        let claiming = |tail: &str| Announce { tail: tail.to_owned(), ..s.leecher() };
        vec![
            s.host(0)
                .announces(claiming("&ip=192.0.2.1&ipv4=192.0.2.2&ipv6=2001:db8::1"), announced(0, 1, &[])),
            s.host(1).announces(
                claiming("&ip=2001%3Adb8%3A%3A2&ipv4=192.0.2.3:80&ipv6=[2001:db8::3]:81"),
                announced(0, 2, &[peer(s.host(0))]),
            ),
            s.host(2).announces(
                claiming("&ip=nonsense&ipv4=&ipv6"),
                announced(0, 3, &[peer(s.host(0)), peer(s.host(1))]),
            ),
        ]
    });
}

fn events(rows: &mut Rows) {
    rows.both("H09", "an empty or unknown event is none", |s| {
        ["", "none", "Started", "x", "%00", "stopped%20", "completed%00"]
            .map(|event| {
                s.host(0).announces(Announce { event: Some(event), ..s.leecher() }, announced(0, 1, &[]))
            })
            .into()
    });
    // "Counts": who leaves a large torrent isn't looked for, and neither is a seeder among seeders, so the answer has what is stored.
    // Two IPv6 peers make a torrent large, four IPv4 peers do.
    rows.both("H09", "stopped removes the peer; the answer has counts and no peers", |s| {
        let own = u64::from(s.family == Family::V6);
        let stopped =
            |n, announce, reply| s.host(n).announces(Announce { event: Some("stopped"), ..announce }, reply);
        vec![
            s.host(0).announces(s.leecher(), Accepted),
            s.host(1).announces(s.seeder(), Accepted),
            s.host(2).announces(s.leecher(), announced(1, 2, &[peer(s.host(0)), peer(s.host(1))])),
            stopped(0, s.leecher(), announced(1, 1 + own, &[])),
            s.host(2).announces(s.leecher(), announced(1, 1, &[peer(s.host(1))])),
            stopped(1, s.seeder(), announced(own, 1, &[])),
            // Somebody who was never there.
            stopped(3, s.leecher(), announced(0, 1, &[])),
            s.host(2).announces(s.leecher(), announced(0, 1, &[])),
            s.host(2).scrapes(&[s.hash(0)], &[(s.hash(0), counts(0, 0, 1))]),
        ]
    });
    rows.both("H09", "completed counts once, and only for who was a leecher before", |s| {
        let completed = Announce { event: Some("completed"), ..s.seeder() };
        vec![
            s.host(0).announces(s.leecher(), Accepted),
            s.host(0).announces(completed.clone(), Accepted),
            s.host(0).scrapes(&[s.hash(0)], &[(s.hash(0), counts(1, 1, 0))]),
            s.host(0).announces(completed.clone(), announced(1, 0, &[]).downloaded(1)),
            s.host(1).announces(completed, announced(2, 0, &[]).downloaded(1)),
            s.host(1).scrapes(&[s.hash(0)], &[(s.hash(0), counts(2, 1, 0))]),
        ]
    });
    rows.both("H09", "left=0 is a seeder whatever the event, and a seeder gets no seeders", |s| {
        let own = u64::from(s.family == Family::V6);
        let seeder = |event| Announce { event: Some(event), ..s.seeder() };
        vec![
            s.host(0).announces(seeder("started"), announced(1, 0, &[])),
            s.host(1).announces(seeder(""), announced(2, 0, &[])),
            s.host(2).announces(s.leecher(), announced(2, 1, &[peer(s.host(0)), peer(s.host(1))])),
            s.host(3).announces(seeder("completed"), announced(3 - own, 1, &[peer(s.host(2))])),
            s.host(3).scrapes(&[s.hash(0)], &[(s.hash(0), counts(3, 0, 1))]),
        ]
    });
    rows.both("H09", "a paused peer is a leecher in counts, and no downloader", |s| {
        let paused = Announce { event: Some("paused"), ..s.leecher() };
        let downloaders = |n| Scraped { downloaders: Some(n), ..counts(0, 0, 2) };
        vec![
            s.host(0).announces(paused, announced(0, 1, &[])),
            s.host(1).announces(s.leecher(), announced(0, 2, &[(s.host(0).address(), PORT)])),
            s.host(1).scrapes(&[s.hash(0)], &[(s.hash(0), downloaders(1))]),
            s.host(0).announces(s.leecher(), Accepted),
            s.host(1).scrapes(&[s.hash(0)], &[(s.hash(0), counts(0, 0, 2))]),
        ]
    });
}
