//! Lists of peers in lines, as the writer changes them: append, remove, and the deadlines beside.
//!
//! A list is dense: `remove` moves the last peer into the hole. Lines are changed in place under their versions; the list's new root and
//! count are returned and become visible when the writer stores the torrent. Until then a reader with the old count sees peers of this
//! list all the same: what leaves the end of a list is not erased, freed lines are at rest, and a new line is filled with peers of the
//! line before it. No peer is in a line twice, behind the end neither: a reader looks for the announcer once in a line.

mod line;

use std::sync::atomic::Ordering;

use tracker_common::table::layout::{
    CELLS_PER_LINE, Cell, FAN_OUT_SHIFT, List, MAX_LIST_LINES, SEGMENT_RECORDS, SEGMENT_SHIFT, WORDS, child,
    depth, line_bytes, with_directory_entry,
};
use tracker_common::table::{Family, PeerAddress};

use crate::memory::{Memory, load};
use crate::numbers::Numbers;
use crate::pool::Pool;

use line::{begin_line, change_line, put, set, swap};

/// Records that one `append` takes at most: a line, and a directory on each level with a new root among them.
pub(crate) const MAX_RECORDS_PER_APPEND: u32 = 1 + tracker_common::table::layout::MAX_DEPTH;

/// Peers of a list at most.
pub(crate) fn max_peers(family: Family) -> u32 {
    MAX_LIST_LINES * family.per_line()
}

/// The cells of a line.
type Cells = [u8; CELLS_PER_LINE];

/// The lines' numbers and deadlines.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    pub(crate) numbers: Numbers,
    /// By segment; those that hold no lines have none.
    cells: Vec<Option<Box<[Cells]>>>,
}

impl Lines {
    /// Sees to it that `count` records, which are few, can be taken; false when there is no memory.
    pub(crate) fn make_room(
        &mut self,
        memory: &Memory,
        pool: &mut Pool,
        count: u32,
        generation: u64,
    ) -> bool {
        if self.numbers.can_take(count, generation) {
            return true;
        }
        let Ok(cells) = bytemuck::allocation::try_zeroed_slice_box(SEGMENT_RECORDS as usize) else {
            return false;
        };
        let Some(segment) = pool.take(memory, generation) else { return false };
        let at = segment as usize;
        if self.cells.len() <= at {
            self.cells.resize_with(at + 1, || None);
        }
        self.cells[at] = Some(cells);
        self.numbers.add_segment(segment);
        true
    }

    /// Bytes of the deadlines.
    pub(crate) fn cell_bytes(&self) -> u64 {
        u64::from(self.numbers.segments()) * u64::from(SEGMENT_RECORDS) * CELLS_PER_LINE as u64
    }

    /// Cells of a list's line.
    pub(crate) fn cells_of_line(&self, memory: &Memory, list: List, family: Family, index: u32) -> &Cells {
        self.cells_at(line_number(memory, list, family, index))
    }

    /// Deadline and flags of the peer at a position.
    pub(crate) fn cell(&self, memory: &Memory, list: List, family: Family, position: u32) -> Cell {
        let (line, slot) = locate(memory, list, family, position);
        Cell(self.cells_at(line)[slot as usize])
    }

    pub(crate) fn set_cell(
        &mut self,
        memory: &Memory,
        list: List,
        family: Family,
        position: u32,
        cell: Cell,
    ) {
        let (line, slot) = locate(memory, list, family, position);
        self.set_cell_at(line, slot, cell);
    }

    /// Puts a peer at the end. [`MAX_RECORDS_PER_APPEND`] numbers can be taken, and the list is shorter than [`max_peers`].
    pub(crate) fn append(
        &mut self,
        memory: &Memory,
        list: List,
        peer: &PeerAddress,
        cell: Cell,
        generation: u64,
    ) -> List {
        let family = peer.family();
        let (index, slot) = (list.count / family.per_line(), list.count % family.per_line());
        let (line, root) = if slot == 0 {
            let line = self.take(generation);
            let before = index.checked_sub(1).map(|before| self::line(memory, list, family, before));
            begin_line(memory, line, before, peer);
            (line, self.link(memory, list.root, index, line, generation))
        } else {
            let line = line_number(memory, list, family, index);
            change_line(memory, line, |slots| put(slots, slot as usize, peer));
            (line, list.root)
        };
        self.set_cell_at(line, slot, cell);
        List { root, count: list.count + 1 }
    }

    /// Removes the peer at a position; the last one takes its place.
    pub(crate) fn remove(
        &mut self,
        memory: &Memory,
        list: List,
        family: Family,
        position: u32,
        generation: u64,
    ) -> List {
        let last = list.count - 1;
        if position != last {
            let cell = self.cell(memory, list, family, last);
            let (line, slot) = locate(memory, list, family, position);
            let (last_line, last_slot) = locate(memory, list, family, last);
            if line == last_line {
                // What is removed stays behind the end: no peer is in a line twice.
                change_line(memory, line, |slots| swap(slots, family, slot as usize, last_slot as usize));
            } else {
                let peer = peer_at(memory, list, family, last);
                change_line(memory, line, |slots| set(slots, slot as usize, &peer));
            }
            self.set_cell_at(line, slot, cell);
        }
        let root = if last.is_multiple_of(family.per_line()) {
            self.unlink(memory, list.root, last / family.per_line(), generation)
        } else {
            list.root
        };
        List { root, count: last }
    }

