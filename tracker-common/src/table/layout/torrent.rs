//! Torrents: counts, peers in the record itself, lists. The picture is in the [parent](super).

use super::{Cell, INLINE_V4, WORDS, high, low, pair};
use crate::table::{Family, PeerAddress};
use crate::wire::InfoHash;

/// What a torrent's last three words are.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Not in use.
    Free = 0,
    /// Up to three IPv4 peers, or none at all.
    Inline4 = 1,
    /// One IPv6 peer.
    Inline6 = 2,
    /// Roots and counts of four lists.
    Lists = 3,
}

/// Largest torrent version: 24 bits.
pub const TORRENT_VERSION_MASK: u32 = 0x00ff_ffff;

/// A consistent copy of a torrent's record, or what the writer is about to store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Torrent {
    /// The torrent's info hash.
    pub info_hash: InfoHash,
    /// Meaning of `payload`.
    pub kind: Kind,
    /// Complete peers, of both families.
    pub seeders: u32,
    /// Incomplete peers, of both families; partial seeds too.
    pub leechers: u32,
    /// How often a leecher became a seeder and said so (U14).
    pub completed: u32,
    /// Leechers that want nothing more (BEP 21).
    pub partial: u32,
    /// Words 5, 6 and 7.
    pub payload: [u64; 3],
}

impl Torrent {
    /// A torrent without peers.
    pub const fn new(info_hash: InfoHash) -> Self {
        Self {
            info_hash,
            kind: Kind::Inline4,
            seeders: 0,
            leechers: 0,
            completed: 0,
            partial: 0,
            payload: [0; 3],
        }
    }

    /// Reads a record's words. Those of another kind than the writer stores count as a free record.
    #[inline(always)]
    pub const fn from_words(words: &[u64; WORDS]) -> Self {
        let [w0, w1, w2, w3, w4, w5, w6, w7] = *words;
        let [a, b, c, d, e, f, g, h] = w0.to_le_bytes();
        let [i, j, k, l, m, n, o, p] = w1.to_le_bytes();
        let [q, r, s, t] = low(w2).to_le_bytes();
        Self {
            info_hash: [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t],
            kind: match (w2 >> 32) as u8 {
                1 => Kind::Inline4,
                2 => Kind::Inline6,
                3 => Kind::Lists,
                _ => Kind::Free,
            },
            seeders: high(w3),
            leechers: low(w3),
            completed: high(w4),
            partial: low(w4),
            payload: [w5, w6, w7],
        }
    }

    /// True when a record with this word 2 is not in use.
    #[inline(always)]
    pub const fn is_free(word2: u64) -> bool {
        !matches!((word2 >> 32) as u8, 1..=3)
    }

    /// The words of the record at `version`.
    #[inline(always)]
    pub const fn words_at(&self, version: u32) -> [u64; WORDS] {
        let [w0, w1, tail] = hash_words(&self.info_hash);
        [
            w0,
            w1,
            ((version & TORRENT_VERSION_MASK) as u64) << 40 | (self.kind as u64) << 32 | tail,
            pair(self.seeders, self.leechers),
            pair(self.completed, self.partial),
            self.payload[0],
            self.payload[1],
            self.payload[2],
        ]
    }

    /// How many of the peers have IPv6 addresses.
    pub const fn peers_v6(&self) -> PeersV6 {
        match self.kind {
            Kind::Free | Kind::Inline4 => PeersV6 { seeders: 0, leechers: 0 },
            // The record has one peer, of this family.
            Kind::Inline6 => PeersV6 { seeders: self.seeders, leechers: self.leechers },
            Kind::Lists => PeersV6 {
                seeders: self.list(ListName::SeedersV6).count,
                leechers: self.list(ListName::LeechersV6).count,
            },
        }
    }

    /// The list of these peers; empty unless the torrent has lists.
    #[inline(always)]
    pub const fn list(&self, name: ListName) -> List {
        let List { root, count } = List::EMPTY;
        if !matches!(self.kind, Kind::Lists) {
            return List { root, count };
        }
        let [roots4, roots6, counts6] = self.payload;
        match name {
            ListName::LeechersV4 => {
                List { root: high(roots4), count: self.leechers.saturating_sub(high(counts6)) }
            }
            ListName::SeedersV4 => {
                List { root: low(roots4), count: self.seeders.saturating_sub(low(counts6)) }
            }
            ListName::LeechersV6 => List { root: high(roots6), count: high(counts6) },
            ListName::SeedersV6 => List { root: low(roots6), count: low(counts6) },
        }
    }

