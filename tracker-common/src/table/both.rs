//! An announce answered with peers of both families, as HTTP does (H11).
//!
//! Beside `read` and over the same steps, but for user space alone: nothing here is part of the BPF program, and nothing there knows of it. The
//! whole swarm is one urn: first is drawn how many of the answer's peers each family gives, then how many of them are leechers, then which.
//!
//! Tests: `tracker-core/tests/both.rs` (against what the swarm is, the distribution over both families, readers beside a busy writer).

use super::layout::{Kind, List, ListName, MAX_LIST_LINES, Torrent, depth, hash_words};
use super::listed::{LEECHERS, SEEDERS, Steps, begin_list, leave_one_out, put_part, touch};
use super::lookup::{Lookup, find, renew};
use super::read::{ROUNDS, Standing, pick_inline};
use super::select::{Dice, Draw, leechers_share, max_steps};
use super::work::Listed;
use super::{
    Announcer, Buffer, Peer6, PeerFamily, Peers4, Peers6, Query, Record, SPARE, TableMemory, Workspace,
};
use crate::wire::{MAX_PEERS_V4, PEER_V4_LEN, PEER_V6_LEN};

/// Peers of both families together that an answer has at most: 230, as many as fit into a packet of IPv4.
pub const MAX_PEERS_OF_BOTH: u32 = MAX_PEERS_V4 as u32;

/// One more may be put and taken out again.
const ROOM: usize = MAX_PEERS_OF_BOTH as usize + 1;

/// Room for the peers of an answer. May be used again without clearing: a [`FoundBoth`] says how many count.
#[derive(Clone, Debug)]
pub struct BothPeers {
    /// IPv4 peers, 6 bytes each, then what is of no meaning.
    pub v4: [u8; ROOM * PEER_V4_LEN + SPARE],
    /// IPv6 peers, 18 bytes each, then what is of no meaning.
    pub v6: [u8; ROOM * PEER_V6_LEN + SPARE],
}

impl BothPeers {
    /// Empty room.
    pub const fn new() -> Self {
        Self { v4: [0; ROOM * PEER_V4_LEN + SPARE], v6: [0; ROOM * PEER_V6_LEN + SPARE] }
    }

    /// The bytes of the IPv4 peers that were found, as BEP 23 has them in `peers`.
    pub fn v4(&self, found: &FoundBoth) -> &[u8] {
        self.v4.get(..found.peers_v4 as usize * PEER_V4_LEN).unwrap_or_default()
    }

    /// The bytes of the IPv6 peers that were found, as BEP 7 has them in `peers6`.
    pub fn v6(&self, found: &FoundBoth) -> &[u8] {
        self.v6.get(..found.peers_v6 as usize * PEER_V6_LEN).unwrap_or_default()
    }
}

impl Default for BothPeers {
    fn default() -> Self {
        Self::new()
    }
}

/// What an announce is answered, with peers of both families.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FoundBoth {
    /// Seeders of both families, the announcer included.
    pub seeders: u32,
    /// Leechers of both families, the announcer included.
    pub leechers: u32,
    /// How often the torrent was completed, before this announce.
    pub completed: u32,
    /// Peers written to the front of [`BothPeers::v4`].
    pub peers_v4: u32,
    /// Peers written to the front of [`BothPeers::v6`].
    pub peers_v6: u32,
}

