//! What came and went, counted by kind.

use crate::latency::Histogram;

/// Counts of some time.
pub(crate) struct Counts {
    /// Announces that were answered.
    pub(crate) announces: u64,
    /// Scrapes that were answered.
    pub(crate) scrapes: u64,
    /// Offers that came, forwarded.
    pub(crate) offers: u64,
    /// Answers to offers that came, forwarded.
    pub(crate) answers: u64,
    /// Announce answers to what was no announce but the answer to an offer; some trackers send them.
    pub(crate) acknowledgements: u64,
    /// Bytes of all these messages.
    pub(crate) bytes: u64,
    pub(crate) sent: Sent,
    /// Failure reasons.
    pub(crate) failures: u64,
    /// Messages and frames that are none, or aren't what was sent, or went to the wrong one.
    pub(crate) wrong: u64,
    /// Offers and answers that came too late to be checked whole.
    pub(crate) unchecked: u64,
    /// Connections that became WebSocket.
    pub(crate) upgrades: u64,
    /// Upgrades that were refused.
    pub(crate) refused: u64,
    /// Connections that the server has closed.
    pub(crate) broken: u64,
    /// Announces, scrapes and upgrades without an answer for too long.
    pub(crate) lost: u64,
    /// Pings, all of them answered.
    pub(crate) pings: u64,
    /// From announces to their answers.
    pub(crate) latency: Histogram,
    /// From scrapes to their answers.
    pub(crate) scrape_latency: Histogram,
    /// The first trouble, in words.
    pub(crate) trouble: Option<String>,
}

/// What the clients have sent.
#[derive(Clone, Copy, Default)]
pub(crate) struct Sent {
    pub(crate) announces: u64,
    pub(crate) scrapes: u64,
    pub(crate) offers: u64,
    pub(crate) answers: u64,
}

impl Counts {
    pub(crate) fn new() -> Self {
        Self {
            announces: 0,
            scrapes: 0,
            offers: 0,
            answers: 0,
            acknowledgements: 0,
            bytes: 0,
            sent: Sent::default(),
            failures: 0,
            wrong: 0,
            unchecked: 0,
            upgrades: 0,
            refused: 0,
            broken: 0,
            lost: 0,
            pings: 0,
            latency: Histogram::new(),
            scrape_latency: Histogram::new(),
            trouble: None,
        }
    }

    /// Messages that came.
    pub(crate) fn messages(&self) -> u64 {
        self.announces + self.scrapes + self.offers + self.answers + self.acknowledgements + self.failures
    }

    /// Keeps what is known about the first trouble.
    pub(crate) fn note(&mut self, trouble: impl FnOnce() -> String) {
        self.trouble.get_or_insert_with(trouble);
    }
}
