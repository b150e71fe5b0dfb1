//! Any number of torrents put in the order of their info hashes, in memory for some of them.
//!
//! An external merge sort: as many as fit are sorted and written to a file as a run, and so on; then the runs are read side by side, each
//! through its part of the same memory. That takes 2.3 MB for any number of torrents and whatever their info hashes are: to divide them by
//! their first bytes instead would leave it to those who announce them whether the parts are of equal size. A single run needs no file.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use tracker_common::table::ScrapeCounts;
use tracker_common::wire::InfoHash;

/// A torrent as it stands in a run: info hash, then counts, so that entries are in the order of their info hashes.
type Entry = [u8; ENTRY];
const ENTRY: usize = 20 + 4 * 4;

/// Entries of a run: 2.3 MB.
pub(super) const RUN: usize = 1 << 16;

fn entry(info_hash: &InfoHash, counts: &ScrapeCounts) -> Entry {
    let ScrapeCounts { seeders, completed, leechers, partial } = *counts;
    let mut entry = [0; ENTRY];
    let numbers = [seeders, completed, leechers, partial].map(u32::to_le_bytes);
    for (to, from) in entry.iter_mut().zip(info_hash.iter().chain(numbers.as_flattened())) {
        *to = *from;
    }
    entry
}

fn info_hash(entry: &Entry) -> &InfoHash {
    entry.first_chunk().expect("an entry has more than 20 bytes")
}

fn counts(entry: &Entry) -> ScrapeCounts {
    let (_, numbers) = entry.split_at(20);
    let mut numbers = numbers.as_chunks().0.iter().copied().map(u32::from_le_bytes);
    let mut next = || numbers.next().unwrap_or_default();
    ScrapeCounts { seeders: next(), completed: next(), leechers: next(), partial: next() }
}

/// Torrents, in any order so far.
#[derive(Debug)]
pub(super) struct Unsorted {
    /// The present run.
    entries: Vec<Entry>,
    run: usize,
    directory: PathBuf,
    file: Option<File>,
    /// Entries in the file: whole runs.
    written: u64,
}

impl Unsorted {
    /// With runs of so many entries, and files in a directory.
    pub(super) fn new(run: usize, directory: &Path) -> Self {
        Self { entries: Vec::with_capacity(run), run, directory: directory.into(), file: None, written: 0 }
    }

    /// Adds a torrent.
    ///
    /// # Errors
    ///
    /// The file can't be made or written.
    pub(super) fn add(&mut self, info_hash: &InfoHash, counts: &ScrapeCounts) -> io::Result<()> {
        if self.entries.len() == self.run {
            self.write_run()?;
        }
        self.entries.push(entry(info_hash, counts));
        Ok(())
    }

    fn write_run(&mut self) -> io::Result<()> {
        self.entries.sort_unstable();
        self.try_write_run().map_err(|error| {
            let directory = self.directory.display();
            io::Error::new(error.kind(), format!("cannot write a temporary file in {directory}: {error}"))
        })?;
        self.written += self.entries.len() as u64;
        self.entries.clear();
        Ok(())
    }

    fn try_write_run(&mut self) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            // It has no name, so nothing is left of it however the tracker ends.
            none => none.insert(tempfile::tempfile_in(&self.directory)?),
        };
        file.write_all_at(self.entries.as_flattened(), self.written * ENTRY as u64)
    }

    /// Calls `each` with all torrents in the order of their info hashes, each once; of one that was added again, with one of its counts.
    ///
    /// # Errors
    ///
    /// The file can't be written or read; what `each` returns.
    pub(super) fn sorted(
        mut self,
        mut each: impl FnMut(&InfoHash, ScrapeCounts) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut last = None;
        let mut each_once = |entry: &Entry| {
            let hash = info_hash(entry);
            if last.replace(*hash) == Some(*hash) { Ok(()) } else { each(hash, counts(entry)) }
        };
        if self.file.is_none() {
            self.entries.sort_unstable();
            return self.entries.iter().try_for_each(each_once);
        }
        self.write_run()?;
        let Self { entries: mut memory, run, file: Some(file), written, .. } = self else { return Ok(()) };
        let runs = written.div_ceil(run as u64);
        // Of each run, so many entries at a time. There are fewer runs than entries in a run: 65,536 times 65,536 torrents don't exist.
        let part = (run as u64 / runs).max(1) as usize;
        memory.resize(part * runs as usize, [0; ENTRY]);
        let mut parts: Vec<_> = (0..runs)
            .zip(memory.chunks_mut(part))
            .map(|(number, memory)| {
                let begin = number * run as u64;
                Part { left: begin..(begin + run as u64).min(written), memory, at: 0, end: 0 }
            })
            .collect();
        let mut firsts = BinaryHeap::with_capacity(parts.len());
        for (number, part) in parts.iter_mut().enumerate() {
            firsts.extend(part.next(&file)?.map(|entry| Reverse((entry, number))));
        }
        while let Some(mut first) = firsts.peek_mut() {
            let Reverse((entry, number)) = *first;
            each_once(&entry)?;
            match parts.get_mut(number).map(|part| part.next(&file)).transpose()?.flatten() {
                Some(next) => *first = Reverse((next, number)),
                None => {
                    PeekMut::pop(first);
                }
            }
        }
        Ok(())
    }
}

