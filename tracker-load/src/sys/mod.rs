//! The system calls that the standard library lacks. All unsafe code of this crate is here.

pub(crate) mod datagrams;
pub(crate) mod files;
pub(crate) mod poller;
pub(crate) mod xsk;
