//! What differs between IPv4 and IPv6 in the read path: how a peer is kept in registers, found in a line, and put into an answer.

use core::hint::black_box;

use super::layout::{Kind, RECORD_BYTES, Torrent, V4_PER_LINE, V6_PER_LINE, WORDS, line_words};
use super::{Family, PeerAddress, Room};
use crate::event;
use crate::wire::{AnnounceKind, PEER_V4_LEN, PEER_V6_LEN};

/// Peers of one family, as the read path handles them: in whole words, without a byte array.
pub trait PeerFamily {
    /// A peer in words.
    type Peer: Copy + PartialEq;
    /// Which family it is.
    const FAMILY: Family;
    /// Bytes of a peer in an answer.
    const LEN: usize;
    /// Peers in a line.
    const PER_LINE: u32;

    /// The peer, if it is of this family.
    fn of(address: &PeerAddress) -> Option<Self::Peer>;
    /// The peer as three words.
    fn words(peer: Self::Peer) -> [u64; 3];
    /// The peer that three words are.
    fn from_words(words: [u64; 3]) -> Self::Peer;
    /// Peers in so many bytes.
    fn peers_in(bytes: u32) -> u32;
    /// Which line of a list holds this position: the position divided by [`PeerFamily::PER_LINE`].
    fn line_of(position: u32) -> u32;
    /// False when none of a line's peers is this one; true when one is, and once in a while when none is.
    fn may_have(line: [u64; WORDS - 1], peer: &Self::Peer) -> bool;
    /// The first of a line's first `peers` slots that has the peer; `None` when none has.
    fn slot_in(line: &[u8; RECORD_BYTES], peer: &Self::Peer, peers: u32) -> Option<u32>;
    /// The peer in slot `index` (0 to 2) of a torrent's own record, with its cell's seeder flag.
    fn inline(torrent: &Torrent, index: usize) -> Option<(Self::Peer, bool)>;
    /// The words of an [`AnnounceEvent`](crate::event::AnnounceEvent) of this peer.
    fn event(info_hash: [u64; 3], peer: Self::Peer, kind: AnnounceKind, last: u64) -> [u64; 6];
    /// The peer at byte `at` of an answer.
    fn get<R: Room>(room: &R, at: usize) -> Option<Self::Peer>;
    /// Puts a peer at byte `at` of an answer.
    fn put<R: Room>(room: &mut R, at: usize, peer: Self::Peer) -> Option<()>;
}

/// The top bit is set when both are equal, and only then: what they differ by, less 1. The sums of such numbers spare a branch each.
#[inline(always)]
const fn differs_less_one(a: u32, b: u32) -> u64 {
    ((a ^ b) as u64).wrapping_sub(1)
}

/// A line's slots that have what is looked for, a bit each. Found without a branch: the verifier would follow each, and the processor
/// would guess wrong where the announcer is.
struct Slots {
    bits: u64,
    /// Opaque, or LLVM makes the subtraction the comparison that it is.
    one: u64,
}

impl Slots {
    #[inline(always)]
    fn none() -> Self {
        Self { bits: 0, one: black_box(1) }
    }

    /// `differs`, below 2^63, is 0 when the slot has it.
    #[inline(always)]
    const fn look(&mut self, slot: usize, differs: u64) {
        // 0 − 1 has the top bit set, what is below 2^63 less 1 hasn't.
        self.bits |= (differs.wrapping_sub(self.one) >> 63) << slot;
    }

    /// The first of them that is below `peers`.
    #[inline(always)]
    const fn first_below(&self, peers: u32) -> Option<u32> {
        let bits = self.bits & ((1 << (peers & 31)) - 1);
        if bits == 0 {
            return None;
        }
        let lowest = bits & bits.wrapping_neg();
        Some((BIT_NUMBERS >> (4 * place_of_bit(lowest))) as u32 & 15)
    }
}

/// Another number below 16 for each of the sixteen lowest bits: 0x09af is a de Bruijn sequence, of which the bit puts another four bits on top.
#[inline(always)]
const fn place_of_bit(bit: u64) -> u64 {
    ((bit * 0x09af) & 0xffff) >> 12
}

/// The number of the bit for each [`place_of_bit`], four bits each.
const BIT_NUMBERS: u64 = {
    let (mut numbers, mut number) = (0, 0u64);
    while number < 16 {
        numbers |= number << (4 * place_of_bit(1 << number));
        number += 1;
    }
    numbers
};

