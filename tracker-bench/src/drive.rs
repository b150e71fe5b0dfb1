//! One round: the generator runs for some time on CPU 0, and everything that CPU did for it is counted.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tracker_common::connection_id::Epoch;
use tracker_lab::tally::Tally;
use tracker_lab::traffic::Traffic;

use crate::cable::{Cable, process_named, run_time_ns};
use crate::laboratory::Laboratory;
use crate::sys;

/// The CPU of generator, veth, program and far end.
pub(crate) const KERNEL_CPU: usize = 0;
/// The CPU of whoever takes the events.
pub(crate) const WRITER_CPU: usize = 1;

/// How long whoever takes the events naps when there are none, as the daemon's writer does: a reader that naps for less
/// has the kernel wake it more often.
pub(crate) const NAP: Duration = Duration::from_millis(1);

/// Frames of one system call. Setting a run up costs about 20 ms whatever its length, most of it waiting.
pub(crate) const FRAMES: u32 = 1 << 19;

/// What to send.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    /// Program of the generator.
    pub(crate) program: &'static str,
    /// Bytes of the frame that it is given: one less than the shortest that it makes.
    pub(crate) bytes: usize,
    pub(crate) traffic: Traffic,
    /// Frames of one system call, [`FRAMES`] in most cases.
    pub(crate) frames: u32,
}

/// What came of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Driven {
    pub(crate) tally: Tally,
    pub(crate) wall: Duration,
    /// Run time of the generator's thread and of the CPU's softirq thread.
    pub(crate) cpu: Duration,
}

impl Driven {
    /// ns of CPU time a packet.
    pub(crate) fn ns_per(&self, packets: u64) -> f64 {
        self.cpu.as_nanos() as f64 / packets.max(1) as f64
    }
}

/// Runs the generator for `time`, on CPU 0, from the client's end.
pub(crate) fn drive(
    laboratory: &mut Laboratory,
    cable: &Cable,
    load: &Load,
    time: Duration,
) -> Result<Driven> {
    let softirq_name = format!("ksoftirqd/{KERNEL_CPU}");
    let softirq = process_named(|name| name == softirq_name).context("no kernel thread ksoftirqd/0")?;
    let interface = cable.client_index()?;
    cable.client.inside(|| {
        sys::pin(KERNEL_CPU).context("pinning the generator")?;
        let mut traffic = load.traffic;
        traffic.epoch = now_epoch();
        laboratory.set_traffic(&traffic)?;
        laboratory.program(load.program)?;
        let before = laboratory.tally()?;
        let softirq_before = run_time_ns(softirq)?;
        let (start, cpu_start) = (Instant::now(), sys::thread_time());
        loop {
            if traffic.epoch != now_epoch() {
                traffic.epoch = now_epoch();
                laboratory.set_traffic(&traffic)?;
            }
            laboratory.generate(load.program, load.bytes, interface, load.frames)?;
            if start.elapsed() >= time {
                break;
            }
        }
        let (wall, cpu) = (start.elapsed(), sys::thread_time() - cpu_start);
        let cpu = cpu + Duration::from_nanos(run_time_ns(softirq)? - softirq_before);
        let tally = laboratory.tally()?.since(&before);
        ensure!(tally.generated > 0, "the generator made nothing");
        Ok(Driven { tally, wall, cpu })
    })
}

/// The epoch of connection ids, now.
pub(crate) fn now_epoch() -> u64 {
    let now = u64::try_from(sys::monotonic_coarse().as_nanos()).unwrap_or(u64::MAX);
    Epoch::at(now).0
}
