//! Clients with ordinary UDP sockets: the [`Path`] to a running tracker.
//!
//! Silence is not waited for. After a request that should get none, a request that will be answered follows on each
//! of the two ways a request can go (a connect, which the kernel may answer, and a scrape, which the daemon answers);
//! packets do not overtake one another, so when both answers are there the first request has been dealt with. In
//! the same way a marker announce, once it is seen in a scrape, proves that all announces before it are in the table.

use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::answer::Answer;
use crate::daemon::is_timeout;
use crate::netns::Namespace;
use crate::packet::Checksum;
use crate::payload::{self, Announce};
use crate::raw::RawSender;
use crate::rows::{Family, Host, Need, Shape, Source, SourcePort};
use crate::run::{Hosts, Path};
use crate::sys;

/// Info hashes of the marker announces, by family. Every set-up has to let them in.
pub const MARKERS: [[u8; 20]; 2] = [[0xf4; 20], [0xf6; 20]];

/// The host that proves silence and settles; no case uses it and no block list holds it.
const FENCE: Host = Host::Number(0xff01);

/// How long an answer may take before it counts as missing.
const PATIENCE: Duration = Duration::from_secs(10);

/// More sockets than this are closed and made anew, to stay below the limit of open files.
const MOST_SOCKETS: usize = 200;

/// Clients of one tracker.
#[derive(Debug)]
pub struct Sockets {
    hosts: Hosts,
    namespace: Option<Arc<Namespace>>,
    v4: SocketAddr,
    v6: Option<SocketAddr>,
    open: HashMap<Source, UdpSocket>,
    markers: [u16; 2],
    requests: u32,
    raw: Option<RawSender>,
}

impl Sockets {
    /// Clients at `hosts` of a namespace (or of this process's) for a tracker at these addresses; without an
    /// IPv6 address only IPv4 is on offer.
    pub fn new(
        hosts: Hosts,
        namespace: Option<Arc<Namespace>>,
        v4: SocketAddr,
        v6: Option<SocketAddr>,
    ) -> Self {
        Self { hosts, namespace, v4, v6, open: HashMap::new(), markers: [0; 2], requests: 0, raw: None }
    }

    /// The same clients, who can also send what sockets can't.
    pub fn with_raw(self, raw: RawSender) -> Self {
        Self { raw: Some(raw), ..self }
    }

    fn fence_host(family: Family) -> Source {
        Source { family, host: FENCE, port: SourcePort::First, shape: Shape::Plain }
    }

    #[track_caller]
    fn socket(&mut self, source: &Source) -> &UdpSocket {
        if self.open.len() > MOST_SOCKETS {
            self.open.clear();
        }
        let (hosts, namespace, server) = (self.hosts, self.namespace.clone(), self.server(source.family));
        self.open.entry(*source).or_insert_with(|| {
            let local = SocketAddr::new(hosts.address(source.family, source.host), 0);
            let open = || UdpSocket::bind(local);
            let socket = match &namespace {
                Some(namespace) => namespace.inside(open),
                None => open(),
            };
            let socket = socket.unwrap_or_else(|error| panic!("a socket at {local}: {error}"));
            socket
                .connect(server)
                .unwrap_or_else(|error| panic!("the way from {local} to {server}: {error}"));
            socket.set_read_timeout(Some(PATIENCE)).expect("a timeout that is not zero");
            if source.shape == Shape::Options {
                set_ip_options(&socket, source.family);
            }
            socket
        })
    }

    fn server(&self, family: Family) -> SocketAddr {
        match family {
            Family::V4 => self.v4,
            Family::V6 | Family::Mapped => self.v6.expect("IPv6 is on offer"),
        }
    }

    /// Sends a request and waits for its answer; an earlier request's answer is left out.
    fn ask(&mut self, source: &Source, request: &[u8]) -> Option<Vec<u8>> {
        let socket = self.socket(source);
        // An ICMP error of an earlier request would surface here.
        socket.send(request).unwrap_or_else(|error| panic!("sending from {source:?}: {error}"));
        receive(socket)
    }

    /// A request of the fence host, numbered so that its answer can't be taken for another's.
    fn ask_numbered(&mut self, source: &Source, mut request: Vec<u8>) -> Answer {
        self.requests += 1;
        let number = 0xfe00_0000 | self.requests;
        request[12..16].copy_from_slice(&number.to_be_bytes());
        let bytes = self
            .ask(source, &request)
            .unwrap_or_else(|| panic!("the tracker does not answer {source:?} at all"));
        let answer = Answer::read(&bytes, source.family == Family::V6).unwrap_or_else(|why| panic!("{why}"));
        assert_eq!(answer.transaction(), number, "{answer:?}");
        answer
    }

