//! Bencoded answers, read strictly: what isn't canonical, or has a key that nobody knows, is an error.
//!
//! Used by [`crate::http::play`] and by tests that look at one particular answer. The decoder is `bt_bencode`; it sorts
//! keys by itself and takes some encodings that aren't canonical, so what it read has to encode to the same bytes again.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use bt_bencode::{ByteString, Value};

use crate::answer::Counts;

/// An answer of the tracker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// To an announce.
    Announce(Announced),
    /// To a scrape: each torrent once, in the order of the answer.
    Scrape(Vec<([u8; 20], Scraped)>),
    /// `failure reason`, and `retry in` (BEP 31) when it is there.
    Failure {
        /// For a person to read.
        reason: String,
        /// Minutes.
        retry_in: Option<u64>,
    },
}

/// What an announce answer says (H10).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announced {
    /// Seeders.
    pub complete: u64,
    /// Downloads ever completed.
    pub downloaded: u64,
    /// Whom the tracker takes the client for.
    pub external_ip: IpAddr,
    /// Leechers.
    pub incomplete: u64,
    /// Seconds until the next announce.
    pub interval: u64,
    /// Seconds until the next announce at the earliest.
    pub min_interval: u64,
    /// Of both families: IPv4 first when they are compact.
    pub peers: Vec<SocketAddr>,
    /// Whether they are compact (H05) and not dictionaries (H06).
    pub compact: bool,
}

/// What a scrape answer says of one torrent (H13).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scraped {
    /// Seeders, completed, leechers.
    pub counts: Counts,
    /// Leechers that aren't partial seeds; only there when there are partial seeds.
    pub downloaders: Option<u32>,
}

impl Answer {
    /// Reads a body.
    ///
    /// # Errors
    ///
    /// What is wrong with it, as a sentence.
    pub fn read(body: &[u8]) -> Result<Self, String> {
        let mut dictionary = Dictionary::read(body)?;
        let answer = if let Some(reason) = dictionary.take("failure reason") {
            let reason = String::from_utf8(bytes(&reason)?).map_err(|error| error.to_string())?;
            let retry_in = dictionary.take("retry in").map(|value| number(&value)).transpose()?;
            Self::Failure { reason, retry_in }
        } else if let Some(files) = dictionary.take("files") {
            let Value::Dict(files) = files else { return Err("`files` is no dictionary".into()) };
            Self::Scrape(files.into_iter().map(scraped).collect::<Result<_, _>>()?)
        } else {
            Self::Announce(announced(&mut dictionary)?)
        };
        dictionary.is_empty()?;
        Ok(answer)
    }

    /// The failure reason, of answers that have one.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Failure { reason, .. } => Some(reason),
            _ => None,
        }
    }
}

/// A dictionary's entries that nobody has asked for yet.
struct Dictionary(BTreeMap<ByteString, Value>);

impl Dictionary {
    fn read(bytes: &[u8]) -> Result<Self, String> {
        let value: Value = bt_bencode::from_slice(bytes).map_err(|error| format!("not bencoded: {error}"))?;
        let again = bt_bencode::to_vec(&value).map_err(|error| error.to_string())?;
        if again != bytes {
            // Keys out of order or twice, a leading zero, bytes behind the end.
            return Err(format!("not canonical; that would be {:?}", String::from_utf8_lossy(&again)));
        }
        match value {
            Value::Dict(entries) => Ok(Self(entries)),
            other => Err(format!("no dictionary: {other:?}")),
        }
    }

    fn take(&mut self, key: &str) -> Option<Value> {
        self.0.remove(key.as_bytes())
    }

    fn need(&mut self, key: &str) -> Result<Value, String> {
        self.take(key).ok_or_else(|| format!("no `{key}`"))
    }

    fn need_number(&mut self, key: &str) -> Result<u64, String> {
        number(&self.need(key)?).map_err(|why| format!("`{key}`: {why}"))
    }

    fn is_empty(&self) -> Result<(), String> {
        match self.0.first_key_value() {
            None => Ok(()),
            Some((key, _)) => Err(format!("a key that nobody knows: {:?}", String::from_utf8_lossy(key))),
        }
    }
}

fn announced(dictionary: &mut Dictionary) -> Result<Announced, String> {
    let peers = dictionary.need("peers")?;
    let compact = matches!(peers, Value::ByteStr(_));
    let mut found = match peers {
        Value::List(list) => list.into_iter().map(listed).collect::<Result<Vec<_>, _>>()?,
        compact => compact_v4(&bytes(&compact)?)?,
    };
    if let Some(peers6) = dictionary.take("peers6") {
        let peers6 = compact_v6(&bytes(&peers6)?)?;
        if peers6.is_empty() || !compact {
            return Err("`peers6` is there but empty, or beside a list".into());
        }
        found.extend(peers6);
    }
    Ok(Announced {
        complete: dictionary.need_number("complete")?,
        downloaded: dictionary.need_number("downloaded")?,
        external_ip: address(&bytes(&dictionary.need("external ip")?)?)?,
        incomplete: dictionary.need_number("incomplete")?,
        interval: dictionary.need_number("interval")?,
        min_interval: dictionary.need_number("min interval")?,
        peers: found,
        compact,
    })
}

