//! The loop over all connections.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use super::client::{Client, Out};
use super::configuration::Configuration;
use super::verdict::{Verdict, judge};
use crate::http::LOST_AFTER;
use crate::http::answer::{self, Answer, Complete};
use crate::http::requests::Requests;
use crate::mix::outcome::{Kind, Outcome};
use crate::mix::pace::{Pace, Progress};
use crate::mix::verdict::{Asked, Expected, Fault};
use crate::population::{Population, splitmix};
use crate::stream::Received;
use crate::sys::files;
use crate::sys::poller::{Event, Poller};

/// Longest wait in one go; lost requests and the end of the run are looked at that often.
const PATIENCE: Duration = Duration::from_millis(20);

/// A part of the run.
struct Part {
    time: Duration,
    /// It ends when everybody has announced.
    until_announced: bool,
    what: &'static str,
}

/// All connections, and what their requests are drawn from.
struct Generator<'a> {
    configuration: &'a Configuration,
    requests: Requests,
    population: Population,
    random: u64,
    /// Announces, scrapes.
    weights: [u32; 2],
    clients: Vec<Client>,
    /// Clients without a request.
    free: Vec<usize>,
    poller: Poller,
    expected: Expected,
    seen: Vec<(IpAddr, u16)>,
    outcome: Outcome,
}

/// The run: everybody once, the warm-up, the measured time.
pub(super) fn run(configuration: &Configuration) -> Result<Outcome> {
    let common = configuration.common();
    let wanted = u64::from(configuration.connections) + 64;
    let limit = files::raise_limit(wanted).context("cannot read the limit of files")?;
    ensure!(
        limit >= wanted - 48,
        "{wanted} connections need as many files, and the limit is {limit}: raise it (ulimit -n)"
    );
    let mut generator = Generator::new(configuration)?;
    if configuration.fill {
        while generator.population.is_incomplete() {
            let before = generator.outcome.answers();
            let part = Part { time: LOST_AFTER, until_announced: true, what: "filling" };
            generator.drive(Pace::Closed, &part)?;
            if generator.outcome.answers() == before {
                bail!("{} doesn't answer", configuration.target);
            }
        }
    }
    generator.weights = [configuration.announces, configuration.scrapes];
    let part =
        |seconds: f64, what| Part { time: Duration::from_secs_f64(seconds), until_announced: false, what };
    generator.drive(Pace::at(common.rate), &part(common.warmup, "warming up"))?;

    // Faults count from the first answer on, everything else from here.
    let faults = generator.outcome.faults.clone();
    generator.outcome = Outcome { faults, ..Outcome::new() };
    let before = common.cpu_times()?;
    let start = Instant::now();
    generator.drive(Pace::at(common.rate), &part(common.seconds, "measuring"))?;
    let mut measured = generator.outcome;
    measured.time = start.elapsed();
    measured.cpu =
        common.cpu_times()?.into_iter().zip(&before).map(|(now, before)| now.since(before)).collect();
    Ok(measured)
}

impl<'a> Generator<'a> {
    fn new(configuration: &'a Configuration) -> Result<Self> {
        let common = configuration.common();
        let sources = common.sources()?;
        let tls = configuration.handshakes()?;
        let count = configuration.connections as usize;
        let clients = (0..count).map(|number| Client::new(sources[number % sources.len()], tls));
        let clients = clients.collect::<Result<Vec<_>>>()?;
        let own = common.own_address()?;
        let mut used: Vec<IpAddr> = sources.iter().take(count).map(|source| source.unwrap_or(own)).collect();
        used.sort_unstable();
        used.dedup();
        Ok(Self {
            configuration,
            requests: Requests::new(configuration.target, configuration.want, !configuration.close),
            population: common.population()?,
            random: configuration.seed ^ 0x5eed,
            weights: [1, 0],
            free: (0..count).rev().collect(),
            clients,
            poller: Poller::new().context("cannot make an epoll instance")?,
            expected: Expected {
                sources: used,
                ipv6: configuration.target.is_ipv6(),
                shared: configuration.shared,
            },
            seen: Vec::new(),
            outcome: Outcome::new(),
        })
    }

    fn drive(&mut self, mut pace: Pace, part: &Part) -> Result<()> {
        let start = Instant::now();
        let end = start + part.time;
        let mut next_check = start + PATIENCE;
        let mut progress = Progress::new(part.what, self.outcome.answers());
        loop {
            let now = Instant::now();
            let all_asked = part.until_announced && !self.population.is_incomplete();
            if now >= end || all_asked && self.free.len() == self.clients.len() {
                self.outcome.behind = pace.behind(now);
                return Ok(());
            }
            while let Some(&number) = self.free.last() {
                if part.until_announced && !self.population.is_incomplete() {
                    break;
                }
                let Some(due) = pace.due(0, now) else { break };
                self.free.pop();
                self.clients[number].is_free = false;
                pace.sent(1);
                self.ask(number, due)?;
            }
            let until = pace.next().filter(|_| !self.free.is_empty()).map_or(end, |next| next.min(end));
            let wait = until.saturating_duration_since(Instant::now()).min(PATIENCE);
            let events = self.poller.wait(wait).context("cannot wait for events")?;
            for index in 0..events {
                if let Some(event) = self.poller.event(index) {
                    self.take(event);
                }
            }
            let now = Instant::now();
            if now >= next_check {
                next_check = now + PATIENCE;
                self.give_up_lost(now);
            }
            progress.tell(now, self.outcome.answers());
        }
    }

