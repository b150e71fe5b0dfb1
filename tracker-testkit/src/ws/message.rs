//! The tracker's messages, read strictly: a key that nobody knows, is missing or comes twice is an error.
//!
//! Offers and answers are kept as the text that they are, to see whether they have been touched.

use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::answer::Counts;

/// A message of the tracker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// To an announce (W04).
    Announced {
        /// The torrent.
        info_hash: [u8; 20],
        /// Seconds until the next announce.
        interval: u64,
        /// Seeders.
        complete: u64,
        /// Leechers.
        incomplete: u64,
    },
    /// Somebody's offer (W01).
    Offer(Forwarded),
    /// Somebody's answer (W02).
    Answer(Forwarded),
    /// To a scrape (W06): each torrent once, in the order of the answer.
    Scraped {
        /// The torrents.
        files: Vec<([u8; 20], Counts)>,
        /// Seconds.
        min_request_interval: u64,
    },
    /// `failure reason` (W03).
    Failure {
        /// `announce` or `scrape`.
        action: String,
        /// For a person to read.
        reason: String,
        /// The torrent, when the request had one.
        info_hash: Option<[u8; 20]>,
    },
}

/// What one peer says to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forwarded {
    /// The torrent.
    pub info_hash: [u8; 20],
    /// Who says it.
    pub peer_id: [u8; 20],
    /// The offer's id.
    pub offer_id: String,
    /// The offer's or the answer's JSON.
    pub content: String,
}

impl Message {
    /// Reads a message.
    ///
    /// # Errors
    ///
    /// What is wrong with it, as a sentence.
    pub fn read(text: &str) -> Result<Self, String> {
        let mut object = Object::read(text)?;
        let action = object.need_string("action")?;
        let message = if let Some(reason) = object.take("failure reason") {
            if !["announce", "scrape"].contains(&action.as_str()) {
                return Err(format!("the action is {action:?}"));
            }
            let info_hash = object.take("info_hash").map(|raw| bytes(&raw)).transpose()?;
            Self::Failure { action, reason: string(&reason)?, info_hash }
        } else if action == "scrape" {
            Self::scraped(&mut object)?
        } else if action == "announce" {
            Self::announced(&mut object)?
        } else {
            return Err(format!("the action is {action:?}"));
        };
        object.is_empty()?;
        Ok(message)
    }

    fn announced(object: &mut Object) -> Result<Self, String> {
        let info_hash = bytes(&object.need("info_hash")?)?;
        for (key, make) in [("offer", Self::Offer as fn(Forwarded) -> Self), ("answer", Self::Answer)] {
            if let Some(content) = object.take(key) {
                let peer_id = bytes(&object.need("peer_id")?)?;
                let offer_id = object.need_string("offer_id")?;
                return Ok(make(Forwarded { info_hash, peer_id, offer_id, content }));
            }
        }
        Ok(Self::Announced {
            info_hash,
            interval: object.need_number("interval")?,
            complete: object.need_number("complete")?,
            incomplete: object.need_number("incomplete")?,
        })
    }

    fn scraped(object: &mut Object) -> Result<Self, String> {
        let files = Object::read(&object.need("files")?)?;
        let mut torrents: Vec<([u8; 20], Counts)> = Vec::new();
        for (key, value) in files.0 {
            let mut torrent = Object::read(&value)?;
            let mut need = |key| {
                let number = torrent.need_number(key)?;
                u32::try_from(number).map_err(|error| error.to_string())
            };
            let (seeders, completed, leechers) =
                (need("complete")?, need("downloaded")?, need("incomplete")?);
            torrent.is_empty()?;
            torrents.push((latin1(&key)?, Counts { seeders, completed, leechers }));
        }
        let mut flags = Object::read(&object.need("flags")?)?;
        let min_request_interval = flags.need_number("min_request_interval")?;
        flags.is_empty()?;
        Ok(Self::Scraped { files: torrents, min_request_interval })
    }
}

/// 20 bytes, each of which is a code point.
fn latin1(text: &str) -> Result<[u8; 20], String> {
    let bytes: Result<Vec<u8>, _> = text.chars().map(|c| u8::try_from(u32::from(c))).collect();
    let bytes = bytes.map_err(|_| format!("a code point beyond 255 in {text:?}"))?;
    bytes.try_into().map_err(|bytes: Vec<u8>| format!("{} code points, not 20: {text:?}", bytes.len()))
}

fn bytes(raw: &str) -> Result<[u8; 20], String> {
    latin1(&string(raw)?)
}

