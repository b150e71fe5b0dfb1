//! From a checked connection id to the answer of an announce.

use core::hint::black_box;
use core::marker::PhantomData;

use bytemuck::Pod;

use super::Host;
use super::refuse::{ERROR_LEN, refuse};
use crate::event;
use crate::frame::{self, Datagram, Frame, Network, SUM_STEP};
use crate::table::layout::{RECORD_BYTES, WORDS};
use crate::table::{self, Announced, Announcer, PeerFamily, Room, SPARE, Step, TableMemory};
use crate::verdict::Verdict;
use crate::wire::{self, AnnounceKind, Refusal};

/// Answers an announce, and hands its event on.
///
/// In functions that keep what they know in the workspace: each begins with nothing in registers and on the stack, so the verifier follows
/// it once, not once for every way through those before it.
#[inline(always)]
pub(super) fn announce<F: Frame, H: Host, N: Network>(frame: &mut F, host: &mut H) -> Verdict {
    let verdict = begin::<F, H, N>(frame, host);
    if !H::ANSWERS || verdict as u32 != Verdict::Announce as u32 {
        return verdict;
    }
    H::Table::repeat(ROUNDS, &mut Peers { frame, host, network: PhantomData::<N> });
    finish::<F, H, N>(frame, host)
}

/// Peers are picked, and once again should they have moved meanwhile.
struct Peers<'a, F, H, N> {
    frame: &'a mut F,
    host: &'a mut H,
    network: PhantomData<N>,
}

const ROUNDS: u32 = 2;

impl<F: Frame, H: Host, N: Network> Step for Peers<'_, F, H, N> {
    #[inline(always)]
    fn step(&mut self, round: u32) -> bool {
        pick::<F, H, N>(self.frame, self.host);
        settle::<F, H, N>(self.frame, self.host);
        round + 1 < ROUNDS && renew::<H>(self.host)
    }
}

/// Up to the event.
#[inline(never)]
fn begin<F: Frame, H: Host, N: Network>(frame: &mut F, host: &mut H) -> Verdict {
    match begun::<F, H, N>(frame, host) {
        Ok(verdict) | Err(verdict) => verdict,
    }
}

