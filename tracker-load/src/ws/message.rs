//! A tracker's message taken apart: which kind it is, and where the values lie in its JSON.

use memchr::memchr2;

/// What came, as far as it is looked at; values are JSON as it was sent, strings with their quotation marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Message<'a> {
    /// The answer to an announce.
    Announced { info_hash: &'a [u8], counts: Counts },
    /// The answer to a scrape of one torrent.
    Scraped { info_hash: &'a [u8], counts: Counts },
    /// Somebody's offer.
    Offer(Forwarded<'a>),
    /// The answer to an offer.
    Answer(Forwarded<'a>),
    /// A failure reason.
    Failure { reason: &'a [u8] },
}

/// Members of a swarm, as a tracker counts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) complete: u32,
    pub(crate) incomplete: u32,
}

/// What one client sent to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Forwarded<'a> {
    pub(crate) info_hash: &'a [u8],
    /// Who sent it.
    pub(crate) peer_id: &'a [u8],
    pub(crate) offer_id: &'a [u8],
    /// The offer, or the answer.
    pub(crate) content: &'a [u8],
}

#[derive(Default)]
struct Fields<'a> {
    action: Option<&'a [u8]>,
    info_hash: Option<&'a [u8]>,
    peer_id: Option<&'a [u8]>,
    offer_id: Option<&'a [u8]>,
    offer: Option<&'a [u8]>,
    answer: Option<&'a [u8]>,
    reason: Option<&'a [u8]>,
    files: Option<&'a [u8]>,
    complete: Option<u32>,
    incomplete: Option<u32>,
    interval: Option<u32>,
}

impl<'a> Message<'a> {
    /// `None` when it is nothing that a tracker sends to a client that announces.
    pub(crate) fn read(json: &'a [u8]) -> Option<Self> {
        let mut fields = Fields::default();
        each_field(json, |key, value| match key {
            b"\"action\"" => fields.action = Some(value),
            b"\"info_hash\"" => fields.info_hash = Some(value),
            b"\"peer_id\"" => fields.peer_id = Some(value),
            b"\"offer_id\"" => fields.offer_id = Some(value),
            b"\"offer\"" => fields.offer = Some(value),
            b"\"answer\"" => fields.answer = Some(value),
            b"\"failure reason\"" => fields.reason = Some(value),
            b"\"files\"" => fields.files = Some(value),
            b"\"complete\"" => fields.complete = number(value),
            b"\"incomplete\"" => fields.incomplete = number(value),
            b"\"interval\"" => fields.interval = number(value),
            _ => {}
        })?;
        if let Some(reason) = fields.reason {
            return Some(Self::Failure { reason });
        }
        if fields.action? == b"\"scrape\"" {
            return scraped(fields.files?);
        }
        if fields.action? != b"\"announce\"" {
            return None;
        }
        let info_hash = fields.info_hash?;
        let forwarded = |content| {
            Some(Forwarded { info_hash, peer_id: fields.peer_id?, offer_id: fields.offer_id?, content })
        };
        match (fields.offer, fields.answer) {
            (Some(offer), None) => forwarded(offer).map(Self::Offer),
            (None, Some(answer)) => forwarded(answer).map(Self::Answer),
            (None, None) => {
                fields.interval?;
                let counts = Counts { complete: fields.complete?, incomplete: fields.incomplete? };
                Some(Self::Announced { info_hash, counts })
            }
            _ => None,
        }
    }
}

fn number(json: &[u8]) -> Option<u32> {
    str::from_utf8(json).ok()?.parse().ok()
}

/// `files` with one torrent.
fn scraped(files: &[u8]) -> Option<Message<'_>> {
    let mut found = None;
    let mut torrents = 0;
    each_field(files, |info_hash, value| {
        torrents += 1;
        let (mut complete, mut incomplete) = (None, None);
        let read = each_field(value, |key, value| match key {
            b"\"complete\"" => complete = number(value),
            b"\"incomplete\"" => incomplete = number(value),
            _ => {}
        });
        if let (Some(()), Some(complete), Some(incomplete)) = (read, complete, incomplete) {
            found = Some(Message::Scraped { info_hash, counts: Counts { complete, incomplete } });
        }
    })?;
    found.filter(|_| torrents == 1)
}

/// Calls `field` with each key and value of an object; `None` when it is none. What is in the values isn't looked at but for their end.
fn each_field<'a>(json: &'a [u8], mut field: impl FnMut(&'a [u8], &'a [u8])) -> Option<()> {
    let mut rest = json.trim_ascii().strip_prefix(b"{")?.strip_suffix(b"}")?.trim_ascii();
    while !rest.is_empty() {
        let key = take(&mut rest, string_len)?;
        rest = rest.trim_ascii_start().strip_prefix(b":")?.trim_ascii_start();
        let value = take(&mut rest, value_len)?;
        field(key, value);
        rest = rest.trim_ascii_start();
        match rest.strip_prefix(b",") {
            Some(more) => {
                rest = more.trim_ascii_start();
                // A comma has something behind it.
                rest.first()?;
            }
            None if rest.is_empty() => {}
            None => return None,
        }
    }
    Some(())
}

fn take<'a>(rest: &mut &'a [u8], len: fn(&[u8]) -> Option<usize>) -> Option<&'a [u8]> {
    let (taken, behind) = rest.split_at_checked(len(rest)?)?;
    *rest = behind;
    Some(taken)
}

