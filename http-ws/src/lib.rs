//! The tracker over HTTP and HTTPS (PROTOCOL "HTTP"; BEP 3, 7, 21, 23, 24, 31, 48), and for WebTorrent over WebSocket (PROTOCOL "WebTorrent").
//!
//! A front end like the others: it reads the swarm table to build an answer, and emits an announce event; it never waits for the writer.
//! [`start`] makes worker threads, each with a current-thread runtime and a socket of its own of every listener, so that no two workers share
//! anything on the way of a request but the table.
//!
//! In reading order:
//!
//! - [`settings`]: limits and addresses; [`counters`]: what is counted.
//! - `server`: threads, listeners, the stop. `connection`: one connection from its acceptance to its end.
//! - `service`: a request and its answer. [`query`]: what an announce or scrape asks; `answer`: bencoded.
//! - [`proxy`]: whose request it is behind a reverse proxy.
//! - [`tls`]: certificates, keys and their reload.
//! - [`full_scrape`]: all torrents, streamed. `occasionally`: warnings that don't fill the log.
//! - [`webtorrent`]: connections that go on as WebSocket, with swarms of their own.

#![forbid(unsafe_code)]

mod answer;
mod body;
mod connection;
pub mod counters;
pub mod endpoint;
pub mod full_scrape;
mod occasionally;
pub mod proxy;
pub mod query;
mod scrape_entry;
mod server;
mod service;
pub mod settings;
mod slots;
pub mod tls;
pub mod webtorrent;
mod worker;

pub use endpoint::Endpoint;
pub use server::{Context, Listener, Server, start};
pub use settings::Settings;
