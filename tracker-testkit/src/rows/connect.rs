//! U01–U05: connects, what is not even answered, and connection ids.

use super::Expected::{Connect, Error, Silence};
use super::{Family, Id, OddHost, Rows, Setup, Step, announced, scraped};
use crate::payload::{self, Announce, CONNECT_MAGIC};

const BAD_ID: &str = "invalid connection id";

/// "invalid connection id" in an error packet: four bytes action, four bytes transaction, 21 bytes text.
const BAD_ID_ANSWER_LEN: usize = 29;

pub(super) fn add(rows: &mut Rows) {
    connects(rows);
    silences(rows);
    bad_ids(rows);
    validity(rows);
}

fn connects(rows: &mut Rows) {
    rows.both("U01", "a connect gets a connection id", |s| {
        vec![s.host(0).sends(payload::connect(0x0102_0304), Connect)]
    });
    rows.both("U01", "every transaction number is repeated", |s| {
        [0, 1, 0x8000_0000, u32::MAX].map(|n| s.host(0).sends(payload::connect(n), Connect)).to_vec()
    });
    rows.both("U01", "bytes behind a connect do not matter", |s| {
        let step = |n: usize| s.host(0).sends([payload::connect(7), vec![0xee; n]].concat(), Connect);
        [1, 2, 3, 44, 82, 1000, 1400].map(step).to_vec()
    });
    rows.both("U01", "a connect longer than a packet is answered", |s| {
        vec![s.host(0).sends([payload::connect(7), vec![0xee; 3000]].concat(), Connect)]
    });
    rows.both("U01", "another socket of the same host is answered too", |s| {
        vec![
            s.host(0).sends(payload::connect(1), Connect),
            s.host(0).second_port().sends(payload::connect(2), Connect),
        ]
    });
}

fn silences(rows: &mut Rows) {
    rows.both("U02", "a connect with one wrong bit in its magic gets silence", |s| {
        let step = |bit: u32| s.host(0).sends(payload::header(CONNECT_MAGIC ^ 1 << bit, 0, 7), Silence);
        [0, 7, 8, 31, 32, 42, 63].map(step).to_vec()
    });
    rows.both("U02", "fewer than 16 bytes get silence", |s| {
        (0..16).map(|len| s.host(0).sends(&payload::connect(7)[..len], Silence)).collect()
    });
    rows.both("U02", "an unknown action gets silence, with any id", |s| {
        let good = |action: u32| s.host(0).sends_with(Id::Good, payload::header(0, action, 7), Silence);
        let magic = |action: u32| s.host(0).sends(payload::header(CONNECT_MAGIC, action, 7), Silence);
        [4, 5, 0x0100, 0x0100_0000, u32::MAX].into_iter().flat_map(|n| [good(n), magic(n)]).collect()
    });
    rows.both("U02", "an error packet gets silence, so that two trackers never talk to each other", |s| {
        let error = |first: u64| [payload::header(first, 3, 7), b"connection id mismatch".to_vec()].concat();
        vec![
            s.host(0).sends(error(CONNECT_MAGIC), Silence),
            s.host(0).sends_with(Id::Good, error(0), Silence),
            // An error answer as it stands on the wire: action and transaction where a request has its id.
            s.host(0).sends([&[0, 0, 0, 3, 0, 0, 0, 7][..], BAD_ID.as_bytes()].concat(), Silence),
        ]
    });
    rows.both("U02", "a connect answer gets silence", |s| {
        vec![s.host(0).sends([0, 0, 0, 0, 0, 0, 0, 7, 1, 2, 3, 4, 5, 6, 7, 8], Silence)]
    });
    rows.both("U02", "action 0 with a good connection id is no connect", |s| {
        vec![s.host(0).sends_with(Id::Good, payload::header(0, 0, 7), Silence)]
    });

    rows.both("U03", "nothing from port 0 is answered", |s| {
        let source = s.host(0).port_zero();
        vec![
            source.sends(payload::connect(1), Silence),
            source.sends_with(Id::Of(s.host(0)), s.leecher().bytes(), Silence),
            source.sends_with(Id::Of(s.host(0)), payload::scrape(0, 7, &[s.hash(0)]), Silence),
            source.sends(s.leecher().bytes(), Silence),
        ]
    });
    for (odd, name) in [
        (OddHost::Multicast, "nothing from a multicast address is answered"),
        (OddHost::HighMulticast, "nothing from the far end of the multicast addresses is answered"),
        (OddHost::Unspecified, "nothing from the unspecified address is answered"),
    ] {
        rows.both("U03", name, |s| odd_source(s, odd));
    }
    rows.one("U03", "nothing from the broadcast address is answered", Family::V4, |s| {
        odd_source(s, OddHost::Broadcast)
    });
}

fn odd_source(s: &super::Scene, odd: OddHost) -> Vec<Step> {
    vec![
        s.odd(odd).sends(payload::connect(1), Silence),
        s.odd(odd).sends(s.leecher().bytes(), Silence),
        s.odd(odd).sends(payload::scrape(0, 7, &[s.hash(0)]), Silence),
    ]
}

