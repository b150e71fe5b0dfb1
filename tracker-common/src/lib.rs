//! What both sides of the kernel boundary must agree on.
//!
//! The XDP program (`tracker-ebpf`) and the daemon (`tracker-core`, `tracker-user`) compile the same code from here: whatever is
//! decided about a packet is decided once. Nothing in this crate does I/O, reads a clock or allocates.
//!
//! In reading order:
//!
//! - [`wire`]: BEP 15 as constants, request parsing and the texts of error answers.
//! - [`siphash`], [`connection_id`]: the keyed hash, and the ids that prove a source address.
//! - [`source`]: which sources are never answered.
//! - [`sketch`]: the rate limit of error answers.
//! - [`checksum`], [`frame`]: Internet checksums; frames as bytes, headers found and rewritten.
//! - [`journey`]: a packet's way through the XDP program, generic over the frame and the maps.
//! - [`verdict`], [`counters`]: what can become of a packet; one counter for each.
//! - [`terms`], [`scratch`]: what an answer may hold; memory that a front end keeps between packets.
//! - [`settings`]: names and values of the maps that the daemon writes and the program reads.
//! - [`event`], [`table`]: announce events; the swarm table's layouts and its read path.
//!
//! ```
//! use tracker_common::connection_id::{Address, Epoch, Keys, issue, verify};
//!
//! let keys = Keys::from_bytes(&[7; Keys::BYTES]);
//! let client = Address::V4([192, 0, 2, 1]);
//! let id = issue(&keys, &client, Epoch(5));
//! assert!(verify(&keys, &client, Epoch(6), id).is_ok());
//! assert!(verify(&keys, &client, Epoch(7), id).is_err());
//! ```

#![no_std]
#![forbid(unsafe_code)]

pub mod checksum;
pub mod connection_id;
pub mod counters;
pub mod event;
pub mod frame;
pub mod journey;
pub mod scratch;
pub mod settings;
pub mod siphash;
pub mod sketch;
pub mod source;
pub mod table;
pub mod terms;
pub mod verdict;
pub mod wire;

#[cfg(test)]
extern crate std;
