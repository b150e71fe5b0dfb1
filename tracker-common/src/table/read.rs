//! Announce and scrape, read from the table.

use super::layout::{INLINE_V4, Kind, Torrent, hash_words};
use super::listed::{pick_listed, settle_listed};
use super::lookup::{Lookup, find, renew};
use super::select::Dice;
use super::{Buffer, PeerAddress, PeerFamily, Peers4, Peers6, Room, SPARE, TableMemory, Workspace};
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

/// Answers an announce: peers into `out`, which best has [`SPARE`] bytes more than they need, by the family of the announcer, and the counts as they will be once it is applied.
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
    let mut work = Workspace::default();
    find(memory, &mut work, &hash_words(query.info_hash));
    let mut found = if let Some(peer) = Peers4::of(&query.peer) {
        into_buffer(memory, query.announcer::<Peers4>(peer), &mut work, out)
    } else if let Some(peer) = Peers6::of(&query.peer) {
        into_buffer(memory, query.announcer::<Peers6>(peer), &mut work, out)
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
    const fn announcer<P: PeerFamily>(&self, peer: P::Peer) -> Announcer<P> {
        Announcer { peer, seeder: self.seeder, stopped: self.stopped, want: self.want, random: self.random }
    }
}

/// IPv4 peers that a buffer without [`SPARE`] bytes behind them gets at most.
const MAX_PEERS: usize = crate::wire::MAX_PEERS_V4;

#[inline(always)]
fn into_buffer<P: PeerFamily, M: TableMemory>(
    memory: &M,
    mut announcer: Announcer<P>,
    work: &mut Workspace,
    out: &mut [u8],
) -> Found {
    announcer.want = announcer.want.min((out.len() / P::LEN) as u32);
    if out.len() >= (announcer.want as usize + 1) * P::LEN + SPARE {
        return answer(memory, &announcer, work, &mut Buffer(out));
    }
    announcer.want = announcer.want.min((MAX_PEERS * 6 / P::LEN) as u32);
    let mut spacious = [0; (MAX_PEERS + 3) * 6 + SPARE];
    let found = answer(memory, &announcer, work, &mut Buffer(&mut spacious));
    for (to, from) in out.iter_mut().zip(&spacious).take(found.peers as usize * P::LEN) {
        *to = *from;
    }
    found
}

/// Answers a scrape; zeros for an unknown torrent (U19).
#[inline(always)]
pub fn scrape<M: TableMemory>(memory: &M, info_hash: &InfoHash) -> ScrapeCounts {
    let mut work = Workspace::default();
    find(memory, &mut work, &hash_words(info_hash));
    work.scraped()
}

impl Workspace {
    /// The counts for a scrape of the torrent that was found.
    #[inline(always)]
    pub const fn scraped(&self) -> ScrapeCounts {
        let Torrent { seeders, leechers, completed, partial, .. } = Torrent::from_words(&self.torrent);
        match self.lookup() {
            Lookup::Whole => ScrapeCounts { seeders, completed, leechers, partial },
            Lookup::Torn => ScrapeCounts { seeders, completed: 0, leechers, partial: 0 },
            Lookup::Unknown => ScrapeCounts { seeders: 0, completed: 0, leechers: 0, partial: 0 },
        }
    }

    /// Peers that an answer to this announcer has at most.
    #[inline(always)]
    pub fn peers_at_most<P: PeerFamily>(&self, announcer: &Announcer<P>) -> u32 {
        if announcer.stopped || !matches!(self.lookup(), Lookup::Whole) {
            return 0;
        }
        // Of both families: an upper bound is enough.
        let Torrent { seeders, leechers, .. } = Torrent::from_words(&self.torrent);
        let seeders = if announcer.seeder { 0 } else { seeders };
        // One more may be put and taken out again.
        (announcer.want + 1).min(leechers.saturating_add(seeders))
    }
}

/// What the announcer was before this announce.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It wasn't met, and not everybody was looked at.
    Unseen,
    Absent,
    Leecher,
    Seeder,
}

impl Workspace {
    #[inline(always)]
    pub(super) fn stands(&mut self, standing: Standing) {
        self.standing = standing as u32;
    }

    /// Counts as they will be when the announce is applied.
    #[inline(always)]
    fn counts_after(&self, seeder: bool, stopped: bool, seeders: u32, leechers: u32) -> (u32, u32) {
        let was = |standing: Standing| (self.standing == standing as u32) as u32;
        if was(Standing::Unseen) == 1 {
            return (seeders, leechers);
        }
        let stays = !stopped as u32;
        let seeders = seeders.saturating_sub(was(Standing::Seeder));
        let leechers = leechers.saturating_sub(was(Standing::Leecher));
        if seeder {
            (seeders.saturating_add(stays), leechers)
        } else {
            (seeders, leechers.saturating_add(stays))
        }
    }
}

