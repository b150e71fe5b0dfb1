//! A WebSocket connection from the upgrade to its end.
//!
//! A task that waits for three things: bytes from the client, messages for it in its mailbox, and time. What it has read it
//! handles at once, but it sends only when the other connections have had their turn: what they have for this client goes with it, in one
//! write.

use std::future::poll_fn;
use std::io;
use std::ops::ControlFlow;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};
use tracker_common::connection_id::Address;

use super::full_scrape::FullScrape;
use super::handler::{Client, Then};
use super::mailbox::State;
use super::receiver::Receiver;
use super::request::{Action, Ends, Refusal};
use super::{Local, frame};
use crate::connection::{FAREWELL, Place, Stream, farewell};
use crate::counters::{Counter, Signal};
use crate::worker::Worker;

/// Bytes that wait for a client before nothing more is read from it: nobody's own requests fill his queue.
const ENOUGH_TO_SEND: usize = 32 * 1024;

/// Times that bytes are read before others have a turn.
const READS: usize = 4;

/// Serves a connection that was upgraded, and counts what becomes of it.
pub(crate) async fn serve(stream: Stream, address: Address, place: Place, worker: Rc<Worker>) {
    if let Some(local) = &worker.webtorrent {
        let mut session = Session::new(stream, address, Rc::clone(&worker), local);
        let mut timer = pin!(sleep(session.next_due(session.now_ns())));
        let fate = poll_fn(|context| session.poll(&mut timer, context)).await;
        if let Some(fate) = fate {
            local.tally.count(fate);
        }
        let leftovers = session.ending.is_some();
        let stream = std::mem::replace(&mut session.stream, Stream::Fresh(None));
        // Its peers leave before anything is waited for.
        drop(session);
        if fate == Some(Signal::ClosedSlow) {
            // It would be kept and offered for minutes.
            stream.forget_unsent();
        } else {
            // In a box, as no connection that waits needs it.
            Box::pin(farewell(stream, leftovers, &worker)).await;
        }
    }
    drop(place);
    worker.tally.count(Counter::ConnectionsClosed);
}

struct Session {
    stream: Stream,
    client: Client,
    receiver: Receiver,
    worker: Rc<Worker>,
    full_scrape: Option<Box<FullScrape>>,
    /// When the last bytes came.
    heard_ns: u64,
    /// Since when the client takes nothing of what waits for it.
    stalled_ns: Option<u64>,
    /// A close frame of ours is the last one in the queue.
    ending: Option<Ending>,
    /// Something was read, and the others have had their turn since.
    had_turn: bool,
    /// There may be something to read, but too much waits to be sent.
    held_back: bool,
    pinged_ns: u64,
    tidied_ns: u64,
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(local) = &self.worker.webtorrent {
            self.client.leave(local);
            local.close(&self.client.mailbox);
        }
    }
}

/// An end that the server wants.
#[derive(Clone, Copy)]
struct Ending {
    fate: Option<Signal>,
    since_ns: u64,
}

/// How often peers and offers are looked at that may be too old, and the block list.
const TIDY_EVERY: Duration = Duration::from_secs(60);

impl Session {
    fn new(stream: Stream, address: Address, worker: Rc<Worker>, local: &Local) -> Self {
        let now = (worker.context.clock)();
        Self {
            stream,
            client: Client::new(address, local.open()),
            receiver: Receiver::default(),
            worker,
            full_scrape: None,
            heard_ns: now,
            stalled_ns: None,
            ending: None,
            had_turn: false,
            held_back: false,
            pinged_ns: now,
            tidied_ns: now,
        }
    }

