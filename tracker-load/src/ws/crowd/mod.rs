//! Many connections at once: they upgrade, announce as far as they are told to, answer some of the offers that they get, and check
//! everything that comes.
//!
//! One thread, one epoll; messages are put together from prepared parts and judged where they lie, so that the generator costs less than
//! what it measures. What a client writes because of what it has read goes out in one piece.

mod check;
mod client;

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use super::counts::Counts;
use super::frames::{self, Kind, Violation};
use super::members::Members;
use super::message::{self, Message, same};
use super::messages::{Announce, Messages};
use super::offer;
use super::swarms::{Choice, Swarms};
use super::upgrade::{Answer, Upgrade};
use crate::mix::pace::Pace;
use crate::population::splitmix;
use crate::stream::tls::{Handshakes, Tls};
use crate::stream::{self, Input, Received, Stream};
use crate::sys::files;
use crate::sys::poller::{Event, Poller};
use client::{Client, State};

/// An announce or an upgrade without an answer for so long is lost, and this much later for each connection: in a closed loop each waits
/// for all others.
const LOST_AFTER: Duration = Duration::from_secs(1);
const LOST_AFTER_EACH: Duration = Duration::from_millis(1);

/// A tracker that doesn't get anywhere for so long is none.
const STUCK_AFTER: Duration = Duration::from_secs(20);

/// When nothing at all has come for so long although clients wait, one of them gives up. A server that has slept through a message
/// between its threads, as aquatic_ws does now and then, wakes up when a connection closes.
const PROD_AFTER: Duration = Duration::from_secs(1);

/// Longest wait in one go; lost requests and the end of the run are looked at that often.
const PATIENCE: Duration = Duration::from_millis(50);

/// Connections that are being opened at once: fewer than any server's queue of new connections.
const OPENING: usize = 64;

/// What is read of a connection in one go, at least one frame.
const ROOM: usize = 2 * frames::LONGEST;

/// Who is in the crowd, and what they send.
pub(crate) struct Load {
    pub(crate) target: SocketAddr,
    pub(crate) path: String,
    pub(crate) connections: u32,
    pub(crate) tls: bool,
    pub(crate) choice: Choice,
    /// Everybody is a leecher; otherwise every second one is a seeder.
    pub(crate) leechers: bool,
    pub(crate) offers: u32,
    pub(crate) sdp_bytes: u32,
    /// Of the offers that come, those that are answered.
    pub(crate) answer_share: f64,
    /// Scrapes, as a share of what is asked.
    pub(crate) scrape_share: f64,
    /// Addresses that connections take turns with; none: each has its own when the tracker is on loopback.
    pub(crate) sources: Vec<IpAddr>,
    /// Others are in these swarms, too, so that more members may be counted than there are connections.
    pub(crate) shared: bool,
    /// What all that is random follows from.
    pub(crate) seed: u64,
}

/// All connections.
pub(crate) struct Crowd {
    target: SocketAddr,
    tls: Option<Tls>,
    upgrade: Upgrade,
    swarms: Swarms,
    messages: Messages,
    clients: Vec<Client>,
    /// Whose a session is or was.
    sessions: Vec<u32>,
    members: Members,
    /// Clients that have been told to connect.
    called: usize,
    /// Those of them that have no upgrade yet.
    opening: usize,
    /// Announces of each client.
    goal: u32,
    /// Offers of each announce.
    offers: u32,
    /// An offer is answered when a random number is below.
    answers_below: u64,
    /// A scrape is sent when a random number is below.
    scrapes_below: u64,
    sources: Vec<IpAddr>,
    shared: bool,
    /// When the next request is due.
    pace: Pace,
    /// Clients that wait until one is.
    ready: VecDeque<usize>,
    /// Whether clients that lose their connection open another.
    returns: bool,
    random: u64,
    /// When those are looked after who wait in vain.
    next_check: Instant,
    /// When something came last.
    heard: Instant,
    poller: Poller,
    /// What is being read.
    input: Input,
    /// What the client that is looked at writes next.
    output: Vec<u8>,
    /// The message that is being written.
    json: Vec<u8>,
    /// What a part of a message should be.
    expected: Vec<u8>,
    pub(crate) counts: Counts,
}

/// Why a connection ends.
enum End {
    Closed(String),
    Refused(String),
    Violation(Violation),
}