/// IPv4: a peer is the low 48 bits of a word, its six bytes read as little-endian.
#[derive(Clone, Copy, Debug)]
pub struct Peers4;

const MASK_48: u64 = (1 << 48) - 1;

impl PeerFamily for Peers4 {
    type Peer = u64;
    const FAMILY: Family = Family::V4;
    const LEN: usize = PEER_V4_LEN;
    const PER_LINE: u32 = V4_PER_LINE;

    #[inline(always)]
    fn of(address: &PeerAddress) -> Option<u64> {
        match *address {
            PeerAddress::V4([a, b, c, d, p, q]) => Some(u64::from_le_bytes([a, b, c, d, p, q, 0, 0])),
            PeerAddress::V6(_) => None,
        }
    }

    #[inline(always)]
    fn line_of(position: u32) -> u32 {
        // Division by 10: BPF has a slow one only. 0xcccccccd = ⌈2^35 / 10⌉, exact for all 32-bit numbers.
        ((position as u64 * 0xcccc_cccd) >> 35) as u32
    }

    #[inline(always)]
    fn words(peer: u64) -> [u64; 3] {
        // Opaque, or LLVM calls a memset that goes byte by byte.
        [peer, black_box(0), black_box(0)]
    }

    #[inline(always)]
    fn from_words([peer, ..]: [u64; 3]) -> u64 {
        peer
    }

    #[inline(always)]
    fn peers_in(bytes: u32) -> u32 {
        // Division by 6; ⌈2^34 / 6⌉.
        ((bytes as u64 * 0xaaaa_aaab) >> 34) as u32
    }

    #[inline(always)]
    fn may_have(line: [u64; WORDS - 1], peer: &u64) -> bool {
        // Slot 2k begins at the 32-bit half 3k with the address; slot 2k + 1 ends with half 3k + 2, which is the address's last two bytes and
        // the port: one comparison each. The last slot ends in the last word, so its address's begin is compared instead.
        let (address, end) = (*peer as u32, (*peer >> 16) as u32);
        let half = |index: usize| (line[index / 2] >> (index % 2 * 32)) as u32;
        let mut near = differs_less_one(half(13) >> 16, address & 0xffff);
        for pair in 0..5 {
            near |= differs_less_one(half(3 * pair), address);
            if pair < 4 {
                near |= differs_less_one(half(3 * pair + 2), end);
            }
        }
        near >> 63 != 0
    }

    #[inline(always)]
    fn slot_in(line: &[u8; RECORD_BYTES], peer: &u64, peers: u32) -> Option<u32> {
        let mut found = Slots::none();
        let (slots, _) = line.as_chunks::<PEER_V4_LEN>();
        for (slot, [a, b, c, d, p, q]) in slots.iter().enumerate() {
            let address = u32::from_le_bytes([*a, *b, *c, *d]) ^ *peer as u32;
            let port = u16::from_le_bytes([*p, *q]) as u64 ^ peer >> 32;
            found.look(slot, address as u64 | port);
        }
        found.first_below(peers)
    }

    #[inline(always)]
    fn inline(torrent: &Torrent, index: usize) -> Option<(u64, bool)> {
        let word = *torrent.payload.get(index)?;
        let there = matches!(torrent.kind, Kind::Inline4) && word != 0;
        there.then_some((word & MASK_48, word >> 63 != 0))
    }

    #[inline(always)]
    fn event(hash: [u64; 3], peer: u64, kind: AnnounceKind, last: u64) -> [u64; 6] {
        let port = peer >> 32;
        event::words(hash, [peer & 0xffff_ffff, 0], port, event::FAMILY_V4, kind, last)
    }

    #[inline(always)]
    fn get<R: Room>(room: &R, at: usize) -> Option<u64> {
        let address = u32::from_le(room.get::<u32>(at)?);
        let port = u16::from_le(room.get::<u16>(at + 4)?);
        Some((port as u64) << 32 | address as u64)
    }

    #[inline(always)]
    fn put<R: Room>(room: &mut R, at: usize, peer: u64) -> Option<()> {
        room.put(at, (peer as u32).to_le())?;
        room.put(at + 4, ((peer >> 32) as u16).to_le())
    }
}

/// IPv6: a peer is its 18 bytes as two words and a half-filled one, read as little-endian.
#[derive(Clone, Copy, Debug)]
pub struct Peers6;

