//! Plays a [`Case`] against a tracker in every [`Manner`].
//!
//! The tests are in `tracker-user/tests/ws_rows`. A failed case is one text: row, name, manner, step, what was expected and what came.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::daemon::ACCESS_LIST;
use crate::http::case::Setup;
use crate::http::connection::Response;
use crate::http::unread::Unread;
use crate::http::{Place, Running};
use crate::rows::Family;
use crate::ws::case::{Case, Expected, Name, Open, Opened, Played, Said, Step, peer_id};
use crate::ws::client::{Client, Refused};
use crate::ws::counters;
use crate::ws::frames::Framing;
use crate::ws::message::Message;
use crate::ws::request::{ANSWER, Answer, OFFER};
use crate::ws::upgrade;

/// How long the tracker may take for what follows in its own time; nothing is measured with it.
const PATIENCE: Duration = Duration::from_secs(20);

/// `webtorrent.interval_s`, when a set-up has none.
const DEFAULT_INTERVAL: u64 = 120;

/// How messages travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manner {
    /// In TLS.
    pub tls: bool,
    /// In these frames.
    pub framing: Framing,
    /// To a tracker with so many workers.
    pub workers: u8,
    /// From hosts of both families: those with an odd number have IPv6.
    pub mixed: bool,
}

impl Manner {
    /// Text frames over plain connections from IPv4 alone, to a tracker with one worker.
    pub const PLAINEST: Self = Self { tls: false, framing: Framing::Text, workers: 1, mixed: false };

    /// Whether it plays cases that are the same in each framing.
    fn is_for_all(self) -> bool {
        self.framing == Framing::Text
    }
}

