//! `stress`: readers in the kernel and in user space check every answer while the writer churns.
//!
//! The data certify themselves ([`population`]): whoever reads a peer can tell whether it was ever announced for this torrent, and
//! whether its address is whole, without knowing what the writer is doing.
//!
//! - **CPU 0**: the generator announces, scrapes and connects, in four large and many tiny torrents, over both families, with all events and any
//!   number wanted; the tracker's program answers; the far end's program checks each answer, up to the last peer.
//! - **CPU 1**: the writer applies the generator's events, and between them churn of its own: whole torrents are stopped and come back under
//!   other numbers, peers change sides, the table grows by hundreds of thousands of torrents and is emptied again, peers expire.
//! - **Readers** in user space, one on each CPU, so that the scheduler stops them anywhere, ask for announces and scrapes and check them.
//!
//! It begins with a self-test: with another certificate on the checking side, both kinds of readers must find their first answers bad.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use bytemuck::Zeroable as _;
use clap::Args;
use tracker_common::event::AnnounceEvent;
use tracker_common::table::{PeerAddress, Query};
use tracker_common::verdict::Verdict;
use tracker_common::wire::{AnnounceKind, MAX_PEERS_V4};
use tracker_core::{Limits, Millis, TableReader, TableWriter, Totals};
use tracker_lab::population::{self, below, walk};
use tracker_lab::tally::{Evidence, Tally, fault};
use tracker_lab::traffic::{CONNECT_V4_LEN, Traffic};

use crate::cable::Cable;
use crate::drive::{KERNEL_CPU, WRITER_CPU, now_epoch};
use crate::laboratory::Laboratory;
use crate::ours::{self, BATCH, Ours};
use crate::sys;

/// Flags of `stress`.
#[derive(Args, Clone)]
pub(crate) struct Flags {
    /// Seconds at least
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Answers read at least, all places together
    #[arg(long, default_value_t = 100_000_000)]
    answers: u64,
    /// Only the self-test: corrupt the certificate on the checking side, which must be noticed
    #[arg(long)]
    self_test: bool,
    /// The laboratory's BPF object
    #[arg(long, value_name = "FILE", default_value = "target/bpf/lab")]
    lab: PathBuf,
}

const LARGE_TORRENTS: u32 = 4;
/// Peers of a large torrent, of each family.
const LARGE_PEERS: u32 = 3000;
/// Large and tiny ones.
const TORRENTS: u32 = 20_000;
/// Peers of a tiny torrent, of each family: some fit inline, some don't.
const TINY_PEERS: u32 = 6;
/// Torrents that only the churn knows: enough for the index to grow several times over.
const PASSING: u32 = 400_000;
/// Peers expire during the run, too.
const LIFETIME_S: u32 = 20;
/// Frames of one call.
const FRAMES: u32 = 1 << 17;

pub(crate) fn run(flags: &Flags) -> Result<()> {
    self_test(flags)?;
    if flags.self_test {
        return Ok(());
    }
    let limits = Wanted { time: Duration::from_secs(flags.seconds), answers: flags.answers };
    let outcome = churn(flags, &Salts { kernel: 0, user: 0 }, &limits)?;
    outcome.print();
    match outcome.bad {
        None => {
            println!("stress: not one bad answer");
            Ok(())
        }
        Some(bad) => bail!("{bad}"),
    }
}

/// Each checker must be able to find something.
fn self_test(flags: &Flags) -> Result<()> {
    let short = Wanted { time: Duration::from_secs(5), answers: u64::MAX };
    for (place, salts) in
        [("the kernel", Salts { kernel: 1, user: 0 }), ("user space", Salts { kernel: 0, user: 1 })]
    {
        let outcome = churn(flags, &salts, &short)?;
        let bad = outcome.bad.with_context(|| {
            format!("self-test: {place} checks against another certificate and finds nothing wrong")
        })?;
        let first = bad.lines().next().unwrap_or_default();
        println!("self-test: with another certificate {place} finds at once: {first}");
    }
    Ok(())
}

/// Salts of the certificates on the checking sides.
struct Salts {
    kernel: u32,
    user: u32,
}

struct Wanted {
    time: Duration,
    answers: u64,
}

