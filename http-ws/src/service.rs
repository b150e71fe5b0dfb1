//! A request and its answer (PROTOCOL "HTTP").
//!
//! hyper calls [`Handler`] with each request of a connection; the answer is ready at once, since nothing is waited for: the table is
//! read, the event goes into the worker's queue. Allocates nothing of its own: the request's header map becomes the answer's, and the body
//! is cut from the worker's buffer. Tests are in `tests/` and in tracker-user's `tests/http_rows`.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Instant;

use bytes::Bytes;
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::header::{
    ACCEPT_ENCODING, ALLOW, CONNECTION, CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue,
};
use hyper::http::request::Parts;
use hyper::service::Service;
use hyper::{HeaderMap, Method, Request, Response, StatusCode, Version};
use tracker_common::connection_id::Address;
use tracker_common::event::AnnounceEvent;
use tracker_common::source::is_sane;
use tracker_common::table::{Family, PeerAddress, Query};
use tracker_common::wire::AnnounceKind;

use crate::answer;
use crate::body::AnswerBody;
use crate::connection::Activity;
use crate::counters::Counter;
use crate::full_scrape::Encoding;
use crate::proxy::{self, ProxyHeader};
use crate::query;
use crate::scrape_entry;
use crate::webtorrent;
use crate::worker::{Scratch, Worker};

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Client {
    /// The connection's source, or whom the PROXY protocol names.
    pub address: Address,
    /// The connection comes from a trusted proxy.
    pub proxied: bool,
    /// The client is named in each request's header (H16), so `address` is the proxy's.
    pub named_in_header: bool,
    /// There are too many connections: this one is told so, once (H15).
    pub turned_away: bool,
}

/// Answers the requests of one connection.
pub(crate) struct Handler {
    pub worker: Rc<Worker>,
    pub activity: Rc<Activity>,
    pub client: Client,
}

impl Service<Request<Incoming>> for Handler {
    type Response = Response<AnswerBody>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        self.activity.request();
        let has_body = !request.body().is_end_stream();
        if self.worker.webtorrent.is_some() && webtorrent::is_wanted(&request) && !has_body {
            return ready(Ok(self.upgrade(&request)));
        }
        let (parts, _body) = request.into_parts();
        let mut reply = if has_body {
            self.activity.leave_unread();
            // What follows would be read as a request if the connection went on, see `connection::request_line`.
            Reply::status(Counter::BadRequest, StatusCode::BAD_REQUEST)
        } else {
            self.answer(&parts.method, parts.uri.path(), parts.uri.query(), &parts.headers)
        };
        self.worker.tally.count_from(&reply.client.unwrap_or(self.client.address), reply.counter);
        reply.closes |= has_body || self.client.turned_away || self.worker.stopping.get();
        if (reply.closes || is_last(&parts)) && matches!(reply.body, AnswerBody::Whole(_)) {
            self.activity.ends_with_answer();
        }
        ready(Ok(reply.into_response(parts.headers)))
    }
}

/// Whether the client wants the connection to end behind the answer, as hyper sees it too.
fn is_last(request: &Parts) -> bool {
    match request.headers.get(CONNECTION) {
        None => request.version == Version::HTTP_10,
        Some(value) => value.as_bytes().eq_ignore_ascii_case(b"close"),
    }
}

/// An answer on its way.
struct Reply {
    counter: Counter,
    status: StatusCode,
    body: AnswerBody,
    encoding: Option<&'static str>,
    closes: bool,
    /// Whom it is for, when that isn't whom the connection is from.
    client: Option<Address>,
}

impl Reply {
    fn new(counter: Counter, status: StatusCode, body: AnswerBody) -> Self {
        Self { counter, status, body, encoding: None, closes: false, client: None }
    }

    fn status(counter: Counter, status: StatusCode) -> Self {
        Self::new(counter, status, AnswerBody::Whole(None))
    }

    fn bytes(counter: Counter, bytes: Bytes) -> Self {
        Self::new(counter, StatusCode::OK, AnswerBody::Whole(Some(bytes)))
    }

    /// With the header map of the request, whose memory is used again.
    fn into_response(self, mut headers: HeaderMap) -> Response<AnswerBody> {
        headers.clear();
        if self.status == StatusCode::OK {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        }
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(ALLOW, HeaderValue::from_static("GET"));
        }
        if let Some(encoding) = self.encoding {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding));
        }
        if self.closes {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        let mut response = Response::new(self.body);
        *response.status_mut() = self.status;
        *response.headers_mut() = headers;
        response
    }
}

/// Why a request isn't answered as it wants.
struct Failure {
    counter: Counter,
    reason: &'static str,
    retry_in_minutes: Option<u32>,
}

impl Failure {
    const fn new(counter: Counter, reason: &'static str) -> Self {
        Self { counter, reason, retry_in_minutes: None }
    }
}

