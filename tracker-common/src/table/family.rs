//! What differs between IPv4 and IPv6 in the read path: how a peer is kept in registers, found in a line, and put into an answer.

use core::hint::black_box;

use super::layout::{Kind, Torrent, V4_PER_LINE, V6_PER_LINE, WORDS};
use super::{Family, PeerAddress, Room};
use crate::event;
use crate::wire::{AnnounceKind, PEER_V4_LEN, PEER_V6_LEN};

/// A slot that no line has.
pub(super) const NO_SLOT: u32 = u32::MAX;

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
    /// Peers in so many bytes.
    fn peers_in(bytes: u32) -> u32;
    /// Which line of a list holds this position: the position divided by [`PeerFamily::PER_LINE`].
    fn line_of(position: u32) -> u32;
    /// The first slot of a line that holds the peer, or [`NO_SLOT`].
    fn slot_in(line: &[u64; WORDS], peer: Self::Peer) -> u32;
    /// The peer in slot `index` (0 to 2) of a torrent's own record, with its cell's seeder flag.
    fn inline(torrent: &Torrent, index: usize) -> Option<(Self::Peer, bool)>;
    /// The words of an [`AnnounceEvent`](crate::event::AnnounceEvent) of this peer.
    fn event(
        info_hash: [u64; 3],
        peer: Self::Peer,
        kind: AnnounceKind,
        seeder: bool,
        time_ms: u32,
    ) -> [u64; 6];
    /// The peer at byte `at` of an answer.
    fn get<R: Room>(room: &R, at: usize) -> Option<Self::Peer>;
    /// Puts a peer at byte `at` of an answer.
    fn put<R: Room>(room: &mut R, at: usize, peer: Self::Peer) -> Option<()>;
}

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
    fn peers_in(bytes: u32) -> u32 {
        // Division by 6; ⌈2^34 / 6⌉.
        ((bytes as u64 * 0xaaaa_aaab) >> 34) as u32
    }

    #[inline(always)]
    fn slot_in(line: &[u64; WORDS], peer: u64) -> u32 {
        // Slot 2k begins at the 32-bit half 3k with the address; slot 2k + 1 ends with half 3k + 2, which is the address's last two bytes and
        // the port. One comparison each finds nearly all lines without the peer; the sums spare the branches.
        let (address, end) = (peer & 0xffff_ffff, peer >> 16);
        let half = |index: usize| (line[index / 2] >> (index % 2 * 32)) & 0xffff_ffff;
        let mut near = 0;
        for pair in 0..5 {
            // 0 − 1 has the top bit set; what differs in 32 bits, less 1, doesn't.
            near |= (half(3 * pair) ^ address).wrapping_sub(1) | (half(3 * pair + 2) ^ end).wrapping_sub(1);
        }
        if near >> 63 == 0 {
            return NO_SLOT;
        }
        let mut found = NO_SLOT;
        for slot in (0..V4_PER_LINE).rev() {
            if super::layout::line_peer_v4(line, slot) == peer {
                found = slot;
            }
        }
        found
    }

    #[inline(always)]
    fn inline(torrent: &Torrent, index: usize) -> Option<(u64, bool)> {
        let word = *torrent.payload.get(index)?;
        let there = matches!(torrent.kind, Kind::Inline4) && word != 0;
        there.then_some((word & MASK_48, word >> 63 != 0))
    }

    #[inline(always)]
    fn event(hash: [u64; 3], peer: u64, kind: AnnounceKind, seeder: bool, time_ms: u32) -> [u64; 6] {
        let port = peer >> 32;
        event::words(hash, [peer & 0xffff_ffff, 0], port, event::FAMILY_V4, kind, seeder, time_ms)
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
    fn peers_in(bytes: u32) -> u32 {
        // Division by 18; ⌈2^36 / 18⌉ is a little more than 32 bits.
        ((bytes as u64 * 0xe38e_38e4) >> 36) as u32
    }

    #[inline(always)]
    fn slot_in(line: &[u64; WORDS], peer: Peer6) -> u32 {
        // Peers begin at bytes 0, 18 and 36: at words 0, 2¼ and 4½.
        let [w0, w1, w2, w3, w4, w5, w6, _] = *line;
        let Peer6 { high, low, port } = peer;
        if w1 == low && w0 == high && w2 & 0xffff == port {
            return 0;
        }
        let (h1, l1, p1) = (w2 >> 16 | w3 << 48, w3 >> 16 | w4 << 48, w4 >> 16 & 0xffff);
        if l1 == low && h1 == high && p1 == port {
            return 1;
        }
        let (h2, l2, p2) = (w4 >> 32 | w5 << 32, w5 >> 32 | w6 << 32, w6 >> 32 & 0xffff);
        if l2 == low && h2 == high && p2 == port { 2 } else { NO_SLOT }
    }

    #[inline(always)]
    fn inline(torrent: &Torrent, index: usize) -> Option<(Peer6, bool)> {
        let [high, low, word7] = torrent.payload;
        let there = matches!(torrent.kind, Kind::Inline6) && index == 0;
        there.then_some((Peer6 { high, low, port: word7 & 0xffff }, word7 >> 31 & 1 != 0))
    }

    #[inline(always)]
    fn event(hash: [u64; 3], peer: Peer6, kind: AnnounceKind, seeder: bool, time_ms: u32) -> [u64; 6] {
        // Opaque: LLVM would read across two of them on the stack, which the verifier refuses.
        let Peer6 { high, low, port } = peer;
        let (high, low, port) = (black_box(high), black_box(low), black_box(port));
        event::words(hash, [high, low], port, event::FAMILY_V6, kind, seeder, time_ms)
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
