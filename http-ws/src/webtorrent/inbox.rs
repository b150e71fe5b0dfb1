//! Messages from one worker to the connections of another.
//!
//! Any worker puts them in, under a lock that is held for a copy; the owner is woken once, takes all of them, and deals them out to the
//! mailboxes.

use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;
use tracker_common::wire::InfoHash;

use super::connection_id::ConnectionId;
use super::frame;
use super::offered::Offered;

/// Bytes that may wait; a worker that is so far behind doesn't serve anybody.
const MAX_BYTES: usize = 32 << 20;

/// A worker's letter box.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    mail: Mutex<Mail>,
    came: Notify,
}

/// Messages, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Mail {
    frames: Vec<u8>,
    letters: Vec<Letter>,
}

/// A message for one connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Letter {
    pub(super) to: ConnectionId,
    pub(super) what: What,
    /// Where its frames end.
    end: usize,
}

/// What a message is.
#[derive(Clone, Copy, Debug)]
pub(super) enum What {
    /// An offer, which the recipient may answer.
    Offer(Offered),
    /// An answer; when nobody is there any more the one who answers is told.
    Answer { from: ConnectionId, info_hash: InfoHash },
    /// An error.
    Error,
}

impl Inbox {
    /// Puts a text message of these parts in. False when it is full.
    pub(super) fn put(&self, to: ConnectionId, what: What, parts: &[&[u8]]) -> bool {
        let mut mail = self.mail.lock().unwrap_or_else(PoisonError::into_inner);
        if mail.frames.len() > MAX_BYTES {
            return false;
        }
        let was_empty = mail.letters.is_empty();
        frame::text(parts, &mut mail.frames);
        let end = mail.frames.len();
        mail.letters.push(Letter { to, what, end });
        drop(mail);
        if was_empty {
            self.came.notify_one();
        }
        true
    }

    /// Waits until there is something, and takes all of it in exchange for the memory of what was taken last.
    pub(super) async fn take(&self, mail: &mut Mail) {
        mail.frames.clear();
        mail.letters.clear();
        // A rush is over some time.
        mail.frames.shrink_to(1 << 20);
        self.came.notified().await;
        std::mem::swap(mail, &mut *self.mail.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Mail {
    /// All messages with their frames.
    pub(super) fn letters(&self) -> impl Iterator<Item = (&Letter, &[u8])> {
        let mut begin = 0;
        self.letters.iter().map(move |letter| {
            let frames = self.frames.get(begin..letter.end).unwrap_or_default();
            begin = letter.end;
            (letter, frames)
        })
    }
}
