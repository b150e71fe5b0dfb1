//! From a checked connection id to the answer of a scrape.
//!
//! The answer is put where the request was: entry i ends at byte 20 + 12 i, hash i + 1 begins at 36 + 20 i.

use super::Host;
use super::refuse::refuse;
use crate::checksum::Sum;
use crate::frame::{self, Frame, Network};
use crate::table::{PeerFamily, ScrapeCounts, Step, TOGETHER, TableMemory};
use crate::verdict::Verdict;
use crate::wire::{self, INFO_HASH_AT, INFO_HASH_LEN, Refusal, SCRAPE_ENTRY_LEN};

/// Answers a scrape.
#[inline(never)]
pub(super) fn scrape<F: Frame, H: Host, N: Network>(frame: &mut F, host: &mut H) -> Verdict {
    match answered::<F, H, N>(frame, host) {
        Ok(verdict) | Err(verdict) => verdict,
    }
}

#[inline(always)]
fn answered<F: Frame, H: Host, N: Network>(frame: &mut F, host: &mut H) -> Result<Verdict, Verdict> {
    let datagram = N::parse(frame)?;
    let terms = host.terms().ok_or(Verdict::PassScrape)?;
    let transaction = frame.load::<u32>(N::PAYLOAD + 12).ok_or(Verdict::PassLength)?;
    let asked = (datagram.payload_len() - INFO_HASH_AT) / INFO_HASH_LEN;
    if asked == 0 {
        const LEN: usize = Refusal::FullScrape.answer_len();
        let verdict = Verdict::ErrorFullScrape;
        return Ok(refuse::<F, N, LEN>(frame, &datagram, Refusal::FullScrape, transaction, verdict));
    }
    let answered = terms.scraped_torrents(asked as u32, N::Peers::FAMILY);
    let head = [wire::ACTION_SCRAPE.to_be(), transaction];
    let sum = Sum::default().add4(head[0]).add4(head[1]);
    let mut entries = Entries { frame, host, base: N::PAYLOAD, sum, asked: answered, done: 0 };
    if answered == 1 {
        entries.answer(0, ALONE);
    } else {
        H::Table::repeat(answered.div_ceil(TOGETHER), &mut entries);
    }
    let Entries { sum, done, .. } = entries;
    let len = wire::ANSWER_HEADER_LEN + done as usize * SCRAPE_ENTRY_LEN;
    frame.store(N::PAYLOAD, head).ok_or(Verdict::PassLength)?;
    frame::write_headers::<F, N>(frame, &datagram, len, sum).ok_or(Verdict::PassLength)?;
    let _padded = frame.set_len(N::PAYLOAD + len);
    Ok(Verdict::Scrape)
}

/// The offset of an entry that is looked up by itself.
const ALONE: usize = TOGETHER as usize;

/// The entries of an answer, some a step.
struct Entries<'a, F, H> {
    frame: &'a mut F,
    host: &'a mut H,
    /// Offset of the payload.
    base: usize,
    sum: Sum,
    /// Entries wanted.
    asked: u32,
    /// Entries written.
    done: u32,
}

impl<F: Frame, H: Host> Step for Entries<'_, F, H> {
    #[inline(always)]
    fn step(&mut self, index: u32) -> bool {
        let first = index * TOGETHER;
        let memory = self.host.table();
        for offset in 0..TOGETHER {
            let wanted = if first + offset < self.asked { self.info_hash(first + offset) } else { None };
            let Some(work) = self.host.workspace() else { return false };
            work.place(&memory, offset as usize, wanted);
        }
        let Some(work) = self.host.workspace() else { return false };
        work.touch_buckets(&memory);
        work.look_into_buckets(&memory);
        work.touch_records(&memory);
        for offset in 0..TOGETHER {
            if first + offset >= self.asked {
                return false;
            }
            if !self.answer(first + offset, offset as usize) {
                return false;
            }
        }
        true
    }
}

impl<F: Frame, H: Host> Entries<'_, F, H> {
    #[inline(always)]
    fn info_hash(&self, index: u32) -> Option<[u64; 3]> {
        let at = self.base + INFO_HASH_AT + index as usize * INFO_HASH_LEN;
        let [first, second] = self.frame.load_at::<[u64; 2]>(at)?;
        let third = self.frame.load_at::<u32>(at + 16)?;
        Some([first.to_le(), second.to_le(), third.to_le() as u64])
    }

    /// Writes entry `index`, which is the one with this offset of those that are looked up together.
    #[inline(always)]
    fn answer(&mut self, index: u32, offset: usize) -> bool {
        let hash_at = self.base + INFO_HASH_AT + index as usize * INFO_HASH_LEN;
        let entry_at = self.base + wire::ANSWER_HEADER_LEN + index as usize * SCRAPE_ENTRY_LEN;
        let Some(info_hash) = self.frame.bytes_at(hash_at) else { return false };
        // U19: zeros for a denied torrent.
        let allowed = self.host.allows(info_hash);
        let Some(wanted) = self.info_hash(index) else { return false };
        let memory = self.host.table();
        let Some(work) = self.host.workspace() else { return false };
        let counts = if allowed {
            work.find_together(&memory, offset, &wanted);
            work.scraped()
        } else {
            ScrapeCounts::default()
        };
        // BEP 15, "scrape response".
        let entry = [counts.seeders, counts.completed, counts.leechers].map(u32::to_be);
        if self.frame.store_at(entry_at, entry).is_none() {
            return false;
        }
        self.sum = self.sum.add4(entry[0]).add4(entry[1]).add4(entry[2]);
        self.done = index + 1;
        true
    }
}
