//! Announce and scrape, read from the table.

use super::layout::{
    INLINE_V4, Kind, List, ListName, RECORD_BYTES, Torrent, WORDS, child, depth, directory_entry, line_bytes,
    line_position, line_version,
};
use super::lookup::{Lookup, find};
use super::select::{Dice, Draw, leechers_share};
use super::{PeerAddress, Record, TableMemory};
use crate::wire::InfoHash;

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
/// - PROTOCOL "Counts": when the announcer's family is few enough to be looked through ([`EXACT_COUNTS`] or what was wanted) it is
///   known whether the announcer was already in it, and the counts are exact; in a larger swarm they are the stored ones.
#[inline(always)]
pub fn announce<M: TableMemory>(memory: &M, query: &Query<'_>, out: &mut [u8]) -> Found {
    let generation = memory.generation();
    memory.acquire();
    let mut found = match find(memory, query.info_hash) {
        Lookup::Unknown => Standing::Absent.counts_after(query, 0, 0),
        Lookup::Torn { seeders, leechers } => Standing::Unseen.counts_after(query, seeders, leechers),
        Lookup::Torrent(torrent) => {
            let standing = standing(memory, &torrent, query);
            let mut found = standing.counts_after(query, torrent.seeders, torrent.leechers);
            if !query.stopped {
                found.peers = pick(memory, &torrent, query, out);
            }
            found
        }
    };
    memory.acquire();
    // Lines that were freed after the first look at the generation may have been used again by now.
    if memory.generation().wrapping_sub(generation) >= 2 {
        found.peers = 0;
    }
    found
}

/// Answers a scrape; zeros for an unknown torrent (U19).
#[inline(always)]
pub fn scrape<M: TableMemory>(memory: &M, info_hash: &InfoHash) -> ScrapeCounts {
    match find(memory, info_hash) {
        Lookup::Torrent(Torrent { seeders, leechers, completed, partial, .. }) => {
            ScrapeCounts { seeders, completed, leechers, partial }
        }
        Lookup::Torn { seeders, leechers } => ScrapeCounts { seeders, leechers, ..ScrapeCounts::default() },
        Lookup::Unknown => ScrapeCounts::default(),
    }
}

/// Peers of one family up to which the announcer is looked for even when fewer were wanted: 7 lines of IPv4.
pub const EXACT_COUNTS: u32 = 64;

/// What the announcer was before this announce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Leecher,
    Seeder,
    Absent,
    /// Nobody looked: the swarm is too large, or was being changed.
    Unseen,
}

impl Standing {
    #[inline(always)]
    const fn counts_after(self, query: &Query<'_>, seeders: u32, leechers: u32) -> Found {
        let (seeders, leechers) = match self {
            Self::Unseen => return Found { seeders, leechers, peers: 0 },
            Self::Absent => (seeders, leechers),
            Self::Leecher => (seeders, leechers.saturating_sub(1)),
            Self::Seeder => (seeders.saturating_sub(1), leechers),
        };
        if query.stopped {
            Found { seeders, leechers, peers: 0 }
        } else if query.seeder {
            Found { seeders: seeders.saturating_add(1), leechers, peers: 0 }
        } else {
            Found { seeders, leechers: leechers.saturating_add(1), peers: 0 }
        }
    }
}

#[inline(always)]
fn standing<M: TableMemory>(memory: &M, torrent: &Torrent, query: &Query<'_>) -> Standing {
    let family = query.peer.family();
    if !matches!(torrent.kind, Kind::Lists) {
        for peer in torrent.inline(family).into_iter().flatten() {
            if peer.address == query.peer {
                return if peer.cell.seeder() { Standing::Seeder } else { Standing::Leecher };
            }
        }
        return Standing::Absent;
    }
    let leechers = torrent.list(ListName::of(family, false));
    let seeders = torrent.list(ListName::of(family, true));
    if leechers.count.saturating_add(seeders.count) > query.want.max(EXACT_COUNTS).saturating_add(1) {
        return Standing::Unseen;
    }
    match (contains(memory, leechers, &query.peer), contains(memory, seeders, &query.peer)) {
        (Some(true), _) => Standing::Leecher,
        (_, Some(true)) => Standing::Seeder,
        (Some(false), Some(false)) => Standing::Absent,
        _ => Standing::Unseen,
    }
}

