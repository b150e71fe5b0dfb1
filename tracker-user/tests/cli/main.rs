//! The command line against a running tracker: what an operator does, and what it changes.
//!
//! - `access`: the verbs of `map access`, in the sockets and in the file.
//! - `limits`: the rate limits of sources, by `map limit`.
//! - `reload`: signals that reload the lists.
//! - `start_and_stop`: ports, interfaces, what survives a restart.
//! - `in_kernel`: the same with XDP (`wired`).
//! - `swarm_in_kernel`: announces that XDP answers, on their way into the table.
//! - `http`: HTTP's listeners, certificate, counters and descriptors.
//! - `configuration`: `config check` and `config print`.

mod access;
mod configuration;
mod http;
#[cfg(feature = "xdp")]
mod in_kernel;
mod limits;
mod reload;
mod start_and_stop;
#[cfg(feature = "xdp")]
mod swarm_in_kernel;
#[cfg(feature = "xdp")]
mod wired;

use tracker_testkit::client::Client;
use tracker_testkit::daemon::{Configuration, Daemon, Home};
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
