//! What was measured, for people and for programs.

use std::time::Duration;

use serde_json::{Value, json};

use crate::closed_loop::{Load, Measured, Workload};

pub(crate) fn print(load: &Load, measured: &Measured, as_json: bool) {
    if as_json {
        println!("{}", to_json(load, measured));
    } else {
        print!("{}", to_text(load, measured));
    }
}

fn workload(load: &Load) -> &'static str {
    match load.workload {
        Workload::Connect => "connect",
        Workload::Announce { .. } => "announce",
    }
}

fn per_second(count: u64, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64().max(f64::MIN_POSITIVE)
}

fn us_per_answer(time: Duration, answers: u64) -> f64 {
    time.as_secs_f64() * 1e6 / answers.max(1) as f64
}

fn to_json(load: &Load, measured: &Measured) -> Value {
    let cpu: Vec<Value> = measured
        .cpu
        .iter()
        .map(|cpu| json!({"pid": cpu.pid, "name": cpu.name, "ns": cpu.time.as_nanos() as u64}))
        .collect();
    json!({
        "workload": workload(load),
        "target": load.target.to_string(),
        "window": load.window,
        "sockets": load.sockets,
        "seconds": measured.time.as_secs_f64(),
        "sent": measured.sent,
        "answers": measured.answers,
        "answers_per_s": per_second(measured.answers, measured.time),
        "errors": measured.errors,
        "lost": measured.lost,
        "late": measured.late,
        "wrong": measured.wrong,
        "peers": measured.peers,
        "latency_us": {"p50": measured.latency.quantile_us(0.5), "p99": measured.latency.quantile_us(0.99)},
        "cpu": cpu,
    })
}

fn to_text(load: &Load, m: &Measured) -> String {
    let mut text = format!(
        "{}: {} answers in {:.2} s, {:.0}/s; {} errors, {} lost, {} late, {} wrong; p50 {:.0} µs, p99 {:.0} µs\n",
        workload(load),
        m.answers,
        m.time.as_secs_f64(),
        per_second(m.answers, m.time),
        m.errors,
        m.lost,
        m.late,
        m.wrong,
        m.latency.quantile_us(0.5),
        m.latency.quantile_us(0.99),
    );
    for cpu in &m.cpu {
        text += &format!(
            "CPU of {} ({}): {:.3} s, {:.2} µs an answer\n",
            cpu.pid,
            cpu.name,
            cpu.time.as_secs_f64(),
            us_per_answer(cpu.time, m.answers)
        );
    }
    text
}
