//! Layouts of the swarm table: 64-byte records of eight little-endian words.
//!
//! The writer and all readers go through the functions here; nobody else knows a bit's place. A change of anything in this file
//! changes the pinned maps' layout (`settings::LAYOUT_VERSION`).
//!
//! # Bucket: eight slots of one word
//!
//! ```text
//!   63            32 31             0
//!  +----------------+----------------+
//!  |  fingerprint   | torrent number |   0 = empty
//!  +----------------+----------------+
//! ```
//!
//! An info hash has two buckets, computed from its keyed hash and fingerprint ([`Place`]); the second follows from the first and the
//! fingerprint alone, and back. A torrent is in one of them. It may be moved from its first to its second (copied, then overwritten),
//! never back: a reader that looks into the first, then into the second, always finds it.
//!
//! # Torrent
//!
//! ```text
//!  word 0  | info hash, bytes 0–7                                              |
//!  word 1  | info hash, bytes 8–15                                             |
//!  word 2  | version (24 bits)  | kind (8) | info hash, bytes 16–19 (32)       |
//!  word 3  | seeders (32)                  | leechers (32)                     |   both families
//!  word 4  | completed (32)                | partial seeds (32)                |   partial seeds are leechers too
//!  word 5…7  by kind:
//!
//!  Inline4  three times  | cell (16) | port (16, network order) | IPv4 address (32, network order) |   0 = free
//!  Inline6  word 5, 6: IPv6 address · word 7: | 0 (32) | cell (16) | port (16) |                       one peer
//!  Lists    word 5  | root of IPv4 leechers (32) | root of IPv4 seeders (32) |
//!           word 6  | root of IPv6 leechers (32) | root of IPv6 seeders (32) |
//!           word 7  | IPv6 leechers (32)         | IPv6 seeders (32)         |   the IPv4 counts are the rest
//!
//!  cell     bit 15 seeder (inline peers only) | bit 14 partial seed | bits 13–0 deadline, in units of 4 s, wrapping
//! ```
//!
//! (High half written first: a word `| a | b |` is `a << 32 | b`.) Most torrents of a public tracker have one or two peers, so those
//! live in the record itself.
//!
//! # Line and directory
//!
//! ```text
//!  IPv4 line   | peer 0 (6) | peer 1 | … | peer 9 | version (4) |      60 bytes, as they stand in the answer
//!  IPv6 line   | peer 0 (18) | peer 1 | peer 2 | unused (6) | version (4) |
//!  directory   | line number (4) × 16 |
//! ```
//!
//! A list of `count` peers is a tree of lines: up to one line the root is the line, up to 16 it is a directory of lines, up to 256 a
//! directory of directories, and so on to [`MAX_DEPTH`]. Only the last line may be partly filled, so position `p` is in line
//! `p / per_line` and the path to it is that number in hexadecimal digits. Deadlines are in an array of their own (10 cells a line),
//! which readers never touch.
//!
//! # Memory
//!
//! | what | bytes |
//! |---|---|
//! | a torrent with up to three IPv4 peers | 64 + 64 / 7 slots used of 8 = 73.2 |
//! | each further IPv4 peer, in a long list | (64 line + 20 deadlines) / 10 × 16 / 15 for directories = 8.96 |

use super::{Family, PeerAddress, Record};
use crate::wire::InfoHash;

/// Words in a record.
pub const WORDS: usize = 8;
/// Bytes in a record.
pub const RECORD_BYTES: usize = 8 * WORDS;
/// Slots in a bucket.
pub const BUCKET_SLOTS: usize = WORDS;
/// IPv4 peers in a torrent's own record.
pub const INLINE_V4: usize = 3;
/// IPv4 peers in a line: (64 − 4 of version) / 6.
pub const V4_PER_LINE: u32 = 10;
/// IPv6 peers in a line: (64 − 4 of version) / 18.
pub const V6_PER_LINE: u32 = 3;
/// Children of a directory, as a power of two: 64 / 4 = 16.
pub const FAN_OUT_SHIFT: u32 = 4;
/// Levels of directories at most: 16^4 lines, so 655,360 IPv4 or 196,608 IPv6 peers in a list.
pub const MAX_DEPTH: u32 = 4;
/// Lines of a list at most.
pub const MAX_LIST_LINES: u32 = 1 << (FAN_OUT_SHIFT * MAX_DEPTH);

