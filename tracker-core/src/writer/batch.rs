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
use tracker_common::table::layout::{Kind, ListName, Place, Torrent, hash_words};

use super::{Millis, TableWriter};
use crate::memory::load;
use crate::place;

/// Announces whose memory is fetched together: more than a processor has loads under way.
const GROUP: usize = 64;

impl TableWriter {
    /// Applies announces in their order, as [`TableWriter::apply`] does with each.
    pub fn apply_batch(&mut self, events: &[AnnounceEvent], now: Millis) {
        self.advance(now);
        for group in events.chunks(GROUP) {
            let mut hashes = [0; GROUP];
            let mut guesses = [None; GROUP];
            self.fetch(group, &mut hashes, &mut guesses);
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
        for (event, guess) in events.iter().zip(guesses.iter()) {
            fetched ^= guess.map_or(0, |number| self.fetch_roots(number, event.peer().family()));
        }
        std::hint::black_box(fetched);
    }

    /// Loads the first record of the lists that a peer of this family may be in.
    fn fetch_roots(&self, number: u32, family: Family) -> u64 {
        let torrent = Torrent::from_words(&load(self.memory.words(number)));
        if torrent.kind != Kind::Lists {
            return 0;
        }
        let root = |seeder| torrent.list(ListName::of(family, seeder)).root;
        [root(false), root(true)]
            .into_iter()
            .filter(|root| *root != 0)
            .fold(0, |sum, root| sum ^ self.memory.words(root)[0].load(Ordering::Relaxed))
    }
}
