//! From rounds to rows: the cost at each server, and ours over theirs.

use super::load::Round;
use super::servers::Who;
use super::workload::{Workload, case};
use crate::report::{Row, Target};
use crate::rounds::Rounds;

/// Rounds of one workload, a list for each server; the first of each ran one after the other, then the second, and so on.
pub(crate) struct Measured {
    pub(crate) workload: Workload,
    pub(crate) rounds: Vec<(Who, Vec<Round>)>,
}

impl Measured {
    pub(crate) fn rows(&self) -> Vec<Row> {
        let costs = self.rounds.iter().map(|(who, rounds)| self.cost(*who, rounds));
        costs.chain(self.ratios()).collect()
    }

    fn cost(&self, who: Who, rounds: &[Round]) -> Row {
        let figure = |figure: fn(&Round) -> f64, digits| Rounds::new(rounds.iter().map(figure)).show(digits);
        let cost = Rounds::new(rounds.iter().map(Round::per_cpu_second));
        let what = format!("{}, {}", self.workload.name(), who.name());
        let row = Row::new(&case(self.workload, who), what, "thousand answers a CPU second", 1, cost);
        let row = row.note(format!("{} µs of CPU an answer", figure(Round::us, 2)));
        let row = row.note(format!(
            "{} answers/s, p50 {} µs, p99 {} µs, {} CPUs busy",
            figure(|round| round.answers_per_s, 0),
            figure(Round::p50_us, 0),
            figure(Round::p99_us, 0),
            figure(Round::busy, 2)
        ));
        let row = row.note(format!("{} bytes an answer", figure(|round| round.bytes / round.answers, 0)));
        match self.workload {
            Workload::TlsResumed => {
                let resumed = figure(|round| 100.0 * round.resumed / round.connections, 1);
                row.note(format!("{resumed} % of the handshakes resumed"))
            }
            _ => row,
        }
    }

    fn ratios(&self) -> Vec<Row> {
        let of = |wanted: fn(&Who) -> bool| self.rounds.iter().find(|(who, _)| wanted(who));
        let Some((_, ours)) = of(|who| *who == Who::Ours) else { return Vec::new() };
        let others = [
            of(|who| *who == Who::Hyper),
            of(|who| *who == Who::Opentracker),
            of(|who| matches!(who, Who::Aquatic { .. })),
        ];
        let ratio = |(who, theirs): &(Who, Vec<Round>)| {
            // Of one round each, a moment apart, so that what else the machine did hit both.
            let ratios = ours.iter().zip(theirs).map(|(ours, theirs)| theirs.us() / ours.us());
            let name = format!("{}-over-{}", self.workload.id(), who.id());
            let what = format!("{}, ours over {}", self.workload.name(), who.name());
            let row = Row::new(&name, what, "times the answers a CPU second", 2, Rounds::new(ratios));
            match target(self.workload, *who) {
                Some(target) => row.target(target),
                None => row,
            }
        };
        others.into_iter().flatten().map(ratio).collect()
    }
}

fn target(workload: Workload, who: Who) -> Option<Target> {
    match (workload, who) {
        (Workload::KeepAlive, Who::Hyper) => Some(Target::AtLeast(0.75)),
        (Workload::KeepAlive, Who::Aquatic { .. }) => Some(Target::AtLeast(3.0)),
        (Workload::Close, Who::Opentracker) => Some(Target::AtLeast(1.0)),
        _ => None,
    }
}
