//! Golden packets: what is sent, the verdict, and the whole answer. Here is all but announces and scrapes with answers of their own.

use std::collections::HashSet;
use std::net::SocketAddr;

use tracker_common::connection_id::Epoch;
use tracker_common::settings::{Settings, answer};
use tracker_common::verdict::Verdict;
use tracker_testkit::packet::{self, Checksum};
use tracker_testkit::payload;
use tracker_testkit::skip::{Requirement, must_skip};

use crate::{
    LISTED, LOOPBACK, TRANSACTION, UNLISTED, announce, answered, around, client_v4, client_v6, connect,
    connect_answer, error_answer, families, good_id, program, scrape, settings, tracker_v4, tracker_v6,
    within_one_epoch,
};

/// One golden packet: what is sent and what must become of it.
struct Golden {
    name: &'static str,
    frame: Vec<u8>,
    verdict: Verdict,
    /// The answer's payload.
    answer: Option<Vec<u8>>,
}

fn golden(client: SocketAddr, tracker: SocketAddr, epoch: Epoch) -> Vec<Golden> {
    let id = good_id(client, epoch);
    let connected = || Some(connect_answer(client, epoch));
    let rows = [
        ("a connect", connect(client, tracker), Verdict::Connect, connected()),
        ("a connect with one VLAN tag", connect(client, tracker).vlan(7), Verdict::Connect, connected()),
        ("a connect with one service tag", connect(client, tracker).qinq(7), Verdict::Connect, connected()),
        (
            "a connect that is padded to 60 bytes",
            connect(client, tracker).padded_to(60),
            Verdict::Connect,
            connected(),
        ),
        (
            "a connect with much padding",
            connect(client, tracker).padded_to(300),
            Verdict::Connect,
            connected(),
        ),
        (
            "a connect with trailing bytes",
            around(client, tracker, [payload::connect(TRANSACTION), vec![9; 33]].concat()),
            Verdict::Connect,
            connected(),
        ),
        (
            "a connect with a thousand trailing bytes",
            around(client, tracker, [payload::connect(TRANSACTION), vec![9; 1000]].concat()),
            Verdict::Connect,
            connected(),
        ),
        (
            "a connect whose checksum the network card was to finish",
            connect(client, tracker).udp_checksum(Checksum::Partial),
            Verdict::Connect,
            connected(),
        ),
        (
            "a connect with other header fields",
            connect(client, tracker).hops(1).traffic_class(0xb8).identification(0xbeef).flow_label(0xabcde),
            Verdict::Connect,
            connected(),
        ),
        (
            "an announce with a bad id",
            around(client, tracker, announce(id ^ 1, UNLISTED)),
            Verdict::ErrorConnectionId,
            Some(error_answer("invalid connection id")),
        ),
        (
            "a tagged announce with a bad id",
            around(client, tracker, announce(id ^ 1, UNLISTED)).vlan(4094),
            Verdict::ErrorConnectionId,
            Some(error_answer("invalid connection id")),
        ),
        (
            "a scrape with a bad id",
            around(client, tracker, scrape(!id)),
            Verdict::ErrorConnectionId,
            Some(error_answer("invalid connection id")),
        ),
        (
            "a bad id in a request as long as its answer",
            around(client, tracker, [payload::header(1, 1, TRANSACTION), vec![0; 13]].concat()),
            Verdict::ErrorConnectionId,
            Some(error_answer("invalid connection id")),
        ),
        (
            "a bad id in a request that is shorter than its answer",
            around(client, tracker, [payload::header(1, 1, TRANSACTION), vec![0; 12]].concat()),
            Verdict::DropConnectionId,
            None,
        ),
        (
            "an announce of a denied torrent",
            around(client, tracker, announce(id, LISTED)),
            Verdict::ErrorInfoHash,
            Some(error_answer("info hash not allowed")),
        ),
        (
            "an announce of a denied torrent with BEP 41 options",
            around(client, tracker, [announce(id, LISTED), b"\x02\x09/announce\x00".to_vec()].concat()),
            Verdict::ErrorInfoHash,
            Some(error_answer("info hash not allowed")),
        ),
        ("an announce", around(client, tracker, announce(id, UNLISTED)), Verdict::PassAnnounce, None),
        (
            "an announce that is too short",
            around(client, tracker, announce(id, LISTED)[..97].to_vec()),
            Verdict::PassAnnounce,
            None,
        ),
        ("a scrape", around(client, tracker, scrape(id)), Verdict::PassScrape, None),
        (
            "an announce with an id of the epoch before",
            around(client, tracker, announce(good_id(client, Epoch(epoch.0.wrapping_sub(1))), UNLISTED)),
            Verdict::PassAnnounce,
            None,
        ),
        (
            "an announce with an id of two epochs ago",
            around(client, tracker, announce(good_id(client, Epoch(epoch.0.wrapping_sub(2))), UNLISTED)),
            Verdict::ErrorConnectionId,
            Some(error_answer("invalid connection id")),
        ),
        (
            "a connect with another magic number",
            around(client, tracker, payload::header(0x417_2710_1981, 0, TRANSACTION)),
            Verdict::DropMagic,
            None,
        ),
        (
            "another tracker's error packet",
            around(client, tracker, payload::header(id, 3, TRANSACTION)),
            Verdict::DropAction,
            None,
        ),
        (
            "an unknown action",
            around(client, tracker, payload::header(id, 4, TRANSACTION)),
            Verdict::DropAction,
            None,
        ),
        ("no payload", around(client, tracker, vec![]), Verdict::DropShort, None),
        (
            "15 bytes",
            around(client, tracker, payload::connect(TRANSACTION)[..15].to_vec()),
            Verdict::DropShort,
            None,
        ),
        (
            "source port 0",
            around(SocketAddr::new(client.ip(), 0), tracker, payload::connect(TRANSACTION)),
            Verdict::DropSource,
            None,
        ),
        (
            "another port",
            around(client, SocketAddr::new(tracker.ip(), 6970), payload::connect(TRANSACTION)),
            Verdict::PassOther,
            None,
        ),
        ("TCP", connect(client, tracker).protocol(packet::PROTOCOL_TCP), Verdict::PassOther, None),
        ("two tags", connect(client, tracker).qinq(1).vlan(2), Verdict::PassTag, None),
        ("another ethertype", connect(client, tracker).ethertype(0x88cc), Verdict::PassOther, None),
        (
            "another ethertype in a tag",
            connect(client, tracker).vlan(3).ethertype(0x88cc),
            Verdict::PassOther,
            None,
        ),
        ("another version", connect(client, tracker).version(5), Verdict::PassOther, None),
        ("the first fragment", connect(client, tracker).first_fragment(), Verdict::PassFragment, None),
        ("the last fragment", connect(client, tracker).last_fragment(8), Verdict::PassFragment, None),
        (
            "a UDP checksum that doesn't hold",
            connect(client, tracker).udp_checksum(Checksum::Bad),
            Verdict::PassChecksum,
            None,
        ),
        (
            "a UDP checksum that doesn't hold, of an odd length",
            around(client, tracker, [payload::connect(TRANSACTION), vec![9; 7]].concat())
                .udp_checksum(Checksum::Bad),
            Verdict::PassChecksum,
            None,
        ),
        (
            "a bad id with a UDP checksum that doesn't hold",
            around(client, tracker, announce(id ^ 1, UNLISTED)).udp_checksum(Checksum::Bad),
            Verdict::PassChecksum,
            None,
        ),
        (
            "an announce with a UDP checksum that doesn't hold",
            around(client, tracker, announce(id, UNLISTED)).udp_checksum(Checksum::Bad),
            Verdict::PassChecksum,
            None,
        ),
        ("a UDP length above IP's", connect(client, tracker).udp_length(25), Verdict::PassLength, None),
        ("a UDP length below IP's", connect(client, tracker).udp_length(23), Verdict::PassLength, None),
        (
            "a UDP length of less than its header",
            connect(client, tracker).udp_length(7),
            Verdict::PassLength,
            None,
        ),
        (
            "an IP length above the frame's",
            connect(client, tracker).ip_length(1400),
            Verdict::PassLength,
            None,
        ),
    ];
    rows.into_iter()
        .map(|(name, frame, verdict, answer)| Golden { name, frame: frame.build(), verdict, answer })
        .collect()
}

