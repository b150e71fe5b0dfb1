//! U15, U16, U19 and the paragraph on the access list: who is let in.

use super::Expected::{Accepted, Connect, Error, Silence};
use super::announce::peer;
use super::{COMMON_HOSTS, Family, Id, Rows, Setup, announced, common, scraped};
use crate::payload::{self, Announce, event};

const DENIED: &str = "info hash not allowed";

/// On every list, as the file below writes it.
const LISTED: [[u8; 20]; 3] = [[0xab; 20], [0xcd; 20], [0xef; 20]];

/// On no list.
const UNLISTED: [u8; 20] = [0x5a; 20];

/// Lower case, upper case, and a v2 hash of 64 digits, among comments and blank lines.
const LIST: &str = "\
# what the tests list

abababababababababababababababababababab
CDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCD

efefefefefefefefefefefefefefefefefefefef0123456789abcdef01234567
# 5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a
";

pub(super) fn add(rows: &mut Rows) {
    for mode in ["deny", "black", "blacklist"] {
        rows.set_up(Setup { access_mode: mode, access_list: LIST.into(), ..Setup::default() });
        denying(rows, mode);
    }
    for mode in ["allow", "white", "whitelist"] {
        rows.set_up(Setup { access_mode: mode, access_list: LIST.into(), ..Setup::default() });
        allowing(rows, mode);
    }
    rows.set_up(Setup { access_mode: "off", access_list: LIST.into(), ..Setup::default() });
    rows.both("access list", "with mode `off` the list is not looked at", |s| {
        let announce = |n, info_hash| s.host(n).announces(Announce { info_hash, ..s.leecher() }, Accepted);
        vec![announce(0, LISTED[0]), announce(1, UNLISTED)]
    });
    blocked(rows);
    rows.set_up(Setup::default());
}

fn denying(rows: &mut Rows, mode: &str) {
    rows.both("U15", &format!("mode `{mode}`: an announce of a listed hash gets an error"), |s| {
        let listed = |n: u16| Announce { info_hash: LISTED[usize::from(n)], ..s.leecher() };
        vec![
            s.host(0).announces(listed(0), Error(DENIED)),
            s.host(1).announces(listed(1), Error(DENIED)),
            s.host(2).announces(listed(2), Error(DENIED)),
            s.host(0).announces(Announce { event: event::STOPPED, ..listed(0) }, Error(DENIED)),
            s.host(0).announces(s.leecher(), announced(0, 1, &[])),
            s.host(1).announces(s.leecher(), announced(0, 2, &[peer(s.host(0))])),
        ]
    });
    rows.both("U19", &format!("mode `{mode}`: a scrape has zeros for a listed hash"), |s| {
        vec![
            s.host(0).announces(s.leecher(), Accepted),
            s.host(0).announces(Announce { info_hash: LISTED[0], ..s.leecher() }, Error(DENIED)),
            s.host(1).scrapes(
                &[LISTED[0], s.hash(0), LISTED[1], s.hash(0)],
                scraped(&[(0, 0, 0), (0, 0, 1), (0, 0, 0), (0, 0, 1)]),
            ),
        ]
    });
    rows.both(
        "U15",
        &format!("mode `{mode}`: length comes before the list, the list before the port"),
        |s| {
            let denied = Announce { info_hash: LISTED[0], ..s.leecher() };
            let short = &denied.bytes()[..97];
            vec![
                s.host(0).sends(denied.bytes(), Error("invalid connection id")),
                s.host(0).sends_with(Id::Good, short, Error("announce request too short")),
                s.host(0).announces(Announce { port: 0, ..denied }, Error(DENIED)),
            ]
        },
    );
    rows.both("U15", &format!("mode `{mode}`: options behind a denied announce do not let it in"), |s| {
        let tail = payload::option::url_data(b"/announce?key=1");
        let denied = Announce { info_hash: LISTED[0], tail, ..s.leecher() };
        vec![s.host(0).announces(denied, Error(DENIED))]
    });
}

fn allowing(rows: &mut Rows, mode: &str) {
    rows.both("U15", &format!("mode `{mode}`: only listed hashes are let in"), |s| {
        // The listed hashes are shared by all cases of this mode, so nothing is said about their peers.
        let listed = |n: u16| Announce { info_hash: LISTED[usize::from(n)], ..s.leecher() };
        vec![
            s.host(0).announces(listed(0), Accepted),
            s.host(0).announces(listed(1), Accepted),
            s.host(0).announces(listed(2), Accepted),
            s.host(0).announces(Announce { info_hash: UNLISTED, ..s.leecher() }, Error(DENIED)),
            s.host(0).announces(s.leecher(), Error(DENIED)),
        ]
    });
    rows.both("U19", &format!("mode `{mode}`: a scrape has zeros for an unlisted hash"), |s| {
        vec![s.host(0).scrapes(&[s.hash(0), UNLISTED], scraped(&[(0, 0, 0), (0, 0, 0)]))]
    });
}

fn blocked(rows: &mut Rows) {
    let group = COMMON_HOSTS + 0x100;
    let single = COMMON_HOSTS + 0x205;
    let part = COMMON_HOSTS + 0x340;
    let networks = Family::BOTH
        .into_iter()
        .flat_map(|family| [(family, group, 8), (family, single, 0), (family, part, 6)]);
    rows.set_up(Setup { blocked: networks.collect(), ..Setup::default() });
    rows.both("U16", "hosts of a blocked network get silence", |s| {
        let mut steps = Vec::new();
        // First, inner and last hosts of each network.
        for number in [group, group + 1, group + 255, single, part, part + 1, part + 63] {
            let host = common(s.family, number);
            steps.push(host.sends(payload::connect(7), Silence));
            steps.push(host.sends(s.leecher().bytes(), Silence));
            steps.push(host.sends(payload::scrape(0, 7, &[s.hash(0)]), Silence));
        }
        steps
    });
    rows.both("U16", "their neighbours are served", |s| {
        let mut steps = Vec::new();
        for number in [group - 1, group + 256, single - 1, single + 1, part - 1, part + 64] {
            let host = common(s.family, number);
            steps.push(host.sends(payload::connect(7), Connect));
            steps.push(host.announces(s.leecher(), Accepted));
        }
        steps.push(s.host(0).scrapes(&[s.hash(0)], scraped(&[(0, 0, 6)])));
        steps
    });
    rows.both("U16", "a good connection id does not help a blocked host", |s| {
        vec![common(s.family, single).sends_with(Id::Of(s.host(0)), s.leecher().bytes(), Silence)]
    });
}
