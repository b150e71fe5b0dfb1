//! Whatever may come: the parser never panics and agrees with one that is simple.

use std::net::IpAddr;

use proptest::prelude::*;
use tracker_common::wire::AnnounceKind;

use crate::query::{Announce, BadQuery, address, announce, info_hashes, percent};

/// Every parameter that counts.
const KEYS: [&str; 10] =
    ["info_hash", "peer_id", "port", "left", "event", "numwant", "compact", "ip", "ipv4", "ipv6"];

/// Keys and values, in a simple way.
fn split(query: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut query = query.to_vec();
    for at in 0..query.len() {
        let appended = KEYS.iter().any(|key| query[at + 1..].starts_with(format!("{key}=").as_bytes()));
        if query[at] == b'?' && appended {
            query[at] = b'&';
        }
    }
    let pieces = query.split(|&byte| byte == b'&').filter(|piece| !piece.is_empty());
    pieces
        .map(|piece| {
            let mut halves = piece.splitn(2, |&byte| byte == b'=');
            (halves.next().unwrap_or_default().to_vec(), halves.next().unwrap_or_default().to_vec())
        })
        .collect()
}

fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::new();
    let mut at = 0;
    while at < text.len() {
        if text[at] == b'%' {
            let digits = str::from_utf8(text.get(at + 1..at + 3)?).ok()?;
            if digits.starts_with('+') {
                return None;
            }
            decoded.push(u8::from_str_radix(digits, 16).ok()?);
            at += 3;
        } else {
            decoded.push(text[at]);
            at += 1;
        }
    }
    Some(decoded)
}

fn simple(query: &[u8]) -> Result<Announce, BadQuery> {
    let parameters = split(query);
    let raw = |wanted: &str| {
        parameters.iter().rfind(|(key, _)| key == wanted.as_bytes()).map(|(_, value)| value.as_slice())
    };
    let value = |wanted| raw(wanted).and_then(decode);
    let text = |wanted| value(wanted).and_then(|value| String::from_utf8(value).ok());
    let digits = |wanted| {
        text(wanted).filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let number = |wanted| digits(wanted).map(|digits| digits.parse::<u128>().unwrap_or(u128::MAX));
    let host = |wanted| value(wanted).and_then(|value| address::address(&value));
    let twenty = |wanted, missing, invalid| {
        raw(wanted).ok_or(missing)?;
        value(wanted).and_then(|value| value.try_into().ok()).ok_or(invalid)
    };
    Ok(Announce {
        info_hash: twenty("info_hash", BadQuery::MissingInfoHash, BadQuery::InvalidInfoHash)?,
        peer_id: twenty("peer_id", BadQuery::MissingPeerId, BadQuery::InvalidPeerId)?,
        port: match number("port") {
            Some(port @ 1..=65535) => port as u16,
            _ if raw("port").is_none() => return Err(BadQuery::MissingPort),
            _ => return Err(BadQuery::InvalidPort),
        },
        seeder: number("left") == Some(0),
        kind: match text("event").as_deref() {
            Some("started") => AnnounceKind::Started,
            Some("completed") => AnnounceKind::Completed,
            Some("stopped") => AnnounceKind::Stopped,
            Some("paused") => AnnounceKind::Paused,
            _ => AnnounceKind::None,
        },
        num_want: match number("numwant") {
            None | Some(0) => -1,
            Some(wanted) => wanted.min(i32::MAX as u128) as i32,
        },
        compact: text("compact").as_deref() != Some("0"),
        ip: host("ip"),
        ipv4: match host("ipv4") {
            Some(IpAddr::V4(v4)) => Some(v4),
            _ => None,
        },
        ipv6: match host("ipv6") {
            Some(IpAddr::V6(v6)) => Some(v6),
            _ => None,
        },
    })
}

/// Escapes the bytes that `escape` says, in the case that it says, and those that would mean something else.
fn encode(bytes: &[u8], escape: &[(bool, bool)]) -> Vec<u8> {
    let mut choices = escape.iter().copied().cycle();
    let mut text = Vec::new();
    for &byte in bytes {
        let (escaped, upper) = choices.next().unwrap_or((true, true));
        match (escaped || b"%&?".contains(&byte), upper) {
            (false, _) => text.push(byte),
            (true, true) => text.extend(format!("%{byte:02X}").bytes()),
            (true, false) => text.extend(format!("%{byte:02x}").bytes()),
        }
    }
    text
}

fn bytes(len: impl Into<prop::collection::SizeRange>) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), len)
}

fn choices() -> impl Strategy<Value = Vec<(bool, bool)>> {
    prop::collection::vec(any::<(bool, bool)>(), 0..24)
}

