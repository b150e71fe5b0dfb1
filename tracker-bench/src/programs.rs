//! Where the programs are that take part.

use std::path::{Path, PathBuf};

use clap::Args;

/// What takes part everywhere.
#[derive(Args, Clone)]
pub(crate) struct Ours {
    /// The daemon
    #[arg(long, value_name = "FILE", default_value = "target/release/tracker-user")]
    tracker: PathBuf,
    /// The load generator
    #[arg(long, value_name = "FILE", default_value = "target/release/tracker-load")]
    load: PathBuf,
}

impl Ours {
    pub(crate) fn tracker(&self) -> &Path {
        &self.tracker
    }

    pub(crate) fn load(&self) -> &Path {
        &self.load
    }
}

/// For HTTP.
#[derive(Args, Clone)]
pub(crate) struct HttpPrograms {
    #[command(flatten)]
    ours: Ours,
    /// opentracker, to be measured beside; looked for in PATH
    #[arg(long, value_name = "FILE")]
    opentracker: Option<PathBuf>,
    /// aquatic_http, to be measured beside; looked for in PATH and in $CARGO_HOME/bin
    #[arg(long, value_name = "FILE")]
    aquatic_http: Option<PathBuf>,
}

impl HttpPrograms {
    pub(crate) fn tracker(&self) -> &Path {
        self.ours.tracker()
    }

    pub(crate) fn load(&self) -> &Path {
        self.ours.load()
    }

    pub(crate) fn opentracker(&self) -> Option<PathBuf> {
        self.opentracker.clone().or_else(|| find("opentracker"))
    }

    pub(crate) fn aquatic(&self) -> Option<PathBuf> {
        self.aquatic_http.clone().or_else(|| find("aquatic_http"))
    }
}

/// For WebSocket.
#[derive(Args, Clone)]
pub(crate) struct WsPrograms {
    #[command(flatten)]
    pub(crate) ours: Ours,
    /// aquatic_ws, to be measured beside; looked for in PATH and in $CARGO_HOME/bin
    #[arg(long, value_name = "FILE")]
    aquatic_ws: Option<PathBuf>,
}

impl WsPrograms {
    pub(crate) fn aquatic(&self) -> Option<PathBuf> {
        self.aquatic_ws.clone().or_else(|| find("aquatic_ws"))
    }
}

/// A program in PATH or where cargo installs.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories = std::env::split_paths(&path).chain(home.map(|home| home.join("bin")));
    directories.map(|directory| directory.join(name)).find(|file| file.is_file())
}
