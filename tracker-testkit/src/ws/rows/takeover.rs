//! W07: one peer id on several connections, several peer ids on one.

use super::{Rows, Scene, gets, quiet, says};
use crate::ws::case::{Step, peer_id};
use crate::ws::client::Vanishing;
use crate::ws::request::Announce;

const STOPPED: &str = "\"stopped\"";

/// Client 0 has announced, and then client 1 under the same peer id.
fn taken_over(s: &Scene) -> Vec<Step> {
    vec![
        s.opens(0),
        s.opens(1),
        s.opens(2),
        says(0, s.leecher(0).text(), [s.announced(0, 1)]),
        says(1, s.leecher(0).text(), [s.announced(0, 1)]),
        says(2, s.leecher(2).text(), [s.announced(0, 2)]),
    ]
}

/// Client 2 makes two offers, of which one arrives: here.
fn offers_reach(s: &Scene, name: u16, count: u64) -> Vec<Step> {
    vec![
        says(2, s.leecher(2).offering(&["x", "y"]).text(), [s.announced(0, count)]),
        gets(name, [s.offer(2, "x")]),
        quiet([2]),
    ]
}

pub(super) fn add(rows: &mut Rows) {
    rows.cut("W07", "the connection that announced last has the peer, and is counted alone", |s| {
        [
            taken_over(s),
            offers_reach(s, 1, 2),
            vec![quiet(0..3), says(0, s.leecher(0).text(), [s.announced(0, 2)])],
            offers_reach(s, 0, 2),
            vec![quiet(0..3)],
        ]
        .concat()
    });
    for (how, leave) in [
        ("close", (|_| Step::Close(0, 1000)) as fn(&Scene) -> Step),
        ("vanish", |_| Step::Vanish(0, Vanishing::Fin)),
        ("stop", |s| says(0, s.leecher(0).event(STOPPED).text(), [s.announced(0, 2)])),
    ] {
        rows.add("W07", &format!("a {how} of another connection takes nobody's peer away"), |s| {
            [taken_over(s), vec![leave(s)], offers_reach(s, 1, 2), vec![s.has(2, 0, 0, 2)]].concat()
        });
    }
    for (how, leave) in [
        ("closes", (|_| Step::Close(1, 1000)) as fn(&Scene) -> Step),
        ("vanishes", |_| Step::Vanish(1, Vanishing::Reset)),
    ] {
        rows.add("W07", &format!("when who has the peer {how}, the other connection has it again"), |s| {
            [
                taken_over(s),
                // Not the same in everything: what comes back is as it was.
                vec![says(1, s.seeder(0).text(), [s.announced(1, 1)]), leave(s), s.has(2, 0, 0, 2)],
                offers_reach(s, 0, 2),
                vec![Step::Close(0, 1000), s.has(2, 0, 0, 1)],
            ]
            .concat()
        });
    }
    rows.add("W07", "when who has the peer stops, the other connection has it again", |s| {
        [
            taken_over(s),
            vec![says(1, s.leecher(0).event(STOPPED).text(), [s.announced(0, 2)]), quiet(0..3)],
            offers_reach(s, 0, 2),
            vec![
                says(0, s.leecher(0).event(STOPPED).text(), [s.announced(0, 1)]),
                s.has(2, 0, 0, 1),
                says(1, s.leecher(0).text(), [s.announced(0, 2)]),
            ],
            offers_reach(s, 1, 2),
        ]
        .concat()
    });
    rows.add("W07", "who has left before the owner isn't back when that one goes", |s| {
        [
            taken_over(s),
            vec![
                says(0, s.leecher(0).event(STOPPED).text(), [s.announced(0, 2)]),
                Step::Close(1, 1000),
                s.has(2, 0, 0, 1),
                says(2, s.leecher(2).offering(&["x"]).text(), [s.announced(0, 1)]),
                quiet([0, 2]),
            ],
        ]
        .concat()
    });
    rows.add("W07", "answers go to the connection that made the offer, not to who took the peer over", |s| {
        vec![
            s.opens(0),
            s.opens(1),
            s.opens(2),
            says(2, s.leecher(2).text(), [s.announced(0, 1)]),
            says(0, s.leecher(0).offering(&["mine"]).text(), [s.announced(0, 2)]),
            gets(2, [s.offer(0, "mine")]),
            says(1, s.leecher(0).text(), [s.announced(0, 2)]),
            says(2, s.answer(2, 0, "mine").text(), []),
            gets(0, [s.answered(2, "mine")]),
            quiet(0..3),
        ]
    });
    rows.add(
        "W07",
        "an offer is answered by the connection that got it, not by who took the peer over",
        |s| {
            vec![
                s.opens(0),
                s.opens(1),
                s.opens(2),
                says(0, s.leecher(0).text(), [s.announced(0, 1)]),
                says(2, s.leecher(2).offering(&["1"]).text(), [s.announced(0, 2)]),
                gets(0, [s.offer(2, "1")]),
                says(1, s.leecher(0).text(), [s.announced(0, 2)]),
                says(1, s.answer(0, 2, "1").text(), [s.failure("unknown offer")]),
                says(0, s.answer(0, 2, "1").text(), []),
                gets(2, [s.answered(0, "1")]),
                quiet(0..3),
            ]
        },
    );
    rows.add("W07", "a connection may have several peers", |s| {
        let second = || Announce { peer_id: peer_id(50), ..s.leecher(0) };
        vec![
            s.opens(0),
            s.opens(1),
            says(0, s.leecher(0).text(), [s.announced(0, 1)]),
            says(0, second().text(), [s.announced(0, 2)]),
            says(1, s.leecher(1).offering(&["1", "2", "3"]).text(), [s.announced(0, 3)]),
            gets(0, [s.offer(1, "1"), s.offer(1, "2")]),
            quiet([0, 1]),
            says(0, second().event(STOPPED).text(), [s.announced(0, 2)]),
            says(1, s.leecher(1).offering(&["4", "5"]).text(), [s.announced(0, 2)]),
            gets(0, [s.offer(1, "4")]),
            Step::Close(0, 1000),
            s.has(1, 0, 0, 1),
        ]
    });
}
