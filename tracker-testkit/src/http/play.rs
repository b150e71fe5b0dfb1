//! Plays a [`Case`] against a tracker in every [`Manner`].
//!
//! The tests are in `tracker-user/tests/http_rows`. A failed case is one text: row, name, manner, step, request, what was
//! expected and what came.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::answer::Answer as UdpAnswer;
use crate::daemon::ACCESS_LIST;
use crate::http::answer::{Announced, Answer};
use crate::http::case::{Address, Case, End, Host, Peer, Reply, Request, Setup, Step, Swarm, Talk};
use crate::http::connection::{Connection, Response};
use crate::http::query::{self, Version};
use crate::http::tracker::{Place, Running};
use crate::payload;
use crate::rows::Family;

/// How long a patient talk tries; nothing is measured with it.
const PATIENCE: Duration = Duration::from_secs(20);

/// How requests travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manner {
    /// In TLS.
    pub tls: bool,
    /// In this version, where the request doesn't say one.
    pub version: Version,
    /// All requests of a talk in one write, between two for `/health`; otherwise one after the other.
    pub pipelined: bool,
}

impl Manner {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::new(false, Version::Http11, false),
        Self::new(false, Version::Http10, false),
        Self::new(false, Version::Http11, true),
        Self::new(true, Version::Http11, false),
        Self::new(true, Version::Http10, false),
        Self::new(true, Version::Http11, true),
    ];

    /// The one in which all cases are played.
    fn is_plainest(self) -> bool {
        self.version == Version::Http11 && !self.pipelined
    }

    const fn new(tls: bool, version: Version, pipelined: bool) -> Self {
        Self { tls, version, pipelined }
    }
}

/// Plays all cases that a place can play, one tracker for each [`Setup`], and panics with everything that failed.
/// Returns how many were played.
#[track_caller]
pub fn check_all(cases: &[Case], binary: impl AsRef<Path>, place: Place, manner: Manner) -> usize {
    let cases: Vec<&Case> = cases.iter().filter(|case| manner.is_plainest() || !case.is_raw()).collect();
    let mut setups: Vec<&Setup> = Vec::new();
    for case in &cases {
        if !setups.contains(&&case.setup) {
            setups.push(&case.setup);
        }
    }
    let (mut failures, mut played) = (Vec::new(), 0);
    for &setup in &setups {
        let mut tracker = Running::start(&binary, place, setup);
        for case in cases.iter().filter(|case| case.setup == *setup) {
            if case.needs_ipv6() && !tracker.has_ipv6() {
                continue;
            }
            played += 1;
            failures.extend(check(case, &mut tracker, manner).err());
        }
        assert_eq!(tracker.home.stats()["swarm"]["events_lost"], 0);
        if setup == setups[0] {
            // It takes some time, and the others end in the same way.
            tracker.daemon.stop_well();
        }
    }
    assert!(failures.is_empty(), "{} of {played} cases failed\n\n{}", failures.len(), failures.join("\n\n"));
    assert!(played > 0, "no case was played");
    played
}

/// Plays a case. The error is a text for a person.
///
/// # Errors
///
/// What isn't as the case says.
pub fn check(case: &Case, tracker: &mut Running, manner: Manner) -> Result<(), String> {
    let mut player = Player { tracker, manner, kept: HashMap::new(), http: false, udp: Vec::new() };
    for (number, step) in case.steps.iter().enumerate() {
        player.step(step).map_err(|what| {
            format!(
                "{} \"{}\", {manner:?}, step {} of {}:\n{what}",
                case.row,
                case.name,
                number + 1,
                case.steps.len()
            )
        })?;
    }
    player.hang_up_all();
    Ok(())
}

struct Player<'a> {
    tracker: &'a mut Running,
    manner: Manner,
    kept: HashMap<u8, Connection>,
    /// Whether HTTP announces may still be on their way to the table.
    http: bool,
    /// Families with UDP announces that may still be.
    udp: Vec<Family>,
}

