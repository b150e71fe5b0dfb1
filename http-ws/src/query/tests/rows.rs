//! H01–H09 and the hashes of H13.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tracker_common::wire::AnnounceKind;

use crate::query::{Announce, BadQuery, announce, info_hashes};

const HASH: [u8; 20] = *b"\x12\x34\x56\x78\x9a\xbc\xde\xf1\x23\x45\x67\x89\xab\xcd\xef\x12\x34\x56\x78\x9a";
/// As BEP 3 writes it.
const ESCAPED: &str = "%124Vx%9A%BC%DE%F1%23Eg%89%AB%CD%EF%124Vx%9A";
const PEER_ID: &str = "-XX0000-abcdefghijkl";

fn read(query: &str) -> Result<Announce, BadQuery> {
    announce(query.as_bytes())
}

/// An announce with what is needed, and this behind it.
fn with(more: &str) -> Announce {
    read(&format!("info_hash={ESCAPED}&peer_id={PEER_ID}&port=6881&{more}")).expect("nothing is missing")
}

#[test]
fn an_announce_needs_a_hash_a_peer_id_and_a_port() {
    let least = Announce {
        info_hash: HASH,
        peer_id: *b"-XX0000-abcdefghijkl",
        port: 6881,
        seeder: false,
        kind: AnnounceKind::None,
        num_want: -1,
        compact: true,
        ip: None,
        ipv4: None,
        ipv6: None,
    };
    assert_eq!(read(&format!("info_hash={ESCAPED}&peer_id={PEER_ID}&port=6881")), Ok(least));
}

#[test]
fn a_hash_is_20_bytes_however_they_are_written() {
    for text in [
        ESCAPED,
        &ESCAPED.to_ascii_lowercase().replace("4vx", "4Vx").replace("eg", "Eg"),
        "%12%34%56%78%9A%BC%DE%F1%23%45%67%89%AB%CD%EF%12%34%56%78%9A",
        "%12%34%56%78%9a%Bc%dE%f1%23%45%67%89%ab%cd%ef%12%34%56%78%9a",
    ] {
        assert_eq!(
            read(&format!("info_hash={text}&peer_id={PEER_ID}&port=1")).map(|it| it.info_hash),
            Ok(HASH),
            "{text}"
        );
    }
}

#[test]
fn bytes_that_should_be_escaped_stand_for_themselves() {
    let hash = *b"+ ?#=\x80\xff/%\"<>\\\x00\n+~;,:";
    let mut query = b"info_hash=".to_vec();
    query.extend(hash.iter().flat_map(|&byte| if byte == b'%' { b"%25".to_vec() } else { vec![byte] }));
    query.extend(b"&peer_id=++++++++++++++++++++&port=1");
    let announce = announce(&query).unwrap();
    assert_eq!(announce.info_hash, hash);
    assert_eq!(announce.peer_id, *b"++++++++++++++++++++");
}

#[test]
fn what_is_missing_or_bad_is_named() {
    let hash = format!("info_hash={ESCAPED}");
    let peer_id = format!("peer_id={PEER_ID}");
    for (query, reason) in [
        (String::new(), "missing info_hash"),
        (format!("{peer_id}&port=1"), "missing info_hash"),
        (format!("info_hash&{peer_id}&port=1"), "invalid info_hash"),
        (format!("info_hash=&{peer_id}&port=1"), "invalid info_hash"),
        (format!("{hash}x&{peer_id}&port=1"), "invalid info_hash"),
        (format!("{hash}%&{peer_id}&port=1"), "invalid info_hash"),
        (format!("info_hash={}&{peer_id}&port=1", &ESCAPED[3..]), "invalid info_hash"),
        (format!("info_hash={}%9&{peer_id}&port=1", &ESCAPED[..ESCAPED.len() - 3]), "invalid info_hash"),
        (format!("info_hash={}%9G&{peer_id}&port=1", &ESCAPED[..ESCAPED.len() - 3]), "invalid info_hash"),
        (format!("info_hash={}&{peer_id}&port=1", "12".repeat(20)), "invalid info_hash"),
        (format!("{hash}&port=1"), "missing peer_id"),
        (format!("{hash}&peer_id=&port=1"), "invalid peer_id"),
        (format!("{hash}&{peer_id}m&port=1"), "invalid peer_id"),
        (format!("{hash}&peer_id=short&port=1"), "invalid peer_id"),
        (format!("{hash}&{peer_id}"), "missing port"),
        (format!("{hash}&{peer_id}&PORT=1"), "missing port"),
    ] {
        assert_eq!(read(&query).map_err(BadQuery::reason), Err(reason), "{query}");
    }
}

