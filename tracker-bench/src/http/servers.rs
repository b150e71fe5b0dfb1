//! The servers that are measured: how each is configured, started and filled.

use std::fmt::Write as _;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::load::{self, Population};
use crate::certificate::Certificate;
use crate::programs::HttpPrograms;
use crate::server::{self, Ready, Running, free_port, our_configuration, write};

/// Who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Ours,
    /// The bare server that answers what ours has answered once.
    Hyper,
    Opentracker,
    /// aquatic_http, which has plain connections or TLS but not both.
    Aquatic {
        tls: bool,
    },
}

impl Who {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Hyper => "bare hyper",
            Self::Opentracker => "opentracker",
            Self::Aquatic { .. } => "aquatic_http",
        }
    }

    /// In names of cases.
    pub(crate) fn id(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Hyper => "hyper",
            Self::Opentracker => "opentracker",
            Self::Aquatic { .. } => "aquatic",
        }
    }

    /// Its two threads wait for each other, and on one CPU each waits for the other's turn to end: it needs two, and the generator
    /// goes wherever there is room.
    pub(crate) fn takes_both_cpus(self) -> bool {
        matches!(self, Self::Aquatic { .. })
    }
}

/// A running server; killed when dropped.
pub(crate) struct Server {
    pub(crate) who: Who,
    running: Running,
    http: SocketAddr,
    https: SocketAddr,
}

impl Server {
    /// Starts a server, and lets the whole population announce unless it answers without looking.
    pub(crate) fn start(
        programs: &HttpPrograms,
        who: Who,
        certificate: &Certificate,
        sample: Option<&Path>,
        population: Population,
    ) -> Result<Self> {
        let scratch = server::scratch()?;
        let (http, https) = (free_port()?, free_port()?);
        let mut command = server::command(who.takes_both_cpus());
        let path = scratch.path();
        match who {
            Who::Ours => {
                let file = write(path, "tracker.toml", &our_configuration(path, http, https, certificate))?;
                command.arg(programs.tracker()).arg("-c").arg(file).args(["--xdp", "off"]);
            }
            Who::Hyper => {
                let sample = sample.context("the bare server answers what ours has answered")?;
                command.arg(std::env::current_exe().context("the path of this program")?).arg("floor");
                command.args(["--http", &http.to_string(), "--https", &https.to_string()]);
                command.arg("--sample").arg(sample).arg("--certificate").arg(&certificate.chain);
                command.arg("--private-key").arg(&certificate.key);
            }
            Who::Opentracker => {
                // Debian's is built with a whitelist and serves nothing else.
                write(path, "whitelist", &load::info_hashes(population))?;
                command.arg(programs.opentracker().context("looked for before")?);
                command.args(["-i", &http.ip().to_string()]);
                command.args(["-p", &http.port().to_string(), "-P", &http.port().to_string()]);
                // As root it changes its root directory to that of -d, and refuses to stay root.
                let whitelist = if is_root() { PathBuf::from("/whitelist") } else { path.join("whitelist") };
                command.arg("-d").arg(path).args(["-u", "nobody"]).arg("-w").arg(whitelist);
            }
            Who::Aquatic { tls } => {
                let address = if tls { https } else { http };
                let file =
                    write(path, "aquatic.toml", &aquatic_configuration(address, tls.then_some(certificate)))?;
                command.arg(programs.aquatic().context("looked for before")?).arg("-c").arg(file);
            }
        }
        let ready = match who {
            Who::Ours => Ready::Says,
            Who::Aquatic { tls: true } => Ready::Accepts(https),
            _ => Ready::Accepts(http),
        };
        let server = Self { who, running: Running::start(command, scratch, ready)?, http, https };
        server
            .fill(programs, population)
            .with_context(|| format!("filling {}: {}", who.name(), server.running.said()))?;
        Ok(server)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.running.pid()
    }

    pub(crate) fn address(&self, tls: bool) -> SocketAddr {
        if tls { self.https } else { self.http }
    }

    fn fill(&self, programs: &HttpPrograms, population: Population) -> Result<()> {
        match self.who {
            Who::Hyper => Ok(()),
            Who::Ours | Who::Opentracker => load::fill_over_udp(programs.load(), self.http, population),
            Who::Aquatic { tls } => load::fill_over_http(programs.load(), self.address(tls), tls, population),
        }
    }

    /// An answer of this server, head and body, to an announce of the population.
    pub(crate) fn sample(&self, population: Population) -> Result<Vec<u8>> {
        let mut socket = TcpStream::connect(self.http).context("cannot connect")?;
        socket.set_read_timeout(Some(Duration::from_secs(5)))?;
        let info_hash = load::info_hash(0).iter().fold(String::new(), |mut text, byte| {
            let _infallible = write!(text, "%{byte:02x}");
            text
        });
        write!(
            socket,
            "GET /announce?info_hash={info_hash}&peer_id=-XX0000-000000000000&port=1024&uploaded=0&downloaded=0&left=1\
             &numwant={}&compact=1 HTTP/1.1\r\nHost: {}\r\n\r\n",
            population.want, self.http
        )?;
        let mut answer = vec![0; 8192];
        let mut len = 0;
        loop {
            let read = socket.read(&mut answer[len..]).context("no answer")?;
            len += read;
            let text = &answer[..len];
            let complete = text.windows(4).position(|window| window == b"\r\n\r\n").is_some_and(|end| {
                let head = String::from_utf8_lossy(&text[..end]).to_ascii_lowercase();
                let length =
                    head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
                length.is_some_and(|length: usize| len >= end + 4 + length)
            });
            if complete {
                ensure!(text.starts_with(b"HTTP/1.1 200"), "no answer: {}", String::from_utf8_lossy(text));
                answer.truncate(len);
                return Ok(answer);
            }
            ensure!(read > 0, "no whole answer: {}", String::from_utf8_lossy(text));
        }
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|this| std::os::unix::fs::MetadataExt::uid(&this) == 0)
}

/// Its defaults, one socket worker and one swarm worker, but that idle connections stay.
fn aquatic_configuration(address: SocketAddr, certificate: Option<&Certificate>) -> String {
    let mut text = format!("[network]\naddress = \"{address}\"\n");
    if let Some(Certificate { chain, key }) = certificate {
        let (chain, key) = (chain.display(), key.display());
        text += &format!(
            "enable_tls = true\ntls_certificate_path = \"{chain}\"\ntls_private_key_path = \"{key}\"\n"
        );
    }
    text + "\n[cleaning]\nmax_connection_idle = 3600\n"
}
