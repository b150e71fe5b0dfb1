//! The reference: its table filled, its events taken.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use aya::maps::{Array, MapData, RingBuf};
use tracker_lab::reference::{Bucket, Config, Event, Line, Torrent, place};
use tracker_lab::{names, population};

use crate::cable::Cable;
use crate::drive::NAP;
use crate::laboratory::Laboratory;
use crate::shape::Shape;
use crate::sys::{self, Shared};

/// A loaded reference with a full table.
pub(crate) struct Reference {
    laboratory: Laboratory,
    torrents: Shared<Torrent>,
    lines: Shared<Line>,
    events: RingBuf<MapData>,
}

/// What the thread that takes events did in a round.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Consumed {
    pub(crate) events: u64,
    /// Its CPU time.
    pub(crate) cpu: Duration,
}

impl Consumed {
    pub(crate) fn ns_per_event(&self) -> f64 {
        self.cpu.as_nanos() as f64 / self.events.max(1) as f64
    }
}

impl Reference {
    /// Loads the programs and fills the table: `shape.others` peers for each torrent, in contiguous lines of eight.
    pub(crate) fn new(object: &Path, shape: Shape) -> Result<Self> {
        let lines_each = shape.others.div_ceil(8);
        // As many as torrents, but 2^17 at least: at 100,000 torrents a bucket has one of them on average.
        let bucket_count = shape.torrents.next_power_of_two().max(1 << 17);
        let sizes = [
            (names::REFERENCE_BUCKETS, bucket_count),
            (names::REFERENCE_TORRENTS, shape.torrents),
            (names::REFERENCE_LINES, shape.torrents * lines_each),
            (names::REFERENCE_EVENTS, 1 << 24),
        ];
        let mut laboratory = Laboratory::load(object, &sizes)?;
        let config = Config { keys: Config::KEYS, bucket_mask: bucket_count - 1, want: 50 };
        let map = laboratory.ebpf.map_mut(names::REFERENCE_CONFIG).context("no map REF_CONFIG")?;
        let mut map: Array<_, [u64; size_of::<Config>() / 8]> = map.try_into()?;
        map.set(0, bytemuck::cast::<_, [u64; size_of::<Config>() / 8]>(config), 0)?;

        let mut buckets: Shared<Bucket> = shared(&laboratory, names::REFERENCE_BUCKETS, bucket_count)?;
        let mut torrents: Shared<Torrent> = shared(&laboratory, names::REFERENCE_TORRENTS, shape.torrents)?;
        let mut lines: Shared<Line> =
            shared(&laboratory, names::REFERENCE_LINES, shape.torrents * lines_each)?;
        let mut line = 0;
        for number in 0..shape.torrents {
            let (first, second, third) = population::hash_words(number);
            torrents.values_mut()[number as usize] = Torrent {
                info_hash: [first as u32, (first >> 32) as u32, second as u32, (second >> 32) as u32, third],
                seeders: shape.others / 2,
                leechers: shape.others - shape.others / 2,
                line,
                peers: shape.others,
                ..Torrent::default()
            };
            for peer in 0..shape.others {
                let ip = population::ip4(number, peer + 1);
                let port = population::port(ip.into(), number, 0);
                let word = u64::from(ip) | u64::from(port) << 32;
                lines.values_mut()[(line + peer / 8) as usize].peers[(peer % 8) as usize] = word;
            }
            line += lines_each;
            let hash = place(&Config::KEYS, first, second, third);
            let bucket = &mut buckets.values_mut()[(hash as u32 & (bucket_count - 1)) as usize];
            match bucket.fingerprints.iter().position(|fingerprint| *fingerprint == 0) {
                Some(slot) => {
                    bucket.fingerprints[slot] = (hash >> 32) as u32;
                    bucket.torrents[slot] = number;
                }
                // A full bucket: this torrent is refused, as with any table that doesn't grow. A few of a million.
                None => continue,
            }
        }
        let events = RingBuf::try_from(
            laboratory.ebpf.take_map(names::REFERENCE_EVENTS).context("no map REF_EVENTS")?,
        )?;
        Ok(Self { laboratory, torrents, lines, events })
    }

    pub(crate) fn verified(&mut self, program: &str) -> Result<Option<u32>> {
        self.laboratory.verified(program)
    }

    pub(crate) fn attach(&mut self, program: &str, cable: &Cable) -> Result<()> {
        self.laboratory.attach(program, &cable.server, &cable.server_interface)
    }

    /// Takes events until `stop` on this CPU, and looks each peer up in its torrent's lines.
    pub(crate) fn consume(&mut self, cpu: usize, stop: &AtomicBool) -> Result<Consumed> {
        sys::pin(cpu)?;
        let (torrents, lines) = (self.torrents.values(), self.lines.values());
        let mut consumed = Consumed::default();
        let mut found = 0u64;
        let start = sys::thread_time();
        loop {
            // Asked before the ring is emptied for the last time.
            let last = stop.load(Ordering::Acquire);
            while let Some(item) = self.events.next() {
                let Ok(event) = bytemuck::try_pod_read_unaligned::<Event>(&item) else {
                    bail!("an event of {} bytes", item.len());
                };
                let torrent = &torrents[event.torrent as usize];
                let wanted = u64::from(event.ip) | u64::from(event.port) << 32;
                let own = torrent.line as usize..(torrent.line + torrent.peers.div_ceil(8)) as usize;
                for line in &lines[own] {
                    found += line.peers.iter().map(|peer| u64::from(*peer == wanted)).sum::<u64>();
                }
                consumed.events += 1;
            }
            if last {
                break;
            }
            std::thread::sleep(NAP);
        }
        std::hint::black_box(found);
        consumed.cpu = sys::thread_time() - start;
        Ok(consumed)
    }
}

fn shared<T: bytemuck::Pod>(laboratory: &Laboratory, name: &str, len: u32) -> Result<Shared<T>> {
    use std::os::fd::AsFd as _;
    Shared::map(laboratory.map_data(name)?.fd().as_fd(), len as usize)
        .with_context(|| format!("mapping {name}"))
}
