//! All torrents, streamed (H14).

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::{Body, Frame};
use tracker_common::connection_id::Address;
use tracker_core::{SharedLists, TableReader};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    Identity,
}

impl Encoding {
    pub fn accepted<'a>(_values: impl Iterator<Item = &'a [u8]>) -> Self {
        Self::Identity
    }

    pub const fn name(self) -> Option<&'static str> {
        None
    }
}

pub struct Exports {}

pub struct Refused {
    pub retry_in_minutes: u32,
}

impl Exports {
    pub fn new(_table: TableReader, _lists: Arc<SharedLists>, _every: Duration) -> Self {
        Self {}
    }

    pub fn begin(&self, _source: Address, _encoding: Encoding, _now: Instant) -> Result<Chunks, Refused> {
        Err(Refused { retry_in_minutes: 1 })
    }
}

pub struct Chunks {}

impl Body for Chunks {
    type Data = Bytes;
    type Error = io::Error;
    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        Poll::Ready(None)
    }
}
