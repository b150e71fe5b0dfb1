//! The PROXY protocol's header at the beginning of a connection.

use std::io;
use std::net::SocketAddr;

use tokio::io::AsyncReadExt as _;

use super::stream::Stream;
use crate::proxy::{MAX_PREFACE, Preface, preface};

/// Reads the header and nothing behind it; the connection behind it, and the client that it names, if any.
///
/// # Errors
///
/// There is none, a bad one, or the connection broke.
pub(super) async fn read(stream: Stream) -> io::Result<(Stream, Option<SocketAddr>)> {
    let mut stream = stream.registered()?;
    let mut buffer = [0; MAX_PREFACE];
    let mut had = 0;
    loop {
        let place = buffer.get_mut(had..).unwrap_or_default();
        // Looked at before it is taken: what follows the header is TLS or HTTP.
        let seen = stream.peek(place).await?;
        let (taken, answer) = match preface(buffer.get(..had + seen).unwrap_or_default()) {
            Preface::Header { len, source } => (len.saturating_sub(had), Some(source)),
            Preface::Incomplete if seen > 0 => (seen, None),
            Preface::Incomplete | Preface::Bad => return Err(io::ErrorKind::InvalidData.into()),
        };
        let header = buffer.get_mut(had..had + taken).ok_or(io::ErrorKind::InvalidData)?;
        stream.read_exact(header).await?;
        if let Some(source) = answer {
            return Ok((Stream::Plain(stream), source));
        }
        had += taken;
    }
}