impl From<query::BadQuery> for Failure {
    fn from(bad: query::BadQuery) -> Self {
        Self::new(Counter::ErrorQuery, bad.reason())
    }
}

/// Minutes after which those come back that were turned away, and as many again at random, so that they don't come together (BEP 31).
const RETRY_IN_MINUTES: u32 = 5;

impl Handler {
    /// To WebSocket, for WebTorrent.
    fn upgrade(&self, request: &Request<Incoming>) -> Response<AnswerBody> {
        let refuse = |counter, status| {
            self.worker.tally.count(counter);
            webtorrent::refusal(status)
        };
        let mut response = match self.client_address(request.headers()) {
            Ok(client) if self.worker.context.lists.block.load().blocks(&client) => {
                refuse(Counter::ErrorBlocked, StatusCode::FORBIDDEN)
            }
            Ok(client) => {
                let response = webtorrent::response(request);
                if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                    self.activity.upgrade(client);
                    return response;
                }
                self.worker.tally.count(Counter::ErrorUpgrade);
                response
            }
            Err(failure) if failure.counter == Counter::ErrorOverload => {
                refuse(failure.counter, StatusCode::SERVICE_UNAVAILABLE)
            }
            Err(failure) => refuse(failure.counter, StatusCode::BAD_REQUEST),
        };
        // Nobody who wants WebSocket has other requests.
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        self.activity.ends_with_answer();
        response
    }

    fn answer(&self, method: &Method, path: &str, query: Option<&str>, headers: &HeaderMap) -> Reply {
        let get = match path {
            "/announce" | "/scrape" => *method == Method::GET,
            // Load balancers ask with HEAD.
            "/health" => *method == Method::GET || *method == Method::HEAD,
            _ => return Reply::status(Counter::NotFound, StatusCode::NOT_FOUND),
        };
        if !get {
            return Reply::status(Counter::MethodNotAllowed, StatusCode::METHOD_NOT_ALLOWED);
        }
        if path == "/health" {
            return Reply::bytes(Counter::Health, Bytes::from_static(b"ok\n"));
        }
        let mut scratch = self.worker.scratch.borrow_mut();
        let query = query.unwrap_or_default().as_bytes();
        let mut named = None;
        let answered = self.client_address(headers).and_then(|client| {
            named = Some(client);
            if self.worker.context.lists.block.load().blocks(&client) {
                return Ok(Reply::status(Counter::ErrorBlocked, StatusCode::FORBIDDEN));
            }
            match path {
                "/announce" => self.announce(query, client, &mut scratch),
                _ => self.scrape(query, client, headers, &mut scratch),
            }
        });
        let reply = answered.unwrap_or_else(|failure| {
            let out = &mut scratch.out;
            answer::failure(out, failure.reason, failure.retry_in_minutes);
            Reply::bytes(failure.counter, out.split().freeze())
        });
        Reply { client: named, ..reply }
    }

    /// H16: whose request it is.
    fn client_address(&self, headers: &HeaderMap) -> Result<Address, Failure> {
        if self.client.turned_away {
            let mut failure = Failure::new(Counter::ErrorOverload, "too many connections");
            failure.retry_in_minutes = Some(RETRY_IN_MINUTES);
            return Err(failure);
        }
        if !self.client.named_in_header {
            return Ok(self.client.address);
        }
        let settings = &self.worker.context.settings;
        let values = headers.get_all(header_name(settings.proxy_header)).iter().map(HeaderValue::as_bytes);
        proxy::client_address(settings.proxy_header, values, &settings.trusted_proxies)
            .map(Address::from)
            .map_err(|_| {
                Failure::new(
                    Counter::ErrorClientAddress,
                    "the reverse proxy does not tell the client's address",
                )
            })
    }

    fn announce(&self, query: &[u8], client: Address, scratch: &mut Scratch) -> Result<Reply, Failure> {
        let announce = query::announce(query)?;
        let context = &self.worker.context;
        // H12
        if !context.lists.access.load().allows(&announce.info_hash) {
            return Err(Failure::new(Counter::ErrorInfoHash, "info hash not allowed"));
        }
        let (client, second) = self.endpoints(&announce, client);
        if !is_sane(&client, announce.port) {
            return Err(Failure::new(Counter::ErrorClientAddress, "your address can not be a peer's"));
        }
        let Scratch { random, out, peers, .. } = scratch;
        let random = random.next();
        let peer = peer_address(client, announce.port);
        let terms = context.policy.terms();
        let found = context.table.announce_both(
            &Query {
                info_hash: &announce.info_hash,
                peer,
                seeder: announce.seeder,
                stopped: announce.kind == AnnounceKind::Stopped,
                want: terms.wanted_peers(announce.num_want, Family::V4),
                random,
            },
            peers,
        );
        let time_ms = ((context.clock)() / 1_000_000) as u32;
        for peer in
            [Some(peer), second.map(|address| peer_address(address, announce.port))].into_iter().flatten()
        {
            let event = AnnounceEvent::new(announce.info_hash, peer, announce.kind, announce.seeder, time_ms)
                .with_peer_id(&announce.peer_id);
            if !self.worker.sink.emit(event) {
                // H15: the writer is behind, and nobody would find this peer.
                let failure = Failure::new(Counter::ErrorOverload, "the tracker is overloaded");
                let minutes = RETRY_IN_MINUTES + random as u32 % RETRY_IN_MINUTES;
                return Err(Failure { retry_in_minutes: Some(minutes), ..failure });
            }
        }
        self.worker.sink.wake();
        answer::Announce {
            complete: found.seeders,
            downloaded: found.completed,
            incomplete: found.leechers,
            client,
            // Other bits than those that chose the peers.
            interval: terms.interval(random.rotate_left(32)),
            min_interval: terms.interval_s / 2,
            peers_v4: peers.v4.as_chunks().0.get(..found.peers_v4 as usize).unwrap_or_default(),
            peers_v6: peers.v6.as_chunks().0.get(..found.peers_v6 as usize).unwrap_or_default(),
            compact: announce.compact,
        }
        .write(out);
        Ok(Reply::bytes(Counter::Announce, out.split().freeze()))
    }

    /// H08: the announcer's address, and a second one of the other family, when a trusted proxy's clients may name them.
    fn endpoints(&self, announce: &query::Announce, client: Address) -> (Address, Option<Address>) {
        if !(self.client.proxied && self.worker.context.settings.use_ip_parameters) {
            return (client, None);
        }
        let client = announce.ip.map_or(client, Address::from);
        let named =
            [announce.ipv4.map(IpAddr::V4), announce.ipv6.map(IpAddr::V6)].map(|ip| ip.map(Address::from));
        let same_family = |address: &Address| {
            matches!((address, &client), (Address::V4(_), Address::V4(_)) | (Address::V6(_), Address::V6(_)))
        };
        let mut endpoints = (client, None);
        for address in named.into_iter().flatten() {
            if !same_family(&address) {
                endpoints.1 = Some(address).filter(|address| is_sane(address, announce.port));
            } else if announce.ip.is_none() {
                endpoints.0 = address;
            }
        }
        endpoints
    }

    fn scrape(
        &self,
        query: &[u8],
        client: Address,
        headers: &HeaderMap,
        scratch: &mut Scratch,
    ) -> Result<Reply, Failure> {
        let Scratch { out, hashes, .. } = scratch;
        hashes.clear();
        let context = &self.worker.context;
        for hash in query::info_hashes(query).take(context.policy.max_scrape_torrents as usize) {
            hashes.push(hash?);
        }
        if hashes.is_empty() {
            return self.full_scrape(client, headers);
        }
        // H13: a dictionary has each key once, and in order.
        hashes.sort_unstable();
        hashes.dedup();
        let access = context.lists.access.load();
        scrape_entry::begin(out);
        for hash in hashes.iter() {
            let counts = if access.allows(hash) { context.table.scrape(hash) } else { Default::default() };
            scrape_entry::entry(out, hash, &counts);
        }
        scrape_entry::end(out);
        Ok(Reply::bytes(Counter::Scrape, out.split().freeze()))
    }

    /// H14.
    fn full_scrape(&self, client: Address, headers: &HeaderMap) -> Result<Reply, Failure> {
        let Some(exports) = &self.worker.exports else {
            return Err(Failure::new(Counter::ErrorFullScrape, "full scrapes are not allowed"));
        };
        let accepted = headers.get_all(ACCEPT_ENCODING).iter().map(HeaderValue::as_bytes);
        let encoding = Encoding::accepted(accepted);
        let chunks = exports.begin(client, encoding, Instant::now()).map_err(|refused| Failure {
            counter: Counter::ErrorOverload,
            reason: "full scrapes are limited",
            retry_in_minutes: Some(refused.retry_in_minutes),
        })?;
        let body = AnswerBody::Streamed { chunks: Box::new(chunks), streaming: self.activity.stream() };
        let mut reply = Reply::new(Counter::FullScrape, StatusCode::OK, body);
        reply.encoding = encoding.name();
        Ok(reply)
    }
}

fn header_name(header: ProxyHeader) -> HeaderName {
    match header {
        ProxyHeader::XForwardedFor => HeaderName::from_static("x-forwarded-for"),
        ProxyHeader::XRealIp => HeaderName::from_static("x-real-ip"),
        ProxyHeader::Forwarded => hyper::header::FORWARDED,
    }
}

fn peer_address(address: Address, port: u16) -> PeerAddress {
    match address {
        Address::V4(ip) => PeerAddress::v4(ip, port),
        Address::V6(ip) => PeerAddress::v6(ip, port),
    }
}
