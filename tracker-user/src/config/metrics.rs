//! The tables of metrics and of the export, and their checks.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::within;
use crate::config::Refusal;
use crate::survey;

section! {
    /// Metrics for Prometheus, at http://ADDRESS/metrics. They tell how much is going on, not by whom; but there is no
    /// password, so keep them off public addresses.
    Metrics {
        /// Addresses with ports to listen on; []: no metrics. Port 0 takes a free one, which is printed at start.
        listen: Vec<SocketAddr> = vec![SocketAddr::from(([127, 0, 0, 1], 9969))],
        /// Seconds between two walks through the swarm table that count the peers of torrents, 1 to 86400.
        survey_interval_s: u32 = 60,
    }
}

section! {
    /// All torrents to a file, from time to time: a line for each torrent and family, with family (ipv4 or ipv6), info hash,
    /// seeders, leechers and completed downloads (of both families), with tabs between. It is replaced at once, so a
    /// reader never sees a part of it.
    Export {
        /// The file; "": none. Its directory has to be writable for the tracker.
        path: PathBuf = PathBuf::new(),
        /// Seconds between two exports, 1 to 604800.
        interval_s: u32 = 300,
    }
}

impl Metrics {
    pub(super) fn check(&self) -> Result<(), Refusal> {
        within("metrics.survey_interval_s", self.survey_interval_s, 1..=86_400)
    }
}

impl Export {
    pub(super) fn check(&self) -> Result<(), Refusal> {
        within("export.interval_s", self.interval_s, 1..=604_800)
    }

    /// What is to be exported.
    pub fn wanted(&self) -> Option<survey::Export> {
        let every = Duration::from_secs(self.interval_s.into());
        (!self.path.as_os_str().is_empty()).then(|| survey::Export { path: self.path.clone(), every })
    }
}