/// How often peers are picked before an answer goes out in which, as they move all the time, one might be twice.
pub(super) const ROUNDS: u32 = 4;

/// The peers and counts that a look-up has for an announcer.
#[inline(always)]
pub fn answer<P: PeerFamily, M: TableMemory, R: Room>(
    memory: &M,
    announcer: &Announcer<P>,
    work: &mut Workspace,
    room: &mut R,
) -> Found {
    for round in 1..=ROUNDS {
        pick(memory, announcer, work, room);
        settle(memory, announcer, work, room);
        // The last peers go with the counts that they were picked by.
        if round == ROUNDS || !renew(memory, work) {
            break;
        }
    }
    work.found::<P>(announcer.seeder, announcer.stopped)
}

/// First step of an [`answer`]: puts peers into it.
#[inline(always)]
pub fn pick<P: PeerFamily, M: TableMemory, R: Room>(
    memory: &M,
    announcer: &Announcer<P>,
    work: &mut Workspace,
    room: &mut R,
) {
    work.len = 0;
    work.stands(Standing::Unseen);
    match work.lookup() {
        Lookup::Unknown => work.stands(Standing::Absent),
        Lookup::Torn => {}
        Lookup::Whole if !work.has_lists() => pick_inline(announcer, work, room),
        Lookup::Whole if announcer.stopped => {}
        Lookup::Whole => pick_listed(memory, announcer, work, room),
    }
}

/// Second step of an [`answer`]: makes their number right.
#[inline(always)]
pub fn settle<P: PeerFamily, M: TableMemory, R: Room>(
    memory: &M,
    announcer: &Announcer<P>,
    work: &mut Workspace,
    room: &mut R,
) {
    if matches!(work.lookup(), Lookup::Whole) && work.has_lists() && !announcer.stopped {
        settle_listed(memory, announcer, work, room);
    }
}

impl Workspace {
    #[inline(always)]
    pub(super) const fn has_lists(&self) -> bool {
        matches!(Torrent::from_words(&self.torrent).kind, Kind::Lists)
    }

    /// Last step of an [`answer`]: how many peers there are, and the counts.
    #[inline(always)]
    pub fn found<P: PeerFamily>(&self, seeder: bool, stopped: bool) -> Found {
        let Torrent { seeders, leechers, .. } = Torrent::from_words(&self.torrent);
        let known = match self.lookup() {
            Lookup::Unknown => (0, 0),
            _ => (seeders, leechers),
        };
        let (seeders, leechers) = self.counts_after(seeder, stopped, known.0, known.1);
        Found { seeders, leechers, peers: P::peers_in(self.len) }
    }
}

/// Peers in a torrent's own record at most.
const INLINE: usize = INLINE_V4;

/// A function of its own, as its loops' branches would otherwise multiply with those around it.
#[inline(never)]
pub(super) fn pick_inline<P: PeerFamily, R: Room>(
    announcer: &Announcer<P>,
    work: &mut Workspace,
    room: &mut R,
) {
    work.stands(Standing::Absent);
    work.fit = 0;
    for index in 0..INLINE {
        if let Some((peer, seeder)) = P::inline(&Torrent::from_words(&work.torrent), index) {
            if peer == announcer.peer {
                work.stands(if seeder { Standing::Seeder } else { Standing::Leecher });
            } else if !(announcer.seeder && seeder) {
                work.fit += 1;
            }
        }
    }
    if announcer.stopped || work.fit == 0 {
        return;
    }
    // Those that fit stand in a ring; a run of it from a random start goes into the answer, so each has the same chance.
    let start = if announcer.want < work.fit { Dice::new(announcer.random).below(work.fit) } else { 0 };
    work.rank = 0;
    for index in 0..INLINE {
        let Some((peer, seeder)) = P::inline(&Torrent::from_words(&work.torrent), index) else { continue };
        if peer == announcer.peer || announcer.seeder && seeder {
            continue;
        }
        let place = if work.rank >= start { work.rank - start } else { work.rank + work.fit - start };
        work.rank += 1;
        if place < announcer.want && P::put(room, work.len as usize, peer).is_some() {
            work.len += P::LEN as u32;
        }
    }
}
