//! Whose request it is when a reverse proxy stands in front (H16): by a header of each request, or by the PROXY protocol's header at the
//! beginning of the connection.
//!
//! The service calls [`client_address`], the connection [`preface`]; both only when the other end of the connection is a trusted proxy: nothing
//! here asks who sent the bytes. `chain` walks along the proxies; `forwarded` takes RFC 7239's header apart; `protocol` is the PROXY protocol.
//! Nothing is allocated, and no input takes more than one pass.
//!
//! Tests: `tests` for the headers, `protocol::tests`; fuzz target `proxy`.

mod chain;
mod forwarded;
mod protocol;
#[cfg(test)]
mod tests;

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

pub use chain::{NoClientAddress, client_address};
pub use protocol::{MAX_PREFACE, Preface, preface};

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

/// Not a header that names the client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("proxy header \"{}\": expected x-forwarded-for, x-real-ip or forwarded", .0.escape_debug())]
pub struct UnknownProxyHeader(String);

impl ProxyHeader {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::XForwardedFor, Self::XRealIp, Self::Forwarded];

    /// The header's name, in lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::XForwardedFor => "x-forwarded-for",
            Self::XRealIp => "x-real-ip",
            Self::Forwarded => "forwarded",
        }
    }
}

impl Display for ProxyHeader {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

impl FromStr for ProxyHeader {
    type Err = UnknownProxyHeader;

    fn from_str(name: &str) -> Result<Self, UnknownProxyHeader> {
        let known = Self::ALL.into_iter().find(|header| header.name().eq_ignore_ascii_case(name));
        known.ok_or_else(|| UnknownProxyHeader(name.to_owned()))
    }
}
