//! What an operator can set, as the workers need it.

use std::time::Duration;

use tracker_core::BlockList;

use crate::proxy::ProxyHeader;
use crate::webtorrent;

/// Limits, timeouts and trust. The defaults are PROTOCOL's (H16, H17).
#[derive(Clone, Debug)]
pub struct Settings {
    /// Connections of all workers together; further ones are told to come back later (H15), or closed.
    pub max_connections: u32,
    /// Connections from one address (IPv6: one /64) at most; 0 for any number. Trusted proxies are exempt.
    pub max_connections_per_address: u32,
    /// From the first byte of a request, or the acceptance of a connection, to the end of its header; also how long a client may not
    /// take anything of its answer.
    pub request_timeout: Duration,
    /// Between two requests of a connection.
    pub idle_timeout: Duration,
    /// TLS handshakes at once in each worker; further ones wait, or take the place of one that has been going on for a second.
    pub max_handshakes: u32,
    /// From the acceptance of a connection to the end of its TLS handshake.
    pub handshake_timeout: Duration,
    /// Networks of reverse proxies whose word about the client's address counts (H16).
    pub trusted_proxies: BlockList,
    /// The header in which they say it.
    pub proxy_header: ProxyHeader,
    /// Whether the parameters `ip`, `ipv4` and `ipv6` count in requests that come through a trusted proxy (H08).
    pub use_ip_parameters: bool,
    /// Answer scrapes without an info hash with all torrents, to each source once in this time (H14); `None`: refuse them.
    pub full_scrape_every: Option<Duration>,
    /// WebTorrent; `None`: connections aren't upgraded.
    pub webtorrent: Option<webtorrent::Settings>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_connections: 65_536,
            max_connections_per_address: 64,
            request_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            max_handshakes: 256,
            handshake_timeout: Duration::from_secs(10),
            trusted_proxies: BlockList::default(),
            proxy_header: ProxyHeader::XForwardedFor,
            use_ip_parameters: false,
            full_scrape_every: None,
            webtorrent: Some(webtorrent::Settings::default()),
        }
    }
}
