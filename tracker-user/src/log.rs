//! The log on stderr: for people or as JSON, with a level that a reload can change.
//!
//! Set up once by `daemon`, before anything else. Dependencies that use the `log` crate are heard too. Nothing is logged per packet.
//! Tested end to end in `tests/cli` (`reload`).

use std::io;

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