    fn connection_id(&mut self, source: &Source) -> u64 {
        match self.ask_numbered(source, payload::connect(0)) {
            Answer::Connect { connection_id, .. } => connection_id,
            other => panic!("a connect got {other:?}"),
        }
    }

    /// Sends what a socket can't; an answer would have come when the fence has passed.
    fn exchange_raw(&mut self, source: &Source, request: &[u8]) -> Option<Vec<u8>> {
        let raw = self.raw.take().expect("raw frames are on offer");
        let port = if source.port == SourcePort::Zero { 0 } else { 40_000 };
        let (client, server) = (self.hosts.address(source.family, source.host), self.server(source.family));
        let checksum = if source.shape == Shape::BadChecksum { Checksum::Bad } else { Checksum::Good };
        raw.received(server.ip(), client);
        raw.send(SocketAddr::new(client, port), server, checksum, request);
        self.fence(source.family);
        let answer = raw.received(server.ip(), client);
        self.raw = Some(raw);
        answer
    }

    /// Returns when everything sent before has been dealt with.
    fn fence(&mut self, family: Family) {
        let host = Self::fence_host(family);
        let id = self.connection_id(&host);
        self.ask_numbered(&host, payload::scrape(id, 0, &MARKERS));
    }
}

impl Path for Sockets {
    fn offers(&self, need: Need) -> bool {
        match need {
            Need::Family(Family::V6) => self.v6.is_some(),
            Need::Family(_) => true,
            // An extension header needs a capability that IPv4 options do not.
            Need::Shape(Shape::Options) => self.namespace.is_some(),
            Need::AnySource | Need::Shape(Shape::BadChecksum) => self.raw.is_some(),
            Need::MappedSource | Need::Clock | Need::Shape(_) => false,
        }
    }

    fn hosts(&self) -> Hosts {
        self.hosts
    }

    fn exchange(&mut self, source: &Source, request: &[u8], silence: bool) -> Option<Vec<u8>> {
        let is_raw = matches!(source.host, Host::Odd(_))
            || source.port == SourcePort::Zero
            || source.shape == Shape::BadChecksum;
        if is_raw {
            return self.exchange_raw(source, request);
        }
        if !silence {
            return self.ask(source, request);
        }
        self.socket(source).send(request).unwrap_or_else(|error| panic!("sending from {source:?}: {error}"));
        self.fence(source.family);
        let socket = self.socket(source);
        socket.set_nonblocking(true).expect("a socket");
        let answer = receive(socket);
        socket.set_nonblocking(false).expect("a socket");
        answer
    }

    fn settle(&mut self, family: Family) {
        // Of the events of one step of the clock stops go last, so a marker may be applied a moment before them; the next one is
        // applied after both.
        for _ in 0..2 {
            self.mark(family);
        }
    }
}

impl Sockets {
    /// Announces a marker and waits until it is counted.
    fn mark(&mut self, family: Family) {
        let which = usize::from(family == Family::V6);
        let host = Self::fence_host(family);
        self.markers[which] += 1;
        let connection_id = self.connection_id(&host);
        let marker = Announce {
            connection_id,
            info_hash: MARKERS[which],
            port: self.markers[which],
            num_want: 1,
            ..Announce::default()
        };
        self.ask_numbered(&host, marker.bytes());
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.ask_numbered(&host, payload::scrape(connection_id, 0, &[MARKERS[which]])) {
                Answer::Scrape { counts, .. } if counts[0].leechers == u32::from(self.markers[which]) => {
                    return;
                }
                other => assert!(Instant::now() < deadline, "a marker announce is not applied: {other:?}"),
            }
        }
    }
}

fn receive(socket: &UdpSocket) -> Option<Vec<u8>> {
    let mut buffer = [0; 2048];
    match socket.recv(&mut buffer) {
        Ok(len) => Some(buffer[..len].to_vec()),
        Err(error) if is_timeout(&error) => None,
        Err(error) => panic!("receiving at {:?}: {error}", socket.local_addr()),
    }
}

fn set_ip_options(socket: &(impl AsRawFd + std::fmt::Debug), family: Family) {
    let done = match family {
        // Three no-operations and the end of the list.
        Family::V4 => sys::set_socket_option(socket, libc::IPPROTO_IP, libc::IP_OPTIONS, &[1, 1, 1, 0]),
        // Destination options: next header (filled in by the kernel), length 0, one PadN option of six bytes.
        Family::V6 | Family::Mapped => {
            sys::set_socket_option(socket, libc::IPPROTO_IPV6, libc::IPV6_DSTOPTS, &[0, 0, 1, 4, 0, 0, 0, 0])
        }
    };
    done.unwrap_or_else(|error| panic!("options for {socket:?}: {error}"));
}
