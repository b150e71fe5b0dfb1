//! The maps that the daemon writes and the XDP program reads: their names and values.
//!
//! Whatever changes here or in [`counters`](crate::counters), [`connection_id::Keys`](crate::connection_id::Keys) or
//! [`sketch`](crate::sketch) needs a new [`LAYOUT_VERSION`], which is part of the directory in which the maps are pinned.

use core::net::SocketAddr;

use bytemuck::{Pod, Zeroable};

use crate::connection_id::Address;
use crate::sketch::SourceLimits;

/// Version of all map layouts; pinned maps live in a directory `v<LAYOUT_VERSION>`.
pub const LAYOUT_VERSION: u32 = 4;

/// Names of the program and the maps in the BPF object; the maps are pinned under the same names.
pub mod names {
    /// The XDP program.
    pub const PROGRAM: &str = "tracker";
    /// The XDP program without announces and scrapes.
    pub const PROGRAM_CONNECT: &str = "tracker_connect";
    /// Array of one [`Settings`](super::Settings).
    pub const SETTINGS: &str = "SETTINGS";
    /// Array of one [`Endpoints`](super::Endpoints).
    pub const ENDPOINTS: &str = "ENDPOINTS";
    /// Array of one [`Keys`](crate::connection_id::Keys).
    pub const KEYS: &str = "KEYS";
    /// Per-CPU array of one [`Counters`](crate::counters::Counters), written by the program.
    pub const COUNTERS: &str = "COUNTERS";
    /// Per-CPU array of one [`Sketch`](crate::sketch::Sketch) for each [`Kind`](crate::sketch::Kind), written by the program.
    pub const SKETCH: &str = "SKETCH";
    /// Array of one map: the access list, a hash of info hash → `u8`, swapped whole on reload.
    pub const ACCESS: &str = "ACCESS";
    /// Array of [`BLOCK4_WORDS`](super::BLOCK4_WORDS) `u64`: one bit for each IPv4 /24 of which any address is blocked.
    pub const BLOCK4_BITS: &str = "BLOCK4_BITS";
    /// LPM trie of blocked IPv4 prefixes (key: `u32` prefix length, 4 address bytes; value `u8`).
    pub const BLOCK4: &str = "BLOCK4";
    /// LPM trie of blocked IPv6 prefixes (key: `u32` prefix length, 16 address bytes; value `u8`).
    pub const BLOCK6: &str = "BLOCK6";
    /// Array of one record that may be mapped: the swarm table's [root](crate::table::layout::root).
    pub const TABLE: &str = "TABLE";
    /// Array of segments that may be mapped: the record space (torrents, lines, directories).
    pub const RECORDS: &str = "RECORDS";
    /// Array of segments that may be mapped: the bucket space.
    pub const BUCKETS: &str = "BUCKETS";
    /// Ring buffer of [`AnnounceEvent`](crate::event::AnnounceEvent).
    pub const EVENTS: &str = "EVENTS";
    /// Per-CPU array of one [`Scratch`](crate::scratch::Scratch), the program's own.
    pub const SCRATCH: &str = "SCRATCH";
    /// All maps.
    pub const MAPS: [&str; 14] = [
        SETTINGS,
        ENDPOINTS,
        KEYS,
        COUNTERS,
        SKETCH,
        ACCESS,
        BLOCK4_BITS,
        BLOCK4,
        BLOCK6,
        TABLE,
        RECORDS,
        BUCKETS,
        EVENTS,
        SCRATCH,
    ];
}

/// Words of the IPv4 block list's bitmap: 2^24 networks of 256 addresses, 64 a word.
pub const BLOCK4_WORDS: u32 = (1 << 24) / 64;
/// Entries of each block list trie at most.
pub const BLOCK_ENTRIES: u32 = 1 << 20;
/// Entries of an access list as the program is loaded with; a longer list gets a larger map when it is swapped in.
pub const ACCESS_ENTRIES: u32 = 1 << 16;

/// Bytes of the event ring as the program is loaded with; the daemon may ask for another power of two.
pub const EVENT_RING_BYTES: u32 = 4 << 20;

/// The word of the IPv4 block list's bitmap that holds the address's /24, and the bit in it.
#[inline(always)]
pub const fn block4_bit(address: [u8; 4]) -> (u32, u64) {
    let network = u32::from_be_bytes(address) >> 8;
    (network / 64, 1 << (network % 64))
}

/// How the access list is applied, in [`Settings::access_mode`].
pub mod access_mode {
    /// Everything is allowed.
    pub const OFF: u32 = 0;
    /// What is in the list is denied.
    pub const DENY: u32 = 1;
    /// What is not in the list is denied.
    pub const ALLOW: u32 = 2;
}

/// What the program answers, in [`Settings::answer`].
pub mod answer {
    /// Connects and errors; announces and scrapes are left to the daemon.
    pub const CONNECT: u32 = 0;
    /// Announces and scrapes too.
    pub const ALL: u32 = 1;
}