impl Player<'_> {
    fn step(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::Talk(talk) => self.talk_patiently(talk),
            Step::Udp { host, announce, expected } => self.announce(*host, announce, expected.as_ref()),
            Step::HangUp(number) => {
                let connection = self.kept.remove(number).ok_or("no such connection is kept")?;
                hang_up(connection)
            }
            Step::AccessList(text) => {
                self.tracker.home.write(ACCESS_LIST, text);
                self.tracker.daemon.signal(libc::SIGHUP);
                Ok(())
            }
        }
    }

    /// Everything that was announced is in the table.
    fn settle(&mut self) {
        if std::mem::take(&mut self.http) {
            self.tracker.settle();
        }
        for family in std::mem::take(&mut self.udp) {
            self.tracker.settle_udp(family);
        }
    }

    fn announce(
        &mut self,
        host: Host,
        announce: &payload::Announce,
        expected: Option<&(u32, u32, Vec<Peer>)>,
    ) -> Result<(), String> {
        if expected.is_some() {
            self.settle();
        }
        let answer = self.tracker.announce_by_udp(host, announce)?;
        if !self.udp.contains(&host.family) {
            self.udp.push(host.family);
        }
        let UdpAnswer::Announce { seeders, leechers, ref peers, .. } = answer else {
            return Err(format!("  {host:?} announced over UDP and got {answer:?}"));
        };
        let Some((wanted_seeders, wanted_leechers, of)) = expected else { return Ok(()) };
        self.compare_peers(peers, of.len(), of)
            .and_then(|()| match (seeders, leechers) == (*wanted_seeders, *wanted_leechers) {
                true => Ok(()),
                false => Err("the counts differ".into()),
            })
            .map_err(|why| {
                format!("  from     {host:?}\n  expected {expected:?}\n  got      {answer:?}\n  {why}")
            })
    }

    fn talk_patiently(&mut self, talk: &Talk) -> Result<(), String> {
        if talk.exchanges.iter().any(|(_, reply)| matches!(reply, Reply::Announced(_) | Reply::Scraped(_))) {
            self.settle();
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.talk(talk) {
                Err(why) if !talk.patient || Instant::now() > deadline => return Err(why),
                Err(_) => std::thread::yield_now(),
                Ok(()) => return Ok(()),
            }
        }
    }

    fn talk(&mut self, talk: &Talk) -> Result<(), String> {
        let requests: Vec<Vec<u8>> = talk.exchanges.iter().map(|(request, _)| self.bytes(request)).collect();
        self.http |=
            talk.exchanges.iter().any(|(_, reply)| matches!(reply, Reply::Announced(_) | Reply::Accepted));
        let shown = |at: usize, why: String| {
            let (_, reply) = &talk.exchanges[at];
            format!(
                "  from     {:?}{}\n  request  {}\n  expected {reply:?}\n  {why}",
                talk.host,
                match &talk.preface {
                    Some(preface) => format!(" behind {:?}", preface.escape_ascii().to_string()),
                    None => String::new(),
                },
                requests[at].escape_ascii()
            )
        };
        let may_be_refused = match talk.exchanges.first() {
            Some((_, Reply::Refused | Reply::EndOr(_))) => true,
            // A handshake is dearer than what would be said in it.
            Some((_, Reply::RetryLater)) => self.manner.tls,
            _ => false,
        };
        let mut connection = match talk.kept.and_then(|number| self.kept.remove(&number)) {
            Some(connection) => connection,
            None => match self.tracker.dial(talk.host, self.manner.tls, talk.preface.as_deref()).open() {
                Ok(connection) => connection,
                Err(_) if may_be_refused => return Ok(()),
                Err(error) => return Err(format!("  {:?} can't connect: {error}", talk.host)),
            },
        };
        if self.is_pipelined(talk) {
            let health = query::get(b"/health", &[], Version::Http11);
            let all = [&health[..], &requests.concat(), &health].concat();
            connection.send(&all).map_err(|error| format!("  sending: {error}"))?;
            expect_health(&mut connection)?;
            for (at, (_, reply)) in talk.exchanges.iter().enumerate() {
                let response = connection.read_response(false).map_err(|why| shown(at, why))?;
                self.compare(talk.host, reply, &response).map_err(|why| shown(at, why))?;
            }
            expect_health(&mut connection)?;
        } else {
            for (at, (request, reply)) in talk.exchanges.iter().enumerate() {
                let to_head = requests[at].starts_with(b"HEAD ");
                // A tracker that has already answered and gone is not interested in the rest.
                let sent = connection.send(&requests[at]);
                let response = connection.read_response(to_head);
                let response = match (response, reply) {
                    (Err(_), Reply::Refused | Reply::EndOr(_) | Reply::RetryLater) if may_be_refused => {
                        return Ok(());
                    }
                    (Err(_), Reply::EndOr(_)) => return Ok(()),
                    (Err(why), _) => return Err(shown(at, format!("{why} ({sent:?})"))),
                    (Ok(response), _) => response,
                };
                self.compare(talk.host, reply, &response).map_err(|why| shown(at, why))?;
                let last = at + 1 == talk.exchanges.len();
                match self.end(talk, request, reply) {
                    Some(End::Closed) => {
                        connection.read_end().map_err(|why| shown(at, why))?;
                        if last {
                            return Ok(());
                        }
                        let dial = self.tracker.dial(talk.host, self.manner.tls, talk.preface.as_deref());
                        connection = dial.open().map_err(|error| format!("  connecting again: {error}"))?;
                    }
                    Some(_) if last && talk.kept.is_none() => {
                        let health = query::get(b"/health", &[], Version::Http11);
                        connection.send(&health).map_err(|error| shown(at, error.to_string()))?;
                        expect_health(&mut connection).map_err(|why| shown(at, why))?;
                    }
                    _ => {}
                }
            }
        }
        match talk.kept {
            Some(number) => _ = self.kept.insert(number, connection),
            None => hang_up(connection)?,
        }
        Ok(())
    }

    /// Only what leaves the connection open can have something behind it.
    fn is_pipelined(&self, talk: &Talk) -> bool {
        self.manner.pipelined
            && talk.exchanges.iter().all(|(request, reply)| {
                let good = matches!(request, Request::Get { .. });
                good && self.end(talk, request, reply) == Some(End::Open)
            })
    }

    /// What becomes of the connection after a request; `None`: nobody knows.
    fn end(&self, talk: &Talk, request: &Request, reply: &Reply) -> Option<End> {
        if matches!(reply, Reply::RetryLater | Reply::Refused | Reply::EndOr(_)) {
            return Some(End::Closed);
        }
        match (talk.end, request) {
            (End::Natural, Request::Raw(_)) => None,
            (End::Natural, Request::Get { headers, .. }) => {
                let wish = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("connection"));
                let wish = wish.map(|(_, value)| value.to_ascii_lowercase());
                Some(match (self.manner.version, wish.as_deref()) {
                    (_, Some(b"close")) => End::Closed,
                    (Version::Http10, Some(b"keep-alive")) => End::Open,
                    (Version::Http10, _) => End::Closed,
                    (Version::Http11, _) => End::Open,
                })
            }
            (end, _) => Some(end),
        }
    }

    fn bytes(&self, request: &Request) -> Vec<u8> {
        match request {
            Request::Raw(bytes) => bytes.clone(),
            Request::Get { target, headers } => {
                let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, &value[..])).collect();
                query::get(target, &headers, self.manner.version)
            }
        }
    }

    fn compare(&self, host: Host, reply: &Reply, response: &Response) -> Result<(), String> {
        self.judge(host, reply, response).map_err(|why| format!("got      {response:?}\n  {why}"))
    }

    fn judge(&self, host: Host, reply: &Reply, response: &Response) -> Result<(), String> {
        match reply {
            Reply::Status(status) | Reply::EndOr(status) => return has_status(response, &[*status]),
            Reply::OneOf(statuses) => return has_status(response, statuses),
            Reply::With(status, name, value) => {
                has_status(response, &[*status])?;
                let found = response.header(name);
                return match found == Some(value) {
                    true => Ok(()),
                    false => Err(format!("{name} is {found:?}, not {value:?}")),
                };
            }
            _ => {}
        }
        let answer = read_answer(response)?;
        match (reply, &answer) {
            (Reply::Accepted, Answer::Announce(_)) => Ok(()),
            (Reply::Announced(swarm), Answer::Announce(announced)) => {
                self.compare_announced(host, swarm, announced)
            }
            (Reply::Scraped(wanted), Answer::Scrape(torrents)) if wanted == torrents => Ok(()),
            (Reply::Failure(wanted), Answer::Failure { reason, retry_in: None }) if reason == wanted => {
                Ok(())
            }
            (Reply::FailureNaming(wanted), Answer::Failure { reason, retry_in: None })
                if reason.contains(wanted) =>
            {
                Ok(())
            }
            (Reply::RetryLater | Reply::Refused, Answer::Failure { retry_in: Some(1..), .. }) => Ok(()),
            _ => Err(format!("another answer: {answer:?}")),
        }
    }

    fn compare_announced(&self, host: Host, swarm: &Swarm, found: &Announced) -> Result<(), String> {
        // 1800 s and at most a tenth to either side; half of it at the least.
        if !(1620..=1980).contains(&found.interval) || found.min_interval != 900 {
            return Err(format!("the interval is {} s, at least {} s", found.interval, found.min_interval));
        }
        let external = swarm.external.unwrap_or_else(|| self.tracker.address(host));
        if found.external_ip != external {
            return Err(format!("`external ip` is {}, not {external}", found.external_ip));
        }
        if (found.complete, found.incomplete) != (swarm.complete, swarm.incomplete) {
            return Err(format!("the counts are {} and {}", found.complete, found.incomplete));
        }
        if found.downloaded != swarm.downloaded {
            return Err(format!("`downloaded` is {}", found.downloaded));
        }
        if found.compact != swarm.compact {
            return Err(format!("compact: {}", found.compact));
        }
        self.compare_peers(&found.peers, swarm.count, &swarm.of)
    }

    fn compare_peers(&self, found: &[SocketAddr], count: usize, of: &[Peer]) -> Result<(), String> {
        let mut of: Vec<SocketAddr> = of
            .iter()
            .map(|(address, port)| match address {
                Address::Of(host) => SocketAddr::new(self.tracker.address(*host), *port),
                Address::Named(address) => SocketAddr::new(*address, *port),
            })
            .collect();
        if found.len() != count {
            return Err(format!("{} peers, not {count}: {found:?}", found.len()));
        }
        for peer in found {
            match of.iter().position(|other| other == peer) {
                Some(at) => _ = of.swap_remove(at),
                None => return Err(format!("{peer} should not be there, or not twice")),
            }
        }
        Ok(())
    }

    fn hang_up_all(&mut self) {
        for (_, connection) in self.kept.drain() {
            // The case is over: a connection that is gone already may be.
            let _ = hang_up(connection);
        }
    }
}

/// The client's own end: the tracker has nothing more to say, and closes, too.
fn hang_up(mut connection: Connection) -> Result<(), String> {
    if connection.finish_sending().is_err() {
        return Ok(());
    }
    connection.read_end().map_err(|why| format!("  after the client's end: {why}"))
}

fn expect_health(connection: &mut Connection) -> Result<(), String> {
    let response = connection.read_response(false).map_err(|why| format!("  /health beside it: {why}"))?;
    has_status(&response, &[200]).map_err(|why| format!("  /health beside it: {why}"))
}

fn has_status(response: &Response, statuses: &[u16]) -> Result<(), String> {
    match statuses.contains(&response.status) {
        true => Ok(()),
        false => Err(format!("status {}, not {statuses:?}", response.status)),
    }
}

/// What every bencoded answer is sent with (H10).
pub fn read_answer(response: &Response) -> Result<Answer, String> {
    has_status(response, &[200])?;
    if response.header("content-type") != Some("text/plain") {
        return Err(format!("content-type is {:?}", response.header("content-type")));
    }
    if response.header("content-length") != Some(&response.body.len().to_string()) {
        return Err(format!("content-length is {:?}", response.header("content-length")));
    }
    Answer::read(&response.body)
}
