//! What types can't check: ranges and relations.
//!
//! Called for every file that is read, and once more at start, since the command line may have changed something. Tests are in
//! [`super`].

use std::ops::RangeInclusive;

use tracker_common::table::layout::Cell;
use tracker_core::policy::BadPolicy;

use super::{Config, http};

/// The key, as `section.key`, and the reason.
pub type Refusal = (&'static str, String);

impl Config {
    /// Checks what types can't: ranges and relations. The error names the key, as `section.key`, and the reason.
    pub fn validate(&self) -> Result<(), Refusal> {
        if self.udp.addresses.is_empty() {
            return Err(("udp.addresses", "no address to listen on".to_owned()));
        }
        for (i, address) in self.udp.addresses.iter().enumerate() {
            if address.port() != 0 && self.udp.addresses[..i].contains(address) {
                return Err(("udp.addresses", format!("{address} is listed twice")));
            }
            if address.is_ipv6() && address.ip().to_canonical().is_ipv4() {
                return Err((
                    "udp.addresses",
                    format!("{address} is an IPv4 address: write {}", address.ip().to_canonical()),
                ));
            }
        }
        within("udp.workers_per_address", self.udp.workers_per_address, 0..=1024)?;
        within("udp.receive_buffer_bytes", self.udp.receive_buffer_bytes, 0..=i32::MAX as u32)?;
        within("udp.errors_per_second", self.udp.errors_per_second, 1..=u32::from(u16::MAX))?;
        http::check(&self.http, &self.tls)?;
        self.webtorrent.check()?;
        self.limits.check()?;
        self.metrics.check()?;
        self.export.check()?;
        self.check_privileges()?;
        let protocol = &self.protocol;
        within("protocol.interval_s", protocol.interval_s, 60..=MAX_INTERVAL_S)?;
        if !(1..=MAX_PEERS_V4).contains(&protocol.max_response_peers) {
            return Err((
                "protocol.max_response_peers",
                format!(
                    "{} is not within 1 to {MAX_PEERS_V4}: an IPv4 answer of more than {MAX_PEERS_V4} peers is longer than 1400 bytes \
                     and would be fragmented",
                    protocol.max_response_peers
                ),
            ));
        }
        within("protocol.max_scrape_torrents", protocol.max_scrape_torrents, 1..=100)?;
        match self.policy().check() {
            Ok(()) => {}
            Err(bad @ (BadPolicy::LifetimeTooShort { .. } | BadPolicy::LifetimeTooLong(_))) => {
                return Err(("protocol.peer_lifetime_s", bad.to_string()));
            }
            // The ranges above are narrower.
            Err(bad) => return Err(("protocol", bad.to_string())),
        }
        let ring = self.xdp.event_ring_bytes;
        if !ring.is_power_of_two() || !EVENT_RING_BYTES.contains(&ring) {
            return Err((
                "xdp.event_ring_bytes",
                format!(
                    "{ring} is not a power of two from {} to {}",
                    EVENT_RING_BYTES.start(),
                    EVENT_RING_BYTES.end()
                ),
            ));
        }
        within("swarm.max_torrents", self.swarm.max_torrents, 1..=100_000_000)?;
        within("swarm.max_peers", self.swarm.max_peers, 1..=1_000_000_000)?;
        // A deadline that is long past looks like one to come.
        let half_a_life = (self.protocol.peer_lifetime_s / 2).clamp(1, 3600);
        within("swarm.cleaning_interval_s", self.swarm.cleaning_interval_s, 1..=half_a_life)
    }
}

/// Refuses what is out of range.
pub(super) fn within(key: &'static str, value: u32, allowed: RangeInclusive<u32>) -> Result<(), Refusal> {
    if allowed.contains(&value) {
        return Ok(());
    }
    Err((key, format!("{value} is not within {} to {}", allowed.start(), allowed.end())))
}

/// The most peers in an IPv4 answer that isn't fragmented (PROTOCOL U22).
pub(super) const MAX_PEERS_V4: u32 = tracker_common::wire::MAX_PEERS_V4 as u32;

/// The kernel wants whole pages, which are 64 KiB at most.
const EVENT_RING_BYTES: RangeInclusive<u32> = 1 << 16..=1 << 30;

/// What a peer may be late beyond two intervals (PROTOCOL "Defaults").
const LIFETIME_GRACE_S: u32 = 600;

/// The longest lifetime that a deadline of the swarm table can hold.
pub(super) const MAX_LIFETIME_S: u32 = Cell::MAX_LIFETIME_S as u32;

/// The longest interval that leaves room for such a lifetime.
pub(super) const MAX_INTERVAL_S: u32 = (MAX_LIFETIME_S - LIFETIME_GRACE_S) / 2;
