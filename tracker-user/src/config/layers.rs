//! Environment and `--set` over the file: one key at a time, by its name, so that a new table works without a line here.
//!
//! Called by `cli`. Later layers win: defaults, file, environment, `--set`. A value that is refused is named with where it came
//! from. Tests are below.

use std::path::Path;

use anyhow::{anyhow, bail};
use toml::Value;

use super::{Config, ConfigError, refusal};

/// What every variable of the environment begins with.
const PREFIX: &str = "TRACKER_";

/// Variables with that beginning that are no keys: of the build, and of the tests.
const NOT_KEYS: [&str; 2] = ["TRACKER_EBPF_OBJECT", "TRACKER_SKIP_LOG"];

/// What is said over the file.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    /// Variables of the environment; others than `TRACKER_…` are ignored.
    pub environment: Vec<(String, String)>,
    /// `key=value` of each `--set`.
    pub set: Vec<String>,
}

impl Layers {
    /// The variables of this process that are text, and these `--set`.
    #[must_use]
    pub fn of_process(set: &[String]) -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        let mut environment: Vec<_> =
            std::env::vars_os().filter_map(text).filter(|(name, _)| name.starts_with(PREFIX)).collect();
        // The system's order is any.
        environment.sort();
        Self { environment, set: set.to_vec() }
    }
}

impl Config {
    /// The configuration of a file (none: the defaults) with what is said over it, checked as a whole, and the variables that are
    /// no keys, for a warning: they may belong to something else, so they are no error.
    ///
    /// # Errors
    ///
    /// The value that is refused, where it came from, and what is allowed.
    pub fn layered(file: Option<&Path>, layers: &Layers) -> anyhow::Result<(Self, Vec<String>)> {
        let name = file.map(|path| path.display().to_string()).unwrap_or_default();
        let text = match file {
            Some(path) => {
                std::fs::read_to_string(path).map_err(|error| anyhow!("configuration {name}: {error}"))?
            }
            None => String::new(),
        };
        let mut config = Self::parse_unchecked(&name, &text)?;
        // Which keys were changed by what, the last one last.
        let mut origins: Vec<(String, String)> = Vec::new();
        let mut unknown = Vec::new();
        let known = config.key_names();
        for (variable, value) in &layers.environment {
            if !variable.starts_with(PREFIX) || NOT_KEYS.contains(&variable.as_str()) {
                continue;
            }
            match known.iter().find(|key| variable_of(key) == *variable) {
                Some(key) => {
                    let origin = format!("environment variable {variable}");
                    config = config.with(key, value, &origin)?;
                    origins.push((key.clone(), origin));
                }
                None => {
                    let names: Vec<String> = known.iter().map(|key| variable_of(key)).collect();
                    let hint = refusal::nearest(variable, names.iter().map(String::as_str));
                    unknown.push(format!(
                        "environment variable {variable} names no key of the configuration and is ignored{}",
                        hint.map(|name| format!("; did you mean {name}?")).unwrap_or_default()
                    ));
                }
            }
        }
        for set in &layers.set {
            let Some((key, value)) = set.split_once('=') else {
                bail!("--set {set}: it has to be KEY=VALUE, for example udp.workers_per_address=4");
            };
            let key = key.trim();
            if !known.iter().any(|name| name == key) {
                let hint = refusal::nearest(key, known.iter().map(String::as_str));
                bail!(
                    "--set {key}: no such key{}; `config print` shows all",
                    hint.map(|name| format!(", did you mean {name}?")).unwrap_or_default()
                );
            }
            let origin = format!("--set {key}");
            config = config.with(key, value.trim(), &origin)?;
            origins.push((key.to_owned(), origin));
        }
        if let Err((key, reason)) = config.validate() {
            if let Some((_, origin)) = origins.iter().rev().find(|(changed, _)| changed == key) {
                bail!("{origin}: {key}: {reason}");
            }
            if let Some(span) = refusal::span_of(&text, key) {
                return Err(ConfigError::at(&name, &text, span, reason).into());
            }
            // A default that doesn't go with what was changed.
            bail!("configuration: {key}: {reason}");
        }
        Ok((config, unknown))
    }

    /// The names of all keys, as `table.key`, or `key` where there is no table.
    pub(super) fn key_names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.keys().iter().map(|key| key.name.to_owned()).collect();
        for (table, _, keys) in self.tables() {
            names.extend(keys.iter().map(|key| format!("{table}.{}", key.name)));
        }
        names
    }

    fn with(&self, name: &str, text: &str, origin: &str) -> anyhow::Result<Self> {
        let mut whole = toml::Table::try_from(self)?;
        let (table, key) = match name.split_once('.') {
            Some((table, key)) => match whole.get_mut(table) {
                Some(Value::Table(inner)) => (inner, key),
                _ => bail!("{origin}: {table} is no table"),
            },
            None => (&mut whole, name),
        };
        let candidates = candidates(table.get(key), text);
        let mut refused = String::new();
        for value in candidates {
            let mut changed = whole.clone();
            match name.split_once('.') {
                Some((table, key)) => {
                    if let Some(Value::Table(inner)) = changed.get_mut(table) {
                        inner.insert(key.to_owned(), value);
                    }
                }
                None => {
                    changed.insert(name.to_owned(), value);
                }
            }
            match Value::Table(changed).try_into::<Self>() {
                Ok(config) => return Ok(config),
                Err(error) => refused = error.message().replace('\n', " "),
            }
        }
        bail!("{origin}: `{text}`: {refused}{}", refusal::help_for(name))
    }
}

/// The variable of a key: `TRACKER_UDP_WORKERS_PER_ADDRESS` of `udp.workers_per_address`.
pub(super) fn variable_of(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "_").to_ascii_uppercase())
}

