//! W03: what can't be done, and how it is said.

use super::{Rows, Scene, quiet, says};
use crate::http::case::Setup;
use crate::ws::case::{Expected, Step, peer_id};
use crate::ws::counters;
use crate::ws::request::{Announce, binary, text};

fn failure(action: &'static str, reason: &'static str, info_hash: Option<[u8; 20]>) -> [Expected; 1] {
    [Expected::Failure { action, reason, info_hash }]
}

/// Things that aren't 20 bytes.
fn not_twenty_bytes() -> Vec<String> {
    let short: String = std::iter::repeat_n('\u{e9}', 19).collect();
    vec![
        text(""),
        text(&short),
        text(&(short.clone() + "xy")),
        text(&"ab".repeat(20)),
        // 20 bytes of UTF-8, and 20 characters of which one is beyond 255.
        text(&"\u{e9}".repeat(10)),
        text(&(short + "\u{100}")),
        "5".to_owned(),
        "true".to_owned(),
        "{}".to_owned(),
    ]
}

pub(super) fn add(rows: &mut Rows) {
    rows.add("W03", "without an action, or with another one, it is invalid", |s| {
        let invalid = || failure("announce", "invalid action", None);
        let hash = binary(&s.hash(0));
        let with = |action: &str| format!("{{\"action\":{action},\"info_hash\":{hash}}}");
        vec![
            s.opens(0),
            says(0, "{}", invalid()),
            says(0, " {\n}\r\n", invalid()),
            says(0, "{\"action\":\"\"}", invalid()),
            says(0, "{\"action\":\"Announce\"}", invalid()),
            says(0, "{\"action\":5}", invalid()),
            says(0, "{\"action\":null}", invalid()),
            says(0, with("\"stats\""), failure("announce", "invalid action", Some(s.hash(0)))),
            says(0, s.leecher(0).text(), [s.announced(0, 1)]),
        ]
    });
    rows.add("W03", "an announce needs an info hash and a peer id of 20 bytes", |s| {
        let hash = binary(&s.hash(0));
        let id = binary(&peer_id(0));
        let announce = |keys: &str| format!("{{\"action\":\"announce\",\"left\":1{keys}}}");
        let mut steps = vec![
            s.opens(0),
            says(0, announce(""), failure("announce", "missing info_hash", None)),
            says(0, announce(&format!(",\"peer_id\":{id}")), failure("announce", "missing info_hash", None)),
            says(0, announce(&format!(",\"info_hash\":{hash}")), [s.failure("missing peer_id")]),
        ];
        for wrong in not_twenty_bytes() {
            steps.push(says(
                0,
                announce(&format!(",\"info_hash\":{wrong},\"peer_id\":{id}")),
                failure("announce", "invalid info_hash", None),
            ));
            steps.push(says(
                0,
                announce(&format!(",\"peer_id\":{wrong},\"info_hash\":{hash}")),
                [s.failure("invalid peer_id")],
            ));
        }
        // An announce is about one torrent.
        let several = format!(",\"info_hash\":[{hash}],\"peer_id\":{id}");
        steps.push(says(0, announce(&several), failure("announce", "invalid info_hash", None)));
        steps.push(s.has(0, 0, 0, 0));
        let good = format!(",\"info_hash\":{hash},\"peer_id\":{id}");
        steps.push(says(0, announce(&good), [s.announced(0, 1)]));
        steps
    });
    rows.cut("W03", "20 bytes may be written as JSON likes it", |s| {
        let escaped: String = s.hash(0).iter().map(|byte| format!("\\u{byte:04x}")).collect();
        let upper: String = peer_id(0).iter().map(|byte| format!("\\u{byte:04X}")).collect();
        let announce = format!(
            " {{ \"peer_id\" : \"{upper}\" ,\t\"info_hash\":\"{escaped}\",\n\"action\":\"\\u0061nnounce\" }} "
        );
        vec![
            s.opens(0),
            says(0, announce, [s.announced(0, 1)]),
            // The same peer, as JSON.stringify writes it.
            says(0, s.seeder(0).text(), [s.announced(1, 0)]),
        ]
    });
    rows.add("W03", "every byte can be in an info hash and a peer id", |s| {
        let mut steps = vec![s.opens(0)];
        for torrent in 0..13_u16 {
            let hash: [u8; 20] = std::array::from_fn(|n| (usize::from(torrent) * 20 + n) as u8);
            let announce = Announce { info_hash: hash, peer_id: hash, ..s.leecher(0) };
            let announced = |incomplete| [Expected::Announced { info_hash: hash, complete: 0, incomplete }];
            steps.push(says(0, announce.text(), announced(1)));
            steps.push(says(0, announce.event("\"stopped\"").text(), announced(0)));
        }
        steps
    });
    rows.add("W03", "a scrape's error says that it is a scrape's", |s| {
        let mut steps = vec![s.opens(0)];
        for wrong in not_twenty_bytes() {
            steps.push(says(
                0,
                format!("{{\"action\":\"scrape\",\"info_hash\":{wrong}}}"),
                failure("scrape", "invalid info_hash", None),
            ));
        }
        steps
    });
    rows.add("W03", "keys that nobody knows change nothing", |s| {
        let tail =
            "\"corrupt\":\"x\",\"ip\":\"1.2.3.4\",\"port\":-1,\"key\":[[{}]],\"key\":1,\"\":null,\"Left\":0";
        vec![
            s.opens(0),
            says(0, s.leecher(0).and(tail).text(), [s.announced(0, 1)]),
            says(
                0,
                "{\"action\":\"scrape\",\"info_hash\":[],\"x\":{\"action\":1}}",
                [Expected::Scraped(vec![])],
            ),
        ]
    });
    rows.add("W03", "errors are counted", |s| {
        vec![
            s.opens(0),
            says(0, "{}", failure("announce", "invalid action", None)),
            says(0, "{\"action\":\"announce\"}", failure("announce", "missing info_hash", None)),
            Step::Counted(vec![(counters::IN_INVALID, 2), (counters::OUT_ERROR, 2)]),
        ]
    });
    too_many(rows);
}

fn too_many(rows: &mut Rows) {
    let of = |s: &Scene, n| Announce { info_hash: s.hash(n), ..s.leecher(0) };
    let announced =
        |s: &Scene, n, incomplete| [Expected::Announced { info_hash: s.hash(n), complete: 0, incomplete }];
    rows.set_up(Setup { webtorrent_keys: vec![("max_torrents_per_connection", "2")], ..Setup::default() });
    rows.add("W03", "a connection is in so many torrents at most", |s| {
        let too_many = |n| failure("announce", "too many torrents", Some(s.hash(n)));
        vec![
            s.opens(0),
            s.opens(1),
            says(0, of(s, 1).text(), announced(s, 1, 1)),
            says(0, of(s, 2).text(), announced(s, 2, 1)),
            says(0, of(s, 3).text(), too_many(3)),
            // Those that it is in go on, and others have their own.
            says(0, of(s, 1).text(), announced(s, 1, 1)),
            says(1, Announce { info_hash: s.hash(3), ..s.leecher(1) }.text(), announced(s, 3, 1)),
            says(0, of(s, 1).event("\"stopped\"").text(), announced(s, 1, 0)),
            says(0, of(s, 3).text(), announced(s, 3, 2)),
            says(0, of(s, 1).text(), too_many(1)),
            quiet([0, 1]),
        ]
    });
    rows.set_up(Setup::default());
}
