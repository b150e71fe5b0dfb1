//! H08 and H16: whose request it is when a reverse proxy names the client in a header.

use std::net::IpAddr;

use super::{PORT, Rows, Scene, peer};
use crate::http::case::Reply::{Accepted, Status};
use crate::http::case::{Address, Host, Peer, Reply, Setup, Step, announced};
use crate::http::query::Announce;
use crate::rows::Family;

/// The text of this failure is the tracker's own affair.
const NO_ADDRESS: Reply = Reply::FailureNaming("");

const XFF: &str = "X-Forwarded-For";

/// The first of 256 hosts that are trusted proxies.
const FIRST_PROXY: u16 = 0xf100;

pub(super) fn set_up(header: &'static str) -> Setup {
    Setup {
        keys: vec![("proxy_header", header)],
        trusted_hosts: vec![(Family::V4, FIRST_PROXY, 8), (Family::V6, FIRST_PROXY, 8)],
        trusted_networks: vec!["198.51.100.0/24", "2001:db8:ffff::/48"],
        ..Setup::default()
    }
}

/// A trusted proxy.
pub(super) fn proxy(s: &Scene, n: u16) -> Host {
    Host { family: s.family, number: FIRST_PROXY + n }
}

pub(super) fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// A client that a proxy names.
pub(super) fn named(text: &str) -> Peer {
    (Address::Named(ip(text)), PORT)
}

pub(super) fn add(rows: &mut Rows) {
    rows.set_up(set_up("\"x-forwarded-for\""));
    forwarded_for(rows);
    who_is_trusted(rows);
    rows.set_up(set_up("\"x-real-ip\""));
    rows.both("H16", "X-Real-IP names the client, and nothing else does", |s| {
        vec![
            proxy(s, 0)
                .announces(s.leecher(), announced(0, 1, &[]).to(ip("192.0.2.1")))
                .header("X-Real-IP", "192.0.2.1"),
            proxy(s, 0)
                .announces(s.leecher(), announced(0, 2, &[named("192.0.2.1")]).to(ip("2001:db8::7")))
                .header("x-real-ip", "2001:db8::7")
                .header(XFF, "192.0.2.99"),
            proxy(s, 0).announces(s.leecher(), NO_ADDRESS).header(XFF, "192.0.2.99"),
            proxy(s, 0).announces(s.leecher(), NO_ADDRESS).header("X-Real-IP", "nobody"),
            s.host(0)
                .announces(s.leecher(), announced(0, 3, &[named("192.0.2.1"), named("2001:db8::7")]))
                .header("X-Real-IP", "192.0.2.98"),
        ]
    });
    rows.set_up(set_up("\"forwarded\""));
    forwarded(rows);
    ip_parameters(rows);
}

/// A request through a proxy that says this, and who it is then.
fn says(s: &Scene, header: &'static str, values: &[&str], client: &str) -> Vec<Step> {
    let with = |step: Step| values.iter().fold(step, |step, value| step.header(header, value));
    let stopped = Announce { event: Some("stopped"), ..s.leecher() };
    vec![
        with(proxy(s, 0).announces(s.leecher(), announced(0, 1, &[]).to(ip(client)))),
        // Somebody else is told of the client at the address that was named.
        s.host(9).announces(s.leecher(), announced(0, 2, &[named(client)])),
        s.host(9).announces(stopped.clone(), Accepted),
        with(proxy(s, 0).announces(stopped, Accepted)),
    ]
}

fn forwarded_for(rows: &mut Rows) {
    rows.both("H16", "X-Forwarded-For is walked from the right past trusted proxies", |s| {
        [
            (&["192.0.2.1"][..], "192.0.2.1"),
            (&["2001:db8::1"], "2001:db8::1"),
            (&["2001:DB8:0:0::1"], "2001:db8::1"),
            (&["  192.0.2.1  "], "192.0.2.1"),
            (&["203.0.113.9, 192.0.2.2"], "192.0.2.2"),
            (&["203.0.113.9,192.0.2.2"], "192.0.2.2"),
            (&["nonsense, 192.0.2.2"], "192.0.2.2"),
            (&["192.0.2.3, 198.51.100.7"], "192.0.2.3"),
            (&["203.0.113.9, 192.0.2.3, 198.51.100.7, 2001:db8:ffff::9"], "192.0.2.3"),
            (&["203.0.113.9", "192.0.2.4"], "192.0.2.4"),
            (&["192.0.2.4", "198.51.100.7"], "192.0.2.4"),
            (&["203.0.113.9, 192.0.2.4", "198.51.100.7, 198.51.100.8"], "192.0.2.4"),
            (&["192.0.2.4,"], "192.0.2.4"),
            (&[" , 192.0.2.4 ,, 198.51.100.7 ,"], "192.0.2.4"),
            // Nobody but proxies: the one that is farthest away.
            (&["198.51.100.1, 198.51.100.7"], "198.51.100.1"),
            (&["192.0.2.5:4711"], "192.0.2.5"),
            (&["[2001:db8::5]:4711"], "2001:db8::5"),
            (&["[2001:db8::5]"], "2001:db8::5"),
            (&["::ffff:192.0.2.6"], "192.0.2.6"),
        ]
        .iter()
        .flat_map(|(values, client)| says(s, XFF, values, client))
        .chain(says(s, "x-FORWARDED-for", &["192.0.2.7"], "192.0.2.7"))
        .collect()
    });
    rows.both("H16", "a trusted proxy that doesn't say whose request it is gets a failure reason", |s| {
        let mut steps = vec![
            proxy(s, 0).announces(s.leecher(), NO_ADDRESS),
            proxy(s, 0).announces(s.leecher(), NO_ADDRESS).header("X-Real-IP", "192.0.2.1"),
            proxy(s, 0).announces(s.leecher(), NO_ADDRESS).header("Forwarded", "for=192.0.2.1"),
        ];
        for value in [
            "",
            " ",
            ",",
            ",,,",
            "unknown",
            "192.0.2.1, unknown",
            "192.0.2",
            "192.0.2.256",
            "192.0.2.1.1",
            "2001:db8::1::2",
            "[2001:db8::1",
            "192.0.2.1:x",
            "_hidden",
            "localhost",
            "1.2.3.4;5.6.7.8",
            "\u{ff11}92.0.2.1",
        ] {
            steps.push(proxy(s, 0).announces(s.leecher(), NO_ADDRESS).header(XFF, value));
        }
        steps.push(proxy(s, 0).announces(s.leecher(), NO_ADDRESS).header(XFF, "9, ".repeat(1000)));
        // Nothing of that has been recorded.
        steps.push(s.host(0).announces(s.leecher(), announced(0, 1, &[])));
        steps
    });
}

