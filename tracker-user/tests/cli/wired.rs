//! A tracker with native XDP at one end of a cable, and its clients at the other.

use tracker_testkit::client::Client;
use tracker_testkit::daemon::{CONFIGURATION, Configuration, Daemon, Home};
use tracker_testkit::netns::{BpfFileSystem, Cable};

use crate::{home, on_loopback};

/// A tracker's machine with native XDP at a cable, and the machine at the other end.
pub(crate) struct Wired {
    pub(crate) home: Home,
    pub(crate) cable: Cable,
    pub(crate) pins: BpfFileSystem,
}

impl Wired {
    pub(crate) fn new(access_mode: &'static str, access_list: &str) -> Self {
        Self::with(on_loopback(access_mode, access_list))
    }

    /// The same with a configuration that says no more than [`Wired::new`] of interfaces and addresses.
    pub(crate) fn with(configuration: Configuration) -> Self {
        let (home, cable, pins) = (home(), Cable::new(), BpfFileSystem::mount());
        home.configure(&Configuration {
            addresses: vec![format!("{}:0", Cable::SERVER_V4)],
            ..configuration.with_xdp("native", Cable::SERVER_INTERFACE, &pins.path())
        });
        Self { home, cable, pins }
    }

    #[track_caller]
    pub(crate) fn start(&self) -> Daemon {
        self.home.start(Some(&self.cable.server))
    }

    #[track_caller]
    pub(crate) fn client(&self, daemon: &Daemon) -> Client {
        Client::new(Some(&self.cable.client), daemon.address(false))
    }

    /// A counter of the running tracker.
    #[track_caller]
    pub(crate) fn count(&self, side: &str, verdict: &str) -> u64 {
        let stats = self.home.stats();
        stats[side][verdict].as_u64().unwrap_or_else(|| panic!("no {side} {verdict} in {stats}"))
    }

    /// Whether the interface has a program.
    pub(crate) fn has_program(&self) -> bool {
        let mut ip = self.cable.server.command("ip");
        let output =
            ip.args(["-details", "link", "show", Cable::SERVER_INTERFACE]).output().expect("ip runs");
        String::from_utf8_lossy(&output.stdout).contains("prog/xdp")
    }

    /// Changes a line of the configuration, or adds one behind a section's head.
    #[track_caller]
    pub(crate) fn set(&self, before: &str, after: &str) {
        let text = self.home.read(CONFIGURATION);
        assert!(text.contains(before), "no {before:?} in {text}");
        self.home.write(CONFIGURATION, &text.replacen(before, after, 1));
    }

    /// A number of the swarm table.
    #[track_caller]
    pub(crate) fn swarm(&self, name: &str) -> u64 {
        let stats = self.home.stats();
        stats["swarm"][name].as_u64().unwrap_or_else(|| panic!("no {name} in {stats}"))
    }

    /// Waits until the writer has applied so many events, by whichever way they came.
    #[track_caller]
    pub(crate) fn applied(&self, daemon: &Daemon, events: u64) {
        daemon.eventually(&format!("{events} events are applied"), || {
            let stats = self.home.stats();
            let from =
                |way: &str| stats["swarm"][way].as_u64().unwrap_or_else(|| panic!("no {way} in {stats}"));
            (from("events_from_kernel") + from("events_from_sockets") >= events).then_some(())
        });
    }
}
