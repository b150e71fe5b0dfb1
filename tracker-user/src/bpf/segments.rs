//! The swarm table's memory where the program reads it too: maps of the kernel, mapped into this process.
//!
//! Each segment is an array map of its own, and two maps of maps (the record space and the bucket space) say where it is. The writer
//! stores to a segment through its mapping; no system call is made for that. Making one takes some 300 µs, most of it for zeroing its 512 KiB,
//! and longer on a busy machine. So a thread makes them ahead of the writer: [`AHEAD`] segments that are in the record space already. A
//! slot of the bucket space is known only when it is asked for; the same thread fills it, and [`Segments::settle`] waits for that, before
//! readers are sent there.
//!
//! Every segment is one mapping: 1.5 GB of table are 3,000 of the 65,530 that vm.max_map_count allows.

use std::collections::VecDeque;
use std::fmt::{self, Debug, Formatter};
use std::io;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use aya::maps::{IterableMap as _, MapData, MapError};
use tracker_common::table::layout::{SEGMENT_RECORDS, WORDS};
use tracker_core::{NoMemory, Segment, Segments, Words};

use super::mapped::{Access, mapped};
use super::space::{SegmentMap, Space};

/// Segments made ahead: one is filled in 4 ms at the least, with as many new torrents as the writer can take.
const AHEAD: usize = 4;

/// How long nobody tries again when there was no memory.
const PAUSE: Duration = Duration::from_secs(1);

/// linux/bpf.h: the map can be mapped. A map of maps takes only maps with the flags of the one it was made with.
const BPF_F_MMAPABLE: u32 = 1 << 10;

/// Gives the table its segments.
pub struct KernelSegments {
    root: MapData,
    /// Segments of the record space.
    end: u32,
    shared: Arc<Shared>,
    maker: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Segments in the record space that nobody has asked for yet, by their numbers.
    ready: VecDeque<Made>,
    /// Segments to be put into slots of the bucket space.
    slots: Vec<(u32, Arc<SegmentMap>)>,
    /// The thread is at work on slots that it has taken from there.
    filling: bool,
    /// Why the last attempt failed, and when.
    failed: Option<(String, Instant)>,
    /// Something could not be put into the bucket space, and nobody knows yet.
    unsettled: bool,
    ended: bool,
}

struct Made {
    number: u32,
    map: Arc<SegmentMap>,
    words: &'static [Words],
}

impl KernelSegments {
    /// From the maps of the loaded program: the table's root, the record space and the bucket space.
    ///
    /// # Errors
    ///
    /// Those of making a thread.
    pub fn new(root: MapData, records: MapData, buckets: MapData) -> anyhow::Result<Self> {
        let shared = Arc::new(Shared::default());
        let end = records.info().context("asking for the size of the record space")?.max_entries();
        warn_of_few_mappings(end);
        let maker = Maker {
            records: Space::new(records),
            buckets: Space::new(buckets),
            next: 0,
            end,
            unplaced: Vec::new(),
            shared: Arc::clone(&shared),
        };
        let maker = thread::Builder::new()
            .name("segments".to_owned())
            .spawn(move || maker.run())
            .context("starting the thread that makes the swarm table's memory")?;
        Ok(Self { root, end, shared, maker: Some(maker) })
    }
}

impl Segments for KernelSegments {
    fn root(&mut self) -> Result<Segment, NoMemory> {
        let words = mapped(&self.root, 0, WORDS, Access::Write)
            .map_err(|error| NoMemory::new(format!("mapping its root: {}", explain_mapping(&error))))?;
        Ok(Segment::Static(records(words)))
    }

    fn create(&mut self, number: u32, bucket_slot: Option<u32>) -> Result<Segment, NoMemory> {
        if number >= self.end {
            return Err(NoMemory::new(format!("the record space has {} segments", self.end)));
        }
        let mut state = self.shared.lock();
        let made = loop {
            if let Some(made) = state.ready.pop_front() {
                break made;
            }
            match &state.failed {
                Some((reason, when)) if when.elapsed() < PAUSE => return Err(NoMemory::new(reason)),
                _ if state.ended => return Err(NoMemory::new("the thread that makes segments has ended")),
                _ => {}
            }
            self.shared.changed.notify_all();
            state = self.shared.wait(state);
        };
        if made.number != number {
            let reason = format!("segment {number} was asked for, {} is the next", made.number);
            state.ready.push_front(made);
            return Err(NoMemory::new(reason));
        }
        if let Some(slot) = bucket_slot {
            state.slots.push((slot, made.map));
        }
        self.shared.changed.notify_all();
        Ok(Segment::Static(made.words))
    }

    fn is_at_hand(&self) -> bool {
        let state = self.shared.lock();
        // One is left for who can't wait. Where there is none to wait for, `create` says so at once.
        state.ready.len() > 1 || state.failed.is_some() || state.ended
    }

    fn settle(&mut self) -> bool {
        let mut state = self.shared.lock();
        while (state.filling || !state.slots.is_empty()) && !state.ended {
            state = self.shared.wait(state);
        }
        !std::mem::take(&mut state.unsettled) && !state.ended
    }
}

