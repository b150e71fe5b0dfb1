//! All torrents, streamed (H14).
//!
//! Called by `service` for a scrape without an info hash, when the configuration allows it. One answer is made at a time, by a thread of its
//! own: it walks over the table once, sorts what it finds, and compresses it into chunks, which wait for the connection that sends them.
//!
//! - here: who gets one, and the thread that makes it
//! - `sources`: who had one lately
//! - `sorted`: any number of torrents in the order of their info hashes, as a dictionary wants them
//! - [`Encoding`]: the client's choice, and the encoders
//! - [`Chunks`]: the way to the connection
//!
//! Memory is a few megabytes for any number of torrents: `sorted`'s 2.3, the encoder's, and four chunks. An answer that can't be
//! made whole ends in an error, so that the client sees that it isn't.
//!
//! Tests are below and in each module.

mod encoding;
mod pipe;
mod sorted;
mod sources;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use tracker_common::connection_id::Address;
use tracker_core::{SharedLists, TableReader};

use crate::occasionally::Occasionally;
use crate::scrape_entry;
use encoding::Encoder;
use pipe::{Patience, Writer, pipe};
use sorted::Unsorted;
use sources::Sources;

pub use encoding::Encoding;
pub use pipe::Chunks;

/// Full scrapes, for all workers together.
#[derive(Debug)]
pub struct Exports {
    table: TableReader,
    lists: Arc<SharedLists>,
    throttle: Throttle,
    /// For temporary files.
    directory: PathBuf,
    patience: Patience,
    warnings: Arc<Occasionally>,
}

/// Not now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// BEP 31.
    pub retry_in_minutes: u32,
}

impl Refused {
    fn after(wait: Duration) -> Self {
        Self { retry_in_minutes: u32::try_from(wait.as_secs().div_ceil(60)).unwrap_or(u32::MAX).max(1) }
    }
}

/// When another one is being made, this is how long it takes, roughly.
const ONE_AT_A_TIME: Duration = Duration::from_secs(60);

/// A reader that takes 2 Mbit/s is never given up; nobody keeps others waiting for much longer than it takes at that speed.
const PATIENCE: Patience = Patience { grace: Duration::from_secs(30), bytes_per_second: 256 << 10 };

impl Exports {
    /// Of a table, without the torrents that aren't allowed; for each source (IPv4 address or IPv6 /64) one in this time.
    pub fn new(table: TableReader, lists: Arc<SharedLists>, every: Duration) -> Self {
        Self {
            table,
            lists,
            throttle: Throttle::new(every),
            directory: directory(),
            patience: PATIENCE,
            warnings: Arc::default(),
        }
    }

    /// Begins a full scrape for a client.
    ///
    /// # Errors
    ///
    /// [`Refused`]: another one is being made, or the client's source had one lately.
    pub fn begin(&self, source: Address, encoding: Encoding, now: Instant) -> Result<Chunks, Refused> {
        let running = self.throttle.begin(source, now)?;
        let (writer, chunks) = pipe(self.patience);
        let export = Export {
            table: self.table.clone(),
            lists: Arc::clone(&self.lists),
            directory: self.directory.clone(),
            encoding,
            warnings: Arc::clone(&self.warnings),
            _running: running,
        };
        let spawned = thread::Builder::new().name("full-scrape".into()).spawn(move || export.run(writer));
        match spawned {
            Ok(_) => Ok(chunks),
            Err(error) => {
                if self.warnings.may_speak() {
                    tracing::warn!("full scrape: cannot start a thread: {error}");
                }
                Err(Refused::after(ONE_AT_A_TIME))
            }
        }
    }
}

/// Where temporary files are made: `TMPDIR`, or `/var/tmp`, since `/tmp` is often memory.
fn directory() -> PathBuf {
    let large = Path::new("/var/tmp");
    if std::env::var_os("TMPDIR").is_none() && large.is_dir() { large.into() } else { std::env::temp_dir() }
}

