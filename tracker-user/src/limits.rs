//! The rate limits of sources: as configured, as set at run time, and as the socket workers see them.
//!
//! Owned by the main loop of `daemon`, which hands them to the kernel, too. Limits that `map limit` sets are kept in the state
//! directory, and count until the configured ones are edited. Invariant: what is answered as done is in the file, in the kernel and in the
//! workers' limits, and what is refused has changed none. Tests are below, and in `tests/cli` (`limits`, `kernel_refuses`).

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use tracker_common::sketch::{MAX_LIMIT, SourceLimits};

use crate::config::Config;
use crate::state::{LIMITS_FILE, Replacement, State};

/// Limits by name, `None`: as it is. What `map limit` asks for, and what is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Change {
    /// Connects.
    pub connects: Option<u32>,
    /// Requests with a bad connection id.
    pub bad_ids: Option<u32>,
    /// Announces and scrapes with a good one.
    pub announces: Option<u32>,
}

impl Change {
    /// Reads pairs of a name and a number or "off".
    ///
    /// # Errors
    ///
    /// An unknown name, a name without a limit, or a limit that is none.
    pub fn parse(words: &[String]) -> anyhow::Result<Self> {
        let mut change = Self::default();
        for pair in words.chunks(2) {
            let [name, limit] = pair else {
                bail!("`{}`: a limit has to follow: a number a second, or off", pair.concat());
            };
            let place = match name.as_str() {
                "connects" => &mut change.connects,
                "bad_ids" => &mut change.bad_ids,
                "announces" => &mut change.announces,
                _ => bail!("`{name}` is none of: connects, bad_ids, announces"),
            };
            let number = if limit == "off" { Some(0) } else { limit.parse().ok() };
            let Some(number) = number.filter(|&number| number <= MAX_LIMIT) else {
                bail!("{name}: `{limit}` is neither off nor a number from 1 to {MAX_LIMIT}");
            };
            *place = Some(number);
        }
        Ok(change)
    }

    /// True when there is nothing to change.
    fn is_empty(self) -> bool {
        self == Self::default()
    }

    fn of(limits: SourceLimits) -> Self {
        Self {
            connects: Some(limits.connects),
            bad_ids: Some(limits.bad_ids),
            announces: Some(limits.announces),
        }
    }

    fn applied_to(self, limits: SourceLimits) -> SourceLimits {
        SourceLimits {
            connects: self.connects.unwrap_or(limits.connects).min(MAX_LIMIT),
            bad_ids: self.bad_ids.unwrap_or(limits.bad_ids).min(MAX_LIMIT),
            announces: self.announces.unwrap_or(limits.announces).min(MAX_LIMIT),
        }
    }
}

/// The limits as the socket workers load them, once a batch. Each is read on its own: there is nothing to tear.
#[derive(Debug, Default)]
pub struct SharedLimits {
    connects: AtomicU32,
    bad_ids: AtomicU32,
    announces: AtomicU32,
}

impl SharedLimits {
    /// The limits as they are.
    pub fn load(&self) -> SourceLimits {
        SourceLimits {
            connects: self.connects.load(Ordering::Relaxed),
            bad_ids: self.bad_ids.load(Ordering::Relaxed),
            announces: self.announces.load(Ordering::Relaxed),
        }
    }

    fn store(&self, limits: SourceLimits) {
        self.connects.store(limits.connects, Ordering::Relaxed);
        self.bad_ids.store(limits.bad_ids, Ordering::Relaxed);
        self.announces.store(limits.announces, Ordering::Relaxed);
    }
}

/// Limits that were set at run time, and the configured ones that they override.
#[derive(Serialize, Deserialize)]
struct Kept {
    configured: Change,
    r#override: Change,
}

/// The limits in force.
#[derive(Debug)]
pub struct LimitKeeper {
    shared: Arc<SharedLimits>,
    configured: SourceLimits,
    state: State,
}

impl LimitKeeper {
    /// Those of the configuration, or those that were set at run time since it was edited.
    pub fn open(config: &Config, state: State) -> Self {
        let configured = config.limits.sources();
        let keeper = Self { shared: Arc::default(), configured, state };
        keeper.shared.store(keeper.kept().unwrap_or(configured));
        keeper
    }

    /// The limits as the workers see them.
    pub fn shared(&self) -> Arc<SharedLimits> {
        Arc::clone(&self.shared)
    }

    /// The limits as they are.
    pub fn current(&self) -> SourceLimits {
        self.shared.load()
    }

    /// Changes limits for the kernel, by `tell_kernel`, for the workers and for the next start; the limits in words.
    ///
    /// # Errors
    ///
    /// They can't be kept, or the kernel refuses them, and nothing was changed.
    pub fn change(
        &self,
        change: Change,
        mut tell_kernel: impl FnMut(SourceLimits) -> anyhow::Result<()>,
    ) -> anyhow::Result<String> {
        let old = self.current();
        if change.is_empty() {
            return Ok(in_words(old));
        }
        let limits = change.applied_to(old);
        let path = self.state.file(LIMITS_FILE);
        let unkept = || format!("the limits wouldn't survive a restart: {}", path.display());
        let file = self.new_file(&path, limits).with_context(unkept)?;
        tell_kernel(limits).context("the kernel refused the limits")?;
        if let Err(error) = file.commit() {
            let error = anyhow::Error::new(error).context(unkept());
            return Err(match tell_kernel(old) {
                Ok(()) => error,
                Err(second) => error.context(format!("the kernel keeps the new limits: {second:#}")),
            });
        }
        self.shared.store(limits);
        Ok(in_words(limits))
    }