impl Crowd {
    pub(crate) fn new(load: &Load) -> Result<Self> {
        let wanted = u64::from(load.connections) + 64;
        let limit = files::raise_limit(wanted).context("cannot read the limit of files")?;
        ensure!(
            limit >= u64::from(load.connections) + 16,
            "{} connections need as many files, and the limit is {limit}: raise it (ulimit -n)",
            load.connections
        );
        let swarms = Swarms::new(load.choice.clone(), load.connections)?;
        Ok(Self {
            target: load.target,
            tls: if load.tls { Some(Tls::new(Handshakes::Full)?) } else { None },
            upgrade: Upgrade::new(load.target, &load.path),
            messages: Messages::new(swarms.torrents(), load.sdp_bytes, load.leechers),
            clients: (0..load.connections).map(|_| Client::new(load.offers)).collect(),
            sessions: Vec::new(),
            members: Members::new(load.connections, swarms.torrents())?,
            swarms,
            called: 0,
            opening: 0,
            goal: 0,
            offers: 0,
            answers_below: (load.answer_share * u64::MAX as f64) as u64,
            scrapes_below: (load.scrape_share * u64::MAX as f64) as u64,
            sources: load.sources.clone(),
            shared: load.shared,
            pace: Pace::Closed,
            ready: VecDeque::new(),
            returns: true,
            random: load.seed,
            next_check: Instant::now() + PATIENCE,
            heard: Instant::now(),
            poller: Poller::new().context("cannot make an epoll instance")?,
            input: Input::with_room(ROOM),
            output: Vec::new(),
            json: Vec::new(),
            expected: Vec::new(),
            counts: Counts::new(),
        })
    }

    /// Torrents of the population.
    pub(crate) fn torrents(&self) -> u32 {
        self.swarms.torrents()
    }

    /// Connections that are open now.
    pub(crate) fn open(&self) -> usize {
        self.clients.iter().filter(|client| client.stream.is_some()).count()
    }

    /// Opens all connections, then lets all announce and waits until every client is in the swarms that are its own. Who is goes on
    /// meanwhile, which keeps a server awake.
    pub(crate) fn join(&mut self, offers: u32) -> Result<()> {
        let joins = self.swarms.joins();
        // Upgrades behind the announces of those who are there already would take their time.
        self.begin(0, 0)?;
        self.wait_for(|client| client.state == State::Idle)?;
        self.begin(u32::MAX, offers)?;
        self.wait_for(|client| client.announces > joins)
    }

    /// Opens what isn't open, lets every client announce once, and waits for the answers. Nobody announces any more after that, and who
    /// loses the connection stays away.
    pub(crate) fn announce_once(&mut self, offers: u32) -> Result<()> {
        self.begin(1, offers)?;
        self.wait_for(|client| client.state == State::Idle && client.announces > 0)?;
        self.returns = false;
        Ok(())
    }

    fn wait_for(&mut self, ready: impl Fn(&Client) -> bool) -> Result<()> {
        let (mut done, mut since) = (0, Instant::now());
        while !self.clients.iter().all(&ready) {
            self.turn(Instant::now() + PATIENCE, None)?;
            let progress = self.counts.announces + self.counts.upgrades;
            if progress > done {
                (done, since) = (progress, Instant::now());
            } else if since.elapsed() > STUCK_AFTER {
                let Counts { failures, wrong, broken, refused, lost, .. } = self.counts;
                bail!(
                    "{} doesn't answer announces: {refused} refused upgrades, {failures} failure reasons, {wrong} wrong messages, \
                     {broken} broken connections, {lost} lost announces; at first {}",
                    self.target,
                    self.counts.trouble.as_deref().unwrap_or("nothing came")
                );
            }
        }
        Ok(())
    }

    /// Takes what comes for some time, or until so many announces were answered.
    pub(crate) fn drive(&mut self, time: Duration, announces: Option<u64>) -> Result<()> {
        self.turn(Instant::now() + time, announces)
    }

    /// From now on requests are due at these times; who waits for nothing waits for that.
    pub(crate) fn set_pace(&mut self, pace: Pace) {
        self.pace = pace;
        self.ready =
            (0..self.clients.len()).filter(|number| self.clients[*number].state == State::Idle).collect();
    }

    /// How far behind its times an open loop is.
    pub(crate) fn behind(&self, now: Instant) -> Duration {
        self.pace.behind(now)
    }

