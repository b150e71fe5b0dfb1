//! Peers of a torrent that has lists: drawn, read line by line, put into the answer.

use core::hint::black_box;

use super::layout::{
    FAN_OUT_SHIFT, List, ListName, MAX_DEPTH, MAX_LIST_LINES, RECORD_BYTES, Torrent, WORDS, child, depth,
    directory_entry, line_version,
};
use super::read::{Announcer, Standing};
use super::select::{Dice, Draw, Positions, Walk, leechers_share, max_steps};
use super::work::Listed;
use super::{PeerFamily, Peers4, Peers6, Record, Room, Step, TableMemory, Workspace};
use crate::wire::{MAX_PEERS_V4, MAX_PEERS_V6};

pub(super) const LEECHERS: u32 = 0;
pub(super) const SEEDERS: u32 = 1;

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
    touch::<P, M>(memory, work);
    M::repeat(MAX_STEPS, &mut Steps::<P, M, R> { memory, own: &announcer.peer, work, room });
}

/// Lines of each list that are fetched together.
const LINES_TOUCHED: u32 = 3;

/// Loads a word of the first lines that will be put, of both lists, so that the memory fetches them at the same time and not one after another.
#[inline(always)]
pub(super) fn touch<P: PeerFamily, M: TableMemory>(memory: &M, work: &Workspace) {
    for list in work.lists {
        if list.take != 0
            && let Some(root) = memory.record(list.root)
        {
            root.word(0);
        }
    }
    for list in work.lists {
        if list.take != 0
            && list.levels == 1
            && let Some(directory) = memory.record(list.root)
        {
            touch_lines::<P, M>(memory, directory, list.start, list.take);
        }
    }
}

#[inline(always)]
fn touch_lines<P: PeerFamily, M: TableMemory>(memory: &M, directory: M::Record, start: u32, take: u32) {
    let first = P::line_of(start);
    let last = P::line_of(start + take);
    for line in first..first + LINES_TOUCHED {
        let number = directory_entry(directory, (line % FAN_OUT) as usize);
        if line <= last
            && let Some(record) = memory.record(number)
        {
            record.word(0);
        }
    }
}

/// Sees to it that as many peers are in the answer as were wanted: one more when the announcer was taken out, or one less when it wasn't among
/// all of them.
#[inline(always)]
pub(super) fn settle_listed<P: PeerFamily, M: TableMemory, R: Room>(
    memory: &M,
    announcer: &Announcer<P>,
    work: &mut Workspace,
    room: &mut R,
) {
    let mut dice = Dice::new(announcer.random.rotate_left(16));
    if work.standing >= Standing::Leecher as u32 {
        if put_spare::<P>(work, &mut dice) {
            put_part::<P, M, R>(memory, &announcer.peer, work, room);
        }
    } else if work.len > announcer.want * P::LEN as u32 {
        leave_one_out::<P, R>(work, room, &mut dice);
    }
}

/// The walk over both lists: a part of a line, or some whole lines, a step.
pub(super) struct Steps<'a, P: PeerFamily, M, R> {
    pub(super) memory: &'a M,
    pub(super) own: &'a P::Peer,
    pub(super) work: &'a mut Workspace,
    pub(super) room: &'a mut R,
}

impl<P: PeerFamily, M: TableMemory, R: Room> Step for Steps<'_, P, M, R> {
    #[inline(always)]
    fn step(&mut self, _: u32) -> bool {
        if self.work.left == 0 && !next_list::<P>(self.work) {
            return false;
        }
        let put = if P::line_of(self.work.position) * P::PER_LINE == self.work.position {
            put_lines::<P, M, R>(self.memory, self.own, self.work, self.room)
        } else {
            put_part::<P, M, R>(self.memory, self.own, self.work, self.room)
        };
        put && (self.work.left != 0 || has_next_list(self.work))
    }
}

