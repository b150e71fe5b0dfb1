//! Where to listen and what is spoken there, as one word of the configuration: `http://0.0.0.0:6969`, `https://[::]:443`,
//! `proxy+http://127.0.0.1:8080`.

use std::net::SocketAddr;

/// One listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Address and port; port 0 takes a free one.
    pub address: SocketAddr,
    /// TLS or plain.
    pub tls: bool,
    /// Connections from trusted proxies begin with a header of the PROXY protocol, version 1 or 2.
    pub proxy_protocol: bool,
}
