//! The loaded XDP program, frame by frame, by BPF_PROG_TEST_RUN.
//!
//! Needs the permission to load BPF programs; no traffic, and no interface besides one that is made for its index.

#![cfg(feature = "xdp")]

mod announces;
mod differential;
mod events;
mod golden;
mod limits;
#[path = "../loaded/mod.rs"]
mod loaded;
mod scrapes;
mod swarms;
mod user_space;

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use aya::programs::Xdp;
use tracker_common::connection_id::{Address, Epoch, Keys, issue};
use tracker_common::event::AnnounceEvent;
use tracker_common::settings::{Endpoints, Settings, access_mode, answer, names};
use tracker_common::siphash::SipKey;
use tracker_common::sketch::SourceLimits;
use tracker_common::table::PeerAddress;
use tracker_common::verdict::{Class, Verdict};
use tracker_common::wire::AnnounceKind;
use tracker_core::{Millis, TableWriter};
use tracker_testkit::netns::Namespace;
use tracker_testkit::packet::{self, PacketBuilder, datagram, eth};
use tracker_testkit::payload::{self, Announce};
use tracker_testkit::skip::{Requirement, must_skip};
use tracker_testkit::verify;
use tracker_user::udp::sys::coarse_monotonic_ns;

use crate::loaded::table::{View, Witnessed};
use crate::loaded::{LoadedProgram, Outcome};

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
    Settings {
        access_mode: access_mode::DENY,
        errors_per_window: 60_000,
        block4: 1,
        block6: 1,
        answer: answer::ALL,
        interval_s: 1800,
        max_response_peers: 50,
        max_scrape_torrents: 70,
        limits: SourceLimits::default(),
    }
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
    set_up(LoadedProgram::load())
}

fn set_up(mut program: LoadedProgram) -> LoadedProgram {
    program.set_keys(&keys());
    program.set_endpoints(&endpoints());
    program.set_settings(&settings());
    program.set_access_list(&[LISTED]);
    program.block(&blocked());
    program
}

/// The program with a swarm table that the test writes.
struct Tracker {
    program: LoadedProgram,
    writer: TableWriter,
    view: Arc<Mutex<View>>,
}

impl Tracker {
    fn new() -> Self {
        Self::over(program())
    }

    fn over(mut program: LoadedProgram) -> Self {
        let segments = Witnessed::new(program.segments());
        let view = segments.view();
        let key = SipKey { k0: 0x0706_0504_0302_0100, k1: 0x0f0e_0d0c_0b0a_0908 };
        let writer = TableWriter::new(loaded::limits(), key, Box::new(segments)).expect("a small table");
        Self { program, writer, view }
    }

    fn apply(&mut self, event: &AnnounceEvent) {
        self.writer.apply(event, Millis(coarse_monotonic_ns() / 1_000_000));
    }

    /// Adds peers to a torrent, in this order.
    fn join(&mut self, info_hash: [u8; 20], peers: &[SocketAddr], seeders: bool) {
        for peer in peers {
            let now_ms = (coarse_monotonic_ns() / 1_000_000) as u32;
            self.apply(&AnnounceEvent::new(
                info_hash,
                peer_address(*peer),
                AnnounceKind::Started,
                seeders,
                now_ms,
            ));
        }
    }
}

fn peer_address(peer: SocketAddr) -> PeerAddress {
    match peer.ip() {
        IpAddr::V4(ip) => PeerAddress::v4(ip.octets(), peer.port()),
        IpAddr::V6(ip) => PeerAddress::v6(ip.octets(), peer.port()),
    }
}

/// Peers of a client's family: so many, from number `first` on.
fn peers(like: SocketAddr, first: u16, count: u16) -> Vec<SocketAddr> {
    let peer = |n: u16| {
        let ip: IpAddr = match like.ip() {
            IpAddr::V4(_) => [10, 1, n.to_be_bytes()[0], n.to_be_bytes()[1]].into(),
            IpAddr::V6(_) => [0x2001, 0xdb8, 0, 0, 0x7777, 0, 0, n].into(),
        };
        SocketAddr::new(ip, 6000 + n)
    };
    (first..first + count).map(peer).collect()
}

/// A peer's bytes in an answer.
fn compact(peer: SocketAddr) -> Vec<u8> {
    let port = peer.port().to_be_bytes();
    match peer.ip() {
        IpAddr::V4(ip) => [&ip.octets()[..], &port].concat(),
        IpAddr::V6(ip) => [&ip.octets()[..], &port].concat(),
    }
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

/// Runs `f` within one epoch: once more when the epoch changed meanwhile.
fn within_one_epoch<R>(mut f: impl FnMut(Epoch) -> R) -> R {
    loop {
        let epoch = Epoch::at(coarse_monotonic_ns());
        let result = f(epoch);
        if Epoch::at(coarse_monotonic_ns()) == epoch {
            return result;
        }
    }
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

#[test]
fn the_program_carries_the_projects_licence_and_reports_its_size() {
    if must_skip(&[Requirement::Bpf]) {
        return;
    }
    let program = program();
    let program: &Xdp = program.ebpf.program(names::PROGRAM).unwrap().try_into().unwrap();
    let info = program.info().unwrap();
    assert_eq!(info.gpl_compatible(), Some(false), "no helper may be reserved to GPL programs");
    println!(
        "{} instructions verified, {} bytes translated, {} bytes of machine code",
        info.verified_instruction_count().unwrap_or_default(),
        info.size_translated().unwrap_or_default(),
        info.size_jitted(),
    );
}