    /// Lets clients connect, and announce so many times.
    fn begin(&mut self, goal: u32, offers: u32) -> Result<()> {
        (self.goal, self.offers) = (goal, offers.min(offer::MOST));
        for number in 0..self.clients.len() {
            if self.clients[number].state == State::Idle {
                self.announce(number);
                self.send(number);
            }
        }
        self.call()
    }

    fn turn(&mut self, end: Instant, announces: Option<u64>) -> Result<()> {
        loop {
            self.ask_what_is_due();
            let next = self.pace.next().filter(|_| !self.ready.is_empty());
            let wait =
                next.map_or(PATIENCE, |next| next.saturating_duration_since(Instant::now()).min(PATIENCE));
            let events = self.poller.wait(wait).context("cannot wait for events")?;
            for index in 0..events {
                if let Some(event) = self.poller.event(index) {
                    self.take(event);
                }
            }
            self.call()?;
            let now = Instant::now();
            if events > 0 {
                self.heard = now;
            }
            if now >= self.next_check {
                self.next_check = now + PATIENCE;
                self.look_after(now)?;
            }
            if now >= end || announces.is_some_and(|enough| self.counts.announces >= enough) {
                return Ok(());
            }
        }
    }

    /// In an open loop, lets those who wait for something to do ask what is due by now.
    fn ask_what_is_due(&mut self) {
        let now = Instant::now();
        while let Pace::Open { .. } = self.pace {
            let Some(due) = self.pace.due(0, now) else { return };
            let Some(number) = self.ready.pop_front() else { return };
            if self.clients[number].state == State::Idle {
                self.pace.sent(1);
                self.ask(number, due);
                self.send(number);
            }
        }
    }

    /// Lets more clients connect, a few at a time.
    fn call(&mut self) -> Result<()> {
        while self.opening < OPENING && self.called < self.clients.len() {
            self.connect(self.called)?;
            self.called += 1;
        }
        Ok(())
    }

    fn connect(&mut self, number: usize) -> Result<()> {
        let session = u32::try_from(self.sessions.len()).context("too many connections")?;
        let own = || stream::source(self.target, number as u32);
        let source = self.sources.get(number % self.sources.len().max(1)).copied().or_else(own);
        let mut stream = Stream::open(self.target, source, self.tls.as_ref())
            .with_context(|| format!("cannot connect to {}", self.target))?;
        stream.holds_nothing_back().context("cannot set up a socket")?;
        self.poller.add(stream.as_fd(), number).context("cannot watch a socket")?;
        // A server that refuses is met again when the answer is taken.
        let _ = stream.send(self.upgrade.request());
        self.sessions.push(number as u32);
        self.members.leave(number);
        self.clients[number].connected(stream, session);
        self.opening += 1;
        Ok(())
    }

    fn take(&mut self, event: Event) {
        let Some(stream) = &mut self.clients[event.number].stream else { return };
        if event.writable && stream.flush().is_err() {
            return self.end(event.number, End::Closed("a connection that broke".to_owned()));
        }
        if event.readable || event.ended {
            let mut input = std::mem::take(&mut self.input);
            let done = self.receive(event, &mut input);
            self.input = input;
            match done {
                Ok(()) => self.send(event.number),
                Err(end) => self.end(event.number, end),
            }
        }
    }

    /// Takes all that has come.
    fn receive(&mut self, event: Event, input: &mut Input) -> Result<(), End> {
        loop {
            let client = &mut self.clients[event.number];
            let Some(stream) = &mut client.stream else { return Ok(()) };
            input.begin_with(&client.rest);
            client.rest.clear();
            let received = stream.receive(input, event.ended);
            let used = self.read(event.number, input.bytes())?;
            // Less than a frame, so there is room for more.
            self.clients[event.number].rest.extend_from_slice(&input.bytes()[used..]);
            match received {
                Ok(Received::Full) => {}
                Ok(Received::All) => return Ok(()),
                Ok(Received::Ended) => return Err(End::Closed("an end without a close frame".to_owned())),
                Err(error) => return Err(End::Closed(error.to_string())),
            }
        }
    }