#[test]
fn a_port_is_a_number_from_1_to_65535() {
    for (text, port) in [("1", 1), ("65535", 65535), ("006881", 6881), ("%368%381", 6881)] {
        assert_eq!(with(&format!("port={text}")).port, port, "{text}");
    }
    for text in [
        "",
        "0",
        "000",
        "65536",
        "4294967297",
        "18446744073709551617",
        "-1",
        "+1",
        "1 ",
        "1.0",
        "0x1",
        "x",
        "%",
        "%3",
    ] {
        let query = format!("info_hash={ESCAPED}&peer_id={PEER_ID}&port={text}");
        assert_eq!(read(&query), Err(BadQuery::InvalidPort), "{text}");
    }
}

#[test]
fn who_has_nothing_left_is_a_seeder() {
    for (more, seeder) in [
        ("", false),
        ("left", false),
        ("left=", false),
        ("left=0", true),
        ("left=000", true),
        ("left=1", false),
        ("left=10", false),
        ("left=4294967296", false),
        ("left=18446744073709551616", false),
        ("left=-1", false),
        ("left=-0", false),
        ("left=0x0", false),
        ("left=NaN", false),
        ("left=0&event=stopped", true),
        ("left=1&event=completed", false),
    ] {
        assert_eq!(with(more).seeder, seeder, "{more}");
    }
}

#[test]
fn unknown_keys_keys_without_values_and_further_equals_signs_are_accepted() {
    let plain = with("left=0");
    for more in [
        "left=0&trackerid=a=b==",
        "supportcrypto&&left=0&=&==&no_peer_id",
        "corrupt=0&key=%zz&redundant=%&left=0",
        "left=0&infohash=x&info_hash2=y&Info_Hash=z&info%5Fhash=x&left%3D1",
        "left=0&?&??&x?y",
    ] {
        assert_eq!(with(more), plain, "{more}");
    }
}

#[test]
fn an_announce_url_may_have_a_query_of_its_own() {
    for before in ["", "?", "x?", "x&", "passkey=x?", "passkey=x&", "passkey=?x=?", "&", "?&"] {
        let query = format!("{before}info_hash={ESCAPED}&peer_id={PEER_ID}&port=6881&left=0");
        assert_eq!(read(&query), Ok(with("left=0")), "{query}");
    }
}

#[test]
fn the_last_of_equal_keys_counts() {
    let query = format!(
        "port=1&left=1&info_hash=bad&info_hash={ESCAPED}&peer_id=bad&peer_id={PEER_ID}&left=0&port=0&port=6881"
    );
    assert_eq!(read(&query), Ok(with("left=0")));
    let query = format!("info_hash={ESCAPED}&peer_id={PEER_ID}&port=6881&info_hash=bad");
    assert_eq!(read(&query), Err(BadQuery::InvalidInfoHash));
}

#[test]
fn compact_is_false_for_0_only() {
    for (more, compact) in [
        ("", true),
        ("compact", true),
        ("compact=", true),
        ("compact=1", true),
        ("compact=0", false),
        ("compact=%30", false),
        ("compact=00", true),
        ("compact=false", true),
        ("compact=%", true),
    ] {
        assert_eq!(with(more).compact, compact, "{more}");
    }
}

