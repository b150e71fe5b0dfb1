//! A tracker under test: its files, its process, and what it says.
//!
//! A [`Home`] is the directory of one tracker (configuration, state, lists, control socket) and outlives its
//! process, so that a test can stop and start the tracker. Every port is chosen by the kernel and read from the
//! lines that the tracker prints before `ready`.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use crate::netns::Namespace;
use crate::rows::Setup;
use crate::{run, sys};

/// How long a start or a stop may take before the test fails; nothing is measured with it.
const PATIENCE: Duration = Duration::from_secs(30);

/// What goes into the configuration file.
#[derive(Clone, Debug)]
pub struct Configuration {
    /// Addresses to listen on.
    pub addresses: Vec<String>,
    /// Interfaces for XDP.
    pub interfaces: Vec<String>,
    /// `off`, `native`, `generic` or `auto`.
    pub xdp: &'static str,
    /// What the XDP program answers: `all` or `connect`.
    pub answer: &'static str,
    /// Directory on a BPF file system.
    pub pins: Option<PathBuf>,
    /// Lists and policies.
    pub setup: Setup,
    /// The text of the access list's file; `None`: the file is left as it is.
    pub access_list: Option<String>,
    /// The text of the block list's file.
    pub block_list: String,
    /// The tables `[http]` and `[tls]`, as they go into the file.
    pub http: String,
    /// `mmsg` or `io_uring`.
    pub backend: &'static str,
    /// More tables.
    pub more: String,
}

impl Configuration {
    /// UDP sockets alone, on free ports of these addresses.
    pub fn sockets(addresses: &[&str]) -> Self {
        Self {
            addresses: addresses.iter().map(|address| (*address).to_owned()).collect(),
            interfaces: Vec::new(),
            xdp: "off",
            answer: "all",
            pins: None,
            setup: Setup::default(),
            access_list: None,
            block_list: String::new(),
            http: http(&[]),
            backend: "mmsg",
            more: String::new(),
        }
    }

    /// With UDP sockets that are read so.
    pub fn with_backend(self, backend: &'static str) -> Self {
        Self { backend, ..self }
    }

    /// With HTTP on these addresses, as the configuration has them: `http://127.0.0.1:0`.
    pub fn with_http(self, listen: &[&str]) -> Self {
        Self { http: http(listen), ..self }
    }

    /// With the XDP program at an interface.
    pub fn with_xdp(self, mode: &'static str, interface: &str, pins: &Path) -> Self {
        Self { interfaces: vec![interface.to_owned()], xdp: mode, pins: Some(pins.to_owned()), ..self }
    }

    /// With an XDP program that answers `all` or `connect`.
    pub fn answering(self, answer: &'static str) -> Self {
        Self { answer, ..self }
    }

    /// With lists and policies, for hosts of these addresses and a path's marker torrents.
    pub fn with_setup(self, setup: &Setup, hosts: run::Hosts, markers: &[[u8; 20]]) -> Self {
        Self {
            setup: setup.clone(),
            access_list: Some(run::access_list(setup, markers)),
            block_list: hosts.block_list(setup),
            ..self
        }
    }
}

/// `[http]` with these listeners and one worker, so that announces are applied in their order.
fn http(listen: &[&str]) -> String {
    format!("[http]\nlisten = {listen:?}\nworkers = 1\n")
}

/// The files of one tracker.
#[derive(Debug)]
pub struct Home {
    directory: tempfile::TempDir,
    binary: PathBuf,
    environment: Vec<(String, String)>,
}

impl Home {
    /// A new directory for the tracker at `binary` (in tests `env!("CARGO_BIN_EXE_tracker-user")`).
    pub fn new(binary: impl Into<PathBuf>) -> Self {
        let directory =
            tempfile::Builder::new().prefix("tracker-home-").tempdir().expect("a temporary directory");
        Self { directory, binary: binary.into(), environment: Vec::new() }
    }

    /// A variable for all commands from now on.
    pub fn set_environment(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// A file of this tracker.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A file's text, empty when there is none.
    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// Writes a file.
    #[track_caller]
    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("the directory is ours");
    }

