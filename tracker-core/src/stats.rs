//! What the table holds, as numbers.
//!
//! The writer keeps [`Totals`] and publishes them after each change; readers (metrics, the control socket) load them at any time. Each
//! number is right by itself; two of them may be a few announces apart.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! totals {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// The table in numbers.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Totals { $($(#[$doc])* pub $name: u64,)* }

        impl Totals {
            /// Each number with its name, in the order of their declaration.
            pub fn named(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name)),*].into_iter()
            }
        }

        #[derive(Debug, Default)]
        pub(crate) struct Published { $($name: AtomicU64,)* }

        impl Published {
            pub(crate) fn publish(&self, totals: &Totals) {
                // Relaxed: each is read by itself, and nothing else follows from it.
                $(self.$name.store(totals.$name, Ordering::Relaxed);)*
            }

            pub(crate) fn load(&self) -> Totals {
                Totals { $($name: self.$name.load(Ordering::Relaxed),)* }
            }
        }
    };
}

totals! {
    /// Torrents that are tracked, with peers or (until the next cleaning) without.
    torrents,
    /// Complete peers.
    seeders,
    /// Incomplete peers, partial seeds included.
    leechers,
    /// Partial seeds (BEP 21).
    partial_seeds,
    /// Peers with an IPv6 address.
    peers_v6,
    /// Those of them that are complete.
    seeders_v6,
    /// Lines and directories in use.
    lines,
    /// Announces that were applied.
    announces_applied,
    /// Downloads that were completed (U14).
    completed,
    /// Peers that were removed since they didn't announce again in time.
    peers_expired,
    /// Announces that found no room for their torrent (`max_torrents`).
    refused_torrents,
    /// Announces that found no room for their peer (`max_peers`).
    refused_peers,
    /// Announces of torrents that have enough peers (`max_peers_per_torrent`).
    refused_peers_per_torrent,
    /// Announces from addresses that are in enough torrents (`max_torrents_per_address`).
    refused_torrents_per_address,
    /// Announces that there was no memory for.
    refused_memory,
    /// Bytes of the table: segments, and deadlines beside them.
    memory_bytes,
}

impl Totals {
    /// Peers of both families and kinds.
    pub fn peers(&self) -> u64 {
        self.seeders + self.leechers
    }
}
