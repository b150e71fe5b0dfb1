//! Messages as WebTorrent's clients write them: the keys of bittorrent-tracker's client in its order, its strings of 20 characters, and
//! session descriptions like those of a browser's data channel.

use super::offer::{self, Offer};
use crate::population::Peer;

/// The shortest session description: up to the end of the line with the number.
pub(crate) const SHORTEST_SDP: u32 = 64;

/// What the parts of all messages look like that don't change.
pub(crate) struct Messages {
    /// JSON strings, with their quotation marks.
    info_hashes: Vec<Box<[u8]>>,
    /// JSON of an offer, around its number.
    pub(crate) offer: Around,
    /// JSON of an answer, around the number of the offer and of the answerer's session.
    pub(crate) answer: Around,
    leechers: bool,
}

/// JSON before and behind what differs from one to the other.
pub(crate) struct Around {
    pub(crate) before: Vec<u8>,
    pub(crate) behind: Vec<u8>,
}

/// An announce.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Announce {
    pub(crate) session: u32,
    pub(crate) torrent: u32,
    /// How many this session has announced before.
    pub(crate) number: u32,
    /// The first one of this torrent.
    pub(crate) started: bool,
    pub(crate) offers: u32,
}

impl Messages {
    /// For so many torrents of the population, with session descriptions of `sdp_bytes`.
    pub(crate) fn new(torrents: u32, sdp_bytes: u32, leechers: bool) -> Self {
        let info_hash = |torrent| {
            let mut json = Vec::new();
            string(&Peer::number(torrent, 0).info_hash, &mut json);
            json.into_boxed_slice()
        };
        Self {
            info_hashes: (0..torrents).map(info_hash).collect(),
            offer: Around::new("offer", sdp_bytes),
            answer: Around::new("answer", sdp_bytes),
            leechers,
        }
    }

    /// The JSON string that is a torrent's info hash.
    pub(crate) fn info_hash(&self, torrent: u32) -> &[u8] {
        &self.info_hashes[torrent as usize]
    }

    /// Appends an announce with its offers.
    pub(crate) fn announce(&self, announce: &Announce, into: &mut Vec<u8>) {
        let Announce { session, torrent, number, started, offers } = *announce;
        let seeds = !self.leechers && session % 2 == 1;
        into.extend_from_slice(b"{\"numwant\":");
        into.extend_from_slice(offers.to_string().as_bytes());
        into.extend_from_slice(b",\"uploaded\":0,\"downloaded\":0,\"left\":");
        into.extend_from_slice(if seeds { b"0" } else { b"16384" });
        if started {
            into.extend_from_slice(b",\"event\":\"started\"");
        }
        into.push(b',');
        self.head(session, torrent, into);
        into.extend_from_slice(b",\"offers\":[");
        for index in 0..offers {
            let offer = Offer::of_announce(session, number, index);
            into.extend_from_slice(if index == 0 { b"{\"offer\":" } else { b",{\"offer\":" });
            self.offer.write(offer, None, into);
            into.extend_from_slice(b",\"offer_id\":");
            string(&offer.id(), into);
            into.push(b'}');
        }
        into.extend_from_slice(b"]}");
    }

    /// Appends a scrape.
    pub(crate) fn scrape(&self, torrent: u32, into: &mut Vec<u8>) {
        into.extend_from_slice(b"{\"action\":\"scrape\",\"info_hash\":");
        into.extend_from_slice(self.info_hash(torrent));
        into.push(b'}');
    }

    /// Appends the answer of a session to an offer that it got.
    pub(crate) fn answer(&self, session: u32, torrent: u32, offer: Offer, into: &mut Vec<u8>) {
        into.push(b'{');
        self.head(session, torrent, into);
        into.extend_from_slice(b",\"to_peer_id\":");
        peer_id(offer.session, into);
        into.extend_from_slice(b",\"answer\":");
        self.answer.write(offer, Some(session), into);
        into.extend_from_slice(b",\"offer_id\":");
        string(&offer.id(), into);
        into.push(b'}');
    }

