//! The daemon, reached by sockets: on loopback, across a cable, without and with XDP.

use std::sync::Arc;

use tracker_testkit::daemon::{Configuration, Daemon, Home};
use tracker_testkit::netns::{BpfFileSystem, Cable, Namespace};
use tracker_testkit::payload;
#[cfg(feature = "xdp")]
use tracker_testkit::raw::RawSender;
use tracker_testkit::rows::{Family, Host, Need, Setup, Shape, Source, SourcePort};
use tracker_testkit::run::{Hosts, Path};
use tracker_testkit::sockets::{MARKERS, Sockets};

use crate::memory::{HOSTS, LONGEST_PAYLOAD};

/// A tracker, its clients, and everything that has to be there as long as they are.
pub(crate) struct Running {
    clients: Sockets,
    daemon: Daemon,
    home: Home,
    /// What the kernel has to have answered.
    kernel: Kernel,
    /// Requests that the kernel has to leave to the sockets, whatever it answers.
    odd: Requests,
    /// Requests from where nobody can be.
    odd_sources: u64,
    // Dropped last: the tracker's last acts are to detach and to remove its pins.
    _pins: Option<BpfFileSystem>,
    cable: Option<Cable>,
}

/// What the XDP program answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kernel {
    Nothing,
    #[cfg(feature = "xdp")]
    Connects,
    #[cfg(feature = "xdp")]
    All,
}

/// Numbers of requests.
#[derive(Clone, Copy, Debug, Default)]
struct Requests {
    connects: u64,
    others: u64,
}

/// Sockets alone, both families, on loopback in a namespace.
pub(crate) fn on_loopback(setup: &Setup) -> Running {
    let configuration = Configuration::sockets(&["127.0.0.1:0", "[::1]:0"]);
    in_own_namespace(configuration, setup)
}

/// The same, by io_uring.
pub(crate) fn on_loopback_with_io_uring(setup: &Setup) -> Running {
    let configuration = Configuration::sockets(&["127.0.0.1:0", "[::1]:0"]).with_backend("io_uring");
    let running = in_own_namespace(configuration, setup);
    assert!(!running.daemon.log().contains("io_uring"), "it fell back: {}", running.daemon.log());
    running
}

/// Generic XDP on `lo`, in a namespace.
#[cfg(feature = "xdp")]
pub(crate) fn on_loopback_with_generic_xdp(setup: &Setup) -> Running {
    let pins = BpfFileSystem::mount();
    let configuration =
        Configuration::sockets(&["127.0.0.1:0", "[::1]:0"]).with_xdp("generic", "lo", &pins.path());
    let mut running = in_own_namespace(configuration, setup);
    running.kernel = Kernel::All;
    running._pins = Some(pins);
    running
}

/// UDP payload of the largest IPv4 packet that arrives in one frame of 1,500 bytes, and the longest that the program looks at.
const LONGEST_V4: usize = 1500 - 20 - 8;

fn in_own_namespace(configuration: Configuration, setup: &Setup) -> Running {
    let namespace = Arc::new(Namespace::new());
    namespace.own_networks("10.77.0.0/16", "fd77::/64");
    let home = Home::new(env!("CARGO_BIN_EXE_tracker-user"));
    home.configure(&configuration.with_setup(setup, HOSTS, &MARKERS));
    let daemon = home.start(Some(&namespace));
    let clients =
        Sockets::new(HOSTS, Some(Arc::clone(&namespace)), daemon.address(false), Some(daemon.address(true)));
    Running {
        clients,
        kernel: Kernel::Nothing,
        odd: Requests::default(),
        odd_sources: 0,
        daemon,
        home,
        _pins: None,
        cable: None,
    }
}

/// Sockets alone, IPv4 alone: all of 127.0.0.0/8 is there for everybody.
pub(crate) fn on_loopback_unprivileged(setup: &Setup) -> Running {
    const LOOPBACK: Hosts = Hosts { v4: [127, 77], v6: 0 };
    let home = Home::new(env!("CARGO_BIN_EXE_tracker-user"));
    home.configure(&Configuration::sockets(&["127.0.0.1:0"]).with_setup(setup, LOOPBACK, &MARKERS));
    let daemon = home.start(None);
    let clients = Sockets::new(LOOPBACK, None, daemon.address(false), None);
    Running {
        clients,
        daemon,
        home,
        kernel: Kernel::Nothing,
        odd: Requests::default(),
        odd_sources: 0,
        _pins: None,
        cable: None,
    }
}

