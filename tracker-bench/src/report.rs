//! Rows of figures, as Markdown and as JSON.

use std::fmt::Write as _;

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
    pub(crate) machine: &'a Machine,
    pub(crate) command: String,
    pub(crate) rounds: u32,
    pub(crate) seconds: f64,
    /// Versions of what took part.
    pub(crate) versions: Vec<String>,
}

pub(crate) fn markdown(conditions: &Conditions<'_>, rows: &[Row]) -> String {
    let mut text = format!(
        "# What an answer costs\n\n\
         `{}`: {} interleaved rounds of {} s; median [least–most].\n\n{}\n\n{}\n\n",
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
    text + "\n" + REMARKS
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
- **Clients**: a closed loop of ordinary sockets (tracker-load: 8 sockets, 256 requests in flight) on CPU 0 across a veth pair; the daemon, the \
kernel thread that receives for it and the softirq thread on CPU 1, and what they ran over the answers is the cost. A fresh daemon each round; \
announces: 10,000 torrents with 50 leechers each, all announced before, 30 peers wanted. aquatic_udp 0.9.0 with one socket worker and its defaults.
- The **writer**'s figures are CPU time of its thread on segments that are shared with the kernel, in batches of 256: 2,000,000 peers that are new, then \
the same once more in another order; each round a new table in a new process.
- **Memory** is what the process holds (smaps: its own memory and the maps in it, with a page of the kernel's for each map) after filling, less what it \
held before it had a table. The largest table's is the whole process.

## What it doesn't show

- A network card, its driver and its DMA; a NUMA machine; more than one queue; traffic of which most is in no cache because other programs run.
- Latency. How long a packet waits in a queue of a busy machine isn't measured here.
- A virtual machine with mitigations: helper calls cost some 10 ns here, 3 to 5 ns on bare metal without them.
";

pub(crate) fn to_json(conditions: &Conditions<'_>, rows: &[Row]) -> Value {
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