#[inline(always)]
fn begun<F: Frame, H: Host, N: Network>(frame: &mut F, host: &mut H) -> Result<Verdict, Verdict> {
    // Once more: what a function keeps of the headers costs stack, and they are in the cache.
    let datagram = N::parse(frame)?;
    let transaction = frame.load::<u32>(N::PAYLOAD + 12).ok_or(Verdict::PassLength)?;
    if datagram.payload_len() >= wire::ANNOUNCE_LEN {
        let info_hash = frame.bytes(N::PAYLOAD + wire::INFO_HASH_AT).ok_or(Verdict::PassLength)?;
        if !host.allows(info_hash) {
            let refusal = Refusal::InfoHashNotAllowed;
            let verdict = Verdict::ErrorInfoHash;
            return Ok(refuse::<F, N, ERROR_LEN>(frame, &datagram, refusal, transaction, verdict));
        }
    }
    let terms = if H::ANSWERS { host.terms() } else { None };
    let terms = terms.ok_or(Verdict::PassAnnounce)?;
    if datagram.payload_len() < wire::ANNOUNCE_LEN {
        const LEN: usize = Refusal::AnnounceTooShort.answer_len();
        let refusal = Refusal::AnnounceTooShort;
        return Ok(refuse::<F, N, LEN>(frame, &datagram, refusal, transaction, Verdict::ErrorAnnounceShort));
    }
    let port = frame.load::<u16>(N::PAYLOAD + 96).ok_or(Verdict::PassLength)?;
    if port == 0 {
        const LEN: usize = Refusal::PortZero.answer_len();
        return Ok(refuse::<F, N, LEN>(frame, &datagram, Refusal::PortZero, transaction, Verdict::ErrorPort));
    }

    // BEP 15, "announce request".
    let [hash0, hash1] = frame.load::<[u64; 2]>(N::PAYLOAD + 16).ok_or(Verdict::PassLength)?;
    let hash2 = frame.load::<u32>(N::PAYLOAD + 32).ok_or(Verdict::PassLength)?;
    let peer_id = frame.load::<u32>(N::PAYLOAD + 36).ok_or(Verdict::PassLength)?;
    let left = frame.load::<u64>(N::PAYLOAD + 64).ok_or(Verdict::PassLength)?;
    let event_code = frame.load::<u32>(N::PAYLOAD + 80).ok_or(Verdict::PassLength)?;
    let num_want = frame.load::<u32>(N::PAYLOAD + 92).ok_or(Verdict::PassLength)?;
    let info_hash = [hash0.to_le(), hash1.to_le(), hash2.to_le() as u64];
    let kind = AnnounceKind::from_wire(u32::from_be(event_code));
    let random = host.random();
    let announcer = Announcer::<N::Peers> {
        peer: N::peer(datagram.source, port),
        // U12
        seeder: left == 0,
        stopped: matches!(kind, AnnounceKind::Stopped),
        want: terms.wanted_peers(u32::from_be(num_want) as i32, N::Peers::FAMILY),
        random,
    };
    let memory = host.table();
    let work = host.workspace().ok_or(Verdict::PassAnnounce)?;
    table::find(&memory, work, &info_hash);
    let at_most = work.peers_at_most(&announcer);

    // Everything that can fail comes before the first byte is changed: what passes now passes as it came.
    let came = came_as::<F, N>(frame, &datagram);
    let room = room_for::<N>(at_most);
    let grown = if room > came { room } else { came };
    let Some(growth) = grow(frame, came, grown) else { return Err(Verdict::PassResize) };
    let last = event::last_word(announcer.seeder, u32::from_le(peer_id), host.now_ms());
    let event = N::Peers::event(info_hash, announcer.peer, kind, last);
    if !host.emit(&event) {
        let _as_it_came = match growth {
            Growth::None => true,
            Growth::Back => frame.resize(grown, came),
            Growth::Front => frame.cut_front((grown - came) as isize),
        };
        return Err(Verdict::PassEventRing);
    }
    if let Growth::Front = growth {
        move_headers::<F, N>(frame, grown - came).ok_or(Verdict::PassLength)?;
    }
    let work = host.workspace().ok_or(Verdict::PassAnnounce)?;
    work.announce = Announced {
        peer: N::Peers::words(announcer.peer),
        random,
        // No more than there is room for, whatever the table says later.
        want: announcer.want.min(at_most),
        seeder: announcer.seeder as u32,
        stopped: announcer.stopped as u32,
        grown: grown as u32,
        // Other bits than those that choose the peers.
        interval_s: terms.interval(random.rotate_left(32)),
        unused: 0,
    };
    Ok(Verdict::Announce)
}

impl Announced {
    #[inline(always)]
    fn announcer<P: PeerFamily>(&self) -> Announcer<P> {
        Announcer {
            peer: P::from_words(self.peer),
            seeder: self.seeder != 0,
            stopped: self.stopped != 0,
            want: self.want,
            random: self.random,
        }
    }
}

/// Puts the peers into the frame.
#[inline(never)]
fn pick<F: Frame, H: Host, N: Network>(frame: &mut F, host: &mut H) {
    let memory = host.table();
    let Some(work) = host.workspace() else { return };
    let announcer = work.announce.announcer::<N::Peers>();
    table::pick(&memory, &announcer, work, &mut FrameRoom::of::<N>(frame));
}

/// Makes their number right.
#[inline(never)]
fn settle<F: Frame, H: Host, N: Network>(frame: &mut F, host: &mut H) {
    let memory = host.table();
    let Some(work) = host.workspace() else { return };
    let announcer = work.announce.announcer::<N::Peers>();
    table::settle(&memory, &announcer, work, &mut FrameRoom::of::<N>(frame));
}

/// Whether they have to be picked again.
#[inline(always)]
fn renew<H: Host>(host: &mut H) -> bool {
    let memory = host.table();
    host.workspace().is_some_and(|work| table::renew(&memory, work))
}

/// Writes all but the peers, which are there.
#[inline(never)]
fn finish<F: Frame, H: Host, N: Network>(frame: &mut F, host: &mut H) -> Verdict {
    match finished::<F, H, N>(frame, host) {
        Ok(verdict) | Err(verdict) => verdict,
    }
}

