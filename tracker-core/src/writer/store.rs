//! A torrent's record: loaded, and stored under its version.

use std::sync::atomic::{Ordering, fence};

use tracker_common::table::layout::{
    Kind, TORRENT_VERSION_MASK, TORRENT_VERSION_STEP, Torrent, WORDS, is_at_rest, torrent_version,
};

use super::TableWriter;
use crate::memory::load;
use crate::place;

impl TableWriter {
    #[inline(always)]
    pub(super) fn torrent(&self, number: u32) -> Torrent {
        Torrent::from_words(&load(self.memory.words(number)))
    }

    /// True when the record is that of a torrent in use with this info hash.
    #[inline(always)]
    pub(super) fn is_torrent(&self, number: u32, info_hash: [u64; 3]) -> bool {
        let words = self.memory.words(number);
        place::info_hash(words) == info_hash && Torrent::from_words(&load(words)).kind != Kind::Free
    }

    /// Stores a torrent that was loaded as `before`.
    pub(super) fn store(&mut self, number: u32, before: &Torrent, torrent: &Torrent) {
        if before != torrent {
            self.count(before, torrent);
            self.store_words(number, torrent);
        }
    }

    /// Stores that a record is in use no more.
    pub(super) fn store_free(&mut self, number: u32, before: &Torrent) {
        self.store(number, before, &Torrent { kind: Kind::Free, ..Torrent::new(before.info_hash) });
    }

    fn store_words(&self, number: u32, torrent: &Torrent) {
        let words = self.memory.words(number);
        let before = load(words);
        let version = torrent_version(before[2]);
        let after = torrent.words_at(version);
        match changed(&before, &after) {
            Changed::None => {}
            // One aligned word needs no version: a reader has it as it was or as it is.
            Changed::One(index) if is_at_rest(before[2]) => {
                words[index].store(after[index], Ordering::Release)
            }
            Changed::One(_) | Changed::More => {
                let word_2 = |version: u32| torrent.words_at(version & TORRENT_VERSION_MASK)[2];
                words[2].store(word_2(version.wrapping_add(1)), Ordering::Relaxed);
                // Pairs with the reader's fence before it loads the version again: who sees a word stored below sees the odd version.
                fence(Ordering::Release);
                for index in [0, 1, 3, 4, 5, 6, 7] {
                    words[index].store(after[index], Ordering::Relaxed);
                }
                // Release: pairs with the reader's fence after its first load of the version.
                words[2].store(word_2(at_rest_after(version)), Ordering::Release);
            }
        }
    }

    /// Says that peers are going to be on other places of the torrent's lists than its record says, until it is stored. A record that isn't
    /// stored afterwards would have all its readers pick twice.
    #[inline(always)]
    pub(super) fn peers_move(&self, number: u32) {
        let word = &self.memory.words(number)[2];
        let before = word.load(Ordering::Relaxed);
        if is_at_rest(before) {
            word.store(before + MOVING, Ordering::Relaxed);
            // Pairs with the reader's fence after it has picked: who sees a peer on its new place sees this.
            fence(Ordering::Release);
        }
    }

    fn count(&mut self, before: &Torrent, after: &Torrent) {
        let difference = |total: &mut u64, before: u32, after: u32| {
            *total = *total + u64::from(after) - u64::from(before);
        };
        difference(&mut self.totals.seeders, before.seeders, after.seeders);
        difference(&mut self.totals.leechers, before.leechers, after.leechers);
        difference(&mut self.totals.partial_seeds, before.partial, after.partial);
        let [before, after] = [before.peers_v6(), after.peers_v6()];
        difference(
            &mut self.totals.peers_v6,
            before.leechers + before.seeders,
            after.leechers + after.seeders,
        );
        difference(&mut self.totals.seeders_v6, before.seeders, after.seeders);
    }
}

/// What makes a version at rest one that says that peers move: it stays even.
const MOVING: u64 = 2 << 40;

const fn at_rest_after(version: u32) -> u32 {
    (version / TORRENT_VERSION_STEP * TORRENT_VERSION_STEP).wrapping_add(TORRENT_VERSION_STEP)
}

/// Which words of a record differ.
enum Changed {
    None,
    One(usize),
    More,
}

fn changed(before: &[u64; WORDS], after: &[u64; WORDS]) -> Changed {
    let mut differing = (0..WORDS).filter(|index| before[*index] != after[*index]);
    match (differing.next(), differing.next()) {
        (None, _) => Changed::None,
        // Word 2 has the version itself.
        (Some(index), None) if index != 2 => Changed::One(index),
        _ => Changed::More,
    }
}
