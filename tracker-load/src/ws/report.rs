//! What was measured, for people and for programs.

use std::time::Duration;

use serde_json::{Value, json};

use super::counts::Counts;
use super::{closed_loop, idle};
use crate::memory::Memory;

fn per_second(count: u64, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64().max(f64::MIN_POSITIVE)
}

fn us(time: Duration, count: u64) -> f64 {
    time.as_secs_f64() * 1e6 / count.max(1) as f64
}

pub(crate) fn announces(load: &closed_loop::Load, m: &closed_loop::Measured, as_json: bool) {
    let counts = &m.counts;
    if as_json {
        let cpu: Vec<Value> = m
            .cpu
            .iter()
            .map(|cpu| json!({"pid": cpu.pid, "name": cpu.name, "ns": cpu.time.as_nanos() as u64}))
            .collect();
        let mut report = json!({
            "target": load.crowd.target.to_string(),
            "connections": load.crowd.connections,
            "torrents": m.torrents,
            "gathering_s": m.gathering.as_secs_f64(),
            "seconds": m.time.as_secs_f64(),
            "announces_per_s": per_second(counts.announces, m.time),
            "messages_per_s": per_second(counts.messages(), m.time),
            "latency_us": {"p50": counts.latency.quantile_us(0.5), "p99": counts.latency.quantile_us(0.99)},
            "cpu": cpu,
            "memory": memory_json(m.memory.as_ref()),
        });
        add_counts(&mut report, counts);
        println!("{report}");
        return;
    }
    println!(
        "{} connections and {} torrents, ready in {:.1} s\n{} announces in {:.2} s, {:.0}/s, p50 {:.0} µs, p99 {:.0} µs",
        load.crowd.connections,
        m.torrents,
        m.gathering.as_secs_f64(),
        counts.announces,
        m.time.as_secs_f64(),
        per_second(counts.announces, m.time),
        counts.latency.quantile_us(0.5),
        counts.latency.quantile_us(0.99),
    );
    print_counts(counts, m.time);
    for cpu in &m.cpu {
        println!(
            "CPU of {} ({}): {:.3} s, {:.2} µs an announce, {:.2} µs a message",
            cpu.pid,
            cpu.name,
            cpu.time.as_secs_f64(),
            us(cpu.time, counts.announces),
            us(cpu.time, counts.messages()),
        );
    }
    print_memory(m.memory.as_ref(), load.crowd.connections);
}

pub(crate) fn idle(load: &idle::Load, m: &idle::Measured, as_json: bool) {
    if as_json {
        let mut report =
            json!({"opened": m.opened, "closed": m.closed, "memory": memory_json(m.memory.as_ref())});
        add_counts(&mut report, &m.counts);
        println!("{report}");
        return;
    }
    println!(
        "{} connections to {} in {:.1} s, {} of them closed by the server",
        m.opened,
        load.crowd.target,
        m.time.as_secs_f64(),
        m.closed
    );
    print_counts(&m.counts, m.time);
    print_memory(m.memory.as_ref(), m.opened);
}

fn add_counts(report: &mut Value, counts: &Counts) {
    for (name, value) in [
        ("messages", counts.messages()),
        ("announces", counts.announces),
        ("offers", counts.offers),
        ("answers", counts.answers),
        ("acknowledgements", counts.acknowledgements),
        ("bytes", counts.bytes),
        ("failures", counts.failures),
        ("wrong", counts.wrong),
        ("unchecked", counts.unchecked),
        ("refused", counts.refused),
        ("broken", counts.broken),
        ("lost", counts.lost),
        ("pings", counts.pings),
    ] {
        report[name] = value.into();
    }
    let sent = &counts.sent;
    report["sent"] = json!({"announces": sent.announces, "offers": sent.offers, "answers": sent.answers});
    report["trouble"] = counts.trouble.clone().into();
}

fn print_counts(counts: &Counts, time: Duration) {
    let sent = &counts.sent;
    println!(
        "sent: {} announces, {} offers in them, {} answers\n\
         came: {} messages, {:.0}/s, {:.0} bytes each; {} announce answers, {} offers, {} answers, {} acknowledgements",
        sent.announces,
        sent.offers,
        sent.answers,
        counts.messages(),
        per_second(counts.messages(), time),
        counts.bytes as f64 / counts.messages().max(1) as f64,
        counts.announces,
        counts.offers,
        counts.answers,
        counts.acknowledgements,
    );
    println!(
        "{} failure reasons, {} wrong, {} unchecked, {} refused, {} broken, {} lost; {} pings",
        counts.failures,
        counts.wrong,
        counts.unchecked,
        counts.refused,
        counts.broken,
        counts.lost,
        counts.pings,
    );
    if let Some(trouble) = &counts.trouble {
        println!("at first {trouble}");
    }
}

fn memory_json(memory: Option<&(Memory, Memory)>) -> Value {
    let bytes = |memory: &Memory| json!({"resident": memory.resident, "proportional": memory.proportional, "anonymous": memory.anonymous});
    memory.map_or(Value::Null, |(before, after)| json!({"before": bytes(before), "after": bytes(after)}))
}

fn print_memory(memory: Option<&(Memory, Memory)>, connections: u32) {
    let Some((before, after)) = memory else { return };
    for (name, before, after) in [
        ("resident", before.resident, after.resident),
        ("proportional", before.proportional, after.proportional),
        ("anonymous", before.anonymous, after.anonymous),
    ] {
        let each = (after as f64 - before as f64) / f64::from(connections.max(1));
        println!(
            "{name}: {:.1} MB before, {:.1} MB after, {each:.0} bytes a connection",
            before as f64 / 1e6,
            after as f64 / 1e6
        );
    }
}
