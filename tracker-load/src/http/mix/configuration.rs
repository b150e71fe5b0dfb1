//! What is asked for over HTTP.

use anyhow::{Result, ensure};

use crate::options::options;
use crate::stream::tls::Handshakes;

options! {
    /// Connections at once, with one request under way on each
    connections: u32 = 64,
    /// A connection for each request, instead of keeping them alive
    close: bool = false,
    /// Over TLS, with handshakes that are "full" or "resumed"; "" without
    tls: String = String::new(),
    /// Peers wanted in an answer
    want: u32 = 30,
}

impl Configuration {
    fn check(&self) -> Result<()> {
        ensure!((1..=65_536).contains(&self.connections), "connections are from 1 to 65536");
        ensure!(self.announces + self.scrapes > 0, "all weights are 0");
        ensure!(self.want <= 10_000, "want is 10000 at most");
        self.handshakes().map(drop)
    }

    /// How connections become TLS, if they do.
    pub(super) fn handshakes(&self) -> Result<Option<Handshakes>> {
        match self.tls.as_str() {
            "" => Ok(None),
            "full" => Ok(Some(Handshakes::Full)),
            "resumed" => Ok(Some(Handshakes::Resumed)),
            other => anyhow::bail!("tls: `{other}` is none of: full, resumed"),
        }
    }
}