    /// Ready with what has to be counted about the end, if anything.
    fn poll(&mut self, timer: &mut Pin<&mut Sleep>, context: &mut Context<'_>) -> Poll<Option<Signal>> {
        self.client.mailbox.attend(context.waker());
        match self.client.mailbox.state() {
            State::Full => return Poll::Ready(Some(Signal::ClosedSlow)),
            State::Stopping => self.close(CloseCode::Away, None),
            State::Open | State::Closed => {}
        }
        while timer.as_mut().poll(context).is_ready() {
            let now = self.now_ns();
            if let Some(fate) = self.look_at_time(now) {
                return Poll::Ready(fate);
            }
            timer.as_mut().reset(Instant::now() + self.next_due(now));
        }
        let heard = match self.poll_read(context) {
            Ok(heard) => heard,
            Err(fate) => return Poll::Ready(fate),
        };
        if heard && !self.had_turn {
            self.had_turn = true;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.had_turn = false;
        let flushed = self.poll_flush(context);
        let waits = self.stalled_ns.is_some() || self.unfinished_since_ns().is_some();
        if waits || self.ending.is_some() {
            self.hurry(timer, context);
        }
        match ready!(flushed) {
            Ok(()) => match self.ending {
                Some(ending) => Poll::Ready(ending.fate),
                None => Poll::Pending,
            },
            Err(_broken) => Poll::Ready(None),
        }
    }

    /// Reads and handles what has come: true when there was something. `Err` with the fate when the client has gone.
    fn poll_read(&mut self, context: &mut Context<'_>) -> Result<bool, Option<Signal>> {
        let worker = Rc::clone(&self.worker);
        let Some(local) = &worker.webtorrent else { return Err(None) };
        let mut heard = false;
        for _ in 0..READS {
            if !self.listens() {
                self.held_back = self.ending.is_none();
                return Ok(heard);
            }
            let mut buffer = local.read_buffer.borrow_mut();
            match self.stream.poll_read(context, &mut buffer) {
                Poll::Pending => return Ok(heard),
                Poll::Ready(Ok(count)) if count > 0 => {
                    heard = true;
                    self.take(buffer.get(..count).unwrap_or_default(), local);
                }
                // Its end, or it broke.
                Poll::Ready(_) => return Err(None),
            }
        }
        // There may be more.
        context.waker().wake_by_ref();
        Ok(heard)
    }

    /// Whether requests are read.
    fn listens(&self) -> bool {
        let queue = self.client.mailbox.queue();
        // While a message is sent in fragments, pongs are what adds to them.
        let is_free = queue.behind.is_none() || queue.frames.is_empty();
        self.ending.is_none()
            && self.client.mailbox.state() == State::Open
            && queue.waiting() < ENOUGH_TO_SEND
            && is_free
    }

    /// Bytes have come.
    fn take(&mut self, bytes: &[u8], local: &Local) {
        let now_ns = self.now_ns();
        let now_s = seconds(now_ns);
        self.heard_ns = now_ns;
        let mut replies = Vec::new();
        let Self { receiver, client, worker, .. } = self;
        let mut end = None;
        let mut full_scrape = None;
        let received = receiver.receive(bytes, now_ns, &mut replies, |message| {
            if worker.context.lists.block.load().blocks(&client.address) {
                end = Some((CloseCode::Policy, Some(Signal::ClosedBlocked)));
                return ControlFlow::Break(());
            }
            let then = match &message {
                Message::Text(text) => client.handle(text, worker, local, now_s),
                Message::Binary(bytes) => match str::from_utf8(bytes) {
                    Ok(text) => client.handle(text, worker, local, now_s),
                    Err(_) => {
                        end = Some(invalid("invalid UTF-8", CloseCode::Invalid, client, local));
                        return ControlFlow::Break(());
                    }
                },
                Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_) => Then::GoOn,
            };
            match then {
                Then::GoOn => return ControlFlow::Continue(()),
                Then::FullScrape(begun) => {
                    full_scrape = Some(Box::new(begun));
                    return ControlFlow::Continue(());
                }
                Then::End(Ends::Invalid) => end = Some((CloseCode::Invalid, Some(Signal::ClosedBad))),
                Then::End(Ends::Policy) => end = Some((CloseCode::Policy, Some(Signal::ClosedBad))),
            }
            ControlFlow::Break(())
        });
        match received {
            Ok(()) => {}
            Err(Error::ConnectionClosed) => {
                // The reply to the client's close is the last that is sent.
                self.last(&replies, None);
                return;
            }
            Err(Error::Capacity(_)) => {
                end = Some(invalid("message too large", CloseCode::Size, client, local));
            }
            Err(Error::Utf8(_)) => end = Some(invalid("invalid UTF-8", CloseCode::Invalid, client, local)),
            Err(_protocol) => end = Some((CloseCode::Protocol, Some(Signal::ClosedBad))),
        }
        if !replies.is_empty() {
            // Pongs, which may come between the fragments of a message.
            self.client.mailbox.queue().frames.extend(replies);
        }
        // A second one would have been refused: there is one at a time.
        self.full_scrape = self.full_scrape.take().or(full_scrape);
        if let Some((code, fate)) = end {
            self.close(code, fate);
        }
    }