    /// What all of them have.
    fn head(&self, session: u32, torrent: u32, into: &mut Vec<u8>) {
        into.extend_from_slice(b"\"action\":\"announce\",\"info_hash\":");
        into.extend_from_slice(self.info_hash(torrent));
        into.extend_from_slice(b",\"peer_id\":");
        peer_id(session, into);
    }
}

/// Appends a session's peer id as a JSON string.
pub(crate) fn peer_id(session: u32, into: &mut Vec<u8>) {
    into.push(b'"');
    offer::peer_id(session, into);
    into.push(b'"');
}

/// The version of a browser's first description; an answer has the answerer's session there.
const FIRST: u32 = 2;

/// Digits of that version.
const VERSION_DIGITS: usize = 10;

impl Around {
    /// `kind` is "offer" or "answer".
    fn new(kind: &str, sdp_bytes: u32) -> Self {
        let sdp = sdp(kind, sdp_bytes.max(SHORTEST_SDP) as usize);
        let escaped = sdp.replace("\r\n", "\\r\\n");
        let (before, behind) =
            escaped.split_once(NUMBERS).expect("the description begins with the numbers' line");
        Self {
            before: format!("{{\"type\":\"{kind}\",\"sdp\":\"{before}").into_bytes(),
            behind: format!("{behind}\"}}").into_bytes(),
        }
    }

    /// Appends the JSON of an offer, or of an answer to one by a session.
    pub(crate) fn write(&self, offer: Offer, by: Option<u32>, into: &mut Vec<u8>) {
        into.extend_from_slice(&self.before);
        offer.write(into);
        into.push(b' ');
        offer::decimal(by.unwrap_or(FIRST), VERSION_DIGITS, into);
        into.extend_from_slice(&self.behind);
    }

    /// The numbers in such JSON, however it is written otherwise.
    pub(crate) fn numbers(&self, json: &[u8]) -> Option<(Offer, u32)> {
        let start = memchr::memmem::find(json, b"o=- ")? + 4;
        let version = json.get(start + offer::DIGITS + 1..)?.get(..VERSION_DIGITS)?;
        let version = str::from_utf8(version).ok()?.parse().ok()?;
        Some((Offer::read(&json[start..])?, version))
    }
}

/// Stands where the numbers come, and has their length.
const NUMBERS: &str = "0000000000000000000 0000000000";

/// A description of a data channel that is so many bytes long: a browser's lines, and as many candidates as fill it.
fn sdp(kind: &str, len: usize) -> String {
    let setup = if kind == "offer" { "actpass" } else { "active" };
    let mut sdp = format!(
        "v=0\r\no=- {NUMBERS} IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\na=msid-semantic: WMS\r\n\
         m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:kZ4+\r\n\
         a=ice-pwd:b5Kk2sTqGGxZ0Q8dLZ+tMl1Y\r\na=setup:{setup}\r\na=mid:0\r\na=sctp-port:5000\r\n"
    );
    for candidate in 1.. {
        if sdp.len() >= len {
            break;
        }
        sdp += &format!(
            "a=candidate:{candidate} 1 udp 2113937151 192.168.1.7 {} typ host\r\n",
            50_000 + candidate % 10_000
        );
    }
    sdp.truncate(len);
    // Half a line's end can't be escaped with the other half.
    if sdp.ends_with('\r') {
        sdp.replace_range(len - 1.., "-");
    }
    sdp
}

