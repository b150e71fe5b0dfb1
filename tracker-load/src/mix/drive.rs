//! When the next request is due, and which: the loop over all sockets.

use std::net::IpAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::LOST_AFTER;
use super::client::{Client, Due};
use super::configuration::Configuration;
use super::outcome::{Kind, Outcome};
use super::pace::{Pace, Progress};
use super::verdict::{Asked, Expected};
use super::wire::{self, Link, Wire};
use crate::population::{Population, splitmix};
use crate::requests::Request;
use crate::sys::datagrams::{BATCH, Received};

/// Longest wait in one go; lost requests and the end of the run are looked at that often.
const PATIENCE: Duration = Duration::from_millis(20);

/// What requests are drawn from.
struct Draw {
    population: Population,
    random: u64,
    /// Connects, announces, scrapes: each up to here of the sum.
    weights: [u32; 3],
    bad_ids: f64,
    want: i32,
}

/// The run: everybody once, the warm-up, the measured time.
pub(super) fn run(configuration: &Configuration) -> Result<Outcome> {
    let common = configuration.common();
    let sources = common.sources()?;
    let mut clients = clients(configuration, &sources)?;
    let mut used: Vec<IpAddr> = clients.iter().map(|client| client.source).collect();
    used.sort_unstable();
    used.dedup();
    let expected =
        Expected { sources: used, ipv6: configuration.target.is_ipv6(), shared: configuration.shared };
    let population = common.population()?;
    let Configuration { connects, announces, scrapes, bad_ids, want, seed, .. } = *configuration;
    let all = [0, 1, 0];
    let mut draw = Draw { population, random: seed ^ 0x5eed, weights: all, bad_ids: 0.0, want };
    let mut outcome = Outcome::new();
    if configuration.fill && announces + scrapes > 0 {
        while draw.population.is_incomplete() {
            let before = outcome.answers();
            let part = Part { time: LOST_AFTER, until_announced: true, what: "filling" };
            drive(&mut clients, &expected, &mut draw, Pace::Closed, part, &mut outcome)?;
            if outcome.answers() == before {
                bail!("{} doesn't answer", configuration.target);
            }
        }
    }
    draw.weights = [connects, announces, scrapes];
    draw.bad_ids = bad_ids;
    let time = |seconds: f64| Duration::from_secs_f64(seconds);
    let warmup = Part { time: time(configuration.warmup), until_announced: false, what: "warming up" };
    drive(&mut clients, &expected, &mut draw, Pace::at(common.rate), warmup, &mut outcome)?;

    // Faults count from the first answer on, everything else from here.
    let mut measured = Outcome { faults: outcome.faults, ..Outcome::new() };
    let before = common.cpu_times()?;
    let start = Instant::now();
    let part = Part { time: time(configuration.seconds), until_announced: false, what: "measuring" };
    drive(&mut clients, &expected, &mut draw, Pace::at(common.rate), part, &mut measured)?;
    measured.time = start.elapsed();
    measured.cpu =
        common.cpu_times()?.into_iter().zip(&before).map(|(now, before)| now.since(before)).collect();
    Ok(measured)
}

fn clients(configuration: &Configuration, sources: &[Option<IpAddr>]) -> Result<Vec<Client>> {
    let slots = |number: u32| {
        let share = configuration.window / configuration.sockets;
        share + u32::from(number < configuration.window % configuration.sockets)
    };
    let source = |number: u32| sources[number as usize % sources.len()];
    let numbers = 0..configuration.sockets;
    if configuration.xdp.is_empty() {
        return numbers
            .map(|number| Client::new(configuration.target, source(number), slots(number)))
            .collect();
    }
    let own = configuration.common().own_address()?;
    let sources: Vec<IpAddr> = numbers.clone().map(|number| source(number).unwrap_or(own)).collect();
    let link = Link::open(&configuration.xdp, &configuration.mac, configuration.target, &sources)?;
    Ok(numbers
        .zip(sources)
        .map(|(number, source)| {
            let wire = Wire::Xdp { link: Rc::clone(&link), client: number as usize };
            Client::by(wire, source, slots(number))
        })
        .collect())
}

/// A part of the run.
struct Part {
    time: Duration,
    /// It ends when everybody has announced.
    until_announced: bool,
    what: &'static str,
}

