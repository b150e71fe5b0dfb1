//! The ring through which the program hands its announce events to the daemon.
//!
//! The kernel's BPF ring buffer, read as it lies in memory: unlike aya's reader this one takes many events for one store of its own position,
//! which every emitting processor looks at, and it knows where the ring ends. Used by `writer_thread`. Layout (linux
//! kernel/bpf/ringbuf.c), all positions in bytes since the beginning of time:
//!
//! ```text
//! page 0             page 1             then, twice in a row, so that no record is cut
//! | consumer's position | producers' position | records: header (8 bytes), data, padding to 8 bytes |
//! header:  bits 0–29 length · bit 30 discarded · bit 31 still being written · 32 bits of the kernel's own
//! ```

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicU64, Ordering, fence};

use anyhow::Context as _;
use aya::maps::MapData;
use tracker_common::event::AnnounceEvent;

use super::Taken;
use super::mapped::{Access, mapped, page_size};

const BUSY: u32 = 1 << 31;
const DISCARDED: u32 = 1 << 30;
const HEADER_BYTES: u64 = 8;
const EVENT_WORDS: usize = size_of::<AnnounceEvent>() / 8;

/// The consumer's end of the ring. There is one.
#[derive(Debug)]
pub struct EventRing {
    /// Kept to be waited for.
    map: MapData,
    records: Records,
}

/// The ring's memory.
#[derive(Debug)]
struct Records {
    gauge: RingGauge,
    /// The records, twice.
    data: &'static [AtomicU64],
    /// Bytes of the ring − 1.
    mask: u64,
    /// Up to here everything was taken.
    position: u64,
}

/// How full the ring is, for any thread.
#[derive(Clone, Copy, Debug)]
pub struct RingGauge {
    consumer: &'static AtomicU64,
    producer: &'static AtomicU64,
}

impl RingGauge {
    /// Bytes of records that weren't taken yet; 56 an event.
    pub fn bytes_in_use(&self) -> u64 {
        // The consumer's first: it never is ahead of what is loaded after it.
        let consumer = self.consumer.load(Ordering::Relaxed);
        fence(Ordering::Acquire);
        self.producer.load(Ordering::Relaxed).wrapping_sub(consumer)
    }
}

impl EventRing {
    pub(super) fn new(map: MapData) -> anyhow::Result<Self> {
        let bytes = map.info().context("asking for its size")?.max_entries() as usize;
        anyhow::ensure!(bytes.is_power_of_two(), "{bytes} bytes are no power of two");
        let page = page_size();
        // The pages are mapped whole, of both positions the first word is used.
        let first = |words: &'static [AtomicU64]| words.first().context("an empty page");
        let consumer = first(mapped(&map, 0, page / 8, Access::Write).context("mapping it")?)?;
        let rest = mapped(&map, page, (page + 2 * bytes) / 8, Access::Read).context("mapping it")?;
        let gauge = RingGauge { consumer, producer: first(rest)? };
        let position = consumer.load(Ordering::Acquire);
        let data = rest.get(page / 8..).unwrap_or_default();
        Ok(Self { map, records: Records { gauge, data, mask: bytes as u64 - 1, position } })
    }

    /// Where the ring ends now: everything that was emitted before this call is in front of it.
    pub fn end(&self) -> u64 {
        self.records.end()
    }

    /// Takes the events in front of `end`, at most `most` of them, and adds them to `events`.
    pub fn take(&mut self, end: u64, most: usize, events: &mut Vec<AnnounceEvent>) -> Taken {
        self.records.take(end, most, events)
    }

    /// True when everything was taken: for a consumer that is about to wait for the descriptor.
    pub fn is_empty(&self) -> bool {
        // Either this load sees a new record, or its producer sees the position stored by `take`, and rings.
        fence(Ordering::SeqCst);
        self.end() == self.records.position
    }

    /// How full it is.
    pub fn gauge(&self) -> RingGauge {
        self.records.gauge
    }
}