    fn new_file(&self, path: &Path, limits: SourceLimits) -> anyhow::Result<Replacement> {
        let kept = Kept { configured: Change::of(self.configured), r#override: Change::of(limits) };
        self.state.make_directory()?;
        Ok(Replacement::new(path, format!("{}\n", serde_json::to_string(&kept)?).as_bytes(), 0o640)?)
    }

    fn kept(&self) -> Option<SourceLimits> {
        let path = self.state.file(LIMITS_FILE);
        let kept: Kept = match serde_json::from_str(&fs::read_to_string(&path).ok()?) {
            Ok(kept) => kept,
            Err(error) => {
                tracing::warn!("{}: {error}; the configured limits count", path.display());
                return None;
            }
        };
        let limits = kept.r#override.applied_to(self.configured);
        if kept.configured != Change::of(self.configured) {
            tracing::info!("limits: the configuration was edited since others were set at run time");
            return None;
        }
        if limits != self.configured {
            tracing::info!(
                "limits set at run time over the configured ones (kept in {}): {}",
                path.display(),
                in_words(limits).replace('\n', ", ")
            );
        }
        Some(limits)
    }
}

/// A line for each limit, as `map limit` takes it.
fn in_words(limits: SourceLimits) -> String {
    let word = |limit: u32| if limit == 0 { "off".to_owned() } else { limit.to_string() };
    format!(
        "connects {}\nbad_ids {}\nannounces {}",
        word(limits.connects),
        word(limits.bad_ids),
        word(limits.announces)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> anyhow::Result<Change> {
        Change::parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    fn open(directory: &Path, text: &str) -> LimitKeeper {
        let config = Config::parse("test", &format!("[limits]\n{text}")).expect("it is valid");
        LimitKeeper::open(&config, State::open(directory))
    }

    #[test]
    fn changes_are_pairs_of_a_name_and_a_number_or_off() {
        let change = parse("connects 5 announces off").expect("it is one");
        assert_eq!(change, Change { connects: Some(5), bad_ids: None, announces: Some(0) });
        for (line, said) in [
            ("connects", "a limit has to follow"),
            ("frobs 5", "none of: connects, bad_ids, announces"),
            ("connects many", "neither off nor a number from 1 to 65535"),
            ("connects 65536", "neither off nor a number from 1 to 65535"),
        ] {
            let error = parse(line).expect_err(line).to_string();
            assert!(error.contains(said), "{line}: {error}");
        }
    }

    #[test]
    fn limits_set_at_run_time_count_until_the_configuration_is_edited() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let keeper = open(directory.path(), "");
        let words = keeper.change(Change::default(), takes).expect("nothing to be kept");
        assert_eq!(words, "connects 1000\nbad_ids 1000\nannounces off");
        let change = parse("announces 7 connects off").expect("it is one");
        let words = keeper.change(change, takes).expect("it can be kept");
        assert_eq!(words, "connects off\nbad_ids 1000\nannounces 7");
        assert_eq!(keeper.shared().load(), SourceLimits { connects: 0, bad_ids: 1000, announces: 7 });
        assert_eq!(open(directory.path(), "").current(), keeper.current());
        let edited = open(directory.path(), "connects_per_second = 3");
        assert_eq!(edited.current(), SourceLimits { connects: 3, bad_ids: 1000, announces: 0 });
    }

    /// A kernel that takes all limits.
    fn takes(_limits: SourceLimits) -> anyhow::Result<()> {
        Ok(())
    }

    #[test]
    fn limits_that_cannot_be_kept_change_nothing() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let file = directory.path().join("file");
        fs::write(&file, "").expect("it can be written");
        let keeper = open(&file.join("state"), "");
        let before = keeper.current();
        let tell = |_limits| -> anyhow::Result<()> { panic!("the kernel is told what can be kept only") };
        let error =
            keeper.change(Change { connects: Some(1), ..Change::default() }, tell).expect_err("no place");
        assert!(error.to_string().contains("wouldn't survive a restart"), "{error}");
        assert_eq!(keeper.current(), before);
    }

    #[test]
    fn limits_that_the_kernel_refuses_change_nothing() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let keeper = open(directory.path(), "");
        let change = |connects| Change { connects: Some(connects), ..Change::default() };
        let refuses = |_limits| anyhow::bail!("no");
        let error = keeper.change(change(1), refuses).expect_err("it is refused");
        assert_eq!(format!("{error:#}"), "the kernel refused the limits: no");
        assert_eq!(fs::read_dir(directory.path()).expect("it is ours").count(), 0);
        keeper.change(change(2), takes).expect("it can be kept");
        keeper.change(change(3), refuses).expect_err("it is refused");
        for keeper in [keeper, open(directory.path(), "")] {
            assert_eq!(keeper.current().connects, 2);
        }
        assert_eq!(fs::read_dir(directory.path()).expect("it is ours").count(), 1);
    }

    #[test]
    fn limits_whose_file_cannot_be_put_in_place_are_taken_back_from_the_kernel() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let keeper = open(directory.path(), "");
        let before = keeper.current();
        // Something new is written beside it, but no rename puts a file in a directory's place.
        fs::create_dir(directory.path().join(LIMITS_FILE)).expect("it can be made");
        let mut told = Vec::new();
        let tell = |limits| {
            told.push(limits);
            Ok(())
        };
        let error =
            keeper.change(Change { connects: Some(1), ..Change::default() }, tell).expect_err("no place");
        assert!(error.to_string().contains("wouldn't survive a restart"), "{error}");
        assert_eq!(keeper.current(), before);
        assert_eq!(told, [SourceLimits { connects: 1, ..before }, before]);
    }
}
