//! Memory that a process holds, BPF maps that it has mapped included.

use std::fs;

use anyhow::{Context as _, Result};

/// What a process holds.
pub(crate) struct Held {
    /// Its own memory, and the maps that it has mapped, with what the kernel keeps for each besides.
    pub(crate) bytes: u64,
    /// The maps alone.
    pub(crate) maps: u64,
}

/// A map's own bookkeeping in the kernel: `struct bpf_array` has a page to itself when the map can be mapped.
const MAP_OVERHEAD: u64 = 4096;

impl Held {
    /// Of a process, by its number or `self`.
    pub(crate) fn of(process: &str) -> Result<Self> {
        let file = format!("/proc/{process}/smaps");
        let text = fs::read_to_string(&file).context(file)?;
        let (mut bytes, mut maps, mut in_map) = (0, 0, false);
        for line in text.lines() {
            if let Some(rss) = line.strip_prefix("Rss:") {
                let kilobytes = rss.trim().trim_end_matches(" kB").parse::<u64>().context("Rss in smaps")?;
                let with_overhead = kilobytes * 1024 + if in_map { MAP_OVERHEAD } else { 0 };
                bytes += with_overhead;
                maps += if in_map { with_overhead } else { 0 };
            } else if line.split_whitespace().next().is_some_and(|word| word.contains('-')) {
                in_map = line.ends_with("bpf-map");
            }
        }
        Ok(Self { bytes, maps })
    }
}