    /// Frees all lines of a list.
    pub(crate) fn clear(&mut self, memory: &Memory, list: List, family: Family, generation: u64) {
        let mut root = list.root;
        for index in (0..list.count.div_ceil(family.per_line())).rev() {
            root = self.unlink(memory, root, index, generation);
        }
    }

    /// Makes `line` the line `index` of the list, which has that many lines already; the list's root.
    fn link(&mut self, memory: &Memory, root: u32, index: u32, line: u32, generation: u64) -> u32 {
        if index == 0 {
            return line;
        }
        let levels = depth(index + 1);
        let root = if levels > depth(index) {
            let directory = self.take_directory(memory, generation);
            set_entry(memory, directory, 0, root);
            directory
        } else {
            root
        };
        let mut node = root;
        for level in (2..=levels).rev() {
            let entry = child(index, level);
            // The first line below this child: the child is new.
            if index.trailing_zeros() >= FAN_OUT_SHIFT * (level - 1) {
                let directory = self.take_directory(memory, generation);
                set_entry(memory, node, entry, directory);
                node = directory;
            } else {
                node = entry_at(memory, node, entry);
            }
        }
        set_entry(memory, node, child(index, 1), line);
        root
    }

    /// Frees line `index`, the list's last, and the directories that only led to it; the list's root without it.
    fn unlink(&mut self, memory: &Memory, root: u32, index: u32, generation: u64) -> u32 {
        let levels = depth(index + 1);
        let mut node = root;
        for level in (1..=levels).rev() {
            let below = entry_at(memory, node, child(index, level));
            // A directory all of whose lines are gone; the root itself is looked at below. Its entry stays for readers in flight.
            if level < levels && index.trailing_zeros() >= FAN_OUT_SHIFT * level {
                self.numbers.free(node, generation);
            }
            node = below;
        }
        self.numbers.free(node, generation);
        if index == 0 {
            0
        } else if depth(index) < levels {
            self.numbers.free(root, generation);
            entry_at(memory, root, 0)
        } else {
            root
        }
    }

    fn cells_at(&self, line: u32) -> &Cells {
        let segment = self.cells[(line >> SEGMENT_SHIFT) as usize].as_ref().expect("the segment holds lines");
        &segment[(line & (SEGMENT_RECORDS - 1)) as usize]
    }

    fn set_cell_at(&mut self, line: u32, slot: u32, cell: Cell) {
        let segment = self.cells[(line >> SEGMENT_SHIFT) as usize].as_mut().expect("the segment holds lines");
        segment[(line & (SEGMENT_RECORDS - 1)) as usize][slot as usize] = cell.0;
    }

    fn take(&mut self, generation: u64) -> u32 {
        self.numbers.take(generation).expect("the writer asked for enough numbers before the change")
    }

    fn take_directory(&mut self, memory: &Memory, generation: u64) -> u32 {
        let number = self.take(generation);
        for word in memory.words(number) {
            // Relaxed: it is linked by a release store, and nobody can have known it for a generation.
            word.store(0, Ordering::Relaxed);
        }
        number
    }
}

/// The peer at a position.
pub(crate) fn peer_at(memory: &Memory, list: List, family: Family, position: u32) -> PeerAddress {
    let (line, slot) = locate(memory, list, family, position);
    let bytes = line_bytes(&load(memory.words(line)));
    match family {
        Family::V4 => PeerAddress::V4(bytes.as_chunks().0[slot as usize]),
        Family::V6 => PeerAddress::V6(bytes.as_chunks().0[slot as usize]),
    }
}

/// The words of a list's line.
pub(crate) fn line(memory: &Memory, list: List, family: Family, index: u32) -> [u64; WORDS] {
    load(memory.words(line_number(memory, list, family, index)))
}

/// Loads a word of each record `level` levels below the root of a list, so that they are in the cache; 0 for a list that isn't so deep.
pub(crate) fn fetch(memory: &Memory, list: List, family: Family, level: u32) -> u64 {
    let levels = depth(list.count.div_ceil(family.per_line()));
    let lines = list.count.div_ceil(family.per_line());
    if level > levels {
        return 0;
    }
    // Records of this level, each of which leads to so many lines.
    let each = 1 << (FAN_OUT_SHIFT * (levels - level));
    (0..lines.div_ceil(each)).fold(0, |sum, at| {
        let node = (levels - level + 1..=levels)
            .rev()
            .fold(list.root, |node, level| entry_at(memory, node, child(at * each, level)));
        sum ^ memory.words(node)[0].load(Ordering::Relaxed)
    })
}

fn locate(memory: &Memory, list: List, family: Family, position: u32) -> (u32, u32) {
    let per_line = family.per_line();
    (line_number(memory, list, family, position / per_line), position % per_line)
}

fn line_number(memory: &Memory, list: List, family: Family, index: u32) -> u32 {
    let levels = depth(list.count.div_ceil(family.per_line()));
    (1..=levels).rev().fold(list.root, |node, level| entry_at(memory, node, child(index, level)))
}

fn entry_at(memory: &Memory, directory: u32, entry: usize) -> u32 {
    let word = memory.words(directory)[entry / 2].load(Ordering::Relaxed);
    if entry.is_multiple_of(2) { word as u32 } else { (word >> 32) as u32 }
}

fn set_entry(memory: &Memory, directory: u32, entry: usize, number: u32) {
    let word = &memory.words(directory)[entry / 2];
    let changed = with_directory_entry(word.load(Ordering::Relaxed), entry, number);
    // Release: pairs with the reader's fence after it loads an entry, so that it finds the line complete.
    word.store(changed, Ordering::Release);
}
