//! Clients by their software, as the begin of a peer id names it (BEP 20).
//!
//! Only known names are told apart: what a client writes there is its own, and a stranger could make up any number of names. Counted by the
//! writer for announces over UDP and HTTP, and by the workers of WebTorrent. Tests are below.

use std::sync::atomic::{AtomicU64, Ordering};

use tracker_common::event::Software;

/// The codes of Azureus' style, `-XX1234-`, in order.
const KNOWN: &[([u8; 2], &str)] = &[
    (*b"7T", "aTorrent"),
    (*b"A2", "aria2"),
    (*b"AG", "Ares"),
    (*b"AZ", "Vuze"),
    (*b"BC", "BitComet"),
    (*b"BE", "BitTorrent SDK"),
    (*b"BI", "BiglyBT"),
    (*b"BL", "BitLord"),
    (*b"BT", "BitTorrent"),
    (*b"BW", "BitTorrent Web"),
    (*b"CT", "CTorrent"),
    (*b"DE", "Deluge"),
    (*b"FD", "Free Download Manager"),
    (*b"FG", "FlashGet"),
    (*b"FL", "Flud"),
    (*b"FW", "FrostWire"),
    (*b"HL", "Halite"),
    (*b"KG", "KGet"),
    (*b"KT", "KTorrent"),
    (*b"LP", "Lphant"),
    (*b"LT", "libtorrent"),
    (*b"LW", "LimeWire"),
    (*b"MG", "MediaGet"),
    (*b"PI", "PicoTorrent"),
    (*b"QD", "QQDownload"),
    (*b"RT", "Retriever"),
    (*b"SD", "Xunlei"),
    (*b"SZ", "Shareaza"),
    (*b"TB", "Torch"),
    (*b"TL", "Tribler"),
    (*b"TR", "Transmission"),
    (*b"TX", "Tixati"),
    (*b"UE", "uTorrent Embedded"),
    (*b"UM", "uTorrent for Mac"),
    (*b"UT", "uTorrent"),
    (*b"UW", "uTorrent Web"),
    (*b"WD", "WebTorrent Desktop"),
    (*b"WT", "Baidu"),
    (*b"WW", "WebTorrent"),
    (*b"XF", "Xfplay"),
    (*b"XL", "Xunlei"),
    (*b"XT", "XanTorrent"),
    (*b"ZT", "ZipTorrent"),
    (*b"lt", "rTorrent"),
    (*b"qB", "qBittorrent"),
];

/// What is not in the list, or names itself in another style.
const OTHER: &str = "other";

/// "Mainline", `M7-10-5--`: another style, of the first client.
const MAINLINE: usize = KNOWN.len();

const UNKNOWN: usize = KNOWN.len() + 1;

fn index(software: Software) -> usize {
    let code = match software {
        [b'-', a, b] => [a, b],
        // aria2 leaves the first sign out.
        [b'A', b'2', b'-'] => *b"A2",
        [b'M', b'0'..=b'9', b'-'] => return MAINLINE,
        _ => return UNKNOWN,
    };
    KNOWN.binary_search_by_key(&code, |(known, _)| *known).unwrap_or(UNKNOWN)
}

/// Announces by software. Written by one thread, read by any.
#[derive(Debug)]
pub struct SoftwareTally([AtomicU64; UNKNOWN + 1]);

impl Default for SoftwareTally {
    fn default() -> Self {
        Self([const { AtomicU64::new(0) }; UNKNOWN + 1])
    }
}

impl SoftwareTally {
    /// One more announce. Called by one thread only.
    pub fn count(&self, software: Software) {
        if let Some(counter) = self.0.get(index(software)) {
            // Relaxed here and below: each number is read by itself.
            counter.store(counter.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        }
    }

    /// Names and numbers; a name may come twice.
    pub fn named(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let names = KNOWN.iter().map(|(_, name)| *name).chain(["Mainline", OTHER]);
        names.zip(&self.0).map(|(name, counter)| (name, counter.load(Ordering::Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name_of(software: &Software) -> &'static str {
        let tally = SoftwareTally::default();
        tally.count(*software);
        tally.named().find(|(_, number)| *number == 1).expect("it was counted").0
    }

    #[test]
    fn codes_are_in_order() {
        assert!(KNOWN.is_sorted_by_key(|(code, _)| code));
        assert!(KNOWN.array_windows().all(|[a, b]| a.0 != b.0));
    }

    #[test]
    fn software_is_known_by_its_code_and_everything_else_is_other() {
        for (software, name) in [
            (b"-qB", "qBittorrent"),
            (b"-7T", "aTorrent"),
            (b"-lt", "rTorrent"),
            (b"A2-", "aria2"),
            (b"M7-", "Mainline"),
            (b"-ZZ", "other"),
            (b"qBX", "other"),
            (&[0; 3], "other"),
            (&[0xff; 3], "other"),
        ] {
            assert_eq!(name_of(software), name, "{software:?}");
        }
    }
}