fn golden_of_one_family(epoch: Epoch) -> Vec<Golden> {
    let (v4, v6) = (connect(client_v4(), tracker_v4()), connect(client_v6(), tracker_v6()));
    let connected_v4 = || Some(connect_answer(client_v4(), epoch));
    let from = |source: &str, tracker| {
        around(SocketAddr::new(source.parse().unwrap(), 1), tracker, payload::connect(TRANSACTION))
    };
    let rows = [
        (
            "IPv4 without a UDP checksum",
            v4.clone().udp_checksum(Checksum::Zero),
            Verdict::Connect,
            connected_v4(),
        ),
        ("IPv6 without a UDP checksum", v6.clone().udp_checksum(Checksum::Zero), Verdict::PassChecksum, None),
        ("IPv4 options", v4.clone().ip_options([1, 1, 1, 1]), Verdict::PassIpOptions, None),
        ("an IPv4 header of four words", v4.clone().header_length_words(4), Verdict::PassIpOptions, None),
        (
            "an IPv4 header checksum that doesn't hold",
            v4.ip_checksum(Checksum::Bad),
            Verdict::PassChecksum,
            None,
        ),
        (
            "hop-by-hop options",
            v6.clone().extension(packet::EXTENSION_HOP_BY_HOP),
            Verdict::PassExtensionHeader,
            None,
        ),
        (
            "a routing header",
            v6.clone().extension(packet::EXTENSION_ROUTING),
            Verdict::PassExtensionHeader,
            None,
        ),
        (
            "destination options",
            v6.extension(packet::EXTENSION_DESTINATION),
            Verdict::PassExtensionHeader,
            None,
        ),
        ("IPv4 multicast as source", from("224.0.0.1", tracker_v4()), Verdict::DropSource, None),
        ("IPv4 broadcast as source", from("255.255.255.255", tracker_v4()), Verdict::DropSource, None),
        ("IPv4 unspecified as source", from("0.0.0.0", tracker_v4()), Verdict::DropSource, None),
        ("IPv6 multicast as source", from("ff02::1", tracker_v6()), Verdict::DropSource, None),
        ("IPv6 unspecified as source", from("::", tracker_v6()), Verdict::DropSource, None),
        ("an IPv4-mapped source", from("::ffff:192.0.2.7", tracker_v6()), Verdict::PassMapped, None),
        ("a blocked IPv4 network", from("203.0.113.9", tracker_v4()), Verdict::DropBlocked, None),
        ("a blocked IPv4 address", from("192.0.2.66", tracker_v4()), Verdict::DropBlocked, None),
        ("a blocked IPv6 network", from("2001:db8:bad::1", tracker_v6()), Verdict::DropBlocked, None),
        (
            "the neighbour of a blocked address",
            from("192.0.2.67", tracker_v4()),
            Verdict::Connect,
            Some(connect_answer("192.0.2.67:1".parse().unwrap(), epoch)),
        ),
    ];
    rows.into_iter()
        .map(|(name, frame, verdict, answer)| Golden { name, frame: frame.build(), verdict, answer })
        .collect()
}

