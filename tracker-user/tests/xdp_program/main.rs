//! The loaded XDP program, frame by frame: golden packets, truncations, and the same journey in user space.
//!
//! Needs the permission to load BPF programs; no traffic and no interface besides one that is made for its index.

#![cfg(feature = "xdp")]

mod loaded;

use std::cell::RefCell;
use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tracker_common::connection_id::{Address, Epoch, Keys, issue};
use tracker_common::frame::BufferFrame;
use tracker_common::journey::{Host, travel};
use tracker_common::settings::{Endpoints, Settings, access_mode};
use tracker_common::verdict::{Class, Verdict};
use tracker_testkit::netns::Namespace;
use tracker_testkit::packet::{self, Checksum, PacketBuilder, datagram, eth};
use tracker_testkit::payload::{self, Announce};
use tracker_testkit::skip::{Requirement, must_skip};
use tracker_testkit::verify;

use crate::loaded::{LoadedProgram, Outcome, now_ns, within_one_epoch};

const LOOPBACK: u32 = 1;
const LISTED: [u8; 20] = *b"a listed info hash!!";
const UNLISTED: [u8; 20] = *b"one that isn't there";
const TRANSACTION: u32 = 0x1234_5678;

fn tracker_v4() -> SocketAddr {
    "198.51.100.1:6969".parse().unwrap()
}

fn tracker_v6() -> SocketAddr {
    "[2001:db8::1]:6969".parse().unwrap()
}

fn client_v4() -> SocketAddr {
    "192.0.2.7:51413".parse().unwrap()
}

fn client_v6() -> SocketAddr {
    "[2001:db8:7::7]:51413".parse().unwrap()
}

/// Both families: client and tracker.
fn families() -> [(SocketAddr, SocketAddr); 2] {
    [(client_v4(), tracker_v4()), (client_v6(), tracker_v6())]
}

fn keys() -> Keys {
    Keys::from_bytes(&std::array::from_fn(|index| index as u8 * 3 + 1))
}

fn settings() -> Settings {
    Settings { access_mode: access_mode::DENY, errors_per_window: 60_000, block4: 1, block6: 1 }
}

fn blocked() -> [(IpAddr, u8); 3] {
    [
        ("203.0.113.0".parse().unwrap(), 24),
        ("192.0.2.66".parse().unwrap(), 32),
        ("2001:db8:bad::".parse().unwrap(), 48),
    ]
}

fn endpoints() -> Endpoints {
    Endpoints::new([tracker_v4(), tracker_v6()])
}

fn program() -> LoadedProgram {
    let mut program = LoadedProgram::load();
    program.set_keys(&keys());
    program.set_endpoints(&endpoints());
    program.set_settings(&settings());
    program.set_access_list(&[LISTED]);
    program.block(&blocked());
    program
}

fn good_id(client: SocketAddr, epoch: Epoch) -> u64 {
    issue(&keys(), &Address::from(client.ip()), epoch)
}

fn announce(connection_id: u64, info_hash: [u8; 20]) -> Vec<u8> {
    Announce { connection_id, transaction: TRANSACTION, info_hash, ..Announce::default() }.bytes()
}

fn scrape(connection_id: u64) -> Vec<u8> {
    payload::scrape(connection_id, TRANSACTION, &[LISTED, UNLISTED])
}

fn error_answer(text: &str) -> Vec<u8> {
    [&3u32.to_be_bytes(), &TRANSACTION.to_be_bytes(), text.as_bytes()].concat()
}

fn connect_answer(client: SocketAddr, epoch: Epoch) -> Vec<u8> {
    [&0u32.to_be_bytes()[..], &TRANSACTION.to_be_bytes(), &good_id(client, epoch).to_be_bytes()].concat()
}

/// A frame around any payload, to be made odd.
fn around(client: SocketAddr, tracker: SocketAddr, payload: Vec<u8>) -> PacketBuilder {
    eth().ip(client.ip(), tracker.ip()).udp(client.port(), tracker.port()).payload(payload)
}

fn connect(client: SocketAddr, tracker: SocketAddr) -> PacketBuilder {
    around(client, tracker, payload::connect(TRANSACTION))
}