fn who_is_trusted(rows: &mut Rows) {
    rows.both("H16", "outside of the trusted networks headers are ignored", |s| {
        vec![
            s.host(0).announces(s.leecher(), announced(0, 1, &[])).header(XFF, "192.0.2.1"),
            s.host(1)
                .announces(s.leecher(), announced(0, 2, &[peer(s.host(0))]))
                .header(XFF, "nonsense")
                .header("X-Real-IP", "192.0.2.1")
                .header("Forwarded", "for=192.0.2.1"),
        ]
    });
    rows.both("H16", "each request of a proxy's connection has a client of its own", |s| {
        let clients = ["192.0.2.1", "192.0.2.2", "2001:db8::3", "192.0.2.4"];
        let talk = clients.iter().fold(proxy(s, 1).talks(), |talk, client| {
            talk.get(s.leecher().target(), Accepted).header(XFF, client)
        });
        let talk = talk.get(s.leecher().target(), NO_ADDRESS).get("/health", Status(200));
        let peers: Vec<Peer> = clients.iter().map(|client| named(client)).collect();
        vec![talk, s.host(0).announces(s.leecher(), announced(0, 5, &peers))]
    });
    rows.both("H08", "a trusted proxy's client can't choose its address either", |s| {
        let claiming = Announce { tail: "&ip=192.0.2.77".to_owned(), ..s.leecher() };
        vec![
            proxy(s, 0)
                .announces(claiming, announced(0, 1, &[]).to(ip("192.0.2.1")))
                .header(XFF, "192.0.2.1"),
        ]
    });
}

fn forwarded(rows: &mut Rows) {
    rows.both("H16", "Forwarded is walked from the right past trusted proxies", |s| {
        [
            (&["for=192.0.2.1"][..], "192.0.2.1"),
            (&["For=\"192.0.2.1\""], "192.0.2.1"),
            (&["for=\"192.0.2.1:4711\""], "192.0.2.1"),
            (&["for=\"[2001:db8::1]\""], "2001:db8::1"),
            (&["FOR=\"[2001:db8::1]:4711\""], "2001:db8::1"),
            (&["for=192.0.2.2;proto=https;by=203.0.113.43"], "192.0.2.2"),
            (&["proto=https; by=203.0.113.43; for=192.0.2.2"], "192.0.2.2"),
            (&["for=203.0.113.9, for=192.0.2.3"], "192.0.2.3"),
            (&["for=192.0.2.3, for=198.51.100.7;proto=http"], "192.0.2.3"),
            (&["for=192.0.2.4", "for=198.51.100.7"], "192.0.2.4"),
            (&["for=unknown, for=192.0.2.5"], "192.0.2.5"),
            (&["for=192.0.2.6;host=\"a,b;c\""], "192.0.2.6"),
        ]
        .iter()
        .flat_map(|(values, client)| says(s, "Forwarded", values, client))
        .collect()
    });
    rows.both("H16", "a Forwarded header that names nobody gets a failure reason", |s| {
        let mut steps = vec![proxy(s, 0).announces(s.leecher(), NO_ADDRESS).header(XFF, "192.0.2.1")];
        for value in [
            "",
            "for",
            "for=",
            "for=unknown",
            "for=_hidden",
            "for=192.0.2.1, for=_hidden",
            "for=\"192.0.2.1",
            "by=192.0.2.1",
            "192.0.2.1",
            "for=192.0.2.1, proto=https",
            ";;;",
            "=192.0.2.1",
        ] {
            steps.push(proxy(s, 0).announces(s.leecher(), NO_ADDRESS).header("Forwarded", value));
        }
        steps.push(s.host(0).announces(s.leecher(), announced(0, 1, &[])));
        steps
    });
}

fn ip_parameters(rows: &mut Rows) {
    let mut setup = set_up("\"x-forwarded-for\"");
    setup.keys.push(("use_ip_parameters", "true"));
    rows.set_up(setup);
    rows.both(
        "H08",
        "where it is allowed, ip counts in requests through a trusted proxy and in no others",
        |s| {
            let claiming = |tail: &str| Announce { tail: tail.to_owned(), ..s.leecher() };
            vec![
                proxy(s, 0).announces(claiming("&ip=192.0.2.77"), Accepted).header(XFF, "192.0.2.1"),
                s.host(0).announces(claiming("&ip=192.0.2.78"), announced(0, 2, &[named("192.0.2.77")])),
                proxy(s, 0).announces(claiming("&ip=nonsense"), Accepted).header(XFF, "192.0.2.1"),
                s.host(1).announces(
                    s.leecher(),
                    announced(0, 4, &[named("192.0.2.77"), peer(s.host(0)), named("192.0.2.1")]),
                ),
            ]
        },
    );
    rows.set_up(Setup::default());
}