impl Records {
    fn end(&self) -> u64 {
        let end = self.gauge.producer.load(Ordering::Relaxed);
        // Pairs with the kernel's release store of the position, after which the headers in front of it are there.
        fence(Ordering::Acquire);
        end
    }

    fn take(&mut self, end: u64, most: usize, events: &mut Vec<AnnounceEvent>) -> Taken {
        let begin = self.position;
        let mut taken = Taken::All;
        for count in 0.. {
            let left = end.wrapping_sub(self.position);
            // More than the ring holds: the position is ahead of an old end.
            if left == 0 || left > self.mask + 1 {
                break;
            }
            if count == most {
                taken = Taken::Some;
                break;
            }
            let at = ((self.position & self.mask) / 8) as usize;
            let Some((header, record)) = self.data.get(at..).and_then(<[_]>::split_first) else { break };
            let header = header.load(Ordering::Relaxed) as u32;
            if header & BUSY != 0 {
                taken = Taken::Unfinished;
                break;
            }
            // Pairs with the kernel's exchange of the header, before which the record was written.
            fence(Ordering::Acquire);
            let len = header & !(BUSY | DISCARDED);
            if header & DISCARDED == 0
                && len as usize == size_of::<AnnounceEvent>()
                && let Some(record) = record.first_chunk::<EVENT_WORDS>()
            {
                events.push(bytemuck::cast(record.each_ref().map(|word| word.load(Ordering::Relaxed))));
            }
            self.position =
                self.position.wrapping_add((u64::from(len) + HEADER_BYTES).next_multiple_of(8).min(left));
        }
        if self.position != begin {
            // Release: the records were read; the kernel, which loads this with acquire, may write over them.
            self.gauge.consumer.store(self.position, Ordering::Release);
        }
        taken
    }
}

impl AsFd for EventRing {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.map.fd().as_fd()
    }
}