/// What is shared by the threads of a run.
#[derive(Default)]
struct Board {
    stop: AtomicBool,
    bad: Mutex<Option<String>>,
    user_answers: AtomicU64,
    user_peers: AtomicU64,
    events: AtomicU64,
    churned: AtomicU64,
}

impl Board {
    fn report(&self, bad: String) {
        self.bad.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(bad);
        self.stop.store(true, Ordering::Release);
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }
}

struct Outcome {
    time: Duration,
    kernel: Tally,
    board: Board,
    totals: Totals,
    ring_full: u64,
    bad: Option<String>,
}

impl Outcome {
    fn print(&self) {
        let user = self.board.user_answers.load(Ordering::Relaxed);
        println!("stress: {:.0} s", self.time.as_secs_f64());
        println!(
            "  in the kernel: {} answers ({} announces with {} peers, {} scrapes, {} connects), {} requests met a full ring",
            self.kernel.answers(),
            self.kernel.checked,
            self.kernel.peers,
            self.kernel.scrapes,
            self.kernel.connects,
            self.ring_full
        );
        println!(
            "  in user space: {user} answers with {} peers",
            self.board.user_peers.load(Ordering::Relaxed)
        );
        println!(
            "  the writer: {} events of the program's, {} of the churn's; {:?}",
            self.board.events.load(Ordering::Relaxed),
            self.board.churned.load(Ordering::Relaxed),
            self.totals
        );
    }
}

fn churn(flags: &Flags, salts: &Salts, wanted: &Wanted) -> Result<Outcome> {
    let limits = Limits {
        max_torrents: 1_000_000,
        max_peers: 4_000_000,
        peer_lifetime_s: LIFETIME_S,
        ..Limits::default()
    };
    let mut laboratory = Laboratory::load(&flags.lab, &[])?;
    let cable = Cable::new();
    laboratory.attach("check", &cable.client, &cable.client_interface)?;
    let mut tracker = Ours::load(&limits, MAX_PEERS_V4 as u32)?;
    tracker.attach(&cable)?;
    let interface = cable.client_index()?;
    let reader = tracker.writer.reader();
    let board = Board::default();
    let start = Instant::now();

    let (kernel, writing) = thread::scope(|scope| {
        let (board, tracker, reader) = (&board, &mut tracker, &reader);
        let writing = scope.spawn(move || write(tracker, board));
        for cpu in [KERNEL_CPU, WRITER_CPU] {
            scope.spawn(move || read(reader, cpu, salts.user, board));
        }
        let laboratory = &mut laboratory;
        let kernel = cable.client.inside(move || {
            let kernel = generate(laboratory, interface, salts.kernel, wanted, board, start);
            board.stop.store(true, Ordering::Release);
            kernel
        });
        (kernel, writing.join().expect("a panic of the writer is one of the bench"))
    });
    writing?;
    let kernel = kernel?;
    let bad = board.bad.lock().unwrap_or_else(PoisonError::into_inner).take();
    // What found nothing must at least have looked.
    if bad.is_none() {
        ensure!(
            kernel.checked > 0,
            "not one announce was answered in the kernel: {kernel:?}, {:?}",
            tracker.counters()
        );
        ensure!(board.user_answers.load(Ordering::Relaxed) > 0, "no reader in user space read anything");
    }
    Ok(Outcome {
        time: start.elapsed(),
        kernel,
        totals: tracker.writer.totals(),
        ring_full: tracker.counters()?.of(Verdict::PassEventRing),
        bad,
        board,
    })
}

