//! W03, W06 and the paragraph on the access list: who is let in.

use super::{Rows, quiet, says};
use crate::http::case::{Host, Setup};
use crate::rows::{self, Family};
use crate::ws::case::{Expected, Opened, Step, counts, peer_id};
use crate::ws::request::{Announce, scrape};

const LISTED: [u8; 20] = [0xab; 20];
const UNLISTED: [u8; 20] = [0x5a; 20];
const LIST: &str = "abababababababababababababababababababab\n";

fn of(info_hash: [u8; 20], name: u16) -> Announce {
    Announce { info_hash, peer_id: peer_id(name), ..Announce::default() }
}

fn denied(info_hash: [u8; 20]) -> [Expected; 1] {
    [Expected::Failure { action: "announce", reason: "info hash not allowed", info_hash: Some(info_hash) }]
}

fn announced(info_hash: [u8; 20], incomplete: u64) -> [Expected; 1] {
    [Expected::Announced { info_hash, complete: 0, incomplete }]
}

pub(super) fn add(rows: &mut Rows) {
    let set_up = |access_mode, access_list: &str| Setup {
        base: rows::Setup { access_mode, access_list: access_list.into(), ..rows::Setup::default() },
        ..Setup::default()
    };
    rows.set_up(set_up("deny", LIST));
    rows.add("W03", "mode `deny`: listed torrents are refused, all others are served", |s| {
        vec![
            s.opens(0),
            s.opens(1),
            says(0, of(LISTED, 0).text(), denied(LISTED)),
            says(0, of(LISTED, 0).offering(&["1"]).event("\"stopped\"").text(), denied(LISTED)),
            says(0, s.leecher(0).text(), [s.announced(0, 1)]),
            says(1, s.leecher(1).offering(&["1"]).text(), [s.announced(0, 2)]),
            super::gets(0, [s.offer(1, "1")]),
        ]
    });
    rows.add("W06", "a denied torrent has zeros", |s| {
        vec![
            s.opens(0),
            says(
                0,
                scrape(&[LISTED, s.hash(0)]),
                [Expected::Scraped(vec![(LISTED, counts(0, 0, 0)), (s.hash(0), counts(0, 0, 0))])],
            ),
        ]
    });
    rows.set_up(set_up("allow", LIST));
    rows.add("W03", "mode `allow`: listed torrents are served, all others are refused", |s| {
        vec![
            s.opens(0),
            s.opens(1),
            says(0, s.leecher(0).text(), [s.failure("info hash not allowed")]),
            says(0, of(LISTED, 0).text(), announced(LISTED, 1)),
            says(1, of(LISTED, 1).text(), announced(LISTED, 2)),
        ]
    });
    rows.set_up(set_up("deny", ""));
    rows.add("W03", "a list that is read again holds at once, and drops what is tracked", |s| {
        let hash = s.hash(1).map(|byte| format!("{byte:02x}")).concat();
        let known = |leechers| vec![(s.hash(1), counts(0, 0, leechers)), (s.hash(2), counts(0, 0, 1))];
        vec![
            s.opens(0),
            s.opens(1),
            says(0, of(s.hash(1), 0).text(), announced(s.hash(1), 1)),
            says(1, of(s.hash(1), 1).text(), announced(s.hash(1), 2)),
            says(0, of(s.hash(2), 0).text(), announced(s.hash(2), 1)),
            Step::Counts(0, known(2)),
            Step::AccessList(format!("{hash}\n")),
            Step::Counts(0, known(0)),
            says(0, of(s.hash(1), 0).offering(&["1"]).text(), denied(s.hash(1))),
            says(1, of(s.hash(1), 1).text(), denied(s.hash(1))),
            quiet([0, 1]),
        ]
    });
    let blocked = vec![(Family::V4, 0xf300, 8), (Family::V6, 0xf300, 8)];
    rows.set_up(Setup { base: rows::Setup { blocked, ..rows::Setup::default() }, ..Setup::default() });
    rows.once("block list", "a blocked network gets no WebSocket", |s| {
        let from = |number| {
            let Step::Open(open) = s.opens(0) else { unreachable!("it opens") };
            let host = Host { family: Family::V4, number };
            Step::Open(crate::ws::case::Open { host, gets: Opened::EndOr(403), ..open })
        };
        vec![from(0xf307), from(0xf308), s.opens(0), says(0, of(UNLISTED, 0).text(), announced(UNLISTED, 1))]
    });
    rows.set_up(Setup::default());
}