    /// Sends what waits.
    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut queue = self.client.mailbox.queue();
            while let Some(frames) = queue.frames.get(queue.sent..).filter(|frames| !frames.is_empty()) {
                match self.stream.poll_write(context, frames) {
                    Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    Poll::Ready(Ok(count)) => {
                        self.stalled_ns = None;
                        queue.took(count);
                    }
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => {
                        drop(queue);
                        self.stalled_ns = self.stalled_ns.or(Some(self.now_ns()));
                        return Poll::Pending;
                    }
                }
            }
            let Some(full_scrape) = &mut self.full_scrape else {
                match queue.behind.take() {
                    Some(behind) => queue.frames = behind,
                    None => break,
                }
                continue;
            };
            let Some(local) = &self.worker.webtorrent else { break };
            let access = self.worker.context.lists.access.load();
            if !full_scrape.go_on(&local.shared, &access, &mut queue) {
                self.full_scrape = None;
            }
        }
        // With TLS the socket may have taken less.
        let flushed = self.stream.poll_flush(context);
        self.stalled_ns = match flushed {
            Poll::Pending => self.stalled_ns.or(Some(self.now_ns())),
            Poll::Ready(_) => None,
        };
        ready!(flushed)?;
        if std::mem::take(&mut self.held_back) {
            self.receiver.resume(self.now_ns());
            context.waker().wake_by_ref();
        }
        Poll::Ready(Ok(()))
    }

    /// Ends the connection with this status.
    fn close(&mut self, code: CloseCode, fate: Option<Signal>) {
        if self.ending.is_none() {
            let mut frame = Vec::new();
            frame::close(code, &mut frame);
            self.last(&frame, fate);
        }
    }

    /// A close frame is the last that is sent. Nobody offers this client anything from now on.
    fn last(&mut self, frame: &[u8], fate: Option<Signal>) {
        let mut queue = self.client.mailbox.queue();
        // Messages that wait behind one that won't be finished can't be sent.
        queue.behind = None;
        queue.frames.extend_from_slice(frame);
        drop(queue);
        self.full_scrape = None;
        if let Some(local) = &self.worker.webtorrent {
            self.client.leave(local);
        }
        self.client.mailbox.set_state(State::Closed);
        self.ending = Some(Ending { fate, since_ns: self.now_ns() });
    }

    /// Does what is due; `Some` when the connection ends at once.
    fn look_at_time(&mut self, now_ns: u64) -> Option<Option<Signal>> {
        let worker = Rc::clone(&self.worker);
        let Some(local) = &worker.webtorrent else { return Some(None) };
        let settings = &local.shared.settings;
        let since = |begin: u64| Duration::from_nanos(now_ns.saturating_sub(begin));
        if let Some(ending) = self.ending {
            return (since(ending.since_ns) >= FAREWELL).then_some(ending.fate);
        }
        let request_timeout = worker.context.settings.request_timeout;
        if self.stalled_ns.is_some_and(|begin| since(begin) >= request_timeout) {
            return Some(Some(Signal::ClosedSlow));
        }
        if self.unfinished_since_ns().is_some_and(|begin| since(begin) >= request_timeout) {
            self.close(CloseCode::Policy, Some(Signal::ClosedBad));
            return None;
        }
        if since(self.heard_ns) >= settings.idle_timeout {
            self.close(CloseCode::Away, Some(Signal::ClosedIdle));
            return None;
        }
        if since(self.heard_ns.max(self.pinged_ns)) >= settings.idle_timeout / 4 {
            self.pinged_ns = now_ns;
            // What waits is taken, or the client has gone: both will show.
            if self.client.mailbox.queue().frames.is_empty() {
                frame::ping(&mut self.client.mailbox.queue().frames);
                local.tally.count(Signal::Pings);
            }
        }
        if since(self.tidied_ns) >= TIDY_EVERY {
            self.tidied_ns = now_ns;
            self.client.expire(local, seconds(now_ns));
            if worker.context.lists.block.load().blocks(&self.client.address) {
                self.close(CloseCode::Policy, Some(Signal::ClosedBlocked));
            }
        }
        None
    }

    /// How long nothing is due.
    fn next_due(&self, now_ns: u64) -> Duration {
        let until = |begin: u64, limit: Duration| {
            limit.saturating_sub(Duration::from_nanos(now_ns.saturating_sub(begin)))
        };
        let settings = &self.worker.context.settings;
        let idle_timeout = settings.webtorrent.map(|settings| settings.idle_timeout).unwrap_or_default();
        let mut due = until(self.heard_ns.max(self.pinged_ns), idle_timeout / 4);
        due = due.min(until(self.heard_ns, idle_timeout));
        due = due.min(until(self.tidied_ns, TIDY_EVERY));
        for begin in [self.stalled_ns, self.unfinished_since_ns()].into_iter().flatten() {
            due = due.min(until(begin, settings.request_timeout));
        }
        if let Some(ending) = self.ending {
            due = due.min(until(ending.since_ns, FAREWELL));
        }
        // The clock is coarse: not a tick too early.
        due + Duration::from_millis(5)
    }

    /// Sets the timer to an earlier time if something is due before it.
    fn hurry(&self, timer: &mut Pin<&mut Sleep>, context: &mut Context<'_>) {
        let due = Instant::now() + self.next_due(self.now_ns());
        if due < timer.deadline() {
            timer.as_mut().reset(due);
            // The runtime has to know of it; nothing is due yet.
            let _pending = timer.as_mut().poll(context);
        }
    }

    /// Since when the client owes the rest of a message.
    fn unfinished_since_ns(&self) -> Option<u64> {
        self.receiver.unfinished_since_ns().filter(|_| !self.held_back)
    }

    fn now_ns(&self) -> u64 {
        (self.worker.context.clock)()
    }
}

/// Tells the client what is wrong with what it has sent, and with which status the connection ends.
fn invalid(
    reason: &'static str,
    code: CloseCode,
    client: &Client,
    local: &Local,
) -> (CloseCode, Option<Signal>) {
    local.tally.count(Signal::InInvalid);
    let refusal = Refusal { action: Action::Announce, reason, info_hash: None, ends: None };
    client.refuse(&refusal, local, &mut Vec::new());
    (code, Some(Signal::ClosedBad))
}

fn seconds(ns: u64) -> u32 {
    (ns / 1_000_000_000) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A task has some words more, and tokio's part of a socket some 200 bytes.
    #[test]
    fn waiting_connection_costs_little_memory() {
        fn size<F: Future>(_of: fn(Stream, Address, Place, Rc<Worker>) -> F) -> usize {
            size_of::<F>()
        }
        let size = size(serve);
        assert!(size <= 640, "{size} bytes");
    }
}