/// Whether a list has a peer; `None` when a line was torn.
#[inline(always)]
fn contains<M: TableMemory>(memory: &M, list: List, peer: &PeerAddress) -> Option<bool> {
    let per_line = peer.family().per_line();
    for index in 0..list.count.div_ceil(per_line) {
        let words = read_line(memory, list, per_line, index)?;
        let peers = (list.count - index * per_line).min(per_line);
        if line_position(&words, peers, peer).is_some() {
            return Some(true);
        }
    }
    Some(false)
}

/// Writes the peers that a torrent has for the announcer; how many.
#[inline(always)]
fn pick<M: TableMemory>(memory: &M, torrent: &Torrent, query: &Query<'_>, out: &mut [u8]) -> u32 {
    let mut answer = Answer { out, peer_len: query.peer.family().peer_len(), peers: 0 };
    let want = query.want.min((answer.out.len() / answer.peer_len) as u32);
    let mut dice = Dice::new(query.random);
    if matches!(torrent.kind, Kind::Lists) {
        pick_listed(memory, torrent, query, want, &mut dice, &mut answer);
    } else {
        pick_inline(torrent, query, want, &mut dice, &mut answer);
    }
    answer.peers
}

#[inline(always)]
fn pick_inline(torrent: &Torrent, query: &Query<'_>, want: u32, dice: &mut Dice, answer: &mut Answer<'_>) {
    let mut fit = [None; INLINE_V4];
    let mut count = 0;
    for peer in torrent.inline(query.peer.family()).into_iter().flatten() {
        if peer.address != query.peer
            && !(query.seeder && peer.cell.seeder())
            && let Some(place) = fit.get_mut(count)
        {
            *place = Some(peer.address);
            count += 1;
        }
    }
    // A run from a random start in the ring of those that fit: each has the same chance.
    let start = dice.below(count as u32) as usize;
    for index in start..start + count {
        if answer.peers >= want {
            return;
        }
        let index = if index >= count { index - count } else { index };
        if let Some(Some(address)) = fit.get(index) {
            answer.append(address.bytes());
        }
    }
}

#[inline(always)]
fn pick_listed<M: TableMemory>(
    memory: &M,
    torrent: &Torrent,
    query: &Query<'_>,
    want: u32,
    dice: &mut Dice,
    answer: &mut Answer<'_>,
) {
    let family = query.peer.family();
    let leechers = torrent.list(ListName::of(family, false));
    let seeders = if query.seeder { List::EMPTY } else { torrent.list(ListName::of(family, true)) };
    let n = want.min(leechers.count.saturating_add(seeders.count));
    let share = leechers_share(n, leechers.count, seeders.count, dice);
    let from_leechers = Draw::new(leechers.count, share, family, dice);
    let from_seeders = Draw::new(seeders.count, n - share, family, dice);
    let _ends_early = copy(memory, leechers, &from_leechers, answer)
        .and_then(|()| copy(memory, seeders, &from_seeders, answer));

    // The announcer's own place goes to a peer that wasn't drawn. A list that is being changed can show it twice, so it is looked
    // for to the end.
    let left_over = from_leechers.left_over().saturating_add(from_seeders.left_over());
    let mut spare = (left_over > 0).then(|| dice.below(left_over));
    let mut index = 0;
    while let Some(own) = answer.find(query.peer.bytes(), index) {
        index = own;
        let position = spare.take();
        let other = position.and_then(|spare| {
            let (list, draw, spare) = if spare < from_leechers.left_over() {
                (leechers, &from_leechers, spare)
            } else {
                (seeders, &from_seeders, spare - from_leechers.left_over())
            };
            let position = draw.left_over_position(spare);
            let words = read_line(memory, list, family.per_line(), position / family.per_line())?;
            Some((line_bytes(&words), (position % family.per_line()) as usize * family.peer_len()))
        });
        match other {
            Some((bytes, at)) => answer.replace(own, &bytes, at),
            None => answer.remove(own),
        }
    }
}

