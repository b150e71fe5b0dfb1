//! One client with one socket, for tests that ask a tracker a few things.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use crate::answer::{Answer, Counts};
use crate::netns::Namespace;
use crate::payload::{self, Announce};

/// How long an answer may take before it counts as missing.
const PATIENCE: Duration = Duration::from_secs(10);

/// A client of the tracker at one address.
#[derive(Debug)]
pub struct Client {
    socket: UdpSocket,
    server: SocketAddr,
}

impl Client {
    /// A client in a namespace, or in this process's.
    #[track_caller]
    pub fn new(namespace: Option<&Namespace>, server: SocketAddr) -> Self {
        let any: IpAddr =
            if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let open = || UdpSocket::bind(SocketAddr::new(any, 0));
        let socket = match namespace {
            Some(namespace) => namespace.inside(open),
            None => open(),
        };
        let socket = socket.expect("a free port");
        socket.connect(server).unwrap_or_else(|error| panic!("the way to {server}: {error}"));
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout that is not zero");
        Self { socket, server }
    }

    /// Sends without waiting for an answer.
    #[track_caller]
    pub fn send(&self, request: &[u8]) {
        self.socket.send(request).unwrap_or_else(|error| panic!("sending to {}: {error}", self.server));
    }

    /// Sends a request, which has to be answered.
    #[track_caller]
    pub fn ask(&self, request: &[u8]) -> Answer {
        self.send(request);
        let mut buffer = [0; 2048];
        let len = self
            .socket
            .recv(&mut buffer)
            .unwrap_or_else(|error| panic!("no answer from {} to {request:02x?}: {error}", self.server));
        Answer::read(&buffer[..len], self.server.is_ipv6()).unwrap_or_else(|why| panic!("{why}"))
    }

    /// Connects.
    #[track_caller]
    pub fn connection_id(&self) -> u64 {
        match self.ask(&payload::connect(1)) {
            Answer::Connect { connection_id, .. } => connection_id,
            other => panic!("a connect got {other:?}"),
        }
    }

    /// Connects and announces.
    #[track_caller]
    pub fn announce(&self, announce: &Announce) -> Answer {
        let connection_id = self.connection_id();
        self.ask(&Announce { connection_id, ..announce.clone() }.bytes())
    }

    /// Connects and announces a torrent: nothing when it is allowed, otherwise what the error says.
    #[track_caller]
    pub fn refusal(&self, info_hash: [u8; 20]) -> Option<String> {
        match self.announce(&Announce { info_hash, ..Announce::default() }) {
            Answer::Announce { .. } => None,
            Answer::Error { text, .. } => Some(text),
            other => panic!("an announce got {other:?}"),
        }
    }

    /// Connects and asks for the counts of one torrent.
    #[track_caller]
    pub fn counts(&self, info_hash: [u8; 20]) -> Counts {
        match self.ask(&payload::scrape(self.connection_id(), 1, &[info_hash])) {
            Answer::Scrape { counts, .. } if counts.len() == 1 => counts[0],
            other => panic!("a scrape got {other:?}"),
        }
    }
}
