//! Who answers, and how each is configured and started.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::Programs;
use super::places::{Net, output};
use crate::http::load::{Population, info_hashes};
use crate::server::write;

pub(crate) const PORT: u16 = 6969;

/// A tracker, in one of its ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Xdp,
    Generic,
    Mmsg,
    IoUring,
    Aquatic,
    AquaticIoUring,
    Opentracker,
    Null,
    NullIoUring,
}

impl Who {
    pub(crate) const ALL: [Self; 9] = [
        Self::Xdp,
        Self::Generic,
        Self::Mmsg,
        Self::IoUring,
        Self::Aquatic,
        Self::AquaticIoUring,
        Self::Opentracker,
        Self::Null,
        Self::NullIoUring,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Xdp => "XDP, native",
            Self::Generic => "XDP, generic",
            Self::Mmsg => "sockets",
            Self::IoUring => "sockets, io_uring",
            Self::Aquatic => "aquatic_udp",
            Self::AquaticIoUring => "aquatic_udp, io_uring",
            Self::Opentracker => "opentracker",
            Self::Null => "null server",
            Self::NullIoUring => "null server, io_uring",
        }
    }

    /// In names of cases.
    pub(crate) fn id(self) -> &'static str {
        match self {
            Self::Xdp => "xdp",
            Self::Generic => "generic",
            Self::Mmsg => "sockets",
            Self::IoUring => "io_uring",
            Self::Aquatic => "aquatic",
            Self::AquaticIoUring => "aquatic-io_uring",
            Self::Opentracker => "opentracker",
            Self::Null => "null",
            Self::NullIoUring => "null-io_uring",
        }
    }

    /// Ours, through sockets.
    pub(crate) fn is_our_socket(self) -> bool {
        matches!(self, Self::Mmsg | Self::IoUring)
    }

    pub(crate) fn is_aquatic(self) -> bool {
        matches!(self, Self::Aquatic | Self::AquaticIoUring)
    }

    fn is_ours(self) -> bool {
        matches!(self, Self::Xdp | Self::Generic | Self::Mmsg | Self::IoUring)
    }

    /// Whether it is installed.
    pub(crate) fn is_there(self, programs: &Programs) -> bool {
        match self {
            Self::Aquatic => programs.aquatic().is_some(),
            // The one of another build has no io_uring, and refuses the key.
            Self::AquaticIoUring => programs.aquatic().is_some_and(|program| {
                let printed = Command::new(program).arg("-p").output();
                printed.is_ok_and(|printed| String::from_utf8_lossy(&printed.stdout).contains("use_io_uring"))
            }),
            Self::Opentracker => programs.opentracker().is_some(),
            _ => true,
        }
    }
}

/// A running tracker; killed when dropped.
pub(crate) struct Daemon {
    child: Child,
    pins: Option<PathBuf>,
}

