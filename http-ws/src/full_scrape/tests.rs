//! Full scrapes of small and larger tables, read as a connection would.

use std::collections::BTreeMap;
use std::io::Read;
use std::pin::Pin;
use std::task::{Context, Poll, Wake, Waker};

use bt_bencode::Value;
use bytes::Bytes;
use http_body::Body;
use tracker_common::event::AnnounceEvent;
use tracker_common::siphash::SipKey;
use tracker_common::table::{PeerAddress, ScrapeCounts};
use tracker_common::wire::{AnnounceKind, InfoHash};
use tracker_core::access_list::{AccessList, Mode};
use tracker_core::{HeapSegments, Limits, Millis, TableWriter};

use super::*;

/// Unparks the thread that waits for a chunk.
struct Unpark(thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// The next chunk; waits for it.
pub(super) fn next(chunks: &mut Chunks) -> Option<io::Result<Bytes>> {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    loop {
        match Pin::new(&mut *chunks).poll_frame(&mut Context::from_waker(&waker)) {
            Poll::Ready(frame) => {
                return frame.map(|frame| frame.map(|frame| frame.into_data().expect("no trailers")));
            }
            Poll::Pending => thread::park(),
        }
    }
}

fn all(mut chunks: Chunks) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some(chunk) = next(&mut chunks) {
        let chunk = chunk.expect("the answer is whole");
        assert!(chunk.len() <= CHUNK, "{} bytes", chunk.len());
        bytes.extend_from_slice(&chunk);
    }
    bytes
}

/// The info hash of a torrent: its number, scattered.
fn torrent(number: u32) -> InfoHash {
    let mut hash = [0x3c; 20];
    hash[..4].copy_from_slice(&number.wrapping_mul(0x9e37_79b1).to_be_bytes());
    hash
}

/// A table of so many torrents; some have seeders, partial seeds and completed downloads.
fn table(torrents: u32) -> (TableWriter, TableReader) {
    let limits = Limits { max_torrents: torrents.max(1), ..Limits::default() };
    let mut writer =
        TableWriter::new(limits, SipKey { k0: 1, k1: 2 }, Box::new(HeapSegments)).expect("a small table");
    for number in 0..torrents {
        let mut announce = |host: u8, kind, seeder| {
            let peer = PeerAddress::v4([192, 0, 2, host], 6881);
            writer.apply(&AnnounceEvent::new(torrent(number), peer, kind, seeder, 0), Millis(1_000));
        };
        announce(1, AnnounceKind::Started, false);
        if number % 3 == 0 {
            announce(2, AnnounceKind::Paused, false);
        }
        if number % 5 == 0 {
            announce(3, AnnounceKind::Started, false);
            announce(3, AnnounceKind::Completed, true);
        }
    }
    let reader = writer.reader();
    (writer, reader)
}

fn exports(table: TableReader, every: Duration) -> Exports {
    Exports::new(table, Arc::default(), every)
}

const SOURCE: Address = Address::V4([198, 51, 100, 7]);

fn begin(exports: &Exports, encoding: Encoding) -> Chunks {
    // The thread of the one before may not be quite through.
    loop {
        match exports.begin(SOURCE, encoding, Instant::now()) {
            Ok(chunks) => return chunks,
            Err(_) => thread::yield_now(),
        }
    }
}

fn decoded(encoding: Encoding, bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    match encoding {
        Encoding::Identity => plain.extend_from_slice(bytes),
        Encoding::Gzip => {
            flate2::read::GzDecoder::new(bytes).read_to_end(&mut plain).expect("gzip");
        }
        Encoding::Zstd => {
            zstd::stream::read::Decoder::new(bytes).expect("zstd").read_to_end(&mut plain).expect("zstd");
        }
    }
    plain
}

/// The answer as an independent decoder reads it.
fn files(bytes: &[u8]) -> BTreeMap<InfoHash, ScrapeCounts> {
    let value: Value = bt_bencode::from_slice(bytes).expect("bencode");
    // Sorted keys, each once, no number with leading zeros: all that is so only if it is written the same way again.
    assert!(bt_bencode::to_vec(&value).expect("bencode") == bytes, "not as bencoding wants it");
    let dictionary = value.as_dict().expect("a dictionary");
    assert_eq!(dictionary.len(), 1);
    let files = dictionary.get(&b"files"[..]).and_then(Value::as_dict).expect("files");
    let entries = files.iter().map(|(hash, entry)| {
        let entry = entry.as_dict().expect("an entry");
        let number =
            |key: &str| entry.get(key.as_bytes()).map(|value| value.as_u64().expect("a number") as u32);
        let leechers = number("incomplete").expect("incomplete");
        let counts = ScrapeCounts {
            seeders: number("complete").expect("complete"),
            completed: number("downloaded").expect("downloaded"),
            leechers,
            partial: number("downloaders").map_or(0, |downloaders| leechers - downloaders),
        };
        (hash.as_slice().try_into().expect("20 bytes"), counts)
    });
    entries.collect()
}

