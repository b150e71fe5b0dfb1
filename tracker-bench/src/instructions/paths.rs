//! The hot paths, request by request.

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;

use anyhow::{Context as _, Result, ensure};
use tracker_common::connection_id::{Address, Epoch, issue};
use tracker_common::event::AnnounceEvent;
use tracker_common::frame::BufferFrame;
use tracker_common::journey::travel;
use tracker_common::siphash::SipKey;
use tracker_common::sketch::Sketches;
use tracker_common::table::Workspace;
use tracker_common::verdict::Verdict;
use tracker_common::wire::AnnounceKind;
use tracker_core::udp::{ANSWER_ROOM, Context, handle};
use tracker_core::{AccessList, BlockList, HeapSegments, Limits, Millis, Policy, Random, TableWriter};
use tracker_lab::population;
use tracker_testkit::packet::datagram;
use tracker_testkit::payload;

use super::flat::{Leaked, Program, View};
use super::web;
use crate::ours::keys;

/// A path.
pub(crate) struct Named {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    path: Path,
}

#[derive(Clone, Copy)]
enum Path {
    Program(Request),
    Sockets(Request),
    WriterKnown,
    WriterNew,
    Http,
}

/// What is asked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Request {
    Connect,
    BadId,
    /// Of a torrent with so many others.
    Announce(u32),
    Scrape(u32),
}

const fn path(name: &'static str, what: &'static str, path: Path) -> Named {
    Named { name, what, path }
}

pub(crate) const ALL: &[Named] = &[
    path("program-connect", "the XDP program's code: a connect", Path::Program(Request::Connect)),
    path("program-bad-id", "an announce with a bad connection id, dropped", Path::Program(Request::BadId)),
    path("program-announce-50", "an announce, 50 peers", Path::Program(Request::Announce(50))),
    path("program-announce-2", "an announce, 2 peers", Path::Program(Request::Announce(2))),
    path("program-scrape-1", "a scrape of one torrent", Path::Program(Request::Scrape(1))),
    path("sockets-connect", "the socket workers' handler: a connect", Path::Sockets(Request::Connect)),
    path("sockets-bad-id", "an announce with a bad connection id, dropped", Path::Sockets(Request::BadId)),
    path("sockets-announce-50", "an announce, 50 peers", Path::Sockets(Request::Announce(50))),
    path("sockets-announce-2", "an announce, 2 peers", Path::Sockets(Request::Announce(2))),
    path("sockets-scrape-1", "a scrape of one torrent", Path::Sockets(Request::Scrape(1))),
    path("sockets-scrape-70", "a scrape of 70 torrents", Path::Sockets(Request::Scrape(70))),
    path("writer-known", "the writer: an announce of a peer that it knows", Path::WriterKnown),
    path("writer-new", "the writer: an announce of a peer that is new", Path::WriterNew),
    path(
        "http-announce",
        "an announce over HTTP, 50 peers, on a connection that is kept, client included",
        Path::Http,
    ),
];

/// The path of this name.
pub(crate) fn named(name: &str) -> Result<&'static Named> {
    ALL.iter().find(|path| path.name == name).with_context(|| format!("no path is called {name}"))
}

/// Torrents of the table.
const TORRENTS: u32 = 200;

/// 17 minutes after the machine's start.
const NOW_NS: u64 = 1_000_000_000_000;

const SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 6969);

impl Named {
    /// Serves so many requests.
    pub(crate) fn run(&self, requests: u32) -> Result<()> {
        match self.path {
            Path::Program(request) => program(request, requests),
            Path::Sockets(request) => sockets(request, requests),
            Path::WriterKnown => writer(requests, false),
            Path::WriterNew => writer(requests, true),
            Path::Http => web::announces(&mut filled(50, HeapSegments)?, requests),
        }
    }
}

fn limits() -> Limits {
    Limits { max_torrents: 100_000, max_peers: 1_000_000, first_buckets: 256, ..Limits::default() }
}

fn table(segments: impl tracker_core::Segments + 'static) -> Result<TableWriter> {
    TableWriter::new(limits(), SipKey { k0: 1, k1: 2 }, Box::new(segments)).context("a small table")
}

fn event(torrent: u32, peer: u32) -> AnnounceEvent {
    let now = (NOW_NS / 1_000_000) as u32;
    let address = population::peer(torrent, peer, false);
    AnnounceEvent::new(population::info_hash(torrent), address, AnnounceKind::Started, peer % 2 == 1, now)
}

const NOW: Millis = Millis(NOW_NS / 1_000_000);

/// A table whose torrents have so many peers and one more.
fn filled(others: u32, segments: impl tracker_core::Segments + 'static) -> Result<TableWriter> {
    let mut writer = table(segments)?;
    for peer in 0..=others {
        let events: Vec<_> = (0..TORRENTS).map(|torrent| event(torrent, peer)).collect();
        writer.apply_batch(&events, NOW);
    }
    Ok(writer)
}

