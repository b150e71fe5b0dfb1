//! The handler without sockets: events are applied to the table at once, and the clock stands until a case moves it.

use std::net::SocketAddr;

use bytemuck::Zeroable as _;
use tracker_common::connection_id::{EPOCH_NS, Keys};
use tracker_common::event::AnnounceEvent;
use tracker_common::siphash::SipKey;
use tracker_common::sketch::Sketches;
use tracker_common::verdict::Verdict;
use tracker_core::policy::BadConnectionId;
use tracker_core::udp::{self, ANSWER_ROOM, Context};
use tracker_core::{
    AccessList, BlockList, HeapSegments, Limits, Millis, Policy, Segments, TableReader, TableWriter,
};
use tracker_testkit::rows::{Family, Host, Need, Setup, Shape, Source, SourcePort};
use tracker_testkit::run::{self, Hosts, Path};

/// Where the hosts of paths without real addresses live.
pub(crate) const HOSTS: Hosts = Hosts { v4: [10, 77], v6: 0xfd77 };

/// A UDP payload above this makes a packet of more than 1,500 bytes, which arrives in fragments.
pub(crate) const LONGEST_PAYLOAD: usize = 1500 - 40 - 8;

pub(crate) fn offers(need: Need) -> bool {
    !matches!(need, Need::Shape(_))
}

/// A tracker in memory.
pub(crate) struct Memory {
    writer: TableWriter,
    reader: TableReader,
    access: AccessList,
    block: BlockList,
    policy: Policy,
    pub(crate) keys: Keys,
    errors: Box<Sketches>,
    pub(crate) now_ns: u64,
    random: u64,
}

impl Memory {
    pub(crate) fn new(setup: &Setup) -> Self {
        let limits =
            Limits { max_torrents: 10_000, max_peers: 100_000, first_buckets: 64, ..Limits::default() };
        Self::with_table(setup, limits, Box::new(HeapSegments))
    }

    /// With a table in other memory.
    pub(crate) fn with_table(setup: &Setup, limits: Limits, segments: Box<dyn Segments>) -> Self {
        let writer = TableWriter::new(limits, SipKey { k0: 1, k1: 2 }, segments).expect("a small table");
        Self {
            reader: writer.reader(),
            writer,
            access: access_list(setup),
            block: block_list(setup),
            policy: Policy {
                max_response_peers: setup.max_response_peers,
                max_scrape_torrents: setup.max_scrape_torrents,
                bad_connection_id: match setup.bad_connection_id {
                    "drop" => BadConnectionId::Drop,
                    _ => BadConnectionId::Error { per_second: 10 },
                },
                ..Policy::default()
            },
            keys: Keys::from_bytes(&std::array::from_fn(|n| n as u8)),
            errors: Box::new(Sketches::zeroed()),
            // Well inside an epoch.
            now_ns: 10 * EPOCH_NS + EPOCH_NS / 3,
            random: 0,
        }
    }

    /// Handles a request that came from `source`, and applies its event.
    pub(crate) fn handle(&mut self, request: &[u8], source: SocketAddr) -> (Verdict, Option<Vec<u8>>) {
        // A Weyl sequence: all 64 bits differ from one request to the next.
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let context = Context {
            table: &self.reader,
            access: &self.access,
            block: &self.block,
            policy: &self.policy,
            keys: &self.keys,
            now_ns: self.now_ns,
            random: self.random,
        };
        let mut out = [0; ANSWER_ROOM];
        let handled = udp::handle(request, source, &context, &mut self.errors, &mut out);
        if let Some(event) = handled.event {
            self.apply(&event);
        }
        (handled.verdict, (handled.len > 0).then(|| out[..handled.len].to_vec()))
    }

    /// Applies an event to the table.
    pub(crate) fn apply(&mut self, event: &AnnounceEvent) {
        self.writer.apply(event, Millis(self.now_ns / 1_000_000));
    }
}

/// The access list of a set-up.
pub(crate) fn access_list(setup: &Setup) -> AccessList {
    let mode = setup.access_mode.parse().expect("a mode");
    AccessList::parse(mode, &run::access_list(setup, &[])).expect("a list without a bad line")
}

/// The block list of a set-up.
pub(crate) fn block_list(setup: &Setup) -> BlockList {
    BlockList::parse(&HOSTS.block_list(setup)).expect("a list without a bad line")
}

/// The address of a source at these hosts.
pub(crate) fn address(source: &Source) -> SocketAddr {
    let port = match (source.port, source.host) {
        (SourcePort::Zero, _) => 0,
        (SourcePort::First, Host::Number(n)) => 10_000 + n % 1000,
        (SourcePort::First, Host::Odd(_)) => 9999,
        (SourcePort::Second, _) => 9998,
    };
    SocketAddr::new(HOSTS.address(source.family, source.host), port)
}

impl Path for Memory {
    fn offers(&self, need: Need) -> bool {
        offers(need)
    }

    fn hosts(&self) -> Hosts {
        HOSTS
    }

    fn exchange(&mut self, source: &Source, request: &[u8], _: bool) -> Option<Vec<u8>> {
        debug_assert_eq!(source.shape, Shape::Plain);
        self.handle(request, address(source)).1
    }

    fn settle(&mut self, _: Family) {}

    fn epochs_pass(&mut self, epochs: u64) {
        self.now_ns += epochs * EPOCH_NS;
    }
}