/// Answers an announce like [`announce`](super::announce), but with peers of both families: `query.want` of them together, at most
/// [`MAX_PEERS_OF_BOTH`], or all there are.
///
/// - Never the announcer, each peer at most once; a seeder gets no seeders; who stops gets nobody.
/// - Every peer of the swarm has the same chance, whatever its family.
/// - PROTOCOL "Counts": when the announcer was met, or all peers of its family were looked through, the counts are exact; otherwise they are
///   the stored ones.
pub fn announce_both<M: TableMemory>(memory: &M, query: &Query<'_>, out: &mut BothPeers) -> FoundBoth {
    let generation = memory.generation();
    memory.acquire();
    let mut work = Workspace::default();
    find(memory, &mut work, &hash_words(query.info_hash));
    let announcers = Announcers::of(query);
    let mut lens = [0; 2];
    for round in 1..=ROUNDS {
        lens = put(memory, &announcers, &mut work, out);
        // The last peers go with the counts that they were picked by.
        if round == ROUNDS || !renew(memory, &mut work) {
            break;
        }
    }
    memory.acquire();
    // Lines that were freed after the first look at the generation may have been used again by now.
    if memory.generation().wrapping_sub(generation) >= 2 {
        lens = [0; 2];
    }
    // The counts are of both families, whichever is asked.
    let found = work.found::<Peers4>(query.seeder, query.stopped);
    let completed = match work.lookup() {
        Lookup::Unknown => 0,
        // Its half of an aligned word: as it was or as it is, even in a torn copy.
        Lookup::Torn | Lookup::Whole => Torrent::from_words(&work.torrent).completed,
    };
    FoundBoth {
        seeders: found.seeders,
        leechers: found.leechers,
        completed,
        peers_v4: Peers4::peers_in(lens[0]),
        peers_v6: Peers6::peers_in(lens[1]),
    }
}

/// The announcer as each family sees it: to one of them it is nobody.
struct Announcers {
    four: Announcer<Peers4>,
    six: Announcer<Peers6>,
    /// The announcer's own family, as an index.
    own: usize,
}

/// 255.255.255.255, port 0: nobody announces from there.
const NOBODY_4: u64 = 0xffff_ffff;
/// ffff:…:ffff, port 0, which isn't near to any peer either, as zeros would be.
const NOBODY_6: Peer6 = Peer6 { high: u64::MAX, low: u64::MAX, port: 0 };

impl Announcers {
    fn of(query: &Query<'_>) -> Self {
        let (four, six) = (Peers4::of(&query.peer), Peers6::of(&query.peer));
        Self {
            four: announcer(query, four.unwrap_or(NOBODY_4)),
            six: announcer(query, six.unwrap_or(NOBODY_6)),
            own: six.is_some() as usize,
        }
    }
}

fn announcer<P: PeerFamily>(query: &Query<'_>, peer: P::Peer) -> Announcer<P> {
    let Query { seeder, stopped, random, .. } = *query;
    Announcer { peer, seeder, stopped, want: query.want.min(MAX_PEERS_OF_BOTH), random }
}

/// Peers of the torrent that was found; bytes of each family.
fn put<M: TableMemory>(
    memory: &M,
    announcers: &Announcers,
    work: &mut Workspace,
    out: &mut BothPeers,
) -> [u32; 2] {
    work.stands(Standing::Unseen);
    match work.lookup() {
        Lookup::Unknown => {
            work.stands(Standing::Absent);
            [0; 2]
        }
        Lookup::Torn => [0; 2],
        Lookup::Whole if !work.has_lists() => put_inline(announcers, work, out),
        Lookup::Whole if announcers.four.stopped => [0; 2],
        Lookup::Whole => put_listed(memory, announcers, work, out),
    }
}

/// Peers of the torrent's own record, which are all of one family; bytes of each.
fn put_inline(announcers: &Announcers, work: &mut Workspace, out: &mut BothPeers) -> [u32; 2] {
    if matches!(Torrent::from_words(&work.torrent).kind, Kind::Inline6) {
        pick_inline(&announcers.six, work, &mut Buffer(&mut out.v6));
        [0, work.len]
    } else {
        pick_inline(&announcers.four, work, &mut Buffer(&mut out.v4));
        [work.len, 0]
    }
}

/// Lines looked at for one family's part of an answer at most.
const MAX_STEPS: u32 = {
    let four = max_steps::<Peers4>(ROOM as u32);
    let six = max_steps::<Peers6>(ROOM as u32);
    if four > six { four } else { six }
};

