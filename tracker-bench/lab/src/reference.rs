//! The reference: the plainest program that answers an announce from a table, which ours is measured beside.
//!
//! IPv4 only, a fixed table of buckets, torrents and contiguous lines of eight peers. No checks of lengths and checksums, no versions, no expiry, no access
//! list; the announcer isn't kept out of its answer, and a connection id is one SipHash over the address and the number 1.

use bytemuck::{Pod, Zeroable};

/// Map REF_CONFIG.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Config {
    /// Keys of connection ids, and of the hash that finds a bucket.
    pub keys: [u64; 4],
    /// Buckets − 1; their number is a power of two.
    pub bucket_mask: u32,
    /// Peers in an answer at most.
    pub want: u32,
}

impl Config {
    /// Keys as in all measurements.
    pub const KEYS: [u64; 4] = [1, 2, 3, 4];
}

/// Eight fingerprints and the torrents they stand for.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Bucket {
    /// High half of the hash; 0 is free.
    pub fingerprints: [u32; 8],
    /// Numbers of torrents.
    pub torrents: [u32; 8],
}

/// One torrent.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Torrent {
    /// Info hash.
    pub info_hash: [u32; 5],
    /// Counts.
    pub seeders: u32,
    /// Counts.
    pub leechers: u32,
    /// Counts.
    pub completed: u32,
    /// First of its lines.
    pub line: u32,
    /// Peers in them.
    pub peers: u32,
    /// Zeros.
    pub unused: [u32; 6],
}

/// Eight peers: address and port in the low six bytes of each word.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Line {
    /// Peers; a used one isn't 0.
    pub peers: [u64; 8],
}

/// One announce.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Event {
    /// Info hash.
    pub info_hash: [u32; 5],
    /// Source address, network order.
    pub ip: u32,
    /// Port, network order.
    pub port: u16,
    /// As in BEP 15.
    pub event: u8,
    /// 1 for a seeder.
    pub seeder: u8,
    /// Number of the torrent.
    pub torrent: u32,
}

/// Peers in an answer at most.
pub const MAX_PEERS: usize = 56;

/// Place of an info hash, in three words as they stand in a packet: its bucket (by the mask) and its fingerprint.
#[inline(always)]
pub fn place(keys: &[u64; 4], first: u64, second: u64, third: u32) -> u64 {
    let x = (first ^ keys[2]).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let x = x ^ x >> 32;
    let x = x.wrapping_add(second ^ keys[3]).wrapping_mul(0xc2b2_ae3d_27d4_eb4f);
    let x = x ^ x >> 29;
    let x = x.wrapping_add(third as u64).wrapping_mul(0x1656_67b1_9e37_79f9);
    x ^ x >> 32
}

/// The connection id of an IPv4 source, as it stands in a packet: SipHash-2-4 of one word and nothing else.
#[inline(always)]
pub fn connection_id(keys: &[u64; 4], ip: u32) -> u64 {
    let message = (ip as u64) << 32 | 1;
    let mut v0 = 0x736f_6d65_7073_6575 ^ keys[0];
    let mut v1 = 0x646f_7261_6e64_6f6d ^ keys[1];
    let mut v2 = 0x6c79_6765_6e65_7261 ^ keys[0];
    let mut v3 = 0x7465_6462_7974_6573 ^ keys[1] ^ message;
    macro_rules! round {
        () => {
            v0 = v0.wrapping_add(v1);
            v1 = v1.rotate_left(13) ^ v0;
            v0 = v0.rotate_left(32);
            v2 = v2.wrapping_add(v3);
            v3 = v3.rotate_left(16) ^ v2;
            v0 = v0.wrapping_add(v3);
            v3 = v3.rotate_left(21) ^ v0;
            v2 = v2.wrapping_add(v1);
            v1 = v1.rotate_left(17) ^ v2;
            v2 = v2.rotate_left(32);
        };
    }
    round!();
    round!();
    v0 ^= message;
    v2 ^= 0xff;
    round!();
    round!();
    round!();
    round!();
    v0 ^ v1 ^ v2 ^ v3
}