/// Plays all cases, one tracker for each [`Setup`], and panics with everything that failed. Returns how many were played.
#[track_caller]
pub fn check_all(cases: &[Case], binary: impl AsRef<Path>, place: Place, manner: Manner) -> usize {
    let cases: Vec<&Case> = cases
        .iter()
        .filter(|case| match case.played {
            Played::Cut => true,
            Played::Everywhere => manner.framing != Framing::Cut,
            Played::Once => manner.is_for_all(),
        })
        .collect();
    let mut setups: Vec<&Setup> = Vec::new();
    for case in &cases {
        if !setups.contains(&&case.setup) {
            setups.push(&case.setup);
        }
    }
    let (mut failures, mut played) = (Vec::new(), 0);
    for &setup in &setups {
        let workers: &'static str = ["0", "1", "2", "3"][usize::from(manner.workers)];
        let mut with_workers = setup.clone();
        with_workers.keys.push(("workers", workers));
        let mut tracker = Running::start(&binary, place, &with_workers);
        let unread = Arc::new(match tracker.namespace() {
            Some(namespace) => namespace.inside(Unread::new),
            None => Unread::new(),
        });
        for case in cases.iter().filter(|case| case.setup == *setup) {
            played += 1;
            failures.extend(check(case, &mut tracker, manner, &unread).err());
        }
        let log = tracker.daemon.log();
        assert!(!log.contains("panicked"), "{log}");
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
pub fn check(case: &Case, tracker: &mut Running, manner: Manner, unread: &Arc<Unread>) -> Result<(), String> {
    let counts = case.steps.iter().any(|step| matches!(step, Step::Counted(_)));
    let mut player = Player {
        before: counts.then(|| counters::all(&tracker.home)),
        tracker,
        manner,
        unread,
        setup: &case.setup,
        clients: BTreeMap::new(),
        spread: Vec::new(),
    };
    for (number, step) in case.steps.iter().enumerate() {
        player.step(step).map_err(|what| {
            format!(
                "{} \"{}\", {manner:?}, step {} of {}:\n  step     {step:?}\n  {what}",
                case.row,
                case.name,
                number + 1,
                case.steps.len()
            )
        })?;
    }
    player
        .close_all()
        .map_err(|what| format!("{} \"{}\", {manner:?}, when it is over:\n  {what}", case.row, case.name))
}

struct Player<'a> {
    tracker: &'a mut Running,
    manner: Manner,
    unread: &'a Arc<Unread>,
    setup: &'a Setup,
    clients: BTreeMap<Name, Client>,
    /// Offers of the last [`Step::Spread`], and who got them.
    spread: Vec<(String, Name)>,
    /// The counters when the case began.
    before: Option<serde_json::Value>,
}

impl Player<'_> {
    fn step(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::Open(open) => self.open(open),
            Step::Say { from, said, gets } => {
                let client = self.client(*from)?;
                let sent = match said {
                    Said::Message(text) => client.say(text),
                    Said::Bytes(bytes) => client.send(bytes),
                };
                self.get(*from, gets).map_err(|why| match sent {
                    Ok(()) => why,
                    Err(error) => format!("{why} (sending: {error})"),
                })
            }
            Step::Get { at, messages } => self.get(*at, messages),
            Step::Spread { info_hash, peer_id, offers, among } => {
                let forwarded = |offer_id: &String| Expected::Offer {
                    info_hash: *info_hash,
                    peer_id: *peer_id,
                    offer_id: offer_id.clone(),
                    offer: OFFER.to_owned(),
                };
                let wanted = offers.iter().map(|id| (id.clone(), forwarded(id))).collect();
                self.take_spread(wanted, among)
            }
            Step::AnswerSpread { info_hash, to_peer_id, to } => {
                self.answer_spread(*info_hash, *to_peer_id, *to)
            }
            Step::Quiet(names) => {
                // What others have sent before has been dealt with.
                for client in self.clients.values_mut() {
                    client.round_trip()?;
                }
                names.iter().try_for_each(|name| {
                    self.client(*name)?.expect_nothing().map_err(|why| format!("client {name}: {why}"))
                })
            }
            Step::Ping(name, payload) => self.client(*name)?.ping(payload),
            Step::Close(name, status) => self.take(*name)?.close(*status),
            Step::Vanish(name, how) => {
                self.take(*name)?.vanish(*how);
                Ok(())
            }
            Step::Closed { at, status, after } => {
                if let Some(expected) = after {
                    self.get(*at, std::slice::from_ref(expected))?;
                }
                let found = self.take(*at)?.read_close()?;
                match found == *status {
                    true => Ok(()),
                    false => Err(format!("closed with {found:?}")),
                }
            }
            Step::Counts(name, wanted) => self.wait_for_counts(*name, wanted),
            Step::Counted(rises) => self.wait_for_counters(rises),
            Step::AccessList(text) => {
                self.tracker.home.write(ACCESS_LIST, text);
                self.tracker.daemon.signal(libc::SIGHUP);
                Ok(())
            }
        }
    }

    fn client(&mut self, name: Name) -> Result<&mut Client, String> {
        self.clients.get_mut(&name).ok_or_else(|| format!("there is no client {name}"))
    }

    fn take(&mut self, name: Name) -> Result<Client, String> {
        self.clients.remove(&name).ok_or_else(|| format!("there is no client {name}"))
    }

    fn open(&mut self, open: &Open) -> Result<(), String> {
        let mut host = open.host;
        if self.manner.mixed && host.number % 2 == 1 {
            host.family = Family::V6;
        }
        let dial = self.tracker.dial(host, self.manner.tls, open.preface.as_deref());
        let opened = dial.open().map_err(|error| Refused::Broken(format!("connecting: {error}")));
        let opened = opened.and_then(|mut connection| {
            let request = [open.upgrade.bytes(), open.with.clone()].concat();
            let response = connection.ask(&request).map_err(Refused::Broken)?;
            match response.status {
                101 => upgrade::is_accepted(&response).map_err(Refused::Broken)?,
                _ => return Err(Refused::Response(response)),
            }
            Ok(Client::upgraded(connection))
        });
        match (opened, &open.gets) {
            (Ok(client), Opened::WebSocket) => {
                let client = client.framed(self.manner.framing, Some(Arc::clone(self.unread)));
                self.clients.insert(open.name, client);
                Ok(())
            }
            (Ok(_), _) => Err("it is upgraded".into()),
            (Err(Refused::Broken(_)), Opened::EndOr(_)) => Ok(()),
            (Err(Refused::Broken(why)), _) => Err(why),
            (Err(Refused::Response(response)), gets) => is_refusal(&response, gets),
        }
    }

    /// Reads as many messages as are expected, in whatever order.
    fn get(&mut self, at: Name, expected: &[Expected]) -> Result<(), String> {
        let interval = self.interval();
        let mut missing: Vec<&Expected> = expected.iter().collect();
        for _ in expected {
            let message = self.client(at)?.read().map_err(|why| format!("client {at}: {why}"))?;
            match missing.iter().position(|expected| matches_message(expected, &message, interval)) {
                Some(found) => _ = missing.swap_remove(found),
                None => return Err(format!("client {at} got {message:?}")),
            }
        }
        Ok(())
    }

    /// Waits until each of these offers has reached exactly one of these clients.
    fn take_spread(&mut self, mut wanted: Vec<(String, Expected)>, among: &[Name]) -> Result<(), String> {
        let interval = self.interval();
        self.spread.clear();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let complete = wanted.is_empty();
            for &name in among {
                let client = self.client(name)?;
                client.round_trip().map_err(|why| format!("client {name}: {why}"))?;
                for message in client.take_inbox() {
                    let found =
                        wanted.iter().position(|(_, offer)| matches_message(offer, &message, interval));
                    let Some(found) = found else { return Err(format!("client {name} got {message:?}")) };
                    if self.spread.iter().any(|(_, other)| *other == name) {
                        return Err(format!("client {name} got two offers"));
                    }
                    self.spread.push((wanted.swap_remove(found).0, name));
                }
            }
            // Once more when they are all there: none comes twice.
            if complete {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(format!("nobody got {wanted:?}"));
            }
        }
    }

    fn answer_spread(&mut self, info_hash: [u8; 20], to_peer_id: [u8; 20], to: Name) -> Result<(), String> {
        let mut expected = Vec::new();
        for (offer_id, name) in std::mem::take(&mut self.spread) {
            let peer_id = peer_id(name);
            let answer = ANSWER.to_owned();
            let message =
                Answer { info_hash, peer_id, to_peer_id, offer_id: offer_id.clone(), answer: answer.clone() };
            self.client(name)?.say(&message.text()).map_err(|error| format!("sending: {error}"))?;
            expected.push(Expected::Answer { info_hash, peer_id, offer_id, answer });
        }
        self.get(to, &expected)
    }

    fn wait_for_counts(
        &mut self,
        name: Name,
        wanted: &[([u8; 20], crate::answer::Counts)],
    ) -> Result<(), String> {
        let hashes: Vec<[u8; 20]> = wanted.iter().map(|(hash, _)| *hash).collect();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let files = self.client(name)?.scrape(&hashes)?;
            if are_same(&files, wanted) {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(format!("a scrape has {files:?}"));
            }
        }
    }

    fn wait_for_counters(&mut self, rises: &[(&'static str, u64)]) -> Result<(), String> {
        let before = self.before.as_ref().expect("it was asked for when the case began");
        let deadline = Instant::now() + PATIENCE;
        loop {
            let now = counters::all(&self.tracker.home);
            let number = |from: &serde_json::Value, name: &str| from[name].as_u64();
            let is_there = |(name, by): &(&'static str, u64)| {
                number(before, name).map(|count| count + by) == number(&now, name)
            };
            if rises.iter().all(is_there) {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(format!("the counters were {before} and are {now}"));
            }
        }
    }

    /// Nobody has got anything that no step has read.
    fn close_all(&mut self) -> Result<(), String> {
        for (name, client) in &mut self.clients {
            client.round_trip().map_err(|why| format!("client {name}: {why}"))?;
        }
        while let Some((name, client)) = self.clients.pop_first() {
            client.close(1000).map_err(|why| format!("client {name}: {why}"))?;
        }
        Ok(())
    }

    fn interval(&self) -> u64 {
        let mut keys = self.setup.webtorrent_keys.iter();
        let found = keys.find(|(key, _)| *key == "interval_s");
        found.map_or(DEFAULT_INTERVAL, |(_, value)| value.parse().expect("a number of seconds"))
    }
}

fn is_refusal(response: &Response, gets: &Opened) -> Result<(), String> {
    let is_it = match gets {
        Opened::WebSocket => false,
        Opened::Status(statuses) => statuses.contains(&response.status),
        Opened::With(status, name, value) => {
            response.status == *status && response.header(name) == Some(value)
        }
        Opened::EndOr(status) => response.status == *status,
    };
    if is_it { Ok(()) } else { Err(format!("got {response:?}")) }
}

/// Whether scrape answers are the same but for their order.
fn are_same(
    files: &[([u8; 20], crate::answer::Counts)],
    wanted: &[([u8; 20], crate::answer::Counts)],
) -> bool {
    files.len() == wanted.len() && wanted.iter().all(|torrent| files.contains(torrent))
}

/// Whether a message is the expected one. An interval may differ from the configured one by a tenth (W04).
pub fn matches_message(expected: &Expected, message: &Message, configured_interval: u64) -> bool {
    match (expected, message) {
        (
            Expected::Announced { info_hash, complete, incomplete },
            Message::Announced { info_hash: hash, interval, complete: seeders, incomplete: leechers },
        ) => {
            let tenth = configured_interval / 10;
            (info_hash, complete, incomplete) == (hash, seeders, leechers)
                && (configured_interval - tenth..=configured_interval + tenth).contains(interval)
        }
        (Expected::Offer { info_hash, peer_id, offer_id, offer }, Message::Offer(found))
        | (Expected::Answer { info_hash, peer_id, offer_id, answer: offer }, Message::Answer(found)) => {
            (info_hash, peer_id, offer_id, offer)
                == (&found.info_hash, &found.peer_id, &found.offer_id, &found.content)
        }
        (Expected::Scraped(wanted), Message::Scraped { files, min_request_interval: 1.. }) => {
            are_same(files, wanted)
        }
        (Expected::ScrapedWith(wanted), Message::Scraped { files, min_request_interval: 1.. }) => {
            wanted.iter().all(|torrent| files.contains(torrent))
        }
        (
            Expected::Failure { action, reason, info_hash },
            Message::Failure { action: found, reason: why, info_hash: hash },
        ) => (*action, *reason, info_hash) == (found.as_str(), why.as_str(), hash),
        (Expected::AnyFailure(action), Message::Failure { action: found, .. }) => action == found,
        _ => false,
    }
}
