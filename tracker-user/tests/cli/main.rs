//! The command line against a running tracker: what an operator does, and what it changes.
//!
//! - `access`: the verbs of `map access`, in the sockets and in the file.
//! - `block`: the verbs of `map block`, and both lists from standard input.
//! - `stopped`: the lists while no tracker runs.
//! - `crashes`: command lines and trackers that are killed while they write, and many at once.
//! - `swarms`: `map torrent`, `map top` and `map stats --watch`.
//! - `blocked_in_kernel`: a hundred thousand networks, address by address.
//! - `identity`: the change to another user. `service_manager`: what systemd is told.
//! - `kernel_refuses`: changes that fail in the kernel, or behind it.
//! - `doctor`: a look at the machine.
//! - `packaging`: manual pages, completions, the unit. `unit`: the unit under a systemd of its own.
//! - `metrics`: metrics and the export of torrents.
//! - `limits`: the rate limits of sources, by `map limit`.
//! - `reload`: signals that reload the lists.
//! - `start_and_stop`: ports, interfaces, what survives a restart.
//! - `in_kernel`: the same with XDP (`wired`; `pinned` reads what is in the maps).
//! - `swarm_in_kernel`: announces that XDP answers, on their way into the table.
//! - `http`: HTTP's listeners, certificate, counters and descriptors.
//! - `configuration`: `config check` and `config print`.

mod access;
mod backends;
mod block;
#[cfg(feature = "xdp")]
mod blocked_in_kernel;
mod configuration;
mod crashes;
#[cfg(feature = "xdp")]
mod doctor;
mod http;
mod identity;
#[cfg(feature = "xdp")]
mod in_kernel;
#[cfg(feature = "xdp")]
mod kernel_refuses;
mod limits;
#[cfg(feature = "xdp")]
#[path = "../loaded/mod.rs"]
mod loaded;
mod metrics;
mod packaging;
#[cfg(feature = "xdp")]
mod pinned;
mod reload;
mod service_manager;
mod start_and_stop;
mod stopped;
#[cfg(feature = "xdp")]
mod swarm_in_kernel;
mod swarms;
#[cfg(feature = "xdp")]
mod unit;
#[cfg(feature = "xdp")]
mod wired;

use std::io::Write as _;
use std::process::{Output, Stdio};

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

/// Runs a verb that has to succeed, with something on its standard input.
#[track_caller]
fn told_with_input(home: &Home, words: &[&str], input: &str) -> String {
    let output = with_input(home, words, input);
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("the binary prints text")
}

fn with_input(home: &Home, words: &[&str], input: &str) -> Output {
    let mut command = home.command(None, words);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary exists");
    let mut stdin = child.stdin.take().expect("it is piped");
    // A verb that refuses may end before it has read all.
    let _closed = stdin.write_all(input.as_bytes());
    drop(stdin);
    child.wait_with_output().expect("it is our child")
}

fn client(daemon: &Daemon) -> Client {
    Client::new(None, daemon.address(false))
}