/// Requests in the kernel, until enough was read or something was bad.
fn generate(
    laboratory: &mut Laboratory,
    interface: u32,
    salt: u32,
    wanted: &Wanted,
    board: &Board,
    start: Instant,
) -> Result<Tally> {
    sys::pin(KERNEL_CPU)?;
    let mut traffic = Traffic {
        keys: ours::keys(),
        torrents: TORRENTS,
        peers: TINY_PEERS,
        large_torrents: LARGE_TORRENTS,
        large_peers: LARGE_PEERS,
        salt,
        ..Traffic::zeroed()
    };
    let mut said = Instant::now();
    loop {
        traffic.epoch = now_epoch();
        laboratory.set_traffic(&traffic)?;
        laboratory.generate("stress", CONNECT_V4_LEN - 1, interface, FRAMES)?;
        let tally = laboratory.tally()?;
        if let Some(evidence) = laboratory.evidence()? {
            board.report(in_words(&evidence));
        }
        let answers = tally.answers() + board.user_answers.load(Ordering::Relaxed);
        if board.stopped() || (start.elapsed() >= wanted.time && answers >= wanted.answers) {
            return Ok(tally);
        }
        // A bound for a reader that answers nothing.
        if wanted.answers == u64::MAX && start.elapsed() >= wanted.time {
            return Ok(tally);
        }
        if said.elapsed() >= Duration::from_secs(10) {
            said = Instant::now();
            eprintln!(
                "{:.0} s: {} answers read, {} of them in the kernel",
                start.elapsed().as_secs_f64(),
                answers,
                tally.answers()
            );
        }
    }
}

fn in_words(evidence: &Evidence) -> String {
    let mut text = format!(
        "in the kernel: {} (byte {} of the frame, torrent {})\n",
        fault::name(evidence.fault),
        evidence.at,
        evidence.torrent
    );
    let frame = &evidence.frame[..(evidence.len as usize).min(evidence.frame.len())];
    for (row, bytes) in frame.chunks(16).enumerate() {
        let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        text += &format!("  {:04x}  {}\n", 16 * row, hex.join(" "));
    }
    text
}

/// The writer: the ring's events, and churn between them.
fn write(tracker: &mut Ours, board: &Board) -> Result<()> {
    sys::pin(WRITER_CPU)?;
    let mut events = Vec::with_capacity(BATCH);
    let mut churn = Churn::default();
    while !board.stopped() {
        let end = tracker.events.end();
        loop {
            events.clear();
            tracker.events.take(end, BATCH, &mut events);
            if events.is_empty() {
                break;
            }
            tracker.writer.apply_batch(&events, ours::now());
            board.events.fetch_add(events.len() as u64, Ordering::Relaxed);
        }
        for _ in 0..4 {
            churn.next_batch(&mut events, ours::now());
            tracker.writer.apply_batch(&events, ours::now());
            board.churned.fetch_add(events.len() as u64, Ordering::Relaxed);
        }
        clean(&mut tracker.writer);
    }
    Ok(())
}

fn clean(writer: &mut TableWriter) {
    writer.expire(ours::now(), 64);
}

/// Events that no front end would send in such numbers.
#[derive(Default)]
struct Churn {
    number: u64,
    /// The next passing torrent, up to twice [`PASSING`]: first they come, then they go.
    passing: u32,
}

impl Churn {
    fn next_batch(&mut self, events: &mut Vec<AnnounceEvent>, now: Millis) {
        events.clear();
        while events.len() < BATCH {
            self.number += 1;
            let random = walk(self.number);
            match self.number % 8 {
                // A whole tiny torrent goes; the generator's next announce brings it back under another number.
                0 => {
                    let torrent = LARGE_TORRENTS + below(random, TORRENTS - LARGE_TORRENTS);
                    for peer in 0..2 * TINY_PEERS {
                        let (peer, v6) = (peer / 2, peer % 2 == 1);
                        events.push(event(torrent, peer, v6, AnnounceKind::Stopped, false, now));
                    }
                }
                // A run of a large torrent's peers goes: its list shrinks by lines.
                1 => {
                    let (torrent, first) = (below(random, LARGE_TORRENTS), below(random << 32, LARGE_PEERS));
                    for peer in first..(first + 40).min(LARGE_PEERS) {
                        events.push(event(torrent, peer, random & 1 == 0, AnnounceKind::Stopped, false, now));
                    }
                }
                // A run changes sides.
                2 | 3 => {
                    let (torrent, first) = (below(random, LARGE_TORRENTS), below(random << 32, LARGE_PEERS));
                    let (v6, seeder) = (random & 1 == 0, random & 2 == 0);
                    for peer in first..(first + 20).min(LARGE_PEERS) {
                        events.push(event(torrent, peer, v6, AnnounceKind::None, seeder, now));
                    }
                }
                // Torrents that come, with the index growing, and go.
                _ => {
                    for _ in 0..16 {
                        let torrent = TORRENTS + self.passing % PASSING;
                        let kind = if self.passing < PASSING {
                            AnnounceKind::Started
                        } else {
                            AnnounceKind::Stopped
                        };
                        for peer in 0..2 {
                            events.push(event(
                                torrent,
                                peer,
                                peer == 1 && torrent.is_multiple_of(3),
                                kind,
                                false,
                                now,
                            ));
                        }
                        self.passing = (self.passing + 1) % (2 * PASSING);
                    }
                }
            }
        }
    }
}