/// An IPv6 peer in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer6 {
    /// First eight bytes of the address.
    pub high: u64,
    /// Last eight bytes of the address.
    pub low: u64,
    /// The port's two bytes.
    pub port: u64,
}

impl PeerFamily for Peers6 {
    type Peer = Peer6;
    const FAMILY: Family = Family::V6;
    const LEN: usize = PEER_V6_LEN;
    const PER_LINE: u32 = V6_PER_LINE;

    #[inline(always)]
    fn of(address: &PeerAddress) -> Option<Peer6> {
        match *address {
            PeerAddress::V4(_) => None,
            PeerAddress::V6([a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, r, p, q]) => Some(Peer6 {
                high: u64::from_le_bytes([a, b, c, d, e, f, g, h]),
                low: u64::from_le_bytes([i, j, k, l, m, n, o, r]),
                port: u16::from_le_bytes([p, q]) as u64,
            }),
        }
    }

    #[inline(always)]
    fn line_of(position: u32) -> u32 {
        // Division by 3; ⌈2^33 / 3⌉.
        ((position as u64 * 0xaaaa_aaab) >> 33) as u32
    }

    #[inline(always)]
    fn words(Peer6 { high, low, port }: Peer6) -> [u64; 3] {
        [high, low, port]
    }

    #[inline(always)]
    fn from_words([high, low, port]: [u64; 3]) -> Peer6 {
        Peer6 { high, low, port }
    }

    #[inline(always)]
    fn peers_in(bytes: u32) -> u32 {
        // Division by 18; ⌈2^36 / 18⌉ is a little more than 32 bits.
        ((bytes as u64 * 0xe38e_38e4) >> 36) as u32
    }

    #[inline(always)]
    fn may_have(line: [u64; WORDS - 1], peer: &Peer6) -> bool {
        // Peers begin at bytes 0, 18 and 36. Compared are bytes 12–15, 10–13 and 8–11 of their addresses, which are whole halves.
        let low = peer.low;
        let near = differs_less_one((line[1] >> 32) as u32, (low >> 32) as u32)
            | differs_less_one((line[3] >> 32) as u32, (low >> 16) as u32)
            | differs_less_one((line[5] >> 32) as u32, low as u32);
        near >> 63 != 0
    }

    #[inline(always)]
    fn slot_in(line: &[u8; RECORD_BYTES], peer: &Peer6, peers: u32) -> Option<u32> {
        // Peers begin at bytes 0, 18 and 36: at words 0, 2¼ and 4½.
        let [w0, w1, w2, w3, w4, w5, w6, _] = line_words(line);
        let Peer6 { high, low, port } = *peer;
        let mut found = Slots::none();
        let mut look = |slot, differs: u64| found.look(slot, differs >> 32 | differs & 0xffff_ffff);
        look(0, w0 ^ high | w1 ^ low | w2 & 0xffff ^ port);
        let (h1, l1, p1) = (w2 >> 16 | w3 << 48, w3 >> 16 | w4 << 48, w4 >> 16 & 0xffff);
        look(1, h1 ^ high | l1 ^ low | p1 ^ port);
        let (h2, l2, p2) = (w4 >> 32 | w5 << 32, w5 >> 32 | w6 << 32, w6 >> 32 & 0xffff);
        look(2, h2 ^ high | l2 ^ low | p2 ^ port);
        found.first_below(peers)
    }

    #[inline(always)]
    fn inline(torrent: &Torrent, index: usize) -> Option<(Peer6, bool)> {
        let [high, low, word7] = torrent.payload;
        let there = matches!(torrent.kind, Kind::Inline6) && index == 0;
        there.then_some((Peer6 { high, low, port: word7 & 0xffff }, word7 >> 31 & 1 != 0))
    }

    #[inline(always)]
    fn event(hash: [u64; 3], peer: Peer6, kind: AnnounceKind, last: u64) -> [u64; 6] {
        // Opaque: LLVM would read across two of them on the stack, which the verifier refuses.
        let Peer6 { high, low, port } = peer;
        let (high, low, port) = (black_box(high), black_box(low), black_box(port));
        event::words(hash, [high, low], port, event::FAMILY_V6, kind, last)
    }

    #[inline(always)]
    fn get<R: Room>(room: &R, at: usize) -> Option<Peer6> {
        let [high, low] = room.get::<[u64; 2]>(at)?.map(u64::from_le);
        let port = u16::from_le(room.get::<u16>(at + 16)?) as u64;
        Some(Peer6 { high, low, port })
    }

