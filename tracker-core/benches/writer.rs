//! The writer's figures: time of an event, bytes of a peer, longest call.
//!
//! `cargo bench -p tracker-core --bench writer` runs all cases, each in a process of its own so that the memory it needs is its own too;
//! `… -- million` runs one. There is no statistics here: a quiet machine, the smallest of a few runs.

#![expect(clippy::disallowed_methods, reason = "a bench looks at the clock, which the crate itself doesn't")]

use std::fmt::Display;
use std::process::Command;
use std::time::{Duration, Instant};

use tracker_common::event::AnnounceEvent;
use tracker_common::siphash::SipKey;
use tracker_common::table::PeerAddress;
use tracker_common::wire::{AnnounceKind, InfoHash};
use tracker_core::{DropRound, HeapSegments, Limits, Millis, TableWriter};

/// A case: its name, and what it does.
const CASES: [(&str, fn()); 5] = [
    ("million", || swarms(1_000_000, 2)),
    ("crowds", || swarms(10_000, 200)),
    ("large", || swarms(10_000_000, 3)),
    ("cleaning", cleaning),
    ("dropping", dropping),
];

/// Events handed to the writer at once.
const BATCH: usize = 64;

fn main() {
    // Cargo adds `--bench`.
    let wanted: Vec<_> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    if let [name] = wanted.as_slice()
        && let Some((_, case)) = CASES.iter().find(|(case, _)| case == name)
    {
        return case();
    }
    let itself = std::env::current_exe().expect("a process knows its program");
    for (name, _) in CASES {
        let status = Command::new(&itself).arg(name).status();
        assert!(status.is_ok_and(|status| status.success()), "{name} failed");
    }
}

fn line(case: &str, what: &str, value: impl Display, unit: &str) {
    println!("{case:<24} {what:<44} {value:>10} {unit}");
}

/// Everybody comes, then everybody announces again, in another order each time.
fn swarms(torrents: u32, peers: u32) {
    let case = format!("{torrents} × {peers}");
    let mut table = Table::new();
    let total = torrents * peers;
    let before = resident();
    let fresh = table.announce_all(torrents, peers, 0x9e37_79b9);
    let bytes = resident().saturating_sub(before);
    assert_eq!(table.writer.totals().peers(), u64::from(total), "nobody was refused");
    line(&case, "all peers new", fresh.of(total), "ns an event");
    line(&case, "memory", bytes >> 20, "MiB");
    line(&case, "of these, the table's own count", table.writer.totals().memory_bytes >> 20, "MiB");
    line(&case, "memory", format!("{:.2}", bytes as f64 / f64::from(total)), "bytes a peer");
    for (round, stride) in [0x85eb_ca77_u32, 0xc2b2_ae3d, 0x27d4_eb2f].into_iter().enumerate() {
        table.now.0 += 600_000;
        let known = table.announce_all(torrents, peers, stride);
        let what = format!("all peers known, round {}", round + 1);
        line(&case, &what, known.of(total), "ns an event");
    }
}

/// Ten million peers, two million of them in three huge swarms, expire at once.
fn cleaning() {
    let case = "cleaning, 10 M peers";
    let mut table = ten_million();
    let mut quiet = Times::default();
    while !quiet.time_each(|| table.writer.expire(table.now, 1 << 20)).wrapped {}
    line(case, "nobody expires: calls", quiet.calls, "");
    line(case, "nobody expires: whole round", quiet.sum.as_millis(), "ms");
    quiet.report(case, "nobody expires");
    table.now.0 += 4_300_000;
    let mut busy = Times::default();
    while !busy.time_each(|| table.writer.expire(table.now, 1 << 20)).wrapped {}
    assert_eq!(table.writer.totals().peers(), 0, "all have expired");
    line(case, "all expire: calls", busy.calls, "");
    line(case, "all expire: whole round", busy.sum.as_millis(), "ms");
    busy.report(case, "all expire");
}

fn dropping() {
    let case = "dropping, 10 M peers";
    let mut table = ten_million();
    let mut times = Times::default();
    let mut round = DropRound::default();
    while !times.time_each(|| table.writer.drop_torrents(&mut round, |_| true, table.now)).done {}
    assert_eq!(table.writer.totals().torrents, 0, "all were dropped");
    line(case, "all are denied: whole round", times.sum.as_millis(), "ms");
    times.report(case, "all are denied");
}

fn ten_million() -> Table {
    let mut table = Table::new();
    let mut times = Times::default();
    table.events(1_000_000, 8, 0x9e37_79b9, |table, events| {
        for batch in events.chunks(BATCH) {
            times.time_each(|| table.writer.apply_batch(batch, table.now));
        }
    });
    for torrent in 2_000_000..2_000_003 {
        let mut events = Vec::with_capacity(BATCH);
        for peer in 0..655_360 {
            events.push(event(torrent, peer));
            if events.len() == BATCH {
                times.time_each(|| table.writer.apply_batch(&events, table.now));
                events.clear();
            }
        }
    }
    assert_eq!(table.writer.totals().peers(), 8_000_000 + 3 * 655_360, "nobody was refused");
    times.report("ten million peers come", "batch of 64");
    table
}

struct Table {
    writer: TableWriter,
    now: Millis,
}