    /// Looks at bytes that have come; how many of them are done with.
    fn read(&mut self, number: usize, bytes: &[u8]) -> Result<usize, End> {
        let mut at = 0;
        if self.clients[number].state == State::Upgrading {
            match self.upgrade.judge(bytes) {
                Answer::Incomplete => return Ok(0),
                Answer::Refused => {
                    let said = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned();
                    return Err(End::Refused(said));
                }
                Answer::Upgraded(len) => at = len,
            }
            self.opening -= 1;
            self.counts.upgrades += 1;
            self.clients[number].state = State::Idle;
            self.announce(number);
        }
        while let Some(frame) = frames::first(&bytes[at..]).map_err(End::Violation)? {
            at += frame.len;
            match frame.kind {
                Kind::Message if frame.is_final => self.message(number, frame.payload),
                Kind::Message | Kind::Continuation => {
                    let mut parts = std::mem::take(&mut self.clients[number].parts);
                    parts.extend_from_slice(frame.payload);
                    if parts.len() > frames::LONGEST {
                        return Err(End::Violation(Violation("a message of more than 128 KiB")));
                    }
                    if frame.is_final {
                        self.message(number, &parts);
                        parts.clear();
                    }
                    self.clients[number].parts = parts;
                }
                Kind::Ping => {
                    self.counts.pings += 1;
                    let mask = self.mask();
                    frames::pong(frame.payload, mask, &mut self.output);
                }
                Kind::Pong => {}
                Kind::Close => {
                    let code = frame.payload.first_chunk().map(|code| u16::from_be_bytes(*code));
                    return Err(End::Closed(format!("a close frame with status {code:?}")));
                }
            }
        }
        Ok(at)
    }

    fn message(&mut self, number: usize, json: &[u8]) {
        self.counts.bytes += json.len() as u64;
        let message = if str::from_utf8(json).is_ok() { Message::read(json) } else { None };
        let done = match message {
            None => Err("a message that is none"),
            Some(Message::Announced { info_hash, counts }) => {
                self.plausible(counts).and_then(|()| self.announced(number, info_hash))
            }
            Some(Message::Scraped { info_hash, counts }) => {
                self.plausible(counts).and_then(|()| self.scraped(number, info_hash))
            }
            Some(Message::Offer(came)) => self.check_offer(number, &came).map(|checked| {
                self.counts.offers += 1;
                self.counts.unchecked += u64::from(checked.is_none());
                if let Some((offer, torrent)) = checked
                    && splitmix(&mut self.random) < self.answers_below
                {
                    self.answer(number, offer, torrent);
                }
            }),
            Some(Message::Answer(came)) => self.check_answer(number, &came).map(|checked| {
                self.counts.answers += 1;
                self.counts.unchecked += u64::from(checked.is_none());
            }),
            Some(Message::Failure { reason }) => {
                self.counts.failures += 1;
                self.counts.note(|| format!("the failure reason {}", String::from_utf8_lossy(reason)));
                Ok(())
            }
        };
        if let Err(what) = done {
            self.counts.wrong += 1;
            let shown = &json[..json.len().min(300)];
            self.counts.note(|| format!("{what}: {}", String::from_utf8_lossy(shown)));
        }
    }

