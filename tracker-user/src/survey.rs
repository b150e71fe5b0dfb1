//! Walks through the swarm table from time to time: how many peers torrents have, and the export of all torrents to a file.
//!
//! A thread of its own, which reads the table as the front ends do and rests between pieces of the walk. Tests are below and in
//! `tests/metrics`.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use arc_swap::ArcSwap;
use tracker_common::table::layout::Torrent;
use tracker_core::TableReader;
use tracker_core::access_list::format_info_hash;

use crate::state::{remove_unfinished, replace_file_by};

/// Upper bounds of the buckets of torrents by their peers.
pub const PEER_BOUNDS: [f64; 13] =
    [1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 10_000.0, 100_000.0];

/// What a walk has found.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// IPv4 and IPv6.
    pub families: [FamilySurvey; 2],
    /// When it ended; `None`: there was no walk yet.
    pub at: Option<Instant>,
}

/// The torrents that have peers of a family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FamilySurvey {
    /// Torrents by their peers: a bucket for each of [`PEER_BOUNDS`], and one above.
    pub torrents: [u64; PEER_BOUNDS.len() + 1],
    /// Their peers.
    pub peers: u64,
}

/// A file with all torrents.
#[derive(Clone, Debug)]
pub struct Export {
    /// Where it is.
    pub path: PathBuf,
    /// How often it is written.
    pub every: Duration,
}

/// Torrents between two rests, and how long those are. A walk locks nothing, so that all it can take from others is a processor: ten million torrents
/// with three peers each are 0.37 s of one (EPYC Zen 5), in pieces of 0.8 ms, and 0.9 s in all. A writer on a processor of its own applies batches of 64 in
/// 12 µs, walk or no walk; one that has to share it waits for a piece.
const PIECE: usize = 20_000;
const REST: Duration = Duration::from_millis(1);

/// The running thread.
pub struct Surveyor {
    latest: Arc<ArcSwap<Survey>>,
    thread: JoinHandle<()>,
    stop: Sender<()>,
}

impl Surveyor {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// Those of making a thread.
    pub fn start(table: TableReader, every: Duration, export: Option<Export>) -> anyhow::Result<Self> {
        let latest = Arc::new(ArcSwap::from_pointee(Survey::default()));
        let (stop, stopped) = channel();
        if let Some(export) = &export {
            remove_unfinished(&export.path);
        }
        let walker = Walker { table, latest: Arc::clone(&latest), stopped };
        let thread = thread::Builder::new()
            .name("survey".to_owned())
            .spawn(move || walker.run(every, export.as_ref()))
            .context("starting the thread that counts torrents")?;
        Ok(Self { latest, thread, stop })
    }

    /// What the last walk has found.
    pub fn latest(&self) -> Arc<Survey> {
        self.latest.load_full()
    }

    /// Ends the thread; a file that isn't whole stays unseen.
    pub fn stop(self) {
        drop(self.stop);
        if self.thread.join().is_err() {
            tracing::error!("the thread that counts torrents panicked");
        }
    }
}

struct Walker {
    table: TableReader,
    latest: Arc<ArcSwap<Survey>>,
    stopped: Receiver<()>,
}

impl Walker {
    fn run(&self, every: Duration, export: Option<&Export>) {
        let mut survey_at = Instant::now();
        let mut export_at = export.map(|export| Instant::now() + export.every);
        loop {
            let next = export_at.map_or(survey_at, |at| at.min(survey_at));
            match self.stopped.recv_timeout(next.saturating_duration_since(Instant::now())) {
                Err(RecvTimeoutError::Timeout) => {}
                _ => return,
            }
            let now = Instant::now();
            if let Some(export) = export.filter(|_| export_at.is_some_and(|at| at <= now)) {
                export_at = Some(now + export.every);
                let written =
                    replace_file_by(&export.path, 0o644, |file| self.walk(|torrent| lines(torrent, file)));
                match written {
                    Ok(()) => tracing::debug!("export {}: written", export.path.display()),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => return,
                    Err(error) => {
                        tracing::error!("export {}: {error}; the file stays as it was", export.path.display())
                    }
                }
            }
            if survey_at <= now {
                survey_at = now + every;
                let mut survey = Survey::default();
                let walked = self.walk(|torrent| {
                    survey.add(torrent);
                    Ok(())
                });
                if walked.is_err() {
                    return;
                }
                survey.at = Some(Instant::now());
                self.latest.store(Arc::new(survey));
            }
        }
    }

