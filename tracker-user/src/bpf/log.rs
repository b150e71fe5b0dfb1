//! What the XDP program logs, in the daemon's log: for debugging, built with the feature `debug` only.
//!
//! The program logs when its object was built with its own feature of that name:
//! `cargo xtask build-ebpf --features debug && cargo run --features debug -- --iface lo`.

use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use aya::Ebpf;
use aya_log::EbpfLogger;

const EVERY: Duration = Duration::from_millis(100);

/// Starts a thread that moves the program's records into the log as long as the process lives.
///
/// # Errors
///
/// An object that doesn't log, no thread.
pub(super) fn relay(ebpf: &mut Ebpf) -> anyhow::Result<()> {
    let mut logger = EbpfLogger::init(ebpf)
        .context("the BPF object doesn't log; build it with `cargo xtask build-ebpf --features debug`")?;
    thread::Builder::new()
        .name("bpf log".to_owned())
        .spawn(move || {
            loop {
                logger.flush();
                thread::sleep(EVERY);
            }
        })
        .context("starting the thread that reads the program's log")?;
    Ok(())
}
