//! What the connections of one worker's thread share.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use bytes::BytesMut;
use hyper::server::conn::http1;
use tracker_common::table::BothPeers;
use tracker_common::wire::InfoHash;
use tracker_core::{EventSink, Random};

use crate::connection::{READ_BYTES, Turns};
use crate::counters::Tally;
use crate::full_scrape::Exports;
use crate::server::Context;
use crate::slots::Slots;
use crate::webtorrent::Local;

/// Bytes of answers that are cut from one allocation before the next is made, unless all of them were sent: then it is used again.
const OUT_BYTES: usize = 64 * 1024;

/// What the connections of a worker share; all of them live in its thread.
pub(crate) struct Worker {
    pub(crate) context: Context,
    pub(crate) tally: Arc<Tally>,
    pub(crate) sink: EventSink,
    pub(crate) slots: Arc<Slots>,
    pub(crate) exports: Option<Arc<Exports>>,
    pub(crate) http: http1::Builder,
    pub(crate) scratch: RefCell<Scratch>,
    /// Where bytes of a socket are put first.
    pub(crate) read_buffer: RefCell<Box<[u8]>>,
    pub(crate) handshakes: Turns,
    /// Connections that are being turned away.
    pub(crate) turned_away: Cell<u32>,
    /// Connections whose answer isn't sent yet.
    pub(crate) answering: Rc<Cell<u32>>,
    /// Answers are the last of their connections.
    pub(crate) stopping: Cell<bool>,
    /// `None`: connections aren't upgraded.
    pub(crate) webtorrent: Option<Local>,
}

/// Memory for the making of answers.
pub(crate) struct Scratch {
    pub(crate) random: Random,
    pub(crate) out: BytesMut,
    pub(crate) peers: BothPeers,
    pub(crate) hashes: Vec<InfoHash>,
}

impl Worker {
    pub(crate) fn new(
        context: Context,
        tally: Arc<Tally>,
        sink: EventSink,
        slots: Arc<Slots>,
        exports: Option<Arc<Exports>>,
        webtorrent: Option<Local>,
        seed: u64,
    ) -> Rc<Self> {
        let mut http = http1::Builder::new();
        // H17: 8 KiB of header, which is also the least that hyper takes. Time limits are ours.
        http.max_buf_size(READ_BYTES).header_read_timeout(None).half_close(true);
        let handshakes = Turns::new(context.settings.max_handshakes as usize);
        let hashes = Vec::with_capacity(context.policy.max_scrape_torrents as usize);
        Rc::new(Self {
            context,
            tally,
            sink,
            slots,
            exports,
            http,
            scratch: RefCell::new(Scratch {
                random: Random::new(seed),
                out: BytesMut::with_capacity(OUT_BYTES),
                peers: BothPeers::new(),
                hashes,
            }),
            read_buffer: RefCell::new(vec![0; READ_BYTES].into_boxed_slice()),
            handshakes,
            turned_away: Cell::new(0),
            answering: Rc::default(),
            stopping: Cell::new(false),
            webtorrent,
        })
    }
}
