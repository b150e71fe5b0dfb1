//! From HTTP to WebSocket: the request as browsers write it, and the verdict on the answer.

use std::net::SocketAddr;

use tungstenite::handshake::derive_accept_key;

/// Chosen once: a server sees nothing but 24 characters.
const KEY: &str = "dHJhY2tlci1sb2FkIHdzIQ==";

/// The longest header that is taken.
pub(crate) const LONGEST: usize = 8 << 10;

/// Asks one tracker for WebSocket.
pub(crate) struct Upgrade {
    request: Vec<u8>,
    /// What the answer has to prove.
    accept: String,
}

/// Bytes that were received, looked at as the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It isn't all there yet.
    Incomplete,
    /// So many bytes, and what follows are frames.
    Upgraded(usize),
    /// Another status, or an upgrade that isn't what was asked for.
    Refused,
}

impl Upgrade {
    pub(crate) fn new(target: SocketAddr, path: &str) -> Self {
        // Browsers offer compression; a tracker may decline it, and here it must: nothing would unpack it.
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {target}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Origin: https://webtorrent.example\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\
             Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n"
        );
        Self { request: request.into_bytes(), accept: derive_accept_key(KEY.as_bytes()) }
    }

    pub(crate) fn request(&self) -> &[u8] {
        &self.request
    }

    pub(crate) fn judge(&self, received: &[u8]) -> Answer {
        let Some(end) = memchr::memmem::find(received, b"\r\n\r\n") else {
            return if received.len() < LONGEST { Answer::Incomplete } else { Answer::Refused };
        };
        let mut lines = received[..end].split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
        if !lines.next().unwrap_or_default().starts_with(b"HTTP/1.1 101") {
            return Answer::Refused;
        }
        let (mut accepted, mut upgraded) = (false, false);
        for line in lines {
            let Some(colon) = memchr::memchr(b':', line) else { return Answer::Refused };
            let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
            if name.eq_ignore_ascii_case(b"sec-websocket-accept") {
                accepted = value == self.accept.as_bytes();
            } else if name.eq_ignore_ascii_case(b"upgrade") {
                upgraded = value.eq_ignore_ascii_case(b"websocket");
            } else if name.eq_ignore_ascii_case(b"sec-websocket-extensions") {
                return Answer::Refused;
            }
        }
        if accepted && upgraded { Answer::Upgraded(end + 4) } else { Answer::Refused }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upgrade() -> Upgrade {
        Upgrade::new("127.0.0.1:6969".parse().unwrap(), "/announce")
    }

    fn answer(status: &str, accept: &str, more: &str) -> String {
        format!(
            "HTTP/1.1 {status}\r\nconnection: Upgrade\r\nupgrade: WebSocket\r\nsec-websocket-accept: {accept}\r\n{more}\r\n"
        )
    }

    #[test]
    fn answer_is_complete_at_its_last_byte() {
        let upgrade = upgrade();
        let whole = answer("101 Switching Protocols", &upgrade.accept, "");
        for len in 0..whole.len() {
            assert_eq!(upgrade.judge(&whole.as_bytes()[..len]), Answer::Incomplete, "{len} bytes");
        }
        let behind = format!("{whole}frames");
        assert_eq!(upgrade.judge(behind.as_bytes()), Answer::Upgraded(whole.len()));
    }

    #[test]
    fn what_is_no_upgrade_is_refused() {
        let upgrade = upgrade();
        let accept = upgrade.accept.as_str();
        for whole in [
            answer("200 OK", accept, ""),
            answer("400 Bad Request", accept, ""),
            answer("101 Switching Protocols", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", ""),
            answer("101 Switching Protocols", accept, "Sec-WebSocket-Extensions: permessage-deflate\r\n"),
            "HTTP/1.1 101 Switching Protocols\r\n\r\n".to_owned(),
            "x".repeat(LONGEST),
        ] {
            assert_eq!(upgrade.judge(whole.as_bytes()), Answer::Refused, "{whole}");
        }
    }

    #[test]
    fn request_asks_for_the_path() {
        let upgrade = upgrade();
        let text = str::from_utf8(upgrade.request()).unwrap();
        assert!(text.starts_with("GET /announce HTTP/1.1\r\nHost: 127.0.0.1:6969\r\n"), "{text}");
        assert!(text.ends_with("\r\n\r\n"));
    }
}