#[test]
fn every_torrent_is_in_the_answer_in_any_encoding() {
    for torrents in [0, 1, 5_000] {
        let (_writer, reader) = table(torrents);
        let exports = exports(reader.clone(), Duration::ZERO);
        for encoding in [Encoding::Identity, Encoding::Gzip, Encoding::Zstd] {
            let bytes = all(begin(&exports, encoding));
            let files = files(&decoded(encoding, &bytes));
            assert_eq!(files.len() as u32, torrents, "{encoding:?}");
            for number in 0..torrents {
                let hash = torrent(number);
                assert_eq!(files.get(&hash), Some(&reader.scrape(&hash)), "{encoding:?}, torrent {number}");
            }
        }
    }
}

#[test]
fn more_torrents_than_memory_holds_are_sorted_all_the_same() {
    let torrents = 3 * sorted::RUN as u32 / 2;
    let (_writer, reader) = table(torrents);
    let bytes = all(begin(&exports(reader.clone(), Duration::ZERO), Encoding::Zstd));
    let files = files(&decoded(Encoding::Zstd, &bytes));
    assert_eq!(files.len() as u32, torrents);
    assert!(files.iter().step_by(100).all(|(hash, counts)| reader.scrape(hash) == *counts));
}

#[test]
fn denied_torrents_are_left_out() {
    let (_writer, reader) = table(100);
    let lists = SharedLists::default();
    let mut denied = AccessList::new(Mode::Deny);
    (0..50).for_each(|number| assert!(denied.insert(torrent(number))));
    lists.access.store(Arc::new(denied));
    let exports = Exports::new(reader, Arc::new(lists), Duration::ZERO);
    let files = files(&all(begin(&exports, Encoding::Identity)));
    let mut expected: Vec<_> = (50..100).map(torrent).collect();
    expected.sort_unstable();
    assert!(files.into_keys().eq(expected));
}

#[test]
fn one_is_made_at_a_time() {
    // Far more than the pipe holds, so that the first one waits for its reader.
    let (_writer, reader) = table(20_000);
    let exports = exports(reader, Duration::ZERO);
    let mut first = begin(&exports, Encoding::Identity);
    next(&mut first).expect("a chunk").expect("no error");
    let refused = exports.begin(Address::V4([203, 0, 113, 1]), Encoding::Identity, Instant::now());
    assert_eq!(refused.expect_err("another one is being made").retry_in_minutes, 1);
    drop(first);
    // The reader has gone, and so does the thread; who was refused isn't held to have had one.
    assert!(!files(&all(begin(&exports, Encoding::Identity))).is_empty());
}

#[test]
fn a_source_waits_for_its_next_one() {
    let (_writer, reader) = table(10);
    let exports = exports(reader, Duration::from_secs(900));
    let now = Instant::now();
    all(begin(&exports, Encoding::Identity));
    let refused = loop {
        // Until the thread is through, everybody is told to come back in a minute.
        let refused = exports.begin(SOURCE, Encoding::Identity, now).expect_err("it had one");
        if refused.retry_in_minutes != 1 {
            break refused;
        }
        thread::yield_now();
    };
    assert!((15..=16).contains(&refused.retry_in_minutes), "{refused:?}");
    let other = Address::V6([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    assert!(exports.begin(other, Encoding::Identity, now).is_ok());
}

#[test]
fn without_room_for_the_file_the_answer_is_visibly_broken() {
    let (_writer, reader) = table(sorted::RUN as u32 + 1);
    let mut exports = exports(reader, Duration::ZERO);
    exports.directory = "/nonexistent".into();
    let mut chunks = begin(&exports, Encoding::Gzip);
    let error = loop {
        if let Err(error) = next(&mut chunks).expect("no end without an error") {
            break error;
        }
    };
    assert!(error.to_string().contains("/nonexistent"), "{error}");
    assert!(next(&mut chunks).is_none());
}

#[test]
fn a_reader_that_takes_too_long_gets_an_error() {
    let (_writer, reader) = table(20_000);
    let mut exports = exports(reader, Duration::ZERO);
    exports.patience = Patience { grace: Duration::ZERO, bytes_per_second: u64::MAX };
    let mut chunks = begin(&exports, Encoding::Identity);
    // It doesn't read while the thread is at it.
    while exports.throttle.is_running.load(Ordering::Acquire) {
        thread::yield_now();
    }
    let error = std::iter::from_fn(|| next(&mut chunks)).find_map(Result::err);
    assert_eq!(error.map(|error| error.kind()), Some(io::ErrorKind::TimedOut));
}
