//! The table of WebTorrent, its checks, and what the workers are given.

use std::time::Duration;

use http_ws::webtorrent::Settings;

use super::within;
use crate::config::Refusal;

section! {
    /// WebTorrent: offers and answers between browsers, over WebSocket on all addresses of http.listen, at /, /announce, /ws.
    WebTorrent {
        /// Whether connections are upgraded to WebSocket.
        enabled: bool = true,
        /// Seconds between two announces of a client, 30 to 86400; each is told up to 10 % more or less. A peer that doesn't
        /// announce again for two intervals and ten minutes leaves its swarm, though its connection is open.
        interval_s: u32 = 120,
        /// Offers of an announce that are forwarded, 1 to 100.
        max_offers: u32 = 10,
        /// Seconds of silence after which a connection is closed, 1 to 86400. Clients are pinged in a quarter of that: below the
        /// 60 s after which reverse proxies close by default.
        idle_timeout_s: u32 = 180,
        /// Bytes that may wait for a client to take them, 16384 to 67108864; a connection with more is closed.
        max_queue_bytes: u32 = 262_144,
        /// Torrents that a connection may announce, 1 to 1000000.
        max_torrents_per_connection: u32 = 10_000,
        /// Peers in all swarms of WebTorrent, 1 to 1000000000; each takes some 200 bytes.
        max_peers: u32 = 1_000_000,
    }
}

impl WebTorrent {
    pub(super) fn check(&self) -> Result<(), Refusal> {
        within("webtorrent.interval_s", self.interval_s, 30..=86_400)?;
        within("webtorrent.max_offers", self.max_offers, 1..=100)?;
        within("webtorrent.idle_timeout_s", self.idle_timeout_s, 1..=86_400)?;
        within("webtorrent.max_queue_bytes", self.max_queue_bytes, 16_384..=67_108_864)?;
        within("webtorrent.max_torrents_per_connection", self.max_torrents_per_connection, 1..=1_000_000)?;
        within("webtorrent.max_peers", self.max_peers, 1..=1_000_000_000)
    }

    /// What the workers are given; `None`: no WebTorrent.
    pub(super) fn settings(&self) -> Option<Settings> {
        self.enabled.then(|| Settings {
            interval_s: self.interval_s,
            max_offers: self.max_offers,
            idle_timeout: Duration::from_secs(self.idle_timeout_s.into()),
            max_queue_bytes: self.max_queue_bytes as usize,
            max_torrents_per_connection: self.max_torrents_per_connection,
            max_peers: self.max_peers.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    #[test]
    fn it_can_be_turned_off() {
        let off = Config::parse("tracker.toml", "webtorrent.enabled = false").expect("it is a good file");
        assert!(
            off.http_settings().webtorrent.is_none()
                && Config::default().http_settings().webtorrent.is_some()
        );
    }

    #[test]
    fn numbers_out_of_range_are_refused() {
        for (key, range) in [
            ("interval_s", "30 to 86400"),
            ("max_offers", "1 to 100"),
            ("idle_timeout_s", "1 to 86400"),
            ("max_queue_bytes", "16384 to 67108864"),
            ("max_torrents_per_connection", "1 to 1000000"),
            ("max_peers", "1 to 1000000000"),
        ] {
            let refusal = Config::parse("tracker.toml", &format!("[webtorrent]\n{key} = 0\n"));
            let message = refusal.expect_err("0 is nothing").to_string();
            assert!(message.starts_with("tracker.toml:2: ") && message.contains(range), "{message}");
        }
    }
}
