//! What a client asks, from the JSON of a message.
//!
//! Read in one pass: ids, event and numbers are decoded, offers and answers are found and left as they are. Values of a wrong type make an
//! error of their own, or count as absent where that is harmless; only what isn't JSON, or no object, ends the connection (W11).
//! Called by `handler`; the fuzz target `signal` and the tests below feed it anything.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use memchr::{memchr, memchr2};
use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use tracker_common::wire::{AnnounceKind, InfoHash};

use super::id::{Id, PeerId};

/// Levels of arrays and objects within each other; an announce has five at most.
const MAX_DEPTH: usize = 32;

/// A request.
#[derive(Debug)]
pub enum Request<'a> {
    /// W01, W05.
    Announce(Announce<'a>),
    /// W02.
    Answer(Answer<'a>),
    /// W06: some torrents.
    Scrape(Vec<InfoHash>),
    /// W06: all of them.
    FullScrape,
}

/// Somebody is in a swarm, or leaves it.
#[derive(Debug)]
pub struct Announce<'a> {
    /// The torrent.
    pub info_hash: InfoHash,
    /// The client's name for itself.
    pub peer_id: PeerId,
    /// The event.
    pub kind: AnnounceKind,
    /// `left` is 0.
    pub seeder: bool,
    /// All offers of the message.
    pub offers: Vec<Offer<'a>>,
}

/// An offer for any peer.
#[derive(Clone, Copy, Debug)]
pub struct Offer<'a> {
    /// Its name: a JSON string as it came.
    pub offer_id: &'a str,
    /// Opaque JSON as it came.
    pub offer: &'a str,
}

/// An answer to an offer.
#[derive(Debug)]
pub struct Answer<'a> {
    /// The torrent.
    pub info_hash: InfoHash,
    /// Who answers.
    pub peer_id: PeerId,
    /// Who made the offer.
    pub to_peer_id: PeerId,
    /// The offer's name: a JSON string as it came.
    pub offer_id: &'a str,
    /// Opaque JSON as it came.
    pub answer: &'a str,
}

/// What an error answer says it is about (W03).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Also when nothing is known.
    Announce,
    /// The request is a scrape.
    Scrape,
}

/// Why a request isn't answered as it wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What it was.
    pub action: Action,
    /// The words for the client.
    pub reason: &'static str,
    /// The torrent, when it could be read.
    pub info_hash: Option<InfoHash>,
    /// The connection ends.
    pub ends: Option<Ends>,
}

/// With which status a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    /// 1007: what came isn't what was agreed upon.
    Invalid,
    /// 1008: it could be, but isn't taken.
    Policy,
}

impl Refusal {
    const fn new(action: Action, reason: &'static str, info_hash: Option<InfoHash>) -> Self {
        Self { action, reason, info_hash, ends: None }
    }

    const fn last(reason: &'static str, ends: Ends) -> Self {
        Self { action: Action::Announce, reason, info_hash: None, ends: Some(ends) }
    }
}

/// Reads a message.
///
/// # Errors
///
/// What is wrong with it, in words for the client.
pub fn read(text: &str) -> Result<Request<'_>, Refusal> {
    if is_deep(text.as_bytes()) {
        return Err(Refusal::last("JSON is nested too deeply", Ends::Policy));
    }
    let fields: Fields<'_> =
        serde_json::from_str(text).map_err(|_| Refusal::last("invalid JSON", Ends::Invalid))?;
    match fields.action.and_then(word) {
        Some(ActionName::Announce) => fields.announce(),
        Some(ActionName::Scrape) => fields.scrape(),
        None => {
            let info_hash = fields.info_hash.and_then(id);
            Err(Refusal::new(Action::Announce, "invalid action", info_hash))
        }
    }
}