impl Request {
    fn others(self) -> u32 {
        if let Self::Announce(others) = self { others } else { 50 }
    }

    fn verdict(self) -> Verdict {
        match self {
            Self::Connect => Verdict::Connect,
            Self::BadId => Verdict::DropConnectionId,
            Self::Announce(_) => Verdict::Announce,
            Self::Scrape(_) => Verdict::Scrape,
        }
    }

    /// Request `number` of the torrents' first peers, leechers, and where it comes from.
    fn payload(self, number: u32) -> (SocketAddr, Vec<u8>) {
        let torrent = number % TORRENTS;
        let peer = population::peer(torrent, 0, false);
        let &[a, b, c, d, high, low] = peer.bytes() else { unreachable!("it is an IPv4 peer") };
        let source = SocketAddr::from(([a, b, c, d], u16::from_be_bytes([high, low])));
        let id = issue(&keys(), &Address::from(source.ip()), Epoch::at(NOW_NS));
        let announce = |id| payload::Announce {
            connection_id: id,
            info_hash: population::info_hash(torrent),
            port: source.port(),
            left: 1,
            ..payload::Announce::default()
        };
        let bytes = match self {
            Self::Connect => payload::connect(number),
            Self::BadId => announce(id ^ 1).bytes(),
            Self::Announce(_) => announce(id).bytes(),
            Self::Scrape(count) => {
                let hashes: Vec<_> =
                    (0..count).map(|at| population::info_hash((torrent + at) % TORRENTS)).collect();
                payload::scrape(id, number, &hashes)
            }
        };
        (source, bytes)
    }
}

fn program(request: Request, requests: u32) -> Result<()> {
    let segments = Leaked::default();
    let places = std::sync::Arc::clone(&segments.places);
    let writer = filled(request.others(), segments)?;
    let mut host = Program {
        table: View::of(&places),
        served: (Address::from(SERVER.ip()), SERVER.port()),
        keys: keys(),
        now_ns: NOW_NS,
        random: 1,
        work: Workspace::default(),
        events: Rc::new(RefCell::new(0)),
    };
    // As many as there are torrents: what is counted is the answer, and not the making of the request.
    let frames: Vec<Vec<u8>> = (0..TORRENTS)
        .map(|number| {
            let (source, bytes) = request.payload(number);
            datagram(source, SERVER, bytes)
        })
        .collect();
    let mut buffer = vec![0; 4096];
    for number in 0..requests {
        let frame = &frames[(number % TORRENTS) as usize];
        buffer[..frame.len()].copy_from_slice(frame);
        let (_, verdict) = travel(&mut BufferFrame::new(&mut buffer, frame.len(), false), &mut host);
        ensure!(verdict == request.verdict(), "{verdict:?} instead of {:?}", request.verdict());
    }
    drop(writer);
    Ok(())
}

fn sockets(request: Request, requests: u32) -> Result<()> {
    let writer = filled(request.others(), HeapSegments)?;
    let reader = writer.reader();
    let (access, block) = (AccessList::default(), BlockList::default());
    let keys = keys();
    let policy = Policy {
        limits: tracker_common::sketch::SourceLimits::default(),
        bad_connection_id: tracker_core::policy::BadConnectionId::Drop,
        ..Policy::default()
    };
    let mut sketches: Box<Sketches> = bytemuck::zeroed_box();
    let mut random = Random::new(1);
    let mut out = [0; ANSWER_ROOM];
    let payloads: Vec<_> = (0..TORRENTS).map(|number| request.payload(number)).collect();
    for number in 0..requests {
        let (source, bytes) = &payloads[(number % TORRENTS) as usize];
        let context = Context {
            table: &reader,
            access: &access,
            block: &block,
            policy: &policy,
            keys: &keys,
            now_ns: NOW_NS,
            random: random.next(),
        };
        let handled = handle(bytes, *source, &context, &mut sketches, &mut out);
        ensure!(
            handled.verdict == request.verdict(),
            "{:?} instead of {:?}",
            handled.verdict,
            request.verdict()
        );
    }
    Ok(())
}

/// Events in batches of 250.
fn writer(requests: u32, new: bool) -> Result<()> {
    let mut writer = if new { table(HeapSegments)? } else { filled(50, HeapSegments)? };
    let events: Vec<_> = (0..requests)
        .map(|number| match new {
            // Torrents of four peers, which come one after the other.
            true => event(number / 4, number % 4),
            false => event(number % TORRENTS, number / TORRENTS % 51),
        })
        .collect();
    for batch in events.chunks(250) {
        writer.apply_batch(batch, NOW);
    }
    let peers = if new { requests } else { TORRENTS * 51 };
    ensure!(writer.totals().peers() == u64::from(peers), "{} peers, not {peers}", writer.totals().peers());
    Ok(())
}