    /// Sends the next request by a client that has none.
    fn ask(&mut self, number: usize, due: Instant) -> Result<()> {
        let [announces, scrapes] = self.weights.map(u64::from);
        let scraped = splitmix(&mut self.random) % (announces + scrapes) >= announces;
        let (peer, swarm) = self.population.draw_with_swarm();
        let client = &mut self.clients[number];
        let kind = if scraped { Kind::Scrape } else { Kind::Announce };
        match kind {
            Kind::Scrape => self.requests.scrape(&peer.info_hash, &mut client.request),
            _ => self.requests.announce(&peer, &mut client.request),
        }
        let want = i32::try_from(self.configuration.want).unwrap_or(i32::MAX);
        let out =
            Out { due, sent: Instant::now(), asked: Asked { kind, swarm, want }, info_hash: peer.info_hash };
        self.outcome.of_mut(kind).sent += 1;
        if !client.send(number, self.configuration.target, &self.poller, out)? {
            self.broken(number);
        }
        Ok(())
    }

    fn take(&mut self, event: Event) {
        let number = event.number;
        let client = &mut self.clients[number];
        let Some(stream) = &mut client.stream else { return };
        if event.writable && stream.flush().is_err() {
            return self.broken(number);
        }
        if !event.readable && !event.ended {
            return;
        }
        let ended = match stream.receive(&mut client.input, event.ended) {
            Ok(Received::Full) => return self.fault(number, Fault::Unreadable),
            Ok(received) => received == Received::Ended,
            Err(_) => true,
        };
        let Some(out) = client.out else {
            // Between two requests the server may close, and has nothing to say.
            if ended {
                client.leave();
                self.settle(number);
            } else if !client.input.bytes().is_empty() {
                self.fault(number, Fault::Unreadable);
            }
            return;
        };
        match answer::judge(client.input.bytes(), ended) {
            Answer::Incomplete | Answer::UntilEnd => {}
            Answer::Wrong if client.input.bytes().is_empty() => self.broken(number),
            Answer::Wrong => self.fault(number, Fault::Unreadable),
            Answer::Complete(complete) => self.complete(number, complete, out, ended),
        }
    }

    fn complete(&mut self, number: usize, complete: Complete, out: Out, ended: bool) {
        let client = &mut self.clients[number];
        let bytes = client.input.bytes();
        let body = bytes.get(complete.body_at..complete.len).unwrap_or_default();
        let verdict = match bytes.len() > complete.len {
            true => Err(Fault::Length),
            false => judge(body, out.asked, &out.info_hash, &self.expected, &mut self.seen),
        };
        client.out = None;
        // Not to be taken for what comes next.
        client.input.clear();
        let of = self.outcome.of_mut(out.asked.kind);
        match verdict {
            Ok(Verdict::Failure) => of.errors += 1,
            Ok(verdict) => {
                of.answers += 1;
                of.latency.add(out.due.elapsed());
                if let Verdict::Announced(peers) = verdict {
                    self.outcome.peers += peers;
                }
            }
            Err(fault) => {
                of.answers += 1;
                of.latency.add(out.due.elapsed());
                self.outcome.faults.count(fault);
            }
        }
        let client = &mut self.clients[number];
        if ended || self.configuration.close && !complete.closes {
            client.leave();
        } else if complete.closes {
            // Whoever closes first keeps the address for a minute: let it be the server.
            client.closing = true;
            return;
        }
        self.settle(number);
    }

    /// An answer that is none; nothing more can be read on this connection.
    fn fault(&mut self, number: usize, fault: Fault) {
        self.outcome.faults.count(fault);
        self.clients[number].out = None;
        self.clients[number].leave();
        self.settle(number);
    }

    /// The connection ended before the answer had come.
    fn broken(&mut self, number: usize) {
        self.outcome.broken += 1;
        if let Some(out) = self.clients[number].out.take() {
            self.outcome.of_mut(out.asked.kind).lost += 1;
        }
        self.clients[number].leave();
        self.settle(number);
    }

    /// The client may have another request.
    fn settle(&mut self, number: usize) {
        if !std::mem::replace(&mut self.clients[number].is_free, true) {
            self.free.push(number);
        }
    }

    fn give_up_lost(&mut self, now: Instant) {
        for number in 0..self.clients.len() {
            let client = &mut self.clients[number];
            if let Some(out) = client.out.filter(|out| now - out.sent >= LOST_AFTER) {
                self.outcome.of_mut(out.asked.kind).lost += 1;
                client.out = None;
                client.leave();
                self.settle(number);
            } else if client.closing && client.out.is_none() && client.stream.is_some() {
                // It has had its time.
                client.leave();
                self.settle(number);
            }
        }
    }
}
