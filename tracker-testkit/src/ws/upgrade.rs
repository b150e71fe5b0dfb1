//! The HTTP request that makes a connection one of WebSocket (RFC 6455, section 4), and what it gets.

use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::http::connection::Response;

/// The key of RFC 6455's example; nothing depends on its being another one each time.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// An upgrade request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upgrade {
    /// `GET`.
    pub method: &'static str,
    /// Where to.
    pub target: String,
    /// `1.1`.
    pub version: &'static str,
    /// Header lines, all but `Host`.
    pub headers: Vec<(String, String)>,
}

impl Default for Upgrade {
    fn default() -> Self {
        Self::to("/")
    }
}

impl Upgrade {
    /// A good one, as browsers send it but for their lengths.
    pub fn to(target: &str) -> Self {
        let headers = [
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Key", KEY),
            ("Sec-WebSocket-Version", "13"),
        ];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self { method: "GET", target: target.to_owned(), version: "1.1", headers: headers.into() }
    }

    /// With another value for a header.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(found, _)| !found.eq_ignore_ascii_case(name));
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Without a header.
    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(found, _)| !found.eq_ignore_ascii_case(name));
        self
    }

    /// As bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let mut text =
            format!("{} {} HTTP/{}\r\nHost: tracker.test\r\n", self.method, self.target, self.version);
        for (name, value) in &self.headers {
            text += &format!("{name}: {value}\r\n");
        }
        (text + "\r\n").into_bytes()
    }
}

/// Whether a response says that the connection is WebSocket's from now on.
///
/// # Errors
///
/// What it says instead, or what is wrong with it.
pub fn is_accepted(response: &Response) -> Result<(), String> {
    if response.status != 101 {
        return Err(format!("status {}: {response:?}", response.status));
    }
    let lower = |name| response.header(name).unwrap_or_default().to_ascii_lowercase();
    if lower("upgrade") != "websocket" || lower("connection") != "upgrade" {
        return Err(format!("no upgrade to WebSocket: {response:?}"));
    }
    if response.header("sec-websocket-accept") != Some(&derive_accept_key(KEY.as_bytes())) {
        return Err(format!("not what the key becomes: {response:?}"));
    }
    let agreed = ["sec-websocket-extensions", "sec-websocket-protocol"];
    match response.headers.iter().any(|(name, _)| agreed.contains(&name.as_str())) {
        true => Err(format!("something is agreed upon: {response:?}")),
        false => Ok(()),
    }
}
