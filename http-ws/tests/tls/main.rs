//! TLS as the tracker serves it: which files it takes, what it says of those it doesn't, and handshakes in memory.

mod files;
mod handshake;
mod refusals;
mod self_signed;
mod support;
