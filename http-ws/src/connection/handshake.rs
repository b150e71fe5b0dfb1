//! A TLS handshake, and how many there may be at once.
//!
//! A handshake takes a turn when the client's first message is whole, and gives it back at the end. When all turns are taken, newcomers wait;
//! but a turn that is taken for longer than an honest client needs goes to the next, or some who never end theirs would keep HTTPS from
//! everybody. Called by [`serve`](super::serve). Tests are below, and in tracker-user's `tests/http_operations`.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use rustls::server::Acceptor;
use rustls::{HandshakeKind, ServerConfig};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};
use tokio_rustls::LazyConfigAcceptor;

use super::stream::Stream;
use crate::counters::Counter;
use crate::worker::Worker;

/// Encrypted bytes that wait for a client to take them, at most.
const MAX_UNSENT: usize = 16 * 1024;

/// Some round trips around the world.
const LONG: Duration = Duration::from_secs(1);

/// Shakes hands; or what has to be counted.
pub(super) async fn shake(
    stream: Stream,
    config: Arc<ServerConfig>,
    worker: &Worker,
) -> Result<Stream, Counter> {
    let shaken = timeout(worker.context.settings.handshake_timeout, async {
        let hello = LazyConfigAcceptor::new(Acceptor::default(), stream.registered()?).await?;
        let turn = worker.handshakes.take().await;
        let mut shaken = pin!(hello.into_stream_with(config, |tls| tls.set_buffer_limit(Some(MAX_UNSENT))));
        let mut crowded_out = pin!(turn.crowded_out());
        poll_fn(|context| match crowded_out.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => shaken.as_mut().poll(context),
        })
        .await
    });
    match shaken.await {
        Ok(Ok(stream)) => {
            worker.tally.count(Counter::TlsHandshakes);
            if stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed) {
                worker.tally.count(Counter::TlsResumed);
            }
            Ok(Stream::Tls(Box::new(stream)))
        }
        Ok(Err(error)) if error.kind() == io::ErrorKind::TimedOut => Err(Counter::TlsTimedOut),
        Ok(Err(_failed)) => Err(Counter::TlsFailed),
        Err(_elapsed) => Err(Counter::TlsTimedOut),
    }
}

/// The handshakes of a worker that may go on at once.
#[derive(Debug)]
pub(crate) struct Turns {
    max: usize,
    /// Those that go on, the oldest first.
    taken: RefCell<VecDeque<Rc<Taken>>>,
    given_back: Notify,
}

#[derive(Debug)]
struct Taken {
    since: Instant,
    crowded_out: Notify,
}

impl Turns {
    pub(crate) fn new(max: usize) -> Self {
        Self { max: max.max(1), taken: RefCell::default(), given_back: Notify::new() }
    }

    async fn take(&self) -> Turn<'_> {
        loop {
            let oldest = self.taken.borrow().front().map_or(Duration::ZERO, |oldest| oldest.since.elapsed());
            let is_full = self.taken.borrow().len() >= self.max;
            if is_full && oldest < LONG {
                // Or as soon as the oldest has been at it for too long.
                let _in_vain = timeout(LONG - oldest, self.given_back.notified()).await;
                continue;
            }
            let mut taken = self.taken.borrow_mut();
            if is_full && let Some(oldest) = taken.pop_front() {
                oldest.crowded_out.notify_one();
            }
            let turn = Rc::new(Taken { since: Instant::now(), crowded_out: Notify::new() });
            taken.push_back(Rc::clone(&turn));
            return Turn { turns: self, taken: turn };
        }
    }
}

/// Given back on drop.
#[derive(Debug)]
struct Turn<'a> {
    turns: &'a Turns,
    taken: Rc<Taken>,
}

impl Turn<'_> {
    /// Ends when the turn has gone to somebody else.
    async fn crowded_out(&self) {
        self.taken.crowded_out.notified().await;
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.turns.taken.borrow_mut().retain(|taken| !Rc::ptr_eq(taken, &self.taken));
        self.turns.given_back.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run<T>(test: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("there are descriptors").block_on(test)
    }

    #[test]
    fn turn_that_is_given_back_goes_to_who_waits() {
        run(async {
            let turns = Turns::new(2);
            let (first, _second) = (turns.take().await, turns.take().await);
            let mut third = pin!(turns.take());
            assert!(poll_fn(|context| Poll::Ready(third.as_mut().poll(context).is_pending())).await);
            drop(first);
            let _third = third.await;
            assert_eq!(turns.taken.borrow().len(), 2);
        });
    }

    #[test]
    fn oldest_of_all_turns_goes_to_who_waits_for_too_long() {
        run(async {
            let turns = Turns::new(2);
            let (oldest, younger) = (turns.take().await, turns.take().await);
            // Waits for a second.
            let third = turns.take().await;
            oldest.crowded_out().await;
            let mut stays = pin!(younger.crowded_out());
            assert!(poll_fn(|context| Poll::Ready(stays.as_mut().poll(context).is_pending())).await);
            drop(oldest);
            assert_eq!(turns.taken.borrow().len(), 2, "its turn was somebody else's");
            drop(third);
            assert_eq!(turns.taken.borrow().len(), 1);
        });
    }
}
