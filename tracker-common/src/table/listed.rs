//! Peers of a torrent that has lists: drawn, read line by line, put into the answer.

use core::hint::black_box;

use super::family::NO_SLOT;
use super::layout::{
    FAN_OUT_SHIFT, ListName, MAX_DEPTH, RECORD_BYTES, Torrent, WORDS, child, depth, directory_entry, line_version,
};
use super::read::{Announcer, Standing};
use super::select::{Dice, Draw, Positions, Walk, leechers_share, max_steps};
use super::work::Listed;
use super::{PeerFamily, Peers4, Peers6, Record, Room, Step, TableMemory, Workspace};
use crate::wire::{MAX_PEERS_V4, MAX_PEERS_V6};

const LEECHERS: u32 = 0;
const SEEDERS: u32 = 1;

/// Lines looked at for an answer at most.
const MAX_STEPS: u32 = {
    let four = max_steps::<Peers4>(MAX_PEERS_V4 as u32);
    let six = max_steps::<Peers6>(MAX_PEERS_V6 as u32);
    if four > six { four } else { six }
};

/// Puts peers of the torrent in the workspace into the answer.
#[inline(always)]
pub(super) fn pick_listed<P: PeerFamily, M: TableMemory, R: Room>(
    memory: &M,
    announcer: &Announcer<P>,
    work: &mut Workspace,
    room: &mut R,
) {
    let mut dice = Dice::new(announcer.random);
    draw(announcer, work, &mut dice);
    M::repeat(MAX_STEPS, &mut Steps::<P, M, R> { memory, own: &announcer.peer, work, room });
    if work.standing >= Standing::Leecher as u32 && put_spare::<P>(work, &mut dice) {
        put_step::<P, M, R>(memory, &announcer.peer, work, room);
    }
}

/// The walk over both lists, a line a step.
struct Steps<'a, P: PeerFamily, M, R> {
    memory: &'a M,
    own: &'a P::Peer,
    work: &'a mut Workspace,
    room: &'a mut R,
}

impl<P: PeerFamily, M: TableMemory, R: Room> Step for Steps<'_, P, M, R> {
    #[inline(always)]
    fn step(&mut self, _: u32) -> bool {
        if self.work.left == 0 && !next_list::<P>(self.work) {
            return false;
        }
        put_step::<P, M, R>(self.memory, self.own, self.work, self.room)
    }
}

/// Draws from both lists, and begins with the leechers. When that is the whole family, an announcer that isn't met is not among it.
#[inline(always)]
fn draw<P: PeerFamily>(announcer: &Announcer<P>, work: &mut Workspace, dice: &mut Dice) {
    let torrent = Torrent::from_words(&work.torrent);
    let leechers = torrent.list(ListName::of(P::FAMILY, false));
    let seeders = torrent.list(ListName::of(P::FAMILY, true));
    let seeders_for_it = if announcer.seeder { 0 } else { seeders.count };
    let total = leechers.count.saturating_add(seeders_for_it);
    let n = announcer.want.min(total);
    let share = leechers_share(n, leechers.count, seeders_for_it, dice);
    let listed = |root: u32, count: u32, take: u32, dice: &mut Dice| {
        let Draw { start, gap, .. } = Draw::new::<P>(count, take, dice);
        let levels = depth(P::line_of(count + (P::PER_LINE - 1)));
        Listed { root, levels, count, take, start, gap }
    };
    work.lists[0] = listed(leechers.root, leechers.count, share, dice);
    work.lists[1] = listed(seeders.root, seeders_for_it, n - share, dice);
    begin_list::<P>(work, LEECHERS);
    let all = n == leechers.count.saturating_add(seeders.count);
    work.stands(if all { Standing::Absent } else { Standing::Unseen });
}

#[inline(always)]
fn begin_list<P: PeerFamily>(work: &mut Workspace, list: u32) {
    let Listed { root, count, take, start, .. } = work.lists[(list & 1) as usize];
    let Walk { position, in_run, left } = Walk::new::<P>(count, take, start);
    work.list = list;
    (work.position, work.in_run, work.left) = (position, in_run, left);
    (work.directory, work.directory_index) = (root, NO_DIRECTORY);
}

/// Goes on with the seeders; false when nothing is left.
#[inline(always)]
fn next_list<P: PeerFamily>(work: &mut Workspace) -> bool {
    if work.list == SEEDERS || work.lists[1].take == 0 {
        return false;
    }
    begin_list::<P>(work, SEEDERS);
    true
}

