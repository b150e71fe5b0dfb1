//! Memory of other processes: what the kernel adds up in `/proc/PID/smaps_rollup`.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

/// Bytes that a process has in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Memory {
    /// All of its pages.
    pub(crate) resident: u64,
    /// The same, with its part of pages that it shares.
    pub(crate) proportional: u64,
    /// Pages of no file: its heap and its stacks.
    pub(crate) anonymous: u64,
}

impl Memory {
    pub(crate) fn of(pid: u32) -> Result<Self> {
        let path = format!("/proc/{pid}/smaps_rollup");
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        Self::parse(&text).with_context(|| format!("{path} has no such fields"))
    }

    /// Once it stays the same, and at the latest after `time`.
    pub(crate) fn settled(time: Duration) -> impl Fn(u32) -> Result<Self> {
        move |pid| {
            let start = Instant::now();
            let (mut last, mut same) = (Self::of(pid)?, 0);
            while same < 5 && start.elapsed() < time {
                std::thread::sleep(Duration::from_millis(100));
                let now = Self::of(pid)?;
                same = if now == last { same + 1 } else { 0 };
                last = now;
            }
            Ok(last)
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
        };
        Some(Self { resident: field("Rss")?, proportional: field("Pss")?, anonymous: field("Anonymous")? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_kilobytes() {
        let text =
            "0-1 ---p 0 00:00 0 [rollup]\nRss:  12 kB\nPss:   9 kB\nPss_Anon: 1 kB\nAnonymous:   8 kB\n";
        let expected = Memory { resident: 12 << 10, proportional: 9 << 10, anonymous: 8 << 10 };
        assert_eq!(Memory::parse(text), Some(expected));
        assert_eq!(Memory::parse("Rss: 12 kB\n"), None);
    }

    #[test]
    fn this_process_has_some() {
        assert!(Memory::of(std::process::id()).unwrap().anonymous > 0);
    }
}
