//! Torrents and peers by number.
//!
//! Every peer carries a certificate: its port is a function of its address and its torrent. Whoever reads an answer can tell a peer
//! of this torrent from a stranger, and a whole address from one that was torn, without a list of who was announced. An IPv4 peer
//! that was put together from two others passes with a chance of 2^-16, an IPv6 one with 2^-72: its first eight bytes are a
//! function of the last eight, too.

use tracker_common::table::PeerAddress;
use tracker_common::wire::InfoHash;

const A: u64 = 0x9e37_79b9_7f4a_7c15;
const B: u64 = 0xd6e8_feb8_6659_fd93;

/// The info hash of a torrent, in three words as they stand in a packet (little-endian; the third has four bytes).
#[inline(always)]
pub fn hash_words(torrent: u32) -> (u64, u64, u32) {
    let first = (torrent as u64 + 1).wrapping_mul(A);
    let first = first ^ first >> 31;
    (first, first.wrapping_mul(B), torrent)
}

/// The info hash of a torrent.
pub fn info_hash(torrent: u32) -> InfoHash {
    let (first, second, third) = hash_words(torrent);
    let mut hash = [0; 20];
    hash[..8].copy_from_slice(&first.to_le_bytes());
    hash[8..16].copy_from_slice(&second.to_le_bytes());
    hash[16..].copy_from_slice(&third.to_le_bytes());
    hash
}

/// A peer's IPv4 address, in 10.0.0.0/8; different for the peers of one torrent up to number 2^24. As it is loaded from a packet.
#[inline(always)]
pub fn ip4(torrent: u32, peer: u32) -> u32 {
    let host = torrent.wrapping_mul(0x9e37_79b1).wrapping_add(peer.wrapping_mul(0x85eb_ca6b));
    (0x0a00_0000 | host & 0x00ff_ffff).to_be()
}

/// A peer's IPv6 address, in 2000::/8; different for all peers of all torrents. Two words as they are loaded from a packet.
#[inline(always)]
pub fn ip6(torrent: u32, peer: u32) -> (u64, u64) {
    let last = ((torrent as u64) << 32 | peer as u64).wrapping_mul(A);
    (first_half(last), last)
}

/// What the first eight bytes of an IPv6 address must be.
#[inline(always)]
fn first_half(last: u64) -> u64 {
    let mixed = (last ^ last >> 29).wrapping_mul(B);
    // The first byte in the packet is the lowest of a little-endian word.
    mixed & !0xff | 0x20
}

/// The certificate: the port of the peer with this address, in network order, as it is loaded from a packet. Never 0.
///
/// `salt` is 0 but for the self-test, in which whoever checks uses another one than who announces.
#[inline(always)]
pub fn port(address: u64, torrent: u32, salt: u32) -> u16 {
    let mixed = (address ^ ((torrent ^ salt) as u64).wrapping_mul(A)).wrapping_mul(B);
    let mixed = (mixed ^ mixed >> 32).wrapping_mul(A);
    match (mixed >> 48) as u16 {
        0 => 1,
        port => port,
    }
}

/// True when an IPv4 peer of an answer is one of this torrent's.
#[inline(always)]
pub fn holds4(ip: u32, found_port: u16, torrent: u32, salt: u32) -> bool {
    ip as u8 == 10 && found_port == port(ip as u64, torrent, salt)
}

/// True when an IPv6 peer of an answer is one of this torrent's.
#[inline(always)]
pub fn holds6(first: u64, last: u64, found_port: u16, torrent: u32, salt: u32) -> bool {
    first == first_half(last) && found_port == port(last, torrent, salt)
}

/// A peer as it announces itself.
pub fn peer(torrent: u32, peer: u32, v6: bool) -> PeerAddress {
    if v6 {
        let (first, last) = ip6(torrent, peer);
        let mut bytes = [0; 18];
        bytes[..8].copy_from_slice(&first.to_le_bytes());
        bytes[8..16].copy_from_slice(&last.to_le_bytes());
        bytes[16..].copy_from_slice(&port(last, torrent, 0).to_le_bytes());
        PeerAddress::V6(bytes)
    } else {
        let ip = ip4(torrent, peer);
        let [a, b, c, d] = ip.to_le_bytes();
        let [p, q] = port(ip as u64, torrent, 0).to_le_bytes();
        PeerAddress::V4([a, b, c, d, p, q])
    }
}

/// What is wrong with one peer of an answer, if anything is.
pub fn fault(bytes: &[u8], torrent: u32, salt: u32) -> bool {
    match *bytes {
        [a, b, c, d, p, q] => {
            !holds4(u32::from_le_bytes([a, b, c, d]), u16::from_le_bytes([p, q]), torrent, salt)
        }
        [ref first @ .., p, q] if first.len() == 16 => {
            let word =
                |at: usize| first[at..at + 8].iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
            !holds6(word(0), word(8), u16::from_le_bytes([p, q]), torrent, salt)
        }
        _ => true,
    }
}

/// Spreads a counter over 64 bits: the walk through torrents and peers.
#[inline(always)]
pub fn walk(number: u64) -> u64 {
    let mixed = number.wrapping_mul(A);
    let mixed = (mixed ^ mixed >> 32).wrapping_mul(B);
    mixed ^ mixed >> 29
}

/// The first 32 of 64 random bits, scaled to a number below `bound`.
#[inline(always)]
pub fn below(random: u64, bound: u32) -> u32 {
    (((random >> 32) * bound as u64) >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn peers_hold_their_own_certificate_and_no_other_torrents() {
        for v6 in [false, true] {
            let (mut strangers, mut salted) = (0, 0);
            for number in 0..20_000 {
                let (torrent, other) = (number % 100, 100 + number % 100);
                let address = peer(torrent, number, v6);
                assert!(!fault(address.bytes(), torrent, 0), "{address:?}");
                strangers += usize::from(!fault(address.bytes(), other, 0));
                salted += usize::from(!fault(address.bytes(), torrent, 1));
            }
            assert!(salted < 10, "{salted} of 20,000 pass with another salt");
            assert!(strangers < 10, "{strangers} of 20,000 pass as another torrent's");
        }
    }

    #[test]
    fn peers_of_a_torrent_differ() {
        for v6 in [false, true] {
            let all: HashSet<_> = (0..50_000).map(|number| peer(7, number, v6)).collect();
            assert_eq!(all.len(), 50_000);
        }
    }

    #[test]
    fn a_torn_address_does_not_hold() {
        let (one, other) = (peer(3, 1, true), peer(3, 2, true));
        let torn = [&one.bytes()[..8], &other.bytes()[8..]].concat();
        assert!(fault(&torn, 3, 0));
        assert!(fault(&[], 3, 0) && fault(&[1; 7], 3, 0));
    }

    #[test]
    fn numbers_stay_below_their_bound() {
        for number in 0..10_000 {
            assert!(below(walk(number), 7) < 7);
        }
        assert_eq!(below(u64::MAX, 7), 6);
    }
}
