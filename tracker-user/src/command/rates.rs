//! `map stats --watch`: what changes, and how fast.
//!
//! Called by `map`. Tests are below.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _};
use std::thread;
use std::time::{Duration, Instant};

use super::print;
use crate::stats::Stats;

/// Asks and prints again and again, until the process ends or the tracker doesn't answer.
pub(super) fn watch(
    ask: impl Fn() -> anyhow::Result<Box<Stats>>,
    seconds: u32,
    json: bool,
) -> anyhow::Result<()> {
    let mut before: Option<(Instant, Numbers)> = None;
    loop {
        let stats = ask()?;
        let now = Instant::now();
        if json {
            print(&serde_json::to_string(&stats)?)?;
        } else {
            let numbers = numbers(&stats)?;
            // Home and clear: what is longer than the screen scrolls.
            let clear = if io::stdout().is_terminal() { "\x1b[H\x1b[2J" } else { "" };
            let since = before.as_ref().map(|(then, numbers)| (now.duration_since(*then), numbers));
            print(&format!("{clear}{}", table(&numbers, since)))?;
            before = Some((now, numbers));
        }
        thread::sleep(Duration::from_secs(seconds.into()));
    }
}

/// Numbers of the statistics by `section name`.
type Numbers = BTreeMap<String, u64>;

/// The counters and gauges, without their names in the code: whatever there will be.
fn numbers(stats: &Stats) -> anyhow::Result<Numbers> {
    let mut numbers = Numbers::new();
    if let serde_json::Value::Object(sections) = serde_json::to_value(stats)? {
        for (section, value) in sections {
            for (name, value) in value.as_object().into_iter().flatten() {
                if let Some(number) = value.as_u64() {
                    numbers.insert(format!("{section} {name}"), number);
                }
            }
            if let Some(number) = value.as_u64() {
                numbers.insert(section, number);
            }
        }
    }
    Ok(numbers)
}

/// What isn't zero, with its change a second since the last time.
fn table(numbers: &Numbers, since: Option<(Duration, &Numbers)>) -> String {
    let mut text = format!("{:<52}{:>20}{:>16}", "", "now", "per second");
    for (name, &number) in numbers.iter().filter(|(_, number)| **number != 0) {
        let rate = since.map(|(time, before)| {
            let change = number as f64 - before.get(name).copied().unwrap_or(0) as f64;
            change / time.as_secs_f64().max(0.001)
        });
        let rate = rate.filter(|rate| *rate != 0.0).map(|rate| format!("{rate:.1}")).unwrap_or_default();
        text.push_str(format!("\n{name:<52}{number:>20}{rate:>16}").trim_end());
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_changes_over_time_of_what_is_not_zero() {
        let stats = |connects: u64| {
            let sockets = [("connect".to_owned(), connects), ("scrape".to_owned(), 0)].into();
            numbers(&Stats { sockets, uptime_s: 7, ..Stats::default() }).expect("it is data")
        };
        let text = table(&stats(50), Some((Duration::from_secs(2), &stats(20))));
        let lines: Vec<Vec<&str>> =
            text.lines().skip(1).map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines, [vec!["sockets", "connect", "50", "15.0"], vec!["uptime_s", "7"]]);
    }
}
