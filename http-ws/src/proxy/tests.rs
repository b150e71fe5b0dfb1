//! Headers as proxies send them.

use std::net::IpAddr;

use proptest::prelude::*;
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

/// A proxy of [`trusted`].
fn any_trusted() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<[u8; 3]>().prop_map(|[a, b, c]| IpAddr::from([10, a, b, c])),
        any::<u16>().prop_map(|last| IpAddr::from([0x2001, 0xdb8, 0xf, 0, 0, 0, 0, last])),
    ]
}

/// Somebody else.
fn any_other() -> impl Strategy<Value = IpAddr> {
    any::<IpAddr>().prop_map(|ip| ip.to_canonical()).prop_filter("a trusted one", |&ip| {
        !trusted().blocks(&tracker_common::connection_id::Address::from(ip))
    })
}

/// An address as proxies may write it in `X-Forwarded-For`.
fn written(ip: IpAddr, form: u8) -> String {
    match (ip, form % 3) {
        (_, 0) => ip.to_string(),
        (IpAddr::V4(v4), 1) => format!("{v4}:{form}"),
        (IpAddr::V4(v4), _) => v4.to_ipv6_mapped().to_string(),
        (IpAddr::V6(v6), 1) => format!("[{v6}]"),
        (IpAddr::V6(v6), _) => format!("[{v6}]:{form}"),
    }
}

/// An element of `Forwarded`, which needs quotes around colons.
fn element(ip: IpAddr, form: u8) -> String {
    let node = match (ip, form % 3) {
        (IpAddr::V4(v4), 0) => v4.to_string(),
        (IpAddr::V4(v4), _) => format!("\"{v4}:_{form}\""),
        (IpAddr::V6(v6), 0) => format!("\"[{v6}]\""),
        (IpAddr::V6(v6), _) => format!("\"[{v6}]:{form}\""),
    };
    match form % 4 {
        0 => format!("for={node}"),
        1 => format!("For={node};proto=https;host=\"a,b;for=\\\"x\""),
        2 => format!("by=unknown; FOR={node}"),
        _ => format!("x=y;fOR={node};;"),
    }
}

/// Words on lines: a new line, or a comma, between any two.
fn lines(words: &[String], breaks: u32) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for (index, word) in words.iter().enumerate() {
        match lines.last_mut() {
            Some(line) if breaks >> (index % 32) & 1 == 0 => *line += &format!(", {word}"),
            _ => lines.push(word.clone()),
        }
    }
    lines
}

proptest! {
    #[test]
    fn the_client_is_found_behind_any_chain_of_trusted_proxies(
        made_up in "[ -~]{0,40}",
        who in any_other(),
        proxies in prop::collection::vec(any_trusted(), 0..6),
        forms: [u8; 6],
        breaks: u32,
    ) {
        let chain = || std::iter::once(who).chain(proxies.iter().copied()).zip(forms);
        let words: Vec<String> = chain().map(|(ip, form)| written(ip, form)).collect();
        let told: Vec<String> = std::iter::once(made_up.clone()).chain(words).collect();
        let told = lines(&told, breaks);
        let told: Vec<&str> = told.iter().map(String::as_str).collect();
        prop_assert_eq!(client(ProxyHeader::XForwardedFor, &told), Ok(who));

        // Quotes that are left open swallow what follows on the line: an error, but never another client.
        let words: Vec<String> = std::iter::once(made_up).chain(chain().map(|(ip, form)| element(ip, form))).collect();
        let told = lines(&words, breaks);
        let told: Vec<&str> = told.iter().map(String::as_str).collect();
        let found = client(ProxyHeader::Forwarded, &told);
        if words[0].contains('"') && breaks >> 1 & 1 == 0 {
            prop_assert!(found == Ok(who) || found == Err(NoClientAddress), "{:?}", found);
        } else {
            prop_assert_eq!(found, Ok(who));
        }
    }

    #[test]
    fn the_leftmost_of_trusted_proxies_is_the_client(
        proxies in prop::collection::vec(any_trusted(), 1..6),
        forms: [u8; 6],
        breaks: u32,
    ) {
        let expected = Ok(proxies[0]);
        let words: Vec<String> = proxies.iter().zip(forms).map(|(ip, form)| written(*ip, form)).collect();
        let told = lines(&words, breaks);
        let told: Vec<&str> = told.iter().map(String::as_str).collect();
        prop_assert_eq!(client(ProxyHeader::XForwardedFor, &told), expected);
        let words: Vec<String> = proxies.iter().zip(forms).map(|(ip, form)| element(*ip, form)).collect();
        let told = lines(&words, breaks);
        let told: Vec<&str> = told.iter().map(String::as_str).collect();
        prop_assert_eq!(client(ProxyHeader::Forwarded, &told), expected);
    }

    #[test]
    fn any_bytes_are_a_client_or_an_error(lines in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..4)) {
        for header in ProxyHeader::ALL {
            let _ = client_address(header, lines.iter().map(Vec::as_slice), &trusted());
        }
    }
}
