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
        costs.chain(self.ratio()).collect()
    }

    fn cost(&self, who: Who, rounds: &[Round]) -> Row {
        let figure = |figure: fn(&Round) -> f64, digits| Rounds::new(rounds.iter().map(figure)).show(digits);
        let cost = Rounds::new(rounds.iter().map(Round::per_cpu_second));
        let what = format!("{}, {}", self.workload.name(), who.name());
        let row = Row::new(&case(self.workload, who), what, "thousand messages out a CPU second", 1, cost);
        let row = row.note(format!("{} µs of CPU an announce", figure(Round::us_per_announce, 1)));
        let row = row.note(format!(
            "{} announces/s, {} messages/s, p50 {} ms, p99 {} ms, {} CPUs busy",
            figure(|round| round.announces / round.seconds, 0),
            figure(|round| round.messages / round.seconds, 0),
            figure(Round::p50_ms, 1),
            figure(Round::p99_ms, 1),
            figure(Round::busy, 2)
        ));
        let row = row.note(format!(
            "for an announce {} offers, {} answers, {} announce answers more than one; {} bytes a message",
            figure(|round| round.offers / round.announces, 1),
            figure(|round| round.answers / round.announces, 2),
            figure(|round| round.acknowledgements / round.announces, 2),
            figure(|round| round.bytes / round.messages, 0)
        ));
        match rounds.iter().map(|round| round.lost).sum() {
            0.0 => row,
            lost => row.note(format!("{lost} announces lost in all")),
        }
    }

    fn ratio(&self) -> Option<Row> {
        let (ours, theirs) = self.both()?;
        // Of one round each, a moment apart, so that what else the machine did hit both.
        let of = |figure: fn(&Round, &Round) -> f64| {
            Rounds::new(ours.iter().zip(theirs).map(|(ours, theirs)| figure(ours, theirs)))
        };
        let messages = of(|ours, theirs| ours.per_cpu_second() / theirs.per_cpu_second());
        let announces = of(|ours, theirs| theirs.us_per_announce() / ours.us_per_announce());
        let what = format!("{}, ours over aquatic_ws", self.workload.name());
        let name = format!("{}-over-aquatic", self.workload.id());
        let row = Row::new(&name, what, "times the messages out a CPU second", 2, messages);
        let row = row.target(Target::AtLeast(1.5));
        Some(row.note(format!("{} times the announces a CPU second", announces.show(2))))
    }

    fn both(&self) -> Option<(&[Round], &[Round])> {
        let of = |wanted: fn(&Who) -> bool| self.rounds.iter().find(|(who, _)| wanted(who));
        let (_, ours) = of(|who| *who == Who::Ours)?;
        let (_, theirs) = of(|who| matches!(who, Who::Aquatic { .. }))?;
        Some((ours, theirs))
    }
}

#[cfg(test)]
mod tests {
    use super::super::load::tests::report;
    use super::super::workload::Crowd;
    use super::*;

    fn measured(crowd: Crowd, tls: bool) -> Measured {
        let rounds = |ns: u64| vec![serde_json::from_value(report(ns)).unwrap(); 3];
        let rounds = vec![(Who::Ours, rounds(4000)), (Who::Aquatic { tls }, rounds(16_000))];
        Measured { workload: Workload { crowd, tls }, rounds }
    }

    #[test]
    fn ours_is_set_over_theirs() {
        let rows = measured(Crowd::Many, true).rows();
        let figures: Vec<(&str, f64)> =
            rows.iter().map(|row| (row.case.as_str(), row.figures.median())).collect();
        let expected =
            [("wss-10000-ours", 250.0), ("wss-10000-aquatic", 62.5), ("wss-10000-over-aquatic", 4.0)];
        assert_eq!(figures, expected);
        assert_eq!(rows[2].target, Some(Target::AtLeast(1.5)));
    }

    #[test]
    fn server_that_isn_t_there_has_no_ratio() {
        let mut measured = measured(Crowd::Few, false);
        measured.rounds.truncate(1);
        assert_eq!(measured.rows().len(), 1);
    }
}
