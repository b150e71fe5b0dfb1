//! A tracker that speaks WebTorrent, and the clients beside it: all in one namespace, without a way out.

use std::fs;
use std::path::Path;
use std::thread;

use tracker_testkit::daemon::{Configuration, Daemon, Home};
use tracker_testkit::http::authority::Authority;
use tracker_testkit::netns::Namespace;
use tracker_testkit::node_modules;

use crate::process::Process;

/// Where the scripts are, in the source tree.
const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/webtorrent_clients");

/// The torrent that the tracker refuses.
pub(crate) const DENIED: &str = "dddddddddddddddddddddddddddddddddddddddd";

/// A way to the tracker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Ws,
    Wss,
    WsOverIpv6,
}

pub(crate) struct Tracker {
    daemon: Option<Daemon>,
    pub(crate) home: Home,
    namespace: Namespace,
}

impl Tracker {
    #[track_caller]
    pub(crate) fn start() -> Self {
        let namespace = machine();
        let home = Home::new(env!("CARGO_BIN_EXE_tracker-user"));
        let authority = Authority::new();
        let identity = authority.identity(&["127.0.0.1", "::1"]);
        home.write("authority.pem", &authority.pem());
        home.write("chain.pem", &identity.chain);
        home.write("key.pem", &identity.key);
        copy_scripts(&home.path("scripts"));
        // Clients leave things behind.
        fs::create_dir(home.path("files")).expect("the home is ours");
        configure(&home, &["http://127.0.0.1:0", "http://[::1]:0", "https://127.0.0.1:0"]);
        Self { daemon: Some(home.start(Some(&namespace))), home, namespace }
    }

    /// Kills it, so that no client hears of its end, and starts it where it was. Swarms are forgotten.
    #[track_caller]
    pub(crate) fn restart(&mut self) {
        let [plain, secure] = ["http", "https"].map(|scheme| self.daemon().http_address(scheme, false));
        drop(self.daemon.take());
        configure(&self.home, &[&format!("http://{plain}"), &format!("https://{secure}")]);
        self.daemon = Some(self.home.start(Some(&self.namespace)));
    }

    fn daemon(&self) -> &Daemon {
        self.daemon.as_ref().expect("it is started anew as soon as it is gone")
    }

    /// Its URL with this path.
    #[track_caller]
    pub(crate) fn url(&self, way: Way, path: &str) -> String {
        let (scheme, listener) = if way == Way::Wss { ("wss", "https") } else { ("ws", "http") };
        format!("{scheme}://{}{path}", self.daemon().http_address(listener, way == Way::WsOverIpv6))
    }

    /// Runs one of the scripts in Node, which trusts the tracker's certificate.
    pub(crate) fn node(&self, script: &str, arguments: &[&str]) -> Process {
        let mut command = self.namespace.command("node");
        command.arg(self.home.path("scripts").join(script)).args(arguments);
        command.env("NODE_EXTRA_CA_CERTS", self.home.path("authority.pem"));
        command.env("TMPDIR", self.home.path("files"));
        Process::start(script, command)
    }

    /// Opens a page in a browser, which trusts any certificate.
    pub(crate) fn browser(&self, page: &str) -> Process {
        // Its processes are many: in a namespace of their own they all end with the first.
        let mut command = self.namespace.command("unshare");
        command.args(["--pid", "--mount-proc", "--fork", "--kill-child=KILL", "--", "chromium"]);
        command.args(FLAGS);
        let files = self.home.path("files");
        command.arg(format!("--user-data-dir={}", files.join("profile").display())).arg(page);
        command.env("HOME", &files).env("TMPDIR", &files);
        Process::start("chromium", command)
    }

    /// Looks whether the tracker has counted this much of WebTorrent.
    #[track_caller]
    pub(crate) fn has_counted(&self, expected: &[(&str, u64)]) {
        let stats = self.home.stats();
        for (name, number) in expected {
            assert_eq!(stats["webtorrent"][name].as_u64(), Some(*number), "{name}: {stats}");
        }
    }

    /// Waits until the tracker knows of nobody: what a client leaves by going, however it goes.
    #[track_caller]
    pub(crate) fn is_left_alone(&self) {
        self.daemon().eventually("everybody is gone", || {
            let stats = self.home.stats();
            let none = |name: &str| stats["webtorrent"][name].as_u64() == Some(0);
            ["connections_open", "torrents", "peers", "seeders"].into_iter().all(none).then_some(())
        });
    }
}

impl Drop for Tracker {
    fn drop(&mut self) {
        if thread::panicking() {
            let stats = self.home.ask(&["map", "stats"]);
            eprintln!("{}", String::from_utf8_lossy(&stats.stdout));
        }
    }
}

/// Chromium's flags.
const FLAGS: &[&str] = &[
    "--headless",
    // It runs as root, in containers, too.
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    // Nothing that it does by itself, and nothing that it could ask others for.
    "--no-first-run",
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    // Addresses in offers would be names that only multicast DNS resolves.
    "--disable-features=WebRtcHideLocalIpsWithMdns",
    // The certificate is looked at by the clients in Node.
    "--ignore-certificate-errors",
    // One page opens the other, and neither is in front.
    "--disable-popup-blocking",
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
];

/// A namespace with an address that isn't loopback's, which WebRTC leaves out, and a route, by which browsers choose the address.
fn machine() -> Namespace {
    let machine = Namespace::new();
    machine.cable_to(&machine, "cable0", "cable1");
    machine.ip("address add 10.99.0.1/24 dev cable0");
    machine.ip("link set cable0 up");
    machine.ip("link set cable1 up");
    machine.ip("route add default via 10.99.0.2");
    machine
}

/// Scripts look for packages beside them, so they run from where a link to those is.
fn copy_scripts(to: &Path) {
    fs::create_dir(to).expect("the home is ours");
    for entry in fs::read_dir(SCRIPTS).expect("the source tree is there") {
        let from = entry.expect("the source tree is there").path();
        let is_script = from.extension().is_some_and(|extension| extension == "mjs" || extension == "html");
        if let (true, Some(name)) = (is_script, from.file_name()) {
            fs::copy(&from, to.join(name)).expect("the home is ours");
        }
    }
    std::os::unix::fs::symlink(node_modules::directory(), to.join("node_modules")).expect("the home is ours");
}

fn configure(home: &Home, listen: &[&str]) {
    let (chain, key) = (home.path("chain.pem"), home.path("key.pem"));
    let mut configuration = Configuration {
        access_list: Some(DENIED.to_owned()),
        // Two workers on any machine: clients of both have to find each other. The shortest interval: peers whose first try at WebRTC fails,
        // as it does on a machine that is too busy, get another one while the test waits.
        http: format!(
            "[http]\nlisten = {listen:?}\nworkers = 2\n[webtorrent]\ninterval_s = 30\n\
             [tls]\ncertificate = {chain:?}\nprivate_key = {key:?}\n"
        ),
        ..Configuration::sockets(&["127.0.0.1:0"])
    };
    configuration.setup.access_mode = "deny";
    home.configure(&configuration);
}
