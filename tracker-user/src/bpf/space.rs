//! A map of maps as the writer fills it: without waiting for the kernel.
//!
//! When a map is put into a map of maps, it is there at once, but the call returns when every program that ran at the time has ended, some 10 ms
//! later (for the sake of who takes maps out; here nobody does). So a thread makes the call and waits, and the caller looks until the map
//! is there. Tests are in `segments`.

use std::collections::VecDeque;
use std::io;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use aya::maps::{Array, IterableMap as _, MapData};
use tracker_common::table::layout::WORDS;

use super::mapped::{has_map, place_map};

/// A segment's map.
pub(super) type SegmentMap = Array<MapData, [u64; WORDS]>;

/// Threads that wait at the same time: as many segments as the writer fills in 100 ms.
const WAITING: usize = 32;

/// Between two looks whether a map is there.
const LOOK_EVERY: Duration = Duration::from_micros(50);

/// Segments by number, as the program finds them.
pub(super) struct Space {
    outer: Arc<MapData>,
    waiting: VecDeque<JoinHandle<io::Result<()>>>,
}

impl Space {
    pub(super) fn new(outer: MapData) -> Self {
        Self { outer: Arc::new(outer), waiting: VecDeque::new() }
    }

    /// Puts segments into their places; all of them are there when this returns.
    ///
    /// # Errors
    ///
    /// The kernel takes one of them not, or no thread can be made. Others may be in their places.
    pub(super) fn place(&mut self, segments: &[(u32, Arc<SegmentMap>)]) -> io::Result<()> {
        for (number, map) in segments {
            let (outer, number, map) = (Arc::clone(&self.outer), *number, Arc::clone(map));
            let placing = thread::Builder::new()
                .name("placing".to_owned())
                .spawn(move || place_map(&outer, number, map.map().fd().as_fd()))?;
            self.waiting.push_back(placing);
        }
        for (number, _) in segments {
            while !has_map(&self.outer, *number)? {
                if self.waiting.front().is_some_and(JoinHandle::is_finished) {
                    self.join()?;
                }
                thread::sleep(LOOK_EVERY);
            }
        }
        while self.waiting.len() > WAITING || self.waiting.front().is_some_and(JoinHandle::is_finished) {
            self.join()?;
        }
        Ok(())
    }

    /// Waits for the end of the thread that was made first.
    fn join(&mut self) -> io::Result<()> {
        let Some(first) = self.waiting.pop_front() else { return Ok(()) };
        first.join().unwrap_or_else(|_panic| Err(io::Error::other("a thread panicked")))
    }
}
