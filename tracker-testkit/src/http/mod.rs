//! The tracker over HTTP as its clients see it: rows as data, requests as bytes, answers read strictly.
//!
//! In reading order:
//!
//! - [`query`] writes requests, right ones and every kind of wrong one;
//! - [`connection`] carries them, plain or in TLS, and reads responses byte by byte; [`authority`] is whom its TLS trusts;
//! - [`answer`] reads what is bencoded, with a decoder that isn't the tracker's;
//! - [`case`](mod@case) is what a row of docs/protocol.md's HTTP table is made of, [`rows`] has them all;
//! - [`unread`] knows when the tracker has read what was sent;
//! - [`tracker`] runs a daemon for them, [`play`] plays them, in every [`Manner`]; [`nginx`] runs a proxy in front.

pub mod answer;
pub mod authority;
pub mod case;
pub mod connection;
pub mod nginx;
pub mod play;
pub mod query;
pub mod rows;
pub mod tracker;
pub mod unread;

pub use play::{Manner, check_all};
pub use tracker::{Place, Running};
