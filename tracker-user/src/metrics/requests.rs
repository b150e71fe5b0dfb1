//! Verdicts and counters as requests: which action was asked for, and what came of it.
//!
//! Each `match` here names all of them, so a new one can't be forgotten.

use http_ws::counters::{Counter, Signal};
use tracker_common::verdict::Verdict;

/// A request as it was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Request {
    /// What was asked for; "unknown" when that was not looked at.
    pub(super) action: &'static str,
    /// What came of it.
    pub(super) outcome: Outcome,
}

/// What came of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It was answered as it wanted.
    Answered,
    /// It was answered with an error, for this reason.
    Refused(&'static str),
    /// It got no answer, for this reason.
    Dropped(&'static str),
}

use Outcome::{Answered, Dropped, Refused};

const UNKNOWN: &str = "unknown";

/// The request behind a packet; `None` when it was left to somebody else, who counts it.
pub(super) fn of_verdict(verdict: Verdict) -> Option<Request> {
    let (action, outcome) = match verdict {
        Verdict::Connect => ("connect", Answered),
        Verdict::Announce => ("announce", Answered),
        Verdict::Scrape => ("scrape", Answered),
        Verdict::ErrorConnectionId => (UNKNOWN, Refused("connection_id")),
        Verdict::ErrorAnnounceShort => ("announce", Refused("announce_short")),
        Verdict::ErrorPort => ("announce", Refused("port")),
        Verdict::ErrorInfoHash => ("announce", Refused("info_hash")),
        Verdict::ErrorFullScrape => ("scrape", Refused("full_scrape")),
        Verdict::PassOther
        | Verdict::PassTag
        | Verdict::PassIpOptions
        | Verdict::PassFragment
        | Verdict::PassExtensionHeader
        | Verdict::PassMapped
        | Verdict::PassLength
        | Verdict::PassChecksum
        | Verdict::PassAnnounce
        | Verdict::PassScrape
        | Verdict::PassResize
        | Verdict::PassEventRing => return None,
        Verdict::DropShort => (UNKNOWN, Dropped("short")),
        Verdict::DropMagic => ("connect", Dropped("magic")),
        Verdict::DropAction => (UNKNOWN, Dropped("action")),
        Verdict::DropSource => (UNKNOWN, Dropped("source")),
        Verdict::DropBlocked => (UNKNOWN, Dropped("blocked")),
        Verdict::DropTag => (UNKNOWN, Dropped("tag")),
        Verdict::DropConnectionId => (UNKNOWN, Dropped("connection_id")),
        Verdict::DropLimitConnect => ("connect", Dropped("limit_connect")),
        Verdict::DropLimitBadId => (UNKNOWN, Dropped("limit_bad_id")),
        Verdict::DropLimitAnnounce => (UNKNOWN, Dropped("limit_announce")),
    };
    Some(Request { action, outcome })
}

/// What a counter of HTTP counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OfHttp {
    /// Requests.
    Request(Request),
    /// Connections, by what happened to them.
    Connection(&'static str),
    /// TLS handshakes, by their results.
    Handshake(&'static str),
    /// Handshakes that resumed a session.
    Resumed,
    /// Times that nothing could be accepted.
    AcceptErrors,
}

pub(super) fn of_http(counter: Counter) -> OfHttp {
    let request = |action, outcome| OfHttp::Request(Request { action, outcome });
    match counter {
        Counter::Announce => request("announce", Answered),
        Counter::Scrape => request("scrape", Answered),
        Counter::FullScrape => request("full_scrape", Answered),
        Counter::Health => request("health", Answered),
        Counter::Upgraded => request("upgrade", Answered),
        Counter::ErrorQuery => request(UNKNOWN, Refused("query")),
        Counter::ErrorInfoHash => request("announce", Refused("info_hash")),
        Counter::ErrorFullScrape => request("full_scrape", Refused("full_scrape")),
        Counter::ErrorOverload => request(UNKNOWN, Refused("overload")),
        Counter::ErrorClientAddress => request(UNKNOWN, Refused("client_address")),
        Counter::ErrorBlocked => request(UNKNOWN, Refused("blocked")),
        Counter::ErrorUpgrade => request("upgrade", Refused("upgrade")),
        Counter::NotFound => request(UNKNOWN, Refused("not_found")),
        Counter::MethodNotAllowed => request(UNKNOWN, Refused("method_not_allowed")),
        Counter::BadRequest => request(UNKNOWN, Refused("bad_request")),
        Counter::HeaderTooLarge => request(UNKNOWN, Refused("header_too_large")),
        Counter::ConnectionsAccepted => OfHttp::Connection("accepted"),
        Counter::ConnectionsClosed => OfHttp::Connection("closed"),
        Counter::ConnectionsRefused => OfHttp::Connection("refused"),
        Counter::ConnectionsRefusedAddress => OfHttp::Connection("refused_address"),
        Counter::ConnectionsBlocked => OfHttp::Connection("blocked"),
        Counter::ClosedIdle => OfHttp::Connection("closed_idle"),
        Counter::ClosedSlowRequest => OfHttp::Connection("closed_slow_request"),
        Counter::ClosedSlowReader => OfHttp::Connection("closed_slow_reader"),
        Counter::ConnectionsBroken => OfHttp::Connection("broken"),
        Counter::ProxyProtocolBad => OfHttp::Connection("proxy_protocol_bad"),
        Counter::TlsHandshakes => OfHttp::Handshake("completed"),
        Counter::TlsResumed => OfHttp::Resumed,
        Counter::TlsFailed => OfHttp::Handshake("failed"),
        Counter::TlsTimedOut => OfHttp::Handshake("timed_out"),
        Counter::AcceptErrors => OfHttp::AcceptErrors,
    }
}

/// What a counter of WebTorrent counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OfWebTorrent {
    /// Messages from clients.
    In(&'static str),
    /// Messages to clients.
    Out(&'static str),
    /// Messages that reached nobody, by the reason.
    Undelivered(&'static str),
    /// Connections, by what happened to them.
    Connection(&'static str),
    /// Peers that didn't announce again in time.
    Expired,
}

pub(super) fn of_webtorrent(signal: Signal) -> OfWebTorrent {
    match signal {
        Signal::Connections => OfWebTorrent::Connection("opened"),
        Signal::ConnectionsClosed => OfWebTorrent::Connection("closed"),
        Signal::ClosedSlow => OfWebTorrent::Connection("closed_slow"),
        Signal::ClosedIdle => OfWebTorrent::Connection("closed_idle"),
        Signal::ClosedBad => OfWebTorrent::Connection("closed_bad"),
        Signal::ClosedBlocked => OfWebTorrent::Connection("closed_blocked"),
        Signal::InAnnounce => OfWebTorrent::In("announce"),
        Signal::InAnswer => OfWebTorrent::In("answer"),
        Signal::InScrape => OfWebTorrent::In("scrape"),
        Signal::InInvalid => OfWebTorrent::In("invalid"),
        Signal::OutAnnounce => OfWebTorrent::Out("announce"),
        Signal::OutScrape => OfWebTorrent::Out("scrape"),
        Signal::OutError => OfWebTorrent::Out("error"),
        Signal::OffersForwarded => OfWebTorrent::Out("offer"),
        Signal::AnswersForwarded => OfWebTorrent::Out("answer"),
        Signal::Pings => OfWebTorrent::Out("ping"),
        Signal::AnswersUnmatched => OfWebTorrent::Undelivered("answer_unmatched"),
        Signal::Undelivered => OfWebTorrent::Undelivered("worker_busy"),
        Signal::PeersExpired => OfWebTorrent::Expired,
    }
}