impl Table {
    fn new() -> Self {
        let limits = Limits { max_torrents: 20_000_000, max_peers: 60_000_000, ..Limits::default() };
        let key = SipKey { k0: 0x0123_4567, k1: 0x89ab_cdef };
        let writer = TableWriter::new(limits, key, Box::new(HeapSegments)).expect("an empty table is small");
        Self { writer, now: Millis(1_000_000) }
    }

    /// All peers of all torrents announce, in an order that `stride` gives.
    fn announce_all(&mut self, torrents: u32, peers: u32, stride: u32) -> Times {
        let mut times = Times::default();
        let start = processor_time();
        self.events(torrents, peers, stride, |table, events| {
            for batch in events.chunks(BATCH) {
                times.time(|| table.writer.apply_batch(batch, table.now));
            }
        });
        let all = processor_time() - start;
        self.events(torrents, peers, stride, |_, events| {
            std::hint::black_box(events);
        });
        times.processor = all.saturating_sub(processor_time() - start - all);
        times
    }

    fn events(
        &mut self,
        torrents: u32,
        peers: u32,
        stride: u32,
        mut use_them: impl FnMut(&mut Self, &[AnnounceEvent]),
    ) {
        let total = u64::from(torrents) * u64::from(peers);
        let mut events = Vec::with_capacity(1024);
        let stride = coprime(stride.into(), total);
        let mut position = 0;
        for n in 0..total {
            position = (position + stride) % total;
            events.push(event((position / u64::from(peers)) as u32, (position % u64::from(peers)) as u32));
            if events.len() == events.capacity() || n + 1 == total {
                use_them(self, &events);
                events.clear();
                // A million events a second.
                self.now.0 += 1;
            }
        }
    }
}

/// The next number that visits all positions below `total` before one comes again.
fn coprime(from: u64, total: u64) -> u64 {
    let gcd = |mut a: u64, mut b: u64| {
        while b > 0 {
            (a, b) = (b, a % b);
        }
        a
    };
    (from % total.max(2)..).find(|stride| *stride > 0 && gcd(*stride, total) == 1).unwrap_or(1)
}

fn event(torrent: u32, peer: u32) -> AnnounceEvent {
    let mut hash = InfoHash::default();
    for (index, chunk) in hash.chunks_mut(8).enumerate() {
        let mut bits = (u64::from(torrent) << 2 | index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        chunk.copy_from_slice(&(bits ^ bits >> 29).to_le_bytes()[..chunk.len()]);
    }
    let [_, b, c, d] = (torrent.wrapping_mul(31).wrapping_add(peer)).to_be_bytes();
    let peer = PeerAddress::v4([10, b, c, d], (peer % 60_000) as u16 + 1);
    AnnounceEvent::new(hash, peer, AnnounceKind::None, d & 1 == 0, 0)
}

/// Time on a processor, which others' work on the machine doesn't add to.
fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux has it");
    Duration::from_nanos(stat.split(' ').next().and_then(|word| word.parse().ok()).expect("a number"))
}

#[derive(Default)]
struct Times {
    calls: u64,
    sum: Duration,
    processor: Duration,
    interrupted: u64,
    /// Uninterrupted calls by their whole microseconds.
    micros: std::collections::BTreeMap<u128, u64>,
}

impl Times {
    fn time<T>(&mut self, call: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = call();
        self.sum += start.elapsed();
        result
    }

    /// Times a call whose length matters, unless another thread had the processor meanwhile.
    fn time_each<T>(&mut self, call: impl FnOnce() -> T) -> T {
        let before = interruptions();
        let start = Instant::now();
        let result = call();
        let took = start.elapsed();
        self.sum += took;
        self.calls += 1;
        if interruptions() == before {
            *self.micros.entry(took.as_micros()).or_insert(0) += 1;
        } else {
            self.interrupted += 1;
        }
        result
    }

    /// Microseconds that all calls but one in `n` stay within.
    fn all_but(&self, n: u64) -> u128 {
        let mut left = self.calls / n;
        for (micros, calls) in self.micros.iter().rev() {
            if *calls > left {
                return *micros;
            }
            left -= calls;
        }
        0
    }

    /// Nanoseconds of each event: on the processor, and by the clock.
    fn of(&self, events: u32) -> String {
        let of = |time: Duration| time.as_nanos() / u128::from(events);
        format!("{} ({})", of(self.processor), of(self.sum))
    }

    fn report(&self, case: &str, what: &str) {
        line(case, &format!("{what}: all calls but one in 1,000"), self.all_but(1_000), "µs");
        line(case, &format!("{what}: all calls but one in 10,000"), self.all_but(10_000), "µs");
        let longest = self.micros.keys().last().copied().unwrap_or(0);
        line(case, &format!("{what}: longest call"), longest, "µs");
        line(
            case,
            &format!("{what}: calls that others interrupted"),
            self.interrupted,
            &format!("of {}", self.calls),
        );
    }
}

/// How often another thread was given the processor.
fn interruptions() -> u64 {
    let status = std::fs::read_to_string("/proc/thread-self/status").expect("Linux has it");
    let line = status.lines().find_map(|line| line.strip_prefix("nonvoluntary_ctxt_switches:"));
    line.and_then(|count| count.trim().parse().ok()).expect("a number")
}

/// Bytes of memory that the process uses.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux has it");
    let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux says so");
    kib.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
}
