//! Unmodified BitTorrent clients find each other through this tracker, and only through it.
//!
//! A seeder and a leecher in namespaces of their own exchange a file that is described by a private torrent; DHT,
//! local discovery and peer exchange are off, so nobody else can have introduced them. With native XDP the kernel
//! has to have answered their connects; the same is done with sockets alone.
//!
//! aria2 1.36 speaks UDP to trackers through the socket of its IPv4 DHT, and not at all over IPv6 ("udp is not
//! supported yet"): there it is only libtorrent.

mod aria2;
mod lan;
mod libtorrent;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use tracker_testkit::daemon::{Configuration, Daemon, Home};
use tracker_testkit::netns::{BpfFileSystem, Namespace};
use tracker_testkit::skip::{PYTHON, Requirement, must_skip};

use crate::lan::Lan;

/// How long a transfer may take; they take a few seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// Not a multiple of the piece length.
const FILE_LEN: usize = 300_001;

const ROOT: [Requirement; 2] = [Requirement::Root, Requirement::Bpf];
const LIBTORRENT: Requirement = Requirement::PythonModule("libtorrent");
const ARIA2: Requirement = Requirement::Program("aria2c");

#[cfg(feature = "xdp")]
#[test]
fn aria2_finds_its_peer_over_ipv4_with_native_xdp() {
    if must_skip(&[ROOT[0], ROOT[1], ARIA2, LIBTORRENT]) {
        return;
    }
    transfer(aria2::command, "native", false);
}

#[test]
fn aria2_finds_its_peer_over_ipv4_with_sockets_alone() {
    if must_skip(&[ROOT[0], ROOT[1], ARIA2, LIBTORRENT]) {
        return;
    }
    transfer(aria2::command, "off", false);
}

#[cfg(feature = "xdp")]
#[test]
fn libtorrent_finds_its_peer_over_ipv4_with_native_xdp() {
    if must_skip(&[ROOT[0], ROOT[1], LIBTORRENT]) {
        return;
    }
    transfer(libtorrent::command, "native", false);
}

#[test]
fn libtorrent_finds_its_peer_over_ipv4_with_sockets_alone() {
    if must_skip(&[ROOT[0], ROOT[1], LIBTORRENT]) {
        return;
    }
    transfer(libtorrent::command, "off", false);
}

#[cfg(feature = "xdp")]
#[test]
fn libtorrent_finds_its_peer_over_ipv6_with_native_xdp() {
    if must_skip(&[ROOT[0], ROOT[1], LIBTORRENT]) {
        return;
    }
    transfer(libtorrent::command, "native", true);
}

#[test]
fn libtorrent_finds_its_peer_over_ipv6_with_sockets_alone() {
    if must_skip(&[ROOT[0], ROOT[1], LIBTORRENT]) {
        return;
    }
    transfer(libtorrent::command, "off", true);
}

/// What a client is started for.
struct Task<'a> {
    namespace: &'a Namespace,
    /// Its address in the namespace.
    address: &'a str,
    /// Where the file is, or has to come.
    directory: &'a Path,
    torrent: &'a Path,
    /// Ends by itself when it has the file; a seeder goes on until it is killed.
    leech: bool,
}

/// One client seeds, one leeches, and the tracker has introduced them.
fn transfer(client: impl Fn(&Task<'_>) -> Command, xdp: &'static str, over_ipv6: bool) {
    let lan = Lan::new();
    let pins = BpfFileSystem::mount();
    let home = Home::new(env!("CARGO_BIN_EXE_tracker-user"));
    let addresses = [format!("{}:0", Lan::SERVER_V4), format!("[{}]:0", Lan::SERVER_V6)];
    let mut configuration = Configuration::sockets(&addresses.each_ref().map(String::as_str));
    if xdp != "off" {
        configuration.pins = Some(pins.path());
        configuration.interfaces = lan.server_interfaces();
        configuration.xdp = xdp;
    }
    home.configure(&configuration);
    let daemon = home.start(Some(&lan.server));

    let (seed, leech) = (home.path("seed"), home.path("leech"));
    fs::create_dir(&seed).expect("the home is ours");
    fs::create_dir(&leech).expect("the home is ours");
    let content: Vec<u8> = (0..FILE_LEN).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    fs::write(seed.join("file.bin"), &content).expect("the home is ours");
    let torrent = home.path("file.torrent");
    make_torrent(&seed.join("file.bin"), &format!("udp://{}/announce", daemon.address(over_ipv6)), &torrent);

    let peer = |n: usize| if over_ipv6 { Lan::CLIENTS_V6[n] } else { Lan::CLIENTS_V4[n] };
    let task = |n: usize, directory, leech| Task {
        namespace: &lan.clients[n],
        address: peer(n),
        directory,
        torrent: &torrent,
        leech,
    };
    let seeder = Client::start(client(&task(0, &seed, false)));
    let swarm = |key: &str| home.stats()["swarm"][key].as_u64().unwrap_or_default();
    daemon.eventually("the seeder announces", || (swarm("peers") > 0).then_some(()));
    let mut leecher = Client::start(client(&task(1, &leech, true)));
    leecher.wait(&seeder, &daemon);
    assert_eq!(
        fs::read(leech.join("file.bin")).map(|bytes| bytes == content).ok(),
        Some(true),
        "the file did not come whole\nleecher:\n{}\nseeder:\n{}",
        leecher.said(),
        seeder.said()
    );

    let stats = home.stats();
    let (answering, idle) = if xdp == "off" { ("sockets", "kernel") } else { ("kernel", "sockets") };
    let connects = |side: &str| stats[side]["connect"].as_u64().unwrap_or_default();
    // Each client has connected.
    assert!(connects(answering) >= 2, "{stats}");
    assert_eq!(connects(idle), 0, "{stats}");
    daemon.stop_well();
}

/// A private torrent of one file, as libtorrent makes it.
fn make_torrent(file: &Path, announce: &str, torrent: &Path) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/real_clients/make_torrent.py");
    let mut command = Command::new(PYTHON);
    command.arg(script).arg(file).arg(announce).arg(torrent);
    let output = command.output().expect("python runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A client's process, killed on drop.
struct Client {
    child: Child,
    /// What it has said so far.
    said: Arc<Mutex<String>>,
    /// Closed when it can't say any more.
    ended: Receiver<()>,
}

impl Client {
    fn start(mut command: Command) -> Self {
        let (reader, writer) = std::io::pipe().expect("descriptors");
        command.stdin(Stdio::null()).stdout(writer.try_clone().expect("a descriptor")).stderr(writer);
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        // The command holds the writing ends, and with them the pipe would never end.
        drop(command);
        let said = Arc::new(Mutex::new(String::new()));
        let (sender, ended) = channel();
        let log = Arc::clone(&said);
        thread::spawn(move || {
            for line in BufReader::new(reader).lines().map_while(Result::ok) {
                log.lock().expect("nobody panics with it").extend([&line, "\n"]);
            }
            drop(sender);
        });
        Self { child, said, ended }
    }

    fn said(&self) -> String {
        self.said.lock().expect("nobody panics with it").clone()
    }

    /// Waits until it has ended by itself.
    fn wait(&mut self, seeder: &Self, daemon: &Daemon) {
        if self.ended.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            panic!(
                "no file after {PATIENCE:?}\nleecher:\n{}\nseeder:\n{}\ntracker:\n{}",
                self.said(),
                seeder.said(),
                daemon.log()
            );
        }
        self.child.wait().expect("it is our child");
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
