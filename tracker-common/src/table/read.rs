//! Announce and scrape, read from the table.

use super::family::NO_SLOT;
use super::layout::{
    Kind, List, ListName, Torrent, WORDS, child, depth, directory_entry, hash_words, line_version,
};
use super::lookup::{Lookup, find};
use super::select::{Dice, Draw, Steps, leechers_share, max_steps};
use super::{Buffer, PeerAddress, PeerFamily, Peers4, Peers6, Record, Room, TableMemory};
use crate::wire::{InfoHash, MAX_PEERS_V4};

/// What an announce asks of the table.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// The torrent.
    pub info_hash: &'a InfoHash,
    /// The announcer. Its family is the family of the peers in the answer.
    pub peer: PeerAddress,
    /// It has nothing left to download, so it gets leechers only.
    pub seeder: bool,
    /// It leaves: no peers, and counts without it (U13).
    pub stopped: bool,
    /// Peers wanted at most; limits are applied by the caller (U11, U22).
    pub want: u32,
    /// 64 random bits.
    pub random: u64,
}

/// Who announces, and what for: a [`Query`] in words, without the torrent.
#[derive(Clone, Copy, Debug)]
pub struct Announcer<P: PeerFamily> {
    /// The announcer.
    pub peer: P::Peer,
    /// It has nothing left to download, so it gets leechers only.
    pub seeder: bool,
    /// It leaves: no peers, and counts without it (U13).
    pub stopped: bool,
    /// Peers wanted at most.
    pub want: u32,
    /// 64 random bits.
    pub random: u64,
}

/// What an announce is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Seeders of both families, the announcer included.
    pub seeders: u32,
    /// Leechers of both families, the announcer included.
    pub leechers: u32,
    /// Peers written to the front of the caller's buffer.
    pub peers: u32,
}

/// What a scrape is answered for one torrent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScrapeCounts {
    /// Seeders of both families.
    pub seeders: u32,
    /// How often the torrent was completed.
    pub completed: u32,
    /// Leechers of both families, partial seeds included.
    pub leechers: u32,
    /// Partial seeds (BEP 21).
    pub partial: u32,
}

/// Answers an announce: peers into `out`, by the family of the announcer, and the counts as they will be once it is applied.
///
/// The table isn't changed: the caller emits the announce event.
///
/// - Never the announcer, each peer at most once, as many as wanted or there are; a seeder gets no seeders.
/// - Every peer has the same chance, but for what keeps the announcer out, see `select`.
/// - PROTOCOL "Counts": when the announcer was met, or all peers of its family were looked through, the counts are exact; otherwise they are
///   the stored ones.
#[inline(always)]
pub fn announce<M: TableMemory>(memory: &M, query: &Query<'_>, out: &mut [u8]) -> Found {
    let generation = memory.generation();
    memory.acquire();
    let lookup = find(memory, hash_words(query.info_hash));
    let mut room = Buffer(out);
    let mut found = if let Some(peer) = Peers4::of(&query.peer) {
        answer(memory, &lookup, &query.announcer::<Peers4>(peer, &room), &mut room)
    } else if let Some(peer) = Peers6::of(&query.peer) {
        answer(memory, &lookup, &query.announcer::<Peers6>(peer, &room), &mut room)
    } else {
        Found::default()
    };
    memory.acquire();
    // Lines that were freed after the first look at the generation may have been used again by now.
    if memory.generation().wrapping_sub(generation) >= 2 {
        found.peers = 0;
    }
    found
}

impl Query<'_> {
    #[inline(always)]
    fn announcer<P: PeerFamily>(&self, peer: P::Peer, room: &Buffer<'_>) -> Announcer<P> {
        let fit = (room.0.len() / P::LEN) as u32;
        Announcer {
            peer,
            seeder: self.seeder,
            stopped: self.stopped,
            want: self.want.min(fit),
            random: self.random,
        }
    }
}

/// Answers a scrape; zeros for an unknown torrent (U19).
#[inline(always)]
pub fn scrape<M: TableMemory>(memory: &M, info_hash: &InfoHash) -> ScrapeCounts {
    find(memory, hash_words(info_hash)).scraped()
}

impl Lookup {
    /// The counts for a scrape.
    #[inline(always)]
    pub const fn scraped(&self) -> ScrapeCounts {
        match *self {
            Self::Torrent(Torrent { seeders, leechers, completed, partial, .. }) => {
                ScrapeCounts { seeders, completed, leechers, partial }
            }
            Self::Torn { seeders, leechers } => ScrapeCounts { seeders, completed: 0, leechers, partial: 0 },
            Self::Unknown => ScrapeCounts { seeders: 0, completed: 0, leechers: 0, partial: 0 },
        }
    }