fn string(raw: &str) -> Result<String, String> {
    serde_json::from_str(raw).map_err(|error| format!("{raw}: {error}"))
}

/// An object's entries that nobody has asked for yet, each value as the text that it is.
struct Object(Vec<(String, String)>);

impl Object {
    fn read(text: &str) -> Result<Self, String> {
        serde_json::from_str(text).map_err(|error| format!("{error}: {text}"))
    }

    fn take(&mut self, key: &str) -> Option<String> {
        let at = self.0.iter().position(|(found, _)| found == key)?;
        Some(self.0.remove(at).1)
    }

    fn need(&mut self, key: &str) -> Result<String, String> {
        self.take(key).ok_or_else(|| format!("no `{key}`"))
    }

    fn need_string(&mut self, key: &str) -> Result<String, String> {
        string(&self.need(key)?).map_err(|why| format!("`{key}`: {why}"))
    }

    fn need_number(&mut self, key: &str) -> Result<u64, String> {
        let raw = self.need(key)?;
        serde_json::from_str(&raw).map_err(|error| format!("`{key}`: {error}: {raw}"))
    }

    fn is_empty(&self) -> Result<(), String> {
        match self.0.first() {
            None => Ok(()),
            Some((key, _)) => Err(format!("a key that nobody knows: {key:?}")),
        }
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;

        impl<'de> Visitor<'de> for Entries {
            type Value = Object;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let mut entries: Vec<(String, String)> = Vec::new();
                while let Some((key, value)) = map.next_entry::<String, Box<RawValue>>()? {
                    if entries.iter().any(|(other, _)| *other == key) {
                        return Err(serde::de::Error::custom(format_args!("{key:?} comes twice")));
                    }
                    entries.push((key, value.get().to_owned()));
                }
                Ok(Object(entries))
            }
        }

        deserializer.deserialize_map(Entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "abcdefghijklmnopqrs\u{ff}";

    fn with_hash(text: &str) -> String {
        text.replace("HASH", HASH)
    }

    #[test]
    fn messages_are_read() {
        let hash = *b"abcdefghijklmnopqrs\xff";
        let read = |text: &str| Message::read(&with_hash(text)).unwrap();
        assert_eq!(
            read(r#"{"action":"announce","interval":120,"info_hash":"HASH","complete":1,"incomplete":2}"#),
            Message::Announced { info_hash: hash, interval: 120, complete: 1, incomplete: 2 }
        );
        let forwarded = Forwarded {
            info_hash: hash,
            peer_id: hash,
            offer_id: "1".into(),
            content: "{ \"x\": 1e0}".into(),
        };
        assert_eq!(
            read(
                r#"{"action":"announce","info_hash":"HASH","peer_id":"HASH","offer_id":"1","offer":{ "x": 1e0}}"#
            ),
            Message::Offer(forwarded)
        );
        assert_eq!(
            read(
                r#"{"action":"scrape","files":{"HASH":{"complete":1,"incomplete":2,"downloaded":3}},"flags":{"min_request_interval":60}}"#
            ),
            Message::Scraped {
                files: vec![(hash, Counts { seeders: 1, completed: 3, leechers: 2 })],
                min_request_interval: 60
            }
        );
        assert_eq!(
            read(r#"{"action":"announce","failure reason":"why"}"#),
            Message::Failure { action: "announce".into(), reason: "why".into(), info_hash: None }
        );
    }

    #[test]
    fn what_is_not_exact_is_an_error() {
        for text in [
            r#"{"failure reason":"why"}"#,
            r#"{"action":"other","failure reason":"why"}"#,
            r#"{"action":"announce","failure reason":"why","more":1}"#,
            r#"{"action":"announce","action":"announce","failure reason":"why"}"#,
            r#"{"action":"announce","interval":120,"info_hash":"HASH","complete":1}"#,
            r#"{"action":"announce","interval":"120","info_hash":"HASH","complete":1,"incomplete":1}"#,
            r#"{"action":"announce","interval":120,"info_hash":"HASHx","complete":1,"incomplete":1}"#,
            r#"{"action":"announce","info_hash":"HASH","peer_id":"HASH","offer_id":1,"offer":{}}"#,
            r#"{"action":"scrape","files":{},"flags":{}}"#,
            r#"{"action":"scrape","files":{"HASH":{},"HASH":{}},"flags":{"min_request_interval":60}}"#,
            r#"[]"#,
            "",
        ] {
            assert!(Message::read(&with_hash(text)).is_err(), "{text}");
        }
    }
}