/// The payload of an answer, every header of which is right. Padding may stay: network cards add it anyway.
#[track_caller]
fn answered(request: &[u8], outcome: &Outcome) -> Vec<u8> {
    let padding = if outcome.frame.len() == packet::SHORTEST_ON_THE_WIRE {
        verify::Datagram::read(&outcome.frame).unwrap().trailing
    } else {
        0
    };
    verify::answer(request, &outcome.frame[..outcome.frame.len() - padding]).unwrap()
}

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
    within_one_epoch(|epoch| {
        let both = families().into_iter().flat_map(|(client, tracker)| golden(client, tracker, epoch));
        for Golden { name, frame, verdict, answer } in both.chain(golden_of_one_family(epoch)) {
            let outcome = program.run(&frame, LOOPBACK);
            assert_eq!(outcome.verdict, verdict, "{name}: {frame:02x?}");
            seen.insert(verdict.index());
            match answer {
                Some(payload) => assert_eq!(answered(&frame, &outcome), payload, "{name}"),
                None => assert_eq!(outcome.frame, frame, "{name}: the frame must be left alone"),
            }
        }
    });
    let only_in_sockets = [
        Verdict::Announce,
        Verdict::Scrape,
        Verdict::ErrorAnnounceShort,
        Verdict::ErrorPort,
        Verdict::ErrorFullScrape,
    ];
    for verdict in Verdict::ALL {
        // Test runs always have room for a longer frame, and answers here are never longer than requests.
        let expected = verdict != Verdict::PassResize && !only_in_sockets.contains(&verdict);
        assert_eq!(seen.contains(&verdict.index()), expected, "{verdict:?}");
    }
}

#[test]
fn own_and_loopback_sources_are_answered_on_loopback_only() {
    if must_skip(&[Requirement::Root, Requirement::Bpf]) {
        return;
    }
    let namespace = Namespace::new();
    namespace.ip("link add name outside type veth peer name other");
    let shown =
        namespace.command("ip").args(["-o", "link", "show", "dev", "outside"]).output().unwrap().stdout;
    let (index, _) = str::from_utf8(&shown).unwrap().split_once(':').expect("an index before the name");
    let outside = index.parse().unwrap();
    let mut program = program();
    namespace.inside(|| {
        for (client, tracker) in families() {
            let own = connect(tracker, tracker).build();
            assert_eq!(program.run(&own, LOOPBACK).verdict, Verdict::Connect);
            assert_eq!(program.run(&own, outside).verdict, Verdict::DropSource);
            let home = if client.is_ipv4() { "127.0.0.1:5" } else { "[::1]:5" };
            let home = connect(home.parse().unwrap(), tracker).build();
            assert_eq!(program.run(&home, LOOPBACK).verdict, Verdict::Connect);
            assert_eq!(program.run(&home, outside).verdict, Verdict::DropSource);
            let far = connect(client, tracker).build();
            assert_eq!(program.run(&far, outside).verdict, Verdict::Connect);
        }
    });
}

#[test]
fn a_truncated_frame_passes_untouched_at_every_length() {
    if must_skip(&[Requirement::Bpf]) {
        return;
    }
    let mut program = program();
    within_one_epoch(|epoch| {
        for (client, tracker) in families() {
            let id = good_id(client, epoch);
            for payload in
                [payload::connect(TRANSACTION), announce(id, LISTED), announce(!id, LISTED), scrape(id)]
            {
                for whole in
                    [around(client, tracker, payload.clone()), around(client, tracker, payload).vlan(5)]
                {
                    let len = whole.build().len();
                    // The kernel takes no frame shorter than an Ethernet header.
                    for cut in 14..len {
                        let frame = whole.clone().truncated_to(cut).build();
                        let outcome = program.run(&frame, LOOPBACK);
                        assert_eq!(outcome.verdict.class(), Class::Pass, "{cut} of {len} bytes: {outcome:?}");
                        assert_eq!(outcome.frame, frame, "{cut} of {len} bytes");
                    }
                    let outcome = program.run(&whole.build(), LOOPBACK);
                    assert_ne!(outcome.verdict, Verdict::PassLength, "the whole frame");
                }
            }
        }
    });
}

