//! How many instructions a request takes, which is the same every time: what CI can guard where times can't be compared.
//!
//! - [`paths`]: what is counted, request by request. [`flat`]: the table as the XDP program sees it, in memory of this process. [`web`]: over HTTP.
//!
//! A path is run twice by valgrind's callgrind, with more requests the second time; the difference over the requests more is the figure, and
//! everything that happens once is out of it. `--check` compares with figures that were written down.

mod flat;
mod paths;
mod web;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;

use paths::{ALL, Named};

/// Flags of `instructions`.
#[derive(Args, Clone)]
pub(crate) struct Flags {
    /// Compare with the figures in this file; an error when one is further off than the tolerance
    #[arg(long, value_name = "FILE")]
    check: Option<PathBuf>,
    /// Write the figures down
    #[arg(long, value_name = "FILE", conflicts_with = "check")]
    write: Option<PathBuf>,
    /// Paths, by name or its beginning, comma separated; all without
    #[arg(long, value_delimiter = ',', value_name = "PATH,…")]
    only: Vec<String>,
    /// The functions that take most, too
    #[arg(long)]
    functions: bool,
    /// Where instructions.md is written
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Run this path, and nothing else
    #[arg(long, hide = true, value_name = "PATH", requires = "requests")]
    run: Option<String>,
    #[arg(long, hide = true, value_name = "N")]
    requests: Option<u32>,
}

/// By how much a figure may be off: other compilers of the same version, other C libraries.
const TOLERANCE: f64 = 0.05;

/// Requests of the shorter run, and of the longer one.
const REQUESTS: [u32; 2] = [1000, 5000];

/// Functions that are told of each path.
const FUNCTIONS: usize = 6;

/// What was counted on a path.
struct Counted {
    path: &'static Named,
    /// A request.
    instructions: f64,
    /// Shares of functions, themselves alone.
    functions: Vec<(f64, String)>,
}

pub(crate) fn run(flags: &Flags) -> Result<()> {
    if let (Some(name), Some(requests)) = (&flags.run, flags.requests) {
        return paths::named(name)?.run(requests);
    }
    let counted = count(&flags.only, flags.functions)?;
    let table = table(&counted);
    print!("{table}");
    if let Some(directory) = &flags.output {
        let file = directory.join("instructions.md");
        fs::write(&file, &table).with_context(|| format!("cannot write {}", file.display()))?;
    }
    if let Some(file) = &flags.write {
        let figures: BTreeMap<&str, u64> =
            counted.iter().map(|counted| (counted.path.name, counted.instructions.round() as u64)).collect();
        fs::write(file, serde_json::to_string_pretty(&figures)? + "\n")
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    match &flags.check {
        Some(file) => check(&counted, &written_down(file)?, flags.only.is_empty()),
        None => Ok(()),
    }
}

fn count(only: &[String], functions: bool) -> Result<Vec<Counted>> {
    let wanted =
        |path: &&Named| only.is_empty() || only.iter().any(|name| path.name.starts_with(name.as_str()));
    let counted = ALL.iter().filter(wanted).map(|path| {
        let [short, long] = REQUESTS.map(|requests| callgrind(path, requests, functions));
        let ((before, few), (after, many)) = (short?, long?);
        let instructions = (after as f64 - before as f64) / f64::from(REQUESTS[1] - REQUESTS[0]);
        Ok(Counted { path, instructions, functions: shares(&few, &many) })
    });
    let counted = counted.collect::<Result<Vec<_>>>()?;
    ensure!(!counted.is_empty(), "no path is called {}", only.join(", "));
    Ok(counted)
}

/// Instructions by function.
type ByFunction = BTreeMap<String, u64>;

/// Runs a path; all instructions, and those of each function if wanted.
fn callgrind(path: &Named, requests: u32, functions: bool) -> Result<(u64, ByFunction)> {
    let scratch = tempfile::tempdir().context("a temporary directory")?;
    let out = scratch.path().join("callgrind");
    let itself = std::env::current_exe().context("the path of this program")?;
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--quiet"]).arg(format!("--callgrind-out-file={}", out.display()));
    command.arg(itself).args(["instructions", "--run", path.name, "--requests", &requests.to_string()]);
    // What depends on how far apart mappings happen to be would differ from run to run.
    let output =
        command.output().context("cannot start valgrind: install it (Debian: apt-get install valgrind)")?;
    ensure!(output.status.success(), "{}: {}", path.name, String::from_utf8_lossy(&output.stderr).trim_end());
    let text = fs::read_to_string(&out).context("callgrind has written nothing")?;
    let sum =
        text.lines().rev().find_map(|line| line.strip_prefix("totals:").or(line.strip_prefix("summary:")));
    let sum = sum.and_then(|sum| sum.trim().parse().ok()).context("callgrind's sum")?;
    let by_function = if functions { annotated(&out)? } else { ByFunction::new() };
    Ok((sum, by_function))
}

/// callgrind_annotate's list: `1,234 ( 5.67%)  file:function [object]`.
fn annotated(out: &Path) -> Result<ByFunction> {
    let output = Command::new("callgrind_annotate")
        .args(["--threshold=100", "--show-percs=no", "--auto=no"])
        .arg(out)
        .output();
    let output = output.context("cannot start callgrind_annotate")?;
    ensure!(output.status.success(), "callgrind_annotate: {}", output.status);
    let mut by_function = ByFunction::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let Some((number, rest)) = line.trim_start().split_once(' ') else { continue };
        let Ok(number) = number.replace(',', "").parse::<u64>() else { continue };
        let name = rest.trim().split(" [").next().unwrap_or_default();
        let Some((_, name)) = name.split_once(':') else { continue };
        *by_function.entry(shortened(name)).or_default() += number;
    }
    Ok(by_function)
}

