//! Lines and directories: how a list of peers is found from its root. The picture is in the [parent](super).

use super::{FAN_OUT_SHIFT, MAX_DEPTH, RECORD_BYTES, V4_PER_LINE, WORDS, high, low, pair};
use crate::table::{PeerAddress, Record};

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
    if index.is_multiple_of(2) { low(word) } else { high(word) }
}

/// A directory's word with one of its two entries replaced.
#[inline(always)]
pub const fn with_directory_entry(word: u64, index: usize, number: u32) -> u64 {
    if index.is_multiple_of(2) { pair(high(word), number) } else { pair(number, low(word)) }
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn depth_grows_by_a_level_at_each_power_of_16() {
        for (lines, expected) in
            [(0, 0), (1, 0), (2, 1), (16, 1), (17, 2), (256, 2), (257, 3), (4096, 3), (4097, 4), (65_536, 4)]
        {
            assert_eq!(depth(lines), expected, "{lines} lines");
        }
    }

    proptest! {
        #[test]
        fn a_position_is_the_first_slot_with_the_peer(slots in proptest::collection::vec(0..4u8, 10), peers in 0..=10u32, wanted in 0..4u8, v6: bool) {
            let peer = |n| if v6 { PeerAddress::V6([n; 18]) } else { PeerAddress::V4([n; 6]) };
            let len = peer(0).bytes().len();
            let (slots, peers) = if v6 { (&slots[..3], peers.min(3)) } else { (&slots[..], peers) };
            let mut bytes = [0; 64];
            for (place, n) in bytes.chunks_exact_mut(len).zip(slots) {
                place.copy_from_slice(peer(*n).bytes());
            }
            let expected = slots[..peers as usize].iter().position(|n| *n == wanted).map(|slot| slot as u32);
            prop_assert_eq!(line_position(&line_words(&bytes), peers, &peer(wanted)), expected);
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
