//! What is sent after the header: bytes that are there, or a full scrape as it comes.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::connection::Streaming;
use crate::full_scrape::Chunks;

/// The body of an answer.
pub(crate) enum AnswerBody {
    /// All of it.
    Whole(Option<Bytes>),
    /// Piece by piece; the connection isn't idle until the end.
    Streamed {
        /// The pieces.
        chunks: Box<Chunks>,
        /// Until the end.
        streaming: Streaming,
    },
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Streamed { chunks, streaming } => {
                let frame = Pin::new(chunks.as_mut()).poll_frame(context);
                streaming.has_piece(frame.is_ready());
                frame
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_none(),
            Self::Streamed { chunks, .. } => chunks.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Streamed { .. } => SizeHint::default(),
        }
    }
}