    /// Replaces a list. Counts of both families together follow.
    pub const fn set_list(&mut self, name: ListName, list: List) {
        let before = self.list(name).count;
        let [roots4, roots6, counts6] = self.payload;
        match name {
            ListName::LeechersV4 => self.payload[0] = pair(list.root, low(roots4)),
            ListName::SeedersV4 => self.payload[0] = pair(high(roots4), list.root),
            ListName::LeechersV6 => {
                self.payload[1] = pair(list.root, low(roots6));
                self.payload[2] = pair(list.count, low(counts6));
            }
            ListName::SeedersV6 => {
                self.payload[1] = pair(high(roots6), list.root);
                self.payload[2] = pair(high(counts6), list.count);
            }
        }
        if name.seeders() {
            self.seeders = self.seeders - before + list.count;
        } else {
            self.leechers = self.leechers - before + list.count;
        }
    }

    /// Peers in the record itself: those of `family`, in the order of their slots, `None` for free ones.
    #[inline(always)]
    pub const fn inline(&self, family: Family) -> [Option<InlinePeer>; INLINE_V4] {
        let [w5, w6, w7] = self.payload;
        match (self.kind, family) {
            (Kind::Inline4, Family::V4) => [inline_v4(w5), inline_v4(w6), inline_v4(w7)],
            (Kind::Inline6, Family::V6) => {
                let [a, b, c, d, e, f, g, h] = w5.to_le_bytes();
                let [i, j, k, l, m, n, o, r] = w6.to_le_bytes();
                let [p, q, cell, flags, ..] = w7.to_le_bytes();
                let address = PeerAddress::V6([a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, r, p, q]);
                [Some(InlinePeer { address, seeder: flags & SEEDER != 0, cell: Cell(cell) }), None, None]
            }
            _ => [None; INLINE_V4],
        }
    }

    /// Puts a peer into slot `index` of the record (an IPv6 peer takes all of them), or frees the slot.
    pub const fn set_inline(&mut self, index: usize, peer: Option<InlinePeer>) {
        match peer {
            Some(InlinePeer { address: PeerAddress::V4([a, b, c, d, p, q]), seeder, cell }) => {
                self.kind = Kind::Inline4;
                self.payload[index] = u64::from_le_bytes([a, b, c, d, p, q, cell.0, flags(seeder)]);
            }
            Some(InlinePeer { address: PeerAddress::V6(bytes), seeder, cell }) => {
                let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, r, p, q] = bytes;
                self.kind = Kind::Inline6;
                self.payload = [
                    u64::from_le_bytes([a, b, c, d, e, f, g, h]),
                    u64::from_le_bytes([i, j, k, l, m, n, o, r]),
                    u64::from_le_bytes([p, q, cell.0, flags(seeder), 0, 0, 0, 0]),
                ];
            }
            None if matches!(self.kind, Kind::Inline6) => {
                self.kind = Kind::Inline4;
                self.payload = [0; 3];
            }
            None => self.payload[index] = 0,
        }
    }
}

/// A torrent's peers with IPv6 addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeersV6 {
    /// Complete ones.
    pub seeders: u32,
    /// Incomplete ones.
    pub leechers: u32,
}

/// Version of a torrent from its word 2: odd while the record is being written, and a multiple of four only when peers aren't moving within
/// its lists either.
#[inline(always)]
pub const fn torrent_version(word2: u64) -> u32 {
    (word2 >> 40) as u32
}

/// From one version at which nothing is being changed to the next.
pub const TORRENT_VERSION_STEP: u32 = 4;

/// False while peers move within the torrent's lists: its record is still as it was before, and its lines not any more.
#[inline(always)]
pub const fn is_at_rest(word2: u64) -> bool {
    torrent_version(word2).is_multiple_of(TORRENT_VERSION_STEP)
}

/// An info hash as words 0 and 1 and the low half of word 2.
#[inline(always)]
pub const fn hash_words(info_hash: &InfoHash) -> [u64; 3] {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t] = *info_hash;
    [
        u64::from_le_bytes([a, b, c, d, e, f, g, h]),
        u64::from_le_bytes([i, j, k, l, m, n, o, p]),
        u32::from_le_bytes([q, r, s, t]) as u64,
    ]
}

/// A seeder, in the top byte of an inline peer's word.
const SEEDER: u8 = 1 << 7;

#[inline(always)]
const fn flags(seeder: bool) -> u8 {
    if seeder { SEEDER } else { 0 }
}

#[inline(always)]
const fn inline_v4(word: u64) -> Option<InlinePeer> {
    if word == 0 {
        return None;
    }
    let [a, b, c, d, p, q, cell, flags] = word.to_le_bytes();
    Some(InlinePeer {
        address: PeerAddress::V4([a, b, c, d, p, q]),
        seeder: flags & SEEDER != 0,
        cell: Cell(cell),
    })
}

