//! The outcome, for people and for programs.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde::Serialize;
use serde_json::{Value, json};

use super::outcome::{Kind, OfKind, Outcome};
use super::plot;
use super::verdict::Fault;
use crate::memory::Memory;
use crate::options::Common;

/// Which latencies are told, with their names.
const QUANTILES: [(&str, f64); 6] =
    [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("p99.99", 0.9999), ("max", 1.0)];

/// Tells what came of it; an error when an answer was wrong.
pub(crate) fn finish(
    common: &Common<'_>,
    configuration: &impl Serialize,
    outcome: &Outcome,
    as_json: bool,
    plot: Option<&Path>,
) -> Result<()> {
    if as_json {
        println!("{}", to_json(configuration, outcome));
    } else {
        print!("{}", to_text(common, outcome));
    }
    if let Some(file) = plot {
        fs::write(file, plot::draw(common, outcome))
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    match outcome.faults.total() {
        0 => Ok(()),
        faults => bail!("{faults} answers were wrong"),
    }
}

fn seconds(outcome: &Outcome) -> f64 {
    outcome.time.as_secs_f64().max(f64::MIN_POSITIVE)
}

fn peers_per_answer(outcome: &Outcome) -> f64 {
    outcome.peers as f64 / outcome.of(Kind::Announce).answers.max(1) as f64
}

fn to_json(configuration: &impl Serialize, outcome: &Outcome) -> Value {
    let of_kind = |of: &OfKind| {
        let latency: serde_json::Map<String, Value> = QUANTILES
            .iter()
            .map(|(name, at)| ((*name).to_owned(), json!(of.latency.quantile_us(*at))))
            .collect();
        json!({
            "sent": of.sent,
            "answers": of.answers,
            "answers_per_s": of.answers as f64 / seconds(outcome),
            "errors": of.errors,
            "lost": of.lost,
            "latency_us": latency,
        })
    };
    let kinds: serde_json::Map<String, Value> =
        Kind::ALL.iter().map(|kind| (kind.name().to_owned(), of_kind(outcome.of(*kind)))).collect();
    let faults: serde_json::Map<String, Value> =
        Fault::ALL.iter().map(|fault| (fault.name().to_owned(), json!(outcome.faults.of(*fault)))).collect();
    let processes: Vec<Value> = outcome
        .cpu
        .iter()
        .map(|cpu| {
            let memory = Memory::of(cpu.pid).ok();
            json!({
                "pid": cpu.pid,
                "name": cpu.name,
                "cpu_ns": cpu.time.as_nanos() as u64,
                "resident_bytes": memory.map(|memory| memory.resident),
            })
        })
        .collect();
    json!({
        "configuration": configuration,
        "seconds": outcome.time.as_secs_f64(),
        "answers": outcome.answers(),
        "answers_per_s": outcome.answers() as f64 / seconds(outcome),
        "kinds": kinds,
        "peers_per_answer": peers_per_answer(outcome),
        "late": outcome.late,
        "broken": outcome.broken,
        "more": outcome.more.iter().map(|(name, count)| ((*name).to_owned(), json!(count))).collect::<serde_json::Map<_, _>>(),
        "behind_s": outcome.behind.as_secs_f64(),
        "faults": faults,
        "processes": processes,
    })
}

fn to_text(common: &Common<'_>, outcome: &Outcome) -> String {
    let mut text = format!(
        "{}: {} answers in {:.2} s, {:.0}/s; {:.1} peers an answer; {} late\n",
        common.target,
        outcome.answers(),
        outcome.time.as_secs_f64(),
        outcome.answers() as f64 / seconds(outcome),
        peers_per_answer(outcome),
        outcome.late
    );
    if outcome.broken > 0 {
        text += &format!("  {} connections ended before their answer had come\n", outcome.broken);
    }
    for kind in Kind::ALL {
        let of = outcome.of(kind);
        if of.sent == 0 {
            continue;
        }
        text += &format!(
            "  {:<9}{:>10} sent {:>10} answers {:>9.0}/s {:>6} errors {:>6} lost  ",
            kind.name(),
            of.sent,
            of.answers,
            of.answers as f64 / seconds(outcome),
            of.errors,
            of.lost
        );
        let latency = QUANTILES.map(|(name, at)| format!("{name} {:.0}", of.latency.quantile_us(at)));
        text += &format!("{} µs\n", latency.join(" "));
    }
    if !outcome.more.is_empty() {
        let more: Vec<String> =
            outcome.more.iter().map(|(name, count)| format!("{count} {}", name.replace('_', " "))).collect();
        text += &format!("  {}\n", more.join(", "));
    }
    if common.is_open() && outcome.behind.as_secs_f64() > 0.1 {
        text += &format!(
            "the rate of {} a second wasn't reached: {:.1} s behind at the end\n",
            common.rate,
            outcome.behind.as_secs_f64()
        );
    }
    for fault in Fault::ALL.iter().filter(|fault| outcome.faults.of(**fault) > 0) {
        text += &format!("FAULT {}: {}\n", fault.name(), outcome.faults.of(*fault));
    }
    for cpu in &outcome.cpu {
        let us = cpu.time.as_secs_f64() * 1e6 / outcome.answers().max(1) as f64;
        let memory = Memory::of(cpu.pid)
            .map_or_else(|_| String::new(), |memory| format!(", {} MB in memory", memory.resident >> 20));
        text += &format!(
            "CPU of {} ({}): {:.3} s, {us:.2} µs an answer{memory}\n",
            cpu.pid,
            cpu.name,
            cpu.time.as_secs_f64()
        );
    }
    text
}
