//! Messages to the tracker, as text.
//!
//! Used by the rows of [`crate::ws::rows`] and by tests that need one particular message. Offers and answers are JSON text as it is:
//! the tracker forwards it untouched.

use std::fmt::Write as _;

/// A JSON string in which each byte is a code point: what the protocol has for 20 bytes.
pub fn binary(bytes: &[u8]) -> String {
    text(&bytes.iter().copied().map(char::from).collect::<String>())
}

/// A JSON string.
pub fn text(text: &str) -> String {
    serde_json::to_string(text).expect("any text is a JSON string")
}

/// What WebRTC has for an offer, with line ends and characters that JSON escapes.
pub const OFFER: &str = r#"{"type":"offer","sdp":"v=0\r\no=- 4863 2 IN IP4 127.0.0.1\r\ns=-\r\na=fingerprint:sha-256 \"AB\"\r\n"}"#;

/// What WebRTC has for an answer.
pub const ANSWER: &str = r#"{"type":"answer","sdp":"v=0\r\no=- 1111 2 IN IP4 127.0.0.1\r\ns=-\r\n"}"#;

/// An announce without an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announce {
    /// The torrent.
    pub info_hash: [u8; 20],
    /// Who announces.
    pub peer_id: [u8; 20],
    /// JSON of `left`; `None`: no such key.
    pub left: Option<&'static str>,
    /// JSON of `event`; `None`: no such key.
    pub event: Option<&'static str>,
    /// Ids of the offers, and the offers' JSON.
    pub offers: Vec<(String, String)>,
    /// What follows, with a comma in front.
    pub tail: String,
}

impl Default for Announce {
    fn default() -> Self {
        Self {
            info_hash: [0xaa; 20],
            peer_id: *b"-WW0102-abcdefghijkl",
            left: Some("1000000"),
            event: Some("\"started\""),
            offers: Vec::new(),
            tail: String::new(),
        }
    }
}

impl Announce {
    /// As JSON, with the keys in WebTorrent's order.
    pub fn text(&self) -> String {
        let mut text = format!(
            "{{\"numwant\":{},\"uploaded\":0,\"downloaded\":0,\"action\":\"announce\"",
            self.offers.len().max(1)
        );
        let mut key = |name: &str, value: &str| {
            write!(text, ",\"{name}\":{value}").expect("writing to a String");
        };
        if let Some(left) = self.left {
            key("left", left);
        }
        if let Some(event) = self.event {
            key("event", event);
        }
        key("info_hash", &binary(&self.info_hash));
        key("peer_id", &binary(&self.peer_id));
        if !self.offers.is_empty() {
            let offers: Vec<String> = self.offers.iter().map(|(id, offer)| one_offer(id, offer)).collect();
            key("offers", &format!("[{}]", offers.join(",")));
        }
        text + &self.tail + "}"
    }

    /// With offers of these ids.
    pub fn offering(self, ids: &[&str]) -> Self {
        let offers = ids.iter().map(|id| ((*id).to_owned(), OFFER.to_owned())).collect();
        Self { offers, ..self }
    }

    /// With `stopped`, `completed`, …
    pub fn event(self, event: &'static str) -> Self {
        Self { event: Some(event), ..self }
    }

    /// With more keys, as JSON.
    pub fn and(self, keys: &str) -> Self {
        Self { tail: format!("{},{keys}", self.tail), ..self }
    }
}

fn one_offer(id: &str, offer: &str) -> String {
    format!("{{\"offer\":{offer},\"offer_id\":{}}}", text(id))
}

/// An announce with an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The torrent.
    pub info_hash: [u8; 20],
    /// Who answers.
    pub peer_id: [u8; 20],
    /// Who has made the offer.
    pub to_peer_id: [u8; 20],
    /// The offer's id.
    pub offer_id: String,
    /// JSON.
    pub answer: String,
}

impl Answer {
    /// As JSON.
    pub fn text(&self) -> String {
        format!(
            "{{\"action\":\"announce\",\"info_hash\":{},\"peer_id\":{},\"to_peer_id\":{},\"answer\":{},\"offer_id\":{}}}",
            binary(&self.info_hash),
            binary(&self.peer_id),
            binary(&self.to_peer_id),
            self.answer,
            text(&self.offer_id)
        )
    }
}

/// A scrape of these torrents, as an array.
pub fn scrape(info_hashes: &[[u8; 20]]) -> String {
    let hashes: Vec<String> = info_hashes.iter().map(|hash| binary(hash)).collect();
    format!("{{\"action\":\"scrape\",\"info_hash\":[{}]}}", hashes.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_announce_is_json_with_a_code_point_for_each_byte() {
        let announce = Announce { info_hash: [0xff; 20], ..Announce::default() }.offering(&["\"1\u{80}"]);
        let value: serde_json::Value = serde_json::from_str(&announce.and("\"x\":[]").text()).unwrap();
        assert_eq!(value["info_hash"], "ÿ".repeat(20));
        assert_eq!(value["offers"][0]["offer_id"], "\"1\u{80}");
        assert_eq!(value["offers"][0]["offer"]["type"], "offer");
        assert_eq!(value["x"], serde_json::json!([]));
    }
}
