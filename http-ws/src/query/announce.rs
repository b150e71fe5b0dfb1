//! An announce's query (BEP 3, 7, 21, 23; H01–H09).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tracker_common::wire::{AnnounceKind, InfoHash};

use super::address::{ADDRESS_ROOM, address};
use super::parameters::Parameters;
use super::{BadQuery, percent};

/// An announce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announce {
    /// The torrent.
    pub info_hash: InfoHash,
    /// The client's name for itself.
    pub peer_id: [u8; 20],
    /// The port it listens on, not 0.
    pub port: u16,
    /// `left` is 0 (H03: missing means it isn't).
    pub seeder: bool,
    /// H09.
    pub kind: AnnounceKind,
    /// As UDP's `num_want`; −1 when missing, unreadable, 0 or negative (H07).
    pub num_want: i32,
    /// H05, H06: false for `compact=0` only.
    pub compact: bool,
    /// `ip`, when it is an address (H08); brackets and a port are ignored.
    pub ip: Option<IpAddr>,
    /// `ipv4`, when it is an address; a port behind it is ignored.
    pub ipv4: Option<Ipv4Addr>,
    /// `ipv6`, when it is an address; brackets and a port are ignored. Never an IPv4-mapped one.
    pub ipv6: Option<Ipv6Addr>,
}

/// The values that count, as they are on the wire.
#[derive(Default)]
struct Values<'a> {
    info_hash: Option<&'a [u8]>,
    peer_id: Option<&'a [u8]>,
    port: Option<&'a [u8]>,
    left: Option<&'a [u8]>,
    event: Option<&'a [u8]>,
    num_want: Option<&'a [u8]>,
    compact: Option<&'a [u8]>,
    ip: Option<&'a [u8]>,
    ipv4: Option<&'a [u8]>,
    ipv6: Option<&'a [u8]>,
}

impl<'a> Values<'a> {
    /// Of a key that comes several times, the last one counts: clients append theirs to the announce URL, so what a client says of itself
    /// comes after what the torrent's author has written into the URL; and a proxy appends its word to the client's.
    fn of(query: &'a [u8]) -> Self {
        let mut values = Self::default();
        for (key, value) in Parameters::of(query) {
            let place = match key {
                b"info_hash" => &mut values.info_hash,
                b"peer_id" => &mut values.peer_id,
                b"port" => &mut values.port,
                b"left" => &mut values.left,
                b"event" => &mut values.event,
                b"numwant" => &mut values.num_want,
                b"compact" => &mut values.compact,
                b"ip" => &mut values.ip,
                b"ipv4" => &mut values.ipv4,
                b"ipv6" => &mut values.ipv6,
                _ => continue,
            };
            *place = Some(value);
        }
        values
    }
}

/// Reads the query of an announce: what follows the first `?`.
///
/// # Errors
///
/// The first of `info_hash`, `peer_id` and `port` that is missing or bad.
pub fn announce(query: &[u8]) -> Result<Announce, BadQuery> {
    let values = Values::of(query);
    Ok(Announce {
        info_hash: percent::exactly(values.info_hash.ok_or(BadQuery::MissingInfoHash)?)
            .ok_or(BadQuery::InvalidInfoHash)?,
        peer_id: percent::exactly(values.peer_id.ok_or(BadQuery::MissingPeerId)?)
            .ok_or(BadQuery::InvalidPeerId)?,
        port: port(values.port.ok_or(BadQuery::MissingPort)?).ok_or(BadQuery::InvalidPort)?,
        seeder: values.left.and_then(number) == Some(0),
        kind: values.event.map_or(AnnounceKind::None, kind),
        num_want: values.num_want.map_or(-1, num_want),
        compact: !values.compact.is_some_and(is_not_compact),
        ip: values.ip.and_then(host),
        ipv4: values.ipv4.and_then(host).and_then(|address| match address {
            IpAddr::V4(v4) => Some(v4),
            IpAddr::V6(_) => None,
        }),
        ipv6: values.ipv6.and_then(host).and_then(|address| match address {
            IpAddr::V4(_) => None,
            IpAddr::V6(v6) => Some(v6),
        }),
    })
}

/// The port, 1 to 65535.
fn port(value: &[u8]) -> Option<u16> {
    u16::try_from(number(value)?).ok().filter(|port| *port != 0)
}

/// H07.
fn num_want(value: &[u8]) -> i32 {
    match number(value) {
        None | Some(0) => -1,
        Some(wanted) => i32::try_from(wanted).unwrap_or(i32::MAX),
    }
}

/// A number without sign; the largest one also stands for all that are larger.
fn number(value: &[u8]) -> Option<u32> {
    if value.is_empty() {
        return None;
    }
    percent::bytes(value).try_fold(0u32, |number, byte| {
        let digit = byte?.wrapping_sub(b'0');
        (digit < 10).then(|| number.saturating_mul(10).saturating_add(digit.into()))
    })
}

/// H09: what isn't known is as if there were no event.
fn kind(value: &[u8]) -> AnnounceKind {
    match percent::at_most(value, &mut [0; b"completed".len()]) {
        Some(b"started") => AnnounceKind::Started,
        Some(b"completed") => AnnounceKind::Completed,
        Some(b"stopped") => AnnounceKind::Stopped,
        Some(b"paused") => AnnounceKind::Paused,
        _ => AnnounceKind::None,
    }
}

/// H06.
fn is_not_compact(value: &[u8]) -> bool {
    percent::at_most(value, &mut [0; 1]) == Some(b"0")
}

/// H08: host names, which BEP 3 allows, aren't looked up.
fn host(value: &[u8]) -> Option<IpAddr> {
    address(percent::at_most(value, &mut [0; ADDRESS_ROOM])?)
}