#[test]
fn errors_are_limited_per_source() {
    if must_skip(&[Requirement::Bpf]) {
        return;
    }
    let mut program = program();
    program.set_settings(&Settings { errors_per_window: 3, ..settings() });
    let mut errors = |client: SocketAddr, tracker| {
        let bad = datagram(client, tracker, announce(0, UNLISTED));
        let before = program.counters().of(Verdict::ErrorConnectionId);
        for _ in 0..100 {
            program.run(&bad, LOOPBACK);
        }
        program.counters().of(Verdict::ErrorConnectionId) - before
    };
    for (client, tracker) in families() {
        // At most two windows of about a second are touched, each on at most every CPU.
        let windows_and_cpus = 2 * std::thread::available_parallelism().unwrap().get() as u64;
        let sent = errors(client, tracker);
        assert!((3..=3 * windows_and_cpus).contains(&sent), "{client}: {sent}");
    }
}

#[test]
fn the_drop_policy_sends_no_errors() {
    if must_skip(&[Requirement::Bpf]) {
        return;
    }
    let mut program = program();
    program.set_settings(&Settings { errors_per_window: 0, ..settings() });
    for (client, tracker) in families() {
        let bad = datagram(client, tracker, announce(0, UNLISTED));
        assert_eq!(program.run(&bad, LOOPBACK).verdict, Verdict::DropConnectionId);
    }
}

#[test]
fn the_access_list_is_swapped_whole_and_its_mode_applies_at_once() {
    if must_skip(&[Requirement::Bpf]) {
        return;
    }
    let mut program = program();
    let (client, tracker) = (client_v4(), tracker_v4());
    let denied = |program: &mut LoadedProgram, info_hash| {
        within_one_epoch(|epoch| {
            let frame = datagram(client, tracker, announce(good_id(client, epoch), info_hash));
            program.run(&frame, LOOPBACK).verdict == Verdict::ErrorInfoHash
        })
    };
    let mode = |access_mode| Settings { access_mode, ..settings() };
    assert!(denied(&mut program, LISTED) && !denied(&mut program, UNLISTED));
    program.set_settings(&mode(access_mode::ALLOW));
    assert!(!denied(&mut program, LISTED) && denied(&mut program, UNLISTED));
    program.set_access_list(&[UNLISTED]);
    assert!(denied(&mut program, LISTED) && !denied(&mut program, UNLISTED));
    program.set_settings(&mode(access_mode::OFF));
    assert!(!denied(&mut program, LISTED) && !denied(&mut program, UNLISTED));
}

/// The maps as plain collections.
struct PlainTables {
    settings: Settings,
    endpoints: Vec<(Address, u16)>,
    keys: Keys,
    listed: HashSet<[u8; 20]>,
    now_ns: u64,
}

impl Host for PlainTables {
    fn serves(&self, address: &Address, port: u16) -> bool {
        self.endpoints.contains(&(*address, port))
    }

    fn blocks(&self, address: &Address) -> bool {
        blocked().iter().any(|(network, length)| match (*address, network) {
            (Address::V4(address), IpAddr::V4(network)) => {
                (u32::from_be_bytes(address) ^ u32::from(*network)) >> (32 - length) == 0
            }
            (Address::V6(address), IpAddr::V6(network)) => {
                (u128::from_be_bytes(address) ^ u128::from(*network)) >> (128 - length) == 0
            }
            _ => false,
        })
    }

    fn allows(&self, info_hash: &[u8; 20]) -> bool {
        match self.settings.access_mode {
            access_mode::DENY => !self.listed.contains(info_hash),
            access_mode::ALLOW => self.listed.contains(info_hash),
            _ => true,
        }
    }

    fn keys(&self) -> Option<&Keys> {
        Some(&self.keys)
    }

    fn now_ns(&self) -> u64 {
        self.now_ns
    }

    fn may_send_error(&mut self, _: u64, _: u64) -> bool {
        self.settings.errors_per_window != 0
    }
}

