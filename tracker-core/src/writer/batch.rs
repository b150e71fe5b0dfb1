//! Many announces at once.
//!
//! An announce of a large table waits for memory three times: for a bucket, for the torrent's record, for a line of peers. The processor can
//! wait for many of them at the same time, if it meets their loads close to each other. So a group of announces is gone through
//! three times with nothing but these loads, each round knowing from the one before where to look, and only then applied.
//!
//! What the rounds found is a guess: an announce of the group may change it for one after it.

use std::sync::atomic::Ordering;

use tracker_common::event::AnnounceEvent;
use tracker_common::table::Family;
use tracker_common::table::layout::{List, ListName, Place, V6_PER_LINE, depth, hash_words};

use super::apply::GROWTH_PER_GROUP;
use super::{Millis, TableWriter};
use crate::lists;
use crate::place;
use crate::scan::MAX_SCANNED;

/// Announces whose memory is fetched together: more than a processor has loads under way.
pub(super) const GROUP: usize = 64;

impl TableWriter {
    /// Applies announces in their order, as [`TableWriter::apply`] does with each.
    pub fn apply_batch(&mut self, events: &[AnnounceEvent], now: Millis) {
        self.advance(now);
        for group in events.chunks(GROUP) {
            let mut hashes = [0; GROUP];
            let mut guesses = [None; GROUP];
            self.fetch(group, &mut hashes, &mut guesses);
            self.growth = GROWTH_PER_GROUP;
            for ((event, hash), guess) in group.iter().zip(hashes).zip(guesses) {
                self.apply_at(event, hash, guess);
            }
        }
        self.publish();
    }

    /// Loads what applying the events will need; the hash of each, and which torrent it may be.
    fn fetch(&self, events: &[AnnounceEvent], hashes: &mut [u64; GROUP], guesses: &mut [Option<u32>; GROUP]) {
        let index = self.buckets.index();
        let mut places = [Place { first: 0, second: 0, fingerprint: 0 }; GROUP];
        for ((event, hash), place) in events.iter().zip(hashes.iter_mut()).zip(&mut places) {
            *hash = place::hash(&self.memory, hash_words(event.info_hash()));
            *place = Place::of(*hash, index.buckets);
        }
        let places = &places[..events.len()];
        let bucket = |bucket: u32| place::first_word(&self.memory, index, bucket);
        let mut fetched = places.iter().fold(0, |sum, place| sum ^ bucket(place.first));

        for (place, guess) in places.iter().zip(guesses.iter_mut()) {
            *guess = place::candidate(&self.memory, index, place.first, place.fingerprint);
            if guess.is_none() {
                fetched ^= bucket(place.second);
            }
        }
        for (place, guess) in places.iter().zip(guesses.iter_mut()) {
            *guess = guess.or_else(|| place::candidate(&self.memory, index, place.second, place.fingerprint));
            fetched ^= guess.map_or(0, |number| self.memory.words(number)[0].load(Ordering::Relaxed));
        }
        std::hint::black_box(fetched);
        self.fetch_lines(events, guesses);
    }

    /// Loads the lines of short lists that will be looked through, a level after the other.
    fn fetch_lines(&self, events: &[AnnounceEvent], guesses: &[Option<u32>; GROUP]) {
        let mut lists = [(Family::V4, List::EMPTY); GROUP];
        let mut len = 0;
        for (event, number) in
            events.iter().zip(guesses).filter_map(|(event, guess)| Some((event, (*guess)?)))
        {
            let torrent = self.torrent(number);
            // Most peers are what they were.
            let name = ListName::of(event.peer().family(), event.seeder());
            let list = torrent.list(name);
            if list.count > 0 && list.count <= MAX_SCANNED {
                lists[len] = (name.family(), list);
                len += 1;
            }
        }
        for level in 0..=SCANNED_DEPTH {
            let fetched = lists[..len]
                .iter()
                .fold(0, |sum, (family, list)| sum ^ lists::fetch(&self.memory, *list, *family, level));
            std::hint::black_box(fetched);
        }
    }
}

/// Levels of the longest list that is looked through.
const SCANNED_DEPTH: u32 = depth(MAX_SCANNED.div_ceil(V6_PER_LINE));
