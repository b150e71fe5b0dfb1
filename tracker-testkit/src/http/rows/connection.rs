//! What HTTP itself asks for: methods, paths, versions, headers, the end of a connection. And what isn't HTTP.

use super::Rows;
use crate::http::case::Reply::{Accepted, EndOr, OneOf, Status, With};
use crate::http::case::Step;
use crate::http::query;

/// What has no row of its own: the paragraph above the table.
const ROW: &str = "HTTP";

pub(super) fn add(rows: &mut Rows) {
    paths_and_methods(rows);
    bodies(rows);
    targets(rows);
    headers(rows);
    ends(rows);
    not_http(rows);
}

fn paths_and_methods(rows: &mut Rows) {
    rows.both(ROW, "there is /announce, /scrape and /health, and nothing else", |s| {
        ["/", "/metrics", "/stats", "/favicon.ico", "/announce/x", "/healthy", "/health/", "/%2e%2e/health"]
            .map(|path| s.host(0).gets(path, Status(404)))
            .into_iter()
            .chain([s.host(0).gets("/health", Status(200)), s.host(0).gets("/health?x=1", Status(200))])
            .collect()
    });
    rows.any(ROW, "any other method is told that it is GET", |s| {
        let target = s.leecher().target();
        let mut steps: Vec<_> = ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "HEAD", "get", "BREW"]
            .iter()
            .map(|method| {
                let request = format!("{method} {target} HTTP/1.1\r\nHost: x\r\n\r\n");
                s.host(0).sends(request, With(405, "allow", "GET"))
            })
            .collect();
        steps.push(s.host(0).scrapes(&[s.hash(0)], &[(s.hash(0), crate::http::case::counts(0, 0, 0))]));
        steps
    });
    rows.any(ROW, "the answer to HEAD has no body, and the next one follows", |s| {
        let head = "HEAD /health HTTP/1.1\r\nHost: x\r\n\r\n";
        vec![
            s.host(0)
                .talks()
                .raw(head, OneOf(&[200, 405]))
                .raw(head, OneOf(&[200, 405]))
                .get("/health", Status(200)),
        ]
    });
}

fn bodies(rows: &mut Rows) {
    rows.any(ROW, "a body is refused, and never taken for a request", |s| {
        let inner = query::get(s.leecher().target().as_bytes(), &[], query::Version::Http11);
        let with = |head: &str, body: &[u8]| [head.as_bytes(), b"\r\n\r\n", body].concat();
        let length = inner.len();
        let chunked = [format!("{length:x}\r\n").as_bytes(), &inner, b"\r\n0\r\n\r\n"].concat();
        let mut steps: Vec<Step> = [
            with(&format!("POST /announce HTTP/1.1\r\nHost: x\r\nContent-Length: {length}"), &inner),
            with(&format!("GET /announce HTTP/1.1\r\nHost: x\r\nContent-Length: {length}"), &inner),
            with(&format!("GET /health HTTP/1.1\r\nHost: x\r\nContent-Length: {length}"), &inner),
            with("GET /health HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked", &chunked),
            with("POST /health HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked", &chunked),
            with(
                "GET /health HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked",
                &chunked,
            ),
            with("GET /health HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nContent-Length: 5", &inner),
            with("GET /health HTTP/1.1\r\nHost: x\r\nContent-Length: -1", &inner),
            with("GET /health HTTP/1.1\r\nHost: x\r\nContent-Length: 18446744073709551616", &inner),
        ]
        .map(|request| s.host(0).sends(request, OneOf(&[400, 405, 413])).closed())
        .into();
        steps.push(s.host(0).scrapes(&[s.hash(0)], &[(s.hash(0), crate::http::case::counts(0, 0, 0))]));
        steps
    });
    rows.any(ROW, "a body of no bytes is none", |s| {
        vec![s.host(0).announces(s.leecher(), Accepted).header("Content-Length", "0")]
    });
}

fn targets(rows: &mut Rows) {
    rows.any(ROW, "a target may be a whole URL", |s| {
        let target = s.leecher().target();
        ["http://tracker.test:6969", "http://tracker.test", "HTTP://TRACKER.TEST", "https://[::1]:443"]
            .iter()
            .map(|origin| s.host(0).gets(format!("{origin}{target}"), Accepted))
            .collect()
    });
    rows.any(ROW, "other forms of targets don't lead anywhere", |s| {
        vec![
            s.host(0).sends("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", OneOf(&[400, 404, 405])),
            s.host(0).sends("GET * HTTP/1.1\r\nHost: x\r\n\r\n", OneOf(&[400, 404])),
            s.host(0).sends("CONNECT tracker.test:80 HTTP/1.1\r\nHost: x\r\n\r\n", OneOf(&[400, 404, 405])),
            s.host(0).sends("GET announce HTTP/1.1\r\nHost: x\r\n\r\n", OneOf(&[400, 404])),
            s.host(0).sends("GET ?info_hash=1 HTTP/1.1\r\nHost: x\r\n\r\n", OneOf(&[400, 404])),
        ]
    });
    rows.any(ROW, "a space in a target is an error", |s| {
        let request = "GET /announce?info_hash=a b&port=1 HTTP/1.1\r\nHost: x\r\n\r\n";
        vec![s.host(0).sends(request, EndOr(400))]
    });
}

