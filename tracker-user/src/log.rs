//! The log on stderr: for people or as JSON, with a level that a reload can change.
//!
//! Set up once by `daemon`, before anything else. Dependencies that use the `log` crate are heard too. Nothing is logged per packet; what an
//! attacker can trigger goes through [`Seldom`]. Tests are below.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::reload;
use tracing_subscriber::{Layer as _, Registry, fmt};

use crate::config::{LogFormat, LogLevel};

/// Changes the level of the running log.
#[derive(Clone, Debug)]
pub struct Log {
    filter: reload::Handle<LevelFilter, Registry>,
}

impl Log {
    /// Starts the log of this process.
    ///
    /// # Errors
    ///
    /// There is one already.
    pub fn start(level: LogLevel, format: LogFormat) -> anyhow::Result<Self> {
        let (filter, handle) = reload::Layer::new(level.into());
        let lines = fmt::layer().with_writer(io::stderr).with_ansi(false).with_target(false);
        let layer = match format {
            LogFormat::Text => lines.boxed(),
            LogFormat::Json => lines.json().flatten_event(true).boxed(),
        };
        let subscriber = Registry::default().with(filter).with(layer);
        tracing::subscriber::set_global_default(subscriber).context("the log is set up once")?;
        tracing_log::LogTracer::init().context("the log is set up once")?;
        Ok(Self { filter: handle })
    }

    /// Changes the level from now on.
    ///
    /// # Errors
    ///
    /// The log is gone.
    pub fn set_level(&self, level: LogLevel) -> anyhow::Result<()> {
        self.filter.reload(LevelFilter::from(level)).map_err(|error| anyhow!("log level {level}: {error}"))
    }
}

/// Lets a line through once in a while: for what comes as often as somebody else wants.
#[derive(Debug)]
pub struct Seldom {
    begin: std::sync::OnceLock<Instant>,
    every: Duration,
    /// Milliseconds after `begin` before which nothing more is let through.
    next_ms: AtomicU64,
    suppressed: AtomicU64,
}

impl Seldom {
    /// At most one line in this time.
    pub const fn new(every: Duration) -> Self {
        Self {
            begin: std::sync::OnceLock::new(),
            every,
            next_ms: AtomicU64::new(0),
            suppressed: AtomicU64::new(0),
        }
    }

    /// Whether a line may be logged now, and then how many weren't since the last one.
    pub fn passes(&self) -> Option<u64> {
        self.passes_at(Instant::now())
    }

    fn passes_at(&self, now: Instant) -> Option<u64> {
        let begin = *self.begin.get_or_init(|| now);
        let now_ms = now.saturating_duration_since(begin).as_millis() as u64;
        // Relaxed: two threads in the same moment may both be let through or one be counted later, and nothing else depends on it.
        if now_ms < self.next_ms.load(Ordering::Relaxed) {
            self.suppressed.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        self.next_ms.store(now_ms + self.every.as_millis() as u64, Ordering::Relaxed);
        Some(self.suppressed.swap(0, Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_in_a_while_passes_and_tells_how_many_did_not() {
        let seldom = Seldom::new(Duration::from_secs(10));
        let begin = Instant::now();
        let at = |seconds| seldom.passes_at(begin + Duration::from_secs(seconds));
        assert_eq!(at(0), Some(0));
        assert_eq!((at(1), at(9)), (None, None));
        assert_eq!(at(10), Some(2));
        assert_eq!(at(11), None);
        assert_eq!(at(100), Some(1));
    }
}