/// Puts the peers of the walk's next line; false when they can't be had, and then the answer ends before them.
///
/// A function of its own, so that its loop is small.
#[inline(never)]
fn put_step<P: PeerFamily, M: TableMemory, R: Room>(
    memory: &M,
    own: &P::Peer,
    work: &mut Workspace,
    room: &mut R,
) -> bool {
    let Listed { levels, count, gap, .. } = work.lists[(black_box(work.list) & 1) as usize];
    let mut walk = Walk { position: work.position, in_run: work.in_run, left: work.left };
    let Positions { line, slot, peers } = walk.next::<P>(count, gap);
    (work.position, work.in_run, work.left) = (walk.position, walk.in_run, walk.left);
    if !read_line(memory, work, levels, line) {
        return end_early(work);
    }
    let (skip, at) = (slot as usize * P::LEN, work.len as usize);
    if room.put_line(at, words_from(&work.line, skip)).is_none() {
        return end_early(work);
    }
    let mut len = peers as usize * P::LEN;
    let [w0, w1, w2, w3, w4, w5, w6, w7, ..] = work.line;
    let met = P::slot_in(&[w0, w1, w2, w3, w4, w5, w6, w7], *own).wrapping_sub(slot);
    if met < peers {
        work.stands(if work.list == SEEDERS { Standing::Seeder } else { Standing::Leecher });
        // The last of these peers takes the announcer's place.
        len -= P::LEN;
        let moved = P::get(room, at + len).and_then(|last| P::put(room, at + met as usize * P::LEN, last));
        if moved.is_none() {
            return false;
        }
    }
    work.len = (at + len) as u32;
    true
}

const _: () = assert!(NO_SLOT == u32::MAX);

/// Not everybody was looked at after all.
#[inline(always)]
fn end_early(work: &mut Workspace) -> bool {
    if work.standing == Standing::Absent as u32 {
        work.stands(Standing::Unseen);
    }
    false
}

/// Turns the walk to a peer that wasn't drawn: it takes the announcer's place. False when all were.
#[inline(always)]
fn put_spare<P: PeerFamily>(work: &mut Workspace, dice: &mut Dice) -> bool {
    let draws = work.lists.map(|Listed { count, take, start, gap, .. }| Draw { count, take, start, gap });
    let left_over = draws[0].left_over().saturating_add(draws[1].left_over());
    if left_over == 0 {
        return false;
    }
    let spare = dice.below(left_over);
    let (list, position) = if spare < draws[0].left_over() {
        (LEECHERS, draws[0].left_over_position::<P>(spare))
    } else {
        (SEEDERS, draws[1].left_over_position::<P>(spare - draws[0].left_over()))
    };
    begin_list::<P>(work, list);
    (work.position, work.in_run, work.left) = (position, 1, 1);
    true
}

/// 64 bytes of a line from byte `skip` (below 64) on, in words; what follows the line's end is anything.
#[inline(always)]
fn words_from(line: &[u64; 2 * WORDS], skip: usize) -> [u64; WORDS] {
    // Opaque, so that LLVM leaves the mask in for the verifier.
    let skip = black_box(skip) & (RECORD_BYTES - 1);
    let bytes: &[u8; 2 * RECORD_BYTES] = bytemuck::cast_ref(line);
    let mut words = [0; WORDS];
    for (index, word) in words.iter_mut().enumerate() {
        let at = skip + 8 * index;
        // Always there: byte 63 + 56 + 8 of 128. Word by word, or LLVM copies byte by byte.
        if let Some(bytes) = bytes.get(at..at + 8).and_then(|bytes| bytes.first_chunk()) {
            *word = u64::from_ne_bytes(*bytes);
        }
    }
    words
}

const NO_DIRECTORY: u32 = u32::MAX;

/// Copies line `index` of the present list into the workspace, as it stood at one moment; false when both tries met the writer in it.
#[inline(always)]
fn read_line<M: TableMemory>(memory: &M, work: &mut Workspace, levels: u32, index: u32) -> bool {
    let Some(number) = line_number(memory, work, levels, index) else { return false };
    let Some(record) = memory.record(number) else { return false };
    for _ in 0..2 {
        let before = record.word(7);
        memory.acquire();
        for index in 0..WORDS {
            work.line[index] = record.word(index);
        }
        memory.acquire();
        if work.line[7] == before && record.word(7) == before && line_version(before).is_multiple_of(2) {
            return true;
        }
    }
    false
}

/// Number of line `index` of the present list. Neighbours share a directory, which is kept.
#[inline(always)]
fn line_number<M: TableMemory>(memory: &M, work: &mut Workspace, levels: u32, index: u32) -> Option<u32> {
    let root = work.lists[(black_box(work.list) & 1) as usize].root;
    if levels == 0 {
        return Some(root);
    }
    if index >> FAN_OUT_SHIFT != work.directory_index {
        let mut directory = root;
        // By constant levels: the verifier sees no bound in a loop that begins anywhere.
        for level in (2..=MAX_DEPTH).rev() {
            if level <= levels {
                directory = directory_entry(memory.record(directory)?, child(index, level));
                // Pairs with the writer's release store of the entry, after which what is below is complete.
                memory.acquire();
            }
        }
        (work.directory, work.directory_index) = (directory, index >> FAN_OUT_SHIFT);
    }
    let number = directory_entry(memory.record(work.directory)?, child(index, 1));
    memory.acquire();
    (number != 0).then_some(number)
}
