//! Rows of figures, as Markdown and as JSON.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::machine::Machine;
use crate::rounds::Rounds;

/// One line of the table.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    /// What `--only` picks it by.
    pub(crate) case: String,
    /// What was measured, in words.
    pub(crate) what: String,
    pub(crate) unit: String,
    pub(crate) digits: usize,
    /// One figure a round.
    pub(crate) figures: Rounds,
    pub(crate) target: Option<Target>,
    /// More about it, as `name value`.
    pub(crate) notes: Vec<String>,
}

/// A figure to reach.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Target {
    AtMost(f64),
    AtLeast(f64),
}

impl Target {
    fn reached(self, figure: f64) -> bool {
        match self {
            Self::AtMost(limit) => figure <= limit,
            Self::AtLeast(limit) => figure >= limit,
        }
    }

    fn show(self, digits: usize) -> String {
        match self {
            Self::AtMost(limit) => format!("≤ {limit:.digits$}"),
            Self::AtLeast(limit) => format!("≥ {limit:.digits$}"),
        }
    }
}

impl Row {
    pub(crate) fn new(
        case: &str,
        what: impl Into<String>,
        unit: &str,
        digits: usize,
        figures: Rounds,
    ) -> Self {
        Self {
            case: case.to_owned(),
            what: what.into(),
            unit: unit.to_owned(),
            digits,
            figures,
            target: None,
            notes: Vec::new(),
        }
    }

    pub(crate) fn target(mut self, target: Target) -> Self {
        self.target = Some(target);
        self
    }

    pub(crate) fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    fn reached(&self) -> Option<bool> {
        self.target.map(|target| target.reached(self.figures.median()))
    }
}

/// How it was measured.
pub(crate) struct Conditions<'a> {
    pub(crate) title: &'static str,
    pub(crate) machine: &'a Machine,
    pub(crate) command: String,
    pub(crate) rounds: u32,
    pub(crate) seconds: f64,
    /// Versions of what took part.
    pub(crate) versions: Vec<String>,
    /// What the figures are and what they don't show.
    pub(crate) remarks: &'static str,
}

fn markdown(conditions: &Conditions<'_>, rows: &[Row]) -> String {
    let mut text = format!(
        "# {}\n\n\
         `{}`: {} interleaved rounds of {} s; median [least–most].\n\n{}\n\n{}\n\n",
        conditions.title,
        conditions.command,
        conditions.rounds,
        conditions.seconds,
        conditions.machine.line(),
        conditions.versions.join(" · "),
    );
    text += "| case | what | figure | unit | to reach | reached | |\n|---|---|---|---|---|---|---|\n";
    for row in rows {
        let reached = match row.reached() {
            Some(true) => "yes",
            Some(false) => "**no**",
            None => "",
        };
        let target = row.target.map_or_else(String::new, |target| target.show(row.digits));
        let figure = row.figures.show(row.digits);
        let _infallible = writeln!(
            text,
            "| {} | {} | {figure} | {} | {target} | {reached} | {} |",
            row.case,
            row.what,
            row.unit,
            row.notes.join("; ")
        );
    }
    text + "\n" + conditions.remarks
}

/// Prints the report, and writes it as NAME.md and NAME.json when there is a directory for it.
pub(crate) fn publish(
    conditions: &Conditions<'_>,
    rows: &[Row],
    directory: Option<&Path>,
    name: &str,
) -> Result<()> {
    let text = markdown(conditions, rows);
    println!("{text}");
    if let Some(directory) = directory {
        fs::create_dir_all(directory).with_context(|| format!("cannot create {}", directory.display()))?;
        let json = serde_json::to_string_pretty(&to_json(conditions, rows))?;
        write(&directory.join(format!("{name}.md")), &text)?;
        write(&directory.join(format!("{name}.json")), &json)?;
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, format!("{}\n", text.trim_end()))
        .with_context(|| format!("cannot write {}", path.display()))?;
    eprintln!("written: {}", path.display());
    Ok(())
}

/// Of ours, with the commit that the working directory stands at.
pub(crate) fn versions() -> Vec<String> {
    let commit = said("git", &["rev-parse", "--short", "HEAD"], "");
    // Not the reports, of which each that is written changes them.
    let changed = said("git", &["status", "--porcelain", "--untracked-files=no", "--", ":/", ":!/docs"], "");
    let tracker = format!("tracker {}", env!("CARGO_PKG_VERSION"));
    vec![match (commit.as_str(), changed.as_str()) {
        ("", _) => tracker,
        (commit, "") => format!("{tracker} ({commit})"),
        (commit, _) => format!("{tracker} ({commit}, changed)"),
    }]
}

/// What a program says about its version, or else its name.
pub(crate) fn said(program: &str, arguments: &[&str], otherwise: &str) -> String {
    let output = Command::new(program).args(arguments).output().ok().filter(|output| output.status.success());
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    text.filter(|text| !text.is_empty()).unwrap_or_else(|| otherwise.to_owned())
}

fn to_json(conditions: &Conditions<'_>, rows: &[Row]) -> Value {
    let rows: Vec<Value> = rows
        .iter()
        .map(|row| {
            json!({
                "case": row.case,
                "what": row.what,
                "unit": row.unit,
                "median": row.figures.median(),
                "figures": row.figures.all(),
                "target": row.target.map(|target| target.show(row.digits)),
                "reached": row.reached(),
                "notes": row.notes,
            })
        })
        .collect();
    json!({
        "machine": conditions.machine.to_json(),
        "command": conditions.command,
        "rounds": conditions.rounds,
        "seconds": conditions.seconds,
        "versions": conditions.versions,
        "rows": rows,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_says_whether_its_target_is_reached() {
        let row = |target| Row::new("case", "what", "ns", 0, Rounds::new([80.0, 90.0, 100.0])).target(target);
        assert_eq!(row(Target::AtMost(90.0)).reached(), Some(true));
        assert_eq!(row(Target::AtMost(89.0)).reached(), Some(false));
        assert_eq!(row(Target::AtLeast(90.0)).reached(), Some(true));
        assert_eq!(row(Target::AtLeast(91.0)).reached(), Some(false));
    }
}
