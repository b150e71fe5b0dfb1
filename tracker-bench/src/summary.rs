//! All reports on one page, with drawings.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Args;
use serde::Deserialize;

/// Flags of `summary`.
#[derive(Args, Clone)]
pub(crate) struct Flags {
    /// Where the reports are; the page is written beside this directory
    #[arg(long, value_name = "DIR")]
    reports: PathBuf,
}

/// A report, as [`crate::report`] writes it.
#[derive(Deserialize)]
struct Report {
    machine: Machine,
    command: String,
    versions: Vec<String>,
    rows: Vec<Row>,
}

#[derive(Deserialize)]
struct Machine {
    cpu: String,
    cpus: usize,
    kernel: String,
}

#[derive(Deserialize)]
struct Row {
    case: String,
    what: String,
    unit: String,
    median: f64,
    figures: Vec<f64>,
    target: Option<String>,
    reached: Option<bool>,
}

/// Reports in their order, and what they are about.
const REPORTS: [(&str, &str); 6] = [
    ("sockets", "Trackers under ordinary clients, over UDP"),
    ("udp", "What an answer costs in the kernel"),
    ("footprint", "What a peer takes in memory"),
    ("expiry", "Latency while ten million peers expire"),
    ("http", "HTTP and HTTPS"),
    ("ws", "WebTorrent"),
];

/// Drawings: a file's name, of which report, of which cases, and their title.
const DRAWINGS: [(&str, &str, &str, &str); 8] = [
    (
        "veth-announce",
        "sockets",
        "clients-announce-",
        "Announces of 30 peers across a veth, thousand answers a CPU second",
    ),
    ("veth-connect", "sockets", "clients-connect-", "Connects across a veth, thousand answers a CPU second"),
    ("veth-mix", "sockets", "clients-mix-", "The mix across a veth, thousand answers a CPU second"),
    (
        "loopback-announce",
        "sockets",
        "loopback-announce-",
        "Announces of 30 peers on loopback, thousand answers a CPU second",
    ),
    ("loopback-mix", "sockets", "loopback-mix-", "The mix on loopback, thousand answers a CPU second"),
    ("footprint-small", "footprint", "footprint-1000000x2-", "A million torrents of two peers, bytes a peer"),
    (
        "footprint-large",
        "footprint",
        "footprint-10000x200-",
        "Ten thousand torrents of two hundred peers, bytes a peer",
    ),
    ("expiry", "expiry", "expiry-", "99.9 % of announces are answered within, µs"),
];

pub(crate) fn run(flags: &Flags) -> Result<()> {
    let mut reports = BTreeMap::new();
    for (name, _) in REPORTS {
        let file = flags.reports.join(format!("{name}.json"));
        // What wasn't measured is left out.
        let Ok(text) = fs::read_to_string(&file) else { continue };
        let report: Report = serde_json::from_str(&text).with_context(|| file.display().to_string())?;
        reports.insert(name, report);
    }
    let instructions = fs::read_to_string(flags.reports.join("instructions.md")).unwrap_or_default();
    for (name, report, cases, title) in DRAWINGS {
        if let Some(report) = reports.get(report) {
            let file = flags.reports.join(format!("{name}.svg"));
            fs::write(&file, bars(title, &report.bars(cases))).with_context(|| file.display().to_string())?;
        }
    }
    let page = flags.reports.with_extension("md");
    fs::write(&page, text(&reports, &instructions, &directory_name(&flags.reports)))
        .with_context(|| page.display().to_string())?;
    println!("written: {}", page.display());
    Ok(())
}

