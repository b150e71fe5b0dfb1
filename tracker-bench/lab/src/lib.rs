//! What the laboratory's BPF programs (`tracker-ebpf/lab`) and the bench (`tracker-bench`) must agree on.
//!
//! - [`population`]: torrents and peers by number, and the certificate that each peer carries.
//! - [`traffic`]: what the generator is told to make, and how a request tells the far end what its answer may hold.
//! - [`tally`]: what is counted.
//! - [`reference`](mod@reference): the layouts of the program that ours is measured beside.

#![no_std]
#![forbid(unsafe_code)]

pub mod population;
pub mod reference;
pub mod tally;
pub mod traffic;

#[cfg(test)]
extern crate std;

/// Names of programs and maps in the laboratory's object.
pub mod names {
    /// Array of one [`Traffic`](crate::traffic::Traffic).
    pub const TRAFFIC: &str = "TRAFFIC";
    /// Per-CPU array of one [`Tally`](crate::tally::Tally).
    pub const TALLY: &str = "TALLY";
    /// Array of one [`Evidence`](crate::tally::Evidence).
    pub const EVIDENCE: &str = "EVIDENCE";
    /// Array of one [`Config`](crate::reference::Config).
    pub const REFERENCE_CONFIG: &str = "REF_CONFIG";
    /// Buckets of the reference.
    pub const REFERENCE_BUCKETS: &str = "REF_BUCKETS";
    /// Torrents of the reference.
    pub const REFERENCE_TORRENTS: &str = "REF_TORRENTS";
    /// Lines of the reference.
    pub const REFERENCE_LINES: &str = "REF_LINES";
    /// Ring buffer of the reference.
    pub const REFERENCE_EVENTS: &str = "REF_EVENTS";
}
