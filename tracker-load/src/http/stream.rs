//! One connection, plain or TLS, that never blocks.

use std::io::{self, ErrorKind, Read, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use rustls::{ClientConnection, HandshakeKind};
use socket2::{Domain, Socket, Type};

use super::tls::Tls;

/// The longest answer, header included, that is taken.
const LONGEST: usize = 16 << 10;

/// What rustls reads in one call at most: less means that there is no more.
const TLS_READ: usize = 4096;

/// A connection and what of its answer has come.
pub(crate) struct Stream {
    socket: TcpStream,
    tls: Option<Box<ClientConnection>>,
    /// Of a request, what the socket hasn't taken yet.
    unsent: Vec<u8>,
}

/// What was received.
pub(crate) struct Input {
    bytes: Box<[u8; LONGEST]>,
    len: usize,
}

impl Input {
    pub(crate) fn new() -> Self {
        Self { bytes: Box::new([0; LONGEST]), len: 0 }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    pub(crate) fn clear(&mut self) {
        self.len = 0;
    }

    /// Reads once: `Ok(None)` when there is nothing, otherwise how much, 0 at the end, and how much room there was.
    fn fill(&mut self, from: &mut impl Read) -> io::Result<Option<(usize, usize)>> {
        let room = &mut self.bytes[self.len..];
        if room.is_empty() {
            return Err(io::Error::new(ErrorKind::InvalidData, "an answer of more than 16 KiB"));
        }
        let room_len = room.len();
        match from.read(room) {
            Ok(read) => {
                self.len += read;
                Ok(Some((read, room_len)))
            }
            Err(error) => nothing_yet(error).map(|()| None),
        }
    }
}

impl Stream {
    /// Begins to connect.
    pub(crate) fn open(target: SocketAddr, tls: Option<&Tls>) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(target), Type::STREAM.nonblocking(), None)?;
        match socket.connect(&target.into()) {
            Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => return Err(error),
            _ => {}
        }
        if tls.is_some() {
            // Its handshake is several small writes in one direction, which the kernel would otherwise hold back.
            socket.set_tcp_nodelay(true)?;
        }
        let tls = tls.map(Tls::connection).transpose().map_err(io::Error::other)?;
        Ok(Self { socket: socket.into(), tls: tls.map(Box::new), unsent: Vec::new() })
    }

    pub(crate) fn send(&mut self, request: &[u8]) -> io::Result<()> {
        if let Some(tls) = &mut self.tls {
            tls.writer().write_all(request)?;
            return self.flush();
        }
        let sent = match self.socket.write(request) {
            Ok(sent) => sent,
            Err(error) => nothing_yet(error).map(|()| 0)?,
        };
        self.unsent.extend_from_slice(&request[sent..]);
        Ok(())
    }

    /// Sends what the socket didn't take before.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        if let Some(tls) = &mut self.tls {
            while tls.wants_write() {
                if let Err(error) = tls.write_tls(&mut self.socket) {
                    return nothing_yet(error);
                }
            }
        } else if !self.unsent.is_empty() {
            match self.socket.write(&self.unsent) {
                Ok(sent) => _ = self.unsent.drain(..sent),
                Err(error) => return nothing_yet(error),
            }
        }
        Ok(())
    }

    /// Takes what has come; true when the server has closed. With `to_the_end` it reads on until there is nothing more, otherwise a
    /// read that is short is the last one, since epoll tells when more comes.
    pub(crate) fn receive(&mut self, into: &mut Input, to_the_end: bool) -> io::Result<bool> {
        let Some(tls) = &mut self.tls else {
            loop {
                match into.fill(&mut self.socket)? {
                    None => return Ok(false),
                    Some((0, _)) => return Ok(true),
                    Some((read, room)) if read < room && !to_the_end => return Ok(false),
                    Some(_) => {}
                }
            }
        };
        let mut ended = false;
        loop {
            let read = match tls.read_tls(&mut self.socket) {
                Ok(read) => read,
                Err(error) => break nothing_yet(error)?,
            };
            tls.process_new_packets().map_err(io::Error::other)?;
            ended |= read == 0;
            while let Some((more, _)) = into.fill(&mut tls.reader())? {
                if more == 0 {
                    ended = true;
                    break;
                }
            }
            if ended || (read < TLS_READ && !to_the_end) {
                break;
            }
        }
        self.flush()?;
        Ok(ended)
    }

    /// Closes with a reset. An ordinary close would keep the address for a minute (TIME_WAIT) on the side that closes first.
    pub(crate) fn close(self) {
        // A connection that is gone already can't be reset, and needn't be.
        let _ = socket2::SockRef::from(&self.socket).set_linger(Some(Duration::ZERO));
    }

    /// Whether the handshake resumed a session; `None` for plain connections.
    pub(crate) fn resumed(&self) -> Option<bool> {
        Some(self.tls.as_ref()?.handshake_kind()? == HandshakeKind::Resumed)
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// A socket that isn't ready, or isn't connected yet, is no error.
fn nothing_yet(error: io::Error) -> io::Result<()> {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::Interrupted | ErrorKind::NotConnected => Ok(()),
        _ => Err(error),
    }
}