    /// Peers that an answer to this announcer has at most.
    #[inline(always)]
    pub fn peers_at_most<P: PeerFamily>(&self, announcer: &Announcer<P>) -> u32 {
        match self {
            Self::Torrent(torrent) if !announcer.stopped => {
                // Of both families: an upper bound is enough.
                let seeders = if announcer.seeder { 0 } else { torrent.seeders };
                announcer.want.min(torrent.leechers.saturating_add(seeders))
            }
            _ => 0,
        }
    }
}

/// What the announcer was before this announce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Leecher,
    Seeder,
    Absent,
    /// It wasn't met, and not everybody was looked at.
    Unseen,
}

impl Standing {
    /// Counts as they will be when the announce is applied.
    #[inline(always)]
    const fn counts_after(self, seeder: bool, stopped: bool, seeders: u32, leechers: u32) -> (u32, u32) {
        let (seeders, leechers) = match self {
            Self::Unseen => return (seeders, leechers),
            Self::Absent => (seeders, leechers),
            Self::Leecher => (seeders, leechers.saturating_sub(1)),
            Self::Seeder => (seeders.saturating_sub(1), leechers),
        };
        if stopped {
            (seeders, leechers)
        } else if seeder {
            (seeders.saturating_add(1), leechers)
        } else {
            (seeders, leechers.saturating_add(1))
        }
    }
}

/// The peers and counts that a look-up has for an announcer.
#[inline(always)]
pub fn answer<P: PeerFamily, M: TableMemory, R: Room>(
    memory: &M,
    lookup: &Lookup,
    announcer: &Announcer<P>,
    room: &mut R,
) -> Found {
    let (picked, seeders, leechers) = match lookup {
        Lookup::Unknown => (Picked { len: 0, standing: Standing::Absent }, 0, 0),
        Lookup::Torn { seeders, leechers } => {
            (Picked { len: 0, standing: Standing::Unseen }, *seeders, *leechers)
        }
        Lookup::Torrent(torrent) => {
            let picked = if !matches!(torrent.kind, Kind::Lists) {
                pick_inline(torrent, announcer, room)
            } else if announcer.stopped {
                Picked { len: 0, standing: Standing::Unseen }
            } else {
                pick_listed(memory, torrent, announcer, room)
            };
            (picked, torrent.seeders, torrent.leechers)
        }
    };
    let (seeders, leechers) =
        picked.standing.counts_after(announcer.seeder, announcer.stopped, seeders, leechers);
    Found { seeders, leechers, peers: picked.len / P::LEN as u32 }
}

/// Peers that were put into an answer.
#[derive(Clone, Copy, Debug)]
struct Picked {
    /// Bytes.
    len: u32,
    standing: Standing,
}

#[inline(always)]
fn pick_inline<P: PeerFamily, R: Room>(torrent: &Torrent, announcer: &Announcer<P>, room: &mut R) -> Picked {
    let mut standing = Standing::Absent;
    let mut fit = 0;
    for index in 0..INLINE {
        if let Some((peer, seeder)) = P::inline(torrent, index) {
            if peer == announcer.peer {
                standing = if seeder { Standing::Seeder } else { Standing::Leecher };
            } else if !(announcer.seeder && seeder) {
                fit += 1;
            }
        }
    }
    let mut picked = Picked { len: 0, standing };
    if announcer.stopped || fit == 0 {
        return picked;
    }
    // Those that fit stand in a ring; a run of it from a random start goes into the answer, so each has the same chance.
    let start = if announcer.want < fit { Dice::new(announcer.random).below(fit) } else { 0 };
    let mut rank = 0;
    for index in 0..INLINE {
        let Some((peer, seeder)) = P::inline(torrent, index) else { continue };
        if peer == announcer.peer || announcer.seeder && seeder {
            continue;
        }
        let place = if rank >= start { rank - start } else { rank + fit - start };
        rank += 1;
        if place < announcer.want && P::put(room, picked.len as usize, peer).is_some() {
            picked.len += P::LEN as u32;
        }
    }
    picked
}

/// Peers in a torrent's own record at most.
const INLINE: usize = super::layout::INLINE_V4;

/// Lines and directories looked at for an answer at most.
const MAX_STEPS: u32 = {
    let four = max_steps::<Peers4>(MAX_PEERS_V4 as u32);
    let six = max_steps::<Peers6>(crate::wire::MAX_PEERS_V6 as u32);
    if four > six { four } else { six }
};

