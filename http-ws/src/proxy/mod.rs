//! Whose request it is when a reverse proxy stands in front (H16).

use std::net::IpAddr;
use std::net::SocketAddr;

use tracker_core::BlockList;

/// In which header the trusted proxies name the client. One, not any: a proxy passes on what it doesn't set itself, and with it what clients
/// make up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyHeader {
    /// `X-Forwarded-For`: addresses, each proxy appends whom it got the request from.
    XForwardedFor,
    /// `X-Real-IP`: one address.
    XRealIp,
    /// `Forwarded` (RFC 7239): its `for` parameters.
    Forwarded,
}

/// The proxy doesn't say who the client is, or nothing that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoClientAddress;

/// The client's address from the values of all headers of that name, in their order: walked from the right past trusted proxies.
///
/// # Errors
///
/// [`NoClientAddress`].
pub fn client_address<'a>(
    _header: ProxyHeader,
    _values: impl DoubleEndedIterator<Item = &'a [u8]>,
    _trusted: &BlockList,
) -> Result<IpAddr, NoClientAddress> {
    unimplemented!()
}

/// What stands at the beginning of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preface {
    /// Not a whole header yet, but the beginning of one.
    Incomplete,
    /// A header of the PROXY protocol.
    Header {
        /// Its length in bytes.
        len: usize,
        /// The client; `None` when the proxy speaks for itself (LOCAL, UNKNOWN, an address family that isn't IP).
        source: Option<SocketAddr>,
    },
    /// Not a header of the PROXY protocol, or a bad one.
    Bad,
}

/// Bytes that a header of the PROXY protocol has at most: the caller needs no larger buffer.
pub const MAX_PREFACE: usize = 1024;

/// Reads a header of the PROXY protocol, version 1 or 2, from the beginning of a connection.
pub fn preface(_bytes: &[u8]) -> Preface {
    unimplemented!()
}
