//! `udp`: all cases, part by part, each part in a process of its own; then the report.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::{Args, ValueEnum};

use crate::machine::Machine;
use crate::report::{self, Conditions, Row};
use crate::rounds::Rounds;
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
}

impl Part {
    const ALL: [Self; 5] = [Self::Kernel, Self::Flood, Self::Writer, Self::Memory, Self::Huge];

    /// Names of its cases, floors aside.
    fn cases(self) -> Vec<String> {
        let ids = |cases: Vec<cases::Case>| cases.into_iter().map(|case| case.id).collect();
        match self {
            Self::Kernel => ids(cases::all()),
            Self::Flood => flood::cases(),
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
            Self::Kernel | Self::Flood | Self::Huge => in_child(flags, self, &flags.only),
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
        title: "What an answer costs",
        machine: &machine,
        command,
        rounds: flags.rounds,
        seconds: flags.seconds,
        versions: report::versions(),
        remarks: REMARKS,
    };
    report::publish(&conditions, &rows, flags.output.as_deref(), "udp")
}

fn in_child(flags: &Flags, part: Part, only: &[String]) -> Result<Vec<Row>> {
    let program = std::env::current_exe().context("the path of this program")?;
    let name = part.to_possible_value().context("every part has a name")?.get_name().to_owned();
    let mut command = Command::new(program);
    command.args(["udp", "--part", &name, "--rounds", &flags.rounds.to_string()]);
    command.args(["--seconds", &flags.seconds.to_string()]).arg("--lab").arg(&flags.lab);
    if !only.is_empty() {
        command.args(["--only", &only.join(",")]);
    }
    let output = command.stderr(Stdio::inherit()).output().context("cannot start this program again")?;
    ensure!(output.status.success(), "part {name}: {}", output.status);
    serde_json::from_slice(&output.stdout).with_context(|| format!("rows of part {name}"))
}

/// What the figures are and what they don't show.
const REMARKS: &str = "\
## How it is measured

- A generator program turns recycled frames into requests (BPF_PROG_TEST_RUN with live frames, batches of 64) and sends them over a veth \
pair between two namespaces; the program under test answers with XDP_TX; a program at the far end counts the answers and drops them. All of that \
runs on CPU 0. The cost of a packet is the CPU time of the generator's thread and of CPU 0's softirq thread over the packets.
- **Floor**: the same generator, and a program that drops at once. What is \"above the floor\" is a difference within a round; it contains the \
way back over the veth and the counting of the answer, which the row `reflect` shows alone.
- Requests over IPv4 have no UDP checksum (0), as the reference was measured with; those of `checksum-10000x50` have one. Over IPv6 there always is \
one, and it is checked.
- **The reference** is the plainest program that answers an announce from a table: no checks of lengths and checksums, no access list, no versions, no \
expiry; the announcer isn't kept out, a swarm's lines are contiguous and hold leechers and seeders alike. It runs in the same rounds.
- `announce-TxN`: T torrents with N + 1 peers each, half of them leechers; a leecher announces that the table knows, and is answered with the N others. The \
peers came torrent by torrent in an order that was another one for each peer, so a swarm's lines lie apart. Events go through the ring to a thread on \
CPU 1, which applies them to the table: its CPU time an event is noted.
- **Flood**: the tracker's end of the cable receives in a kernel thread of its own on CPU 1, which does all of the tracker's kernel work and nothing \
else; the generator, the far end and the writer are on CPU 0. It offers more than can be answered; what the queue of 256 frames doesn't take is lost.
- The **writer**'s figures are CPU time of its thread on segments that are shared with the kernel, in batches of 256: 2,000,000 peers that are new, then \
the same once more in another order; each round a new table in a new process.
- **Memory** is what the process holds (smaps: its own memory and the maps in it, with a page of the kernel's for each map) after filling, less what it \
held before it had a table. The largest table's is the whole process.

## What it doesn't show

- A network card, its driver and its DMA; a NUMA machine; more than one queue; traffic of which most is in no cache because other programs run.
- Latency. How long a packet waits in a queue of a busy machine isn't measured here.
- A virtual machine with mitigations: helper calls cost some 10 ns here, 3 to 5 ns on bare metal without them.
";
