//! W04, W05, W08: what an announce changes, and what is counted then; and what the end of a connection changes.

use super::{Rows, quiet, says};
use crate::http::case::Setup;
use crate::ws::case::{Expected, Step, peer_id};
use crate::ws::client::Vanishing;
use crate::ws::frames;
use crate::ws::request::Announce;

const STOPPED: &str = "\"stopped\"";
const COMPLETED: &str = "\"completed\"";

pub(super) fn add(rows: &mut Rows) {
    // That an interval is the configured one, give or take a tenth, is looked at in every answer.
    rows.cut("W04", "an announce is answered with the counts as they are then", |s| {
        vec![
            s.opens(0),
            s.opens(1),
            says(0, s.leecher(0).text(), [s.announced(0, 1)]),
            says(0, s.leecher(0).text(), [s.announced(0, 1)]),
            says(1, s.seeder(1).text(), [s.announced(1, 1)]),
            says(0, s.seeder(0).text(), [s.announced(2, 0)]),
            says(0, s.leecher(0).text(), [s.announced(1, 1)]),
            says(
                0,
                Announce { info_hash: s.hash(1), ..s.leecher(0) }.text(),
                [Expected::Announced { info_hash: s.hash(1), complete: 0, incomplete: 1 }],
            ),
        ]
    });
    rows.once("W04", "messages may come together, and are answered one by one", |s| {
        let torrents: Vec<[u8; 20]> = (0..100).map(|n| s.hash(n)).collect();
        let announces = torrents.iter().map(|hash| Announce { info_hash: *hash, ..s.leecher(0) }.text());
        let frames: Vec<u8> = announces.flat_map(|text| frames::text(text.as_bytes())).collect();
        let announced =
            torrents.iter().map(|hash| Expected::Announced { info_hash: *hash, complete: 0, incomplete: 1 });
        let answers: Vec<Expected> = announced.collect();
        vec![s.opens(0), super::sends(0, frames), super::gets(0, answers)]
    });
    rows.set_up(Setup { webtorrent_keys: vec![("interval_s", "300")], ..Setup::default() });
    rows.add("W04", "the interval may be configured", |s| s.join(0..3));
    rows.set_up(Setup::default());
    lefts(rows);
    events(rows);
    ends(rows);
}

fn lefts(rows: &mut Rows) {
    rows.add("W05", "left 0 is a seeder, anything else a leecher", |s| {
        let left = |left| Announce { left, ..s.leecher(0) }.text();
        let mut steps = vec![s.opens(0), says(0, left(Some("0")), [s.announced(1, 0)])];
        let others =
            ["null", "1", "-1", "18446744073709551616", "0.5", "\"x\"", "true", "false", "[]", "[0]", "{}"];
        for other in others.map(Some).into_iter().chain([None]) {
            steps.push(says(0, left(other), [s.announced(0, 1)]));
            steps.push(says(0, left(Some("0")), [s.announced(1, 0)]));
        }
        steps
    });
    rows.add("W05", "left \"0\" is text, and so a leecher's", |s| {
        let announce = Announce { left: Some("\"0\""), ..s.leecher(0) };
        vec![s.opens(0), says(0, announce.text(), [s.announced(0, 1)])]
    });
}