    fn announced(&mut self, number: usize, info_hash: &[u8]) -> Result<(), &'static str> {
        let client = &mut self.clients[number];
        match client.state {
            State::Announcing(torrent) if same(info_hash, self.messages.info_hash(torrent)) => {
                self.counts.announces += 1;
                self.counts.latency.add(client.asked.elapsed());
                client.state = State::Idle;
                self.announce(number);
                Ok(())
            }
            _ if client.owed > 0 => {
                client.owed -= 1;
                self.counts.acknowledgements += 1;
                Ok(())
            }
            _ => Err("an answer to no announce"),
        }
    }

    fn scraped(&mut self, number: usize, info_hash: &[u8]) -> Result<(), &'static str> {
        let client = &mut self.clients[number];
        match client.state {
            State::Scraping(torrent) if same(info_hash, self.messages.info_hash(torrent)) => {
                self.counts.scrapes += 1;
                self.counts.scrape_latency.add(client.asked.elapsed());
                client.state = State::Idle;
                self.announce(number);
                Ok(())
            }
            _ => Err("an answer to no scrape"),
        }
    }

    fn plausible(&self, counts: message::Counts) -> Result<(), &'static str> {
        let members = u64::from(counts.complete) + u64::from(counts.incomplete);
        let plausible = self.shared || members <= self.sessions.len() as u64;
        plausible.then_some(()).ok_or("more members than there are connections")
    }

    /// The next request of a client that waits for nothing, unless it has done what it should; in an open loop when one is due.
    fn announce(&mut self, number: usize) {
        match self.pace {
            Pace::Closed => self.ask(number, Instant::now()),
            Pace::Open { .. } => self.ready.push_back(number),
        }
    }

    fn ask(&mut self, number: usize, due: Instant) {
        let client = &mut self.clients[number];
        if client.announces >= self.goal {
            return;
        }
        client.asked = due;
        if client.announces > 0 && self.scrapes_below > 0 && splitmix(&mut self.random) < self.scrapes_below {
            let torrent = self.swarms.torrent(number as u32, client.announces, &mut self.random);
            client.state = State::Scraping(torrent);
            self.json.clear();
            self.messages.scrape(torrent, &mut self.json);
            self.counts.sent.scrapes += 1;
            return self.write();
        }
        let torrent = self.swarms.torrent(number as u32, client.announces, &mut self.random);
        let announce = Announce {
            session: client.session,
            torrent,
            number: client.announces,
            started: self.members.join(number, torrent),
            offers: self.offers,
        };
        client.ledger.made(client.announces, torrent);
        client.announces = (client.announces + 1) % offer::MOST_ANNOUNCES;
        client.state = State::Announcing(torrent);
        self.json.clear();
        self.messages.announce(&announce, &mut self.json);
        self.counts.sent.announces += 1;
        self.counts.sent.offers += u64::from(self.offers);
        self.write();
    }

    fn answer(&mut self, number: usize, offer: offer::Offer, torrent: u32) {
        let client = &mut self.clients[number];
        client.owed += 1;
        self.json.clear();
        self.messages.answer(client.session, torrent, offer, &mut self.json);
        self.counts.sent.answers += 1;
        self.write();
    }

    /// Puts the message that was just written into a frame.
    fn write(&mut self) {
        let mask = self.mask();
        frames::text(&self.json, mask, &mut self.output);
    }

    fn mask(&mut self) -> u32 {
        splitmix(&mut self.random) as u32
    }

    /// Sends what was written for this client.
    fn send(&mut self, number: usize) {
        if self.output.is_empty() {
            return;
        }
        let sent = self.clients[number].stream.as_mut().map(|stream| stream.send(&self.output));
        self.output.clear();
        if let Some(Err(error)) = sent {
            self.end(number, End::Closed(error.to_string()));
        }
    }

    fn end(&mut self, number: usize, end: End) {
        self.output.clear();
        let what = match end {
            End::Closed(what) => {
                self.counts.broken += 1;
                what
            }
            End::Refused(answer) => {
                self.counts.refused += 1;
                format!("a refused upgrade: {answer}")
            }
            End::Violation(violation) => {
                self.counts.wrong += 1;
                violation.to_string()
            }
        };
        self.counts.note(|| what);
        self.leave(number);
    }

    fn leave(&mut self, number: usize) {
        let client = &mut self.clients[number];
        self.opening -= usize::from(client.state == State::Upgrading);
        client.gone();
    }

    /// Gives up what is lost, and lets those connect again who have lost their connection: here and not at once, which could be for ever.
    fn look_after(&mut self, now: Instant) -> Result<()> {
        if now.saturating_duration_since(self.heard) >= PROD_AFTER {
            self.heard = now;
            let waiting = (0..self.called).filter(|number| self.clients[*number].waits());
            if let Some(longest) = waiting.min_by_key(|number| self.clients[*number].asked) {
                self.lose();
                self.leave(longest);
            }
        }
        let patience = LOST_AFTER + LOST_AFTER_EACH * self.clients.len() as u32;
        for number in 0..self.called {
            let client = &mut self.clients[number];
            if client.waits() && now.saturating_duration_since(client.asked) >= patience {
                self.lose();
                self.again(number);
            }
            if self.clients[number].state == State::Away && self.returns && self.opening < OPENING {
                self.connect(number)?;
            }
        }
        Ok(())
    }

    fn lose(&mut self) {
        self.counts.lost += 1;
        self.counts.note(|| "an announce or an upgrade without an answer".to_owned());
    }

    /// A client whose announce is lost announces something else, as a real one does at the next interval; the answer may still come.
    fn again(&mut self, number: usize) {
        let client = &mut self.clients[number];
        match client.state {
            State::Scraping(_) => self.leave(number),
            State::Announcing(_) => {
                client.state = State::Idle;
                client.owed += 1;
                // Who has no more to announce does it once more.
                client.announces -= u32::from(client.announces >= self.goal);
                self.announce(number);
                self.send(number);
            }
            _ => self.leave(number),
        }
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        // With resets, so that no address is used up.
        self.clients.iter_mut().for_each(Client::gone);
    }
}

#[cfg(test)]
mod tests;