    /// Writes the configuration and the lists.
    #[track_caller]
    pub fn configure(&self, configuration: &Configuration) {
        let Configuration { setup, .. } = configuration;
        let pins = configuration.pins.clone().unwrap_or_else(|| self.path("no-pins"));
        let mut text = String::new();
        let mut line =
            |key: &str, value: String| writeln!(text, "{key}{value}").expect("writing to a String");
        let path = |name: &str| format!("{:?}", self.path(name));
        line("state_directory = ", path("state"));
        line("[xdp]", String::new());
        line("mode = ", format!("{:?}", configuration.xdp));
        line("answer = ", format!("{:?}", configuration.answer));
        line("interfaces = ", format!("{:?}", configuration.interfaces));
        line("pin_directory = ", format!("{pins:?}"));
        line("[udp]", String::new());
        line("addresses = ", format!("{:?}", configuration.addresses));
        line("backend = ", format!("{:?}", configuration.backend));
        line("bad_connection_id = ", format!("{:?}", setup.bad_connection_id));
        line("[protocol]", String::new());
        line("max_response_peers = ", setup.max_response_peers.to_string());
        line("max_scrape_torrents = ", setup.max_scrape_torrents.to_string());
        // The default reserves address space for millions of peers.
        line("[swarm]", String::new());
        line("max_torrents = ", "10_000".into());
        line("max_peers = ", "100_000".into());
        line("[access_list]", String::new());
        line("mode = ", format!("{:?}", setup.access_mode));
        line("path = ", path(ACCESS_LIST));
        if !configuration.block_list.is_empty() {
            line("[block_list]", String::new());
            line("path = ", path(BLOCK_LIST));
        }
        line("[control]", String::new());
        line("socket = ", path("control.sock"));
        line(&configuration.http, String::new());
        // Trackers of other tests run at the same time.
        if !configuration.more.contains("[metrics]") {
            line("[metrics]\nlisten = []", String::new());
        }
        // All clients of a test are one source, and as quick as they can be.
        if !configuration.more.contains("[limits]") {
            line("[limits]\nconnects_per_second = 0\nbad_ids_per_second = 0", String::new());
        }
        line(&configuration.more, String::new());
        self.write(CONFIGURATION, &text);
        self.write(BLOCK_LIST, &configuration.block_list);
        if let Some(list) = &configuration.access_list {
            self.write(ACCESS_LIST, list);
        }
    }

    /// The binary with this configuration and some more words, in a namespace or outside.
    pub fn command(&self, namespace: Option<&Namespace>, words: &[&str]) -> Command {
        let mut command = match namespace {
            Some(namespace) => namespace.command(&self.binary),
            None => Command::new(&self.binary),
        };
        command.arg("-c").arg(self.path(CONFIGURATION)).args(words);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs the binary to its end; the namespace does not matter to verbs that talk to the control socket.
    #[track_caller]
    pub fn ask(&self, words: &[&str]) -> Output {
        self.command(None, words).output().expect("the binary exists")
    }

    /// Runs a verb that has to succeed, and returns what it prints.
    #[track_caller]
    pub fn told(&self, words: &[&str]) -> String {
        let output = self.ask(words);
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("the binary prints text")
    }

    /// Runs a verb that has to fail, and returns what it complains about.
    #[track_caller]
    pub fn refused(&self, words: &[&str]) -> String {
        let output = self.ask(words);
        assert!(
            !output.status.success(),
            "{words:?} should fail: {}",
            String::from_utf8_lossy(&output.stdout)
        );
        String::from_utf8(output.stderr).expect("the binary prints text")
    }

    /// `map stats --json`.
    #[track_caller]
    pub fn stats(&self) -> serde_json::Value {
        let text = self.told(&["map", "stats", "--json"]);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in {text}"))
    }

    /// Starts the tracker and waits until it is ready.
    #[track_caller]
    pub fn start(&self, namespace: Option<&Namespace>) -> Daemon {
        self.try_start(namespace).unwrap_or_else(|failed| panic!("the tracker did not start: {failed}"))
    }

    /// Starts the tracker; the error is what it left on stderr, with its exit status.
    pub fn try_start(&self, namespace: Option<&Namespace>) -> Result<Daemon, String> {
        let log = self.path("stderr.log");
        let stderr = File::create(&log).expect("the directory is ours");
        let mut command = self.command(namespace, &[]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr);
        let mut child = command.spawn().expect("the binary exists");
        let stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let mut daemon = Daemon { child, log, told: Vec::new() };
        daemon.wait_for_ready(&lines).map(|()| daemon)
    }
}

/// Name of the configuration in a [`Home`].
pub const CONFIGURATION: &str = "tracker.toml";
/// Name of the access list in a [`Home`].
pub const ACCESS_LIST: &str = "access-list.txt";
/// Name of the block list in a [`Home`].
pub const BLOCK_LIST: &str = "block-list.txt";

/// A running tracker, killed on drop.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    log: PathBuf,
    told: Vec<String>,
}