#[inline(always)]
fn pick_listed<P: PeerFamily, M: TableMemory, R: Room>(
    memory: &M,
    torrent: &Torrent,
    announcer: &Announcer<P>,
    room: &mut R,
) -> Picked {
    let leechers = torrent.list(ListName::of(P::FAMILY, false));
    let seeders = torrent.list(ListName::of(P::FAMILY, true));
    let seeders_count = if announcer.seeder { 0 } else { seeders.count };
    let n = announcer.want.min(leechers.count.saturating_add(seeders_count));
    let mut dice = Dice::new(announcer.random);
    let share = leechers_share(n, leechers.count, seeders_count, &mut dice);
    let from_leechers = Draw::new::<P>(leechers.count, share, &mut dice);
    let from_seeders = Draw::new::<P>(seeders_count, n - share, &mut dice);

    let mut len = 0;
    let mut own = None;
    let mut complete = n == leechers.count.saturating_add(seeders.count);
    // First the leechers, then the seeders.
    let mut among_seeders = false;
    let mut lines = Lines::new::<P>(leechers);
    let mut steps = Steps::new::<P>(&from_leechers);
    for _ in 0..MAX_STEPS {
        if steps.left == 0 {
            if among_seeders || from_seeders.take == 0 {
                break;
            }
            among_seeders = true;
            lines = Lines::new::<P>(seeders);
            steps = Steps::new::<P>(&from_seeders);
        }
        let step = steps.next::<P>();
        let Some(line) = lines.read(memory, step.line) else {
            complete = false;
            break;
        };
        if room.put_line(len as usize, &line, step.slot as usize * P::LEN).is_none() {
            complete = false;
            break;
        }
        let mut peers = step.peers;
        let slot = P::slot_in(&line, announcer.peer);
        if slot != NO_SLOT && slot.wrapping_sub(step.slot) < peers {
            own = Some(among_seeders);
            peers -= 1;
            // The last of these peers takes the announcer's place.
            let at = |offset: u32| (len + offset * P::LEN as u32) as usize;
            let moved = P::get(room, at(peers)).and_then(|last| P::put(room, at(slot - step.slot), last));
            if moved.is_none() {
                break;
            }
        }
        len += peers * P::LEN as u32;
    }
    let standing = match own {
        Some(false) => Standing::Leecher,
        Some(true) => Standing::Seeder,
        None if complete => Standing::Absent,
        None => Standing::Unseen,
    };
    // A peer that wasn't drawn for the announcer's place.
    let left_over = from_leechers.left_over().saturating_add(from_seeders.left_over());
    if own.is_some() && left_over > 0 {
        let spare = dice.below(left_over);
        let (list, position) = if spare < from_leechers.left_over() {
            (leechers, from_leechers.left_over_position::<P>(spare))
        } else {
            (seeders, from_seeders.left_over_position::<P>(spare - from_leechers.left_over()))
        };
        let index = P::line_of(position);
        let slot = position - index * P::PER_LINE;
        // A list that is being changed can show the announcer twice.
        if let Some(line) = Lines::new::<P>(list).read(memory, index)
            && P::slot_in(&line, announcer.peer) != slot
            && room.put_line(len as usize, &line, slot as usize * P::LEN).is_some()
        {
            len += P::LEN as u32;
        }
    }
    Picked { len, standing }
}

/// The lines of a list, found by their index. Neighbours share a directory, which is kept.
#[derive(Clone, Copy, Debug)]
struct Lines {
    root: u32,
    /// Levels of directories.
    levels: u32,
    /// The directory right above the line that was read last, and which one it is.
    directory: u32,
    directory_index: u32,
}

const NO_DIRECTORY: u32 = u32::MAX;

impl Lines {
    #[inline(always)]
    fn new<P: PeerFamily>(list: List) -> Self {
        let levels = depth(P::line_of(list.count + (P::PER_LINE - 1)));
        Self { root: list.root, levels, directory: list.root, directory_index: NO_DIRECTORY }
    }

    /// Line `index` of the list as it stood at one moment; `None` when both tries met the writer in it.
    #[inline(always)]
    fn read<M: TableMemory>(&mut self, memory: &M, index: u32) -> Option<[u64; WORDS]> {
        let number = self.number(memory, index)?;
        let record = memory.record(number)?;
        for _ in 0..2 {
            let before = record.word(7);
            memory.acquire();
            let mut words = [0; WORDS];
            for (index, word) in words.iter_mut().enumerate() {
                *word = record.word(index);
            }
            memory.acquire();
            if words[7] == before && record.word(7) == before && line_version(before).is_multiple_of(2) {
                return Some(words);
            }
        }
        None
    }

    #[inline(always)]
    fn number<M: TableMemory>(&mut self, memory: &M, index: u32) -> Option<u32> {
        if self.levels == 0 {
            return Some(self.root);
        }
        if index >> super::layout::FAN_OUT_SHIFT != self.directory_index {
            self.directory = self.root;
            self.directory_index = index >> super::layout::FAN_OUT_SHIFT;
            let mut level = self.levels;
            while level > 1 {
                self.directory = directory_entry(memory.record(self.directory)?, child(index, level));
                // Pairs with the writer's release store of the entry, after which what is below is complete.
                memory.acquire();
                level -= 1;
            }
        }
        let number = directory_entry(memory.record(self.directory)?, child(index, 1));
        memory.acquire();
        (number != 0).then_some(number)
    }
}
