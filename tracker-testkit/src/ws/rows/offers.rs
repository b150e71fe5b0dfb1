//! W01: where offers go.

use super::{Rows, Scene, gets, quiet, says};
use crate::ws::case::{Expected, Step, peer_id};
use crate::ws::request::{Announce, OFFER};

pub(super) fn add(rows: &mut Rows) {
    rows.cut("W01", "an offer goes to the other peer", |s| {
        [
            s.join(0..2),
            vec![
                says(1, s.leecher(1).offering(&["1"]).text(), [s.announced(0, 2)]),
                gets(0, [s.offer(1, "1")]),
                quiet([0, 1]),
                says(0, s.leecher(0).offering(&["1"]).text(), [s.announced(0, 2)]),
                gets(1, [s.offer(0, "1")]),
                quiet([0, 1]),
            ],
        ]
        .concat()
    });
    rows.add("W01", "the first announce may have offers already", |s| {
        vec![
            s.opens(0),
            s.opens(1),
            says(0, s.leecher(0).offering(&["a", "b"]).text(), [s.announced(0, 1)]),
            says(1, s.leecher(1).offering(&["c", "d"]).text(), [s.announced(0, 2)]),
            gets(0, [s.offer(1, "c")]),
            quiet([0, 1]),
        ]
    });
    rows.add("W01", "each offer goes to another peer, as many as there are", |s| {
        let ids = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
        [
            s.join(0..11),
            vec![
                says(10, s.leecher(10).offering(&ids).text(), [s.announced(0, 11)]),
                s.spread(10, &ids, 0..10),
                quiet(0..11),
            ],
        ]
        .concat()
    });
    rows.add("W01", "fewer offers than peers reach as many of them", |s| {
        [
            s.join(0..11),
            vec![
                says(3, s.leecher(3).offering(&["x", "y", "z"]).text(), [s.announced(0, 11)]),
                s.spread(3, &["x", "y", "z"], (0..11).filter(|name| *name != 3)),
                quiet([3]),
            ],
        ]
        .concat()
    });
    rows.add("W01", "of more offers than peers the first ones go", |s| {
        [
            s.join(0..3),
            vec![
                says(2, s.leecher(2).offering(&["1", "2", "3", "4", "5"]).text(), [s.announced(0, 3)]),
                s.spread(2, &["1", "2"], 0..2),
                quiet(0..3),
            ],
        ]
        .concat()
    });
    rows.add("W01", "of more than max_offers the first ten go", |s| {
        let ids: Vec<String> = (0..15).map(|n| format!("offer {n}")).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        [
            s.join(0..16),
            vec![
                says(15, s.leecher(15).offering(&ids).text(), [s.announced(0, 16)]),
                s.spread(15, &ids[..10], 0..15),
                quiet(0..16),
            ],
        ]
        .concat()
    });
    rows.set_up(crate::http::case::Setup {
        webtorrent_keys: vec![("max_offers", "2")],
        ..crate::http::case::Setup::default()
    });
    rows.add("W01", "max_offers may be configured", |s| {
        [
            s.join(0..5),
            vec![
                says(4, s.leecher(4).offering(&["1", "2", "3"]).text(), [s.announced(0, 5)]),
                s.spread(4, &["1", "2"], 0..4),
                quiet(0..5),
            ],
        ]
        .concat()
    });
    rows.set_up(crate::http::case::Setup::default());
    rows.add("W01", "seeders' offers reach leechers and seeders, leechers' reach both, too", |s| {
        vec![
            s.opens(0),
            s.opens(1),
            s.opens(2),
            says(0, s.seeder(0).text(), [s.announced(1, 0)]),
            says(1, s.seeder(1).offering(&["1"]).text(), [s.announced(2, 0)]),
            gets(0, [s.offer(1, "1")]),
            says(2, s.leecher(2).offering(&["2", "3"]).text(), [s.announced(2, 1)]),
            s.spread(2, &["2", "3"], 0..2),
            says(0, s.seeder(0).offering(&["4", "5"]).text(), [s.announced(2, 1)]),
            s.spread(0, &["4", "5"], 1..3),
        ]
    });
    rows.add("W01", "nobody of another torrent gets an offer", |s| {
        let elsewhere = Announce { info_hash: s.hash(1), ..s.leecher(0) };
        vec![
            s.opens(0),
            s.opens(1),
            says(0, elsewhere.text(), [of(s, 1, 0, 1)]),
            says(1, s.leecher(1).offering(&["1"]).text(), [s.announced(0, 1)]),
            quiet([0, 1]),
        ]
    });
    rows.add("W01", "without offers, or with none, nothing is forwarded", |s| {
        [
            s.join(0..2),
            vec![
                says(0, s.leecher(0).and("\"offers\":[]").text(), [s.announced(0, 2)]),
                quiet([0, 1]),
                s.has(0, 0, 0, 2),
            ],
        ]
        .concat()
    });
    untouched(rows);
    invalid(rows);
    rows.add("W01", "what is forwarded is counted", |s| {
        [
            s.join(0..3),
            vec![
                says(0, s.leecher(0).offering(&["1", "2", "3"]).text(), [s.announced(0, 3)]),
                s.spread(0, &["1", "2"], 1..3),
                Step::Counted(vec![
                    (crate::ws::counters::CONNECTIONS, 3),
                    (crate::ws::counters::IN_ANNOUNCE, 4),
                    (crate::ws::counters::OUT_ANNOUNCE, 4),
                    (crate::ws::counters::OFFERS_FORWARDED, 2),
                    (crate::ws::counters::IN_ANSWER, 0),
                    (crate::ws::counters::IN_INVALID, 0),
                    (crate::ws::counters::OUT_ERROR, 0),
                ]),
            ],
        ]
        .concat()
    });
}

