//! Unmodified BitTorrent clients find each other through this tracker, and only through it.
//!
//! A seeder and a leecher in namespaces of their own exchange a file that is described by a private torrent; DHT,
//! local discovery and peer exchange are off, so nobody else can have introduced them. With native XDP the kernel
//! has to have answered all that they asked, or their connects alone where the rest is left to the sockets; the same is done
//! with sockets alone, and with generic XDP on `lo`, where both live beside the tracker.
//!
//! aria2 1.36 speaks UDP to trackers through the socket of its IPv4 DHT, and not at all over IPv6 ("udp is not
//! supported yet"): there it is only libtorrent. Over HTTP and HTTPS (`over_http`) there is Transmission, too.

mod aria2;
mod lan;
mod libtorrent;
mod over_http;
mod transmission;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use tracker_testkit::daemon::{Configuration, Daemon, Home};
use tracker_testkit::netns::{BpfFileSystem, Namespace};
use tracker_testkit::skip::{PYTHON, Requirement, must_skip};

use crate::lan::Lan;

/// How long a transfer may take; they take a few seconds.
const PATIENCE: Duration = Duration::from_secs(120);

/// Not a multiple of the piece length.
const FILE_LEN: usize = 300_001;

const ROOT: [Requirement; 2] = [Requirement::Root, Requirement::Bpf];
const LIBTORRENT: Requirement = Requirement::PythonModule("libtorrent");
const ARIA2: Requirement = Requirement::Program("aria2c");

/// By which way a tracker is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Sockets,
    /// Native XDP, which answers connects.
    #[cfg(feature = "xdp")]
    Connects,
    /// Native XDP, which answers everything.
    #[cfg(feature = "xdp")]
    All,
    /// Generic XDP on `lo`, which answers everything that fits into the frame of its request.
    #[cfg(feature = "xdp")]
    Loopback,
}

