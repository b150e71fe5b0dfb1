//! Headers as proxies send them.

use std::net::IpAddr;

use tracker_core::BlockList;

use super::*;

/// 10.0.0.0/8 and 2001:db8:f::/48.
fn trusted() -> BlockList {
    BlockList::parse("10.0.0.0/8\n2001:db8:f::/48").unwrap()
}

fn client(header: ProxyHeader, lines: &[&str]) -> Result<IpAddr, NoClientAddress> {
    client_address(header, lines.iter().map(|line| line.as_bytes()), &trusted())
}

fn ip(text: &str) -> Result<IpAddr, NoClientAddress> {
    Ok(text.parse().unwrap())
}

#[test]
fn the_rightmost_address_that_is_no_trusted_proxy_is_the_clients() {
    for (lines, expected) in [
        (&["192.0.2.1"][..], "192.0.2.1"),
        (&["203.0.113.9, 192.0.2.1"], "192.0.2.1"),
        (&["203.0.113.9,192.0.2.1 ,\t10.0.0.1"], "192.0.2.1"),
        (&["203.0.113.9, 192.0.2.1", "10.0.0.1", "10.0.0.2, 2001:db8:f::1"], "192.0.2.1"),
        (&["203.0.113.9", "192.0.2.1"], "192.0.2.1"),
        (&["192.0.2.1:50000, 10.0.0.1:80"], "192.0.2.1"),
        (&["2001:db8::1, [2001:db8:f::1]:80"], "2001:db8::1"),
        (&["[2001:db8::1]:50000"], "2001:db8::1"),
        (&["::ffff:192.0.2.1, ::ffff:10.0.0.1"], "192.0.2.1"),
        (&[", 192.0.2.1,, ", ""], "192.0.2.1"),
    ] {
        assert_eq!(client(ProxyHeader::XForwardedFor, lines), ip(expected), "{lines:?}");
    }
}

#[test]
fn when_all_are_trusted_the_leftmost_is_the_client() {
    assert_eq!(client(ProxyHeader::XForwardedFor, &["10.0.0.3, 10.0.0.2", "10.0.0.1"]), ip("10.0.0.3"));
    assert_eq!(client(ProxyHeader::XRealIp, &["10.0.0.3"]), ip("10.0.0.3"));
    assert_eq!(
        client(ProxyHeader::Forwarded, &["for=10.0.0.3, for=10.0.0.2", "for=10.0.0.1"]),
        ip("10.0.0.3")
    );
}

#[test]
fn what_the_client_makes_up_does_not_matter() {
    assert_eq!(client(ProxyHeader::XForwardedFor, &["garbage, \", 192.0.2.1"]), ip("192.0.2.1"));
    assert_eq!(client(ProxyHeader::XRealIp, &["garbage", "192.0.2.1"]), ip("192.0.2.1"));
    assert_eq!(
        client(ProxyHeader::Forwarded, &["for=\"", "garbage;;, for=192.0.2.1, for=10.0.0.1"]),
        ip("192.0.2.1")
    );
}

#[test]
fn garbage_where_the_client_should_be_is_an_error() {
    let cases: [(ProxyHeader, &[&str]); 11] = [
        (ProxyHeader::XForwardedFor, &["192.0.2.1, unknown"]),
        (ProxyHeader::XForwardedFor, &["192.0.2.1, unknown, 10.0.0.1"]),
        (ProxyHeader::XForwardedFor, &["192.0.2.1", "-"]),
        (ProxyHeader::XForwardedFor, &["192.0.2.1 10.0.0.1"]),
        (ProxyHeader::XRealIp, &["192.0.2.1, 192.0.2.2"]),
        (ProxyHeader::XRealIp, &["192.0.2.1", ""]),
        (ProxyHeader::Forwarded, &["for=192.0.2.1, for=unknown"]),
        (ProxyHeader::Forwarded, &["for=192.0.2.1, for=_hidden, for=10.0.0.1"]),
        (ProxyHeader::Forwarded, &["for=192.0.2.1, proto=http"]),
        (ProxyHeader::Forwarded, &["for=192.0.2.1", "for=\"10.0.0.1"]),
        (ProxyHeader::Forwarded, &["192.0.2.1"]),
    ];
    for (header, lines) in cases {
        assert_eq!(client(header, lines), Err(NoClientAddress), "{header}: {lines:?}");
    }
}

#[test]
fn without_a_value_there_is_no_client() {
    for header in ProxyHeader::ALL {
        for lines in [&[][..], &[""], &[" "]] {
            assert_eq!(client(header, lines), Err(NoClientAddress), "{header}: {lines:?}");
        }
    }
}

#[test]
fn a_header_is_known_by_its_name_in_any_case() {
    for header in ProxyHeader::ALL {
        assert_eq!(header.to_string().parse(), Ok(header));
        assert_eq!(header.name().to_ascii_uppercase().parse(), Ok(header));
        assert_eq!(header.name(), header.name().to_ascii_lowercase());
    }
    let error = "x-forwared-for".parse::<ProxyHeader>().unwrap_err();
    assert_eq!(
        error.to_string(),
        "proxy header \"x-forwared-for\": expected x-forwarded-for, x-real-ip or forwarded"
    );
}
