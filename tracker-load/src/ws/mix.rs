//! `tracker-load ws mix`: announces and scrapes of torrents as popular as real ones are, in a closed or an open loop: what [`crate::mix`] is
//! for UDP.
//!
//! A connection is one peer, in all swarms that it announces. In an open loop (`--rate`) requests are due at fixed times and wait for a connection
//! that has none under way; their latency counts from when they were due.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::counts::Counts;
use super::crowd::{self, Crowd};
use super::swarms::Choice;
use super::{messages, offer};
use crate::mix::outcome::{Kind, Outcome};
use crate::mix::pace::Pace;
use crate::mix::report;
use crate::mix::verdict::Fault;
use crate::options::options;

options! {
    /// Connections at once
    connections: u32 = 64,
    /// Over TLS
    tls: bool = false,
    /// What is asked for in the upgrade
    path: String = "/announce".to_owned(),
    /// Offers of an announce
    offers: u32 = 10,
    /// Length of an offer's and of an answer's session description
    sdp_bytes: u32 = 400,
    /// Part of the offers that is answered
    answer_share: f64 = 0.15,
}

impl Configuration {
    fn check(&self) -> Result<()> {
        ensure!((1..=1_000_000).contains(&self.connections), "connections are from 1 to 1000000");
        ensure!(self.announces > 0, "without announces there is nobody to scrape");
        ensure!(self.offers <= offer::MOST, "offers are {} at most", offer::MOST);
        let sdp = messages::SHORTEST_SDP..=60_000;
        ensure!(sdp.contains(&self.sdp_bytes), "sdp_bytes are from {} to 60000", messages::SHORTEST_SDP);
        ensure!((0.0..=1.0).contains(&self.answer_share), "answer_share is a part of 1, from 0 to 1");
        Ok(())
    }

    fn crowd(&self) -> Result<crowd::Load> {
        let common = self.common();
        let asked = f64::from(self.announces) + f64::from(self.scrapes);
        Ok(crowd::Load {
            target: self.target,
            path: self.path.clone(),
            connections: self.connections,
            tls: self.tls,
            choice: Choice::Popular { sizes: common.sizes()? },
            leechers: self.leechers,
            offers: self.offers,
            sdp_bytes: self.sdp_bytes,
            answer_share: self.answer_share,
            scrape_share: f64::from(self.scrapes) / asked,
            sources: common.sources()?.into_iter().flatten().collect(),
            shared: self.shared,
            seed: self.seed,
        })
    }
}

/// Runs it, and reports; an error when an answer was wrong.
pub(crate) fn run(flags: &Flags) -> Result<()> {
    let configuration = flags.configuration()?;
    if flags.print {
        print!("{}", configuration.to_text()?);
        return Ok(());
    }
    let outcome = measure(&configuration)?;
    report::finish(&configuration.common(), &configuration, &outcome, flags.json, flags.plot.as_deref())
}

fn measure(configuration: &Configuration) -> Result<Outcome> {
    let common = configuration.common();
    let mut crowd = Crowd::new(&configuration.crowd()?)?;
    // Everybody is there and has announced once.
    crowd.join(configuration.offers)?;
    crowd.set_pace(Pace::at(common.rate));
    crowd.drive(Duration::from_secs_f64(common.warmup), None)?;

    // What is wrong counts from the first message on, everything else from here.
    let (wrong, trouble) = (crowd.counts.wrong, crowd.counts.trouble.take());
    crowd.counts = Counts { wrong, trouble, ..Counts::new() };
    crowd.set_pace(Pace::at(common.rate));
    let before = common.cpu_times()?;
    let start = Instant::now();
    crowd.drive(Duration::from_secs_f64(common.seconds), None)?;
    let time = start.elapsed();
    let cpu = common.cpu_times()?.into_iter().zip(&before).map(|(now, before)| now.since(before)).collect();
    let behind = crowd.behind(Instant::now());
    let counts = std::mem::replace(&mut crowd.counts, Counts::new());
    if let Some(trouble) = &counts.trouble {
        eprintln!("the first trouble: {trouble}");
    }
    Ok(Outcome { time, cpu, behind, ..outcome(counts) })
}

fn outcome(counts: Counts) -> Outcome {
    let mut outcome = Outcome::new();
    let announces = outcome.of_mut(Kind::Announce);
    (announces.sent, announces.answers) = (counts.sent.announces, counts.announces);
    (announces.errors, announces.lost) = (counts.failures, counts.lost);
    announces.latency = counts.latency;
    let scrapes = outcome.of_mut(Kind::Scrape);
    (scrapes.sent, scrapes.answers) = (counts.sent.scrapes, counts.scrapes);
    scrapes.latency = counts.scrape_latency;
    (0..counts.wrong).for_each(|_| outcome.faults.count(Fault::Unreadable));
    outcome.broken = counts.broken + counts.refused;
    outcome.more = vec![
        ("offers_sent", counts.sent.offers),
        ("offers_received", counts.offers),
        ("answers_sent", counts.sent.answers),
        ("answers_received", counts.answers),
        ("unchecked", counts.unchecked),
    ];
    outcome
}
