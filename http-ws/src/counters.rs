//! What is counted, by name: requests by what became of them, connections by their fates, TLS handshakes.

use std::sync::atomic::{AtomicU64, Ordering};

use tracker_common::connection_id::Address;

/// There is one writer, so no locked instruction is needed. Relaxed here and below: each number is read by itself.
fn add(counter: &AtomicU64, number: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(number), Ordering::Relaxed);
}

/// How often something happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// In all.
    pub all: u64,
    /// With clients that have IPv6 addresses, where that is counted.
    pub v6: u64,
}

macro_rules! counters {
    (
        $(#[$about:meta])* $Counter:ident,
        $(#[$tally_about:meta])* $Tally:ident {
            $($(#[$doc:meta])* $Variant:ident = $name:literal,)+
        }
    ) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(usize)]
        pub enum $Counter { $($(#[$doc])* $Variant,)+ }

        impl $Counter {
            /// All of them, in order.
            pub const ALL: &'static [Self] = &[$(Self::$Variant,)+];

            /// As statistics and metrics call it.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$Variant => $name,)+ }
            }
        }

        $(#[$tally_about])*
        #[derive(Debug, Default)]
        // Two cache lines: processors fetch them in pairs, and a neighbour's counters would slow ours.
        #[repr(align(128))]
        pub struct $Tally {
            all: [AtomicU64; $Counter::ALL.len()],
            v6: [AtomicU64; $Counter::ALL.len()],
        }

        impl $Tally {
            /// One more. Called by the worker's thread only, so no locked instruction is needed.
            pub fn count(&self, counter: $Counter) {
                self.add(counter, 1);
            }

            /// One more from this client. Called by the worker's thread only.
            pub fn count_from(&self, client: &Address, counter: $Counter) {
                self.count(counter);
                if matches!(client, Address::V6(_)) {
                    add(&self.v6[counter as usize], 1);
                }
            }

            /// So many more. Called by the worker's thread only.
            pub fn add(&self, counter: $Counter, number: u64) {
                add(&self.all[counter as usize], number);
            }

            /// The number so far.
            pub fn of(&self, counter: $Counter) -> u64 {
                self.all[counter as usize].load(Ordering::Relaxed)
            }

            /// The number so far from clients with IPv6 addresses. Only what [`Self::count_from`] has counted.
            pub fn of_v6(&self, counter: $Counter) -> u64 {
                self.v6[counter as usize].load(Ordering::Relaxed)
            }
        }
    };
}

counters! {
    /// One of the numbers that a worker keeps of HTTP.
    Counter,
    /// What one worker has counted of HTTP: written by it alone, read by anybody.
    Tally {
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
    /// Connections that went on as WebSocket.
    Upgraded = "upgraded",
    /// Requests for WebSocket that are incomplete, or want another version.
    ErrorUpgrade = "error_upgrade",
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
}

counters! {
    /// One of the numbers that a worker keeps of WebTorrent.
    Signal,
    /// What one worker has counted of WebTorrent: written by it alone, read by anybody.
    SignalTally {
        /// WebSocket connections that were opened.
        Connections = "connections",
        /// Those that have ended, whatever for. What was opened and hasn't ended is open.
        ConnectionsClosed = "connections_closed",
        /// Announces that came, those without an answer to an offer (W01).
        InAnnounce = "in_announce",
        /// Answers that came (W02).
        InAnswer = "in_answer",
        /// Scrapes that came (W06).
        InScrape = "in_scrape",
        /// Messages that came and can't be read, or lack something (W03, W11).
        InInvalid = "in_invalid",
        /// Announces that were answered (W04).
        OutAnnounce = "out_announce",
        /// Scrapes that were answered (W06).
        OutScrape = "out_scrape",
        /// Errors that were sent (W03).
        OutError = "out_error",
        /// Offers that went to a peer.
        OffersForwarded = "offers_forwarded",
        /// Answers that went to whom had made the offer.
        AnswersForwarded = "answers_forwarded",
        /// Answers to offers that are unknown, answered or forgotten, or whose maker has gone.
        AnswersUnmatched = "answers_unmatched",
        /// Offers and answers that found a worker too busy to take them.
        Undelivered = "undelivered",
        /// Pings that were sent to idle connections.
        Pings = "pings",
        /// Peers that didn't announce again in time.
        PeersExpired = "peers_expired",
        /// Connections that were closed since their queue was full, or nothing was taken for too long (W10).
        ClosedSlow = "closed_slow",
        /// Connections that were closed since nothing came for too long (W09).
        ClosedIdle = "closed_idle",
        /// Connections that were closed for what came, or for a message that didn't come whole in time (W11).
        ClosedBad = "closed_bad",
        /// Connections that were closed since their network was blocked meanwhile.
        ClosedBlocked = "closed_blocked",
    }
}
