//! H15 and H17: large requests, slow ones, and too many connections.

use super::Rows;
use super::proxy::{named, proxy, set_up};
use crate::http::case::Reply::{Accepted, EndOr, OneOf, Refused, RetryLater, Status};
use crate::http::case::{Setup, Step, announced};
use crate::http::query;

/// The largest header that is read.
const MOST: usize = 8192;

pub(super) fn add(rows: &mut Rows) {
    sizes(rows);
    rows.set_up(Setup {
        keys: vec![("request_timeout_s", "1"), ("idle_timeout_s", "1")],
        ..Setup::default()
    });
    times(rows);
    rows.set_up(Setup { keys: vec![("max_connections", "3")], ..Setup::default() });
    overall(rows);
    rows.set_up(Setup { keys: vec![("max_connections_per_address", "2")], ..Setup::default() });
    per_address(rows);
    let mut behind_proxy = set_up("\"x-forwarded-for\"");
    behind_proxy.keys.push(("max_connections_per_address", "2"));
    rows.set_up(behind_proxy);
    proxies(rows);
    rows.set_up(Setup::default());
}

/// A request of exactly so many bytes, most of them in a header.
fn request_of(target: &str, length: usize) -> Vec<u8> {
    let bare = query::get(target.as_bytes(), &[("X-Filler", b"")], query::Version::Http11).len();
    let filler = vec![b'x'; length - bare];
    query::get(target.as_bytes(), &[("X-Filler", &filler)], query::Version::Http11)
}

fn sizes(rows: &mut Rows) {
    rows.any("H17", "8 KiB of header are read, and not a byte more", |s| {
        let target = s.leecher().target();
        vec![
            s.host(0).sends(request_of(&target, 4096), Accepted).open(),
            s.host(0).sends(request_of(&target, MOST - 1), Accepted).open(),
            s.host(0).sends(request_of(&target, MOST), Accepted).open(),
            s.host(0).sends(request_of("/health", MOST + 1), Status(431)).closed(),
            s.host(0).sends(request_of("/health", 2 * MOST), Status(431)).closed(),
            s.host(0).sends(request_of("/health", 60_000), Status(431)).closed(),
        ]
    });
    rows.any("H17", "a large request may follow any other", |s| {
        let talk = [MOST, 100, MOST - 1, 5000, 5000, MOST]
            .into_iter()
            .fold(s.host(0).talks(), |talk, length| talk.raw(request_of("/health", length), Status(200)));
        vec![talk.open()]
    });
    rows.any("H17", "a long target is as good as any other, until it is too long", |s| {
        let long = |length: usize| {
            let target = s.leecher().target();
            format!("{target}&x={}", "y".repeat(length))
        };
        vec![
            s.host(0).gets(long(7000), Accepted),
            s.host(0).gets(long(9000), OneOf(&[414, 431])).closed(),
            s.host(0).gets(long(60_000), OneOf(&[414, 431])).closed(),
        ]
    });
    rows.any("H17", "a header without an end is refused as soon as it is too large", |s| {
        let begin = "GET /health HTTP/1.1\r\nHost: x\r\n";
        vec![
            s.host(0).sends(format!("{begin}X: {}", "x".repeat(9000)), Status(431)).closed(),
            s.host(0).sends(format!("{begin}{}", "X: y\r\n".repeat(2000)), Status(431)).closed(),
            s.host(0).sends("x".repeat(9000), EndOr(431)),
            s.host(0).sends("\r\n".repeat(100_000), EndOr(431)),
            s.host(0).sends(vec![0; 1 << 20], EndOr(400)),
        ]
    });
}

/// These wait for the tracker's own time limits, a second each.
fn times(rows: &mut Rows) {
    rows.any("H17", "a request that doesn't come whole in time ends the connection", |s| {
        vec![
            s.host(0).sends("GET /health HTTP/1.1\r\nHost: x\r\n", EndOr(408)),
            s.host(0)
                .talks()
                .raw("GET /health HTTP/1.1\r\nHost: x\r\n\r\n", Status(200))
                .raw("GET /hea", EndOr(408)),
        ]
    });
    rows.any("H17", "a connection without a request is closed after a while", |s| {
        vec![
            s.host(0).sends("", EndOr(408)),
            s.host(0).talks().raw("GET /health HTTP/1.1\r\nHost: x\r\n\r\n", Status(200)).raw("", EndOr(408)),
        ]
    });
}

fn overall(rows: &mut Rows) {
    rows.any("H15", "one connection too many is told to come back later", |s| {
        let keep = |n: u8| s.host(u16::from(n)).gets("/health", Status(200)).kept(n).open().patient();
        // Three hosts in raw words, so that no manner closes the connections.
        let keep_raw = |n: u8| {
            let health = "GET /health HTTP/1.1\r\nHost: x\r\n\r\n";
            match keep(n) {
                Step::Talk(talk) => Step::Talk(crate::http::case::Talk {
                    exchanges: vec![(crate::http::case::Request::Raw(health.into()), Status(200))],
                    ..talk
                }),
                other => other,
            }
        };
        vec![
            keep_raw(0),
            keep_raw(1),
            keep_raw(2),
            s.host(3).announces(s.leecher(), RetryLater),
            s.host(3).gets(query::scrape(&[s.hash(0)]), RetryLater),
            // Those that are there go on.
            keep_raw(0),
            keep_raw(1),
            Step::HangUp(2),
            s.host(3).gets("/health", Status(200)).patient(),
            s.host(3).announces(s.leecher(), Accepted).patient(),
        ]
    });
}

fn per_address(rows: &mut Rows) {
    let health = "GET /health HTTP/1.1\r\nHost: x\r\n\r\n";
    rows.one("H17", "an IPv4 address has so many connections and no more", crate::rows::Family::V4, |s| {
        vec![
            s.host(0).sends(health, Status(200)).kept(0).open(),
            s.host(0).sends(health, Status(200)).kept(1).open(),
            s.host(0).sends(health, Refused),
            s.host(0).sends(health, Refused),
            s.host(1).sends(health, Status(200)).kept(2).open(),
            s.host(0).sends(health, Status(200)).kept(0).open(),
            Step::HangUp(0),
            s.host(0).sends(health, Status(200)).patient(),
        ]
    });
    rows.one(
        "H17",
        "an IPv6 network of 64 bits has so many connections and no more",
        crate::rows::Family::V6,
        |s| {
            vec![
                s.host(0).sends(health, Status(200)).kept(0).open().patient(),
                s.host(1).sends(health, Status(200)).kept(1).open().patient(),
                s.host(2).sends(health, Refused),
                Step::HangUp(0),
                s.host(2).sends(health, Status(200)).patient(),
            ]
        },
    );
}

fn proxies(rows: &mut Rows) {
    let health = "GET /health HTTP/1.1\r\nHost: x\r\n\r\n";
    rows.both("H17", "a trusted proxy may have any number of connections", |s| {
        let mut steps: Vec<Step> =
            (0..10).map(|n| proxy(s, 0).sends(health, Status(200)).kept(n).open()).collect();
        steps.push(
            proxy(s, 0)
                .announces(s.leecher(), announced(0, 1, &[]).to(super::proxy::ip("192.0.2.1")))
                .header("X-Forwarded-For", "192.0.2.1"),
        );
        steps.push(s.host(0).announces(s.leecher(), announced(0, 2, &[named("192.0.2.1")])));
        steps
    });
}
