//! The tracker's own program with its own table: loaded as the daemon does it, filled through the writer, its events taken and applied.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result, ensure};
use tracker_common::connection_id::Keys;
use tracker_common::counters::Counters;
use tracker_common::event::AnnounceEvent;
use tracker_common::settings::{Endpoints, Settings, access_mode, answer};
use tracker_common::siphash::SipKey;
use tracker_common::sketch::{MAX_LIMIT, SourceLimits};
use tracker_common::wire::AnnounceKind;
use tracker_core::{Limits, Millis, TableWriter};
use tracker_lab::population;
use tracker_lab::traffic::{SERVER_PORT, SERVER_V4, SERVER_V6};
use tracker_user::bpf::{AttachMode, EventRing, Kernel, Prefix};
use tracker_user::config::Config;
use tracker_user::interface::{self, Interface};

use crate::cable::Cable;
use crate::drive::NAP;
use crate::reference::Consumed;
use crate::shape::Shape;
use crate::station::Policy;
use crate::sys;

/// Keys of connection ids, the same in the generator.
pub(crate) fn keys() -> Keys {
    Keys::from_bytes(&std::array::from_fn(|index| index as u8 + 1))
}

/// Of the table; any key will do in a laboratory.
const HASH_KEY: SipKey = SipKey { k0: 0x0123_4567_89ab_cdef, k1: 0xfedc_ba98_7654_3210 };

/// Events of one batch of the writer.
pub(crate) const BATCH: usize = 256;

/// The tracker's program, loaded and told what to serve.
pub(crate) struct Loaded {
    kernel: Kernel,
    events: EventRing,
    limits: Limits,
    pins: tempfile::TempDir,
}

/// The tracker's program and table. Segments stay mapped until the process ends.
pub(crate) struct Ours {
    kernel: Kernel,
    pub(crate) writer: TableWriter,
    pub(crate) events: EventRing,
    _pins: tempfile::TempDir,
}

/// Everything is allowed, nothing limited.
fn settings(max_response_peers: u32) -> Settings {
    Settings {
        access_mode: access_mode::OFF,
        errors_per_window: 0,
        block4: 0,
        block6: 0,
        answer: answer::ALL,
        interval_s: 1800,
        max_response_peers,
        max_scrape_torrents: 70,
        limits: SourceLimits::default(),
    }
}

impl Loaded {
    /// Loads the program, without a table.
    pub(crate) fn new(limits: &Limits, max_response_peers: u32) -> Result<Self> {
        // Not on a BPF file system: nothing is pinned, and the log says so to nobody.
        let pins = tempfile::tempdir().context("a temporary directory")?;
        let text = format!(
            "[xdp]\npin_directory = \"{}\"\n[protocol]\nmax_response_peers = {max_response_peers}\n\
             [swarm]\nmax_torrents = {}\nmax_peers = {}\n",
            pins.path().display(),
            limits.max_torrents,
            limits.max_peers,
        );
        let mut kernel = Kernel::load(&Config::parse("laboratory", &text)?)?;
        kernel.set_keys(&keys())?;
        kernel.set_settings(&settings(max_response_peers))?;
        let served = [IpAddr::from(SERVER_V4), IpAddr::from(SERVER_V6)];
        kernel.set_endpoints(&Endpoints::new(served.map(|ip| SocketAddr::new(ip, SERVER_PORT))))?;
        let events = kernel.events()?;
        Ok(Self { kernel, events, limits: *limits, pins })
    }

    /// Gives it an empty table.
    pub(crate) fn with_table(mut self) -> Result<Ours> {
        let segments = self.kernel.segments()?;
        let writer = TableWriter::new(self.limits, HASH_KEY, Box::new(segments))?;
        Ok(Ours { kernel: self.kernel, writer, events: self.events, _pins: self.pins })
    }
}

impl Ours {
    /// Loads the program, with an empty table.
    pub(crate) fn load(limits: &Limits, max_response_peers: u32) -> Result<Self> {
        Loaded::new(limits, max_response_peers)?.with_table()
    }

    /// The same with a full table.
    pub(crate) fn filled(shape: Shape, v6: bool) -> Result<Self> {
        let mut ours = Self::load(&limits(shape), 50)?;
        fill(&mut ours.writer, shape, v6)?;
        Ok(ours)
    }

    /// Sets lists and limits. The table is one that was filled for `shape`.
    pub(crate) fn set_policy(&mut self, policy: Policy, shape: Shape) -> Result<()> {
        let mut settings = settings(50);
        let other = |number: u32| {
            let mut hash = population::info_hash(number);
            // Of no torrent in a table: those have their numbers there.
            hash[19] = 0xff;
            hash
        };
        let asked_for = || (0..shape.torrents).map(population::info_hash);
        let mut list = Vec::new();
        match policy {
            Policy::Blocks(networks) | Policy::BlocksNear(networks) => {
                let near = matches!(policy, Policy::BlocksNear(_));
                let prefix = |number: u32| {
                    let [_, a, b, c] = number.wrapping_mul(0x9e37_79b1).rotate_left(8).to_be_bytes();
                    match near {
                        // All of 10.0.0.0/8's /24 networks, again and again.
                        true => Prefix { address: [10, (number >> 8) as u8, number as u8, 0], len: 32 },
                        false => Prefix { address: [20 + a % 100, a, b, c & 0xf0], len: 28 },
                    }
                };
                self.kernel.replace_blocks((0..networks).map(prefix).collect(), Vec::new())?;
                settings.block4 = 1;
            }
            Policy::DeniesOthers(torrents) => {
                settings.access_mode = access_mode::DENY;
                list.extend((0..torrents).map(other));
            }
            Policy::AllowsAll(torrents) => {
                settings.access_mode = access_mode::ALLOW;
                list.extend(asked_for().chain((shape.torrents..torrents).map(other)));
            }
            Policy::DeniesAll(torrents) => {
                settings.access_mode = access_mode::DENY;
                list.extend(asked_for().chain((shape.torrents..torrents).map(other)));
            }
            Policy::Limits => {
                settings.limits =
                    SourceLimits { connects: MAX_LIMIT, bad_ids: MAX_LIMIT, announces: MAX_LIMIT };
            }
        }
        if !list.is_empty() {
            self.kernel.replace_access(list.len(), list.iter())?;
        }
        self.kernel.set_settings(&settings)
    }

