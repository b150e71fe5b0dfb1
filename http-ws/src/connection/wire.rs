//! A connection as hyper sees it: notes what happens, and makes raw bytes in targets readable.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use hyper::rt::{Read, ReadBufCursor, Write};

use super::activity::Activity;
use super::request_line::Escape;
use super::stream::Stream;
use crate::worker::Worker;

/// Bytes that are read at once at most; hyper's buffer isn't larger.
pub(crate) const READ_BYTES: usize = 8192;

/// A connection's bytes on their way to and from hyper.
pub(crate) struct Wire {
    pub(crate) stream: Stream,
    /// Come already, but not taken by hyper.
    pub(crate) ahead: Bytes,
    activity: Rc<Activity>,
    escape: Escape,
    worker: Rc<Worker>,
}

impl Wire {
    pub(crate) fn new(stream: Stream, activity: Rc<Activity>, worker: Rc<Worker>) -> Self {
        Self { stream, ahead: Bytes::new(), activity, escape: Escape::default(), worker }
    }
}

impl Read for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let wire = self.get_mut();
        if wire.ahead.is_empty() {
            let mut read = wire.worker.read_buffer.borrow_mut();
            let room = buffer.remaining().min(read.len());
            let Some(place) = read.get_mut(..room) else { return Poll::Ready(Ok(())) };
            let count = ready!(wire.stream.poll_read(context, place))?;
            if count == 0 {
                return Poll::Ready(Ok(()));
            }
            let bytes = place.get(..count).unwrap_or_default();
            match wire.escape.follow(bytes) {
                None => {
                    wire.activity.read();
                    buffer.put_slice(bytes);
                    return Poll::Ready(Ok(()));
                }
                Some(escaped) => wire.ahead = Bytes::from(escaped),
            }
        }
        // What is left of the bytes behind an earlier request is the beginning of the next.
        wire.activity.read();
        let count = wire.ahead.len().min(buffer.remaining());
        buffer.put_slice(wire.ahead.get(..count).unwrap_or_default());
        wire.ahead.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl Write for Wire {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let wire = self.get_mut();
        let count = ready!(match wire.activity.is_last() {
            true => wire.stream.poll_write_last(context, bytes),
            false => wire.stream.poll_write(context, bytes),
        })?;
        wire.activity.wrote(count);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let wire = self.get_mut();
        ready!(wire.stream.poll_flush(context))?;
        wire.activity.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().stream.poll_shutdown(context)
    }
}
