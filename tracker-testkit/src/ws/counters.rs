//! What the tracker counts of WebTorrent, under the names of `tracker-user map stats --json`.

use crate::daemon::Home;

/// Connections that are open.
pub const CONNECTIONS_OPEN: &str = "connections_open";
/// Torrents that have peers.
pub const TORRENTS: &str = "torrents";
/// Peers.
pub const PEERS: &str = "peers";
/// Those of them that seed.
pub const SEEDERS: &str = "seeders";
/// Upgrades.
pub const CONNECTIONS: &str = "connections";
/// Announces without an answer in them.
pub const IN_ANNOUNCE: &str = "in_announce";
/// Announces with an answer in them.
pub const IN_ANSWER: &str = "in_answer";
/// Scrapes.
pub const IN_SCRAPE: &str = "in_scrape";
/// Messages that can't be read, or that ask for what there isn't.
pub const IN_INVALID: &str = "in_invalid";
/// Answers to announces.
pub const OUT_ANNOUNCE: &str = "out_announce";
/// Answers to scrapes.
pub const OUT_SCRAPE: &str = "out_scrape";
/// Failure reasons.
pub const OUT_ERROR: &str = "out_error";
/// Offers that have gone to somebody.
pub const OFFERS_FORWARDED: &str = "offers_forwarded";
/// Answers that have gone to who made the offer.
pub const ANSWERS_FORWARDED: &str = "answers_forwarded";
/// Answers to no offer.
pub const ANSWERS_UNMATCHED: &str = "answers_unmatched";
/// Connections closed because nobody took what was queued for them.
pub const CLOSED_SLOW: &str = "closed_slow";
/// Connections closed because nothing came.
pub const CLOSED_IDLE: &str = "closed_idle";
/// Connections closed because of what came.
pub const CLOSED_BAD: &str = "closed_bad";

/// The counts that go down again.
pub const NOW: [&str; 4] = [CONNECTIONS_OPEN, TORRENTS, PEERS, SEEDERS];

/// What is counted under this name.
#[track_caller]
pub fn counted(home: &Home, name: &str) -> u64 {
    all(home)[name].as_u64().unwrap_or_else(|| panic!("no number {name} in {}", all(home)))
}

/// Everything that is counted of WebTorrent.
#[track_caller]
pub fn all(home: &Home) -> serde_json::Value {
    home.stats()["webtorrent"].take()
}