    #[inline(always)]
    fn put<R: Room>(room: &mut R, at: usize, peer: Peer6) -> Option<()> {
        room.put(at, [peer.high.to_le(), peer.low.to_le()])?;
        room.put(at + 16, (peer.port as u16).to_le())
    }
}

#[cfg(test)]
mod tests {
    use super::super::layout::{line_peer_v4, line_words};
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    fn first_words(bytes: &[u8]) -> [u64; WORDS - 1] {
        let [w0, w1, w2, w3, w4, w5, w6, _] = line_words(bytes.try_into().unwrap());
        [w0, w1, w2, w3, w4, w5, w6]
    }

    fn line() -> impl Strategy<Value = Vec<u8>> {
        proptest::collection::vec(any::<u8>(), 64)
    }

    proptest! {
        #[test]
        fn no_peer_of_a_line_is_overlooked(bytes in line(), slot4 in 0..V4_PER_LINE, slot6 in 0..V6_PER_LINE as usize) {
            let words = line_words(bytes.as_slice().try_into().unwrap());
            prop_assert!(Peers4::may_have(first_words(&bytes), &line_peer_v4(&words, slot4)));
            let address: [u8; 18] = bytes[slot6 * 18..][..18].try_into().unwrap();
            let peer = Peers6::of(&PeerAddress::V6(address)).unwrap();
            prop_assert!(Peers6::may_have(first_words(&bytes), &peer));
            let bytes: [u8; 64] = bytes.try_into().unwrap();
            for peers in 0..=V4_PER_LINE {
                let seen = (slot4 < peers).then_some(slot4);
                prop_assert_eq!(Peers4::slot_in(&bytes, &line_peer_v4(&words, slot4), peers), seen);
            }
            for peers in 0..=V6_PER_LINE {
                let seen = (slot6 < peers as usize).then_some(slot6 as u32);
                prop_assert_eq!(Peers6::slot_in(&bytes, &peer, peers), seen);
            }
        }

        #[test]
        fn the_first_of_equal_slots_is_found(one: [u8; 18], others in line(), equal4: u16, equal6: u8) {
            let mut bytes: [u8; 64] = others.try_into().unwrap();
            let equal = |bits: u16, slots: u32| (0..slots).filter(move |slot| bits >> slot & 1 == 1);
            for slot in equal(equal4, V4_PER_LINE) {
                bytes[slot as usize * 6..][..6].copy_from_slice(&one[..6]);
            }
            let [a, b, c, d, p, q, ..] = one;
            let peer = Peers4::of(&PeerAddress::V4([a, b, c, d, p, q])).unwrap();
            let words = line_words(&bytes);
            let first = (0..V4_PER_LINE).find(|slot| line_peer_v4(&words, *slot) == peer);
            prop_assert_eq!(Peers4::slot_in(&bytes, &peer, V4_PER_LINE), first);
            for slot in equal(equal6.into(), V6_PER_LINE) {
                bytes[slot as usize * 18..][..18].copy_from_slice(&one);
            }
            let peer = Peers6::of(&PeerAddress::V6(one)).unwrap();
            let first = bytes.chunks(18).position(|slot| slot == one).map(|slot| slot as u32);
            prop_assert_eq!(Peers6::slot_in(&bytes, &peer, V6_PER_LINE), first);
        }

        #[test]
        fn most_lines_are_told_apart(bytes in line(), other: [u8; 18]) {
            // Random bytes: one comparison of 16 and some of 32 bits.
            let likely = other[..2] != bytes[54..56];
            let [a, b, c, d, p, q, ..] = other;
            let peer4 = Peers4::of(&PeerAddress::V4([a, b, c, d, p, q])).unwrap();
            prop_assert!(!likely || !Peers4::may_have(first_words(&bytes), &peer4));
            let peer6 = Peers6::of(&PeerAddress::V6(other)).unwrap();
            prop_assert!(!Peers6::may_have(first_words(&bytes), &peer6));
        }

        #[test]
        fn a_peer_is_read_as_it_was_put(address: [u8; 18]) {
            let mut bytes = [0; 100];
            let peer = Peers6::of(&PeerAddress::V6(address)).unwrap();
            Peers6::put(&mut crate::table::Buffer(&mut bytes), 7, peer).unwrap();
            prop_assert_eq!(&bytes[7..25], &address);
            prop_assert_eq!(Peers6::get(&crate::table::Buffer(&mut bytes), 7), Some(peer));
        }
    }
}
