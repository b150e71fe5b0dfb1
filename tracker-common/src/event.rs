//! The announce event: what a front end emits for every announce that it answered, and what the table's writer applies.
//!
//! The bytes are the same in the kernel's ring and in the daemon's queues. It is the unit of everything that follows an answer:
//! the writer's work now, replication between nodes later. So it carries facts about the announce and nothing about the table.

use bytemuck::{Pod, Zeroable};

use crate::table::PeerAddress;
use crate::wire::{AnnounceKind, InfoHash};

/// One accepted announce.
///
/// ```text
/// byte 0         20            36     38       39     40      41         44        48
///      info hash | ip          | port | family | kind | seeder | software | time    |
///                  IPv4: first   network  4, 6    as in  0, 1     begin of   ms, little-endian
///                  4 bytes       order            BEP 15          the peer id
/// ```
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct AnnounceEvent {
    info_hash: InfoHash,
    ip: [u8; 16],
    port: [u8; 2],
    family: u8,
    kind: u8,
    seeder: u8,
    software: Software,
    time_ms: [u8; 4],
}

const _: () = assert!(size_of::<AnnounceEvent>() == 48 && align_of::<AnnounceEvent>() == 1);

/// The first bytes of a peer id, which name the client's software (BEP 20). 0: not told.
pub type Software = [u8; 3];

pub(crate) const FAMILY_V4: u8 = 4;
pub(crate) const FAMILY_V6: u8 = 6;

/// An event's bytes as six little-endian words, put together without a byte array: `ip` is the address in two such words.
#[inline(always)]
pub(crate) const fn words(
    info_hash: [u64; 3],
    ip: [u64; 2],
    port: u64,
    family: u8,
    kind: AnnounceKind,
    last: u64,
) -> [u64; 6] {
    let [h0, h1, h2] = info_hash;
    let [i0, i1] = ip;
    [
        h0.to_le(),
        h1.to_le(),
        (h2 | i0 << 32).to_le(),
        (i0 >> 32 | i1 << 32).to_le(),
        (i1 >> 32 | port << 32 | (family as u64) << 48 | (kind as u64) << 56).to_le(),
        last.to_le(),
    ]
}

/// The last of an event's words; `peer_id` are the first four bytes of a peer id, read as little-endian.
#[inline(always)]
pub(crate) const fn last_word(seeder: bool, peer_id: u32, time_ms: u32) -> u64 {
    seeder as u64 | ((peer_id & 0xff_ffff) as u64) << 8 | (time_ms as u64) << 32
}

impl AnnounceEvent {
    /// The event of an announce by `peer`; `seeder` when it has nothing left to download (U12). `time_ms` is the low part of
    /// `CLOCK_MONOTONIC_COARSE`, which all front ends read: it orders the events of one peer that came by different ways.
    #[inline(always)]
    pub fn new(
        info_hash: InfoHash,
        peer: PeerAddress,
        kind: AnnounceKind,
        seeder: bool,
        time_ms: u32,
    ) -> Self {
        let (ip, port, family) = match peer {
            PeerAddress::V4([a, b, c, d, p, q]) => {
                ([a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], [p, q], FAMILY_V4)
            }
            PeerAddress::V6([a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, r, p, q]) => {
                ([a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, r], [p, q], FAMILY_V6)
            }
        };
        let (kind, seeder) = (kind as u8, seeder as u8);
        Self { info_hash, ip, port, family, kind, seeder, software: [0; 3], time_ms: time_ms.to_le_bytes() }
    }

    /// The same with the software that this peer id names.
    #[inline(always)]
    pub fn with_peer_id(self, peer_id: &[u8; 20]) -> Self {
        let [a, b, c, ..] = *peer_id;
        Self { software: [a, b, c], ..self }
    }

    /// Which software announced.
    #[inline(always)]
    pub fn software(&self) -> Software {
        self.software
    }

    /// The torrent.
    #[inline(always)]
    pub fn info_hash(&self) -> &InfoHash {
        &self.info_hash
    }

    /// The peer: its source address and the port it listens on.
    #[inline(always)]
    pub fn peer(&self) -> PeerAddress {
        let [p, q] = self.port;
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, r] = self.ip;
        match self.family {
            FAMILY_V4 => PeerAddress::V4([a, b, c, d, p, q]),
            _ => PeerAddress::V6([a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, r, p, q]),
        }
    }

    /// What happened; an unknown value counts as none, as it does on the wire (U09).
    #[inline(always)]
    pub fn kind(&self) -> AnnounceKind {
        AnnounceKind::from_wire(self.kind.into())
    }

    /// When it was answered: the low 32 bits of `CLOCK_MONOTONIC_COARSE` in milliseconds, which wrap after 49 days.
    #[inline(always)]
    pub fn time_ms(&self) -> u32 {
        u32::from_le_bytes(self.time_ms)
    }

    /// True when the peer has nothing left to download.
    #[inline(always)]
    pub fn seeder(&self) -> bool {
        self.seeder != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn kinds() -> impl Strategy<Value = AnnounceKind> {
        (0..6u32).prop_map(AnnounceKind::from_wire)
    }

    proptest! {
        #[test]
        fn an_event_gives_back_what_it_was_made_of(hash: [u8; 20], ip: [u8; 16], port: u16, v6: bool, kind in kinds(), seeder: bool, time_ms: u32) {
            let peer = if v6 {
                PeerAddress::v6(ip, port)
            } else {
                PeerAddress::v4([ip[0], ip[1], ip[2], ip[3]], port)
            };
            let event = AnnounceEvent::new(hash, peer, kind, seeder, time_ms).with_peer_id(b"-qB5000-............");
            prop_assert_eq!(&event.software(), b"-qB");
            prop_assert_eq!(event.info_hash(), &hash);
            prop_assert_eq!(event.time_ms(), time_ms);
            prop_assert_eq!(event.peer(), peer);
            prop_assert_eq!(event.kind(), kind);
            prop_assert_eq!(event.seeder(), seeder);
        }

        #[test]
        fn any_48_bytes_are_an_event(bytes: [u8; 16], kind: u8) {
            let mut raw = [0; 48];
            raw[20..36].copy_from_slice(&bytes);
            raw[39] = kind;
            let event: AnnounceEvent = bytemuck::cast(raw);
            // Nothing to compare: neither may panic, whatever the bytes are.
            let _ = (event.peer(), event.kind(), event.seeder());
        }
    }
}