fn headers(rows: &mut Rows) {
    rows.any(ROW, "twenty headers, and a hundred, are fine", |s| {
        let with = |count: usize| {
            (0..count)
                .fold(s.host(0).announces(s.leecher(), Accepted), |step, _| step.header("X-Filler", "value"))
        };
        // `Host` is one more.
        vec![with(20), with(99)]
    });
    rows.any(ROW, "a header may hold any text", |s| {
        vec![
            s.host(0)
                .announces(s.leecher(), Accepted)
                .header("User-Agent", b"B\xe4r\xff/1.0 \x80")
                .header("X-Empty", "")
                .header("X-Tab", "a\tb")
                .header("Accept-Encoding", "gzip, deflate, br, zstd")
                .header("Expect", "nothing")
                .header("x!#$%&'*+-.^_`|~9", "a name of all characters that a name may have"),
        ]
    });
    rows.any(ROW, "a header that is none is an error", |s| {
        [
            "no colon",
            "Space : before",
            ": no name",
            "N\u{e4}me: x",
            "Nul: a\0b",
            "X-Fold: a\r\n b",
            "X-Return: a\rb",
        ]
        .map(|line| s.host(0).sends(format!("GET /health HTTP/1.1\r\nHost: x\r\n{line}\r\n\r\n"), EndOr(400)))
        .into()
    });
    rows.any("H17", "101 headers are too many", |s| {
        let step =
            (0..101).fold(s.host(0).gets("/health", Status(431)), |step, _| step.header("X-Filler", "value"));
        vec![step.closed()]
    });
}

fn ends(rows: &mut Rows) {
    rows.any(ROW, "a connection goes on, or doesn't, as version and header say", |s| {
        vec![
            s.host(0).gets("/health", Status(200)).header("Connection", "close"),
            s.host(0).gets("/health", Status(200)).header("connection", "Close"),
            s.host(0).gets("/health", Status(200)).header("CONNECTION", "keep-alive"),
            s.host(0).gets("/health", Status(200)).header("Connection", "Keep-Alive"),
            s.host(0).announces(s.leecher(), Accepted).header("Connection", "close"),
            s.host(0).gets("/announce", super::super::case::Reply::FailureNaming("info_hash")),
            s.host(0).gets("/nowhere", Status(404)),
            s.host(0).sends("GET /health HTTP/1.1\r\n\r\n", OneOf(&[200, 400])),
            s.host(0).sends("GET /health HTTP/1.0\r\n\r\n", Status(200)).closed(),
            s.host(0)
                .sends(
                    "GET /health HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
                    With(200, "connection", "keep-alive"),
                )
                .open(),
            s.host(0)
                .sends(
                    "GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
                    With(200, "connection", "close"),
                )
                .closed(),
            s.host(0)
                .sends("GET /health HTTP/1.1\r\nHost: x\r\nConnection: te, close\r\n\r\n", Status(200))
                .closed(),
        ]
    });
    rows.any(ROW, "what follows a request that ends the connection isn't answered", |s| {
        let last = "GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        let next = "GET /health HTTP/1.1\r\nHost: x\r\n\r\n";
        vec![s.host(0).sends([last, next].concat(), Status(200)).closed()]
    });
    rows.any(ROW, "a hundred requests on one connection get a hundred answers", |s| {
        let request = s.leecher().target();
        let talk = (0..100).fold(s.host(0).talks(), |talk, n| match n % 3 {
            0 => talk.get(&request, Accepted),
            1 => talk.get("/nowhere", Status(404)),
            _ => talk.get("/scrape", super::super::case::Reply::FailureNaming("full scrape")),
        });
        vec![talk]
    });
    rows.any(ROW, "empty lines before a request are skipped", |s| {
        vec![s.host(0).sends("\r\n\r\nGET /health HTTP/1.1\r\nHost: x\r\n\r\n", Status(200))]
    });
}

fn not_http(rows: &mut Rows) {
    rows.any(ROW, "what isn't HTTP gets 400 or the end of the connection", |s| {
        [
            &b"GET /announce\r\n\r\n"[..],
            b"GET\r\n\r\n",
            b"GET  /health HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET /health HTTP/1.1 \r\nHost: x\r\n\r\n",
            b"GET /health HTTP/2.0\r\nHost: x\r\n\r\n",
            b"GET /health HTTP/1.2\r\nHost: x\r\n\r\n",
            b"GET /health HTTP/0.9\r\n\r\n",
            b"GET /health http/1.1\r\n\r\n",
            b"GET /health XTTP/1.1\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 the beginning of TLS\r\n\r\n",
            b"\x13BitTorrent protocol\0\0\0\0\0\0\0\0aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n\r\n",
            b"\0\0\0\0\0\0\0\0\r\n\r\n",
            b"\xff\xfe\xfd\xfc\r\n\r\n",
            b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
            b"EHLO mail.test\r\n\r\n",
            b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe\r\n\r\n",
            b"G\0T /health HTTP/1.1\r\n\r\n",
            b"GET /\0 HTTP/1.1\r\n\r\n",
            b"GET /he\x01alth HTTP/1.1\r\n\r\n",
            // Without a scheme in front it is no URL, without a slash no path.
            b" /health HTTP/1.1\r\n\r\n",
        ]
        .map(|bytes| s.host(0).sends(bytes, EndOr(400)))
        .into()
    });
}
