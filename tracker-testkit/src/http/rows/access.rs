//! H12 and the paragraph on the access list: who is let in.

use super::{Rows, peer};
use crate::http::case::Reply::Accepted;
use crate::http::case::{Reply, Setup, Step, announced, counts};
use crate::http::query::Announce;
use crate::rows::{self, Family};

const DENIED: Reply = Reply::Failure("info hash not allowed");

const LISTED: [u8; 20] = [0xab; 20];
const UNLISTED: [u8; 20] = [0x5a; 20];
/// Cases of one set-up share a tracker, and this is a torrent of the other family's.
const LISTED_TOO: [u8; 20] = [0xcd; 20];
const LIST: &str = "abababababababababababababababababababab\ncdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd\n";

/// The marker that proves that announces are in the table has to be let in, whatever the list.
const WITH_MARKER: &str = "f8f8f8f8f8f8f8f8f8f8f8f8f8f8f8f8f8f8f8f8\n";

pub(super) fn add(rows: &mut Rows) {
    let set_up = |access_mode, access_list: &str| Setup {
        base: rows::Setup { access_mode, access_list: access_list.into(), ..rows::Setup::default() },
        ..Setup::default()
    };
    let of = |info_hash| Announce { info_hash, ..Announce::default() };
    rows.set_up(set_up("deny", LIST));
    rows.both("H12", "mode `deny`: listed torrents are refused, all others are served", |s| {
        vec![
            s.host(0).announces(of(LISTED), DENIED),
            s.host(0).announces(Announce { event: Some("stopped"), ..of(LISTED) }, DENIED),
            s.host(0).announces(s.leecher(), announced(0, 1, &[])),
            s.host(1).announces(s.leecher(), announced(0, 2, &[peer(s.host(0))])),
            // A scrape has zeros for them.
            s.host(0).scrapes(&[LISTED, s.hash(0)], &{
                let mut torrents = [(LISTED, counts(0, 0, 0)), (s.hash(0), counts(0, 0, 2))];
                torrents.sort_by_key(|(hash, _)| *hash);
                torrents
            }),
            // What can't be read is said first.
            s.host(0).gets("/announce?info_hash=%ab", Reply::Failure("invalid info_hash")),
        ]
    });
    rows.set_up(set_up("allow", LIST));
    rows.both("H12", "mode `allow`: listed torrents are served, all others are refused", |s| {
        let listed = if s.family == Family::V4 { LISTED } else { LISTED_TOO };
        vec![
            s.host(0).announces(s.leecher(), DENIED),
            s.host(0).announces(of(listed), announced(0, 1, &[])),
            s.host(1).announces(of(listed), announced(0, 2, &[peer(s.host(0))])),
            s.host(0).scrapes(&[listed], &[(listed, counts(0, 0, 2))]),
        ]
    });
    rows.set_up(set_up("deny", ""));
    rows.any("H12", "a list that is read again holds at once, and drops what is tracked", |s| {
        let hash = s.hash(1).map(|byte| format!("{byte:02x}")).concat();
        let announce = || Announce { info_hash: s.hash(1), ..Announce::default() };
        vec![
            s.host(0).announces(announce(), Accepted),
            s.host(0).scrapes(&[s.hash(1)], &[(s.hash(1), counts(0, 0, 1))]),
            Step::AccessList(format!("{hash}\n")),
            s.host(0).announces(announce(), DENIED).patient(),
            s.host(0).scrapes(&[s.hash(1)], &[(s.hash(1), counts(0, 0, 0))]),
            Step::AccessList(WITH_MARKER.replace("f8", "01")),
            s.host(0).announces(announce(), Accepted).patient(),
            // Once more with each try: what comes in the moment when the lists change may still be dropped.
            s.host(0)
                .announces(announce(), Accepted)
                .get(Announce { port: 1, ..announce() }.target(), announced(0, 2, &[peer(s.host(0))]))
                .patient(),
        ]
    });
    let blocked = vec![(Family::V4, 0xf300, 8), (Family::V6, 0xf300, 8)];
    rows.set_up(Setup { base: rows::Setup { blocked, ..rows::Setup::default() }, ..Setup::default() });
    rows.both("block list", "a blocked network gets no answer", |s| {
        let blocked = crate::http::case::Host { family: s.family, number: 0xf307 };
        vec![
            blocked.announces(of(UNLISTED), Reply::EndOr(403)),
            s.host(0).announces(of(UNLISTED), Accepted),
            s.host(0).announces(Announce { event: Some("stopped"), ..of(UNLISTED) }, Accepted),
        ]
    });
    rows.set_up(Setup::default());
}
