//! `udp`: all cases, part by part, each part in a process of its own; then the report.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::{Args, ValueEnum};

use crate::machine::Machine;
use crate::report::{self, Conditions, Row};
use crate::rounds::Rounds;
use crate::sockets::{self, Programs};
use crate::{cases, flood, kernel, writer};

/// Flags of `udp`.
#[derive(Args, Clone)]
pub(crate) struct Flags {
    /// Rounds of each case
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Measured seconds of a round, roughly
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Cases, by name or its beginning, comma separated; all without
    #[arg(long, value_delimiter = ',', value_name = "CASE,…")]
    only: Vec<String>,
    /// Where udp.md and udp.json are written
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// The laboratory's BPF object
    #[arg(long, value_name = "FILE", default_value = "target/bpf/lab")]
    lab: PathBuf,
    #[command(flatten)]
    programs: Programs,
    /// Only this part, and its rows as JSON to stdout
    #[arg(long, hide = true)]
    part: Option<Part>,
}

/// What runs in one process: tables that are shared with the kernel stay until it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Costs above the floor.
    Kernel,
    /// More offered than can be answered.
    Flood,
    /// The writer's time an event.
    Writer,
    /// Memory of full tables.
    Memory,
    /// Costs with the largest table.
    Huge,
    /// Ordinary clients.
    Clients,
}

impl Part {
    const ALL: [Self; 6] = [Self::Kernel, Self::Flood, Self::Clients, Self::Writer, Self::Memory, Self::Huge];

    /// Names of its cases, floors aside.
    fn cases(self) -> Vec<String> {
        let ids = |cases: Vec<cases::Case>| cases.into_iter().map(|case| case.id).collect();
        match self {
            Self::Kernel => ids(cases::all()),
            Self::Flood => flood::cases(),
            Self::Clients => sockets::cases(),
            Self::Writer => writer::WRITER.map(str::to_owned).to_vec(),
            Self::Memory => writer::memory_cases(),
            Self::Huge => ids(cases::huge().split_off(2)),
        }
    }

    fn is_wanted(self, only: &[String]) -> bool {
        only.is_empty()
            || self.cases().iter().any(|case| only.iter().any(|name| case.starts_with(name.as_str())))
    }

    /// Its rows, from one child or several.
    fn rows(self, flags: &Flags) -> Result<Vec<Row>> {
        match self {
            Self::Kernel | Self::Flood | Self::Clients | Self::Huge => in_child(flags, self, &flags.only),
            Self::Writer => {
                let rounds: Vec<_> =
                    (0..flags.rounds).map(|_| in_child(flags, self, &[])).collect::<Result<_>>()?;
                let mut rows = rounds.first().cloned().unwrap_or_default();
                for (at, row) in rows.iter_mut().enumerate() {
                    row.figures =
                        Rounds::new(rounds.iter().flat_map(|round| round[at].figures.all()).copied());
                }
                Ok(rows)
            }
            Self::Memory => {
                let wanted = |case: &String| {
                    flags.only.is_empty() || flags.only.iter().any(|name| case.starts_with(name.as_str()))
                };
                let cases = self.cases().into_iter().filter(wanted);
                let rows = cases.map(|case| in_child(flags, self, &[case])).collect::<Result<Vec<_>>>()?;
                Ok(rows.into_iter().flatten().collect())
            }
        }
    }

    fn run(self, flags: &Flags) -> Result<Vec<Row>> {
        let time = Duration::from_secs_f64(flags.seconds);
        match self {
            Self::Kernel => {
                let cases = cases::choose(cases::all(), &flags.only);
                kernel::measure(&flags.lab, &cases, flags.rounds, time)
            }
            Self::Flood => flood::measure(&flags.lab, &flags.only, flags.rounds, time),
            Self::Clients => sockets::measure(&flags.programs, &flags.only, flags.rounds, flags.seconds),
            Self::Writer => writer::events(),
            Self::Memory => writer::memory(flags.only.first().context("a memory case is named")?),
            Self::Huge => kernel::measure(&flags.lab, &cases::huge(), flags.rounds, time),
        }
    }
}

pub(crate) fn run(flags: &Flags) -> Result<()> {
    if let Some(part) = flags.part {
        let rows = part.run(flags)?;
        println!("{}", serde_json::to_string(&rows)?);
        return Ok(());
    }
    let machine = Machine::this();
    ensure!(machine.cpus() >= 2, "generator and writer need a CPU each, and this machine has one");
    let mut rows: Vec<Row> = Vec::new();
    for part in Part::ALL.into_iter().filter(|part| part.is_wanted(&flags.only)) {
        for row in part.rows(flags)? {
            // What the largest table is compared with is measured once more beside it; the first figure stands in the report.
            if !rows.iter().any(|other| other.case == row.case) {
                rows.push(row);
            }
        }
    }
    ensure!(!rows.is_empty(), "no case is called {}", flags.only.join(", "));
    let mut command = format!("cargo xtask bench udp --rounds {} --seconds {}", flags.rounds, flags.seconds);
    if !flags.only.is_empty() {
        command += &format!(" --only {}", flags.only.join(","));
    }
    let conditions = Conditions {
        machine: &machine,
        command,
        rounds: flags.rounds,
        seconds: flags.seconds,
        versions: versions(),
    };
    let text = report::markdown(&conditions, &rows);
    println!("{text}");
    if let Some(directory) = &flags.output {
        fs::create_dir_all(directory).with_context(|| format!("cannot create {}", directory.display()))?;
        let json = serde_json::to_string_pretty(&report::to_json(&conditions, &rows))?;
        write(&directory.join("udp.md"), &text)?;
        write(&directory.join("udp.json"), &json)?;
    }
    Ok(())
}

/// Of what takes part, and the commit that the working directory stands at.
fn versions() -> Vec<String> {
    let commit = Command::new("git").args(["describe", "--always", "--dirty"]).output().ok();
    let commit = commit.filter(|output| output.status.success());
    let commit = commit.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    let tracker = format!("tracker {}", env!("CARGO_PKG_VERSION"));
    vec![commit.map_or(tracker.clone(), |commit| format!("{tracker} ({commit})"))]
}

fn in_child(flags: &Flags, part: Part, only: &[String]) -> Result<Vec<Row>> {
    let program = std::env::current_exe().context("the path of this program")?;
    let name = part.to_possible_value().context("every part has a name")?.get_name().to_owned();
    let mut command = Command::new(program);
    command.args(["udp", "--part", &name, "--rounds", &flags.rounds.to_string()]);
    command.args(["--seconds", &flags.seconds.to_string()]).arg("--lab").arg(&flags.lab);
    command.args(flags.programs.flags());
    if !only.is_empty() {
        command.args(["--only", &only.join(",")]);
    }
    let output = command.stderr(Stdio::inherit()).output().context("cannot start this program again")?;
    ensure!(output.status.success(), "part {name}: {}", output.status);
    serde_json::from_slice(&output.stdout).with_context(|| format!("rows of part {name}"))
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, format!("{}\n", text.trim_end()))
        .with_context(|| format!("cannot write {}", path.display()))?;
    eprintln!("written: {}", path.display());
    Ok(())
}