    /// Shows all torrents that have peers; interrupted by a stop.
    fn walk(&self, mut show: impl FnMut(&Torrent) -> io::Result<()>) -> io::Result<()> {
        let mut torrents = self.table.torrents();
        let mut shown = 0;
        while let Some(torrent) = torrents.next_record() {
            show(&torrent)?;
            shown += 1;
            if shown % PIECE == 0 {
                match self.stopped.recv_timeout(REST) {
                    Err(RecvTimeoutError::Timeout) => {}
                    _ => return Err(io::ErrorKind::Interrupted.into()),
                }
            }
        }
        Ok(())
    }
}

/// Seeders and leechers, of IPv4 and of IPv6.
fn by_family(torrent: &Torrent) -> [[u32; 2]; 2] {
    let v6 = torrent.peers_v6();
    let v4 = [torrent.seeders.saturating_sub(v6.seeders), torrent.leechers.saturating_sub(v6.leechers)];
    [v4, [v6.seeders, v6.leechers]]
}

impl Survey {
    fn add(&mut self, torrent: &Torrent) {
        for (family, [seeders, leechers]) in self.families.iter_mut().zip(by_family(torrent)) {
            let peers = u64::from(seeders) + u64::from(leechers);
            if peers == 0 {
                continue;
            }
            let bucket = PEER_BOUNDS.partition_point(|bound| *bound < peers as f64);
            family.torrents[bucket] += 1;
            family.peers += peers;
        }
    }
}

/// The lines of a torrent, one for each family that it has peers of: family, info hash, seeders, leechers, and how often it was completed (which
/// isn't counted by family), with tabs between.
fn lines(torrent: &Torrent, out: &mut dyn Write) -> io::Result<()> {
    let hash = format_info_hash(&torrent.info_hash);
    for (family, [seeders, leechers]) in ["ipv4", "ipv6"].into_iter().zip(by_family(torrent)) {
        if seeders + leechers > 0 {
            writeln!(out, "{family}\t{hash}\t{seeders}\t{leechers}\t{}", torrent.completed)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    use tracker_common::event::AnnounceEvent;
    use tracker_common::siphash::SipKey;
    use tracker_common::table::PeerAddress;
    use tracker_common::wire::AnnounceKind;
    use tracker_core::{HeapSegments, Limits, Millis, TableWriter};

    /// A table in which torrent `n` has `n` IPv4 seeders, and one IPv6 leecher if `n` is even.
    fn table(torrents: u8) -> TableWriter {
        let limits = Limits { max_torrents: 1000, max_peers: 100_000, ..Limits::default() };
        let mut writer =
            TableWriter::new(limits, SipKey { k0: 1, k1: 2 }, Box::new(HeapSegments)).expect("memory");
        for torrent in 1..=torrents {
            let mut join = |peer, seeder| {
                let event = AnnounceEvent::new([torrent; 20], peer, AnnounceKind::Started, seeder, 0);
                writer.apply(&event, Millis(0));
            };
            (0..torrent).for_each(|host| join(PeerAddress::v4([192, 0, 2, host], 6881), true));
            if torrent % 2 == 0 {
                join(PeerAddress::v6([0x20; 16], 6881), false);
            }
        }
        writer
    }

    #[test]
    fn torrents_are_counted_and_exported_by_family() {
        let writer = table(6);
        let directory = tempfile::tempdir().expect("a temporary directory");
        let export = Export { path: directory.path().join("torrents"), every: Duration::from_millis(1) };
        let path = export.path.clone();
        let surveyor =
            Surveyor::start(writer.reader(), Duration::from_millis(1), Some(export)).expect("a thread");
        while surveyor.latest().at.is_none() || !path.exists() {
            thread::yield_now();
        }
        let [v4, v6] = surveyor.latest().families;
        // 1, 2, 3, up to 5, up to 10.
        assert_eq!((&v4.torrents[..6], v4.peers), (&[1, 1, 1, 2, 1, 0][..], 21));
        assert_eq!((&v6.torrents[..2], v6.peers), (&[3, 0][..], 3));
        let text = std::fs::read_to_string(&path).expect("it was written");
        surveyor.stop();
        let mut lines: Vec<&str> = text.lines().collect();
        lines.sort_unstable();
        let of = |family: &str, torrent: u8, counts: &str| {
            format!("{family}\t{}\t{counts}\t0", format_info_hash(&[torrent; 20]))
        };
        let mut expected: Vec<String> = (1..=6).map(|n| of("ipv4", n, &format!("{n}\t0"))).collect();
        expected.extend([2, 4, 6].map(|n| of("ipv6", n, "0\t1")));
        assert_eq!(lines, expected);
    }
}