/// Peers of the torrent's lists; bytes of each family.
fn put_listed<M: TableMemory>(
    memory: &M,
    announcers: &Announcers,
    work: &mut Workspace,
    out: &mut BothPeers,
) -> [u32; 2] {
    let Announcers { four, six, own } = announcers;
    let mut dice = Dice::new(four.random);
    let Drawn { lists, all_of } =
        Drawn::new(&Torrent::from_words(&work.torrent), four.seeder, four.want, &mut dice);
    let [lists4, lists6] = lists;
    touch_both(memory, &lists, work);
    let standings = all_of.map(|all| if all { Standing::Absent } else { Standing::Unseen });
    let (len4, standing4) =
        put_family::<Peers4, M>(memory, &four.peer, lists4, standings[0], work, &mut out.v4);
    let (len6, standing6) =
        put_family::<Peers6, M>(memory, &six.peer, lists6, standings[1], work, &mut out.v6);
    // Where it is nobody it wasn't met.
    work.standing = if *own == 0 { standing4 } else { standing6 };

    let mut dice = Dice::new(four.random.rotate_left(16));
    if work.standing >= Standing::Leecher as u32 {
        let Some(spare) = Spare::any(&lists, &mut dice) else { return [len4, len6] };
        work.lists = lists[spare.family & 1];
        if spare.family == 0 {
            [put_spare::<Peers4, M>(memory, &four.peer, &spare, len4, work, &mut out.v4), len6]
        } else {
            [len4, put_spare::<Peers6, M>(memory, &six.peer, &spare, len6, work, &mut out.v6)]
        }
    } else {
        let (peers4, peers6) = (Peers4::peers_in(len4), Peers6::peers_in(len6));
        if peers4 + peers6 <= four.want {
            return [len4, len6];
        }
        // The announcer wasn't among all of them.
        if dice.below(peers4 + peers6) < peers4 {
            work.len = len4;
            leave_one_out::<Peers4, _>(work, &mut Buffer(&mut out.v4), &mut dice);
            [work.len, len6]
        } else {
            work.len = len6;
            leave_one_out::<Peers6, _>(work, &mut Buffer(&mut out.v6), &mut dice);
            [len4, work.len]
        }
    }
}

/// What is drawn of the four lists.
struct Drawn {
    /// Of each family: leechers, seeders.
    lists: [[Listed; 2]; 2],
    /// Whether that is the whole family, so that an announcer of it that isn't met is not in the swarm.
    all_of: [bool; 2],
}

impl Drawn {
    #[inline]
    fn new(torrent: &Torrent, seeder: bool, want: u32, dice: &mut Dice) -> Self {
        let [leechers4, seeders4] = lists_of::<Peers4>(torrent);
        let [leechers6, seeders6] = lists_of::<Peers6>(torrent);
        let for_it = |seeders: &List| if seeder { 0 } else { seeders.count };
        let (fit4, fit6) = (leechers4.count + for_it(&seeders4), leechers6.count + for_it(&seeders6));
        let total = fit4 + fit6;
        // One more than wanted is taken, too, since one of them is likely the announcer.
        let n = if total == want + 1 { total } else { want.min(total) };
        // Where all of them fit, nothing is drawn, and nothing divided.
        let share = |n: u32, one: u32, other: u32, dice: &mut Dice| {
            if n == one + other { one } else { leechers_share(n, one, other, dice) }
        };
        let n4 = share(n, fit4, fit6, dice);
        let n6 = n - n4;
        let from4 = share(n4, leechers4.count, for_it(&seeders4), dice);
        let from6 = share(n6, leechers6.count, for_it(&seeders6), dice);
        Self {
            lists: [
                [
                    listed::<Peers4>(leechers4.root, leechers4.count, from4, dice),
                    listed::<Peers4>(seeders4.root, for_it(&seeders4), n4 - from4, dice),
                ],
                [
                    listed::<Peers6>(leechers6.root, leechers6.count, from6, dice),
                    listed::<Peers6>(seeders6.root, for_it(&seeders6), n6 - from6, dice),
                ],
            ],
            all_of: [n4 == leechers4.count + seeders4.count, n6 == leechers6.count + seeders6.count],
        }
    }
}

