//! The way of an answer from the thread that makes it to the connection that sends it: a few chunks, and who is faster waits.
//!
//! The thread [`Writer::send`]s and sleeps while the pipe is full; the connection polls [`Chunks`] and is woken. Either end notices when the
//! other is gone. An answer that isn't [finished](Writer::finish) ends with an error, whatever the reason: a reader never takes a part for the whole.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::{Body, Frame};

/// Chunks that wait to be sent at most: while one is written to the connection, the next are made.
const CHUNKS: usize = 4;

/// How slow a reader may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// It may take this long altogether, whatever there is to send,
    pub(super) grace: Duration,
    /// and a second more for so many bytes that it has taken.
    pub(super) bytes_per_second: u64,
}

impl Patience {
    fn after(self, bytes: u64) -> Duration {
        self.grace + Duration::from_secs(bytes / self.bytes_per_second.max(1))
    }
}

/// A pipe with its two ends.
pub(super) fn pipe(patience: Patience) -> (Writer, Chunks) {
    let shared = Arc::new(Shared::default());
    let writer = Writer { shared: Arc::clone(&shared), patience, sent: 0, waited: Duration::ZERO };
    (writer, Chunks { shared })
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// The writer waits here for room.
    room: Condvar,
}

#[derive(Debug, Default)]
struct State {
    chunks: VecDeque<Bytes>,
    end: End,
    is_abandoned: bool,
    /// The connection, when it waits for a chunk.
    waker: Option<Waker>,
}

/// What comes behind the chunks.
#[derive(Debug, Default)]
enum End {
    /// More of them.
    #[default]
    Open,
    /// Nothing: the answer is whole.
    Whole,
    /// This, once.
    Broken(io::Error),
}

impl Shared {
    /// No panic leaves the state half changed.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The end that an answer is put into.
#[derive(Debug)]
pub(super) struct Writer {
    shared: Arc<Shared>,
    patience: Patience,
    sent: u64,
    /// For the reader, altogether.
    waited: Duration,
}

impl Writer {
    /// Puts a chunk in, once there is room.
    ///
    /// # Errors
    ///
    /// The reader is gone, or was too slow altogether.
    pub(super) fn send(&mut self, chunk: Bytes) -> io::Result<()> {
        let mut state = self.shared.lock();
        while state.chunks.len() >= CHUNKS && !state.is_abandoned {
            let left = self.patience.after(self.sent).saturating_sub(self.waited);
            if left.is_zero() {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "the reader is too slow"));
            }
            let before = Instant::now();
            let waited = self.shared.room.wait_timeout(state, left);
            (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
            self.waited += before.elapsed();
        }
        if state.is_abandoned {
            return Err(io::Error::new(io::ErrorKind::BrokenPipe, "the reader is gone"));
        }
        self.sent += chunk.len() as u64;
        state.chunks.push_back(chunk);
        wake(state);
        Ok(())
    }

    /// The reader is gone: whatever is sent is for nobody.
    pub(super) fn is_abandoned(&self) -> bool {
        self.shared.lock().is_abandoned
    }

    /// The answer is whole.
    pub(super) fn finish(self) {
        self.end(End::Whole);
    }

    /// The answer can't go on.
    pub(super) fn fail(self, error: io::Error) {
        self.end(End::Broken(error));
    }

    fn end(&self, end: End) {
        let mut state = self.shared.lock();
        if matches!(state.end, End::Open) {
            state.end = end;
            wake(state);
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.end(End::Broken(io::Error::other("the answer ended early")));
    }
}

/// Wakes the connection, if it waits; without the lock, which it takes first thing.
fn wake(mut state: MutexGuard<'_, State>) {
    let waker = state.waker.take();
    drop(state);
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// A full scrape's body. Dropped, it ends the thread that makes it.
#[derive(Debug)]
pub struct Chunks {
    shared: Arc<Shared>,
}

impl Body for Chunks {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let mut state = self.shared.lock();
        if let Some(chunk) = state.chunks.pop_front() {
            drop(state);
            self.shared.room.notify_one();
            return Poll::Ready(Some(Ok(Frame::data(chunk))));
        }
        match std::mem::replace(&mut state.end, End::Whole) {
            End::Open => {
                state.end = End::Open;
                state.waker = Some(context.waker().clone());
                Poll::Pending
            }
            End::Whole => Poll::Ready(None),
            End::Broken(error) => Poll::Ready(Some(Err(error))),
        }
    }
}

impl Drop for Chunks {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.is_abandoned = true;
        state.chunks.clear();
        drop(state);
        self.shared.room.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::next;
    use super::*;

    const PATIENT: Patience = Patience { grace: Duration::from_secs(3600), bytes_per_second: 1 };

    #[test]
    fn chunks_come_out_in_order_and_then_the_end() {
        let (mut writer, mut chunks) = pipe(PATIENT);
        let thread = std::thread::spawn(move || {
            for number in 0..200u8 {
                writer.send(Bytes::copy_from_slice(&[number])).expect("there is a reader");
            }
            writer.finish();
        });
        for number in 0..200u8 {
            assert_eq!(next(&mut chunks).expect("a chunk").expect("no error"), [number][..]);
        }
        assert!(next(&mut chunks).is_none() && next(&mut chunks).is_none());
        thread.join().expect("no panic");
    }

    #[test]
    fn a_writer_that_is_dropped_breaks_the_answer() {
        let (mut writer, mut chunks) = pipe(PATIENT);
        writer.send(Bytes::from_static(b"a part")).expect("there is room");
        drop(writer);
        assert_eq!(next(&mut chunks).expect("a chunk").expect("no error"), "a part");
        next(&mut chunks).expect("not the end").expect_err("the rest is missing");
    }

    #[test]
    fn a_reader_that_goes_away_lets_a_waiting_writer_go() {
        let (mut writer, chunks) = pipe(PATIENT);
        let thread = std::thread::spawn(move || {
            loop {
                if let Err(error) = writer.send(Bytes::from_static(b"x")) {
                    return error.kind();
                }
            }
        });
        drop(chunks);
        assert_eq!(thread.join().expect("no panic"), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn a_reader_that_is_too_slow_is_given_up() {
        let (mut writer, mut chunks) = pipe(Patience { grace: Duration::ZERO, bytes_per_second: 1_000_000 });
        for _ in 0..CHUNKS {
            writer.send(Bytes::from_static(b"x")).expect("there is room");
        }
        let error = writer.send(Bytes::from_static(b"x")).expect_err("there is no room");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        writer.fail(error);
        for _ in 0..CHUNKS {
            next(&mut chunks).expect("a chunk").expect("no error");
        }
        let error = next(&mut chunks).expect("not the end").expect_err("the rest is missing");
        assert_eq!(error.to_string(), "the reader is too slow");
    }
}
