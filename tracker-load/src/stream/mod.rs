//! One connection, plain or [`tls`], that never blocks.

pub(crate) mod tls;

use std::io::{self, ErrorKind, Read, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use rustls::{ClientConnection, HandshakeKind};
use socket2::{Domain, SockRef, Socket, Type};

use tls::Tls;

/// What rustls reads in one call at most: less means that there is no more.
const TLS_READ: usize = 4096;

/// A connection.
pub(crate) struct Stream {
    socket: TcpStream,
    tls: Option<Box<ClientConnection>>,
    /// Of a request, what the socket hasn't taken yet.
    unsent: Vec<u8>,
    /// What comes is confirmed at once.
    confirms: bool,
}

/// How [`Stream::receive`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// There is nothing more for now.
    All,
    /// There is no room for more.
    Full,
    /// The server has closed.
    Ended,
}

/// What was received.
#[derive(Default)]
pub(crate) struct Input {
    bytes: Box<[u8]>,
    len: usize,
}

impl Input {
    pub(crate) fn with_room(room: usize) -> Self {
        Self { bytes: vec![0; room].into_boxed_slice(), len: 0 }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    pub(crate) fn clear(&mut self) {
        self.len = 0;
    }

    /// What came earlier and wasn't used yet, in place of what it held. As much as there is room for: a caller keeps no more.
    pub(crate) fn begin_with(&mut self, earlier: &[u8]) {
        self.len = earlier.len().min(self.bytes.len());
        self.bytes[..self.len].copy_from_slice(&earlier[..self.len]);
    }

    fn is_full(&self) -> bool {
        self.len == self.bytes.len()
    }

    /// Reads once, unless it is full: `Ok(None)` when there is nothing, otherwise how much, 0 at the end, and how much room there was.
    fn fill(&mut self, from: &mut impl Read) -> io::Result<Option<(usize, usize)>> {
        let room = &mut self.bytes[self.len..];
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
    /// Begins to connect, from an address of the client's when there is one.
    pub(crate) fn open(target: SocketAddr, from: Option<IpAddr>, tls: Option<&Tls>) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(target), Type::STREAM.nonblocking(), None)?;
        if let Some(address) = from {
            socket.bind(&SocketAddr::new(address, 0).into())?;
        }
        match socket.connect(&target.into()) {
            Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => return Err(error),
            _ => {}
        }
        if tls.is_some() {
            // Its handshake is several small writes in one direction, which the kernel would otherwise hold back.
            socket.set_tcp_nodelay(true)?;
        }
        let tls = tls.map(Tls::connection).transpose().map_err(io::Error::other)?;
        Ok(Self { socket: socket.into(), tls: tls.map(Box::new), unsent: Vec::new(), confirms: false })
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

    /// From now on nothing is held back: neither segments until an earlier one is confirmed (Nagle's algorithm), nor what confirms those
    /// of the server, which would hold back a server that has left Nagle's algorithm on, 40 ms each time.
    pub(crate) fn holds_nothing_back(&mut self) -> io::Result<()> {
        self.confirms = true;
        self.socket.set_nodelay(true)
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

    /// Takes what has come. With `to_the_end` it reads on until there is nothing more, otherwise a read that is short is the last
    /// one, since epoll tells when more comes.
    pub(crate) fn receive(&mut self, into: &mut Input, to_the_end: bool) -> io::Result<Received> {
        let received = self.read(into, to_the_end);
        if self.confirms && received.is_ok() {
            // The kernel forgets it by itself; on a connection that has just broken it is of no use.
            let _ = SockRef::from(&self.socket).set_tcp_quickack(true);
        }
        received
    }

    fn read(&mut self, into: &mut Input, to_the_end: bool) -> io::Result<Received> {
        let Some(tls) = &mut self.tls else {
            loop {
                if into.is_full() {
                    return Ok(Received::Full);
                }
                match into.fill(&mut self.socket)? {
                    None => return Ok(Received::All),
                    Some((0, _)) => return Ok(Received::Ended),
                    Some((read, room)) if read < room && !to_the_end => return Ok(Received::All),
                    Some(_) => {}
                }
            }
        };
        // A call that ended for lack of room may have left something.
        let mut received = decrypted(tls, into)?;
        while received == Received::All {
            let read = match tls.read_tls(&mut self.socket) {
                Ok(read) => read,
                Err(error) => {
                    nothing_yet(error)?;
                    break;
                }
            };
            tls.process_new_packets().map_err(io::Error::other)?;
            received = match decrypted(tls, into)? {
                Received::All if read == 0 => Received::Ended,
                received => received,
            };
            if read < TLS_READ && !to_the_end {
                break;
            }
        }
        self.flush()?;
        Ok(received)
    }

    /// Closes with a reset. An ordinary close would keep the address for a minute (TIME_WAIT) on the side that closes first.
    pub(crate) fn close(self) {
        // A connection that is gone already can't be reset, and needn't be.
        let _ = SockRef::from(&self.socket).set_linger(Some(Duration::ZERO));
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

/// The address that connection number `number` comes from: its own when the server is on loopback (127.1.0.1 and on), so that ports
/// don't run out, and what a server keeps for an address is part of the cost.
pub(crate) fn source(target: SocketAddr, number: u32) -> Option<IpAddr> {
    let own = target.ip().is_loopback() && target.is_ipv4();
    own.then(|| IpAddr::V4(Ipv4Addr::from_bits(0x7f01_0001 + number)))
}

/// Takes what TLS has decrypted.
fn decrypted(tls: &mut ClientConnection, into: &mut Input) -> io::Result<Received> {
    loop {
        if into.is_full() {
            return Ok(Received::Full);
        }
        match into.fill(&mut tls.reader())? {
            None => return Ok(Received::All),
            Some((0, _)) => return Ok(Received::Ended),
            Some(_) => {}
        }
    }
}

/// A socket that isn't ready, or isn't connected yet, is no error.
fn nothing_yet(error: io::Error) -> io::Result<()> {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::Interrupted | ErrorKind::NotConnected => Ok(()),
        _ => Err(error),
    }
}
