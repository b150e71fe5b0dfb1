//! What the generator is told to make.
//!
//! A request says what its answer may hold where an answer repeats it: the transaction id is the torrent's number, the source port (an answer's
//! destination port) is [`PORT_BASE`] plus the peers wanted, or the torrents scraped. So the far end checks an answer without a memory.

use bytemuck::{Pod, Zeroable};
use tracker_common::connection_id::Keys;

/// Where requests go: 10.199.0.1.
pub const SERVER_V4: [u8; 4] = [10, 199, 0, 1];
/// Where requests go: fd99::1.
pub const SERVER_V6: [u8; 16] = [0xfd, 0x99, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
/// The tracker's port.
pub const SERVER_PORT: u16 = 6969;
/// Hardware address of the tracker's end.
pub const SERVER_MAC: [u8; 6] = [2, 0xbb, 0, 0, 0, 1];
/// Hardware address of the far end.
pub const CLIENT_MAC: [u8; 6] = [2, 0xbb, 0, 0, 0, 2];
/// The source port is this plus peers wanted (or torrents scraped), below 256.
pub const PORT_BASE: u16 = 0x4000;

/// Ethernet + IPv4 + UDP + connect request.
pub const CONNECT_V4_LEN: usize = 14 + 20 + 8 + 16;
/// Ethernet + IPv6 + UDP + connect request.
pub const CONNECT_V6_LEN: usize = 14 + 40 + 8 + 16;
/// Ethernet + IPv4 + UDP + announce request.
pub const ANNOUNCE_V4_LEN: usize = 14 + 20 + 8 + 98;
/// Ethernet + IPv6 + UDP + announce request.
pub const ANNOUNCE_V6_LEN: usize = 14 + 40 + 8 + 98;
/// Ethernet + IPv4 + UDP + scrape request of so many torrents.
pub const fn scrape_v4_len(torrents: usize) -> usize {
    14 + 20 + 8 + 16 + 20 * torrents
}

/// What requests are made of: each program of the generator makes one kind.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Traffic {
    /// Keys of the tracker's connection ids.
    pub keys: Keys,
    /// The epoch in which ids are issued; user space keeps it up to date, so that the generator needn't read a clock.
    pub epoch: u64,
    /// Torrents, from number 0.
    pub torrents: u32,
    /// Peers of each torrent, from number 0; even ones are leechers, odd ones seeders, outside the stress mix.
    pub peers: u32,
    /// Peers wanted, below 256.
    pub want: u32,
    /// Not 0: UDP checksums over IPv4, too. (Over IPv6 there is always one.)
    pub checksum: u32,
    /// Salt of the certificates, on the checking side.
    pub salt: u32,
    /// Stress mix: how many of the torrents are large, from number 0; they have `large_peers`.
    pub large_torrents: u32,
    /// Peers of a large torrent.
    pub large_peers: u32,
    /// Where the walk begins.
    pub seed: u32,
}

const _: () = assert!(size_of::<Traffic>() == 104);