#[test]
fn num_want_is_what_udp_has() {
    for (more, num_want) in [
        ("", -1),
        ("numwant", -1),
        ("numwant=", -1),
        ("numwant=0", -1),
        ("numwant=-1", -1),
        ("numwant=-5", -1),
        ("numwant=x", -1),
        ("numwant=1.5", -1),
        ("numwant=+5", -1),
        ("numwant=1", 1),
        ("numwant=0050", 50),
        ("numwant=%350", 50),
        ("numwant=2147483647", i32::MAX),
        ("numwant=2147483648", i32::MAX),
        ("numwant=4294967297", i32::MAX),
        ("numwant=99999999999999999999999999999999999999999999999999999999999999999999999999999", i32::MAX),
    ] {
        assert_eq!(with(more).num_want, num_want, "{more}");
    }
}

#[test]
fn an_unknown_event_is_none() {
    for (more, kind) in [
        ("", AnnounceKind::None),
        ("event", AnnounceKind::None),
        ("event=", AnnounceKind::None),
        ("event=empty", AnnounceKind::None),
        ("event=started", AnnounceKind::Started),
        ("event=%73tarted", AnnounceKind::Started),
        ("event=completed", AnnounceKind::Completed),
        ("event=stopped", AnnounceKind::Stopped),
        ("event=paused", AnnounceKind::Paused),
        ("event=Started", AnnounceKind::None),
        ("event=started%", AnnounceKind::None),
        ("event=completedd", AnnounceKind::None),
    ] {
        assert_eq!(with(more).kind, kind, "{more}");
    }
}

#[test]
fn addresses_are_read_and_host_names_are_not() {
    let v4 = Ipv4Addr::new(192, 0, 2, 1);
    let v6 = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
    for (value, expected) in [
        ("192.0.2.1", Some(IpAddr::V4(v4))),
        ("192.0.2.1:6881", Some(v4.into())),
        ("192.0.2.1%3A6881", Some(v4.into())),
        ("%3a%3affff%3a192.0.2.1", Some(v4.into())),
        ("2001%3adb8%3a%3a1", Some(v6.into())),
        ("2001:db8::1", Some(v6.into())),
        ("%5B2001%3Adb8%3A%3A1%5D", Some(v6.into())),
        ("[2001:db8::1]:6881", Some(v6.into())),
        ("", None),
        ("example.org", None),
        ("192.0.2", None),
        ("192.0.2.1%", None),
        ("2001%3adb8%3a%3", None),
    ] {
        let announce = with(&format!("ip={value}&ipv4={value}&ipv6={value}"));
        assert_eq!(announce.ip, expected, "{value}");
        assert_eq!(announce.ipv4, (expected == Some(v4.into())).then_some(v4), "{value}");
        assert_eq!(announce.ipv6, (expected == Some(v6.into())).then_some(v6), "{value}");
    }
}

#[test]
fn a_scrape_has_any_number_of_hashes() {
    let hashes = |query: &str| info_hashes(query.as_bytes()).collect::<Vec<_>>();
    let twenty = |text: &[u8; 20]| Ok(*text);
    assert_eq!(hashes(""), []);
    assert_eq!(hashes("passkey=x&info_hash2=y"), []);
    assert_eq!(
        hashes(&format!(
            "info_hash=zzzzzzzzzzzzzzzzzzzz&x=y&info_hash={ESCAPED}&info_hash=zzzzzzzzzzzzzzzzzzzz"
        )),
        [twenty(b"zzzzzzzzzzzzzzzzzzzz"), Ok(HASH), twenty(b"zzzzzzzzzzzzzzzzzzzz")]
    );
    assert_eq!(hashes(&format!("passkey=x?info_hash={ESCAPED}")), [Ok(HASH)]);
    assert_eq!(hashes(&format!("?info_hash={ESCAPED}?info_hash={ESCAPED}")), [Ok(HASH), Ok(HASH)]);
    assert_eq!(
        hashes(&format!("info_hash&info_hash={ESCAPED}&info_hash=%4")),
        [Err(BadQuery::InvalidInfoHash), Ok(HASH), Err(BadQuery::InvalidInfoHash)]
    );
}