/// Copies the drawn peers of a list; `None` when a line was torn and the answer ends before it.
#[inline(always)]
fn copy<M: TableMemory>(memory: &M, list: List, draw: &Draw, answer: &mut Answer<'_>) -> Option<()> {
    let per_line = answer.per_line();
    for index in 0..draw.segments {
        let segment = draw.segment(index);
        let (mut position, mut left) = (segment.start, segment.len);
        // A segment is at most a line long, so it has three pieces at most: the end of one line, a short last line, the first line.
        for _ in 0..3 {
            if left == 0 {
                break;
            }
            let slot = position % per_line;
            let piece = left.min(per_line - slot).min(list.count.saturating_sub(position));
            let words = read_line(memory, list, per_line, position / per_line)?;
            answer.extend(&line_bytes(&words), slot as usize, piece);
            left -= piece;
            position += piece;
            if position >= list.count {
                position = 0;
            }
        }
    }
    Some(())
}

/// Line `index` of a list as it stood at one moment; `None` when both tries met the writer in it.
#[inline(always)]
fn read_line<M: TableMemory>(memory: &M, list: List, per_line: u32, index: u32) -> Option<[u64; WORDS]> {
    let number = line_number(memory, list, per_line, index)?;
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

/// Number of line `index` of a list.
#[inline(always)]
fn line_number<M: TableMemory>(memory: &M, list: List, per_line: u32, index: u32) -> Option<u32> {
    let mut number = list.root;
    let mut level = depth(list.count.div_ceil(per_line));
    while level > 0 {
        number = directory_entry(memory.record(number)?, child(index, level));
        // Pairs with the writer's release store of the entry, after which the line is complete.
        memory.acquire();
        level -= 1;
    }
    (number != 0).then_some(number)
}

/// The peers of an answer while they are put together.
struct Answer<'a> {
    out: &'a mut [u8],
    peer_len: usize,
    peers: u32,
}

impl Answer<'_> {
    #[inline(always)]
    fn per_line(&self) -> u32 {
        if self.peer_len == 6 { super::Family::V4.per_line() } else { super::Family::V6.per_line() }
    }

    #[inline(always)]
    fn append(&mut self, peer: &[u8]) {
        for (to, from) in self.out.iter_mut().skip(self.peers as usize * self.peer_len).zip(peer) {
            *to = *from;
        }
        self.peers += 1;
    }

    /// Appends `peers` peers of a line, from `slot` on.
    #[inline(always)]
    fn extend(&mut self, line: &[u8; RECORD_BYTES], slot: usize, peers: u32) {
        let (from, to) = (slot * self.peer_len, self.peers as usize * self.peer_len);
        let len = peers as usize * self.peer_len;
        if let (Some(from), Some(to)) = (line.get(from..from + len), self.out.get_mut(to..to + len)) {
            to.copy_from_slice(from);
            self.peers += peers;
        }
    }

    /// The first place from `index` on that holds this peer.
    #[inline(always)]
    fn find(&self, peer: &[u8], index: u32) -> Option<u32> {
        let peers = self.out.chunks_exact(self.peer_len).take(self.peers as usize);
        peers.zip(0u32..).skip(index as usize).find(|(bytes, _)| *bytes == peer).map(|(_, index)| index)
    }

    #[inline(always)]
    fn replace(&mut self, index: u32, line: &[u8; RECORD_BYTES], at: usize) {
        let to = index as usize * self.peer_len;
        if let (Some(from), Some(to)) =
            (line.get(at..at + self.peer_len), self.out.get_mut(to..to + self.peer_len))
        {
            to.copy_from_slice(from);
        }
    }

    /// Removes one peer; the last takes its place.
    #[inline(always)]
    fn remove(&mut self, index: u32) {
        let Some(last) = self.peers.checked_sub(1) else { return };
        let from = last as usize * self.peer_len;
        if from + self.peer_len <= self.out.len() {
            let to = index as usize * self.peer_len;
            for byte in 0..self.peer_len {
                if let Some(value) = self.out.get(from + byte).copied()
                    && let Some(place) = self.out.get_mut(to + byte)
                {
                    *place = value;
                }
            }
        }
        self.peers = last;
    }
}