impl Debug for KernelSegments {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        out.debug_struct("KernelSegments").finish_non_exhaustive()
    }
}

impl Drop for KernelSegments {
    fn drop(&mut self) {
        self.shared.lock().ended = true;
        self.shared.changed.notify_all();
        if let Some(maker) = self.maker.take()
            && maker.join().is_err()
        {
            tracing::error!("the thread that makes the swarm table's memory panicked");
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing is left half done where the lock is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread's side.
struct Maker {
    records: Space,
    buckets: Space,
    /// Number of the next segment to be made, and one more than the highest.
    next: u32,
    end: u32,
    /// Made and mapped, but the kernel hasn't taken them into the record space yet.
    unplaced: Vec<Made>,
    shared: Arc<Shared>,
}

impl Maker {
    fn run(mut self) {
        // However it ends, nobody waits for it.
        let _ended = Ended(Arc::clone(&self.shared));
        loop {
            let (missing, slots) = {
                let mut state = self.shared.lock();
                loop {
                    if state.ended {
                        return;
                    }
                    let paused = state.failed.as_ref().is_some_and(|(_, when)| when.elapsed() < PAUSE);
                    let left = (self.end - self.next) as usize + self.unplaced.len();
                    let missing = if paused { 0 } else { (AHEAD - state.ready.len()).min(left) };
                    if missing > 0 || !state.slots.is_empty() {
                        state.filling = !state.slots.is_empty();
                        break (missing, std::mem::take(&mut state.slots));
                    }
                    state = self.shared.wait(state);
                }
            };
            let filled = self.buckets.place(&slots);
            let made = self.make(missing);
            let mut state = self.shared.lock();
            state.filling = false;
            if let Err(error) = filled {
                tracing::error!("the kernel doesn't take a part of the swarm table's index: {error}");
                state.unsettled = true;
            }
            match made {
                Ok(made) => {
                    state.failed = None;
                    state.ready.extend(made);
                }
                Err(reason) => state.failed = Some((reason, Instant::now())),
            }
            drop(state);
            self.shared.changed.notify_all();
        }
    }

    /// Makes segments and puts them into the record space, in the order of their numbers.
    fn make(&mut self, count: usize) -> Result<Vec<Made>, String> {
        let mut obstacle = None;
        while self.unplaced.len() < count {
            match make(self.next) {
                Ok(made) => {
                    self.unplaced.push(made);
                    self.next += 1;
                }
                Err(reason) => {
                    obstacle = Some(reason);
                    break;
                }
            }
        }
        match obstacle {
            // Whatever there is serves first.
            Some(reason) if self.unplaced.is_empty() => return Err(reason),
            _ => {}
        }
        let segments: Vec<_> =
            self.unplaced.iter().map(|made| (made.number, Arc::clone(&made.map))).collect();
        self.records
            .place(&segments)
            .map_err(|error| format!("the kernel doesn't take a segment: {error}"))?;
        Ok(std::mem::take(&mut self.unplaced))
    }
}

/// Tells the other side that the thread has ended, also when it panicked.
struct Ended(Arc<Shared>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.lock().ended = true;
        self.0.changed.notify_all();
    }
}

/// A zeroed segment in the kernel, mapped into this process; or what stands against it and what to do.
fn make(number: u32) -> Result<Made, String> {
    let map = SegmentMap::create(SEGMENT_RECORDS, BPF_F_MMAPABLE).map_err(|error| explain_making(&error))?;
    let words = mapped(map.map(), 0, SEGMENT_RECORDS as usize * WORDS, Access::Write)
        .map_err(|error| format!("mapping a segment of the swarm table: {}", explain_mapping(&error)))?;
    Ok(Made { number, map: Arc::new(map), words: records(words) })
}

/// Mappings that a process has besides segments: binary, libraries, stacks, heaps.
const OTHER_MAPPINGS: u32 = 500;

fn warn_of_few_mappings(segments: u32) {
    let path = "/proc/sys/vm/max_map_count";
    let allowed = std::fs::read_to_string(path).ok().and_then(|text| text.trim().parse::<u32>().ok());
    if let Some(allowed) = allowed
        && allowed < segments.saturating_add(OTHER_MAPPINGS)
    {
        tracing::warn!(
            "swarm.max_torrents and swarm.max_peers allow a table of up to {segments} segments of 512 KiB, each of them a mapping, \
             and vm.max_map_count only {allowed} mappings: a very large swarm needs `sysctl vm.max_map_count={}`",
            segments.saturating_add(OTHER_MAPPINGS)
        );
    }
}

/// The words of a mapping as records. Mappings begin at pages, so records begin at cache lines.
fn records(words: &'static [AtomicU64]) -> &'static [Words] {
    words.as_chunks::<WORDS>().0
}

fn explain_making(error: &MapError) -> String {
    let code = match error {
        MapError::CreateError { io_error, .. } => io_error.raw_os_error(),
        _ => None,
    };
    let remedy = match code {
        Some(libc::ENOMEM) => {
            "; give its memory cgroup more (systemd: MemoryMax), or lower swarm.max_torrents and swarm.max_peers"
        }
        Some(libc::EPERM) => {
            "; it needs CAP_BPF, and before Linux 5.11 a higher RLIMIT_MEMLOCK (`ulimit -l unlimited`)"
        }
        Some(libc::ENFILE | libc::EMFILE) => "; allow it more open files (`ulimit -n`)",
        _ => "",
    };
    format!("making a segment of the swarm table: {error}{remedy}")
}

fn explain_mapping(error: &io::Error) -> String {
    let remedy = match error.raw_os_error() {
        Some(libc::ENOMEM) => {
            "; allow it more address space (`ulimit -v`) or more mappings (`sysctl vm.max_map_count`; each segment is one)"
        }
        _ => "",
    };
    format!("{error}{remedy}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bpf::mapped::tests::create;
    use std::os::fd::AsFd as _;
    use std::sync::atomic::Ordering;

    use aya::maps::ArrayOfMaps;
    use tracker_testkit::skip::{Requirement, must_skip};

    /// linux/bpf.h.
    const ARRAY: u32 = 2;
    const ARRAY_OF_MAPS: u32 = 12;

    struct Maps {
        root: MapData,
        records: MapData,
        buckets: MapData,
    }

    fn maps(segments: u32, slots: u32) -> Maps {
        let template = create(ARRAY, [4, 64, SEGMENT_RECORDS, BPF_F_MMAPABLE], None);
        Maps {
            root: create(ARRAY, [4, 64, 1, BPF_F_MMAPABLE], None),
            records: create(ARRAY_OF_MAPS, [4, 4, segments, 0], Some(&template)),
            buckets: create(ARRAY_OF_MAPS, [4, 4, slots, 0], Some(&template)),
        }
    }

    fn again(map: &MapData) -> MapData {
        MapData::from_fd(map.fd().as_fd().try_clone_to_owned().expect("a descriptor")).expect("it is a map")
    }

    /// What the kernel has in a record of a space.
    fn seen(space: &MapData, segment: u32, record: u32) -> [u64; WORDS] {
        let space = ArrayOfMaps::<_, SegmentMap>::try_from(aya::maps::Map::ArrayOfMaps(again(space)))
            .expect("a map of maps");
        space.get(&segment, 0).expect("it is in place").get(&record, 0).expect("it is there")
    }

    fn words_of(segment: Segment) -> &'static [Words] {
        match segment {
            Segment::Static(words) => words,
            Segment::Heap(_) => panic!("not from the kernel"),
        }
    }

    fn skip() -> bool {
        must_skip(&[Requirement::Root, Requirement::Bpf])
    }

    #[test]
    fn what_is_stored_in_a_segment_is_seen_in_both_spaces() {
        if skip() {
            return;
        }
        let maps = maps(20, 5);
        let mut segments = KernelSegments::new(again(&maps.root), again(&maps.records), again(&maps.buckets))
            .expect("a thread");
        while !segments.is_at_hand() {
            thread::yield_now();
        }
        let root = words_of(segments.root().expect("a root"));
        assert_eq!(root.len(), 1);
        root[0][3].store(17, Ordering::Relaxed);
        let array = SegmentMap::try_from(aya::maps::Map::Array(again(&maps.root))).expect("an array");
        assert_eq!(array.get(&0, 0).expect("it is there"), [0, 0, 0, 17, 0, 0, 0, 0]);
        for number in 0..20 {
            let slot = (number % 5 == 0).then_some(number / 5);
            let words = words_of(segments.create(number, slot).expect("there is memory"));
            assert_eq!(words.len(), SEGMENT_RECORDS as usize);
            assert!(words.iter().flatten().all(|word| word.load(Ordering::Relaxed) == 0));
            words[77][1].store(u64::from(number) + 1, Ordering::Relaxed);
            assert_eq!(seen(&maps.records, number, 77)[1], u64::from(number) + 1);
            if let Some(slot) = slot {
                assert!(segments.settle());
                assert_eq!(seen(&maps.buckets, slot, 77)[1], u64::from(number) + 1);
            }
        }
    }

    #[test]
    fn a_slot_outside_the_bucket_space_does_not_settle() {
        if skip() {
            return;
        }
        let maps = maps(10, 2);
        let mut segments = KernelSegments::new(maps.root, maps.records, maps.buckets).expect("a thread");
        segments.create(0, Some(1)).expect("there is memory");
        assert!(segments.settle());
        segments.create(1, Some(2)).expect("there is memory");
        assert!(!segments.settle());
    }

    #[test]
    fn numbers_are_given_in_their_order_only() {
        if skip() {
            return;
        }
        let maps = maps(10, 2);
        let mut segments = KernelSegments::new(maps.root, maps.records, maps.buckets).expect("a thread");
        assert!(segments.create(3, None).is_err());
        segments.create(0, None).expect("there is memory");
        assert!(segments.create(0, None).is_err());
        for number in 1..10 {
            segments.create(number, None).expect("there is memory");
        }
        assert!(segments.create(10, None).is_err());
    }
}