/// What user space decides about the frame.
fn in_user_space(frame: &[u8], settings: Settings) -> Outcome {
    let mut buffer = vec![0; 4096];
    buffer[..frame.len()].copy_from_slice(frame);
    let mut tables = PlainTables {
        settings,
        endpoints: [tracker_v4(), tracker_v6()].map(|one| (Address::from(one.ip()), one.port())).to_vec(),
        keys: keys(),
        listed: HashSet::from([LISTED]),
        now_ns: now_ns(),
    };
    let mut buffer_frame = BufferFrame::new(&mut buffer, frame.len(), true);
    let verdict = travel(&mut buffer_frame, &mut tables);
    Outcome { verdict, frame: buffer_frame.as_slice().to_vec() }
}

/// Frames that get far: right ones, then changed here and there.
fn frames() -> impl Strategy<Value = Vec<u8>> {
    let request = prop_oneof![
        Just((0, true, LISTED)),
        Just((1, true, LISTED)),
        Just((1, true, UNLISTED)),
        Just((1, false, UNLISTED)),
        Just((2, true, LISTED)),
        Just((2, false, LISTED)),
    ];
    let tag = prop_oneof![3 => Just(None), 1 => Just(Some(0x8100)), 1 => Just(Some(0x88a8))];
    let tail = proptest::collection::vec(any::<u8>(), 0..80);
    let edits = proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    (request, any::<bool>(), tag, tail, edits, 0..100usize, any::<prop::sample::Index>()).prop_map(
        |((action, good, info_hash), v4, tag, tail, edits, cut, length)| {
            let (client, tracker) = families()[usize::from(v4)];
            let id = good_id(client, Epoch::at(now_ns())) ^ u64::from(!good);
            let mut payload = match action {
                0 => payload::connect(TRANSACTION),
                1 => announce(id, info_hash),
                _ => scrape(id),
            };
            payload.extend(tail);
            let mut builder = around(client, tracker, payload);
            if let Some(ethertype) = tag {
                builder = builder.tag(ethertype, 5);
            }
            let mut frame = builder.build();
            for (at, value) in edits {
                let at = at.index(frame.len());
                frame[at] = value;
            }
            // One in ten is cut, never below what the kernel takes.
            if cut < 10 {
                let len = frame.len();
                frame.truncate(14 + length.index(len - 14));
            }
            frame
        },
    )
}

#[test]
fn kernel_and_user_space_agree_on_every_frame() {
    if must_skip(&[Requirement::Bpf]) {
        return;
    }
    let program = RefCell::new(program());
    let seen = RefCell::new(HashSet::new());
    let random = proptest::collection::vec(any::<u8>(), 14..200);
    let cases = prop_oneof![9 => frames(), 1 => random];
    let modes = prop_oneof![Just(access_mode::OFF), Just(access_mode::DENY), Just(access_mode::ALLOW)];
    let mut runner =
        TestRunner::new(Config { cases: 20_000, failure_persistence: None, ..Config::default() });
    runner
        .run(&(cases, modes, any::<bool>()), |(frame, access_mode, errors)| {
            // The drop policy, or more errors than this test can send in a window.
            let errors_per_window = if errors { 65_535 } else { 0 };
            let settings = Settings { access_mode, errors_per_window, ..settings() };
            let mut program = program.borrow_mut();
            program.set_settings(&settings);
            let (kernel, user) =
                within_one_epoch(|_| (program.run(&frame, LOOPBACK), in_user_space(&frame, settings)));
            seen.borrow_mut().insert(kernel.verdict.name());
            prop_assert_eq!(kernel, user);
            Ok(())
        })
        .unwrap();
    // Seen are 14 to 16; what is missing takes an accident, as the second tag behind the first.
    assert!(seen.borrow().len() >= 12, "the frames are too much alike: {:?}", seen.borrow());
}

#[test]
fn the_program_carries_the_projects_licence_and_reports_its_size() {
    if must_skip(&[Requirement::Bpf]) {
        return;
    }
    let info = program().info();
    assert_eq!(info.gpl_compatible(), Some(false), "no helper may be reserved to GPL programs");
    println!(
        "{} instructions verified, {} bytes translated, {} bytes of machine code",
        info.verified_instruction_count().unwrap_or_default(),
        info.size_translated().unwrap_or_default(),
        info.size_jitted(),
    );
}