/// A peer in a torrent's own record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InlinePeer {
    /// Its address.
    pub address: PeerAddress,
    /// It has nothing left to download. (Of a listed peer, the list says it.)
    pub seeder: bool,
    /// Its deadline, and whether it is a partial seed.
    pub cell: Cell,
}

/// One of a torrent's four lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ListName {
    /// IPv4 leechers.
    LeechersV4,
    /// IPv4 seeders.
    SeedersV4,
    /// IPv6 leechers.
    LeechersV6,
    /// IPv6 seeders.
    SeedersV6,
}

impl ListName {
    /// All lists.
    pub const ALL: [Self; 4] = [Self::LeechersV4, Self::SeedersV4, Self::LeechersV6, Self::SeedersV6];

    /// The list that a peer belongs to.
    #[inline(always)]
    pub const fn of(family: Family, seeder: bool) -> Self {
        match (family, seeder) {
            (Family::V4, false) => Self::LeechersV4,
            (Family::V4, true) => Self::SeedersV4,
            (Family::V6, false) => Self::LeechersV6,
            (Family::V6, true) => Self::SeedersV6,
        }
    }

    /// True for the lists of seeders.
    #[inline(always)]
    pub const fn seeders(self) -> bool {
        matches!(self, Self::SeedersV4 | Self::SeedersV6)
    }

    /// Family of the list's peers.
    #[inline(always)]
    pub const fn family(self) -> Family {
        match self {
            Self::LeechersV4 | Self::SeedersV4 => Family::V4,
            Self::LeechersV6 | Self::SeedersV6 => Family::V6,
        }
    }
}

/// A list of peers: its root and how many they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct List {
    /// Number of a line or directory, by the list's depth; 0 when empty.
    pub root: u32,
    /// Peers.
    pub count: u32,
}

impl List {
    /// No peers.
    pub const EMPTY: Self = Self { root: 0, count: 0 };
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_torrent_survives_its_words(
            info_hash: [u8; 20], kind in 0u8..4, counts: [u32; 4], payload: [u64; 3], version in 0..=TORRENT_VERSION_MASK,
        ) {
            let [seeders, leechers, completed, partial] = counts;
            let kind = [Kind::Free, Kind::Inline4, Kind::Inline6, Kind::Lists][kind as usize];
            let torrent = Torrent { info_hash, kind, seeders, leechers, completed, partial, payload };
            let words = torrent.words_at(version);
            prop_assert_eq!(Torrent::from_words(&words), torrent);
            prop_assert_eq!(torrent_version(words[2]), version);
            prop_assert_eq!([words[0], words[1], words[2] & 0xffff_ffff], hash_words(&info_hash));
        }

        #[test]
        fn lists_keep_apart(roots: [u32; 4], counts: [u16; 4]) {
            let mut torrent = Torrent { kind: Kind::Lists, ..Torrent::new([1; 20]) };
            for (index, name) in ListName::ALL.into_iter().enumerate() {
                torrent.set_list(name, List { root: roots[index], count: counts[index].into() });
            }
            for (index, name) in ListName::ALL.into_iter().enumerate() {
                prop_assert_eq!(torrent.list(name), List { root: roots[index], count: counts[index].into() });
            }
            prop_assert_eq!(torrent.leechers, u32::from(counts[0]) + u32::from(counts[2]));
            prop_assert_eq!(torrent.seeders, u32::from(counts[1]) + u32::from(counts[3]));
        }

        #[test]
        fn an_inline_peer_is_read_as_it_was_put(ip: [u8; 16], port in 1u16.., slot in 0..3usize, deadline: u8, partial: bool, seeder: bool) {
            let cell = Cell::new(deadline.into(), partial);
            let mut torrent = Torrent::new([1; 20]);
            let peer = InlinePeer { address: PeerAddress::v4([1, ip[0], ip[1], ip[2]], port), seeder, cell };
            torrent.set_inline(slot, Some(peer));
            prop_assert_eq!(torrent.inline(Family::V4)[slot], Some(peer));
            prop_assert_eq!(torrent.inline(Family::V6), [None; 3]);
            torrent.set_inline(slot, None);
            prop_assert_eq!(torrent, Torrent::new([1; 20]));

            let peer = InlinePeer { address: PeerAddress::V6(core::array::from_fn(|index| if index < 16 { ip[index] } else { 7 })), seeder, cell };
            torrent.set_inline(0, Some(peer));
            prop_assert_eq!(torrent.inline(Family::V6)[0], Some(peer));
            prop_assert_eq!(torrent.inline(Family::V4), [None; 3]);
            torrent.set_inline(0, None);
            prop_assert_eq!(torrent, Torrent::new([1; 20]));
        }
    }
}