const _: () = assert!(V4_PER_LINE as usize * crate::wire::PEER_V4_LEN + 4 <= RECORD_BYTES);
const _: () = assert!(V6_PER_LINE as usize * crate::wire::PEER_V6_LEN + 4 <= RECORD_BYTES);
const _: () = assert!(RECORD_BYTES == 4 << FAN_OUT_SHIFT);

/// Bucket slots that a full table uses, of the eight: with two choices, 7/8 is reached with almost no moves.
pub const FULL_BUCKET_SLOTS: u32 = 7;

/// Buckets for a capacity of `torrents`.
pub const fn buckets_for(torrents: u32) -> u32 {
    let buckets = torrents.div_ceil(FULL_BUCKET_SLOTS);
    // Two buckets at least, so that a torrent's two are not the same one in a table of a few torrents.
    if buckets < 2 { 2 } else { buckets }
}

/// Bytes of one torrent with up to [`INLINE_V4`] IPv4 peers, in hundredths.
pub const fn centibytes_per_torrent() -> u64 {
    let bucket_share = (RECORD_BYTES as u64 * 100).div_ceil(FULL_BUCKET_SLOTS as u64);
    RECORD_BYTES as u64 * 100 + bucket_share
}

/// Bytes of one IPv4 peer in a long list, in hundredths: its part of a line, of the line's deadlines, and of the directories.
pub const fn centibytes_per_listed_v4_peer() -> u64 {
    let line = (RECORD_BYTES as u64 + DEADLINES_PER_LINE as u64 * 2) * 100;
    // One directory to 16 lines, one to 16 directories, …: 1 + 1/16 + 1/256 + … = 16/15. Its deadline cells lie idle.
    (line * 16).div_ceil(15 * V4_PER_LINE as u64)
}

/// Deadline cells beside each line.
pub const DEADLINES_PER_LINE: usize = V4_PER_LINE as usize;

const _: () = assert!(centibytes_per_torrent() <= 74_00);
const _: () = assert!(centibytes_per_listed_v4_peer() <= 9_00);

/// Where an info hash may be in the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// First choice.
    pub first: u32,
    /// Second choice; may be the same bucket.
    pub second: u32,
    /// Tells most torrents of a bucket apart; never 0.
    pub fingerprint: u32,
}

impl Place {
    /// From the keyed hash of the info hash.
    ///
    /// The number of buckets need not be a power of two (that would cost up to twice the memory): the hash is scaled by a multiplication,
    /// and the two buckets add up to a number that the fingerprint alone determines, so each gives the other.
    #[inline(always)]
    pub const fn of(hash: u64, buckets: u32) -> Self {
        let fingerprint = (hash >> 32) as u32;
        let fingerprint = if fingerprint == 0 { 1 } else { fingerprint };
        let first = scale(hash as u32, buckets);
        Self { first, second: other_bucket(first, fingerprint, buckets), fingerprint }
    }
}

/// The other bucket of an entry.
#[inline(always)]
pub const fn other_bucket(bucket: u32, fingerprint: u32, buckets: u32) -> u32 {
    // 2^32 / golden ratio: spreads the fingerprint, which must not pick the same sum as its neighbour.
    let sum = scale(fingerprint.wrapping_mul(0x9e37_79b9) ^ fingerprint >> 15, buckets);
    if sum >= bucket { sum - bucket } else { buckets - (bucket - sum) }
}

/// A number below `n` from 32 uniform bits.
#[inline(always)]
pub(crate) const fn scale(bits: u32, n: u32) -> u32 {
    ((bits as u64 * n as u64) >> 32) as u32
}

/// A used slot of a bucket.
#[inline(always)]
pub const fn slot(fingerprint: u32, torrent: u32) -> u64 {
    (fingerprint as u64) << 32 | torrent as u64
}

