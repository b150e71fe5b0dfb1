//! How many peers of how many torrents come from one address.
//!
//! Counted are entries (torrent, peer), by IPv4 address or IPv6 /64, which is what one subscriber has. The hash is keyed, as everywhere where a
//! client has a say in what is hashed.

use tracker_common::siphash::{SipKey, siphash_1_3_words};
use tracker_common::table::PeerAddress;

use crate::sharded::Sharded;

/// Entries of each address that has any.
#[derive(Debug)]
pub(crate) struct Addresses {
    key: SipKey,
    v4: Sharded<(u32, u32)>,
    v6: Sharded<(u64, u32)>,
}

/// What of a peer's address counts.
#[derive(Clone, Copy)]
enum Source {
    V4(u32),
    V6(u64),
}

impl Source {
    fn of(peer: &PeerAddress) -> Self {
        match *peer {
            PeerAddress::V4([a, b, c, d, ..]) => Self::V4(u32::from_be_bytes([a, b, c, d])),
            PeerAddress::V6([a, b, c, d, e, f, g, h, ..]) => {
                Self::V6(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
            }
        }
    }
}

fn hash(key: &SipKey, source: u64) -> u64 {
    siphash_1_3_words(key, [source, 0, 0])
}

impl Addresses {
    pub(crate) fn new(key: SipKey) -> Self {
        Self { key, v4: Sharded::default(), v6: Sharded::default() }
    }

    /// Entries of a peer's address.
    pub(crate) fn entries(&self, peer: &PeerAddress) -> u32 {
        let found = match Source::of(peer) {
            Source::V4(ip) => {
                self.v4.find(hash(&self.key, ip.into()), |(key, _)| *key == ip).map(|found| found.1)
            }
            Source::V6(net) => {
                self.v6.find(hash(&self.key, net), |(key, _)| *key == net).map(|found| found.1)
            }
        };
        found.unwrap_or(0)
    }

    /// An entry was added.
    pub(crate) fn added(&mut self, peer: &PeerAddress) {
        let key = self.key;
        match Source::of(peer) {
            Source::V4(ip) => add(&mut self.v4, ip, |ip| hash(&key, (*ip).into())),
            Source::V6(net) => add(&mut self.v6, net, |net| hash(&key, *net)),
        }
    }

    /// An entry was removed.
    pub(crate) fn removed(&mut self, peer: &PeerAddress) {
        let key = self.key;
        match Source::of(peer) {
            Source::V4(ip) => remove(&mut self.v4, ip, |ip| hash(&key, (*ip).into())),
            Source::V6(net) => remove(&mut self.v6, net, |net| hash(&key, *net)),
        }
    }
}

fn add<K: Copy + PartialEq>(table: &mut Sharded<(K, u32)>, key: K, hash: impl Fn(&K) -> u64) {
    match table.find_mut(hash(&key), |(other, _)| *other == key) {
        Some((_, entries)) => *entries += 1,
        None => table.insert(hash(&key), (key, 1), |(key, _)| hash(key)),
    }
}

fn remove<K: Copy + PartialEq>(table: &mut Sharded<(K, u32)>, key: K, hash: impl Fn(&K) -> u64) {
    if let Some((_, entries)) = table.find_mut(hash(&key), |(other, _)| *other == key) {
        *entries -= 1;
        if *entries == 0 {
            table.remove(hash(&key), |(other, _)| *other == key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_counted_whatever_their_ports_are() {
        let mut addresses = Addresses::new(SipKey { k0: 1, k1: 2 });
        let subscriber =
            |host, port| PeerAddress::v6([0x20, 1, 2, 3, 4, 5, 6, 7, 0, 0, 0, 0, 0, 0, 0, host], port);
        for port in 1..=3 {
            addresses.added(&PeerAddress::v4([192, 0, 2, 1], port));
            addresses.added(&subscriber(port as u8, port));
        }
        assert_eq!(addresses.entries(&PeerAddress::v4([192, 0, 2, 1], 77)), 3);
        assert_eq!(addresses.entries(&PeerAddress::v4([192, 0, 2, 2], 1)), 0);
        assert_eq!(addresses.entries(&subscriber(200, 5)), 3);
        for port in 1..=3 {
            addresses.removed(&subscriber(9, port));
        }
        assert_eq!(addresses.entries(&subscriber(1, 1)), 0);
    }
}