    /// Attaches the program for good.
    pub(crate) fn attach(&mut self, cable: &Cable) -> Result<()> {
        let name = &cable.server_interface;
        let kernel = &mut self.kernel;
        cable.server.inside(|| -> Result<()> {
            let interfaces = interface::interfaces().context("asking for the interfaces")?;
            let found: Option<Interface> = interfaces.into_iter().find(|found| found.name == *name);
            let interface = found.with_context(|| format!("no interface {name}"))?;
            kernel.attach(&interface, AttachMode::Native).map_err(|error| anyhow::anyhow!(error.reason))
        })
    }

    pub(crate) fn counters(&self) -> Result<Counters> {
        self.kernel.counters()
    }

    /// Takes events until `stop` and applies them, on this CPU.
    pub(crate) fn consume(&mut self, cpu: usize, stop: &AtomicBool) -> Result<Consumed> {
        consume(&mut self.writer, &mut self.events, cpu, stop)
    }
}

/// Takes events until `stop` and applies them.
fn consume(
    writer: &mut TableWriter,
    ring: &mut EventRing,
    cpu: usize,
    stop: &AtomicBool,
) -> Result<Consumed> {
    sys::pin(cpu)?;
    let mut consumed = Consumed::default();
    let mut batch = Vec::with_capacity(BATCH);
    let start = sys::thread_time();
    loop {
        // Asked before the ring is emptied for the last time.
        let last = stop.load(Ordering::Acquire);
        let end = ring.end();
        loop {
            batch.clear();
            ring.take(end, BATCH, &mut batch);
            if batch.is_empty() {
                break;
            }
            writer.apply_batch(&batch, now());
            consumed.events += batch.len() as u64;
        }
        if last {
            break;
        }
        if ring.is_empty() {
            std::thread::sleep(NAP);
        }
    }
    consumed.cpu = sys::thread_time() - start;
    Ok(consumed)
}

/// The writer's clock, which is also that of the events.
pub(crate) fn now() -> Millis {
    Millis(u64::try_from(sys::monotonic_coarse().as_millis()).unwrap_or(u64::MAX))
}

/// Room for a shape and a bit.
pub(crate) fn limits(shape: Shape) -> Limits {
    Limits {
        max_torrents: shape.torrents.max(1000),
        max_peers: u32::try_from(shape.peers()).unwrap_or(u32::MAX).max(10_000),
        ..Limits::default()
    }
}

/// The event of peer `peer` of a torrent: even ones are leechers.
pub(crate) fn event(torrent: u32, peer: u32, v6: bool, now: Millis) -> AnnounceEvent {
    let address = population::peer(torrent, peer, v6);
    AnnounceEvent::new(
        population::info_hash(torrent),
        address,
        AnnounceKind::Started,
        peer % 2 == 1,
        now.0 as u32,
    )
}

/// Announces every peer once: first all torrents' first peers, then all their second ones, and so on, torrents in an order that is
/// another one each time. So a
/// swarm's lines lie apart, as they do when a swarm grows over hours.
pub(crate) fn fill(writer: &mut TableWriter, shape: Shape, v6: bool) -> Result<()> {
    for events in arrivals(shape, v6, 0) {
        writer.apply_batch(&events, now());
    }
    let totals = writer.totals();
    ensure!(
        totals.peers() == shape.peers() && totals.torrents == u64::from(shape.torrents),
        "the table holds {} peers of {} torrents instead of {shape} and one more each: {totals:?}",
        totals.peers(),
        totals.torrents,
    );
    Ok(())
}

/// The events of [`fill`], in batches; `way` chooses the order of the torrents.
pub(crate) fn arrivals(shape: Shape, v6: bool, way: u64) -> impl Iterator<Item = Vec<AnnounceEvent>> {
    let mut number = 0;
    std::iter::from_fn(move || {
        let end = shape.peers().min(number + BATCH as u64);
        let now = now();
        let batch: Vec<_> = (number..end)
            .map(|number| {
                let (peer, at) = (number / u64::from(shape.torrents), number % u64::from(shape.torrents));
                event(scattered(at as u32, shape.torrents, way + peer), peer as u32, v6, now)
            })
            .collect();
        number = end;
        (!batch.is_empty()).then_some(batch)
    })
}

/// A permutation of the numbers below `count`, another one for each `way`.
fn scattered(number: u32, count: u32, way: u64) -> u32 {
    // Primes larger than any count here, so that none divides it.
    const PRIMES: [u64; 5] = [2_147_483_647, 1_000_000_007, 998_244_353, 1_999_999_973, 1_500_000_001];
    (u64::from(number) * PRIMES[(way % 5) as usize] % u64::from(count)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_peer_arrives_once() {
        let shape = Shape::new(1000, 3);
        let events: Vec<_> = arrivals(shape, false, 3).flatten().collect();
        let all: HashSet<_> = events.iter().map(|event| (*event.info_hash(), event.peer())).collect();
        assert_eq!((events.len(), all.len()), (4000, 4000));
    }
}