/// The keys of all requests.
#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow)]
    action: Option<&'a RawValue>,
    info_hash: Option<&'a RawValue>,
    peer_id: Option<&'a RawValue>,
    left: Option<&'a RawValue>,
    event: Option<&'a RawValue>,
    offers: Option<Offers<'a>>,
    answer: Option<&'a RawValue>,
    to_peer_id: Option<&'a RawValue>,
    offer_id: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum ActionName {
    Announce,
    Scrape,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Event {
    Started,
    Completed,
    Stopped,
    Paused,
    #[serde(other)]
    Other,
}

impl<'a> Fields<'a> {
    fn announce(self) -> Result<Request<'a>, Refusal> {
        let action = Action::Announce;
        let info_hash = wanted(self.info_hash, action, None, "missing info_hash", "invalid info_hash")?;
        let known = Some(info_hash);
        let peer_id = wanted(self.peer_id, action, known, "missing peer_id", "invalid peer_id")?;
        let refuse = |reason| Refusal::new(action, reason, known);
        if let Some(answer) = self.answer {
            return Ok(Request::Answer(Answer {
                info_hash,
                peer_id,
                to_peer_id: wanted(
                    self.to_peer_id,
                    action,
                    known,
                    "missing to_peer_id",
                    "invalid to_peer_id",
                )?,
                offer_id: self
                    .offer_id
                    .ok_or(refuse("missing offer_id"))
                    .and_then(|raw| string(raw).ok_or(refuse("invalid offer_id")))?,
                answer: answer.get(),
            }));
        }
        let kind = match self.event.and_then(word) {
            Some(Event::Started) => AnnounceKind::Started,
            Some(Event::Completed) => AnnounceKind::Completed,
            Some(Event::Stopped) => AnnounceKind::Stopped,
            Some(Event::Paused) => AnnounceKind::Paused,
            Some(Event::Other) | None => AnnounceKind::None,
        };
        let offers = self.offers.map_or(Some(Vec::new()), |offers| offers.0);
        Ok(Request::Announce(Announce {
            info_hash,
            peer_id,
            kind,
            seeder: self.left.is_some_and(is_zero),
            offers: offers.ok_or(refuse("invalid offers"))?,
        }))
    }

    fn scrape(self) -> Result<Request<'a>, Refusal> {
        let Some(raw) = self.info_hash else { return Ok(Request::FullScrape) };
        let invalid = || Refusal::new(Action::Scrape, "invalid info_hash", None);
        if raw.get().starts_with('[') {
            let ids: Vec<Id> = decoded(raw).ok_or_else(invalid)?;
            return Ok(Request::Scrape(ids.into_iter().map(|id| id.0).collect()));
        }
        Ok(Request::Scrape(vec![id(raw).ok_or_else(invalid)?]))
    }
}

fn decoded<'a, T: Deserialize<'a>>(raw: &'a RawValue) -> Option<T> {
    serde_json::from_str(raw.get()).ok()
}

fn id(raw: &RawValue) -> Option<[u8; 20]> {
    decoded::<Id>(raw).map(|id| id.0)
}

fn wanted(
    raw: Option<&RawValue>,
    action: Action,
    info_hash: Option<InfoHash>,
    missing: &'static str,
    invalid: &'static str,
) -> Result<[u8; 20], Refusal> {
    let raw = raw.ok_or(Refusal::new(action, missing, info_hash))?;
    id(raw).ok_or(Refusal::new(action, invalid, info_hash))
}

/// A string that is one of an enum's names; an object with such a key would be one, too.
fn word<'a, T: Deserialize<'a>>(raw: &'a RawValue) -> Option<T> {
    string(raw).and_then(|text| serde_json::from_str(text).ok())
}

/// What a JSON string says, however it is escaped: clients write each in their own way. One that can't be decoded (half a surrogate pair) is taken as
/// it is.
pub(super) fn decoded_string(json: &str) -> Cow<'_, str> {
    let inner = json.get(1..json.len().saturating_sub(1)).unwrap_or_default();
    if memchr(b'\\', inner.as_bytes()).is_none() {
        return Cow::Borrowed(inner);
    }
    serde_json::from_str(json).map_or(Cow::Borrowed(json), Cow::Owned)
}

