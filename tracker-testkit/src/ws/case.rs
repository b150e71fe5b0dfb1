//! What a row of docs/protocol.md's WebTorrent table is made of: a tracker's set-up, and steps with what they get.
//!
//! Clients have numbers, and a connection each: client 3 is at host 3 of the case, with peer id 3, unless a step says otherwise. A
//! [`Case`] says nothing about TLS, frames, families or workers: [`crate::ws::play`] plays it in every manner.

use crate::answer::Counts;
use crate::http::case::{Host, Setup};
use crate::ws::client::Vanishing;
use crate::ws::upgrade::Upgrade;

/// One sub-case of a row.
#[derive(Clone, Debug)]
pub struct Case {
    /// The row's id in docs/protocol.md.
    pub row: &'static str,
    /// What is claimed, as a sentence.
    pub name: String,
    /// How the tracker is set up.
    pub setup: Setup,
    /// In which manners it makes sense.
    pub played: Played,
    /// What happens, in this order.
    pub steps: Vec<Step>,
}

/// In which manners a case makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Played {
    /// In all of them, also byte by byte.
    Cut,
    /// In all but byte by byte, which takes long.
    Everywhere,
    /// Framing doesn't matter, or is the case's own: plain and in TLS.
    Once,
}

/// A client of a case.
pub type Name = u16;

/// One thing that happens.
#[derive(Clone, Debug)]
pub enum Step {
    /// A client connects.
    Open(Open),
    /// A client sends something, and gets what is listed, in any order.
    Say {
        /// Who.
        from: Name,
        /// What.
        said: Said,
        /// What it gets.
        gets: Vec<Expected>,
    },
    /// A client gets this, in any order.
    Get {
        /// Who.
        at: Name,
        /// What.
        messages: Vec<Expected>,
    },
    /// Each of these offers reaches exactly one of these clients, and none of them gets two.
    Spread {
        /// The torrent.
        info_hash: [u8; 20],
        /// Whose offers.
        peer_id: [u8; 20],
        /// The offers' ids.
        offers: Vec<String>,
        /// Who may get one.
        among: Vec<Name>,
    },
    /// Whoever got an offer in [`Step::Spread`] answers it.
    AnswerSpread {
        /// The torrent.
        info_hash: [u8; 20],
        /// Whose offers.
        to_peer_id: [u8; 20],
        /// The client that gets the answers.
        to: Name,
    },
    /// Clients that get nothing.
    Quiet(Vec<Name>),
    /// A client pings, and gets the pong.
    Ping(Name, Vec<u8>),
    /// A client closes, and gets the tracker's close frame and then the end.
    Close(Name, u16),
    /// A client goes without a close frame.
    Vanish(Name, Vanishing),
    /// The tracker closes a client's connection with this status; before that come these.
    Closed {
        /// Whose.
        at: Name,
        /// The status; `None`: the client has closed without one.
        status: Option<u16>,
        /// A failure reason before it.
        after: Option<Expected>,
    },
    /// A scrape has these counts, at once or a little later: for effects that follow in their own time.
    Counts(Name, Vec<([u8; 20], Counts)>),
    /// Since the case began these counters have risen by so much.
    Counted(Vec<(&'static str, u64)>),
    /// The access list has this text from now on, and the tracker is told by SIGHUP. When it has read it isn't known.
    AccessList(String),
}

/// A client connects.
#[derive(Clone, Debug)]
pub struct Open {
    /// Under this number.
    pub name: Name,
    /// From here.
    pub host: Host,
    /// Whether it goes to a listener for the PROXY protocol, and what is sent there before all else.
    pub preface: Option<Vec<u8>>,
    /// The request.
    pub upgrade: Upgrade,
    /// Frames that are sent with it.
    pub with: Vec<u8>,
    /// What it gets.
    pub gets: Opened,
}

/// What an upgrade request gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opened {
    /// A WebSocket.
    WebSocket,
    /// One of these statuses.
    Status(&'static [u16]),
    /// This status with this header.
    With(u16, &'static str, &'static str),
    /// Nothing but the connection's end, or this status before it.
    EndOr(u16),
}

/// What is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// A message in frames as the manner wants them.
    Message(String),
    /// Bytes as they are.
    Bytes(Vec<u8>),
}

/// What comes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// An announce answer.
    Announced {
        /// The torrent.
        info_hash: [u8; 20],
        /// Seeders.
        complete: u64,
        /// Leechers.
        incomplete: u64,
    },
    /// An offer.
    Offer {
        /// The torrent.
        info_hash: [u8; 20],
        /// Whose.
        peer_id: [u8; 20],
        /// Its id.
        offer_id: String,
        /// Its JSON.
        offer: String,
    },
    /// An answer.
    Answer {
        /// The torrent.
        info_hash: [u8; 20],
        /// Whose.
        peer_id: [u8; 20],
        /// The offer's id.
        offer_id: String,
        /// Its JSON.
        answer: String,
    },
    /// A scrape answer with exactly these, in any order.
    Scraped(Vec<([u8; 20], Counts)>),
    /// A scrape answer in which these are.
    ScrapedWith(Vec<([u8; 20], Counts)>),
    /// A failure reason.
    Failure {
        /// `announce` or `scrape`.
        action: &'static str,
        /// The reason.
        reason: &'static str,
        /// The torrent.
        info_hash: Option<[u8; 20]>,
    },
    /// A failure reason, whatever it says.
    AnyFailure(&'static str),
}

/// Counts of a scrape: seeders, completed, leechers.
pub fn counts(seeders: u32, completed: u32, leechers: u32) -> Counts {
    Counts { seeders, completed, leechers }
}

impl Step {
    fn open(self, change: impl FnOnce(&mut Open)) -> Self {
        match self {
            Self::Open(mut open) => {
                change(&mut open);
                Self::Open(open)
            }
            other => unreachable!("{other:?} opens nothing"),
        }
    }

    /// With this request.
    pub fn upgrade(self, upgrade: Upgrade) -> Self {
        self.open(|open| open.upgrade = upgrade)
    }

    /// To a listener for the PROXY protocol, with this before all else.
    pub fn behind(self, preface: impl Into<Vec<u8>>) -> Self {
        self.open(|open| open.preface = Some(preface.into()))
    }

    /// With these frames behind the request, before it is answered.
    pub fn with(self, frames: Vec<u8>) -> Self {
        self.open(|open| open.with = frames)
    }

    /// Getting this.
    pub fn refused(self, gets: Opened) -> Self {
        self.open(|open| open.gets = gets)
    }
}

/// The peer id of a client.
pub fn peer_id(name: Name) -> [u8; 20] {
    let mut id = *b"-WW0102-\xff\x80\"\\\0\x7f\xa0.....";
    id[18..].copy_from_slice(&name.to_be_bytes());
    id
}