fn events(rows: &mut Rows) {
    rows.add("W05", "any other event, or none, is an announce like others", |s| {
        let events = [
            "\"started\"",
            "\"update\"",
            "\"paused\"",
            "\"\"",
            "\"Stopped\"",
            "\"foo\"",
            "5",
            "null",
            "{}",
            "[\"stopped\"]",
        ];
        let mut steps = vec![s.opens(0)];
        for event in events.map(Some).into_iter().chain([None]) {
            let announce = Announce { event, ..s.leecher(0) };
            steps.push(says(0, announce.text(), [s.announced(0, 1)]));
            steps.push(says(0, Announce { left: Some("0"), ..announce }.text(), [s.announced(1, 0)]));
            steps.push(says(0, s.leecher(0).event(STOPPED).text(), [s.announced(0, 0)]));
        }
        steps
    });
    rows.cut("W05", "who stops is gone, and is answered without anything forwarded", |s| {
        [
            s.join(0..3),
            vec![
                says(0, s.leecher(0).event(STOPPED).offering(&["1", "2"]).text(), [s.announced(0, 2)]),
                quiet(0..3),
                // Nobody's offer comes to it any more.
                says(1, s.leecher(1).offering(&["3", "4"]).text(), [s.announced(0, 2)]),
                s.spread(1, &["3"], [0, 2]),
                // Once more, and by somebody who has never been there.
                says(0, s.leecher(0).event(STOPPED).text(), [s.announced(0, 2)]),
                says(0, s.seeder(9).event(STOPPED).text(), [s.announced(0, 2)]),
                says(0, s.seeder(0).text(), [s.announced(1, 2)]),
            ],
        ]
        .concat()
    });
    rows.add("W05", "a stop in a torrent that nobody has makes none", |s| {
        vec![s.opens(0), says(0, s.leecher(0).event(STOPPED).text(), [s.announced(0, 0)]), s.has(0, 0, 0, 0)]
    });
    rows.add("W05", "completed counts once, of a peer that was a leecher, with left = 0", |s| {
        let completed = |name| s.seeder(name).event(COMPLETED).text();
        vec![
            s.opens(0),
            s.opens(1),
            s.opens(2),
            says(0, s.leecher(0).text(), [s.announced(0, 1)]),
            s.has(0, 0, 0, 1),
            says(0, completed(0), [s.announced(1, 0)]),
            s.has(0, 1, 1, 0),
            // Again, as a seeder.
            says(0, completed(0), [s.announced(1, 0)]),
            s.has(0, 1, 1, 0),
            // Somebody who is new.
            says(1, completed(1), [s.announced(2, 0)]),
            s.has(0, 2, 1, 0),
            // A leecher that still lacks something, one that was a seeder without saying so.
            says(2, s.leecher(2).event(COMPLETED).text(), [s.announced(2, 1)]),
            s.has(0, 2, 1, 1),
            says(2, s.seeder(2).text(), [s.announced(3, 0)]),
            says(2, completed(2), [s.announced(3, 0)]),
            s.has(0, 3, 1, 0),
            // One that has become a leecher again.
            says(2, s.leecher(2).text(), [s.announced(2, 1)]),
            says(2, completed(2), [s.announced(3, 0)]),
            s.has(0, 3, 2, 0),
        ]
    });
}

fn ends(rows: &mut Rows) {
    for (how, leave) in [
        ("closes", (|name| Step::Close(name, 1000)) as fn(u16) -> Step),
        ("closes because its page is left", |name| Step::Close(name, 1001)),
        ("vanishes", |name| Step::Vanish(name, Vanishing::Fin)),
        ("is reset", |name| Step::Vanish(name, Vanishing::Reset)),
    ] {
        rows.add("W08", &format!("with a connection that {how} all its peers leave"), |s| {
            let second = |announce: Announce| Announce { info_hash: s.hash(1), ..announce };
            let other = Announce { peer_id: peer_id(50), ..s.seeder(0) };
            let announced =
                |complete, incomplete| [Expected::Announced { info_hash: s.hash(1), complete, incomplete }];
            [
                s.join(0..2),
                vec![
                    says(0, other.text(), [s.announced(1, 2)]),
                    says(0, second(s.leecher(0)).text(), announced(0, 1)),
                    leave(0),
                    s.has(1, 0, 0, 1),
                    Step::Counts(1, vec![(s.hash(1), crate::ws::case::counts(0, 0, 0))]),
                    says(1, s.leecher(1).offering(&["1", "2"]).text(), [s.announced(0, 1)]),
                    quiet([1]),
                    // It may come back.
                    s.opens(0),
                    says(0, s.leecher(0).offering(&["3"]).text(), [s.announced(0, 2)]),
                    super::gets(1, [s.offer(0, "3")]),
                ],
            ]
            .concat()
        });
    }
}
