//! What differs between the configuration that runs and the one that was read again.
//!
//! Called by `daemon` at a reload, which takes few keys and names the others. Tests are below.

use super::Config;

impl Config {
    /// The keys that have another value in `other`, as `table.key`, in the order of their names.
    pub fn changed_keys(&self, other: &Self) -> Vec<String> {
        let table = |config| toml::Table::try_from(config).unwrap_or_default();
        let mut names = Vec::new();
        compare("", &table(self), &table(other), &mut names);
        names.sort();
        names
    }
}

fn compare(prefix: &str, ours: &toml::Table, theirs: &toml::Table, names: &mut Vec<String>) {
    // A key without a value is in one of the two only.
    let added = theirs.keys().filter(|key| !ours.contains_key(*key));
    for key in ours.keys().chain(added) {
        let name = format!("{prefix}{key}");
        match (ours.get(key), theirs.get(key)) {
            (Some(toml::Value::Table(ours)), Some(toml::Value::Table(theirs))) => {
                compare(&format!("{name}."), ours, theirs, names);
            }
            (ours, theirs) if ours != theirs => names.push(name),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changed_keys_are_named_with_their_table() {
        let mut other = Config::default();
        assert!(Config::default().changed_keys(&other).is_empty());
        other.state_directory = "/elsewhere".into();
        other.swarm.max_peers += 1;
        assert_eq!(Config::default().changed_keys(&other), ["state_directory", "swarm.max_peers"]);
    }
}