fn lists_of<P: PeerFamily>(torrent: &Torrent) -> [List; 2] {
    [false, true].map(|seeders| {
        let List { root, count } = torrent.list(ListName::of(P::FAMILY, seeders));
        // No list is longer; said here, so that whatever the words are, no sum of four overflows.
        List { root, count: count.min(MAX_LIST_LINES * P::PER_LINE) }
    })
}

fn listed<P: PeerFamily>(root: u32, count: u32, take: u32, dice: &mut Dice) -> Listed {
    let Draw { start, gap, .. } = Draw::new::<P>(count, take, dice);
    let levels = depth(P::line_of(count + (P::PER_LINE - 1)));
    Listed { root, levels, count, take, start, gap }
}

/// Asks for the first lines of both families before one of them is needed: the memory fetches them at the same time.
fn touch_both<M: TableMemory>(memory: &M, lists: &[[Listed; 2]; 2], work: &mut Workspace) {
    let [lists4, lists6] = lists;
    if is_any(lists4) && is_any(lists6) {
        for list in lists.as_flattened() {
            if list.take != 0
                && let Some(root) = memory.record(list.root)
            {
                root.word(0);
            }
        }
    }
    if is_any(lists6) {
        work.lists = *lists6;
        touch::<Peers6, M>(memory, work);
    }
    if is_any(lists4) {
        work.lists = *lists4;
        touch::<Peers4, M>(memory, work);
    }
}

fn is_any([leechers, seeders]: &[Listed; 2]) -> bool {
    leechers.take + seeders.take > 0
}

/// Puts what was drawn of one family; how many bytes, and how the announcer stands in it.
fn put_family<P: PeerFamily, M: TableMemory>(
    memory: &M,
    own: &P::Peer,
    lists: [Listed; 2],
    standing: Standing,
    work: &mut Workspace,
    room: &mut [u8],
) -> (u32, u32) {
    work.len = 0;
    work.stands(standing);
    if is_any(&lists) {
        work.lists = lists;
        begin_list::<P>(work, LEECHERS);
        M::repeat(MAX_STEPS, &mut Steps::<P, M, _> { memory, own, work, room: &mut Buffer(room) });
    }
    (work.len, work.standing)
}

/// A peer that wasn't drawn: it takes the announcer's place.
struct Spare {
    family: usize,
    list: u32,
    position: u32,
}

impl Spare {
    /// Any one of them; `None` when all were drawn.
    fn any([lists4, lists6]: &[[Listed; 2]; 2], dice: &mut Dice) -> Option<Self> {
        let draw = |Listed { count, take, start, gap, .. }: Listed| Draw { count, take, start, gap };
        let (draws4, draws6) = (lists4.map(draw), lists6.map(draw));
        let total: u32 = draws4.iter().chain(&draws6).map(Draw::left_over).sum();
        let mut index = dice.below(total);
        for (family, draws) in [draws4, draws6].iter().enumerate() {
            for (list, draw) in [LEECHERS, SEEDERS].into_iter().zip(draws) {
                if index < draw.left_over() {
                    let position = match family {
                        0 => draw.left_over_position::<Peers4>(index),
                        _ => draw.left_over_position::<Peers6>(index),
                    };
                    return Some(Self { family, list, position });
                }
                index -= draw.left_over();
            }
        }
        None
    }
}

/// Puts it behind the family's peers; how many bytes they are then.
fn put_spare<P: PeerFamily, M: TableMemory>(
    memory: &M,
    own: &P::Peer,
    spare: &Spare,
    len: u32,
    work: &mut Workspace,
    room: &mut [u8],
) -> u32 {
    begin_list::<P>(work, spare.list);
    (work.position, work.in_run, work.left) = (spare.position, 1, 1);
    work.len = len;
    put_part::<P, M, _>(memory, own, work, &mut Buffer(room));
    work.len
}
