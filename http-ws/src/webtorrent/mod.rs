//! WebTorrent: offers and answers between peers, over WebSocket (PROTOCOL "WebTorrent").
//!
//! A browser can't be called; it can only be introduced. So peers stay connected, and an announce's offers go to other members of the swarm, whose
//! answers go back. A connection belongs to the worker that has accepted it; swarms are shared by all, and what goes to another worker's
//! connection goes through its letter box. In reading order:
//!
//! - `upgrade`: from HTTP to WebSocket. `session`: a connection from there to its end.
//! - [`receiver`]: frames that come; `frame`: frames that go; `mailbox`: the queue of a connection, `spares`: its buffers; `inbox`: the way between workers.
//! - [`request`]: what a message asks; `handler`: what becomes of it; `reply`: what is said. [`id`]: ids in JSON.
//! - [`swarms`]: who is a member; [`memberships`]: where a connection is one; [`speaker`]: what both share; `positions`: the index of either.
//! - `offered`: who may answer what. `full_scrape`: all torrents.

pub mod connection_id;
mod frame;
mod full_scrape;
mod handler;
pub mod id;
mod inbox;
mod mailbox;
pub mod memberships;
mod offered;
mod positions;
pub mod receiver;
mod reply;
pub mod request;
mod session;
mod spares;
pub mod speaker;
pub mod swarms;
mod upgrade;

use std::cell::{Cell, RefCell};
use std::hash::{BuildHasher as _, RandomState};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;
use tracker_common::wire::InfoHash;
use tracker_core::AccessList;

use tracker_core::software::SoftwareTally;

use crate::counters::{Signal, SignalTally};
use crate::full_scrape::Throttle;
use connection_id::ConnectionId;
use id::PeerId;
use inbox::{Inbox, Mail, What};
use mailbox::{Mailbox, State};
use request::Action;
use spares::Spares;
use swarms::{Recipient, Swarms};

pub(crate) use session::serve;
pub(crate) use upgrade::{is_wanted, refusal, response};

/// What an operator can set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Seconds between two announces of a client; each answer's differs by up to 10 %.
    pub interval_s: u32,
    /// Offers of an announce that are forwarded.
    pub max_offers: u32,
    /// Silence after which a connection is closed.
    pub idle_timeout: Duration,
    /// Bytes that wait for a client at most.
    pub max_queue_bytes: usize,
    /// Peers that a connection may announce: torrents, that is, for ordinary clients.
    pub max_torrents_per_connection: u32,
    /// Peers of all connections.
    pub max_peers: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            interval_s: 120,
            max_offers: 10,
            idle_timeout: Duration::from_secs(180),
            max_queue_bytes: 256 * 1024,
            max_torrents_per_connection: 10_000,
            max_peers: 1_000_000,
        }
    }
}

impl Settings {
    /// Seconds after its last announce that a peer leaves its swarm, though its connection is alive.
    fn peer_lifetime_s(&self) -> u32 {
        2 * self.interval_s + 600
    }
}

/// What all workers share.
#[derive(Debug)]
pub(crate) struct Shared {
    settings: Settings,
    swarms: Swarms,
    /// One for each worker.
    inboxes: Box<[Inbox]>,
    hasher: RandomState,
    full_scrapes: Option<Throttle>,
}

impl Shared {
    pub(crate) fn new(settings: Settings, workers: usize, full_scrape_every: Option<Duration>) -> Arc<Self> {
        Arc::new(Self {
            settings,
            swarms: Swarms::new(settings.max_peers),
            inboxes: (0..workers).map(|_| Inbox::default()).collect(),
            hasher: RandomState::new(),
            full_scrapes: full_scrape_every.map(Throttle::new),
        })
    }

    /// Drops torrents that aren't allowed any more.
    pub(crate) fn drop_denied(&self, list: &AccessList) {
        self.swarms.retain(|info_hash| list.allows(info_hash));
    }

