//! The tracker as WebTorrent's clients see it: rows as data, messages as JSON in frames, answers read strictly.
//!
//! In reading order:
//!
//! - [`request`] writes messages, right ones and every kind of wrong one;
//! - [`message`] reads those of the tracker, with exact sets of keys;
//! - [`upgrade`] is the HTTP request that a connection begins with, and what it gets;
//! - [`frames`] are what messages are sent in, and [`client`] who sends and receives them, over a connection of [`crate::http`];
//! - [`case`](mod@case) is what a row of docs/protocol.md's WebTorrent table is made of, [`rows`] has them all;
//! - [`play`] plays them, in every [`Manner`];
//! - [`counters`] is what the tracker says of itself.

pub mod case;
pub mod client;
pub mod counters;
pub mod frames;
pub mod message;
pub mod play;
pub mod request;
pub mod rows;
pub mod upgrade;

pub use client::Client;
pub use play::{Manner, check_all};
