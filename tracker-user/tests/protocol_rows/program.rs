//! The XDP program run packet by packet (BPF_PROG_TEST_RUN), with the handler in memory behind it.
//!
//! Both read one table, in memory shared with the kernel. What the program passes on goes where the kernel's stack would take it: wrong
//! checksums nowhere, everything else, fragments put together, to the handler; what it emits is applied before the next packet.
//! Answers are read by the independent reader of the testkit.

use std::net::SocketAddr;

use tracker_common::settings::{Endpoints, Settings, access_mode, answer};
use tracker_common::sketch::SourceLimits;
use tracker_common::verdict::{Class, Verdict};
use tracker_core::access_list::Mode;
use tracker_testkit::packet::{self, Checksum, PacketBuilder};
use tracker_testkit::rows::{Family, Need, Setup, Shape, Source};
use tracker_testkit::run::{Hosts, Path};
use tracker_testkit::verify;
use tracker_user::udp::sys::coarse_monotonic_ns;

use crate::loaded::{self, LoadedProgram, Outcome};
use crate::memory::{self, HOSTS, LONGEST_PAYLOAD, Memory};

const SERVER_V4: &str = "10.99.0.2:6969";
const SERVER_V6: &str = "[fd99::2]:6969";

/// As if the loopback interface had brought the frame: no source address is forged there.
const INGRESS: u32 = 1;

/// The loaded program and what stands behind it.
pub(crate) struct Program {
    loaded: LoadedProgram,
    behind: Memory,
    /// One of [`answer`].
    answers: u32,
}

impl Program {
    /// Announces and scrapes are the program's, too.
    pub(crate) fn answering_all(setup: &Setup) -> Self {
        Self::new(setup, answer::ALL)
    }

    /// Announces and scrapes are left to the handler.
    pub(crate) fn answering_connects(setup: &Setup) -> Self {
        Self::new(setup, answer::CONNECT)
    }

    fn new(setup: &Setup, answers: u32) -> Self {
        let mut loaded = LoadedProgram::load();
        let behind = Memory::with_table(setup, loaded::limits(), Box::new(loaded.segments()));
        let servers = [SERVER_V4, SERVER_V6].map(|text| text.parse::<SocketAddr>().expect("an address"));
        loaded.set_endpoints(&Endpoints::new(servers));
        loaded.set_keys(&behind.keys);
        let blocked: Vec<_> = memory::block_list(setup)
            .networks()
            .iter()
            .map(|network| (network.address, network.prefix_len))
            .collect();
        loaded.block(&blocked);
        let access = memory::access_list(setup);
        loaded.set_access_list(&access.sorted());
        loaded.set_settings(&Settings {
            access_mode: match access.mode() {
                Mode::Off => access_mode::OFF,
                Mode::Deny => access_mode::DENY,
                Mode::Allow => access_mode::ALLOW,
            },
            errors_per_window: if setup.bad_connection_id == "drop" { 0 } else { 10 },
            block4: u32::from(!blocked.is_empty()),
            block6: u32::from(!blocked.is_empty()),
            answer: answers,
            interval_s: 1800,
            max_response_peers: setup.max_response_peers,
            max_scrape_torrents: setup.max_scrape_torrents,
            limits: SourceLimits::default(),
        });
        Self { loaded, behind, answers }
    }

    /// What the kernel's stack and the daemon do with a request that the program passed on.
    fn passed_on(&mut self, source: &Source, request: &[u8]) -> Option<Vec<u8>> {
        if source.shape == Shape::BadChecksum {
            return None;
        }
        self.behind.now_ns = coarse_monotonic_ns();
        let (verdict, answer) = self.behind.handle(request, memory::address(source));
        let plain = matches!(source.shape, Shape::Plain | Shape::Vlan | Shape::ServiceVlan | Shape::Padded);
        if plain && source.family != Family::Mapped && request.len() <= LONGEST_PAYLOAD {
            // Everything else is for the program to decide.
            assert!(
                self.answers == answer::CONNECT
                    && matches!(
                        verdict,
                        Verdict::Announce
                            | Verdict::Scrape
                            | Verdict::ErrorAnnounceShort
                            | Verdict::ErrorPort
                            | Verdict::ErrorFullScrape
                    ),
                "the program left a request to the daemon that got {verdict:?}: {request:02x?}"
            );
        }
        answer
    }
}

impl Program {
    /// Applies what the program has emitted: one event for each announce that it answered.
    fn apply_events(&mut self, verdict: Verdict) {
        let events = self.loaded.events();
        assert_eq!(events.len(), usize::from(verdict == Verdict::Announce), "{verdict:?}");
        self.behind.now_ns = coarse_monotonic_ns();
        for event in events {
            self.behind.apply(&event);
        }
    }
}

impl Path for Program {
    fn offers(&self, need: Need) -> bool {
        need != Need::Clock
    }

    fn hosts(&self) -> Hosts {
        HOSTS
    }

    fn exchange(&mut self, source: &Source, request: &[u8], _: bool) -> Option<Vec<u8>> {
        let mut frames = frames(source, request);
        let last = frames.pop().expect("at least one frame");
        for frame in frames {
            let Outcome { verdict, .. } = self.loaded.run(&frame, INGRESS);
            assert_eq!(verdict.class(), Class::Pass, "a fragment is the stack's: {frame:02x?}");
        }
        let Outcome { verdict, frame } = self.loaded.run(&last, INGRESS);
        self.apply_events(verdict);
        match verdict.class() {
            Class::Answer => match verify::answer(&last, &frame) {
                Ok(payload) => Some(payload),
                Err(why) => panic!("{why}\n  request {last:02x?}\n  answer  {frame:02x?}"),
            },
            Class::Drop => None,
            Class::Pass => {
                assert_eq!(frame, last, "a frame that is passed on is not changed");
                self.passed_on(source, request)
            }
        }
    }

    fn settle(&mut self, _: Family) {}
}

/// The frames in which a request arrives.
fn frames(source: &Source, request: &[u8]) -> Vec<Vec<u8>> {
    let client = memory::address(source);
    let server: SocketAddr =
        if client.is_ipv4() { SERVER_V4 } else { SERVER_V6 }.parse().expect("an address");
    let whole = packet::eth().ip(client.ip(), server.ip()).udp(client.port(), server.port()).payload(request);
    let shape = if request.len() > LONGEST_PAYLOAD { Shape::Fragments } else { source.shape };
    let one = |builder: PacketBuilder| vec![builder.build()];
    match shape {
        Shape::Plain => one(whole),
        Shape::Vlan => one(whole.vlan(7)),
        Shape::ServiceVlan => one(whole.qinq(7)),
        Shape::Padded => one(whole.padded_to(packet::SHORTEST_ON_THE_WIRE)),
        Shape::Options if client.is_ipv4() => one(whole.ip_options([1, 1, 1, 0])),
        Shape::Options => one(whole.extension(packet::EXTENSION_DESTINATION)),
        Shape::BadChecksum => one(whole.udp_checksum(Checksum::Bad)),
        Shape::Fragments => {
            let datagram = &whole.build()[if client.is_ipv4() { 34 } else { 54 }..];
            let longest = datagram.len().div_ceil(2).min(1400).next_multiple_of(8);
            let part = |(index, bytes): (usize, &[u8])| {
                let part = packet::eth().ip(client.ip(), server.ip()).payload(bytes);
                let offset = index * longest;
                let more = offset + bytes.len() < datagram.len();
                part.fragment(offset as u16, more).build()
            };
            datagram.chunks(longest).enumerate().map(part).collect()
        }
    }
}