/// What a text can mean, likeliest last: TOML, a bare word, or words with commas between them. The error shown is the last one's.
fn candidates(now: Option<&Value>, text: &str) -> Vec<Value> {
    let toml = |text: &str| toml::from_str::<toml::Table>(&format!("v = {text}")).ok()?.remove("v");
    let bare = |text: &str| Value::String(text.to_owned());
    match now {
        Some(Value::Array(_)) => match toml(text) {
            Some(list @ Value::Array(_)) => vec![list],
            _ => {
                let words = || text.split(',').map(str::trim).filter(|word| !word.is_empty());
                vec![
                    Value::Array(words().filter_map(toml).collect()),
                    Value::Array(words().map(bare).collect()),
                ]
                .into_iter()
                .filter(|list| list.as_array().is_some_and(|list| list.len() == words().count()))
                .collect()
            }
        },
        // A directory may be called 1.
        Some(Value::String(_)) => match toml(text) {
            Some(quoted @ Value::String(_)) => vec![quoted],
            _ => vec![bare(text)],
        },
        _ => vec![toml(text).unwrap_or_else(|| bare(text))],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layers(environment: &[(&str, &str)], set: &[&str]) -> Layers {
        Layers {
            environment: environment
                .iter()
                .map(|&(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            set: set.iter().map(|&set| set.to_owned()).collect(),
        }
    }

    fn refused(environment: &[(&str, &str)], set: &[&str]) -> String {
        Config::layered(None, &layers(environment, set)).expect_err("it has to be refused").to_string()
    }

    #[test]
    fn set_wins_over_environment_over_file_over_default() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), "[udp]\nworkers_per_address = 2\nerrors_per_second = 3\n")
            .expect("written");
        let over = layers(
            &[("TRACKER_UDP_WORKERS_PER_ADDRESS", "4"), ("TRACKER_LOG_LEVEL", "debug"), ("HOME", "/")],
            &["udp.workers_per_address=5"],
        );
        let (config, unknown) = Config::layered(Some(file.path()), &over).expect("it is good");
        assert_eq!((config.udp.workers_per_address, config.udp.errors_per_second), (5, 3));
        assert_eq!(config.log_level.to_string(), "debug");
        assert!(unknown.is_empty(), "{unknown:?}");
        let over = layers(&[("TRACKER_UDP_WORKERS_PER_ADDRESS", "4")], &[]);
        let (config, _) = Config::layered(Some(file.path()), &over).expect("it is good");
        assert_eq!(config.udp.workers_per_address, 4);
    }

    #[test]
    fn every_key_can_be_said_by_both_and_each_variable_means_one_key() {
        let default = Config::default();
        let names = default.key_names();
        let mut variables: Vec<_> = names.iter().map(|name| variable_of(name)).collect();
        for name in &names {
            let whole = Value::try_from(&default).expect("it is a TOML value");
            let value = name.split('.').fold(&whole, |value, part| &value[part]).to_string();
            let variable = variable_of(name);
            for over in [layers(&[(&variable, &value)], &[]), layers(&[], &[&format!("{name}={value}")])] {
                let (config, unknown) =
                    Config::layered(None, &over).unwrap_or_else(|error| panic!("{name}: {error}"));
                assert_eq!(config, default, "{name}");
                assert!(unknown.is_empty(), "{unknown:?}");
            }
            // What no type takes, but for a word or a list of words.
            if !matches!(
                name.split('.').fold(&whole, |value, part| &value[part]),
                Value::String(_) | Value::Array(_)
            ) {
                assert!(refused(&[(&variable, "{}")], &[]).contains(&variable), "{name}");
                assert!(
                    refused(&[], &[&format!("{name}={{}}")]).contains(&format!("--set {name}")),
                    "{name}"
                );
            }
        }
        variables.sort();
        variables.dedup();
        assert_eq!(variables.len(), names.len());
    }

    #[test]
    fn lists_are_toml_or_words_with_commas() {
        for text in ["[\"eth0\", \"eth1\"]", "eth0,eth1", "eth0, eth1"] {
            let (config, _) =
                Config::layered(None, &layers(&[("TRACKER_XDP_INTERFACES", text)], &[])).expect(text);
            assert_eq!(config.xdp.interfaces, ["eth0", "eth1"]);
        }
        let (config, _) = Config::layered(None, &layers(&[], &["http.listen="])).expect("an empty list");
        assert!(config.http.listen.is_empty());
    }

    #[test]
    fn refusals_name_the_origin_and_what_is_allowed() {
        let said = refused(&[("TRACKER_XDP_MODE", "fast")], &[]);
        assert!(
            said.starts_with("environment variable TRACKER_XDP_MODE: ") && said.contains("`native`"),
            "{said}"
        );
        let said = refused(&[], &["udp.errors_per_second=0"]);
        assert!(said.starts_with("--set udp.errors_per_second: ") && said.contains("1 to 65535"), "{said}");
        let said = refused(&[], &["udp.workers_per_adress=1"]);
        assert!(said.contains("did you mean udp.workers_per_address?"), "{said}");
        assert!(refused(&[], &["udp"]).contains("KEY=VALUE"));
    }

    #[test]
    fn unknown_variable_is_told_with_the_nearest_known_one() {
        let over = layers(&[("TRACKER_LOG_LEVL", "info"), ("TRACKER_EBPF_OBJECT", "x")], &[]);
        let (_, unknown) = Config::layered(None, &over).expect("it is only a warning");
        assert_eq!(unknown.len(), 1);
        assert!(unknown[0].ends_with("did you mean TRACKER_LOG_LEVEL?"), "{unknown:?}");
    }
}
