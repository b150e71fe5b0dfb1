//! One connection at a time, with one request under way.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use anyhow::{Context as _, Result};

use crate::http::LONGEST;
use crate::mix::verdict::Asked;
use crate::stream::tls::{Handshakes, Tls};
use crate::stream::{Input, Stream};
use crate::sys::poller::Poller;

/// A request that is out.
#[derive(Clone, Copy)]
pub(super) struct Out {
    /// When it was due; latency counts from here.
    pub(super) due: Instant,
    pub(super) sent: Instant,
    pub(super) asked: Asked,
    pub(super) info_hash: [u8; 20],
}

/// A client: its own address, and its own TLS tickets.
pub(super) struct Client {
    pub(super) stream: Option<Stream>,
    tls: Option<Tls>,
    source: Option<IpAddr>,
    pub(super) input: Input,
    pub(super) request: Vec<u8>,
    pub(super) out: Option<Out>,
    /// The answer has come and the server is about to close.
    pub(super) closing: bool,
    /// It waits for something to do.
    pub(super) is_free: bool,
}

impl Client {
    pub(super) fn new(source: Option<IpAddr>, tls: Option<Handshakes>) -> Result<Self> {
        Ok(Self {
            stream: None,
            tls: tls.map(Tls::new).transpose()?,
            source,
            input: Input::with_room(LONGEST),
            request: Vec::new(),
            out: None,
            closing: false,
            is_free: true,
        })
    }

    /// Sends its request, on a new connection when it has none; false when the server has closed meanwhile.
    pub(super) fn send(
        &mut self,
        number: usize,
        target: SocketAddr,
        poller: &Poller,
        out: Out,
    ) -> Result<bool> {
        self.input.clear();
        self.closing = false;
        self.out = Some(out);
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => {
                let stream = Stream::open(target, self.source, self.tls.as_ref()).with_context(|| {
                    let from = self.source.map_or_else(String::new, |source| format!(" from {source}"));
                    format!("cannot connect to {target}{from}")
                })?;
                poller.add(std::os::fd::AsFd::as_fd(&stream), number).context("cannot watch a socket")?;
                none.insert(stream)
            }
        };
        Ok(stream.send(&self.request).is_ok())
    }

    /// Has no connection any more.
    pub(super) fn leave(&mut self) {
        self.stream.take().into_iter().for_each(Stream::close);
        self.closing = false;
    }
}