/// Fingerprint of a slot, 0 when empty.
#[inline(always)]
pub const fn slot_fingerprint(slot: u64) -> u32 {
    high(slot)
}

/// Torrent number of a slot, 0 when empty.
#[inline(always)]
pub const fn slot_torrent(slot: u64) -> u32 {
    low(slot)
}

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

    /// The words of the record at `version`.
    #[inline(always)]
    pub const fn to_words(&self, version: u32) -> [u64; WORDS] {
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
                let [p, q, c0, c1, ..] = w7.to_le_bytes();
                let address = PeerAddress::V6([a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, r, p, q]);
                [Some(InlinePeer { address, cell: Cell(u16::from_le_bytes([c0, c1])) }), None, None]
            }
            _ => [None; INLINE_V4],
        }
    }

    /// Puts a peer into slot `index` of the record (an IPv6 peer takes all of them), or frees the slot.
    pub const fn set_inline(&mut self, index: usize, peer: Option<InlinePeer>) {
        match peer {
            Some(InlinePeer { address: PeerAddress::V4([a, b, c, d, p, q]), cell }) => {
                let [c0, c1] = cell.0.to_le_bytes();
                self.kind = Kind::Inline4;
                self.payload[index] = u64::from_le_bytes([a, b, c, d, p, q, c0, c1]);
            }
            Some(InlinePeer { address: PeerAddress::V6(bytes), cell }) => {
                let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, r, p, q] = bytes;
                let [c0, c1] = cell.0.to_le_bytes();
                self.kind = Kind::Inline6;
                self.payload = [
                    u64::from_le_bytes([a, b, c, d, e, f, g, h]),
                    u64::from_le_bytes([i, j, k, l, m, n, o, r]),
                    u64::from_le_bytes([p, q, c0, c1, 0, 0, 0, 0]),
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

/// Version of a torrent from its word 2; odd while the record is being written.
#[inline(always)]
pub const fn torrent_version(word2: u64) -> u32 {
    (word2 >> 40) as u32
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

#[inline(always)]
const fn inline_v4(word: u64) -> Option<InlinePeer> {
    if word == 0 {
        return None;
    }
    let [a, b, c, d, p, q, c0, c1] = word.to_le_bytes();
    Some(InlinePeer {
        address: PeerAddress::V4([a, b, c, d, p, q]),
        cell: Cell(u16::from_le_bytes([c0, c1])),
    })
}

/// A peer in a torrent's own record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InlinePeer {
    /// Its address.
    pub address: PeerAddress,
    /// Its deadline and flags.
    pub cell: Cell,
}

/// Deadline and flags of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell(pub u16);

/// Unit of a deadline: 2^2 s.
pub const DEADLINE_UNIT_SHIFT: u32 = 2;
const DEADLINE_MASK: u16 = 0x3fff;
const PARTIAL: u16 = 1 << 14;
const SEEDER: u16 = 1 << 15;

impl Cell {
    /// Furthest deadline: half of the wrapping range of 14 bits, less one for rounding: 8,190 × 4 s, about nine hours.
    pub const MAX_LIFETIME_S: u64 = (DEADLINE_MASK as u64 / 2 - 1) << DEADLINE_UNIT_SHIFT;

    /// A cell whose deadline is the second `deadline_s`, rounded up to the unit.
    pub const fn new(deadline_s: u64, seeder: bool, partial: bool) -> Self {
        let units = deadline_s.div_ceil(1 << DEADLINE_UNIT_SHIFT) as u16 & DEADLINE_MASK;
        Self(units | if partial { PARTIAL } else { 0 } | if seeder { SEEDER } else { 0 })
    }

    /// True when the deadline is not after the second `now_s`.
    pub const fn expired(self, now_s: u64) -> bool {
        let now = (now_s >> DEADLINE_UNIT_SHIFT) as u16;
        // Wrapping: what lies up to half the range ahead is the future.
        (self.0.wrapping_sub(now).wrapping_sub(1) & DEADLINE_MASK) >= DEADLINE_MASK >> 1
    }

    /// True for a seeder (inline peers; in a list, the list says it).
    pub const fn seeder(self) -> bool {
        self.0 & SEEDER != 0
    }

    /// True for a partial seed.
    pub const fn partial(self) -> bool {
        self.0 & PARTIAL != 0
    }
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

/// Levels of directories above `lines` lines.
#[inline(always)]
pub const fn depth(lines: u32) -> u32 {
    let mut depth = 0;
    while depth < MAX_DEPTH && lines > 1 << (FAN_OUT_SHIFT * depth) {
        depth += 1;
    }
    depth
}

/// Which child of a directory leads to line `index`, `level` levels above the lines (1 is right above).
#[inline(always)]
pub const fn child(index: u32, level: u32) -> usize {
    (index >> (FAN_OUT_SHIFT * (level - 1)) & ((1 << FAN_OUT_SHIFT) - 1)) as usize
}

/// Child `index` (below 16) of a directory record.
#[inline(always)]
pub fn directory_entry(record: impl Record, index: usize) -> u32 {
    let word = record.word(index / 2 % WORDS);
    if index % 2 == 0 { low(word) } else { high(word) }
}

/// A directory's word with one of its two entries replaced.
#[inline(always)]
pub const fn with_directory_entry(word: u64, index: usize, number: u32) -> u64 {
    if index % 2 == 0 { pair(high(word), number) } else { pair(number, low(word)) }
}

/// Version of a line from its last word; odd while the line is being written.
#[inline(always)]
pub const fn line_version(word7: u64) -> u32 {
    high(word7)
}

/// A line's last word with another version.
#[inline(always)]
pub const fn with_line_version(word7: u64, version: u32) -> u64 {
    pair(version, low(word7))
}

/// The IPv4 peer in `slot` of a line, as a number: 48 bits, the answer's bytes read as little-endian.
#[inline(always)]
pub const fn line_peer_v4(words: &[u64; WORDS], slot: u32) -> u64 {
    let bit = slot * 48;
    let (word, shift) = ((bit / 64) as usize % WORDS, bit % 64);
    let low = words[word] >> shift;
    let high = if shift > 16 { words[(word + 1) % WORDS] << (64 - shift) } else { 0 };
    (low | high) & 0xffff_ffff_ffff
}

/// A peer's bytes as such a number.
#[inline(always)]
pub const fn peer_v4_number(bytes: &[u8; 6]) -> u64 {
    let [a, b, c, d, p, q] = *bytes;
    u64::from_le_bytes([a, b, c, d, p, q, 0, 0])
}

/// Slot of a peer among the first `peers` of a line.
#[inline(always)]
pub fn line_position(words: &[u64; WORDS], peers: u32, peer: &PeerAddress) -> Option<u32> {
    match peer {
        PeerAddress::V4(bytes) => {
            let wanted = peer_v4_number(bytes);
            (0..V4_PER_LINE).find(|slot| *slot < peers && line_peer_v4(words, *slot) == wanted)
        }
        PeerAddress::V6(wanted) => {
            let bytes = line_bytes(words);
            let slots = bytes.as_chunks::<18>().0;
            slots.iter().zip(0..peers).find(|(bytes, _)| *bytes == wanted).map(|(_, slot)| slot)
        }
    }
}

/// A line's 64 bytes, as they stand in memory.
#[inline(always)]
pub fn line_bytes(words: &[u64; WORDS]) -> [u8; RECORD_BYTES] {
    let mut bytes = [0; RECORD_BYTES];
    for (chunk, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(words) {
        *chunk = word.to_le_bytes();
    }
    bytes
}

/// The words of 64 bytes.
#[inline(always)]
pub fn line_words(bytes: &[u8; RECORD_BYTES]) -> [u64; WORDS] {
    let mut words = [0; WORDS];
    for (word, chunk) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
        *word = u64::from_le_bytes(*chunk);
    }
    words
}

#[inline(always)]
const fn pair(high: u32, low: u32) -> u64 {
    (high as u64) << 32 | low as u64
}

#[inline(always)]
const fn high(word: u64) -> u32 {
    (word >> 32) as u32
}

#[inline(always)]
const fn low(word: u64) -> u32 {
    word as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_torrent_costs_at_most_74_bytes_and_a_listed_ipv4_peer_at_most_9() {
        assert_eq!(centibytes_per_torrent(), 73_15);
        assert_eq!(centibytes_per_listed_v4_peer(), 8_96);
    }

    #[test]
    fn depth_grows_by_a_level_at_each_power_of_16() {
        for (lines, expected) in
            [(0, 0), (1, 0), (2, 1), (16, 1), (17, 2), (256, 2), (257, 3), (4096, 3), (4097, 4), (65_536, 4)]
        {
            assert_eq!(depth(lines), expected, "{lines} lines");
        }
    }

    #[test]
    fn a_deadline_passes_once_and_not_before() {
        // Around the places where 14 bits of 4 s wrap, too.
        for start in [0u64, 1, 2, 3, 65_536 - 5_000, 65_536 * 3 - 1, 1 << 40] {
            for lifetime in [1, 60, 4_200, Cell::MAX_LIFETIME_S] {
                let cell = Cell::new(start + lifetime, false, false);
                let passed = (start..start + lifetime + 60).find(|now| cell.expired(*now)).unwrap();
                assert!(passed >= start + lifetime, "{start} + {lifetime}: early at {passed}");
                assert!(passed < start + lifetime + 4, "{start} + {lifetime}: late at {passed}");
            }
        }
    }

    proptest! {
        #[test]
        fn each_bucket_gives_the_other(hash: u64, buckets in 2..u32::MAX) {
            let place = Place::of(hash, buckets);
            prop_assert!(place.first < buckets && place.second < buckets && place.fingerprint != 0);
            prop_assert_eq!(other_bucket(place.first, place.fingerprint, buckets), place.second);
            prop_assert_eq!(other_bucket(place.second, place.fingerprint, buckets), place.first);
        }

        #[test]
        fn a_torrent_survives_its_words(
            info_hash: [u8; 20], kind in 0u8..4, counts: [u32; 4], payload: [u64; 3], version in 0..=TORRENT_VERSION_MASK,
        ) {
            let [seeders, leechers, completed, partial] = counts;
            let kind = [Kind::Free, Kind::Inline4, Kind::Inline6, Kind::Lists][kind as usize];
            let torrent = Torrent { info_hash, kind, seeders, leechers, completed, partial, payload };
            let words = torrent.to_words(version);
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
        fn an_inline_peer_is_read_as_it_was_put(ip: [u8; 16], port in 1u16.., slot in 0..3usize, deadline in 0..1u64 << 40, seeder: bool) {
            let cell = Cell::new(deadline, seeder, !seeder);
            let mut torrent = Torrent::new([1; 20]);
            let peer = InlinePeer { address: PeerAddress::v4([1, ip[0], ip[1], ip[2]], port), cell };
            torrent.set_inline(slot, Some(peer));
            prop_assert_eq!(torrent.inline(Family::V4)[slot], Some(peer));
            prop_assert_eq!(torrent.inline(Family::V6), [None; 3]);
            torrent.set_inline(slot, None);
            prop_assert_eq!(torrent, Torrent::new([1; 20]));

            let peer = InlinePeer { address: PeerAddress::V6(core::array::from_fn(|index| if index < 16 { ip[index] } else { 7 })), cell };
            torrent.set_inline(0, Some(peer));
            prop_assert_eq!(torrent.inline(Family::V6)[0], Some(peer));
            prop_assert_eq!(torrent.inline(Family::V4), [None; 3]);
            torrent.set_inline(0, None);
            prop_assert_eq!(torrent, Torrent::new([1; 20]));
        }

        #[test]
        fn a_peer_as_a_number_is_the_peer_in_its_slot(bytes in proptest::collection::vec(any::<u8>(), 64), slot in 0..V4_PER_LINE) {
            let bytes: [u8; 64] = bytes.try_into().unwrap();
            let words = line_words(&bytes);
            prop_assert_eq!(line_bytes(&words), bytes);
            let at = slot as usize * 6;
            let peer: [u8; 6] = bytes[at..at + 6].try_into().unwrap();
            prop_assert_eq!(line_peer_v4(&words, slot), peer_v4_number(&peer));
        }
    }
}