/// Draws from both lists, and begins with the leechers. When that is the whole family, an announcer that isn't met is not among it.
#[inline(always)]
fn draw<P: PeerFamily>(announcer: &Announcer<P>, work: &mut Workspace, dice: &mut Dice) {
    let torrent = Torrent::from_words(&work.torrent);
    let list = |seeders| {
        let List { root, count } = torrent.list(ListName::of(P::FAMILY, seeders));
        // No list is longer; said here, so that whatever the words are, no sum below overflows.
        List { root, count: count.min(MAX_LIST_LINES * P::PER_LINE) }
    };
    let (leechers, seeders) = (list(false), list(true));
    let seeders_for_it = if announcer.seeder { 0 } else { seeders.count };
    let total = leechers.count.saturating_add(seeders_for_it);
    // One more than wanted is taken, too, since one of them is likely the announcer.
    let n = if total == announcer.want + 1 { total } else { announcer.want.min(total) };
    // When all of them fit, nothing is drawn, and nothing divided.
    let share =
        if n == total { leechers.count } else { leechers_share(n, leechers.count, seeders_for_it, dice) };
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

/// Takes any one of the peers out: the announcer wasn't among them, so they are one more than wanted.
#[inline(always)]
pub(super) fn leave_one_out<P: PeerFamily, R: Room>(work: &mut Workspace, room: &mut R, dice: &mut Dice) {
    let any = dice.below(P::peers_in(work.len)) * P::LEN as u32;
    work.len -= P::LEN as u32;
    let last = P::get(room, work.len as usize);
    let _in_the_room = last.and_then(|last| P::put(room, any as usize, last));
}

#[inline(always)]
pub(super) fn begin_list<P: PeerFamily>(work: &mut Workspace, list: u32) {
    let Listed { count, take, start, .. } = work.lists[(list & 1) as usize];
    let Walk { position, in_run, left } = Walk::new::<P>(count, take, start);
    work.list = list;
    (work.position, work.in_run, work.left) = (position, in_run, left);
}

/// Goes on with the seeders; false when nothing is left.
#[inline(always)]
fn next_list<P: PeerFamily>(work: &mut Workspace) -> bool {
    if !has_next_list(work) {
        return false;
    }
    begin_list::<P>(work, SEEDERS);
    true
}

#[inline(always)]
const fn has_next_list(work: &Workspace) -> bool {
    work.list != SEEDERS && work.lists[1].take != 0
}

/// Takes the walk's next positions, of at most so many lines.
#[inline(always)]
fn advance<P: PeerFamily>(work: &mut Workspace, lines: u32) -> Positions {
    let Listed { count, gap, .. } = work.lists[(black_box(work.list) & 1) as usize];
    let mut walk = Walk { position: work.position, in_run: work.in_run, left: work.left };
    let positions = walk.next::<P>(count, gap, lines);
    (work.position, work.in_run, work.left) = (walk.position, walk.in_run, walk.left);
    positions
}

/// Puts peers of one line, from any slot on; false when they can't be had, and then the answer ends before them.
#[inline(never)]
pub(super) fn put_part<P: PeerFamily, M: TableMemory, R: Room>(
    memory: &M,
    own: &P::Peer,
    work: &mut Workspace,
    room: &mut R,
) -> bool {
    let Positions { line, slot, peers } = advance::<P>(work, 1);
    if !read_line(memory, work, line) {
        return end_early(work);
    }
    let (skip, at) = (slot as usize * P::LEN, work.len as usize);
    if room.put_line(at, words_from(&work.line, skip)).is_none() {
        return end_early(work);
    }
    let [w0, w1, w2, w3, w4, w5, w6, ..] = work.line;
    work.len += peers * P::LEN as u32;
    if P::may_have([w0, w1, w2, w3, w4, w5, w6], own) {
        take_out::<P, R>(own, work, room, peers);
    }
    true
}

/// Lines that a step puts at most.
const LINES_PER_STEP: u32 = 6;

/// Puts some whole lines, of which the last may be needed in part; false when one can't be had, and then the answer ends before it.
///
/// The words go from the line straight into the answer. What a torn line has left there lies behind the answer's end.
#[inline(never)]
fn put_lines<P: PeerFamily, M: TableMemory, R: Room>(
    memory: &M,
    own: &P::Peer,
    work: &mut Workspace,
    room: &mut R,
) -> bool {
    let first = P::line_of(work.position);
    // Lines that share a directory.
    let Positions { mut peers, .. } = advance::<P>(work, LINES_PER_STEP.min(FAN_OUT - first % FAN_OUT));
    let directory = match directory(memory, work, first) {
        Some(directory) => directory,
        None => return end_early(work),
    };
    let mut line = first % FAN_OUT;
    let mut torn = false;
    for _ in 0..=LINES_PER_STEP {
        let number = match directory {
            Directory::None(root) => root,
            Directory::Record(record) => directory_entry(record, line as usize),
        };
        // Pairs with the writer's release store of the entry, after which the line is complete.
        memory.acquire();
        let record = memory.record(number).filter(|_| number != 0);
        let (Some(record), Some(window)) = (record, room.window(work.len as usize)) else {
            return end_early(work);
        };
        let version = record.word(7);
        memory.acquire();
        let mut words = [0; WORDS - 1];
        for (word, (index, to)) in words.iter_mut().zip(window.as_chunks_mut::<8>().0.iter_mut().enumerate())
        {
            *word = record.word(index);
            *to = word.to_le_bytes();
        }
        let last = record.word(7);
        if let Some(to) = window.last_chunk_mut::<8>() {
            *to = last.to_le_bytes();
        }
        memory.acquire();
        if last != version || record.word(7) != version || !line_version(version).is_multiple_of(2) {
            if torn {
                return end_early(work);
            }
            torn = true;
            continue;
        }
        let here = peers.min(P::PER_LINE);
        work.len += here * P::LEN as u32;
        if P::may_have(words, own) {
            take_out::<P, R>(own, work, room, here);
        }
        peers -= here;
        line += 1;
        if peers == 0 {
            break;
        }
    }
    true
}

const FAN_OUT: u32 = 1 << FAN_OUT_SHIFT;

/// Takes the announcer out of the line that was put last, of which `peers` peers count; the last of them takes its place.
#[inline(never)]
fn take_out<P: PeerFamily, R: Room>(own: &P::Peer, work: &mut Workspace, room: &mut R, peers: u32) {
    let begin = work.len.wrapping_sub(peers * P::LEN as u32);
    let Some(line) = room.window(begin as usize) else { return };
    if let Some(slot) = P::slot_in(line, own, peers) {
        work.stands(if work.list == SEEDERS { Standing::Seeder } else { Standing::Leecher });
        work.len -= P::LEN as u32;
        let last = P::get(room, work.len as usize);
        let _in_the_room = last.and_then(|last| P::put(room, begin as usize + slot as usize * P::LEN, last));
    }
}

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

/// Copies line `index` of the present list into the workspace, as it stood at one moment; false when both tries met the writer in it.
#[inline(always)]
fn read_line<M: TableMemory>(memory: &M, work: &mut Workspace, index: u32) -> bool {
    let number = match directory(memory, work, index) {
        Some(Directory::None(root)) => root,
        Some(Directory::Record(record)) => directory_entry(record, (index % FAN_OUT) as usize),
        None => 0,
    };
    memory.acquire();
    if number == 0 {
        return false;
    }
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

/// What is right above a list's lines.
enum Directory<R> {
    /// Nothing: the list is this one line.
    None(u32),
    Record(R),
}

/// The directory right above line `index` of the present list.
#[inline(always)]
fn directory<M: TableMemory>(memory: &M, work: &Workspace, index: u32) -> Option<Directory<M::Record>> {
    let Listed { root, levels, .. } = work.lists[(black_box(work.list) & 1) as usize];
    if levels == 0 {
        return Some(Directory::None(root));
    }
    let mut directory = memory.record(root)?;
    // By constant levels: the verifier sees no bound in a loop that begins anywhere.
    for level in (2..=MAX_DEPTH).rev() {
        if level <= levels {
            let number = directory_entry(directory, child(index, level));
            // Pairs with the writer's release store of the entry, after which what is below is complete.
            memory.acquire();
            directory = memory.record(number)?;
        }
    }
    Some(Directory::Record(directory))
}