/// One test for each client, family and way.
macro_rules! transfers {
    ($($(#[$condition:meta])* $name:ident: $client:ident, $way:ident, $over_ipv6:literal, [$($needs:expr),+];)+) => {
        $(
            $(#[$condition])*
            #[test]
            fn $name() {
                if must_skip(&[ROOT[0], ROOT[1], $($needs),+]) {
                    return;
                }
                transfer($client::command, Way::$way, $over_ipv6);
            }
        )+
    };
}

transfers! {
    #[cfg(feature = "xdp")]
    aria2_finds_its_peer_over_ipv4_with_native_xdp: aria2, All, false, [ARIA2, LIBTORRENT];
    #[cfg(feature = "xdp")]
    aria2_finds_its_peer_over_ipv4_with_connects_in_the_kernel: aria2, Connects, false, [ARIA2, LIBTORRENT];
    #[cfg(feature = "xdp")]
    aria2_finds_its_peer_over_ipv4_on_loopback: aria2, Loopback, false, [ARIA2, LIBTORRENT];
    aria2_finds_its_peer_over_ipv4_with_sockets_alone: aria2, Sockets, false, [ARIA2, LIBTORRENT];
    #[cfg(feature = "xdp")]
    libtorrent_finds_its_peer_over_ipv4_with_native_xdp: libtorrent, All, false, [LIBTORRENT];
    #[cfg(feature = "xdp")]
    libtorrent_finds_its_peer_over_ipv4_with_connects_in_the_kernel: libtorrent, Connects, false, [LIBTORRENT];
    #[cfg(feature = "xdp")]
    libtorrent_finds_its_peer_over_ipv4_on_loopback: libtorrent, Loopback, false, [LIBTORRENT];
    libtorrent_finds_its_peer_over_ipv4_with_sockets_alone: libtorrent, Sockets, false, [LIBTORRENT];
    #[cfg(feature = "xdp")]
    libtorrent_finds_its_peer_over_ipv6_with_native_xdp: libtorrent, All, true, [LIBTORRENT];
    #[cfg(feature = "xdp")]
    libtorrent_finds_its_peer_over_ipv6_with_connects_in_the_kernel: libtorrent, Connects, true, [LIBTORRENT];
    #[cfg(feature = "xdp")]
    libtorrent_finds_its_peer_over_ipv6_on_loopback: libtorrent, Loopback, true, [LIBTORRENT];
    libtorrent_finds_its_peer_over_ipv6_with_sockets_alone: libtorrent, Sockets, true, [LIBTORRENT];
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
    /// Whom to trust for https trackers: a file with a certificate.
    authority: Option<&'a Path>,
}

/// Where both clients and the tracker are.
struct Place {
    server: Arc<Namespace>,
    clients: [Arc<Namespace>; 2],
    /// The tracker's addresses, and the clients'.
    listen: [&'static str; 2],
    v4: [&'static str; 2],
    v6: [&'static str; 2],
    interfaces: Vec<String>,
    _lan: Option<Lan>,
}

impl Place {
    fn lan() -> Self {
        let lan = Lan::new();
        Self {
            server: Arc::clone(&lan.server),
            clients: lan.clients.each_ref().map(Arc::clone),
            listen: [Lan::SERVER_V4, Lan::SERVER_V6],
            v4: Lan::CLIENTS_V4,
            v6: Lan::CLIENTS_V6,
            interfaces: lan.server_interfaces(),
            _lan: Some(lan),
        }
    }

    /// One machine without any network.
    #[cfg(feature = "xdp")]
    fn loopback() -> Self {
        let machine = Arc::new(Namespace::new());
        machine.own_networks("10.99.0.0/16", "2001:db8::/32");
        for (v4, v6) in Lan::CLIENTS_V4.iter().zip(Lan::CLIENTS_V6) {
            machine.ip(&format!("address add {v4}/32 dev lo"));
            machine.ip(&format!("-6 address add {v6}/128 dev lo"));
        }
        Self {
            clients: [Arc::clone(&machine), Arc::clone(&machine)],
            server: machine,
            listen: [Lan::SERVER_V4, Lan::SERVER_V6],
            v4: Lan::CLIENTS_V4,
            v6: Lan::CLIENTS_V6,
            interfaces: vec!["lo".to_owned()],
            _lan: None,
        }
    }
}

/// One client seeds, one leeches, and the tracker has introduced them.
fn transfer(client: impl Fn(&Task<'_>) -> Command, way: Way, over_ipv6: bool) {
    let (place, mode, answer) = match way {
        Way::Sockets => (Place::lan(), "off", "all"),
        #[cfg(feature = "xdp")]
        Way::Connects => (Place::lan(), "native", "connect"),
        #[cfg(feature = "xdp")]
        Way::All => (Place::lan(), "native", "all"),
        #[cfg(feature = "xdp")]
        Way::Loopback => (Place::loopback(), "generic", "all"),
    };
    let pins = BpfFileSystem::mount();
    let home = Home::new(env!("CARGO_BIN_EXE_tracker-user"));
    let addresses = [format!("{}:0", place.listen[0]), format!("[{}]:0", place.listen[1])];
    let mut configuration =
        Configuration::sockets(&addresses.each_ref().map(String::as_str)).answering(answer);
    if way != Way::Sockets {
        configuration.pins = Some(pins.path());
        configuration.interfaces.clone_from(&place.interfaces);
        configuration.xdp = mode;
    }
    home.configure(&configuration);
    let daemon = home.start(Some(&place.server));

    let url = format!("udp://{}/announce", daemon.address(over_ipv6));
    exchange_file(&client, &home, &daemon, &place, over_ipv6, &url, None);

    let stats = home.stats();
    let count = |side: &str, verdict: &str| stats[side][verdict].as_u64().unwrap_or_default();
    let (connects, announces) = match way {
        Way::Sockets => ("sockets", "sockets"),
        #[cfg(feature = "xdp")]
        Way::Connects => ("kernel", "sockets"),
        #[cfg(feature = "xdp")]
        Way::All | Way::Loopback => ("kernel", "kernel"),
    };
    for (verdict, side) in [("connect", connects), ("announce", announces)] {
        let other = if side == "kernel" { "sockets" } else { "kernel" };
        // Each client has connected and announced. An answer that its request's frame has no room for is the sockets'.
        let passed = if verdict == "announce" { count("kernel", "pass_resize") } else { 0 };
        assert!(count(side, verdict) + passed >= 2, "{verdict}: {stats}");
        assert!(count(side, verdict) > 0, "{verdict}: {stats}");
        assert_eq!(count(other, verdict), passed, "{verdict}: {stats}");
    }
    daemon.stop_well();
}

/// A seeder has a file and a leecher gets it, both told of the tracker at this URL and of nobody else.
fn exchange_file(
    client: &impl Fn(&Task<'_>) -> Command,
    home: &Home,
    daemon: &Daemon,
    place: &Place,
    over_ipv6: bool,
    url: &str,
    authority: Option<&Path>,
) {
    let (seed, leech) = (home.path("seed"), home.path("leech"));
    fs::create_dir(&seed).expect("the home is ours");
    fs::create_dir(&leech).expect("the home is ours");
    let content: Vec<u8> = (0..FILE_LEN).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    fs::write(seed.join("file.bin"), &content).expect("the home is ours");
    let torrent = home.path("file.torrent");
    make_torrent(&seed.join("file.bin"), url, &torrent);

    let peer = |n: usize| if over_ipv6 { place.v6[n] } else { place.v4[n] };
    let task = |n: usize, directory, leech| Task {
        namespace: &place.clients[n],
        address: peer(n),
        directory,
        torrent: &torrent,
        leech,
        authority,
    };
    let seeder = Client::start(client(&task(0, &seed, false)));
    let swarm = |key: &str| home.stats()["swarm"][key].as_u64().unwrap_or_default();
    daemon.eventually("the seeder announces", || {
        assert!(!seeder.has_ended(), "the seeder has ended:\n{}", seeder.said());
        (swarm("peers") > 0).then_some(())
    });
    let mut leecher = Client::start(client(&task(1, &leech, true)));
    leecher.wait(&seeder, home, daemon);
    assert_eq!(
        fs::read(leech.join("file.bin")).map(|bytes| bytes == content).ok(),
        Some(true),
        "the file did not come whole\nleecher:\n{}\nseeder:\n{}",
        leecher.said(),
        seeder.said()
    );
}

/// A private torrent of one file, as libtorrent makes it.
fn make_torrent(file: &Path, announce: &str, torrent: &Path) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/real_clients/make_torrent.py");
    let mut command = Command::new(PYTHON);
    command.arg(script).arg(file).arg(announce).arg(torrent);
    if !announce.starts_with("udp") {
        // Transmission 3.00 reads no others.
        command.arg("v1");
    }
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

    fn has_ended(&self) -> bool {
        self.ended.try_recv() == Err(TryRecvError::Disconnected)
    }

    /// Waits until it has ended by itself.
    fn wait(&mut self, seeder: &Self, home: &Home, daemon: &Daemon) {
        if self.ended.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            panic!(
                "no file after {PATIENCE:?}\nleecher:\n{}\nseeder:\n{}\ntracker:\n{}\n{}",
                self.said(),
                seeder.said(),
                daemon.log(),
                home.stats()
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