/// Switches of the XDP program. Each field is read on its own: there is nothing to tear.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Settings {
    /// One of [`access_mode`].
    pub access_mode: u32,
    /// Error answers to bad connection ids per source and window of ~1 s; 0 is the policy `drop` (U04).
    pub errors_per_window: u32,
    /// Not 0 when BLOCK4 has entries.
    pub block4: u32,
    /// Not 0 when BLOCK6 has entries.
    pub block6: u32,
    /// One of [`answer`].
    pub answer: u32,
    /// Seconds between two announces of a client; each answer's differs by up to 10 %.
    pub interval_s: u32,
    /// Peers in an answer at most, if so many fit into its packet (U11, U22).
    pub max_response_peers: u32,
    /// Torrents in a scrape answer at most (U18).
    pub max_scrape_torrents: u32,
    /// What a source may send in a window of ~1 s.
    pub limits: SourceLimits,
}

/// Addresses of each family that can be served in the kernel; what is beyond is served by the sockets.
pub const ENDPOINTS_PER_FAMILY: usize = 64;

/// The (address, port) pairs that are served; every other packet passes.
///
/// An unused entry is all zero, which matches nothing: port 0 is never served.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Endpoints {
    v4_count: u32,
    v6_count: u32,
    v4: [u64; ENDPOINTS_PER_FAMILY],
    v6: [[u64; 3]; ENDPOINTS_PER_FAMILY],
}

impl Endpoints {
    /// Endpoints from concrete addresses. Those beyond [`ENDPOINTS_PER_FAMILY`] are left out.
    pub fn new(addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
        let mut endpoints = Self::zeroed();
        for address in addresses {
            match Address::from(address.ip()) {
                Address::V4(ip) => {
                    push(&mut endpoints.v4, &mut endpoints.v4_count, v4_word(ip, address.port()));
                }
                Address::V6(ip) => {
                    push(&mut endpoints.v6, &mut endpoints.v6_count, v6_words(ip, address.port()));
                }
            }
        }
        endpoints
    }

    /// Number of pairs.
    pub fn len(&self) -> usize {
        self.v4_count as usize + self.v6_count as usize
    }

    /// True when nothing is served.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// True when the pair is served.
    #[inline(always)]
    pub fn contains(&self, address: &Address, port: u16) -> bool {
        match *address {
            Address::V4(ip) => {
                let wanted = v4_word(ip, port);
                find(&self.v4, self.v4_count, |entry| *entry == wanted)
            }
            Address::V6(ip) => {
                let [a, b, c] = v6_words(ip, port);
                // Word by word: `==` on arrays is a call of memcmp, which the verifier doesn't take.
                find(&self.v6, self.v6_count, |entry| entry[0] == a && entry[1] == b && entry[2] == c)
            }
        }
    }
}

#[inline(always)]
fn find<T>(entries: &[T; ENDPOINTS_PER_FAMILY], count: u32, wanted: impl Fn(&T) -> bool) -> bool {
    // The bound is not a constant: the compiler would unroll the loop 64-fold, for every family and tag.
    let count = (count as usize).min(ENDPOINTS_PER_FAMILY);
    let mut index = 0;
    while index < count {
        if wanted(&entries[index]) {
            return true;
        }
        index += 1;
    }
    false
}

fn push<T>(entries: &mut [T; ENDPOINTS_PER_FAMILY], count: &mut u32, entry: T) {
    if let Some(free) = entries.get_mut(*count as usize) {
        *free = entry;
        *count += 1;
    }
}

#[inline(always)]
fn v4_word(ip: [u8; 4], port: u16) -> u64 {
    (port as u64) << 32 | u32::from_ne_bytes(ip) as u64
}

#[inline(always)]
fn v6_words(ip: [u8; 16], port: u16) -> [u64; 3] {
    let ip = u128::from_le_bytes(ip);
    [ip as u64, (ip >> 64) as u64, port as u64]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn endpoints_match_address_and_port() {
        let served = ["192.0.2.1:6969", "192.0.2.1:80", "[2001:db8::1]:6969"].map(address);
        let endpoints = Endpoints::new(served);
        for one in served {
            assert!(endpoints.contains(&Address::from(one.ip()), one.port()), "{one}");
        }
        for other in [
            "192.0.2.2:6969",
            "192.0.2.1:6970",
            "[2001:db8::2]:6969",
            "[2001:db8::1]:80",
            "0.0.0.0:0",
            "[::]:0",
        ] {
            let other = address(other);
            assert!(!endpoints.contains(&Address::from(other.ip()), other.port()), "{other}");
        }
    }

    #[test]
    fn endpoints_beyond_the_room_are_left_to_the_sockets() {
        let many: Vec<_> = (1..=100).map(|port| SocketAddr::from(([192, 0, 2, 1], port))).collect();
        let endpoints = Endpoints::new(many);
        assert_eq!(endpoints.len(), ENDPOINTS_PER_FAMILY);
        assert!(endpoints.contains(&Address::V4([192, 0, 2, 1]), 64));
        assert!(!endpoints.contains(&Address::V4([192, 0, 2, 1]), 65));
    }

    #[test]
    fn the_bitmap_has_a_bit_for_every_24() {
        assert_eq!(block4_bit([0, 0, 0, 255]), (0, 1));
        assert_eq!(block4_bit([0, 0, 65, 0]), (1, 2));
        assert_eq!(block4_bit([255, 255, 255, 1]), (BLOCK4_WORDS - 1, 1 << 63));
    }
}