fn scraped((key, value): (ByteString, Value)) -> Result<([u8; 20], Scraped), String> {
    let key: [u8; 20] =
        key.as_slice().try_into().map_err(|_| format!("an info hash of {} bytes", key.len()))?;
    let Value::Dict(entries) = value else { return Err("a torrent that is no dictionary".into()) };
    let mut torrent = Dictionary(entries);
    let mut need = |key| u32::try_from(torrent.need_number(key)?).map_err(|error| error.to_string());
    let (seeders, completed, leechers) = (need("complete")?, need("downloaded")?, need("incomplete")?);
    let downloaders = match torrent.take("downloaders") {
        Some(value) => Some(u32::try_from(number(&value)?).map_err(|error| error.to_string())?),
        None => None,
    };
    torrent.is_empty()?;
    Ok((key, Scraped { counts: Counts { seeders, completed, leechers }, downloaders }))
}

/// One dictionary of a list (H06).
fn listed(value: Value) -> Result<SocketAddr, String> {
    let Value::Dict(entries) = value else { return Err("a peer that is no dictionary".into()) };
    let mut peer = Dictionary(entries);
    let text = String::from_utf8(bytes(&peer.need("ip")?)?).map_err(|error| error.to_string())?;
    let ip = text.parse().map_err(|error| format!("{text:?}: {error}"))?;
    let port = u16::try_from(peer.need_number("port")?).map_err(|error| error.to_string())?;
    peer.is_empty()?;
    Ok(SocketAddr::new(ip, port))
}

fn compact_v4(bytes: &[u8]) -> Result<Vec<SocketAddr>, String> {
    let (peers, []) = bytes.as_chunks::<6>() else {
        return Err(format!("{} bytes of IPv4 peers", bytes.len()));
    };
    Ok(peers
        .iter()
        .map(|&[a, b, c, d, high, low]| {
            SocketAddr::new(Ipv4Addr::new(a, b, c, d).into(), u16::from_be_bytes([high, low]))
        })
        .collect())
}

fn compact_v6(bytes: &[u8]) -> Result<Vec<SocketAddr>, String> {
    let (peers, []) = bytes.as_chunks::<18>() else {
        return Err(format!("{} bytes of IPv6 peers", bytes.len()));
    };
    let peer = |peer: &[u8; 18]| {
        let (address, port) = peer.split_at(16);
        SocketAddr::new(
            Ipv6Addr::from(<[u8; 16]>::try_from(address).expect("16 of 18")).into(),
            u16::from_be_bytes(port.try_into().expect("2 of 18")),
        )
    };
    Ok(peers.iter().map(peer).collect())
}

fn address(bytes: &[u8]) -> Result<IpAddr, String> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Ok(v4.into());
    }
    match <[u8; 16]>::try_from(bytes) {
        Ok(v6) => Ok(v6.into()),
        Err(_) => Err(format!("an address of {} bytes", bytes.len())),
    }
}

fn bytes(value: &Value) -> Result<Vec<u8>, String> {
    match value {
        Value::ByteStr(bytes) => Ok(bytes.to_vec()),
        other => Err(format!("no string: {other:?}")),
    }
}

fn number(value: &Value) -> Result<u64, String> {
    value.as_u64().ok_or_else(|| format!("no number from 0: {value:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_announce_answer_is_read() {
        let body =
            b"d8:completei2e10:downloadedi5e11:external ip4:\xc0\x00\x02\x0110:incompletei3e8:intervali1800e\
            12:min intervali900e5:peers6:\x0a\x4d\x00\x01\x1a\xe1e";
        let Answer::Announce(announced) = Answer::read(body).unwrap() else { panic!("no announce") };
        assert_eq!((announced.complete, announced.downloaded, announced.incomplete), (2, 5, 3));
        assert_eq!(announced.external_ip.to_string(), "192.0.2.1");
        assert_eq!(announced.peers, ["10.77.0.1:6881".parse().unwrap()]);
    }

    #[test]
    fn what_is_not_canonical_is_an_error() {
        for body in [
            &b"d14:failure reason1:xe\n"[..],
            b"d14:failure reason1:xee",
            b"d14:failure reason01:xe",
            b"d8:retry ini1e14:failure reason1:xe",
            b"d14:failure reason1:x14:failure reason1:xe",
            b"d14:failure reason1:x5:othersi1ee",
            b"d5:filesd3:abcdeee",
            b"le",
            b"",
        ] {
            assert!(Answer::read(body).is_err(), "{:?}", String::from_utf8_lossy(body));
        }
    }
}