/// Without the hash that rustc appends, and without types in brackets, which are long.
fn shortened(name: &str) -> String {
    let name = name.rsplit_once("::h").filter(|(_, hash)| hash.len() == 16).map_or(name, |(name, _)| name);
    let (mut short, mut depth) = (String::new(), 0_u32);
    for letter in name.chars() {
        match letter {
            '<' => depth += 1,
            '>' => depth = depth.saturating_sub(1),
            letter if depth == 0 => short.push(letter),
            _ => {}
        }
    }
    let short = short.replace("::::", "::");
    if short.trim_matches(':').is_empty() { name.to_owned() } else { short.trim_matches(':').to_owned() }
}

/// What each function takes of the requests that one run had more.
fn shares(few: &ByFunction, many: &ByFunction) -> Vec<(f64, String)> {
    let more = |name: &String, many: &u64| many.saturating_sub(few.get(name).copied().unwrap_or(0));
    let sum: u64 = many.iter().map(|(name, number)| more(name, number)).sum();
    let mut shares: Vec<(f64, String)> = many
        .iter()
        .map(|(name, number)| (more(name, number) as f64 / sum.max(1) as f64, name.clone()))
        .collect();
    shares.sort_by(|one, other| other.0.total_cmp(&one.0));
    shares.retain(|(share, _)| *share >= 0.01);
    shares.truncate(FUNCTIONS);
    shares
}

fn table(counted: &[Counted]) -> String {
    let mut text = "| path | what | instructions a request | |\n|---|---|---|---|\n".to_owned();
    for Counted { path, instructions, functions } in counted {
        let functions: Vec<String> =
            functions.iter().map(|(share, name)| format!("`{name}` {:.0} %", share * 100.0)).collect();
        text +=
            &format!("| {} | {} | {instructions:.0} | {} |\n", path.name, path.what, functions.join(", "));
    }
    text
}

fn written_down(file: &Path) -> Result<BTreeMap<String, u64>> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{}: figures by path", file.display()))
}

/// An error that names all figures that are too far off; fewer instructions are to be written down, too, or they could come back unseen.
fn check(counted: &[Counted], figures: &BTreeMap<String, u64>, whole: bool) -> Result<()> {
    let mut wrong = Vec::new();
    for Counted { path, instructions, .. } in counted {
        match figures.get(path.name) {
            None => wrong.push(format!("{}: not written down", path.name)),
            Some(figure) if (instructions / *figure as f64 - 1.0).abs() > TOLERANCE => wrong.push(format!(
                "{}: {instructions:.0} instructions a request, {:+.1} % of {figure}",
                path.name,
                (instructions / *figure as f64 - 1.0) * 100.0
            )),
            Some(_) => {}
        }
    }
    let known = |name: &&String| !counted.iter().any(|counted| counted.path.name == name.as_str());
    wrong.extend(
        figures.keys().filter(|name| whole && known(name)).map(|name| format!("{name}: no such path")),
    );
    if wrong.is_empty() {
        return Ok(());
    }
    bail!(
        "{}; if that is as it should be: cargo xtask bench instructions --write tracker-bench/instructions.json",
        wrong.join("; ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(instructions: f64) -> Vec<Counted> {
        vec![Counted { path: &ALL[0], instructions, functions: Vec::new() }]
    }

    #[test]
    fn figures_may_be_off_by_the_tolerance_and_no_further() {
        let figures = BTreeMap::from([(ALL[0].name.to_owned(), 1000)]);
        for (instructions, is_right) in
            [(1000.0, true), (1049.0, true), (951.0, true), (1051.0, false), (940.0, false)]
        {
            assert_eq!(check(&counted(instructions), &figures, true).is_ok(), is_right, "{instructions}");
        }
    }

    #[test]
    fn every_path_is_written_down_and_nothing_else() {
        assert!(check(&counted(1.0), &BTreeMap::new(), true).is_err());
        let figures = BTreeMap::from([(ALL[0].name.to_owned(), 1), ("gone".to_owned(), 1)]);
        assert!(check(&counted(1.0), &figures, true).is_err());
        assert!(check(&counted(1.0), &figures, false).is_ok());
    }

    #[test]
    fn functions_have_short_names_and_shares_of_what_came_more() {
        assert_eq!(shortened("core::iter::fold<A<B>, C>::h0123456789abcdef"), "core::iter::fold");
        assert_eq!(shortened("<T as U>::run"), "run");
        let few = ByFunction::from([("once".to_owned(), 50), ("each".to_owned(), 10)]);
        let many =
            ByFunction::from([("once".to_owned(), 50), ("each".to_owned(), 40), ("late".to_owned(), 10)]);
        assert_eq!(shares(&few, &many)[..2], [(0.75, "each".to_owned()), (0.25, "late".to_owned())]);
    }

    #[test]
    fn every_path_runs() {
        for path in ALL {
            path.run(20).unwrap_or_else(|error| panic!("{}: {error:#}", path.name));
        }
    }
}