impl Daemon {
    fn wait_for_ready(&mut self, lines: &Receiver<String>) -> Result<(), String> {
        loop {
            match lines.recv_timeout(PATIENCE) {
                Ok(line) if line == "ready" => return Ok(()),
                Ok(line) => self.told.push(line),
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    return Err(format!("not ready after {PATIENCE:?}; stderr:\n{}", self.log()));
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => {
                    let status = self.child.wait().expect("it is our child");
                    return Err(format!("{status}; stderr:\n{}", self.log()));
                }
            }
        }
    }

    /// The lines on stdout before `ready`.
    pub fn told(&self) -> &[String] {
        &self.told
    }

    /// What is on stderr by now.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Where it listens, from its announce URLs.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        let address = |line: &String| {
            let url = line.strip_prefix("announce udp://")?;
            url.strip_suffix("/announce")?.parse().ok()
        };
        self.told.iter().filter_map(address).collect()
    }

    /// The first address of a family.
    #[track_caller]
    pub fn address(&self, is_ipv6: bool) -> SocketAddr {
        let addresses = self.addresses();
        let found = addresses.iter().find(|address| address.is_ipv6() == is_ipv6);
        *found.unwrap_or_else(|| panic!("no address of the family in {:?}", self.told))
    }

    /// The first address of a family where `http`, `https`, `proxy+http` or `proxy+https` is spoken.
    #[track_caller]
    pub fn http_address(&self, scheme: &str, is_ipv6: bool) -> SocketAddr {
        let address = |line: &String| {
            // A listener for proxies has no URL that a client could announce to.
            let url = line.strip_prefix("announce ").or_else(|| line.strip_prefix("listen "))?;
            let address = url.strip_prefix(scheme)?.strip_prefix("://")?;
            address.strip_suffix("/announce").unwrap_or(address).parse().ok()
        };
        let mut found = self.told.iter().filter_map(address);
        found
            .find(|address: &SocketAddr| address.is_ipv6() == is_ipv6)
            .unwrap_or_else(|| panic!("no {scheme} address of the family in {:?}", self.told))
    }

    /// The process, which `nsenter` has become by exec.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal, for example `libc::SIGHUP`.
    #[track_caller]
    pub fn signal(&self, signal: i32) {
        sys::signal(&self.child, signal).expect("the tracker runs");
    }

    /// Sends SIGTERM and waits for the end; says how it ended and how long that took.
    #[track_caller]
    pub fn stop(mut self) -> (ExitStatus, Duration) {
        let begin = Instant::now();
        self.signal(libc::SIGTERM);
        let deadline = begin + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                return (status, begin.elapsed());
            }
            assert!(
                Instant::now() < deadline,
                "still there {PATIENCE:?} after SIGTERM; stderr:\n{}",
                self.log()
            );
            thread::yield_now();
        }
    }

    /// Waits until it has ended by itself or by a signal that was sent.
    #[track_caller]
    pub fn wait(mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                return status;
            }
            assert!(Instant::now() < deadline, "still there after {PATIENCE:?}; stderr:\n{}", self.log());
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Stops it and expects the good end.
    #[track_caller]
    pub fn stop_well(self) {
        let log = self.log.clone();
        let (status, _) = self.stop();
        let said = fs::read_to_string(log).unwrap_or_default();
        assert!(status.success(), "{status}, signal {:?}; stderr:\n{said}", status.signal());
    }

    /// Calls `found` until it has something, for effects that follow a signal; fails when that takes too long.
    #[track_caller]
    pub fn eventually<T>(&self, what: &str, mut found: impl FnMut() -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = found() {
                return found;
            }
            assert!(Instant::now() < deadline, "{what}: not after {PATIENCE:?}; stderr:\n{}", self.log());
            thread::yield_now();
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("stderr of the tracker:\n{}", self.log());
        }
    }
}

/// The kind of an I/O error that tells a socket with a timeout that nothing came.
pub(crate) fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}
