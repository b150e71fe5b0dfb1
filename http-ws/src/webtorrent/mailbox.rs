//! What waits to be sent to a client: a bounded queue of whole frames (W10).
//!
//! Anybody in the worker's thread puts messages into it; the connection's task is woken and writes all of them at once. A queue that is
//! full is never shortened: the connection ends.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::Waker;

use super::connection_id::ConnectionId;
use super::frame;
use super::offered::OfferedOffers;
use super::spares::Spares;

/// A connection as others in its worker see it.
#[derive(Debug)]
pub(super) struct Mailbox {
    pub(super) id: ConnectionId,
    /// Offers that the client may answer.
    pub(super) offered: RefCell<OfferedOffers>,
    queue: RefCell<Queue>,
    /// With as much waiting, one message more is taken, however large; no other.
    max_bytes: usize,
    state: Cell<State>,
    waker: RefCell<Option<Waker>>,
}

/// Whether messages are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Open,
    /// One was too many.
    Full,
    /// The worker stops.
    Stopping,
    /// A close frame is the last one in the queue.
    Closed,
}

#[derive(Debug)]
pub(super) struct Queue {
    /// Frames; those before `sent` are sent.
    pub(super) frames: Vec<u8>,
    pub(super) sent: usize,
    /// While a message is sent in fragments: those that have to wait for its end.
    pub(super) behind: Option<Vec<u8>>,
    spares: Rc<Spares>,
}

impl Mailbox {
    pub(super) fn new(id: ConnectionId, max_bytes: usize, spares: Rc<Spares>) -> Self {
        Self {
            id,
            offered: RefCell::default(),
            queue: RefCell::new(Queue { frames: Vec::new(), sent: 0, behind: None, spares }),
            max_bytes,
            state: Cell::new(State::Open),
            waker: RefCell::default(),
        }
    }

    /// Adds a text message of these parts. False when the connection ends.
    pub(super) fn send(&self, parts: &[&[u8]]) -> bool {
        self.add(|frames| frame::text(parts, frames))
    }

    /// Adds frames. False when the connection ends.
    pub(super) fn send_frames(&self, frames: &[u8]) -> bool {
        self.add(|out| out.extend_from_slice(frames))
    }

    fn add(&self, write: impl FnOnce(&mut Vec<u8>)) -> bool {
        if self.state.get() != State::Open {
            return false;
        }
        let mut queue = self.queue.borrow_mut();
        if queue.waiting() > self.max_bytes {
            self.state.set(State::Full);
        }
        let Queue { frames, behind, spares, .. } = &mut *queue;
        match behind {
            Some(behind) => write(behind),
            None => {
                if frames.capacity() == 0 {
                    *frames = spares.take();
                }
                write(frames);
            }
        }
        drop(queue);
        self.wake();
        self.state.get() == State::Open
    }

    /// The queue, for the connection itself.
    pub(super) fn queue(&self) -> std::cell::RefMut<'_, Queue> {
        self.queue.borrow_mut()
    }

    pub(super) fn state(&self) -> State {
        self.state.get()
    }

    pub(super) fn set_state(&self, state: State) {
        self.state.set(state);
        self.wake();
    }

    /// Whom to wake when there is something to send.
    pub(super) fn attend(&self, waker: &Waker) {
        let mut known = self.waker.borrow_mut();
        if !known.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *known = Some(waker.clone());
        }
    }

    pub(super) fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }
}

impl Queue {
    /// Bytes of messages that wait; one that is sent in fragments isn't made before there is room for it.
    pub(super) fn waiting(&self) -> usize {
        self.behind.as_ref().map_or(self.frames.len() - self.sent, Vec::len)
    }

    /// So many bytes were sent.
    pub(super) fn took(&mut self, count: usize) {
        self.sent += count;
        if self.sent >= self.frames.len() {
            // Whoever has nothing to send has no buffer.
            self.sent = 0;
            self.spares.put(std::mem::take(&mut self.frames));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_too_many_is_the_end() {
        let mailbox = Mailbox::new(ConnectionId::new(0, 1), 100, Rc::default());
        assert!(mailbox.send(&[&[b'a'; 40], b"b"]));
        assert!(mailbox.send(&[&[b'a'; 40]]));
        assert_eq!(mailbox.queue().waiting(), 43 + 42);
        mailbox.queue().took(43);
        assert!(mailbox.send(&[&[b'a'; 40]]));
        assert!(mailbox.send(&[&[b'a'; 40]]));
        assert!(!mailbox.send(&[b"a"]));
        assert_eq!(mailbox.state(), State::Full);
        assert!(!mailbox.send(&[b"a"]));
    }

    #[test]
    fn messages_wait_behind_one_that_is_sent_in_fragments() {
        let mailbox = Mailbox::new(ConnectionId::new(0, 1), 100, Rc::default());
        mailbox.queue().behind = Some(Vec::new());
        assert!(mailbox.send(&[b"abc"]));
        let queue = mailbox.queue();
        assert_eq!((queue.frames.len(), queue.waiting()), (0, 5));
    }
}