fn string(raw: &RawValue) -> Option<&str> {
    Some(raw.get()).filter(|text| text.starts_with('"'))
}

/// A number that is 0, however it is written.
fn is_zero(raw: &RawValue) -> bool {
    raw.get().parse() == Ok(0.0)
}

/// The array of an announce's offers; none when it is something else, or has an element that is no offer.
struct Offers<'a>(Option<Vec<Offer<'a>>>);

/// An element of that array.
struct Element<'a>(Option<Offer<'a>>);

/// Takes a value of any type; each kind of value reads the one that it is about.
struct Any<T>(PhantomData<T>);

/// The values that are nothing here.
macro_rules! nothing_else {
    () => {
        fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
            out.write_str("anything")
        }

        fn visit_bool<E: Error>(self, _: bool) -> Result<Self::Value, E> {
            Ok(Default::default())
        }

        fn visit_i64<E: Error>(self, _: i64) -> Result<Self::Value, E> {
            Ok(Default::default())
        }

        fn visit_u64<E: Error>(self, _: u64) -> Result<Self::Value, E> {
            Ok(Default::default())
        }

        fn visit_f64<E: Error>(self, _: f64) -> Result<Self::Value, E> {
            Ok(Default::default())
        }

        fn visit_str<E: Error>(self, _: &str) -> Result<Self::Value, E> {
            Ok(Default::default())
        }

        fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
            Ok(Default::default())
        }
    };
}

impl<'de: 'a, 'a> Deserialize<'de> for Offers<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Any(PhantomData::<Vec<Offer<'a>>>)).map(Self)
    }
}

impl<'de: 'a, 'a> Visitor<'de> for Any<Vec<Offer<'a>>> {
    type Value = Option<Vec<Offer<'a>>>;

    nothing_else!();

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        let mut offers = Some(Vec::new());
        while let Some(Element(offer)) = elements.next_element()? {
            match (&mut offers, offer) {
                (Some(offers), Some(offer)) => offers.push(offer),
                _ => offers = None,
            }
        }
        Ok(offers)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        while entries.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Element<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Any(PhantomData::<Offer<'a>>)).map(Self)
    }
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum OfferKey {
    Offer,
    OfferId,
    #[serde(other)]
    Other,
}

impl<'de: 'a, 'a> Visitor<'de> for Any<Offer<'a>> {
    type Value = Option<Offer<'a>>;

    nothing_else!();

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        while elements.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let (mut offer, mut offer_id): (Option<&RawValue>, Option<&RawValue>) = (None, None);
        while let Some(key) = entries.next_key()? {
            let place = match key {
                OfferKey::Offer => &mut offer,
                OfferKey::OfferId => &mut offer_id,
                OfferKey::Other => {
                    entries.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            if place.is_some() {
                return Err(A::Error::custom("a key comes twice"));
            }
            *place = Some(entries.next_value()?);
        }
        let offer = offer.map(RawValue::get).filter(|offer| *offer != "null");
        let offer_id = offer_id.and_then(string);
        Ok(offer.zip(offer_id).map(|(offer, offer_id)| Offer { offer_id, offer }))
    }
}

/// Whether arrays and objects are nested deeper than anybody needs: the parser wouldn't mind, but the clients that the message goes to might.
fn is_deep(text: &[u8]) -> bool {
    // Most messages don't have as many brackets at all.
    let brackets = text.iter().filter(|byte| matches!(byte, b'[' | b'{')).count();
    brackets > MAX_DEPTH && depth(text) > MAX_DEPTH
}

fn depth(text: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        at += 1;
        match byte {
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            b'"' => {
                // To the end of the string.
                while let Some(found) = memchr2(b'"', b'\\', text.get(at..).unwrap_or_default()) {
                    let is_end = text.get(at + found) == Some(&b'"');
                    at += found + if is_end { 1 } else { 2 };
                    if is_end {
                        break;
                    }
                }
            }
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests;
