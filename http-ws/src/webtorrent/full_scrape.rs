//! All torrents in one message (W06): sent in fragments as the client takes them, a part of the map at a time.
//!
//! Torrents are as they are when their part is looked at. While the message is under way others wait behind it.

use tracker_core::AccessList;

use super::Shared;
use super::frame;
use super::mailbox::Queue;
use super::reply;
use super::swarms::PARTS;
use crate::full_scrape::Running;

/// A full scrape under way.
#[derive(Debug)]
pub(super) struct FullScrape {
    next: usize,
    is_first: bool,
    _running: Running,
}

impl FullScrape {
    pub(super) fn new(running: Running) -> Self {
        Self { next: 0, is_first: true, _running: running }
    }

    /// Adds the next fragment to an empty queue; false when it was the last.
    pub(super) fn go_on(&mut self, shared: &Shared, access: &AccessList, queue: &mut Queue) -> bool {
        let mut part = Vec::new();
        let is_begin = self.next == 0;
        if is_begin {
            reply::begin_scrape(&mut part);
            queue.behind = Some(Vec::new());
        }
        shared.swarms.for_each_in(self.next, |info_hash, counts| {
            if access.allows(info_hash) {
                reply::scraped(self.is_first, info_hash, counts, &mut part);
                self.is_first = false;
            }
        });
        self.next += 1;
        let is_last = self.next >= PARTS;
        if is_last {
            reply::end_scrape(shared.settings.interval_s, &mut part);
        }
        // An empty fragment in the middle would say nothing.
        if is_begin || is_last || !part.is_empty() {
            frame::fragment(is_begin, is_last, &part, &mut queue.frames);
        }
        !is_last
    }
}
