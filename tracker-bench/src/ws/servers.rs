//! The servers that are measured: how each is configured and started.

use std::net::SocketAddr;

use anyhow::{Context as _, Result};

use crate::certificate::Certificate;
use crate::programs::WsPrograms;
use crate::server::{self, Ready, Running, free_port, our_configuration, write};

/// Who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Ours,
    /// aquatic_ws, which has plain connections or TLS but not both.
    Aquatic {
        tls: bool,
    },
}

impl Who {
    pub(crate) const ALL: [Self; 3] = [Self::Ours, Self::Aquatic { tls: false }, Self::Aquatic { tls: true }];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Aquatic { .. } => "aquatic_ws",
        }
    }

    /// In names of cases.
    pub(crate) fn id(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Aquatic { .. } => "aquatic",
        }
    }

    /// Its two threads wait for each other, and on one CPU each waits for the other's turn to end: it needs two, and the generator
    /// goes wherever there is room.
    pub(crate) fn takes_both_cpus(self) -> bool {
        matches!(self, Self::Aquatic { .. })
    }

    /// Where the generator runs beside it.
    pub(crate) fn generator_cpus(self) -> &'static str {
        if self.takes_both_cpus() { "0,1" } else { "0" }
    }
}

/// A running server; killed when dropped.
pub(crate) struct Server {
    pub(crate) who: Who,
    running: Running,
    plain: SocketAddr,
    tls: SocketAddr,
}

impl Server {
    pub(crate) fn start(programs: &WsPrograms, who: Who, certificate: &Certificate) -> Result<Self> {
        let scratch = server::scratch()?;
        let (plain, tls) = (free_port()?, free_port()?);
        let path = scratch.path();
        let mut command = server::command(who.takes_both_cpus());
        let ready = match who {
            Who::Ours => {
                let file = write(path, "tracker.toml", &our_configuration(path, plain, tls, certificate))?;
                command.arg(programs.ours.tracker()).arg("-c").arg(file).args(["--xdp", "off"]);
                Ready::Says
            }
            Who::Aquatic { tls: with_tls } => {
                let address = if with_tls { tls } else { plain };
                let text = aquatic_configuration(address, with_tls.then_some(certificate));
                let file = write(path, "aquatic.toml", &text)?;
                command.arg(programs.aquatic().context("looked for before")?).arg("-c").arg(file);
                Ready::Accepts(address)
            }
        };
        Ok(Self { who, running: Running::start(command, scratch, ready)?, plain, tls })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.running.pid()
    }

    pub(crate) fn address(&self, tls: bool) -> SocketAddr {
        if tls { self.tls } else { self.plain }
    }
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
