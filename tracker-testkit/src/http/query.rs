//! Requests as bytes: targets of announces and scrapes, and whole requests.
//!
//! Used by the rows of [`crate::http::rows`] and by tests that need one particular request.

use std::fmt::Write as _;

/// The usual parameters of an announce; [`Announce::default`] is a leecher that has just started.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are BEP 3's, under its names")]
pub struct Announce {
    pub info_hash: [u8; 20],
    pub peer_id: [u8; 20],
    pub port: u16,
    pub uploaded: Option<u64>,
    pub downloaded: Option<u64>,
    pub left: Option<u64>,
    pub event: Option<&'static str>,
    pub numwant: Option<i64>,
    pub compact: Option<&'static str>,
    /// What follows, with its `&`.
    pub tail: String,
}

impl Default for Announce {
    fn default() -> Self {
        Self {
            info_hash: [0xaa; 20],
            peer_id: *b"-KT0001-abcdefghijkl",
            port: 51_413,
            uploaded: Some(0),
            downloaded: Some(0),
            left: Some(1_000_000),
            event: Some("started"),
            numwant: None,
            compact: None,
            tail: String::new(),
        }
    }
}

impl Announce {
    /// What the request line has between method and version.
    pub fn target(&self) -> String {
        format!("/announce?{}", self.query())
    }

    /// What follows the `?`.
    pub fn query(&self) -> String {
        let mut text = format!(
            "info_hash={}&peer_id={}&port={}",
            escaped(&self.info_hash),
            escaped(&self.peer_id),
            self.port
        );
        let numbers = [("uploaded", self.uploaded), ("downloaded", self.downloaded), ("left", self.left)];
        for (key, value) in numbers {
            if let Some(value) = value {
                write!(text, "&{key}={value}").expect("writing to a String");
            }
        }
        for (key, value) in [("event", self.event), ("compact", self.compact)] {
            if let Some(value) = value {
                write!(text, "&{key}={value}").expect("writing to a String");
            }
        }
        if let Some(numwant) = self.numwant {
            write!(text, "&numwant={numwant}").expect("writing to a String");
        }
        text + &self.tail
    }
}

/// The target of a scrape of these torrents.
pub fn scrape(info_hashes: &[[u8; 20]]) -> String {
    let parameters: Vec<String> =
        info_hashes.iter().map(|hash| format!("info_hash={}", escaped(hash))).collect();
    format!("/scrape?{}", parameters.join("&"))
}

/// Percent-encoded as most clients do it: all but RFC 3986's unreserved characters.
pub fn escaped(bytes: &[u8]) -> String {
    let mut text = String::new();
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            write!(text, "%{byte:02X}").expect("writing to a String");
        }
    }
    text
}

/// Percent-encoded throughout, with digits in this case.
pub fn all_escaped(bytes: &[u8], upper: bool) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let done = if upper { write!(text, "%{byte:02X}") } else { write!(text, "%{byte:02x}") };
        done.expect("writing to a String");
        text
    })
}

/// The version of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0: the connection ends with the answer.
    Http10,
    /// HTTP/1.1: the connection goes on.
    Http11,
}

/// A GET request with these header lines and no others but `Host`.
pub fn get(target: &[u8], headers: &[(&str, &[u8])], version: Version) -> Vec<u8> {
    let mut bytes = [b"GET ", target].concat();
    bytes.extend(match version {
        Version::Http10 => &b" HTTP/1.0\r\n"[..],
        Version::Http11 => b" HTTP/1.1\r\nHost: tracker.test\r\n",
    });
    for (name, value) in headers {
        bytes.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
    }
    bytes.extend(b"\r\n");
    bytes
}
