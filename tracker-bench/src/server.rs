//! A server that is measured: a process with a directory of its own, killed when dropped; and how ours is configured.

use std::fs::{self, File, Permissions};
use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::certificate::Certificate;

/// A running server.
pub(crate) struct Running {
    child: Child,
    /// Its configuration and state; gone with it.
    scratch: tempfile::TempDir,
}

/// How a server shows that it is ready.
#[derive(Clone, Copy)]
pub(crate) enum Ready {
    /// It writes "ready" to its standard output.
    Says,
    /// It answers connections here.
    Accepts(SocketAddr),
}

/// A directory for a server, which may be one of a user without rights, as opentracker becomes.
pub(crate) fn scratch() -> Result<tempfile::TempDir> {
    let scratch = tempfile::tempdir().context("a temporary directory")?;
    fs::set_permissions(scratch.path(), Permissions::from_mode(0o755))?;
    Ok(scratch)
}

/// What runs the program that is appended: on the CPU beside the generator's, or on both.
pub(crate) fn command(takes_both_cpus: bool) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", if takes_both_cpus { "0,1" } else { "1" }]);
    command
}

impl Running {
    pub(crate) fn start(mut command: Command, scratch: tempfile::TempDir, ready: Ready) -> Result<Self> {
        let log = scratch.path().join("log");
        let stderr = File::create(&log).with_context(|| format!("cannot create {}", log.display()))?;
        let stdout = match ready {
            Ready::Says => Stdio::piped(),
            Ready::Accepts(_) => stderr.try_clone()?.into(),
        };
        let child = command.stdin(Stdio::null()).stdout(stdout).stderr(stderr).spawn();
        let child = child.with_context(|| format!("cannot start {command:?}"))?;
        let mut running = Self { child, scratch };
        if !running.is_ready(ready)? {
            bail!("{command:?} isn't ready: {}", running.said().trim_end());
        }
        Ok(running)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has written.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(self.scratch.path().join("log")).unwrap_or_default()
    }

    fn is_ready(&mut self, ready: Ready) -> Result<bool> {
        let address = match (ready, self.child.stdout.take()) {
            (Ready::Accepts(address), _) => address,
            (Ready::Says, stdout) => {
                let stdout = stdout.context("its standard output")?;
                for line in BufReader::new(stdout).lines() {
                    if line.context("cannot read from the daemon")? == "ready" {
                        return Ok(true);
                    }
                }
                return Ok(false);
            }
        };
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(10) && self.child.try_wait()?.is_none() {
            if TcpStream::connect(address).is_ok() {
                return Ok(true);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(false)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // After its own end both find no process any more, which is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port of loopback that neither TCP nor UDP uses.
pub(crate) fn free_port() -> Result<SocketAddr> {
    for _ in 0..100 {
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port is free")?;
        let address = tcp.local_addr()?;
        if UdpSocket::bind(address).is_ok() {
            return Ok(address);
        }
    }
    bail!("no port is free for both TCP and UDP")
}

/// Writes a file; where it is.
pub(crate) fn write(directory: &Path, name: &str, text: &str) -> Result<PathBuf> {
    let file = directory.join(name);
    fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(file)
}

/// Ours: one worker, and limits that no case meets.
pub(crate) fn our_configuration(
    scratch: &Path,
    http: SocketAddr,
    https: SocketAddr,
    certificate: &Certificate,
) -> String {
    let Certificate { chain, key } = certificate;
    let (scratch, chain, key) = (scratch.display(), chain.display(), key.display());
    format!(
        "state_directory = \"{scratch}/state\"\nlog_level = \"warn\"\n\n\
         [udp]\naddresses = [\"{http}\"]\n\n\
         [http]\nlisten = [\"http://{http}\", \"https://{https}\"]\nworkers = 1\nmax_connections = 100000\n\
         max_connections_per_address = 1000\nrequest_timeout_s = 3600\nidle_timeout_s = 3600\n\n\
         [tls]\ncertificate = \"{chain}\"\nprivate_key = \"{key}\"\n\n\
         [metrics]\nlisten = []\n\n[control]\nsocket = \"{scratch}/control.sock\"\n"
    )
}
