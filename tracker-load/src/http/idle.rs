//! Many connections that do nothing, and what they cost the server.
//!
//! Each has an address of its own, when the server listens on loopback, as a public tracker's clients have.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rustls::ClientConnection;
use socket2::{Domain, Socket, Type};

use super::answer::{self, Answer, Body};
use super::requests::Requests;
use crate::memory::Memory;
use crate::population::Population;
use crate::stream;
use crate::stream::tls::{Handshakes, Tls};
use crate::sys::files;

/// How long a server that has become quiet may still return memory.
const SETTLES_WITHIN: Duration = Duration::from_secs(5);

/// What is sent on each connection before it does nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Sends {
    /// An announce, whose answer is taken.
    Announce,
    /// The first byte of a request.
    Byte,
    /// Nothing but the TLS handshake, if there is TLS.
    Nothing,
}

/// What to open where.
pub(crate) struct Load {
    pub(crate) target: SocketAddr,
    pub(crate) connections: u32,
    pub(crate) tls: bool,
    pub(crate) sends: Sends,
    pub(crate) want: u32,
    pub(crate) memory_of: Option<u32>,
}

/// What came of it.
pub(crate) struct Measured {
    pub(crate) opened: u32,
    /// Connections that the server has closed meanwhile.
    pub(crate) closed: u32,
    pub(crate) peers: u64,
    pub(crate) time: Duration,
    /// Before the first connection and with all of them.
    pub(crate) memory: Option<(Memory, Memory)>,
}

pub(crate) fn run(load: &Load, mut population: Population) -> Result<Measured> {
    let wanted = u64::from(load.connections) + 64;
    let limit = files::raise_limit(wanted).context("cannot read the limit of files")?;
    ensure!(
        limit >= wanted,
        "{} connections need as many files, and the limit is {limit}: raise it (ulimit -n)",
        load.connections
    );
    let tls = if load.tls { Some(Tls::new(Handshakes::Full)?) } else { None };
    let requests = Requests::new(load.target, load.want, true);
    let before = load.memory_of.map(Memory::of).transpose()?;
    let start = Instant::now();
    let (mut sockets, mut peers) = (Vec::with_capacity(load.connections as usize), 0);
    let mut request = Vec::new();
    for number in 0..load.connections {
        match load.sends {
            Sends::Announce => requests.announce(&population.draw(), &mut request),
            Sends::Byte => request = b"G".to_vec(),
            Sends::Nothing => {}
        }
        let (socket, answered) = open(load.target, number, tls.as_ref(), &request)
            .with_context(|| format!("connection {number} to {}", load.target))?;
        sockets.push(socket);
        peers += answered as u64;
    }
    let time = start.elapsed();
    let after = load.memory_of.map(Memory::settled(SETTLES_WITHIN)).transpose()?;
    let closed = sockets.iter().filter(|socket| is_closed(socket)).count();
    Ok(Measured {
        opened: load.connections,
        closed: u32::try_from(closed).unwrap_or(u32::MAX),
        peers,
        time,
        memory: before.zip(after),
    })
}

/// One connection with its request sent and answered, if it is a whole one; how many peers came. Of TLS nothing is kept but the socket.
fn open(target: SocketAddr, number: u32, tls: Option<&Tls>, request: &[u8]) -> Result<(TcpStream, usize)> {
    let socket = Socket::new(Domain::for_address(target), Type::STREAM, None)?;
    if let Some(source) = stream::source(target, number) {
        socket.bind(&SocketAddr::new(source, 0).into())?;
    }
    socket.connect(&target.into())?;
    let mut socket: TcpStream = socket.into();
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(Duration::from_secs(10)))?;
    let peers = match tls {
        None => announce(&mut socket, request)?,
        Some(tls) => {
            let mut tls: ClientConnection = tls.connection()?;
            while tls.is_handshaking() {
                tls.complete_io(&mut socket)?;
            }
            announce(&mut rustls::Stream::new(&mut tls, &mut socket), request)?
        }
    };
    Ok((socket, peers))
}

fn announce(stream: &mut (impl Read + Write), request: &[u8]) -> Result<usize> {
    stream.write_all(request)?;
    if request.len() < 2 {
        return Ok(0);
    }
    let (mut received, mut len) = ([0; 8192], 0);
    loop {
        let read = stream.read(&mut received[len..])?;
        len += read;
        match answer::judge(&received[..len], read == 0) {
            Answer::Incomplete if read > 0 => {}
            Answer::Complete(complete) if !complete.closes => match complete.body {
                Body::Announced { peers } => return Ok(peers),
                Body::Failure | Body::Wrong => {
                    bail!("no peers: {}", String::from_utf8_lossy(&received[..len]))
                }
            },
            _ => bail!("no answer that keeps the connection: {}", String::from_utf8_lossy(&received[..len])),
        }
    }
}

/// Whatever else has come, an open connection has no end in its queue behind it.
fn is_closed(socket: &TcpStream) -> bool {
    let waits = socket.set_nonblocking(true).and_then(|()| loop_over(socket));
    !matches!(waits, Err(error) if error.kind() == ErrorKind::WouldBlock)
}

fn loop_over(mut socket: &TcpStream) -> io::Result<()> {
    while socket.read(&mut [0; 4096])? > 0 {}
    Ok(())
}
