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
//!  Inline4  three times  | flags (8) | cell (8) | port (16, network order) | IPv4 address (32, network order) |   0 = free
//!  Inline6  word 5, 6: IPv6 address · word 7: | 0 (32) | flags (8) | cell (8) | port (16) |                       one peer
//!  Lists    word 5  | root of IPv4 leechers (32) | root of IPv4 seeders (32) |
//!           word 6  | root of IPv6 leechers (32) | root of IPv6 seeders (32) |
//!           word 7  | IPv6 leechers (32)         | IPv6 seeders (32)         |   the IPv4 counts are the rest
//!
//!  flags    bit 7 seeder | bits 6–0 zero
//!  cell     bit 7 partial seed | bits 6–0 deadline, in units that the writer chooses, wrapping ([`Cell`])
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
//! `p / per_line` and the path to it is that number in hexadecimal digits. Deadlines are in an array of the writer's own (10 cells a
//! line), which readers never see.
//!
//! # Root and segments
//!
//! ```text
//!  root     word 0  | first bucket (32) | buckets (32) |   [`Index`]
//!           word 1, 2  key of the hash that places info hashes
//!           word 3  generation of freed records
//!           word 4…7  0
//!
//!  record space   segment 0      | segment 1      | segment 2      | …      8,192 records of 64 bytes each
//!                 torrents, lines and directories: number = segment << 13 | offset; number 0 is nobody's
//!
//!  bucket space   | slot 0: an index | slots 1, 2: its successor | slots 3 … 5: the next | …
//!                 a slot shows one segment; bucket number = slot << 13 | offset
//! ```
//!
//! Memory is added by segments while the table grows. Whether a segment holds torrents or lines is known to the writer alone, so all of
//! them have one space of numbers. Buckets must follow each other without a gap, so they are found by a space of their own, in whose
//! slots segments are shown; a segment that holds buckets has its number in the record space as well, which nobody uses until
//! the index has moved on to a larger one: then it is emptied and becomes one for records.
//!
//! # Sizes
//!
//! | what | bytes |
//! |---|---|
//! | a torrent with up to three IPv4 peers | 64 + 64 / 7 slots used of 8 = 73.2 |
//! | each further IPv4 peer, in a long list | (64 line + 10 deadlines) / 10 × 16 / 15 for directories = 7.90 |

mod bucket;
mod cell;
mod index;
mod line;
mod torrent;

pub(crate) use bucket::scale;
pub use bucket::{Place, other_bucket, slot, slot_fingerprint, slot_torrent};
pub use cell::Cell;
pub use index::{Index, root};
pub use line::{
    child, depth, directory_entry, line_bytes, line_peer_v4, line_position, line_version, line_words,
    peer_v4_number, with_directory_entry, with_line_version,
};
pub use torrent::{
    InlinePeer, Kind, List, ListName, TORRENT_VERSION_MASK, TORRENT_VERSION_STEP, Torrent, hash_words,
    is_at_rest, torrent_version,
};

/// Words in a record.
pub const WORDS: usize = 8;
/// Bytes in a record.
pub const RECORD_BYTES: usize = 8 * WORDS;
/// Records of a segment, as a power of two: 8,192 × 64 bytes = 512 KiB.
pub const SEGMENT_SHIFT: u32 = 13;
/// Records of a segment.
pub const SEGMENT_RECORDS: u32 = 1 << SEGMENT_SHIFT;
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

/// Bucket slots that are used of the eight when the index grows: with two choices, 7/8 is reached with few moves.
pub const FULL_BUCKET_SLOTS: u32 = 7;

/// Bytes of one torrent with up to [`INLINE_V4`] IPv4 peers, in hundredths.
pub const fn centibytes_per_torrent() -> u64 {
    let bucket_share = (RECORD_BYTES as u64 * 100).div_ceil(FULL_BUCKET_SLOTS as u64);
    RECORD_BYTES as u64 * 100 + bucket_share
}

/// Bytes of one IPv4 peer in a long list, in hundredths: its part of a line, of the line's deadlines, and of the directories.
pub const fn centibytes_per_listed_v4_peer() -> u64 {
    let line = (RECORD_BYTES as u64 + CELLS_PER_LINE as u64) * 100;
    // One directory to 16 lines, one to 16 directories, …: 1 + 1/16 + 1/256 + … = 16/15. Its deadline cells lie idle.
    (line * 16).div_ceil(15 * V4_PER_LINE as u64)
}

/// Deadline cells beside each line, of one byte.
pub const CELLS_PER_LINE: usize = V4_PER_LINE as usize;

const _: () = assert!(centibytes_per_torrent() <= 74_00);
const _: () = assert!(centibytes_per_listed_v4_peer() <= 7_90);

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

    #[test]
    fn torrent_costs_73_bytes_and_a_listed_ipv4_peer_8() {
        assert_eq!(centibytes_per_torrent(), 73_15);
        assert_eq!(centibytes_per_listed_v4_peer(), 7_90);
    }
}
