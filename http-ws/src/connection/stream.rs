//! A connection's bytes, with TLS or without.

use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::net::{SendFlags, send};
use tokio::io::{AsyncRead as _, AsyncWrite as _, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// A connection's bytes.
#[derive(Debug)]
pub(crate) enum Stream {
    /// Not known to the runtime: it has never had to wait. A connection that has its request when it is accepted, and ends with the answer,
    /// is spared the runtime's system calls.
    Fresh(Option<std::net::TcpStream>),
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Does something with the socket, if it hasn't to wait for that; otherwise the runtime gets to know the socket.
    fn at_once<T>(
        &mut self,
        mut act: impl FnMut(&mut std::net::TcpStream) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        let Self::Fresh(fresh) = self else { return Poll::Pending };
        let Some(mut socket) = fresh.take() else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        let result = loop {
            match act(&mut socket) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result,
            }
        };
        match result {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                *self = Self::Plain(TcpStream::from_std(socket)?);
                Poll::Pending
            }
            result => {
                *fresh = Some(socket);
                Poll::Ready(result)
            }
        }
    }

    /// The socket without TLS, known to the runtime.
    ///
    /// # Errors
    ///
    /// Those of making it known; there is TLS already.
    pub(crate) fn registered(self) -> io::Result<TcpStream> {
        match self {
            Self::Fresh(Some(socket)) => TcpStream::from_std(socket),
            Self::Plain(stream) => Ok(stream),
            Self::Fresh(None) | Self::Tls(_) => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Ready when the socket has something to read, its end included.
    pub(crate) fn poll_readable(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            // Nobody waits before something was tried.
            Self::Fresh(_) => Poll::Ready(Ok(())),
            Self::Plain(stream) => stream.poll_read_ready(context),
            Self::Tls(stream) => stream.get_ref().0.poll_read_ready(context),
        }
    }

    /// Reads some bytes, 0 at the end.
    pub(crate) fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(result) = self.at_once(|socket| socket.read(buffer)) {
            return Poll::Ready(result);
        }
        let mut buffer = ReadBuf::new(buffer);
        ready!(match self {
            Self::Fresh(_) => return unregistered(),
            Self::Plain(stream) => Pin::new(stream).poll_read(context, &mut buffer),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_read(context, &mut buffer),
        })?;
        Poll::Ready(Ok(buffer.filled().len()))
    }

    pub(crate) fn poll_write(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if let Poll::Ready(result) = self.at_once(|socket| socket.write(bytes)) {
            return Poll::Ready(result);
        }
        match self {
            Self::Fresh(_) => unregistered(),
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_write(context, bytes),
        }
    }

    /// Writes what the connection is closed behind: it leaves together with the close, in one segment.
    pub(crate) fn poll_write_last(
        &mut self,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(result) = self.at_once(|socket| send_with_more(&*socket, bytes)) {
            return Poll::Ready(result);
        }
        let Self::Plain(stream) = &*self else { return self.poll_write(context, bytes) };
        loop {
            ready!(stream.poll_write_ready(context))?;
            match stream.try_io(Interest::WRITABLE, || send_with_more(stream, bytes)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
    }

    pub(crate) fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Fresh(_) => Poll::Ready(Ok(())),
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(context),
        }
    }

    /// The system forgets at once what isn't sent when this is dropped.
    pub(crate) fn forget_unsent(&self) {
        let stream = match self {
            // It has never had to wait, so everything is sent.
            Self::Fresh(_) => return,
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream.get_ref().0,
        };
        // A socket that is broken already has nothing to forget.
        let _broken = stream.set_zero_linger();
    }

    /// Says that nothing more is sent.
    pub(crate) fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Poll::Ready(result) = self.at_once(|socket| socket.shutdown(Shutdown::Write)) {
            return Poll::Ready(result);
        }
        match self {
            Self::Fresh(_) => unregistered(),
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(context),
        }
    }
}

/// The system waits for what follows, at most 200 ms.
fn send_with_more(socket: impl AsFd, bytes: &[u8]) -> io::Result<usize> {
    Ok(send(socket, bytes, SendFlags::MORE | SendFlags::NOSIGNAL)?)
}

/// A socket that has to wait isn't fresh any more, see [`Stream::at_once`].
fn unregistered<T>() -> Poll<io::Result<T>> {
    Poll::Ready(Err(io::ErrorKind::NotConnected.into()))
}
