//! The journey in user space, over the same table as the loaded program.

use std::collections::HashSet;
use std::net::IpAddr;

use tracker_common::connection_id::{Address, Keys};
use tracker_common::event::AnnounceEvent;
use tracker_common::frame::BufferFrame;
use tracker_common::journey::{Host, travel};
use tracker_common::scratch::next_random;
use tracker_common::settings::{Settings, access_mode, answer};
use tracker_common::sketch::{Kind, Sketches, SourceLimits};
use tracker_common::table::Workspace;
use tracker_common::terms::Terms;

use crate::loaded::Outcome;
use crate::loaded::table::View;
use crate::{LISTED, blocked, keys, tracker_v4, tracker_v6};

/// The maps as plain collections.
pub(crate) struct UserSpace {
    pub(crate) settings: Settings,
    endpoints: Vec<(Address, u16)>,
    keys: Keys,
    listed: HashSet<[u8; 20]>,
    table: View,
    pub(crate) now_ns: u64,
    /// State of the random numbers.
    pub(crate) random: u64,
    pub(crate) events: Vec<AnnounceEvent>,
    work: Workspace,
    /// What was counted for the rate limits.
    pub(crate) sketches: Box<Sketches>,
}

impl UserSpace {
    pub(crate) fn new(settings: Settings, table: View) -> Self {
        Self {
            settings,
            endpoints: [tracker_v4(), tracker_v6()].map(|one| (Address::from(one.ip()), one.port())).to_vec(),
            keys: keys(),
            listed: HashSet::from([LISTED]),
            table,
            now_ns: 0,
            random: 0,
            events: Vec::new(),
            work: Workspace::default(),
            sketches: bytemuck::zeroed_box(),
        }
    }

    /// What becomes of a frame that loopback has brought.
    pub(crate) fn run(&mut self, frame: &[u8]) -> Outcome {
        let mut buffer = vec![0; 4096];
        buffer[..frame.len()].copy_from_slice(frame);
        let mut traveller = BufferFrame::new(&mut buffer, frame.len(), true);
        let (_, verdict) = travel(&mut traveller, self);
        Outcome { verdict, frame: traveller.as_slice().to_vec() }
    }
}

impl Host for UserSpace {
    type Table = View;

    fn serves(&self, address: &Address, port: u16) -> bool {
        self.endpoints.contains(&(*address, port))
    }

    fn blocks(&self, address: &Address) -> bool {
        blocked().iter().any(|(network, length)| match (*address, network) {
            (Address::V4(address), IpAddr::V4(network)) => {
                (u32::from_be_bytes(address) ^ u32::from(*network)) >> (32 - length) == 0
            }
            (Address::V6(address), IpAddr::V6(network)) => {
                (u128::from_be_bytes(address) ^ u128::from(*network)) >> (128 - length) == 0
            }
            _ => false,
        })
    }

    fn allows(&self, info_hash: &[u8; 20]) -> bool {
        match self.settings.access_mode {
            access_mode::DENY => !self.listed.contains(info_hash),
            access_mode::ALLOW => self.listed.contains(info_hash),
            _ => true,
        }
    }

    fn keys(&self) -> Option<&Keys> {
        Some(&self.keys)
    }

    fn now_ns(&self) -> u64 {
        self.now_ns
    }

    fn may_send_error(&mut self, _: u64, _: u64) -> bool {
        self.settings.errors_per_window != 0
    }

    fn limits(&self) -> SourceLimits {
        self.settings.limits
    }

    fn is_within(&mut self, kind: Kind, source_hash: u64, now_ns: u64, limit: u32) -> bool {
        self.sketches.of(kind).allows(source_hash, now_ns, limit)
    }

    fn terms(&self) -> Option<Terms> {
        let Settings { interval_s, max_response_peers, max_scrape_torrents, .. } = self.settings;
        (self.settings.answer == answer::ALL).then_some(Terms {
            interval_s,
            max_response_peers,
            max_scrape_torrents,
        })
    }

    fn table(&self) -> View {
        self.table.clone()
    }

    fn random(&mut self) -> u64 {
        next_random(&mut self.random)
    }

    fn emit(&mut self, event: &[u64; 6]) -> bool {
        self.events.push(bytemuck::cast(*event));
        true
    }

    fn workspace(&mut self) -> Option<&mut Workspace> {
        Some(&mut self.work)
    }
}