/// A run that is being read.
struct Part<'a> {
    /// Places of its entries in the file that weren't read yet.
    left: Range<u64>,
    /// What was read, from `at` to `end`.
    memory: &'a mut [Entry],
    at: usize,
    end: usize,
}

impl Part<'_> {
    fn next(&mut self, file: &File) -> io::Result<Option<Entry>> {
        if self.at == self.end {
            let count = (self.left.end - self.left.start).min(self.memory.len() as u64) as usize;
            let Some(memory) = self.memory.get_mut(..count).filter(|memory| !memory.is_empty()) else {
                return Ok(None);
            };
            file.read_exact_at(memory.as_flattened_mut(), self.left.start * ENTRY as u64).map_err(
                |error| io::Error::new(error.kind(), format!("cannot read a temporary file: {error}")),
            )?;
            self.left.start += count as u64;
            (self.at, self.end) = (0, count);
        }
        let entry = self.memory.get(self.at).copied();
        self.at += 1;
        Ok(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn sorted(run: usize, torrents: &[(InfoHash, ScrapeCounts)]) -> Vec<(InfoHash, ScrapeCounts)> {
        let mut unsorted = Unsorted::new(run, &std::env::temp_dir());
        for (hash, counts) in torrents {
            unsorted.add(hash, counts).unwrap();
        }
        let mut sorted = Vec::new();
        unsorted
            .sorted(|hash, counts| {
                sorted.push((*hash, counts));
                Ok(())
            })
            .unwrap();
        sorted
    }

    proptest! {
        #[test]
        fn torrents_come_out_sorted_each_once(
            hashes in proptest::collection::vec((0..4u8, any::<[u8; 19]>()), 0..300),
            again in proptest::collection::vec(any::<prop::sample::Index>(), 0..50),
            run in 1..400usize,
        ) {
            let mut torrents: Vec<_> = (0u32..)
                .zip(hashes)
                .map(|(number, (first, rest))| {
                    let mut hash = [first; 20];
                    hash[1..].copy_from_slice(&rest);
                    (hash, ScrapeCounts { seeders: number, completed: !number, leechers: number << 7, partial: 7 })
                })
                .collect();
            let expected: BTreeMap<_, _> = torrents.iter().copied().map(|(hash, counts)| (hash, counts.seeders)).collect();
            for index in again {
                if !torrents.is_empty() {
                    torrents.push(torrents[index.index(torrents.len())]);
                }
            }
            let sorted = sorted(run, &torrents);
            for (hash, counts) in &sorted {
                prop_assert!(torrents.contains(&(*hash, *counts)));
            }
            prop_assert!(sorted.iter().map(|(hash, counts)| (*hash, counts.seeders)).eq(expected));
        }
    }

    #[test]
    fn an_error_names_the_directory() {
        let nowhere = Path::new("/nonexistent/directory");
        let mut unsorted = Unsorted::new(1, nowhere);
        unsorted.add(&[1; 20], &ScrapeCounts::default()).unwrap();
        let error = unsorted.add(&[2; 20], &ScrapeCounts::default()).unwrap_err().to_string();
        assert!(error.starts_with("cannot write a temporary file in /nonexistent/directory: "), "{error}");
    }
}
