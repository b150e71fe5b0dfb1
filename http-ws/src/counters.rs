//! What is counted, by name: requests by what became of them, connections by their fates, TLS handshakes.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $Variant:ident = $name:literal,)+) => {
        /// One of the numbers that a worker keeps.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(usize)]
        pub enum Counter { $($(#[$doc])* $Variant,)+ }

        impl Counter {
            /// All of them, in order.
            pub const ALL: &'static [Self] = &[$(Self::$Variant,)+];

            /// As statistics and metrics call it.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$Variant => $name,)+ }
            }
        }
    };
}

counters! {
    /// Announces that were answered.
    Announce = "announce",
    /// Scrapes that were answered.
    Scrape = "scrape",
    /// Full scrapes that were begun.
    FullScrape = "full_scrape",
    /// Answers to `/health`.
    Health = "health",
    /// Announces and scrapes whose query can't be read, or lacks something (H01, H02).
    ErrorQuery = "error_query",
    /// Announces of torrents that the access list refuses (H12).
    ErrorInfoHash = "error_info_hash",
    /// Full scrapes while they are off (H14).
    ErrorFullScrape = "error_full_scrape",
    /// Requests that were told to come back later (H15).
    ErrorOverload = "error_overload",
    /// Requests through a trusted proxy that doesn't say whose they are (H16).
    ErrorClientAddress = "error_client_address",
    /// Requests from blocked networks through a proxy.
    ErrorBlocked = "error_blocked",
    /// Requests for a path that isn't served.
    NotFound = "not_found",
    /// Requests with another method than GET.
    MethodNotAllowed = "method_not_allowed",
    /// Requests that aren't HTTP, or have a body.
    BadRequest = "bad_request",
    /// Requests with a header of more than 8 KiB or too many lines (H17).
    HeaderTooLarge = "header_too_large",
    /// Connections that were accepted, the refused ones included.
    ConnectionsAccepted = "connections_accepted",
    /// Connections that were closed, whatever for. What was accepted and isn't closed is open.
    ConnectionsClosed = "connections_closed",
    /// Connections that were refused since there are too many.
    ConnectionsRefused = "connections_refused",
    /// Connections that were refused since their address has too many.
    ConnectionsRefusedAddress = "connections_refused_address",
    /// Connections from blocked networks.
    ConnectionsBlocked = "connections_blocked",
    /// Connections that were closed since no request came.
    ClosedIdle = "connections_closed_idle",
    /// Connections that were closed since their request came too slowly.
    ClosedSlowRequest = "connections_closed_slow_request",
    /// Connections that were closed since their answer wasn't taken.
    ClosedSlowReader = "connections_closed_slow_reader",
    /// Connections that broke.
    ConnectionsBroken = "connections_broken",
    /// Connections that don't begin with the PROXY protocol's header although they have to.
    ProxyProtocolBad = "proxy_protocol_bad",
    /// TLS handshakes that were completed.
    TlsHandshakes = "tls_handshakes",
    /// Those of them that resumed a session.
    TlsResumed = "tls_handshakes_resumed",
    /// TLS handshakes that failed.
    TlsFailed = "tls_handshakes_failed",
    /// TLS handshakes that took too long.
    TlsTimedOut = "tls_handshakes_timed_out",
    /// Times that no connection could be accepted: no descriptor, no memory.
    AcceptErrors = "accept_errors",
}

/// What one worker has counted: written by it alone, read by anybody.
#[derive(Debug, Default)]
// Two cache lines: processors fetch them in pairs, and a neighbour's counters would slow ours.
#[repr(align(128))]
pub struct Tally([AtomicU64; Counter::ALL.len()]);

impl Tally {
    /// One more. Called by the worker's thread only, so no locked instruction is needed.
    pub fn count(&self, counter: Counter) {
        let counter = &self.0[counter as usize];
        // Relaxed here and below: each number is read by itself.
        counter.store(counter.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }

    /// The number so far.
    pub fn of(&self, counter: Counter) -> u64 {
        self.0[counter as usize].load(Ordering::Relaxed)
    }
}
