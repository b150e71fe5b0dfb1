//! What the tracker's tests share. Never part of a release: only `[dev-dependencies]` name this crate.
//!
//! In reading order:
//!
//! - [`packet`] builds ethernet frames, right ones and every kind of wrong one;
//! - [`payload`] builds BEP 15 requests;
//! - [`verify`] reads an answer's frame and says what is wrong with it, [`answer`] its payload;
//! - [`rows`] has the protocol's rows as data, [`run`] plays them;
//! - [`netns`] makes hosts and cables, [`daemon`] runs the tracker in them, or a [`script`] in its place, [`sockets`], [`raw`] and
//!   [`client`] are clients there;
//! - [`http`] has the same for HTTP: requests, strict readers, rows, a certificate authority;
//! - [`ws`] has it for WebTorrent: frames, messages, rows;
//! - [`skip`] is for tests that need what is missing, [`node_modules`] are what some of them need.
//!
//! Nothing here uses the tracker's own parser, checksum or writer: a mistake there would hide itself.
//!
//! ```
//! use tracker_testkit::{packet, payload};
//!
//! let frame = packet::eth()
//!     .vlan(7)
//!     .ipv4([192, 0, 2, 1].into(), [192, 0, 2, 2].into())
//!     .udp(50_000, 6969)
//!     .payload(payload::connect(1))
//!     .build();
//! assert_eq!(frame.len(), 14 + 4 + 20 + 8 + 16);
//! ```

#![deny(unsafe_code)]

pub mod answer;
pub mod client;
pub mod daemon;
pub mod http;
pub mod netns;
pub mod node_modules;
pub mod packet;
pub mod payload;
pub mod raw;
pub mod rows;
pub mod run;
pub mod script;
pub mod skip;
pub mod sockets;
mod sys;
pub mod verify;
pub mod ws;