    /// The swarms in numbers.
    pub(crate) fn numbers(&self) -> [(&'static str, u64); 3] {
        [
            ("torrents", self.swarms.torrents()),
            ("peers", self.swarms.peers()),
            ("seeders", self.swarms.seeders()),
        ]
    }

    /// What an answer has to say to be an answer to this offer, whose name is a JSON string: a keyed hash of it. Two offers of a connection with the same one in two minutes
    /// are less likely than a broken memory.
    fn offer_key(&self, info_hash: &InfoHash, from: &PeerId, to: &PeerId, offer_id: &str) -> u64 {
        self.hasher.hash_one((info_hash, from, to, &*request::decoded_string(offer_id)))
    }
}

/// WebTorrent in one worker's thread.
pub(crate) struct Local {
    number: u16,
    shared: Arc<Shared>,
    tally: Arc<SignalTally>,
    software: Arc<SoftwareTally>,
    mailboxes: RefCell<HashMap<ConnectionId, Rc<Mailbox>>>,
    next: Cell<u64>,
    spares: Rc<Spares>,
    scratch: RefCell<Scratch>,
    /// Where bytes of a connection are put first.
    read_buffer: RefCell<Box<[u8]>>,
}

/// Memory for the making of messages.
#[derive(Default)]
struct Scratch {
    message: Vec<u8>,
    picked: Vec<Recipient>,
}

/// Bytes that are read at once at most.
const READ_BYTES: usize = 64 * 1024;

impl Local {
    pub(crate) fn new(
        number: u16,
        shared: Arc<Shared>,
        tally: Arc<SignalTally>,
        software: Arc<SoftwareTally>,
    ) -> Self {
        Self {
            number,
            shared,
            tally,
            software,
            mailboxes: RefCell::default(),
            next: Cell::new(0),
            spares: Rc::default(),
            scratch: RefCell::default(),
            read_buffer: RefCell::new(vec![0; READ_BYTES].into_boxed_slice()),
        }
    }

    fn open(&self) -> Rc<Mailbox> {
        let number = self.next.get();
        self.next.set(number + 1);
        let id = ConnectionId::new(self.number, number);
        let mailbox =
            Rc::new(Mailbox::new(id, self.shared.settings.max_queue_bytes, Rc::clone(&self.spares)));
        self.mailboxes.borrow_mut().insert(id, Rc::clone(&mailbox));
        self.tally.count(Signal::Connections);
        mailbox
    }

    fn close(&self, mailbox: &Mailbox) {
        let mut mailboxes = self.mailboxes.borrow_mut();
        mailboxes.remove(&mailbox.id);
        if mailboxes.capacity() > 1024 && mailboxes.capacity() > 4 * mailboxes.len() {
            let length = mailboxes.len();
            mailboxes.shrink_to(2 * length);
        }
        self.tally.count(Signal::ConnectionsClosed);
    }

    /// Open connections.
    pub(crate) fn connections(&self) -> usize {
        self.mailboxes.borrow().len()
    }

    /// Has all connections say that the server goes away, and end.
    pub(crate) fn stop(&self) {
        for mailbox in self.mailboxes.borrow().values() {
            if mailbox.state() == State::Open {
                mailbox.set_state(State::Stopping);
            }
        }
    }

    /// Deals out what comes from other workers.
    pub(crate) async fn deal(&self) {
        let Some(inbox) = self.shared.inboxes.get(usize::from(self.number)) else { return };
        let mut mail = Mail::default();
        loop {
            inbox.take(&mut mail).await;
            for (letter, frames) in mail.letters() {
                self.deliver(letter.to, letter.what, |mailbox| mailbox.send_frames(frames));
            }
        }
    }

    /// Sends a message to any connection, with what it makes of the recipient.
    fn send(&self, to: ConnectionId, what: What, parts: &[&[u8]]) {
        if to.worker() == usize::from(self.number) {
            self.deliver(to, what, |mailbox| mailbox.send(parts));
        } else if !self.shared.inboxes.get(to.worker()).is_some_and(|inbox| inbox.put(to, what, parts)) {
            self.tally.count(Signal::Undelivered);
        }
    }

    /// Does what a message to a connection of this worker takes.
    fn deliver(&self, to: ConnectionId, what: What, send: impl FnOnce(&Mailbox) -> bool) {
        let mailboxes = self.mailboxes.borrow();
        let sent = mailboxes.get(&to).is_some_and(|mailbox| {
            if let What::Offer(offer) = what {
                mailbox.offered.borrow_mut().add(offer);
            }
            send(mailbox)
        });
        drop(mailboxes);
        match (what, sent) {
            (What::Offer(_), true) => self.tally.count(Signal::OffersForwarded),
            (What::Answer { .. }, true) => self.tally.count(Signal::AnswersForwarded),
            (What::Answer { from, info_hash }, false) => self.unmatched(from, &info_hash),
            (What::Error, true) => self.tally.count(Signal::OutError),
            // Who made it, or asked, has nothing to do: the swarm forgets who has gone.
            (What::Offer(_) | What::Error, false) => {}
        }
    }

    /// An answer has nowhere to go.
    fn unmatched(&self, from: ConnectionId, info_hash: &InfoHash) {
        self.tally.count(Signal::AnswersUnmatched);
        let mut message = Vec::new();
        reply::error(Action::Announce, "unknown offer", Some(info_hash), &mut message);
        self.send(from, What::Error, &[&message]);
    }
}
