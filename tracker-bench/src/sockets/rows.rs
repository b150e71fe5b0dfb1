//! The rounds as rows, with what is to be reached.

use super::places::Place;
use super::round::Round;
use super::trackers::Who;
use super::workloads::Workload;
use crate::report::{Row, Target};
use crate::rounds::Rounds;

/// The rows of one workload, and those that compare.
pub(crate) fn of(place: Place, workload: Workload, measured: &[(Who, &[Round])]) -> Vec<Row> {
    let aquatic = best(measured, Who::is_aquatic);
    let mut rows: Vec<Row> = measured
        .iter()
        .map(|(who, rounds)| {
            let mut row = one(place, workload, *who, rounds);
            if let (Who::Xdp, Workload::Announce, Some(aquatic)) = (who, workload, aquatic) {
                row = row.target(Target::AtLeast(2.0 * per_cpu_second(aquatic).median()));
            }
            row
        })
        .collect();
    let ours = best(measured, Who::is_our_socket);
    let name = |with: &str| format!("{}-{}-over-{with}", place.id(), workload.name());
    if let (Some(ours), Some(aquatic)) = (ours, aquatic) {
        let what = format!(
            "{}, {}: the better of our socket back ends over the better of aquatic_udp's",
            place.name(),
            workload.what()
        );
        let row = Row::new(&name("aquatic"), what, "times", 2, ratio(ours, aquatic));
        rows.push(row.target(Target::AtLeast(1.15)));
    }
    let nothing = best(measured, |who| matches!(who, Who::Null | Who::NullIoUring));
    if let (Some(nothing), Some(aquatic)) = (nothing, aquatic) {
        let what = format!(
            "{}, {}: the better of the servers that do nothing over the better of aquatic_udp's",
            place.name(),
            workload.what()
        );
        let name = format!("{}-{}-null-over-aquatic", place.id(), workload.name());
        rows.push(Row::new(&name, what, "times", 2, ratio(nothing, aquatic)));
    }
    if let (Some(ours), Some(null)) = (ours, best(measured, |who| who == Who::Null)) {
        let what = format!(
            "{}, {}: the better of our socket back ends over the null server",
            place.name(),
            workload.what()
        );
        rows.push(Row::new(&name("null"), what, "times", 2, ratio(ours, null)).target(Target::AtLeast(0.9)));
    }
    rows
}

fn per_cpu_second(rounds: &[Round]) -> Rounds {
    Rounds::new(rounds.iter().map(Round::per_cpu_second))
}

/// The rounds of the best among some.
fn best<'a>(measured: &[(Who, &'a [Round])], among: impl Fn(Who) -> bool) -> Option<&'a [Round]> {
    let those = measured.iter().filter(|(who, _)| among(*who)).map(|(_, rounds)| *rounds);
    those.max_by(|one, other| per_cpu_second(one).median().total_cmp(&per_cpu_second(other).median()))
}

/// Round by round: what disturbs the machine disturbs both.
fn ratio(ours: &[Round], other: &[Round]) -> Rounds {
    Rounds::new(ours.iter().zip(other).map(|(ours, other)| ours.per_cpu_second() / other.per_cpu_second()))
}

fn one(place: Place, workload: Workload, who: Who, rounds: &[Round]) -> Row {
    let figure = |figure: fn(&Round) -> f64, digits| Rounds::new(rounds.iter().map(figure)).show(digits);
    let mut row = Row::new(
        &super::id(place, workload, who),
        format!("{}, {}, {}", place.name(), workload.what(), who.name()),
        "thousand answers a CPU second",
        0,
        per_cpu_second(rounds),
    );
    if workload != Workload::Connect {
        row = row.note(format!("{} peers an answer", figure(|round| round.peers, 1)));
    }
    row.note(format!(
        "{} µs an answer: kernel threads {}, daemon {}",
        figure(Round::total_us, 2),
        figure(|round| round.kernel_us, 2),
        figure(|round| round.daemon_us, 2)
    ))
    .note(format!(
        "{} answers/s, p50 {} µs, p99 {} µs, {} lost",
        figure(|round| round.answers_per_s, 0),
        figure(|round| round.p50_us, 0),
        figure(|round| round.p99_us, 0),
        figure(|round| round.lost, 0)
    ))
}

/// What the figures are and what they don't show.
pub(crate) const REMARKS: &str = "\
## How it is measured

- A closed loop of ordinary sockets (tracker-load: 8 sockets, 256 requests in flight) on CPU 0. The daemon, the kernel thread that receives for it across \
the veth (threaded NAPI) and the softirq thread are on CPU 1, and what they ran over the answers is the cost. A fresh daemon each round; it answers \
connects, then announces, then the mix.
- 10,000 torrents with 50 leechers each, all announced before; 30 peers wanted.
- Ours has one worker and a writer thread; its rate limits of connects and bad ids are off, since all clients have one address. aquatic_udp 0.9.0 has one \
socket worker and its defaults. opentracker is Debian's, with a whitelist of the torrents.
- **The null server** reads by recvmmsg, writes by sendmmsg, and looks at nothing but the action: a connect gets a constant connection id, an announce 30 constant \
peers. It is what a socket costs. Another one does the same by io_uring, with the tracker's own back end; what the better of both is over aquatic_udp's (\
*null over aquatic*) is as far as any server with these back ends can lead.
- What is *over* something is a ratio within a round; `reached` goes by the median.

## What it doesn't show

- A network card. On it the kernel's share is another one; veth and loopback deliver the answer into the client's socket in the tracker's time.
- More than one worker, and clients of many addresses: 8 sockets meet the same caches again and again.
- Latency of a tracker that isn't saturated: 256 requests wait for each other here.
";

#[cfg(test)]
mod tests {
    use super::*;

    fn round(total_us: f64) -> Round {
        Round {
            answers_per_s: 1e5,
            peers: 30.0,
            lost: 0.0,
            p50_us: 1.0,
            p99_us: 2.0,
            kernel_us: 0.0,
            daemon_us: total_us,
        }
    }

    #[test]
    fn best_of_ours_is_compared_with_the_best_of_theirs_round_by_round() {
        let rounds = |costs: [f64; 3]| costs.map(round);
        let (mmsg, io_uring) = (rounds([5.0, 5.0, 5.0]), rounds([4.0, 4.0, 8.0]));
        let (mio, uring, null) = (rounds([9.0, 9.0, 9.0]), rounds([6.0, 6.0, 6.0]), rounds([4.0, 4.0, 4.0]));
        let null_io_uring = rounds([3.0, 3.0, 4.0]);
        let measured = [
            (Who::Mmsg, &mmsg[..]),
            (Who::IoUring, &io_uring[..]),
            (Who::Aquatic, &mio[..]),
            (Who::AquaticIoUring, &uring[..]),
            (Who::Null, &null[..]),
            (Who::NullIoUring, &null_io_uring[..]),
        ];
        let rows = of(Place::Loopback, Workload::Mix, &measured);
        let find = |case: &str| rows.iter().find(|row| row.case == case).expect("there is such a row");
        assert_eq!(find("loopback-mix-over-aquatic").figures.all(), [0.75, 1.5, 1.5]);
        assert_eq!(find("loopback-mix-over-null").figures.all(), [0.5, 1.0, 1.0]);
        assert_eq!(find("loopback-mix-null-over-aquatic").figures.all(), [1.5, 2.0, 2.0]);
        assert_eq!(rows.len(), 9);
    }
}