#[test]
fn golden_packets_get_their_verdict_and_answer() {
    if must_skip(&[Requirement::Bpf]) {
        return;
    }
    let mut program = program();
    let mut seen = HashSet::new();
    for answer in [answer::CONNECT, answer::ALL] {
        program.set_settings(&Settings { answer, ..settings() });
        within_one_epoch(|epoch| {
            let both = families().into_iter().flat_map(|(client, tracker)| golden(client, tracker, epoch));
            for Golden { name, frame, verdict, answer: payload } in both.chain(golden_of_one_family(epoch)) {
                let is_left = matches!(verdict, Verdict::PassAnnounce | Verdict::PassScrape);
                if is_left && answer == answer::ALL {
                    continue;
                }
                let outcome = program.run(&frame, LOOPBACK);
                assert_eq!(outcome.verdict, verdict, "{name}: {frame:02x?}");
                seen.insert(verdict.index());
                match payload {
                    Some(payload) => assert_eq!(answered(&frame, &outcome), payload, "{name}"),
                    None => assert_eq!(outcome.frame, frame, "{name}: the frame must be left alone"),
                }
            }
        });
    }
    assert_eq!(program.events(), []);
    let elsewhere = [
        Verdict::Announce,
        Verdict::Scrape,
        Verdict::ErrorAnnounceShort,
        Verdict::ErrorPort,
        Verdict::ErrorFullScrape,
        Verdict::PassEventRing,
        Verdict::DropLimitConnect,
        Verdict::DropLimitBadId,
        Verdict::DropLimitAnnounce,
        // Test runs always have room for a longer frame, and for a tag.
        Verdict::PassResize,
        Verdict::DropTag,
    ];
    for verdict in Verdict::ALL {
        assert_eq!(seen.contains(&verdict.index()), !elsewhere.contains(&verdict), "{verdict:?}");
    }
}