impl Daemon {
    /// Starts one; `more` goes into its configuration file, if it has one.
    pub(crate) fn start(
        net: &Net,
        programs: &Programs,
        who: Who,
        scratch: &Path,
        torrents: u32,
        more: &str,
    ) -> Result<Self> {
        let address = format!("{}:{PORT}", net.tracker());
        let pins = Path::new("/sys/fs/bpf").join(format!("tracker-bench-{}", net.interface));
        let mut command = net.server().command("taskset");
        command.args(["-c", "1"]);
        match who {
            Who::Aquatic | Who::AquaticIoUring => {
                let program = programs.aquatic().context("looked for before")?;
                let io_uring = Who::AquaticIoUring.is_there(programs).then_some(who == Who::AquaticIoUring);
                let file =
                    write(scratch, "aquatic.toml", &(aquatic_configuration(&address, io_uring) + more))?;
                command.arg(program).arg("-c").arg(file);
            }
            Who::Opentracker => {
                // Debian's is built with a whitelist and serves nothing else.
                let population = Population { torrents, peers: 50, want: 30 };
                write(scratch, "whitelist", &info_hashes(population))?;
                command.arg(programs.opentracker().context("looked for before")?);
                command.args(["-i", net.tracker(), "-P", &PORT.to_string()]);
                // As root it changes its root directory to that of -d, and refuses to stay root.
                command.arg("-d").arg(scratch).args(["-u", "nobody", "-w", "/whitelist"]);
            }
            Who::Null | Who::NullIoUring => {
                command.arg(std::env::current_exe().context("the path of this program")?);
                command.args(["null", &address]);
                if who == Who::NullIoUring {
                    command.arg("--io-uring");
                }
            }
            Who::Xdp | Who::Generic | Who::Mmsg | Who::IoUring => {
                let mode = match who {
                    Who::Xdp => "native",
                    Who::Generic => "generic",
                    _ => "off",
                };
                let backend = if who == Who::IoUring { "io_uring" } else { "mmsg" };
                let text = our_configuration(scratch, &pins, &address, backend) + more;
                let file = write(scratch, "tracker.toml", &text)?;
                command.arg(&programs.tracker).arg("-c").arg(file);
                command.args(["--xdp", mode]);
                if mode != "off" {
                    command.args(["--iface", &net.interface]);
                }
            }
        }
        let log = scratch.join("daemon.log");
        let stderr = File::create(&log).with_context(|| format!("cannot create {}", log.display()))?;
        let stdout = if who.is_ours() { Stdio::piped() } else { Stdio::null() };
        let child = command.stdout(stdout).stderr(stderr).spawn();
        let child = child.with_context(|| format!("cannot start {command:?}"))?;
        let mut daemon = Self { child, pins: who.is_ours().then_some(pins) };
        let ready = if who.is_ours() { daemon.says_ready()? } else { daemon.answers_connects(net)? };
        let said = fs::read_to_string(&log).unwrap_or_default();
        if !ready || who == Who::IoUring && said.contains("io_uring") {
            bail!("{command:?} isn't ready: {}", said.trim_end());
        }
        Ok(daemon)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The daemon's last line of readiness is `ready`; its output ends when it could not start.
    fn says_ready(&mut self) -> Result<bool> {
        let stdout = self.child.stdout.take().context("stdout was piped")?;
        for line in BufReader::new(stdout).lines() {
            if line.context("cannot read from the daemon")? == "ready" {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What our daemon counts, for the message of a round that went wrong.
    pub(crate) fn statistics(&self, net: &Net, programs: &Programs, scratch: &Path) -> String {
        let mut ask = net.server().command(&programs.tracker);
        ask.arg("-c").arg(scratch.join("tracker.toml")).args(["map", "stats"]);
        output(ask).unwrap_or_default()
    }

    /// A tracker that doesn't say when it is ready is asked until it answers.
    fn answers_connects(&mut self, net: &Net) -> Result<bool> {
        let start = Instant::now();
        let request = [0, 0, 4, 0x17, 0x27, 0x10, 0x19, 0x80, 0, 0, 0, 0, 0, 0, 0, 1];
        net.client.inside(|| -> Result<bool> {
            let socket = UdpSocket::bind("0.0.0.0:0").context("a socket")?;
            socket.set_read_timeout(Some(Duration::from_millis(100)))?;
            socket.connect((net.tracker(), PORT))?;
            while start.elapsed() < Duration::from_secs(10) {
                // Refused until the port is open.
                let _refused = socket.send(&request);
                if socket.recv(&mut [0; 64]).is_ok_and(|len| len == 16) {
                    return Ok(true);
                }
                if self.child.try_wait()?.is_some() {
                    return Ok(false);
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            Ok(false)
        })
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // After its own end both find no process any more, which is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(pins) = &self.pins {
            let _ = fs::remove_dir_all(pins);
        }
    }
}

fn our_configuration(scratch: &Path, pins: &Path, address: &str, backend: &str) -> String {
    let (scratch, pins) = (scratch.display(), pins.display());
    format!(
        "state_directory = \"{scratch}/state\"\nlog_level = \"warn\"\n\n\
         [xdp]\npin_directory = \"{pins}\"\n\n\
         [udp]\naddresses = [\"{address}\"]\nbackend = \"{backend}\"\n\n\
         [limits]\nconnects_per_second = 0\nbad_ids_per_second = 0\n\n[http]\nlisten = []\n\n\
         [metrics]\nlisten = []\n\n[control]\nsocket = \"{scratch}/control.sock\"\n"
    )
}

/// One socket worker, and otherwise its defaults (30 peers in an answer at most).
fn aquatic_configuration(address: &str, io_uring: Option<bool>) -> String {
    let io_uring = io_uring.map_or_else(String::new, |uses| format!("use_io_uring = {uses}\n"));
    format!("socket_workers = 1\n\n[network]\naddress = \"{address}\"\n{io_uring}")
}