#[inline(always)]
fn finished<F: Frame, H: Host, N: Network>(frame: &mut F, host: &mut H) -> Result<Verdict, Verdict> {
    let work = host.workspace().ok_or(Verdict::PassAnnounce)?;
    let Announced { seeder, stopped, grown, interval_s, .. } = work.announce;
    let found = work.found::<N::Peers>(seeder != 0, stopped != 0);
    let len = wire::ANNOUNCE_ANSWER_LEN + found.peers as usize * N::Peers::LEN;
    let datagram = N::parse(frame)?;
    let transaction = frame.load::<u32>(N::PAYLOAD + 12).ok_or(Verdict::PassLength)?;
    // BEP 15, "announce response".
    let [action, interval, leechers, seeders] =
        [wire::ACTION_ANNOUNCE, interval_s, found.leechers, found.seeders].map(u32::to_be);
    write::<F, N>(frame, &datagram, [action, transaction, interval, leechers, seeders], len)
        .ok_or(Verdict::PassLength)?;
    // That fails for no driver; and if it did, what is behind the datagram would be padding.
    let _padded = frame.resize(grown as usize, N::PAYLOAD + len);
    Ok(Verdict::Announce)
}

/// Where a frame was made longer.
#[derive(Clone, Copy)]
enum Growth {
    None,
    Back,
    Front,
}

/// Makes a frame longer where there is room: at its end, as network cards' buffers have it, or before its begin, as copies of packets have
/// it that came from the stack (generic XDP, and a socket's packets on veth).
#[inline(always)]
fn grow<F: Frame>(frame: &mut F, came: usize, grown: usize) -> Option<Growth> {
    if grown == came {
        Some(Growth::None)
    } else if frame.resize(came, grown) {
        Some(Growth::Back)
    } else if frame.cut_front(came as isize - grown as isize) {
        Some(Growth::Front)
    } else {
        None
    }
}

/// Moves the headers to the begin of a frame that was made longer there by so many bytes.
#[inline(always)]
fn move_headers<F: Frame, N: Network>(frame: &mut F, by: usize) -> Option<()> {
    // From front to back, since both places may overlap. What is behind the transaction id has been read.
    for word in 0..(N::PAYLOAD + wire::HEADER_LEN).div_ceil(8) {
        let bytes = frame.load_at::<u64>(by + 8 * word)?;
        frame.store(8 * word, bytes)?;
    }
    Some(())
}

/// Bytes of the frame as it came: with what a network card may have put behind the datagram.
#[inline(always)]
fn came_as<F: Frame, N: Network>(frame: &F, datagram: &Datagram<N::Ip>) -> usize {
    let end = N::UDP + datagram.len;
    if frame.reaches(end + 1) { frame.total_len() } else { end }
}

/// Bytes of a frame in which an answer of so many peers is put together: lines are put whole, and the sum's steps are.
#[inline(always)]
const fn room_for<N: Network>(peers: u32) -> usize {
    N::PAYLOAD + wire::ANNOUNCE_ANSWER_LEN + peers as usize * N::Peers::LEN + SPARE
}

/// What is behind the peers is enough for a sum's last step, too.
const _: () = assert!(SPARE >= SUM_STEP);

#[inline(always)]
fn write<F: Frame, N: Network>(
    frame: &mut F,
    datagram: &Datagram<N::Ip>,
    head: [u32; 5],
    len: usize,
) -> Option<()> {
    frame.store(N::PAYLOAD, head)?;
    // Opaque, or LLVM calls a memset that goes byte by byte.
    frame.store_at(N::PAYLOAD + len, [black_box(0u64); SUM_STEP / 8])?;
    let sum = frame::payload_sum(frame, N::PAYLOAD, len);
    frame::write_headers::<F, N>(frame, datagram, len, sum)
}

/// The room for peers in a frame.
struct FrameRoom<'a, F> {
    frame: &'a mut F,
    /// Offset of the first peer.
    base: usize,
}

impl<'a, F> FrameRoom<'a, F> {
    #[inline(always)]
    const fn of<N: Network>(frame: &'a mut F) -> Self {
        Self { frame, base: N::PAYLOAD + wire::ANNOUNCE_ANSWER_LEN }
    }
}

impl<F: Frame> Room for FrameRoom<'_, F> {
    #[inline(always)]
    fn put_line(&mut self, at: usize, line: [u64; WORDS]) -> Option<()> {
        self.frame.store_at(self.base + at, line)
    }

    #[inline(always)]
    fn window(&mut self, at: usize) -> Option<&mut [u8; RECORD_BYTES]> {
        self.frame.window_at(self.base + at)
    }

    #[inline(always)]
    fn put<T: Pod>(&mut self, at: usize, value: T) -> Option<()> {
        self.frame.store_at(self.base + at, value)
    }

    #[inline(always)]
    fn get<T: Pod>(&self, at: usize) -> Option<T> {
        self.frame.load_at(self.base + at)
    }
}