fn directory_name(directory: &Path) -> String {
    directory.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

impl Row {
    fn digits(&self) -> usize {
        match self.median {
            small if small.abs() < 10.0 => 2,
            middle if middle.abs() < 100.0 => 1,
            _ => 0,
        }
    }

    fn figure(&self) -> String {
        let digits = self.digits();
        match (self.figures.first(), self.figures.last()) {
            (Some(first), Some(last)) if self.figures.len() > 1 => {
                format!("{:.digits$} [{first:.digits$}–{last:.digits$}]", self.median)
            }
            _ => format!("{:.digits$}", self.median),
        }
    }
}

impl Report {
    /// Names and figures of the cases that begin so, but ratios.
    fn bars(&self, cases: &str) -> Vec<(String, f64)> {
        let rows = self.rows.iter().filter(|row| row.case.starts_with(cases) && row.unit != "times");
        rows.map(|row| (row.case[cases.len()..].to_owned(), row.median)).collect()
    }
}

fn text(reports: &BTreeMap<&str, Report>, instructions: &str, directory: &str) -> String {
    let mut text = "# Benchmarks\n\nAll of it is measured by one command, `cargo xtask bench`, \
        after `cargo xtask bench setup` has installed the other trackers. Medians [least–most] of interleaved rounds; each report says how it \
        was measured, and what it doesn't show.\n\n"
        .to_owned();
    let mut put = |line: String| text += &line;
    if let Some(report) = reports.values().next() {
        let Machine { cpu, cpus, kernel } = &report.machine;
        put(format!("{cpus} × {cpu}, Linux {kernel}.\n\n"));
    }
    put("| report | by | version |\n|---|---|---|\n".to_owned());
    for (name, _) in REPORTS {
        if let Some(report) = reports.get(name) {
            let versions = report.versions.join(" · ");
            put(format!("| [{name}]({directory}/{name}.md) | `{}` | {versions} |\n", report.command));
        }
    }
    put("\n## Not reached\n\nWhat these figures should have been, and are not.\n\n| case | what | figure | to reach |\n|---|---|---|---|\n".to_owned());
    for (name, _) in REPORTS {
        let rows = reports.get(name).map_or(&[][..], |report| &report.rows);
        for row in rows.iter().filter(|row| row.reached == Some(false)) {
            let target = row.target.as_deref().unwrap_or_default();
            put(format!("| {} | {} | {} {} | {target} |\n", row.case, row.what, row.figure(), row.unit));
        }
    }
    for (name, about) in REPORTS {
        let Some(report) = reports.get(name) else { continue };
        put(format!("\n## {about}\n\n"));
        for (drawing, _, _, title) in DRAWINGS.iter().filter(|(_, of, ..)| *of == name) {
            put(format!("![{title}]({directory}/{drawing}.svg)\n"));
        }
        put("\n| case | what | figure | unit | to reach | |\n|---|---|---|---|---|---|\n".to_owned());
        for row in &report.rows {
            let reached = match row.reached {
                Some(true) => "reached",
                Some(false) => "**missed**",
                None => "",
            };
            let target = row.target.as_deref().unwrap_or_default();
            put(format!(
                "| {} | {} | {} | {} | {target} | {reached} |\n",
                row.case,
                row.what,
                row.figure(),
                row.unit
            ));
        }
    }
    if !instructions.is_empty() {
        put(format!(
            "\n## Profiles of the hot paths\n\nInstructions a request in user space, and the functions that take most of them, themselves alone \
             (`cargo xtask bench instructions --functions`, by callgrind). A test compares the counts with those that were written down, within 5 %. The XDP \
             program's paths are its code compiled for this machine: the kernel's has other instructions, but does the same work.\n\n{instructions}"
        ));
    }
    put("\n## What none of it shows\n\n\
        - A network card, its driver and its interrupts; more than one queue; a NUMA machine; processors without a hypervisor below.\n\
        - Days of running, with clients that come and go.\n\
        - The same on your machine: run it there.\n"
        .to_owned());
    text
}

/// Horizontal bars.
fn bars(title: &str, bars: &[(String, f64)]) -> String {
    const WIDTH: f64 = 720.0;
    const LEFT: f64 = 190.0;
    const ROW: f64 = 26.0;
    const TOP: f64 = 40.0;
    let most = bars.iter().map(|(_, figure)| *figure).fold(f64::MIN_POSITIVE, f64::max);
    let height = TOP + ROW * bars.len() as f64 + 10.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n<text x=\"10\" y=\"24\" font-size=\"15\">{title}</text>\n"
    );
    for (number, (name, figure)) in bars.iter().enumerate() {
        let y = TOP + ROW * number as f64;
        let width = (WIDTH - LEFT - 70.0) * figure / most;
        // Ours are told from the others.
        let ours = ["xdp", "generic", "sockets", "io_uring"].iter().any(|ours| name.starts_with(ours));
        let colour = if ours { "#4e79a7" } else { "#bbb" };
        let digits = if *figure < 100.0 { 1 } else { 0 };
        let _infallible = writeln!(
            svg,
            "<text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\">{name}</text>\
             <rect x=\"{LEFT}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{:.0}\" fill=\"{colour}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\">{figure:.digits$}</text>",
            LEFT - 8.0,
            y + 16.0,
            ROW - 6.0,
            LEFT + width + 6.0,
            y + 16.0
        );
    }
    svg + "</svg>\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn reports() -> BTreeMap<&'static str, Report> {
        let row = |case: &str, median: f64, reached: Option<bool>| {
            json!({"case": case, "what": "w", "unit": "ns", "median": median, "figures": [median, median + 1.0],
                "target": reached.map(|_| "≤ 5"), "reached": reached, "notes": []})
        };
        let report = json!({
            "machine": {"cpu": "C", "cpus": 2, "kernel": "6", "mitigations": []}, "command": "cargo xtask bench sockets", "rounds": 1,
            "seconds": 1.0, "versions": ["tracker 0"],
            "rows": [row("clients-mix-xdp", 20.0, None), row("clients-mix-aquatic", 5.0, Some(true)), row("other", 7.0, Some(false))],
        });
        BTreeMap::from([("sockets", serde_json::from_value(report).unwrap())])
    }

    #[test]
    fn what_was_missed_comes_first_and_nothing_is_left_out() {
        let text = text(&reports(), "", "benchmarks");
        let missed = text.split("## Not reached").nth(1).unwrap().split("\n## ").next().unwrap();
        assert!(missed.contains("| other |") && !missed.contains("aquatic"), "{missed}");
        for case in ["clients-mix-xdp", "clients-mix-aquatic", "other"] {
            assert!(text.contains(&format!("| {case} |")), "{case}");
        }
        assert!(!text.contains("## WebTorrent") && !text.contains("Profiles"));
    }

    #[test]
    fn bars_are_as_long_as_their_figures() {
        let bars = bars("t", &reports()["sockets"].bars("clients-mix-"));
        let widths: Vec<f64> = bars
            .split(" width=\"")
            .skip(2)
            .map(|rest| rest.split('"').next().unwrap().parse().unwrap())
            .collect();
        assert_eq!(widths.len(), 2);
        assert!((widths[0] / widths[1] - 4.0).abs() < 0.01, "{widths:?}");
    }
}
