//! The part that measures programs: stations made ready, rounds in turn, costs above the floor.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use aya::programs::loaded_programs;
use tracker_common::settings::names;

use crate::cases::{Case, Goal};
use crate::drive::WRITER_CPU;
use crate::laboratory::Laboratory;
use crate::report::{Row, Target};
use crate::rounds::Rounds;
use crate::station::{Round, Server, Station};

/// Measures the cases, in `rounds` rounds of `time` each, alternating.
pub(crate) fn measure(object: &Path, cases: &[Case], rounds: u32, time: Duration) -> Result<Vec<Row>> {
    let mut laboratory = Laboratory::load(object, &[])?;
    let mut stations: BTreeMap<Server, Station> = BTreeMap::new();
    for case in cases {
        if let Entry::Vacant(place) = stations.entry(case.server) {
            let start = Instant::now();
            let station = Station::new(&mut laboratory, object, case.server)
                .with_context(|| format!("case {}", case.id))?;
            eprintln!("{:?} is ready after {:.1} s", case.server, start.elapsed().as_secs_f64());
            place.insert(station);
        }
    }
    let mut measured: Vec<Vec<Round>> = vec![Vec::new(); cases.len()];
    // Round 0 warms up: caches, the frames' pages, the kernel's lists. It is short and isn't kept.
    for number in 0..=rounds {
        let time = if number == 0 { Duration::from_millis(1) } else { time };
        for (case, kept) in cases.iter().zip(&mut measured) {
            let station = stations.get_mut(&case.server).context("all were made ready above")?;
            let round = station
                .round(&mut laboratory, &case.load, time, WRITER_CPU)
                .with_context(|| format!("case {}", case.id))?;
            if number > 0 {
                eprintln!("round {number}, {}: {:.0} ns a packet", case.id, cost(&round));
                kept.push(round);
            }
        }
    }
    let verified = verified(&mut laboratory, cases, &mut stations)?;
    let rows = cases.iter().enumerate().map(|(at, case)| row(cases, &measured, at, case));
    let mut rows: Vec<Row> = rows.collect();
    for (row, case) in rows.iter_mut().zip(cases) {
        if let Some(count) = verified.get(&case.server) {
            row.notes.push(format!("{count} instructions verified"));
        }
    }
    Ok(rows)
}

/// ns of CPU time a packet.
fn cost(round: &Round) -> f64 {
    round.driven.ns_per(round.driven.tally.generated)
}

fn row(cases: &[Case], measured: &[Vec<Round>], at: usize, case: &Case) -> Row {
    let own = &measured[at];
    let find = |id: &str| cases.iter().position(|other| other.id == id);
    let above = |at: usize| -> Vec<f64> {
        let floor = cases[at].floor.and_then(find);
        let floor_of = |round: usize| floor.map_or(0.0, |floor| cost(&measured[floor][round]));
        measured[at].iter().enumerate().map(|(round, of)| cost(of) - floor_of(round)).collect()
    };
    let costs = above(at);
    let what = match case.floor {
        Some(_) => format!("{}, above the floor", case.what),
        None => case.what.clone(),
    };
    let mut row = Row::new(&case.id, what, "ns", 0, Rounds::new(costs.clone()));
    match &case.goal {
        Goal::None => {}
        Goal::AtMost(most) => row = row.target(Target::AtMost(*most)),
        Goal::TimesOf(times, other) => {
            if let Some(other) = find(other) {
                let others = above(other);
                let ratio = Rounds::new(costs.iter().zip(&others).map(|(own, other)| own / other.max(1.0)));
                row = row.target(Target::AtMost(times * Rounds::new(others).median())).note(format!(
                    "{} times {}",
                    ratio.show(2),
                    cases[other].id
                ));
            }
        }
        Goal::Beside(other) => {
            if let Some(other) = find(other) {
                let more = Rounds::new(costs.iter().zip(&above(other)).map(|(own, other)| own - other));
                row = row.note(format!("{} ns more than {}", more.show(0), cases[other].id));
            }
        }
    }
    let all = Rounds::new(own.iter().map(cost));
    row = row.note(format!("{} ns in all, {:.2} M/s a core", all.show(0), 1000.0 / all.median()));
    let sum = |of: fn(&Round) -> u64| own.iter().map(of).sum::<u64>();
    let generated = sum(|round| round.driven.tally.generated);
    let answers = sum(|round| round.driven.tally.answers());
    let announces = sum(|round| round.driven.tally.announces);
    if announces > 0 {
        let peers = sum(|round| round.driven.tally.peers) as f64 / announces as f64;
        row = row.note(format!("{peers:.1} peers an answer"));
    }
    let reflected = sum(|round| round.driven.tally.others);
    if case.floor.is_some() && answers + reflected < generated {
        let share = 100.0 * (answers + reflected) as f64 / generated as f64;
        row = row.note(format!("{share:.2} % answered"));
    }
    let events = sum(|round| round.consumed.events);
    if events > 0 {
        let ns = Rounds::new(own.iter().map(|round| round.consumed.ns_per_event()));
        row = row.note(format!("writer {} ns an event", ns.show(0)));
    }
    for (name, count) in [
        ("met a full ring", sum(|round| round.ring_full)),
        ("passed", sum(|round| round.passed)),
        ("dropped by the tracker", sum(|round| round.dropped)),
    ] {
        if count > 0 {
            row = row.note(format!("{count} {name}"));
        }
    }
    row
}

/// Instructions that the verifier went through, by server.
fn verified(
    laboratory: &mut Laboratory,
    cases: &[Case],
    stations: &mut BTreeMap<Server, Station>,
) -> Result<BTreeMap<Server, u32>> {
    let mut counts = BTreeMap::new();
    for case in cases {
        let count = match (case.server, stations.get_mut(&case.server)) {
            (Server::Plain(program), _) => laboratory.verified(program)?,
            (_, Some(station)) => match station.reference() {
                Some(reference) => reference.verified(match case.server {
                    Server::ReferenceConnect => "ref_connect",
                    _ => "ref_announce",
                })?,
                // The newest of that name is ours.
                None => loaded_programs()
                    .flatten()
                    .filter(|program| program.name_as_str() == Some(names::PROGRAM))
                    .max_by_key(aya::programs::ProgramInfo::id)
                    .and_then(|program| program.verified_instruction_count()),
            },
            _ => None,
        };
        if let Some(count) = count {
            counts.insert(case.server, count);
        }
    }
    Ok(counts)
}
