//! The configuration: every key with its comment, its type and its default in one place.
//!
//! `section!` makes from one declaration the struct that serde fills, its `Default`, and the comments of the file that
//! `config print` shows, so the documentation can't drift from the code. Read by `cli` and `daemon`; a value that
//! exists has passed [`Config::validate`]. Errors name file, line and what is allowed. Tests are below.
//!
//! - `declare`: the macros.
//! - `sections`: the tables; `http`: those of HTTP and TLS, and what its workers are given; `webtorrent`: WebTorrent's.
//! - `limits`: rate limits of sources; `metrics`: metrics and the export; `privileges`: user and chroot. `layers`: environment and `--set` over the file; `document`: docs/configuration.md.
//! - `changes`: what differs from another one. `checks`: ranges and relations; `refusal`: the errors.

use std::ops::Range;
use std::path::{Path, PathBuf};

use tracker_core::Limits;
use tracker_core::policy::{self, Policy};

#[macro_use]
mod declare;
mod changes;
mod checks;
mod document;
mod http;
mod layers;
mod limits;
mod metrics;
mod privileges;
mod refusal;
mod sections;
mod webtorrent;

pub use checks::Refusal;
use checks::within;
use declare::Key;
pub use http::{Http, Listen, ProxyHeader, Tls, TrustedProxy};
pub use layers::Layers;
pub use limits::RateLimits;
pub use metrics::{Export, Metrics};
pub use privileges::{Privileges, within as within_chroot};
pub use refusal::ConfigError;
pub use sections::{
    AccessList, AccessMode, BadConnectionId, BlockList, Control, LogFormat, LogLevel, Protocol, Swarm, Udp,
    UdpBackend, Xdp, XdpAnswer, XdpMode,
};
pub use webtorrent::WebTorrent;

section! {
    /// Configuration of tracker-user. Every key is optional; the values shown are the defaults.
    Config {
        /// Directory for what has to survive a restart: the keys of the connection ids, the access list.
        state_directory: PathBuf = PathBuf::from("/var/lib/tracker"),
        /// What is logged to stderr: "off", "error", "warn", "info", "debug" or "trace".
        log_level: LogLevel = LogLevel::Info,
        /// How it is written: "text", or "json" for one object a line.
        log_format: LogFormat = LogFormat::Text,
        tables {
            /// Answering inside the kernel.
            xdp: Xdp,
            /// UDP sockets.
            udp: Udp,
            /// HTTP and HTTPS.
            http: Http,
            /// Certificate and key of HTTPS.
            tls: Tls,
            /// WebTorrent over WebSocket.
            webtorrent: WebTorrent,
            /// What clients are told.
            protocol: Protocol,
            /// What one source may send.
            limits: RateLimits,
            /// The swarm table.
            swarm: Swarm,
            /// Which torrents are served.
            access_list: AccessList,
            /// Which networks are served.
            block_list: BlockList,
            /// Metrics for Prometheus.
            metrics: Metrics,
            /// All torrents to a file.
            export: Export,
            /// As whom the tracker runs.
            privileges: Privileges,
            /// The socket of `tracker-user map`.
            control: Control,
        }
    }
}

impl Config {
    /// Reads and checks a file.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| anyhow::anyhow!("configuration {}: {error}", path.display()))?;
        Ok(Self::parse(&path.display().to_string(), &text)?)
    }

    /// Checks the text of a file; `file` is what errors call it.
    pub fn parse(file: &str, text: &str) -> Result<Self, ConfigError> {
        let config = Self::parse_unchecked(file, text)?;
        config.validate().map_err(|(key, reason)| {
            ConfigError::at(file, text, refusal::span_of(text, key).unwrap_or(0..0), reason)
        })?;
        Ok(config)
    }

    /// Reads the text without looking at ranges and relations: something else may still change a value.
    fn parse_unchecked(file: &str, text: &str) -> Result<Self, ConfigError> {
        toml::from_str(text).map_err(|error| {
            let at: Range<usize> = error.span().unwrap_or(0..0);
            let mut reason = error.message().replace('\n', " ");
            if let Some(near) = refusal::nearest_field(&reason) {
                reason.push_str(&format!("; did you mean `{near}`?"));
            }
            ConfigError::at(file, text, at, reason)
        })
    }

    /// The tracker's terms.
    pub fn policy(&self) -> Policy {
        Policy {
            interval_s: self.protocol.interval_s,
            max_response_peers: self.protocol.max_response_peers,
            max_scrape_torrents: self.protocol.max_scrape_torrents,
            peer_lifetime_s: self.protocol.peer_lifetime_s,
            bad_connection_id: match self.udp.bad_connection_id {
                BadConnectionId::Error => {
                    policy::BadConnectionId::Error { per_second: self.udp.errors_per_second }
                }
                BadConnectionId::Drop => policy::BadConnectionId::Drop,
            },
            limits: self.limits.sources(),
        }
    }

    /// How large the swarm table may grow, and how long it remembers.
    pub fn limits(&self) -> Limits {
        Limits {
            max_torrents: self.swarm.max_torrents,
            max_peers: self.swarm.max_peers,
            max_peers_per_torrent: self.swarm.max_peers_per_torrent,
            max_torrents_per_address: self.swarm.max_torrents_per_address,
            peer_lifetime_s: self.protocol.peer_lifetime_s,
            first_buckets: Limits::FIRST_BUCKETS,
        }
    }

    /// The configuration as a file, with a comment on every key.
    pub fn commented(&self) -> String {
        let mut out = String::new();
        comment(&mut out, Self::ABOUT);
        out.push('\n');
        keys(&mut out, &self.keys());
        for (name, about, list) in self.tables() {
            out.push('\n');
            comment(&mut out, about);
            out.push_str(&format!("[{name}]\n"));
            keys(&mut out, &list);
        }
        out
    }

    fn tables(&self) -> [(&'static str, &'static [&'static str], Vec<Key>); 14] {
        [
            ("xdp", Xdp::ABOUT, self.xdp.keys()),
            ("udp", Udp::ABOUT, self.udp.keys()),
            ("http", Http::ABOUT, self.http.keys()),
            ("tls", Tls::ABOUT, self.tls.keys()),
            ("webtorrent", WebTorrent::ABOUT, self.webtorrent.keys()),
            ("protocol", Protocol::ABOUT, self.protocol.keys()),
            ("limits", RateLimits::ABOUT, self.limits.keys()),
            ("swarm", Swarm::ABOUT, self.swarm.keys()),
            ("access_list", AccessList::ABOUT, self.access_list.keys()),
            ("block_list", BlockList::ABOUT, self.block_list.keys()),
            ("metrics", Metrics::ABOUT, self.metrics.keys()),
            ("export", Export::ABOUT, self.export.keys()),
            ("privileges", Privileges::ABOUT, self.privileges.keys()),
            ("control", Control::ABOUT, self.control.keys()),
        ]
    }
}

fn comment(out: &mut String, lines: &[&str]) {
    for line in lines {
        out.push('#');
        out.push_str(line);
        out.push('\n');
    }
}

fn keys(out: &mut String, list: &[Key]) {
    for key in list {
        comment(out, key.comment);
        out.push_str(&format!("{} = {}\n", key.name, key.value));
    }
}

#[cfg(test)]
mod tests;
