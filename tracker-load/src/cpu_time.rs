//! CPU time of other processes, exact to the nanosecond, from the scheduler's own counters.
//!
//! The first number of `/proc/PID/task/TID/schedstat` is the time the thread ran, whatever for: system calls, and
//! softirqs that ran in its place, are in it. `/proc/PID/stat` counts ticks of 10 ms, too coarse here.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};

/// Run time of all threads of one process.
#[derive(Clone, Debug)]
pub(crate) struct CpuTime {
    pub(crate) pid: u32,
    pub(crate) name: String,
    pub(crate) time: Duration,
}

impl CpuTime {
    /// Up to now, since the process began. Threads that have ended since are not in it.
    pub(crate) fn of(pid: u32) -> Result<Self> {
        let tasks = format!("/proc/{pid}/task");
        let directory = fs::read_dir(&tasks).with_context(|| format!("no process {pid}: {tasks}"))?;
        let mut total = 0;
        for task in directory {
            // A thread may end between the listing and the reading.
            if let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) {
                total += run_time_ns(&text).with_context(|| format!("schedstat of {pid}: {text:?}"))?;
            }
        }
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned();
        Ok(Self { pid, name, time: Duration::from_nanos(total) })
    }

    /// What was added since `earlier`.
    pub(crate) fn since(self, earlier: &Self) -> Self {
        Self { time: self.time.saturating_sub(earlier.time), ..self }
    }
}

fn run_time_ns(schedstat: &str) -> Option<u64> {
    schedstat.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_number_is_the_run_time() {
        assert_eq!(run_time_ns("123456 789 10\n"), Some(123_456));
        assert_eq!(run_time_ns(""), None);
    }

    #[test]
    fn own_time_grows() {
        let pid = std::process::id();
        let before = CpuTime::of(pid).unwrap();
        while CpuTime::of(pid).unwrap().since(&before).time.is_zero() {}
    }
}