fn bad_ids(rows: &mut Rows) {
    // Each step comes from a host of its own: the error answers are rationed by source.
    rows.both("U04", "an announce with a bad connection id gets an error", |s| {
        vec![
            s.host(0).sends(s.leecher().bytes(), Error(BAD_ID)),
            s.host(1).sends(Announce { connection_id: u64::MAX, ..s.leecher() }.bytes(), Error(BAD_ID)),
            s.host(2).sends(Announce { connection_id: CONNECT_MAGIC, ..s.leecher() }.bytes(), Error(BAD_ID)),
            s.host(3).sends_with(Id::Good, s.leecher().bytes(), announced(0, 1, &[])),
        ]
    });
    rows.both("U04", "a scrape with a bad connection id gets an error", |s| {
        vec![
            s.host(0).sends(payload::scrape(0, 7, &[s.hash(0)]), Error(BAD_ID)),
            s.host(1).sends(payload::scrape(u64::MAX, 7, &[s.hash(0), s.hash(1)]), Error(BAD_ID)),
        ]
    });
    rows.both("U04", "the error answer to a bad id is never longer than the request", |s| {
        let cut = |action: u32, len: usize| {
            let mut request = payload::header(3, action, 7);
            request.resize(len, 0);
            request
        };
        let mut steps = Vec::new();
        for (n, len) in [16, 17, 20, BAD_ID_ANSWER_LEN - 1].into_iter().enumerate() {
            steps.push(s.host(n as u16).sends(cut(1, len), Silence));
            steps.push(s.host(n as u16).sends(cut(2, len), Silence));
        }
        steps.push(s.host(10).sends(cut(1, BAD_ID_ANSWER_LEN), Error(BAD_ID)));
        steps.push(s.host(11).sends(cut(2, BAD_ID_ANSWER_LEN), Error(BAD_ID)));
        steps
    });
    rows.both("U04", "error answers to one source are rationed", |s| {
        vec![
            Step::Flood { source: s.host(0), request: s.leecher().bytes(), times: 200 },
            s.host(1).sends(s.leecher().bytes(), Error(BAD_ID)),
            s.host(0).sends_with(Id::Good, s.leecher().bytes(), announced(0, 1, &[])),
        ]
    });
    rows.set_up(Setup { bad_connection_id: "drop", ..Setup::default() });
    rows.both("U04", "with the policy `drop` a bad connection id gets silence", |s| {
        vec![
            s.host(0).sends(s.leecher().bytes(), Silence),
            s.host(0).sends(payload::scrape(0, 7, &[s.hash(0)]), Silence),
            s.host(0).sends_with(Id::Good, s.leecher().bytes(), announced(0, 1, &[])),
        ]
    });
    rows.set_up(Setup::default());
}

fn validity(rows: &mut Rows) {
    rows.both("U05", "an id is good for announces and scrapes", |s| {
        vec![
            s.host(0).announces(s.leecher(), announced(0, 1, &[])),
            s.host(0).scrapes(&[s.hash(0)], scraped(&[(0, 0, 1)])),
        ]
    });
    rows.both("U05", "an id is good from another port of the same host", |s| {
        let other = s.host(0).second_port();
        vec![other.sends_with(Id::Of(s.host(0)), s.leecher().bytes(), announced(0, 1, &[]))]
    });
    rows.both("U05", "an id of another address is refused", |s| {
        vec![
            s.host(0).sends_with(Id::Of(s.host(1)), s.leecher().bytes(), Error(BAD_ID)),
            s.host(1).sends_with(Id::Of(s.host(0)), payload::scrape(0, 7, &[s.hash(0)]), Error(BAD_ID)),
        ]
    });
    rows.both("U05", "an id of the other family is refused", |s| {
        let other = if s.family == Family::V4 { Family::V6 } else { Family::V4 };
        vec![s.host(0).sends_with(Id::Of(s.host_of(other, 0)), s.leecher().bytes(), Error(BAD_ID))]
    });
    rows.both("U05", "all 64 bits of an id count", |s| {
        let flipped =
            |bit: u8| s.host(u16::from(bit)).sends_with(Id::Flipped(bit), s.leecher().bytes(), Error(BAD_ID));
        (0..64).map(flipped).collect()
    });
    rows.both("U05", "an id of the epoch before is good, an older one is not", |s| {
        let announce = |expected| s.host(0).sends_with(Id::First, s.leecher().bytes(), expected);
        vec![
            announce(announced(0, 1, &[])),
            Step::EpochsPass(1),
            announce(announced(0, 1, &[])),
            Step::EpochsPass(1),
            announce(Error(BAD_ID)),
            s.host(0).announces(s.leecher(), announced(0, 1, &[])),
        ]
    });
    rows.both("U05", "an id that is four epochs old is not good again", |s| {
        let announce = |expected| s.host(0).sends_with(Id::First, s.leecher().bytes(), expected);
        vec![announce(announced(0, 1, &[])), Step::EpochsPass(4), announce(Error(BAD_ID))]
    });
}