fn event(torrent: u32, peer: u32, v6: bool, kind: AnnounceKind, seeder: bool, now: Millis) -> AnnounceEvent {
    AnnounceEvent::new(
        population::info_hash(torrent),
        population::peer(torrent, peer, v6),
        kind,
        seeder,
        now.0 as u32,
    )
}

/// A reader in user space.
fn read(reader: &TableReader, cpu: usize, salt: u32, board: &Board) {
    // Not pinned when the kernel doesn't let us: it reads all the same.
    let _ = sys::pin(cpu);
    sys::step_back();
    let mut out = [0; 6 * MAX_PEERS_V4];
    let (mut answers, mut peers) = (0, 0);
    for number in 1.. {
        let random = walk(number ^ (cpu as u64) << 40);
        let one = read_one(reader, random, salt, &mut out);
        answers += 1;
        match one {
            Ok(count) => peers += u64::from(count),
            Err(bad) => return board.report(format!("in user space: {bad}")),
        }
        if answers == 256 {
            board.user_answers.fetch_add(answers, Ordering::Relaxed);
            board.user_peers.fetch_add(peers, Ordering::Relaxed);
            (answers, peers) = (0, 0);
            if board.stopped() {
                return;
            }
        }
    }
}

/// One announce, sometimes a scrape; the number of peers in it, or what is wrong.
fn read_one(reader: &TableReader, random: u64, salt: u32, out: &mut [u8]) -> Result<u32, String> {
    let more = walk(random);
    let (torrent, peers) = match more & 3 {
        0 => (below(random, LARGE_TORRENTS), LARGE_PEERS),
        3 => (TORRENTS + below(random, PASSING), 2),
        _ => (below(random, TORRENTS), TINY_PEERS),
    };
    let info_hash = population::info_hash(torrent);
    if more >> 2 & 31 == 0 {
        let counts = reader.scrape(&info_hash);
        // Both families, and what is in flight.
        let most = 2 * if torrent < LARGE_TORRENTS { LARGE_PEERS } else { TINY_PEERS };
        if counts.seeders + counts.leechers > most {
            return Err(format!("scrape of torrent {torrent}: {counts:?}, with {most} peers ever announced"));
        }
        return Ok(0);
    }
    let v6 = more >> 8 & 1 == 1;
    let me = population::peer(torrent, below(more, peers), v6);
    let want = 1 + (more >> 16 & 0x7f) as u32 % if v6 { 67 } else { 128 };
    let stopped = more >> 24 & 15 == 0;
    let query = Query {
        info_hash: &info_hash,
        peer: me,
        seeder: more >> 28 & 1 == 1,
        stopped,
        want,
        random: walk(more),
    };
    let found = reader.announce(&query, out);
    let asked = if stopped { 0 } else { want };
    let len = me.family().peer_len();
    let Some(written) = out.get(..found.peers as usize * len).filter(|_| found.peers <= asked) else {
        return Err(format!("{} peers of torrent {torrent} for {asked} wanted", found.peers));
    };
    for bytes in written.chunks(len) {
        if population::fault(bytes, torrent, salt) {
            return Err(format!(
                "torrent {torrent}: {bytes:?} was never announced for it, or is torn; {found:?} to {query:?}"
            ));
        }
        if is(bytes, &me) {
            return Err(format!(
                "torrent {torrent}: the announcer itself, {bytes:?}; {found:?} to {query:?}"
            ));
        }
    }
    Ok(found.peers)
}

fn is(bytes: &[u8], peer: &PeerAddress) -> bool {
    bytes == peer.bytes()
}