fn of(s: &Scene, torrent: u8, complete: u64, incomplete: u64) -> Expected {
    Expected::Announced { info_hash: s.hash(torrent), complete, incomplete }
}

fn untouched(rows: &mut Rows) {
    rows.cut("W01", "an offer is any JSON, and is forwarded as it is", |s| {
        let offers = [
            r#"{"sdp":"é\u00e9 \ud83d\ude00 😀 \/ \\ \" \t","type":"offer"}"#,
            r#"{ "spaces" : [ 1 , 2.50 , -0 , 1e3 ] , "z":1, "a":{} }"#,
            "\"text\"",
            "[1,[2,[3]]]",
            "12345678901234567890.0",
            "true",
            "{}",
        ];
        let mut steps = s.join(0..2);
        for (n, offer) in offers.iter().enumerate() {
            let offer_id = format!("id \"{n}\" \u{80}\u{ff}");
            let offers = vec![(offer_id.clone(), (*offer).to_owned())];
            steps.push(says(1, Announce { offers, ..s.leecher(1) }.text(), [s.announced(0, 2)]));
            let offer = (*offer).to_owned();
            let forwarded = Expected::Offer { info_hash: s.hash(0), peer_id: peer_id(1), offer_id, offer };
            steps.push(gets(0, [forwarded]));
        }
        steps
    });
    rows.add("W01", "an offer's keys that nobody knows don't go with it", |s| {
        let offers = format!("\"offers\":[{{\"x\":1,\"offer_id\":\"1\",\"offer\":{OFFER},\"action\":2}}]");
        [
            s.join(0..2),
            vec![says(1, s.leecher(1).and(&offers).text(), [s.announced(0, 2)]), gets(0, [s.offer(1, "1")])],
        ]
        .concat()
    });
    rows.add("W01", "an offer of many kilobytes goes whole", |s| {
        let long = format!("{{\"sdp\":\"{}\"}}", "a=candidate:1 1 UDP 2122\\r\\n".repeat(2000));
        let announce = Announce { offers: vec![("1".into(), long.clone())], ..s.leecher(1) };
        let forwarded =
            Expected::Offer { info_hash: s.hash(0), peer_id: peer_id(1), offer_id: "1".into(), offer: long };
        [s.join(0..2), vec![says(1, announce.text(), [s.announced(0, 2)]), gets(0, [forwarded])]].concat()
    });
}

fn invalid(rows: &mut Rows) {
    rows.add("W01", "offers that are none make an error, and nobody a peer", |s| {
        let mut steps = s.join(0..1);
        steps.push(s.opens(1));
        for offers in [
            "{}",
            "\"offers\"",
            "5",
            "true",
            "[5]",
            "[null]",
            "[[]]",
            "[{}]",
            r#"[{"offer":{}}]"#,
            r#"[{"offer_id":"1"}]"#,
            r#"[{"offer":{},"offer_id":1}]"#,
            r#"[{"offer":{},"offer_id":null}]"#,
            r#"[{"offer":{},"offer_id":"1"},{"offer":{}}]"#,
        ] {
            let announce = s.leecher(1).and(&format!("\"offers\":{offers}"));
            steps.push(says(1, announce.text(), [s.failure("invalid offers")]));
        }
        steps.push(s.has(0, 0, 0, 1));
        steps.push(quiet([0, 1]));
        // The connection goes on.
        steps.push(says(1, s.leecher(1).offering(&["1"]).text(), [s.announced(0, 2)]));
        steps.push(gets(0, [s.offer(1, "1")]));
        steps
    });
}
