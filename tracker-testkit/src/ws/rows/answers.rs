//! W02: where answers go.

use super::{Rows, Scene, gets, quiet, says};
use crate::ws::case::{Step, peer_id};
use crate::ws::client::Vanishing;
use crate::ws::counters;
use crate::ws::request::{Announce, Answer};

/// Client 1 has got client 0's offer `1`.
fn offered(s: &Scene) -> Vec<Step> {
    [
        s.join(0..2),
        vec![says(0, s.leecher(0).offering(&["1"]).text(), [s.announced(0, 2)]), gets(1, [s.offer(0, "1")])],
    ]
    .concat()
}

pub(super) fn add(rows: &mut Rows) {
    rows.cut("W02", "an answer goes to who made the offer, and gets no answer itself", |s| {
        [
            offered(s),
            vec![says(1, s.answer(1, 0, "1").text(), []), gets(0, [s.answered(1, "1")]), quiet([0, 1])],
        ]
        .concat()
    });
    rows.add("W02", "whoever got one of many offers may answer it", |s| {
        let ids = ["a", "b", "c", "d", "e"];
        [
            s.join(0..9),
            vec![
                says(8, s.leecher(8).offering(&ids).text(), [s.announced(0, 9)]),
                s.spread(8, &ids, 0..8),
                Step::AnswerSpread { info_hash: s.hash(0), to_peer_id: peer_id(8), to: 8 },
                quiet(0..9),
            ],
        ]
        .concat()
    });
    rows.add("W02", "an answer is forwarded as it is", |s| {
        let answer = r#"{ "sdp": "\u00e9 é \/", "n": [1.0, 1e2] }"#;
        let mut expected = s.answered(1, "1");
        if let crate::ws::case::Expected::Answer { answer: text, .. } = &mut expected {
            answer.clone_into(text);
        }
        [
            offered(s),
            vec![
                says(1, Answer { answer: answer.into(), ..s.answer(1, 0, "1") }.text(), []),
                gets(0, [expected]),
            ],
        ]
        .concat()
    });
    rows.add("W02", "an offer is answered once", |s| {
        [
            offered(s),
            vec![
                says(1, s.answer(1, 0, "1").text(), []),
                gets(0, [s.answered(1, "1")]),
                says(1, s.answer(1, 0, "1").text(), [s.failure("unknown offer")]),
                says(1, s.answer(1, 0, "1").text(), [s.failure("unknown offer")]),
                quiet([0, 1]),
            ],
        ]
        .concat()
    });
    rows.add("W02", "an answer to no offer is an error, and takes nothing from who may answer", |s| {
        let unknown = || [s.failure("unknown offer")];
        let elsewhere = crate::ws::case::Expected::Failure {
            action: "announce",
            reason: "unknown offer",
            info_hash: Some(s.hash(9)),
        };
        [
            offered(s),
            vec![
                s.opens(2),
                says(2, s.leecher(2).text(), [s.announced(0, 3)]),
                // Another offer, another maker, another torrent.
                says(1, s.answer(1, 0, "2").text(), unknown()),
                says(1, s.answer(1, 2, "1").text(), unknown()),
                says(1, s.answer(1, 1, "1").text(), unknown()),
                says(1, Answer { info_hash: s.hash(9), ..s.answer(1, 0, "1") }.text(), [elsewhere]),
                // Somebody else, under its own peer id and under the right one; the maker itself.
                says(2, s.answer(2, 0, "1").text(), unknown()),
                says(2, s.answer(1, 0, "1").text(), unknown()),
                says(0, s.answer(1, 0, "1").text(), unknown()),
                says(0, s.answer(0, 0, "1").text(), unknown()),
                // The right connection under another peer id.
                says(1, s.answer(2, 0, "1").text(), unknown()),
                quiet(0..3),
                says(1, s.answer(1, 0, "1").text(), []),
                gets(0, [s.answered(1, "1")]),
            ],
        ]
        .concat()
    });
    rows.add("W02", "an answer needs to know whom and what it answers", |s| {
        let part = |keys: &str| {
            let begin = format!(
                "{{\"action\":\"announce\",\"info_hash\":{},\"peer_id\":{},\"answer\":{{}}",
                crate::ws::request::binary(&s.hash(0)),
                crate::ws::request::binary(&peer_id(1)),
            );
            format!("{begin}{keys}}}")
        };
        let to = format!(",\"to_peer_id\":{}", crate::ws::request::binary(&peer_id(0)));
        [
            offered(s),
            vec![
                says(1, part(",\"offer_id\":\"1\""), [s.failure("missing to_peer_id")]),
                says(1, part(&to), [s.failure("missing offer_id")]),
                says(1, s.answer(1, 0, "1").text(), []),
                gets(0, [s.answered(1, "1")]),
            ],
        ]
        .concat()
    });
    rows.add("W02", "an answer makes nobody a peer, and is answered by nobody's stop", |s| {
        [
            offered(s),
            vec![
                says(1, s.leecher(1).event("\"stopped\"").text(), [s.announced(0, 1)]),
                says(1, s.answer(1, 0, "1").text(), []),
                gets(0, [s.answered(1, "1")]),
                s.has(0, 0, 0, 1),
                says(0, s.leecher(0).offering(&["2"]).text(), [s.announced(0, 1)]),
                quiet([0, 1]),
            ],
        ]
        .concat()
    });
    rows.add("W02", "who made an offer may have left the swarm when the answer comes", |s| {
        [
            offered(s),
            vec![
                says(0, s.leecher(0).event("\"stopped\"").text(), [s.announced(0, 1)]),
                says(1, s.answer(1, 0, "1").text(), []),
                gets(0, [s.answered(1, "1")]),
            ],
        ]
        .concat()
    });
    for (how, leave) in [
        ("closed", Step::Close(0, 1000)),
        ("gone", Step::Vanish(0, Vanishing::Fin)),
        ("reset", Step::Vanish(0, Vanishing::Reset)),
    ] {
        rows.add("W02", &format!("a connection that is {how} gets no answer"), |s| {
            [
                offered(s),
                vec![
                    leave.clone(),
                    s.has(1, 0, 0, 1),
                    says(1, s.answer(1, 0, "1").text(), [s.failure("unknown offer")]),
                ],
            ]
            .concat()
        });
    }
    rows.add("W02", "an answer with offers beside it is an answer alone", |s| {
        let text = s.answer(1, 0, "1").text();
        let offers = ",\"left\":0,\"event\":\"completed\",\"offers\":[{\"offer\":{},\"offer_id\":\"x\"}]}";
        let text = text.strip_suffix('}').expect("an object").to_owned() + offers;
        [offered(s), vec![says(1, text, []), gets(0, [s.answered(1, "1")]), quiet([0, 1]), s.has(0, 0, 0, 2)]]
            .concat()
    });
    rows.add("W02", "the same id may be used in another torrent and by another peer", |s| {
        let other = |name| Announce { info_hash: s.hash(1), ..s.leecher(name) };
        let announced = |count| crate::ws::case::Expected::Announced {
            info_hash: s.hash(1),
            complete: 0,
            incomplete: count,
        };
        let elsewhere = |mut expected| {
            use crate::ws::case::Expected::{Answer, Offer};
            if let Offer { info_hash, .. } | Answer { info_hash, .. } = &mut expected {
                *info_hash = s.hash(1);
            }
            expected
        };
        [
            offered(s),
            vec![
                says(1, other(1).text(), [announced(1)]),
                says(0, other(0).offering(&["1"]).text(), [announced(2)]),
                gets(1, [elsewhere(s.offer(0, "1"))]),
                says(1, s.leecher(1).offering(&["1"]).text(), [s.announced(0, 2)]),
                gets(0, [s.offer(1, "1")]),
                says(0, s.answer(0, 1, "1").text(), []),
                gets(1, [s.answered(0, "1")]),
                says(1, Answer { info_hash: s.hash(1), ..s.answer(1, 0, "1") }.text(), []),
                gets(0, [elsewhere(s.answered(1, "1"))]),
                says(1, s.answer(1, 0, "1").text(), []),
                gets(0, [s.answered(1, "1")]),
                quiet([0, 1]),
            ],
        ]
        .concat()
    });
    rows.add("W02", "answers are counted", |s| {
        [
            offered(s),
            vec![
                says(1, s.answer(1, 0, "2").text(), [s.failure("unknown offer")]),
                says(1, s.answer(1, 0, "1").text(), []),
                gets(0, [s.answered(1, "1")]),
                Step::Counted(vec![
                    (counters::IN_ANNOUNCE, 3),
                    (counters::IN_ANSWER, 2),
                    (counters::ANSWERS_FORWARDED, 1),
                    (counters::ANSWERS_UNMATCHED, 1),
                    (counters::OUT_ANNOUNCE, 3),
                    (counters::OUT_ERROR, 1),
                ]),
            ],
        ]
        .concat()
    });
}