/// Whether the kernel takes a ring of so many bytes.
///
/// # Errors
///
/// What it wants.
pub(super) fn check_size(bytes: u32) -> io::Result<()> {
    let page = page_size();
    if bytes.is_power_of_two() && (bytes as usize).is_multiple_of(page) {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        format!(
            "xdp.event_ring_bytes = {bytes}: a power of two and a multiple of this machine's pages of {page} bytes"
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracker_common::table::PeerAddress;
    use tracker_common::wire::AnnounceKind;

    const BYTES: u64 = 4096;

    /// A ring without a kernel: this is the producer.
    struct Producer {
        words: &'static [AtomicU64],
        positions: &'static [AtomicU64; 2],
    }

    fn ring(position: u64) -> (Producer, Records) {
        // As long as the process, like a mapping.
        let words: &'static [AtomicU64] = Vec::leak((0..2 * BYTES / 8).map(|_| AtomicU64::new(0)).collect());
        let positions: &'static [AtomicU64; 2] =
            Box::leak(Box::new([position, position].map(AtomicU64::new)));
        let gauge = RingGauge { consumer: &positions[0], producer: &positions[1] };
        (Producer { words, positions }, Records { gauge, data: words, mask: BYTES - 1, position })
    }

    impl Producer {
        /// Both copies, as the kernel maps the pages twice.
        fn store(&self, position: u64, word: u64) {
            let at = (position % BYTES / 8) as usize;
            self.words[at].store(word, Ordering::Relaxed);
            self.words[at + (BYTES / 8) as usize].store(word, Ordering::Relaxed);
        }

        fn reserve(&self, len: u32) -> u64 {
            let position = self.positions[1].load(Ordering::Relaxed);
            let after = position.wrapping_add((u64::from(len) + 8).next_multiple_of(8));
            assert!(
                after.wrapping_sub(self.positions[0].load(Ordering::Relaxed)) <= BYTES,
                "the ring is full"
            );
            // The upper half is the kernel's.
            self.store(position, 0x1234_5678 << 32 | u64::from(len | BUSY));
            self.positions[1].store(after, Ordering::Release);
            position
        }

        fn commit(&self, position: u64, len: u32) {
            self.store(position, 0x1234_5678 << 32 | u64::from(len));
        }

        fn emit(&self, port: u16) {
            let position = self.reserve(48);
            self.fill(position, port);
            self.commit(position, 48);
        }

        fn fill(&self, position: u64, port: u16) {
            let words: [u64; EVENT_WORDS] = bytemuck::cast(event(port));
            for (number, word) in (1..).zip(words) {
                self.store(position.wrapping_add(8 * number), word);
            }
        }
    }

    fn event(port: u16) -> AnnounceEvent {
        let peer = PeerAddress::v4([192, 0, 2, 1], port);
        AnnounceEvent::new([9; 20], peer, AnnounceKind::Started, true, 77)
    }

    fn taken(records: &mut Records, most: usize) -> (Taken, Vec<u16>) {
        let mut events = Vec::new();
        let how = records.take(records.end(), most, &mut events);
        let port =
            |event: &AnnounceEvent| u16::from_be_bytes([event.peer().bytes()[4], event.peer().bytes()[5]]);
        assert!(events.iter().all(|one| *one == event(port(one))));
        (how, events.iter().map(port).collect())
    }

    #[test]
    fn events_come_out_as_they_went_in_round_and_round() {
        for begin in [0, BYTES - 8, (BYTES * 1000).wrapping_sub(24), u64::MAX - 55] {
            let (producer, mut records) = ring(begin);
            for round in 0..50 {
                (0..60).for_each(|number| producer.emit(round * 60 + number));
                assert_eq!(records.gauge.bytes_in_use(), 60 * 56);
                assert_eq!(taken(&mut records, 40), (Taken::Some, (round * 60..round * 60 + 40).collect()));
                assert_eq!(
                    taken(&mut records, 40),
                    (Taken::All, (round * 60 + 40..round * 60 + 60).collect())
                );
                assert_eq!((records.gauge.bytes_in_use(), records.end()), (0, records.position));
            }
        }
    }

    #[test]
    fn a_record_in_the_making_is_waited_for() {
        let (producer, mut records) = ring(0);
        producer.emit(1);
        let unfinished = producer.reserve(48);
        producer.emit(3);
        assert_eq!(taken(&mut records, 10), (Taken::Unfinished, vec![1]));
        assert_eq!(taken(&mut records, 10), (Taken::Unfinished, vec![]));
        producer.fill(unfinished, 2);
        producer.commit(unfinished, 48);
        assert_eq!(taken(&mut records, 10), (Taken::All, vec![2, 3]));
    }

    #[test]
    fn what_comes_behind_the_end_stays() {
        let (producer, mut records) = ring(0);
        producer.emit(1);
        let end = records.end();
        producer.emit(2);
        let mut events = Vec::new();
        assert_eq!((records.take(end, 10, &mut events), events.len()), (Taken::All, 1));
        // An end from before what was taken.
        assert_eq!((records.take(0, 10, &mut events), events.len()), (Taken::All, 1));
        assert_eq!(taken(&mut records, 10), (Taken::All, vec![2]));
    }

    #[test]
    fn discarded_and_foreign_records_are_passed_over() {
        let (producer, mut records) = ring(0);
        let position = producer.reserve(48);
        producer.commit(position, 48 | DISCARDED);
        for len in [0, 1, 47, 49, 200] {
            let position = producer.reserve(len);
            producer.commit(position, len);
        }
        producer.emit(1);
        assert_eq!(taken(&mut records, 10), (Taken::All, vec![1]));
        // A length that can't be leads no further than to the end.
        let position = producer.reserve(48);
        producer.commit(position, (1 << 30) - 1);
        assert_eq!(taken(&mut records, 10), (Taken::All, vec![]));
        producer.emit(2);
        assert_eq!(taken(&mut records, 10), (Taken::All, vec![2]));
    }
}