/// A value: a good one of some key, or anything.
fn any_value() -> impl Strategy<Value = Vec<u8>> {
    let escaped = |len| (bytes(len), choices()).prop_map(|(value, choices)| encode(&value, &choices));
    let address = any::<(IpAddr, u16)>().prop_map(|(ip, port)| match (ip, port % 3) {
        (ip, 0) => ip.to_string(),
        (IpAddr::V4(v4), _) => format!("{v4}:{port}"),
        (IpAddr::V6(v6), 1) => format!("[{v6}]"),
        (IpAddr::V6(v6), _) => format!("[{v6}]:{port}"),
    });
    let words = prop::sample::select(vec![
        "",
        "0",
        "1",
        "started",
        "completed",
        "stopped",
        "paused",
        "?port=1",
        "?x",
        "a=b",
    ]);
    prop_oneof![
        4 => escaped(20),
        1 => escaped(18),
        2 => any::<u16>().prop_map(|number| number.to_string().into_bytes()),
        1 => any::<i128>().prop_map(|number| number.to_string().into_bytes()),
        2 => (address, choices()).prop_map(|(text, choices)| encode(text.as_bytes(), &choices)),
        2 => words.prop_map(|word| word.as_bytes().to_vec()),
        1 => bytes(0..80),
        1 => "[%0-9a-fA-F&=?+]{0,70}".prop_map(String::into_bytes),
    ]
}

fn any_parameter() -> impl Strategy<Value = Vec<u8>> {
    let known = prop::sample::select(KEYS.to_vec()).prop_map(|key| key.as_bytes().to_vec());
    let key = prop_oneof![8 => known, 1 => bytes(0..12)];
    (key, any_value(), prop::option::weighted(0.05, Just(()))).prop_map(|(key, value, bare)| match bare {
        None => [&key[..], b"=", &value].concat(),
        Some(()) => key,
    })
}

/// Parameters that an announce needs, all good.
fn needed() -> impl Strategy<Value = Vec<Vec<u8>>> {
    (bytes(20), bytes(20), 1..=u16::MAX, choices()).prop_map(|(hash, peer_id, port, choices)| {
        vec![
            [b"info_hash=", &encode(&hash, &choices)[..]].concat(),
            [b"peer_id=", &encode(&peer_id, &choices)[..]].concat(),
            format!("port={port}").into_bytes(),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(value in bytes(20), choices in choices()) {
        let text = encode(&value, &choices);
        prop_assert_eq!(percent::exactly::<20>(&text).map(|it| it.to_vec()), Some(value.clone()));
        prop_assert_eq!(percent::at_most(&text, &mut [0; 20]).map(<[u8]>::to_vec), Some(value.clone()));
        prop_assert!(percent::bytes(&text).eq(value.iter().map(|&byte| Some(byte))));
        prop_assert_eq!(percent::exactly::<19>(&text), None);
        prop_assert_eq!(percent::exactly::<21>(&text), None);
    }

    #[test]
    fn any_text_is_decoded_as_in_a_simple_way(text in prop_oneof![bytes(0..40), "[%0-9a-g]{0,30}".prop_map(String::into_bytes)]) {
        let expected = decode(&text);
        prop_assert_eq!(percent::bytes(&text).collect::<Option<Vec<u8>>>(), expected.clone());
        prop_assert_eq!(percent::at_most(&text, &mut [0; 64]).map(<[u8]>::to_vec), expected.clone());
        prop_assert_eq!(percent::exactly::<4>(&text).map(|it| it.to_vec()), expected.filter(|it| it.len() == 4));
    }

    #[test]
    fn any_bytes_are_read_as_in_a_simple_way(query in bytes(0..300)) {
        prop_assert_eq!(announce(&query), simple(&query));
    }

    #[test]
    fn any_parameters_are_read_as_in_a_simple_way(
        needed in needed(),
        more in prop::collection::vec(any_parameter(), 0..14),
        at: prop::sample::Index,
        separators in prop::collection::vec(prop::sample::select(b"&&&&&&&?".to_vec()), 20),
    ) {
        let mut parameters = more;
        let at = at.index(parameters.len() + 1);
        parameters.splice(at..at, needed);
        let mut query = Vec::new();
        for (parameter, separator) in parameters.iter().zip(separators) {
            query.push(separator);
            query.extend(parameter);
        }
        prop_assert_eq!(announce(&query), simple(&query));
        prop_assert_eq!(announce(&query[1..]), simple(&query[1..]));
        let hashes = split(&query).into_iter().filter(|(key, _)| key == b"info_hash");
        let hashes = hashes.map(|(_, value)| decode(&value).and_then(|it| it.try_into().ok()).ok_or(BadQuery::InvalidInfoHash));
        prop_assert!(info_hashes(&query).eq(hashes));
    }

    #[test]
    fn the_order_of_keys_does_not_matter(
        (sorted, shuffled) in (needed(), any_value(), any_value(), any_value())
            .prop_map(|(mut parameters, left, event, num_want)| {
                for (key, value) in [("left=", left), ("event=", event), ("numwant=", num_want)] {
                    // A value with a separator would be two parameters.
                    let value: Vec<u8> = value.into_iter().filter(|byte| !b"&?".contains(byte)).collect();
                    parameters.push([key.as_bytes(), &value].concat());
                }
                parameters
            })
            .prop_flat_map(|parameters| (Just(parameters.clone()), Just(parameters).prop_shuffle()))
    ) {
        prop_assert_eq!(announce(&sorted.join(&b'&')), announce(&shuffled.join(&b'&')));
        prop_assert!(announce(&sorted.join(&b'&')).is_ok());
    }
}