/// One full scrape at a time, and one to a source in some time.
#[derive(Debug)]
pub(crate) struct Throttle {
    sources: Mutex<Sources>,
    is_running: Arc<AtomicBool>,
}

impl Throttle {
    /// Lets each source have one in this time.
    pub(crate) fn new(every: Duration) -> Self {
        Self { sources: Mutex::new(Sources::new(every)), is_running: Arc::default() }
    }

    /// Begins one for a source.
    ///
    /// # Errors
    ///
    /// [`Refused`]: another one is being made, or the source had one lately.
    pub(crate) fn begin(&self, source: Address, now: Instant) -> Result<Running, Refused> {
        let running = Running::begin(&self.is_running).ok_or(Refused::after(ONE_AT_A_TIME))?;
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        sources.take(source, now).map_err(Refused::after)?;
        Ok(running)
    }
}

/// While it lives, no other full scrape begins.
#[derive(Debug)]
pub(crate) struct Running(Arc<AtomicBool>);

impl Running {
    fn begin(is_running: &Arc<AtomicBool>) -> Option<Self> {
        // Acquire and release: one begins when all of the other has ended.
        let was_running = is_running.swap(true, Ordering::Acquire);
        (!was_running).then(|| Self(Arc::clone(is_running)))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// What the thread that makes a full scrape has.
struct Export {
    table: TableReader,
    lists: Arc<SharedLists>,
    directory: PathBuf,
    encoding: Encoding,
    warnings: Arc<Occasionally>,
    _running: Running,
}

/// Torrents that are looked at before the thread asks whether the reader is still there.
const BETWEEN_QUESTIONS: usize = 4096;

/// Bytes that are written to the encoder at once.
const BATCH: usize = 16 << 10;

impl Export {
    fn run(self, writer: Writer) {
        let mut out = Chunked { writer, chunk: BytesMut::with_capacity(CHUNK) };
        match self.write(&mut out) {
            Ok(()) => out.writer.finish(),
            Err(error) => {
                let reader_has_gone =
                    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::TimedOut);
                if !reader_has_gone && self.warnings.may_speak() {
                    tracing::warn!("full scrape: {error}");
                }
                out.writer.fail(error);
            }
        }
    }

    fn write(&self, out: &mut Chunked) -> io::Result<()> {
        let mut torrents = Unsorted::new(sorted::RUN, &self.directory);
        for (number, (hash, counts)) in self.table.torrents().enumerate() {
            if number % BETWEEN_QUESTIONS == 0 && out.writer.is_abandoned() {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            torrents.add(&hash, &counts)?;
        }
        let mut encoder = Encoder::new(self.encoding, &mut *out)?;
        let mut batch = BytesMut::with_capacity(2 * BATCH);
        scrape_entry::begin(&mut batch);
        torrents.sorted(|hash, counts| {
            // Now, and not when the torrent was met: nothing is sent that was denied meanwhile.
            if self.lists.access.load().allows(hash) {
                scrape_entry::entry(&mut batch, hash, &counts);
            }
            if batch.len() >= BATCH {
                encoder.write_all(&batch)?;
                batch.clear();
            }
            Ok(())
        })?;
        scrape_entry::end(&mut batch);
        encoder.write_all(&batch)?;
        encoder.finish()?;
        out.send_rest()
    }
}

/// Bytes of a chunk.
const CHUNK: usize = 64 << 10;

/// Gathers what the encoder writes into chunks.
struct Chunked {
    writer: Writer,
    chunk: BytesMut,
}

impl Chunked {
    fn send_rest(&mut self) -> io::Result<()> {
        if self.chunk.is_empty() { Ok(()) } else { self.writer.send(self.chunk.split().freeze()) }
    }
}

impl Write for Chunked {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.chunk.len() >= CHUNK {
            self.send_rest()?;
            self.chunk.reserve(CHUNK);
        }
        let (taken, _) = bytes.split_at(bytes.len().min(CHUNK - self.chunk.len()));
        self.chunk.extend_from_slice(taken);
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
