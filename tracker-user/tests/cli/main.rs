//! The command line against a running tracker: what an operator does, and what it changes.
//!
//! - `access`: the verbs of `map access`, in the sockets, in the file and in the kernel.
//! - `reload`: signals that reload the lists.
//! - `start_and_stop`: ports, interfaces, privileges, what a stop leaves behind.
//! - `configuration`: `config check` and `config print`.

mod access;
mod configuration;
mod reload;
mod start_and_stop;

use tracker_testkit::client::Client;
use tracker_testkit::daemon::{Configuration, Daemon, Home};
use tracker_testkit::netns::{BpfFileSystem, Cable};
use tracker_testkit::rows::Setup;

const DENIED: &str = "info hash not allowed";

/// A torrent of the tests.
const HASH: [u8; 20] = [0xab; 20];
/// The same as the command line has it.
const HASH_TEXT: &str = "abababababababababababababababababababab";
/// Another torrent.
const OTHER: [u8; 20] = [0xcd; 20];
/// The same as the command line has it.
const OTHER_TEXT: &str = "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd";

fn home() -> Home {
    Home::new(env!("CARGO_BIN_EXE_tracker-user"))
}

/// Sockets on loopback, with an access list.
fn on_loopback(access_mode: &'static str, access_list: &str) -> Configuration {
    Configuration {
        setup: Setup { access_mode, ..Setup::default() },
        access_list: Some(access_list.to_owned()),
        ..Configuration::sockets(&["127.0.0.1:0"])
    }
}

/// A home with a tracker in it.
#[track_caller]
fn running(configuration: &Configuration) -> (Home, Daemon) {
    let home = home();
    home.configure(configuration);
    let daemon = home.start(None);
    (home, daemon)
}

fn client(daemon: &Daemon) -> Client {
    Client::new(None, daemon.address(false))
}

/// A tracker's machine with native XDP at a cable, and the machine at the other end.
struct Wired {
    home: Home,
    cable: Cable,
    pins: BpfFileSystem,
}

impl Wired {
    fn new(access_mode: &'static str, access_list: &str) -> Self {
        let (home, cable, pins) = (home(), Cable::new(), BpfFileSystem::mount());
        let addresses = [format!("{}:0", Cable::SERVER_V4)];
        let configuration = Configuration {
            addresses: addresses.to_vec(),
            ..on_loopback(access_mode, access_list).with_xdp("native", Cable::SERVER_INTERFACE, &pins.path())
        };
        home.configure(&configuration);
        Self { home, cable, pins }
    }

    #[track_caller]
    fn start(&self) -> Daemon {
        self.home.start(Some(&self.cable.server))
    }

    #[track_caller]
    fn client(&self, daemon: &Daemon) -> Client {
        Client::new(Some(&self.cable.client), daemon.address(false))
    }

    /// A counter of the running tracker.
    #[track_caller]
    fn count(&self, side: &str, verdict: &str) -> u64 {
        let stats = self.home.stats();
        stats[side][verdict].as_u64().unwrap_or_else(|| panic!("no {side} {verdict} in {stats}"))
    }

    /// Whether the interface has a program.
    fn has_program(&self) -> bool {
        let mut ip = self.cable.server.command("ip");
        let output =
            ip.args(["-details", "link", "show", Cable::SERVER_INTERFACE]).output().expect("ip runs");
        String::from_utf8_lossy(&output.stdout).contains("prog/xdp")
    }
}
