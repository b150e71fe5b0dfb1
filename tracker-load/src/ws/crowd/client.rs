//! One client: its connection, and what it waits for.

use std::time::Instant;

use super::super::ledger::Ledger;
use crate::stream::Stream;

/// One connection at a time.
pub(super) struct Client {
    pub(super) stream: Option<Stream>,
    /// Of this connection; the next one has another.
    pub(super) session: u32,
    pub(super) state: State,
    /// Announces of this session.
    pub(super) announces: u32,
    /// When it last asked for something.
    pub(super) asked: Instant,
    /// Announce answers that may come besides: to announces given up, and, from some trackers, to answers.
    pub(super) owed: u32,
    /// Received, but no whole frame yet.
    pub(super) rest: Vec<u8>,
    /// A message of several frames, so far.
    pub(super) parts: Vec<u8>,
    pub(super) ledger: Ledger,
}

/// What a client waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Nothing, and it has no connection.
    Away,
    /// The answer to its upgrade.
    Upgrading,
    /// The answer to the announce of this torrent.
    Announcing(u32),
    /// The answer to the scrape of this torrent.
    Scraping(u32),
    /// Nothing in particular.
    Idle,
}

impl Client {
    pub(super) fn new(offers: u32) -> Self {
        Self {
            stream: None,
            session: 0,
            state: State::Away,
            announces: 0,
            asked: Instant::now(),
            owed: 0,
            rest: Vec::new(),
            parts: Vec::new(),
            ledger: Ledger::new(offers),
        }
    }

    /// Begins anew on a connection.
    pub(super) fn connected(&mut self, stream: Stream, session: u32) {
        self.stream = Some(stream);
        self.session = session;
        self.state = State::Upgrading;
        self.asked = Instant::now();
        self.away();
    }

    /// Has no connection any more.
    pub(super) fn gone(&mut self) {
        self.stream.take().into_iter().for_each(Stream::close);
        self.state = State::Away;
        self.away();
    }

    fn away(&mut self) {
        self.announces = 0;
        self.owed = 0;
        self.rest.clear();
        self.parts.clear();
        self.ledger.clear();
    }

    /// It has asked for something and has no answer yet.
    pub(super) fn waits(&self) -> bool {
        matches!(self.state, State::Upgrading | State::Announcing(_) | State::Scraping(_))
    }
}
