//! H16: whose connection it is when it begins with a header of the PROXY protocol.

use super::proxy::{ip, named, proxy, set_up};
use super::{Rows, Scene, peer};
use crate::http::case::Reply::{Accepted, EndOr, Status};
use crate::http::case::{Setup, Step, announced};
use crate::http::query::Announce;

/// The signature of version 2.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// A header of version 2.
fn v2(version_command: u8, family: u8, addresses: &[u8]) -> Vec<u8> {
    let length = (addresses.len() as u16).to_be_bytes();
    [SIGNATURE, &[version_command, family], &length, addresses].concat()
}

/// From 192.0.2.1:1000 to 198.51.100.1:80.
const FROM_V4: [u8; 12] = [192, 0, 2, 1, 198, 51, 100, 1, 3, 232, 0, 80];

/// From 2001:db8::1.
fn from_v6() -> Vec<u8> {
    let mut bytes = vec![0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    bytes.extend([0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9]);
    bytes.extend([3, 232, 0, 80]);
    bytes
}

pub(super) fn add(rows: &mut Rows) {
    rows.set_up(set_up("\"x-forwarded-for\""));
    rows.both("H16", "the PROXY protocol's header names the client of the connection", |s| {
        // A type, a length and a value: of a kind that we know nothing about.
        let with_extras = [&FROM_V4[..], &[0xee, 0, 3, 1, 2, 3]].concat();
        let long = [&FROM_V4[..], &[0xee, 1, 0x40], &[7; 0x140]].concat();
        [
            (b"PROXY TCP4 192.0.2.1 198.51.100.1 1000 80\r\n".to_vec(), "192.0.2.1"),
            (b"PROXY TCP6 2001:db8::1 2001:db8::9 1000 80\r\n".to_vec(), "2001:db8::1"),
            (v2(0x21, 0x11, &FROM_V4), "192.0.2.1"),
            (v2(0x21, 0x11, &with_extras), "192.0.2.1"),
            (v2(0x21, 0x11, &long), "192.0.2.1"),
            (v2(0x21, 0x21, &from_v6()), "2001:db8::1"),
        ]
        .into_iter()
        .flat_map(|(preface, client)| names(s, preface, client))
        .collect()
    });
    rows.both("H16", "a proxy that speaks for itself is the client", |s| {
        let prefaces = [
            b"PROXY UNKNOWN\r\n".to_vec(),
            b"PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n".to_vec(),
            v2(0x20, 0, &[]),
            v2(0x20, 0x11, &FROM_V4),
            v2(0x21, 0, &[]),
            v2(0x21, 0x31, &[0; 216]),
        ];
        prefaces
            .into_iter()
            .map(|preface| proxy(s, 0).announces(s.leecher(), announced(0, 1, &[])).behind(preface))
            .collect()
    });
    rows.both("H16", "on such a connection headers don't name anybody", |s| {
        let preface = b"PROXY TCP4 192.0.2.1 198.51.100.1 1000 80\r\n";
        let talk = proxy(s, 0)
            .announces(s.leecher(), Accepted)
            .header("X-Forwarded-For", "192.0.2.99")
            .get(s.leecher().target(), Accepted)
            .get("/health", Status(200))
            .behind(preface);
        vec![talk, s.host(0).announces(s.leecher(), announced(0, 2, &[named("192.0.2.1")]))]
    });
    bad(rows);
    rows.set_up(Setup::default());
}

/// A connection through a proxy that begins with this, and who it is then.
fn names(s: &Scene, preface: Vec<u8>, client: &str) -> Vec<Step> {
    let stopped = Announce { event: Some("stopped"), ..s.leecher() };
    vec![
        proxy(s, 0).announces(s.leecher(), announced(0, 1, &[]).to(ip(client))).behind(preface.clone()),
        s.host(9).announces(s.leecher(), announced(0, 2, &[named(client)])),
        s.host(9).announces(stopped.clone(), Accepted),
        proxy(s, 0).announces(stopped, Accepted).behind(preface),
    ]
}

fn bad(rows: &mut Rows) {
    rows.both("H16", "a trusted proxy has to begin with a header, and a good one", |s| {
        let mut wrong_signature = v2(0x21, 0x11, &FROM_V4);
        wrong_signature[11] = b'\r';
        let prefaces = [
            // The request itself.
            Vec::new(),
            b"PROXY \r\n".to_vec(),
            b"PROXY TCP4\r\n".to_vec(),
            b"PROXY TCP5 192.0.2.1 198.51.100.1 1000 80\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.1 198.51.100.1 1000\r\n".to_vec(),
            b"PROXY TCP4 192.0.2 198.51.100.1 1000 80\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.1 198.51.100.1 1000 65536\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.1 198.51.100.1 1000 80 x\r\n".to_vec(),
            b"PROXY TCP6 192.0.2.1 198.51.100.1 1000 80\r\n".to_vec(),
            b"PROXY TCP4 2001:db8::1 2001:db8::2 1000 80\r\n".to_vec(),
            b"proxy TCP4 192.0.2.1 198.51.100.1 1000 80\r\n".to_vec(),
            // 107 bytes are the longest.
            [&b"PROXY TCP4 192.0.2.1 198.51.100.1 1000 80"[..], &[b' '; 200], b"\r\n"].concat(),
            wrong_signature,
            v2(0x11, 0x11, &FROM_V4),
            v2(0x31, 0x11, &FROM_V4),
            v2(0x22, 0x11, &FROM_V4),
            v2(0x21, 0x11, &FROM_V4[..11]),
            v2(0x21, 0x21, &FROM_V4),
            v2(0x21, 0x11, &[FROM_V4.to_vec(), vec![0; 60_000]].concat()),
        ];
        let mut steps: Vec<Step> = prefaces
            .into_iter()
            .map(|preface| proxy(s, 0).announces(s.leecher(), EndOr(400)).behind(preface))
            .collect();
        steps.push(s.host(0).announces(s.leecher(), announced(0, 1, &[])));
        steps
    });
    rows.both("H16", "outside of the trusted networks nobody is believed", |s| {
        let preface = b"PROXY TCP4 192.0.2.1 198.51.100.1 1000 80\r\n".to_vec();
        vec![
            s.host(0).announces(s.leecher(), EndOr(400)).behind(preface.clone()),
            s.host(0).announces(s.leecher(), EndOr(400)).behind(v2(0x21, 0x11, &FROM_V4)),
            // Without it they are clients like any other.
            s.host(1).announces(s.leecher(), announced(0, 1, &[])).behind(""),
            s.host(2).announces(s.leecher(), announced(0, 2, &[peer(s.host(1))])),
        ]
    });
    rows.both("H16", "on other listeners the PROXY protocol isn't spoken", |s| {
        let preface = &b"PROXY TCP4 192.0.2.1 198.51.100.1 1000 80\r\n"[..];
        let request = format!("GET {} HTTP/1.1\r\nHost: x\r\n\r\n", s.leecher().target());
        vec![
            proxy(s, 0).sends([preface, request.as_bytes()].concat(), EndOr(400)),
            s.host(0).sends([preface, request.as_bytes()].concat(), EndOr(400)),
            s.host(0).announces(s.leecher(), announced(0, 1, &[])),
        ]
    });
}