fn drive(
    clients: &mut [Client],
    expected: &Expected,
    draw: &mut Draw,
    mut pace: Pace,
    part: Part,
    outcome: &mut Outcome,
) -> Result<()> {
    let start = Instant::now();
    let end = start + part.time;
    let (mut received, mut seen) = (Received::new(), Vec::new());
    let mut next_check = start + PATIENCE;
    let mut progress = Progress::new(part.what, outcome.answers());
    let mut batch = Vec::with_capacity(BATCH);
    let mut turn = 0;
    loop {
        let mut idle = true;
        for number in 0..clients.len() {
            // Each time another one is first: none is at an advantage when few requests are due.
            let client = &mut clients[(turn + number) % clients.len()];
            idle &= client.take_answers(&mut received, expected, &mut seen, outcome)? == 0;
            let now = Instant::now();
            draw.fill(client, &mut pace, now, part.until_announced, &mut batch);
            let sent = client.send(&batch, outcome)?;
            pace.sent(sent);
            idle &= sent == 0;
        }
        turn += 1;
        let now = Instant::now();
        if now >= end
            || part.until_announced && !draw.population.is_incomplete() && all_quiet(clients, now, end)
        {
            outcome.behind = pace.behind(now);
            return Ok(());
        }
        if now >= next_check {
            next_check = now + PATIENCE;
            clients.iter_mut().for_each(|client| client.give_up_lost(now, outcome));
        }
        progress.tell(now, outcome.answers());
        if idle {
            let due = pace.next().map_or(end, |next| next.min(end));
            let wait = due.saturating_duration_since(now).min(PATIENCE);
            if wait >= Duration::from_millis(1) {
                wire::wait(clients.iter().map(|client| &client.wire), wait)?;
            }
        }
    }
}

/// Everybody has announced; a moment more for the answers.
fn all_quiet(clients: &[Client], now: Instant, end: Instant) -> bool {
    clients.iter().all(Client::is_quiet) || now >= end
}

impl Draw {
    /// The requests of this socket that are due now.
    fn fill(&mut self, client: &Client, pace: &mut Pace, now: Instant, filling: bool, batch: &mut Vec<Due>) {
        batch.clear();
        let id = client.connection_id(now);
        let mut connecting = client.is_connecting();
        while batch.len() < BATCH && client.has_room() {
            let Some(transaction) = client.next_transaction(batch.len()) else { return };
            if filling && id.is_some() && !self.population.is_incomplete() {
                return;
            }
            let Some(at) = pace.due(batch.len(), now) else { return };
            let Some((request, asked)) = self.next(id, &mut connecting, transaction) else { return };
            batch.push(Due { at, asked, request });
        }
    }

    /// The next request; none while a connection id is on its way.
    fn next(&mut self, id: Option<u64>, connecting: &mut bool, transaction: u32) -> Option<(Request, Asked)> {
        let connect = (Request::connect(transaction), Asked { kind: Kind::Connect, swarm: 0, want: 0 });
        let kind = self.kind();
        if kind == Kind::Connect {
            return Some(connect);
        }
        let Some(id) = id else {
            return (!std::mem::replace(connecting, true)).then_some(connect);
        };
        let is_bad = self.bad_ids > 0.0 && self.chance() < self.bad_ids;
        // Any change makes it a bad one.
        let id = if is_bad { id ^ (1 << (splitmix(&mut self.random) % 64)) } else { id };
        let (peer, swarm) = self.population.draw_with_swarm();
        let request = match kind {
            Kind::Scrape => Request::scrape(id, transaction, &peer.info_hash),
            _ => Request::announce(id, transaction, &peer, self.want),
        };
        Some((request, Asked { kind: if is_bad { Kind::BadId } else { kind }, swarm, want: self.want }))
    }

    fn kind(&mut self) -> Kind {
        let [connects, announces, scrapes] = self.weights.map(u64::from);
        match splitmix(&mut self.random) % (connects + announces + scrapes) {
            drawn if drawn < connects => Kind::Connect,
            drawn if drawn < connects + announces => Kind::Announce,
            _ => Kind::Scrape,
        }
    }

    /// In [0, 1).
    fn chance(&mut self) -> f64 {
        (splitmix(&mut self.random) >> 11) as f64 / (1u64 << 53) as f64
    }
}
