//! SipHash (Aumasson and Bernstein) over the few message shapes that a tracker hashes.
//!
//! Written out for fixed lengths: every loop has a constant bound and there are no slices, which is what the BPF verifier and
//! the packet path want. Checked against the published vectors and the `siphasher` crate.

use bytemuck::{Pod, Zeroable};

/// A 128-bit SipHash key.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct SipKey {
    /// Bytes 0–7 of the key, little-endian.
    pub k0: u64,
    /// Bytes 8–15 of the key, little-endian.
    pub k1: u64,
}

impl core::fmt::Debug for SipKey {
    /// Never shows the key.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("SipKey(secret)")
    }
}

impl SipKey {
    /// A key from its 16 bytes, as the SipHash paper reads them.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        let key = u128::from_le_bytes(bytes);
        Self { k0: key as u64, k1: (key >> 64) as u64 }
    }

    /// The key's 16 bytes.
    pub const fn to_bytes(self) -> [u8; 16] {
        ((self.k1 as u128) << 64 | self.k0 as u128).to_le_bytes()
    }
}

/// SipHash-`COMPRESS`-`FINISH` of a message given as its whole 8-byte blocks and its last block, both little-endian.
///
/// The last block holds the remaining bytes (fewer than 8) and, in its top byte, the message's length modulo 256.
#[inline(always)]
pub fn siphash<const COMPRESS: usize, const FINISH: usize, const BLOCKS: usize>(
    key: &SipKey,
    blocks: [u64; BLOCKS],
    last: u64,
) -> u64 {
    let mut state = State::new(key);
    for block in blocks {
        state.absorb::<COMPRESS>(block);
    }
    state.absorb::<COMPRESS>(last);
    state.v2 ^= 0xff;
    for _ in 0..FINISH {
        state.round();
    }
    state.v0 ^ state.v1 ^ state.v2 ^ state.v3
}

/// SipHash-2-4 of a message of fewer than 8 bytes: its last block alone.
///
/// Inlined: every announce and connect over IPv4 computes one, and a call costs up to 5 ns.
#[inline(always)]
pub fn siphash_2_4_short(key: &SipKey, last: u64) -> u64 {
    siphash::<2, 4, 0>(key, [], last)
}

/// SipHash-2-4 of two blocks and a last one.
///
/// Not inlined, and arguments in registers: BPF has no rotation, so that it is some 400 instructions.
#[inline(never)]
pub fn siphash_2_4_long(key: &SipKey, first: u64, second: u64, last: u64) -> u64 {
    siphash::<2, 4, 2>(key, [first, second], last)
}

/// SipHash-1-3 of 20 bytes: the hash of an info hash that chooses its place in the swarm table.
///
/// One round a block is what hash tables use: nobody sees the result, so only collisions matter.
#[inline(always)]
pub fn siphash_1_3_20(key: &SipKey, data: &[u8; 20]) -> u64 {
    let [a0, a1, a2, a3, a4, a5, a6, a7, b0, b1, b2, b3, b4, b5, b6, b7, c0, c1, c2, c3] = *data;
    let first = u64::from_le_bytes([a0, a1, a2, a3, a4, a5, a6, a7]);
    let second = u64::from_le_bytes([b0, b1, b2, b3, b4, b5, b6, b7]);
    siphash_1_3_words(key, [first, second, u32::from_le_bytes([c0, c1, c2, c3]) as u64])
}

/// The same, of 20 bytes as two little-endian words and a half-filled one.
#[inline(always)]
pub fn siphash_1_3_words(key: &SipKey, [first, second, third]: [u64; 3]) -> u64 {
    siphash::<1, 3, 2>(key, [first, second], third | 20 << 56)
}

struct State {
    v0: u64,
    v1: u64,
    v2: u64,
    v3: u64,
}

impl State {
    #[inline(always)]
    fn new(key: &SipKey) -> Self {
        // "somepseudorandomlygeneratedbytes", as in the paper.
        Self {
            v0: 0x736f_6d65_7073_6575 ^ key.k0,
            v1: 0x646f_7261_6e64_6f6d ^ key.k1,
            v2: 0x6c79_6765_6e65_7261 ^ key.k0,
            v3: 0x7465_6462_7974_6573 ^ key.k1,
        }
    }

    #[inline(always)]
    fn absorb<const ROUNDS: usize>(&mut self, block: u64) {
        self.v3 ^= block;
        for _ in 0..ROUNDS {
            self.round();
        }
        self.v0 ^= block;
    }

    #[inline(always)]
    fn round(&mut self) {
        self.v0 = self.v0.wrapping_add(self.v1);
        self.v1 = self.v1.rotate_left(13) ^ self.v0;
        self.v0 = self.v0.rotate_left(32);
        self.v2 = self.v2.wrapping_add(self.v3);
        self.v3 = self.v3.rotate_left(16) ^ self.v2;
        self.v0 = self.v0.wrapping_add(self.v3);
        self.v3 = self.v3.rotate_left(21) ^ self.v0;
        self.v2 = self.v2.wrapping_add(self.v1);
        self.v1 = self.v1.rotate_left(17) ^ self.v2;
        self.v2 = self.v2.rotate_left(32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::hash::Hasher;
    use proptest::prelude::*;

    /// Key 00 01 … 0f, message 00 01 … (length − 1), from the reference implementation's `vectors_sip64`, written as
    /// little-endian numbers, for the message lengths that are hashed here.
    const PUBLISHED: [(usize, u64); 5] = [
        (0, 0x726f_db47_dd0e_0e31),
        (7, 0xab02_00f5_8b01_d137),
        (8, 0x93f5_f579_9a93_2462),
        (15, 0xa129_ca61_49be_45e5),
        (16, 0x3f2a_cc7f_57c2_9bdb),
    ];

    fn published_key() -> SipKey {
        SipKey::from_bytes(core::array::from_fn(|index| index as u8))
    }

    #[test]
    fn siphash_2_4_gives_the_published_vectors() {
        for (length, expected) in PUBLISHED {
            let message: std::vec::Vec<u8> = (0..length as u8).collect();
            let (blocks, rest) = message.as_chunks::<8>();
            let mut last = [0; 8];
            last[..rest.len()].copy_from_slice(rest);
            last[7] = length as u8;
            let last = u64::from_le_bytes(last);
            let hash = match *blocks {
                [] => siphash::<2, 4, 0>(&published_key(), [], last),
                [a] => siphash::<2, 4, 1>(&published_key(), [u64::from_le_bytes(a)], last),
                [a, b] => {
                    siphash::<2, 4, 2>(&published_key(), [u64::from_le_bytes(a), u64::from_le_bytes(b)], last)
                }
                _ => unreachable!("no vector is longer than 16 bytes"),
            };
            assert_eq!(hash, expected, "message of {length} bytes");
        }
    }

    #[test]
    fn a_key_survives_its_bytes_and_is_never_shown() {
        let key = published_key();
        assert_eq!(key.to_bytes(), core::array::from_fn(|index| index as u8));
        assert_eq!(std::format!("{key:?}"), "SipKey(secret)");
    }

    proptest! {
        #[test]
        fn siphash_1_3_agrees_with_the_siphasher_crate(key: [u8; 16], data: [u8; 20]) {
            let mut other = siphasher::sip::SipHasher13::new_with_key(&key);
            other.write(&data);
            prop_assert_eq!(siphash_1_3_20(&SipKey::from_bytes(key), &data), other.finish());
        }
    }
}
