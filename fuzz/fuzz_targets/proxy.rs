//! What reverse proxies say: whatever a client writes before a proxy's word doesn't make it somebody else, and a header of the PROXY protocol
//! is incomplete until its last byte, bad from some byte on, or neither of the two.
#![no_main]

use std::net::IpAddr;

use http_ws::proxy::{MAX_PREFACE, Preface, ProxyHeader, client_address, preface};
use libfuzzer_sys::fuzz_target;
use tracker_core::BlockList;

fuzz_target!(|bytes: &[u8]| {
    headers(bytes);
    prefaces(bytes);
});

fn headers(bytes: &[u8]) {
    let trusted = BlockList::parse("10.0.0.0/8\n2001:db8:f::/48").expect("two networks");
    let read = |header, lines: &[&[u8]]| client_address(header, lines.iter().copied(), &trusted);
    // What hyper takes as a header's value.
    if bytes.iter().all(|&byte| byte == b'\t' || byte >= b' ' && byte != 0x7f) {
        let client: IpAddr = "192.0.2.1".parse().expect("an address");
        for (header, appended) in [
            (
                ProxyHeader::XForwardedFor,
                &["192.0.2.1", "192.0.2.1:80, 10.0.0.1", "::ffff:192.0.2.1,[2001:db8:f::1]"][..],
            ),
            (ProxyHeader::Forwarded, &["for=192.0.2.1", "for=\"192.0.2.1:80\";by=\"_x\", for=10.0.0.1"]),
        ] {
            for appended in appended {
                assert_eq!(read(header, &[bytes, appended.as_bytes()]), Ok(client));
                let told = read(header, &[&[bytes, b", ", appended.as_bytes()].concat()]);
                // Quotes that a client leaves open are an error.
                let may_fail = header == ProxyHeader::Forwarded && bytes.contains(&b'"');
                assert!(told == Ok(client) || told.is_err() && may_fail, "{told:?}");
            }
        }
        assert_eq!(read(ProxyHeader::XRealIp, &[bytes, b"192.0.2.1"]), Ok(client));
    }
    let lines: Vec<&[u8]> = bytes.split(|&byte| byte == b'\n').collect();
    for header in ProxyHeader::ALL {
        if let Ok(IpAddr::V6(v6)) = read(header, &lines) {
            assert_eq!(v6.to_ipv4_mapped(), None);
        }
    }
}

fn prefaces(bytes: &[u8]) {
    for begin in [
        &b""[..],
        b"PROXY TCP4 ",
        b"PROXY TCP6 ",
        b"PROXY UNKNOWN",
        b"\r\n\r\n\0\r\nQUIT\n",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0",
    ] {
        let bytes = [begin, bytes].concat();
        let whole = preface(&bytes);
        let end = match whole {
            Preface::Header { len, .. } => {
                assert!(len <= MAX_PREFACE.min(bytes.len()));
                assert_eq!(preface(&bytes[..len]), whole);
                len
            }
            Preface::Incomplete => {
                assert!(bytes.len() < MAX_PREFACE);
                bytes.len()
            }
            Preface::Bad => {
                (0..=bytes.len()).find(|&len| preface(&bytes[..len]) == Preface::Bad).expect("all of it")
            }
        };
        assert!((0..end).all(|len| preface(&bytes[..len]) == Preface::Incomplete));
        assert!((end..=bytes.len()).all(|len| preface(&bytes[..len]) == whole));
    }
}
