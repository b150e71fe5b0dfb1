//! H01: the 20 bytes of an info hash, however they are written.

use std::fmt::Write as _;

use super::Rows;
use crate::http::case::Reply::{Accepted, FailureNaming};
use crate::http::case::{Reply, announced, counts};
use crate::http::query::{Announce, all_escaped, escaped};

const INVALID: Reply = Reply::Failure("invalid info_hash");

pub(super) fn add(rows: &mut Rows) {
    for (upper, digits) in [(true, "upper"), (false, "lower")] {
        rows.any("H01", &format!("every byte can be escaped with {digits} case digits"), |s| {
            let mut steps = Vec::new();
            for torrent in 0..13 {
                let hash: [u8; 20] = std::array::from_fn(|n| (torrent * 20 + n) as u8);
                let target = format!(
                    "/announce?info_hash={}&peer_id={}&port=51413&left=1",
                    all_escaped(&hash, upper),
                    all_escaped(&hash, upper)
                );
                // Both ways of writing name the same torrent: a scrape written in the usual way finds it.
                steps.push(s.host(0).gets(target, Accepted));
                steps.push(s.host(0).scrapes(&[hash], &[(hash, counts(0, 0, 1))]));
                let stop = Announce { info_hash: hash, event: Some("stopped"), ..s.leecher() };
                steps.push(s.host(0).announces(stop, Accepted));
            }
            steps
        });
    }
    rows.any("H01", "digits of mixed case, and escapes where none is needed", |s| {
        let mut mixed = String::new();
        for (n, byte) in s.hash(0).iter().enumerate() {
            let done = match n % 3 {
                0 => write!(mixed, "%{byte:02X}"),
                1 => write!(mixed, "%{byte:02x}"),
                _ => write!(mixed, "%{:x}{:X}", byte >> 4, byte & 15),
            };
            done.expect("writing to a String");
        }
        vec![
            s.host(0)
                .gets(format!("/announce?info_hash={mixed}&peer_id={mixed}&port=51413&left=1"), Accepted),
            s.host(1).announces(s.leecher(), announced(0, 2, &[super::peer(s.host(0))])),
        ]
    });
    raw(rows);
    wrong(rows);
}

fn raw(rows: &mut Rows) {
    rows.any("H01", "bytes from 0x80 on may stand in the request line as they are", |s| {
        let mut steps = Vec::new();
        for torrent in 0..7_usize {
            let hash: [u8; 20] = std::array::from_fn(|n| (0x80 + (torrent * 20 + n) % 128) as u8);
            let target = [
                &b"/announce?info_hash="[..],
                &hash,
                b"&peer_id=-KT0001-abcdefghij\xff\xfe&port=51413&left=1",
            ]
            .concat();
            steps.push(s.host(0).gets(target, Accepted));
            steps.push(s.host(0).scrapes(&[hash], &[(hash, counts(0, 0, 1))]));
            let stop = Announce { info_hash: hash, event: Some("stopped"), ..s.leecher() };
            steps.push(s.host(0).announces(stop, Accepted));
        }
        steps
    });
    rows.any("H01", "a plus sign is a plus sign", |s| {
        let hash = |plus: &str| format!("{plus}{}", escaped(&s.hash(0)[..19]));
        let torrent: [u8; 20] = [&b"+"[..], &s.hash(0)[..19]].concat().try_into().expect("20 bytes");
        vec![
            s.host(0).gets(
                format!("/announce?info_hash={}&peer_id={}&port=1&left=1", hash("+"), hash("+")),
                Accepted,
            ),
            s.host(0).gets(
                format!("/scrape?info_hash={}", hash("%2B")),
                Reply::Scraped(vec![(torrent, counts(0, 0, 1))]),
            ),
        ]
    });
    rows.any("H01", "characters that a URL ought to escape may stand there as they are", |s| {
        // All that is left of ASCII when what ends a value, a target or a line, and the escapes are taken out.
        let all: Vec<u8> = (0x21..0x7f).filter(|byte| !b"&%#".contains(byte)).collect();
        let mut steps = Vec::new();
        for characters in all.chunks(20).filter(|chunk| chunk.len() == 20) {
            let hash: [u8; 20] = characters.try_into().expect("20 bytes");
            let target = [b"/scrape?info_hash=", characters].concat();
            steps.push(s.host(0).gets(target, Reply::Scraped(vec![(hash, counts(0, 0, 0))])));
        }
        steps
    });
}

fn wrong(rows: &mut Rows) {
    rows.any("H01", "more or less than 20 bytes are an invalid info_hash", |s| {
        let announce = |hash: &str| {
            s.host(0).gets(
                format!("/announce?info_hash={hash}&peer_id=abcdefghijklmnopqrst&port=1&left=1"),
                INVALID,
            )
        };
        let bytes = [0xe1; 64];
        let mut steps: Vec<_> =
            [1, 2, 10, 19, 21, 22, 40, 64].iter().map(|len| announce(&escaped(&bytes[..*len]))).collect();
        steps.push(announce(""));
        // Hexadecimal digits are forty bytes.
        steps.push(announce(&"ab".repeat(20)));
        steps.push(s.host(0).gets(format!("/scrape?info_hash={}", escaped(&bytes[..19])), INVALID));
        steps.push(s.host(0).gets(format!("/scrape?info_hash={}", escaped(&bytes[..21])), INVALID));
        let good = escaped(&bytes[..20]);
        steps.push(s.host(0).gets(format!("/scrape?info_hash={good}&info_hash=short"), INVALID));
        steps
    });
    rows.any("H01", "a bad escape makes an invalid info_hash", |s| {
        let rest = escaped(&[0xe1; 19]);
        [
            format!("%{rest}"),
            format!("%4{rest}"),
            format!("%g1{rest}"),
            format!("%1g{rest}"),
            format!("%-1{rest}"),
            format!("% 1{rest}").replace(' ', "+"),
            format!("%%{rest}"),
            format!("{rest}%"),
            format!("{rest}%4"),
            format!("{rest}%u0041"),
        ]
        .iter()
        .flat_map(|hash| {
            [
                s.host(0).gets(
                    format!("/announce?info_hash={hash}&peer_id=abcdefghijklmnopqrst&port=1&left=1"),
                    INVALID,
                ),
                s.host(0).gets(format!("/scrape?info_hash={hash}"), INVALID),
            ]
        })
        .collect()
    });
    rows.any("H01", "a peer_id that isn't 20 bytes is refused", |s| {
        let announce = |peer_id: &str| {
            let hash = escaped(&s.hash(0));
            s.host(0).gets(
                format!("/announce?info_hash={hash}&peer_id={peer_id}&port=1&left=1"),
                FailureNaming("peer_id"),
            )
        };
        let mut steps: Vec<_> =
            ["a", "abcdefghijklmnopqrs", "abcdefghijklmnopqrstu", "%zzabcdefghijklmnopqrs"]
                .map(announce)
                .into();
        steps.push(s.host(0).scrapes(&[s.hash(0)], &[(s.hash(0), counts(0, 0, 0))]));
        steps
    });
}
