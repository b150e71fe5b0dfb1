//! What was measured, for people and for programs.

use std::time::Duration;

use serde_json::{Value, json};

use super::{closed_loop, idle};
use crate::memory::Memory;

fn per_second(count: u64, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64().max(f64::MIN_POSITIVE)
}

fn us(time: Duration, answers: u64) -> f64 {
    time.as_secs_f64() * 1e6 / answers.max(1) as f64
}

pub(crate) fn announces(load: &closed_loop::Load, m: &closed_loop::Measured, as_json: bool) {
    if as_json {
        let cpu: Vec<Value> = m
            .cpu
            .iter()
            .map(|cpu| json!({"pid": cpu.pid, "name": cpu.name, "ns": cpu.time.as_nanos() as u64}))
            .collect();
        let report = json!({
            "target": load.target.to_string(),
            "seconds": m.time.as_secs_f64(),
            "answers": m.answers,
            "answers_per_s": per_second(m.answers, m.time),
            "short": m.short,
            "peers": m.peers,
            "bytes": m.bytes,
            "failures": m.failures,
            "wrong": m.wrong,
            "broken": m.broken,
            "lost": m.lost,
            "connections": m.connections,
            "resumed": m.resumed,
            "latency_us": {"p50": m.latency.quantile_us(0.5), "p99": m.latency.quantile_us(0.99)},
            "cpu": cpu,
        });
        println!("{report}");
        return;
    }
    println!(
        "{} answers in {:.2} s, {:.0}/s, {:.1} peers and {:.0} bytes each; {} short, {} failures, {} wrong, {} broken, {} lost; \
         {} connections, {} resumed; p50 {:.0} µs, p99 {:.0} µs",
        m.answers,
        m.time.as_secs_f64(),
        per_second(m.answers, m.time),
        m.peers as f64 / m.answers.max(1) as f64,
        m.bytes as f64 / m.answers.max(1) as f64,
        m.short,
        m.failures,
        m.wrong,
        m.broken,
        m.lost,
        m.connections,
        m.resumed,
        m.latency.quantile_us(0.5),
        m.latency.quantile_us(0.99),
    );
    for cpu in &m.cpu {
        let (time, cost) = (cpu.time.as_secs_f64(), us(cpu.time, m.answers));
        println!("CPU of {} ({}): {time:.3} s, {cost:.2} µs an answer", cpu.pid, cpu.name);
    }
}

pub(crate) fn idle(load: &idle::Load, m: &idle::Measured, as_json: bool) {
    if as_json {
        let bytes = |memory: &Memory| json!({"resident": memory.resident, "proportional": memory.proportional, "anonymous": memory.anonymous});
        let memory =
            m.memory.map(|(before, after)| json!({"before": bytes(&before), "after": bytes(&after)}));
        println!("{}", json!({"opened": m.opened, "closed": m.closed, "peers": m.peers, "memory": memory}));
        return;
    }
    println!(
        "{} connections to {} in {:.1} s, {} of them closed by the server; {} peers",
        m.opened,
        load.target,
        m.time.as_secs_f64(),
        m.closed,
        m.peers
    );
    if let Some((before, after)) = &m.memory {
        for (name, before, after) in [
            ("resident", before.resident, after.resident),
            ("proportional", before.proportional, after.proportional),
            ("anonymous", before.anonymous, after.anonymous),
        ] {
            let each = (after as f64 - before as f64) / f64::from(m.opened.max(1));
            println!(
                "{name}: {:.1} MB before, {:.1} MB after, {each:.0} bytes a connection",
                before as f64 / 1e6,
                after as f64 / 1e6
            );
        }
    }
}
