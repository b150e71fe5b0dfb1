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
    /// Whether the kernel has to have answered.
    kernel_answers: bool,
    /// Connects that the kernel has to leave to the sockets.
    odd_connects: u64,
    /// Requests from where nobody can be.
    odd_sources: u64,
    // Dropped last: the tracker's last acts are to detach and to remove its pins.
    _pins: Option<BpfFileSystem>,
    _cable: Option<Cable>,
}

/// Sockets alone, both families, on loopback in a namespace.
pub(crate) fn on_loopback(setup: &Setup) -> Running {
    let configuration = Configuration::sockets(&["127.0.0.1:0", "[::1]:0"]);
    in_own_namespace(configuration, None, setup)
}

/// Generic XDP on `lo`, in a namespace.
#[cfg(feature = "xdp")]
pub(crate) fn on_loopback_with_generic_xdp(setup: &Setup) -> Running {
    let pins = BpfFileSystem::mount();
    let configuration =
        Configuration::sockets(&["127.0.0.1:0", "[::1]:0"]).with_xdp("generic", "lo", &pins.path());
    in_own_namespace(configuration, Some(pins), setup)
}

fn in_own_namespace(configuration: Configuration, pins: Option<BpfFileSystem>, setup: &Setup) -> Running {
    let namespace = Arc::new(Namespace::new());
    namespace.own_networks("10.77.0.0/16", "fd77::/64");
    let home = Home::new(env!("CARGO_BIN_EXE_tracker-user"));
    home.configure(&configuration.with_setup(setup, HOSTS, &MARKERS));
    let daemon = home.start(Some(&namespace));
    let clients =
        Sockets::new(HOSTS, Some(Arc::clone(&namespace)), daemon.address(false), Some(daemon.address(true)));
    Running {
        clients,
        kernel_answers: pins.is_some(),
        odd_connects: 0,
        odd_sources: 0,
        daemon,
        home,
        _pins: pins,
        _cable: None,
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
        kernel_answers: false,
        odd_connects: 0,
        odd_sources: 0,
        _pins: None,
        _cable: None,
    }
}

/// Native XDP at one end of a cable, clients at the other.
#[cfg(feature = "xdp")]
pub(crate) fn across_a_cable(setup: &Setup) -> Running {
    let cable = Cable::new();
    cable.client_owns("10.77.0.0/16", "fd77::/64");
    let pins = BpfFileSystem::mount();
    let home = Home::new(env!("CARGO_BIN_EXE_tracker-user"));
    let addresses = [format!("{}:0", Cable::SERVER_V4), format!("[{}]:0", Cable::SERVER_V6)];
    let configuration = Configuration::sockets(&addresses.each_ref().map(String::as_str))
        .with_xdp("native", Cable::SERVER_INTERFACE, &pins.path())
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
        kernel_answers: true,
        odd_connects: 0,
        odd_sources: 0,
        _pins: Some(pins),
        _cable: Some(cable),
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
        let is_connect = request.starts_with(&payload::header(payload::CONNECT_MAGIC, 0, 0)[..12]);
        if is_connect && (source.shape == Shape::Options || request.len() > LONGEST_PAYLOAD) {
            self.odd_connects += 1;
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
        if self.kernel_answers {
            assert!(count("kernel", "connect") > 0, "the kernel answers connects: {stats}");
            assert_eq!(
                count("sockets", "connect"),
                self.odd_connects,
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
        } else {
            assert!(count("sockets", "connect") > 0, "{stats}");
            assert!(stats["kernel"].as_object().is_none_or(|kernel| kernel.is_empty()), "{stats}");
        }
        assert_eq!(stats["swarm"]["events_lost"], 0, "{stats}");
    }
}