/// Native XDP at one end of a cable, clients at the other; the kernel answers `all` or `connect`.
#[cfg(feature = "xdp")]
pub(crate) fn across_a_cable(setup: &Setup, answer: &'static str) -> Running {
    let cable = Cable::new();
    cable.client_owns("10.77.0.0/16", "fd77::/64");
    let pins = BpfFileSystem::mount();
    let home = Home::new(env!("CARGO_BIN_EXE_tracker-user"));
    let addresses = [format!("{}:0", Cable::SERVER_V4), format!("[{}]:0", Cable::SERVER_V6)];
    let configuration = Configuration::sockets(&addresses.each_ref().map(String::as_str))
        .with_xdp("native", Cable::SERVER_INTERFACE, &pins.path())
        .answering(answer)
        .with_setup(setup, HOSTS, &MARKERS);
    home.configure(&configuration);
    let daemon = home.start(Some(&cable.server));
    let clients = Sockets::new(
        HOSTS,
        Some(Arc::clone(&cable.client)),
        daemon.address(false),
        Some(daemon.address(true)),
    )
    .with_raw(RawSender::new(&cable));
    Running {
        clients,
        daemon,
        home,
        kernel: match answer {
            "all" => Kernel::All,
            _ => Kernel::Connects,
        },
        odd: Requests::default(),
        odd_sources: 0,
        _pins: Some(pins),
        cable: Some(cable),
    }
}

impl Running {
    /// Whether the kernel has to leave the request to the sockets.
    fn is_odd(&self, source: &Source, request: &[u8]) -> bool {
        // A frame of 1,500 bytes has less room behind an IPv6 header; that of `lo` has more than the program looks at.
        let in_fragments = self.cable.is_some() && source.family == Family::V6;
        let longest = if in_fragments { LONGEST_PAYLOAD } else { LONGEST_V4 };
        source.shape == Shape::Options || request.len() > longest
    }

    /// Announces and scrapes have been answered where they have to be.
    #[cfg(feature = "xdp")]
    fn compare_answers(&self, stats: &serde_json::Value) {
        const ANSWERS: [&str; 5] =
            ["announce", "scrape", "error_announce_short", "error_port", "error_full_scrape"];
        let count = |side: &str, verdict: &str| stats[side][verdict].as_u64().unwrap_or_default();
        let answers = |side: &str| ANSWERS.map(|verdict| count(side, verdict)).iter().sum::<u64>();
        match self.kernel {
            Kernel::Nothing => {}
            Kernel::Connects => {
                assert_eq!(answers("kernel"), 0, "{stats}");
                assert!(answers("sockets") > 0, "{stats}");
            }
            Kernel::All => {
                assert!(answers("kernel") > 0, "{stats}");
                // A frame that can't grow is no fault of the program's.
                let passed = self.odd.others + count("kernel", "pass_resize");
                assert_eq!(answers("sockets"), passed, "the others are the kernel's: {stats}");
            }
        }
    }
}

impl Path for Running {
    fn offers(&self, need: Need) -> bool {
        self.clients.offers(need)
    }

    fn hosts(&self) -> Hosts {
        self.clients.hosts()
    }

    fn exchange(&mut self, source: &Source, request: &[u8], silence: bool) -> Option<Vec<u8>> {
        if self.is_odd(source, request) {
            match request.get(8..12) {
                Some([0, 0, 0, 0]) if request.starts_with(&payload::CONNECT_MAGIC.to_be_bytes()) => {
                    self.odd.connects += 1;
                }
                Some([0, 0, 0, 1 | 2]) => self.odd.others += 1,
                _ => {}
            }
        }
        if matches!(source.host, Host::Odd(_)) || source.port == SourcePort::Zero {
            self.odd_sources += 1;
        }
        self.clients.exchange(source, request, silence)
    }

    fn settle(&mut self, family: Family) {
        self.clients.settle(family);
    }
}

impl Drop for Running {
    /// All cases of one set-up have been played: now who answered them has to be right.
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("stderr of the tracker:\n{}", self.daemon.log());
            return;
        }
        let stats = self.home.stats();
        let count = |side: &str, verdict: &str| stats[side][verdict].as_u64().unwrap_or_default();
        if self.kernel != Kernel::Nothing {
            assert!(count("kernel", "connect") > 0, "the kernel answers connects: {stats}");
            assert_eq!(
                count("sockets", "connect"),
                self.odd.connects,
                "the others are the kernel's: {stats}"
            );
            assert_eq!(
                count("kernel", "drop_source"),
                self.odd_sources,
                "they are dropped in the kernel: {stats}"
            );
            for decided in
                ["error_connection_id", "error_info_hash", "drop_blocked", "drop_magic", "drop_action"]
            {
                assert_eq!(count("sockets", decided), 0, "{decided} is the kernel's to decide: {stats}");
            }
            #[cfg(feature = "xdp")]
            self.compare_answers(&stats);
        } else {
            assert!(count("sockets", "connect") > 0, "{stats}");
            assert!(stats["kernel"].as_object().is_none_or(|kernel| kernel.is_empty()), "{stats}");
        }
        assert_eq!(stats["swarm"]["events_lost"], 0, "{stats}");
    }
}