/// Of the string at the beginning, with its quotation marks.
fn string_len(json: &[u8]) -> Option<usize> {
    json.strip_prefix(b"\"")?;
    let mut at = 1;
    loop {
        at += memchr2(b'"', b'\\', json.get(at..)?)?;
        match json[at] {
            b'"' => return Some(at + 1),
            _ => at += 2,
        }
    }
}

fn value_len(json: &[u8]) -> Option<usize> {
    match json.first()? {
        b'"' => string_len(json),
        b'{' | b'[' => nested_len(json),
        _ => {
            let ends = |byte: &u8| byte.is_ascii_whitespace() || b",}]".contains(byte);
            let len = json.iter().position(ends).unwrap_or(json.len());
            (len > 0).then_some(len)
        }
    }
}

fn nested_len(json: &[u8]) -> Option<usize> {
    let (mut at, mut depth) = (0, 0_usize);
    loop {
        match json.get(at)? {
            b'"' => at += string_len(&json[at..])? - 1,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.checked_sub(1)?,
            _ => {}
        }
        at += 1;
        if depth == 0 {
            return Some(at);
        }
    }
}

/// Whether two pieces of JSON say the same; mostly they are the same.
pub(crate) fn same(sent: &[u8], expected: &[u8]) -> bool {
    let value = |json| serde_json::from_slice::<serde_json::Value>(json).ok();
    sent == expected || value(sent).is_some_and(|sent| Some(sent) == value(expected))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_told_apart() {
        let announced =
            br#"{"action":"announce","interval":120,"info_hash":"h","complete":1,"incomplete":2}"#;
        assert_eq!(
            Message::read(announced),
            Some(Message::Announced { info_hash: br#""h""#, counts: Counts { complete: 1, incomplete: 2 } })
        );
        let scraped = br#"{"action":"scrape","files":{"h":{"complete":3,"incomplete":4,"downloaded":5}}}"#;
        let counts = Counts { complete: 3, incomplete: 4 };
        assert_eq!(Message::read(scraped), Some(Message::Scraped { info_hash: br#""h""#, counts }));
        for none in [
            &br#"{"action":"scrape"}"#[..],
            br#"{"action":"scrape","files":{}}"#,
            br#"{"action":"scrape","files":{"h":{"complete":3}}}"#,
            br#"{"action":"scrape","files":{"h":{"complete":-3,"incomplete":4}}}"#,
            br#"{"action":"scrape","files":{"h":{"complete":3,"incomplete":4},"i":{}}}"#,
        ] {
            assert_eq!(Message::read(none), None, "{}", String::from_utf8_lossy(none));
        }
        let offer = br#" { "offer" : {"type":"offer","sdp":"}\"\\"} , "offer_id":"o","peer_id":"p\"", "action":"announce","info_hash":"h"}"#;
        let mut forwarded = Forwarded {
            info_hash: br#""h""#,
            peer_id: br#""p\"""#,
            offer_id: br#""o""#,
            content: br#"{"type":"offer","sdp":"}\"\\"}"#,
        };
        assert_eq!(Message::read(offer), Some(Message::Offer(forwarded)));
        let answer = br#"{"action":"announce","info_hash":"h","peer_id":"p\"","offer_id":"o","answer":[[1],{"a":[]}],"x":null}"#;
        forwarded.content = br#"[[1],{"a":[]}]"#;
        assert_eq!(Message::read(answer), Some(Message::Answer(forwarded)));
        let failure = br#"{"action":"announce","failure reason":"unknown offer","info_hash":"h"}"#;
        assert_eq!(Message::read(failure), Some(Message::Failure { reason: br#""unknown offer""# }));
    }

    #[test]
    fn what_no_tracker_sends_is_nothing() {
        for json in [
            "",
            "{}",
            "[]",
            r#"{"action":"announce"}"#,
            r#"{"action":"scrape","info_hash":"h","complete":1,"incomplete":2,"interval":3}"#,
            r#"{"action":"announce","info_hash":"h","complete":1,"incomplete":2}"#,
            r#"{"action":"announce","info_hash":"h","complete":1,"incomplete":-2,"interval":3}"#,
            r#"{"action":"announce","info_hash":"h","peer_id":"p","offer":{}}"#,
            r#"{"action":"announce","info_hash":"h","peer_id":"p","offer_id":"o","offer":{},"answer":{}}"#,
            r#"{"action":"announce","info_hash":"h","peer_id":"p","offer_id":"o","offer":{}"#,
            r#"{"action":"announce","info_hash":"h","peer_id":"p","offer_id":"o","offer":{},}"#,
            r#"{"action":"announce" "info_hash":"h"}"#,
            r#"{"action":"announce","info_hash":"h}"#,
        ] {
            assert_eq!(Message::read(json.as_bytes()), None, "{json}");
        }
    }

    #[test]
    fn other_spellings_of_the_same_are_the_same() {
        assert!(same(br#""a\u0001""#, br#""a\u0001""#));
        assert!(same(br#"{"a": 1, "b": "\u0041"}"#, br#"{"b":"A","a":1}"#));
        assert!(!same(br#""a""#, br#""b""#));
        assert!(!same(b"x", b"y"));
    }
}
