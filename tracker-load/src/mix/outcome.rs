//! What came of a run.

use std::time::Duration;

use super::verdict::Fault;
use crate::cpu_time::CpuTime;
use crate::latency::Histogram;

/// Kinds of requests that are counted apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Connect,
    Announce,
    Scrape,
    /// An announce or scrape with a bad connection id: an error or silence is right.
    BadId,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] = [Self::Connect, Self::Announce, Self::Scrape, Self::BadId];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Announce => "announce",
            Self::Scrape => "scrape",
            Self::BadId => "bad_id",
        }
    }
}

/// One kind's numbers.
pub(crate) struct OfKind {
    pub(crate) sent: u64,
    /// Answers of the right kind, right or not in what they say; errors to bad ids.
    pub(crate) answers: u64,
    /// Error packets to requests that were in order.
    pub(crate) errors: u64,
    /// Without an answer for too long.
    pub(crate) lost: u64,
    pub(crate) latency: Histogram,
}

/// Answers that can't be right, by what is wrong with them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Faults([u64; Fault::ALL.len()]);

impl Faults {
    pub(crate) fn count(&mut self, fault: Fault) {
        self.0[fault as usize] += 1;
    }

    pub(crate) fn of(&self, fault: Fault) -> u64 {
        self.0[fault as usize]
    }

    pub(crate) fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}

/// Everything that is counted.
pub(crate) struct Outcome {
    pub(crate) time: Duration,
    pub(crate) of_kind: [OfKind; Kind::ALL.len()],
    /// Answers that came after their request was given up.
    pub(crate) late: u64,
    /// Connections that ended before their answer had come, where there are connections.
    pub(crate) broken: u64,
    pub(crate) faults: Faults,
    /// Peers in all answers.
    pub(crate) peers: u64,
    /// How far the open loop was behind its times at the end.
    pub(crate) behind: Duration,
    pub(crate) cpu: Vec<CpuTime>,
    /// What only this protocol has.
    pub(crate) more: Vec<(&'static str, u64)>,
}

impl Outcome {
    pub(crate) fn new() -> Self {
        let of_kind = || OfKind { sent: 0, answers: 0, errors: 0, lost: 0, latency: Histogram::new() };
        Self {
            time: Duration::ZERO,
            of_kind: std::array::from_fn(|_| of_kind()),
            late: 0,
            broken: 0,
            faults: Faults::default(),
            peers: 0,
            behind: Duration::ZERO,
            cpu: Vec::new(),
            more: Vec::new(),
        }
    }

    pub(crate) fn of(&self, kind: Kind) -> &OfKind {
        &self.of_kind[kind as usize]
    }

    pub(crate) fn of_mut(&mut self, kind: Kind) -> &mut OfKind {
        &mut self.of_kind[kind as usize]
    }

    /// Answers of all kinds.
    pub(crate) fn answers(&self) -> u64 {
        self.of_kind.iter().map(|of| of.answers).sum()
    }
}