/// Appends bytes as a JSON string of code points 0 to 255, escaped as `JSON.stringify` does.
pub(crate) fn string(bytes: &[u8], into: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    into.push(b'"');
    for byte in bytes {
        match byte {
            b'"' | b'\\' => into.extend_from_slice(&[b'\\', *byte]),
            b'\n' => into.extend_from_slice(b"\\n"),
            b'\r' => into.extend_from_slice(b"\\r"),
            b'\t' => into.extend_from_slice(b"\\t"),
            0x08 => into.extend_from_slice(b"\\b"),
            0x0c => into.extend_from_slice(b"\\f"),
            ..0x20 => {
                into.extend_from_slice(b"\\u00");
                into.extend_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
            }
            ..0x80 => into.push(*byte),
            _ => into.extend_from_slice(&[0xc0 | byte >> 6, 0x80 | byte & 0x3f]),
        }
    }
    into.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn parsed(json: &[u8]) -> Value {
        serde_json::from_slice(json)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(json)))
    }

    /// Code points as bytes.
    fn bytes(value: &Value) -> Vec<u8> {
        value.as_str().unwrap().chars().map(|char| u8::try_from(u32::from(char)).unwrap()).collect()
    }

    #[test]
    fn announce_is_written_as_clients_do() {
        let messages = Messages::new(5, 400, false);
        let mut json = Vec::new();
        let announce = Announce { session: 1, torrent: 3, number: 7, started: true, offers: 10 };
        messages.announce(&announce, &mut json);
        let text = String::from_utf8(json.clone()).unwrap();
        let head = "{\"numwant\":10,\"uploaded\":0,\"downloaded\":0,\"left\":0,\"event\":\"started\",\"action\":\"announce\",\"info_hash\":\"";
        assert!(text.starts_with(head), "{text}");
        let value = parsed(&json);
        assert_eq!(bytes(&value["info_hash"]), Peer::number(3, 0).info_hash);
        assert_eq!(value["peer_id"], "-WW0208-000000000001");
        let offers = value["offers"].as_array().unwrap();
        assert_eq!(offers.len(), 10);
        for (index, entry) in (0..).zip(offers) {
            let offer = Offer::of_announce(1, 7, index);
            assert_eq!(bytes(&entry["offer_id"]), offer.id());
            assert_eq!(entry["offer"]["type"], "offer");
            let sdp = entry["offer"]["sdp"].as_str().unwrap();
            assert_eq!(sdp.len(), 400);
            assert!(sdp.starts_with("v=0\r\no=- 0000000001000000448") || index > 0, "{sdp}");
        }
        json.clear();
        messages.announce(&Announce { session: 2, started: false, offers: 0, ..announce }, &mut json);
        let value = parsed(&json);
        assert_eq!((&value["left"], &value["event"]), (&16_384.into(), &Value::Null));
        assert_eq!(value["offers"], Value::Array(Vec::new()));
    }

    #[test]
    fn answer_names_the_offer_and_who_made_it() {
        let messages = Messages::new(5, 400, true);
        let offer = Offer { session: 9, serial: 71 };
        let mut json = Vec::new();
        messages.answer(4, 2, offer, &mut json);
        let value = parsed(&json);
        assert_eq!(
            (&value["action"], &value["peer_id"]),
            (&"announce".into(), &"-WW0208-000000000004".into())
        );
        assert_eq!(value["to_peer_id"], "-WW0208-000000000009");
        assert_eq!(bytes(&value["offer_id"]), offer.id());
        assert_eq!(value["answer"]["type"], "answer");
        let again = serde_json::to_vec(&value["answer"]).unwrap();
        assert_eq!(messages.answer.numbers(&again), Some((offer, 4)));
    }

    #[test]
    fn descriptions_have_the_length_that_is_wanted() {
        for len in [SHORTEST_SDP, 100, 400, 1000, 5000] {
            for kind in ["offer", "answer"] {
                let around = Around::new(kind, len);
                let mut json = Vec::new();
                around.write(Offer { session: 1, serial: 2 }, None, &mut json);
                let sdp = parsed(&json)["sdp"].as_str().unwrap().to_owned();
                assert_eq!(sdp.len(), len as usize, "{sdp}");
            }
        }
    }

    #[test]
    fn every_byte_survives_as_a_code_point() {
        let all: Vec<u8> = (0..=255).collect();
        let mut json = Vec::new();
        string(&all, &mut json);
        assert_eq!(bytes(&parsed(&json)), all);
    }
}
