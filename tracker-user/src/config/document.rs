//! docs/configuration.md from the code: every key with type, default, variable and comment.
//!
//! Called by `command` for `tracker-user generate configuration`. The test below compares it with the committed file.

use super::Config;
use super::declare::Key;
use super::layers::variable_of;

impl Config {
    /// The whole document, as Markdown.
    #[must_use]
    pub fn document() -> String {
        let config = Self::default();
        let mut out = INTRODUCTION.to_owned();
        out.push_str("\n## Keys outside of tables\n\n");
        table(&mut out, "", &config.keys());
        for (name, about, keys) in config.tables() {
            out.push_str(&format!("\n## [{name}]\n\n{}\n\n", about.concat().trim()));
            table(&mut out, &format!("{name}."), &keys);
        }
        out
    }
}

const INTRODUCTION: &str = "# Configuration

Generated from the code; don't edit. To renew it: `tracker-user generate configuration > docs/configuration.md`.

The tracker reads one TOML file, `--config FILE`. Every key is optional. `tracker-user config print` prints all of them with their
comments, `tracker-user config check FILE` checks a file. Each key can also be set by an environment variable and by
`--set KEY=VALUE`, as TOML or as a bare word; lists as TOML or with commas between the words. Options of the command line win over
`--set`, `--set` over the environment, the environment over the file, the file over the defaults. An unknown key is an error, an
unknown variable that begins with `TRACKER_` a warning.
";

fn table(out: &mut String, prefix: &str, keys: &[Key]) {
    out.push_str("| Key | Type | Default | Environment variable | Meaning |\n|---|---|---|---|---|\n");
    for key in keys {
        let name = format!("{prefix}{}", key.name);
        let cell = |text: &str| text.trim().replace('|', "\\|").replace('<', "&lt;");
        out.push_str(&format!(
            "| `{name}` | {} | `{}` | `{}` | {} |\n",
            key.value.type_str(),
            key.value,
            variable_of(&name),
            cell(&key.comment.concat())
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn committed_document_is_current() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md");
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            committed == Config::document(),
            "docs/configuration.md is out of date: \
             cargo run -p tracker-user -- generate configuration > docs/configuration.md"
        );
    }

    #[test]
    fn sample_configuration_is_good() {
        let sample = include_str!("../../../packaging/tracker.toml");
        Config::parse("packaging/tracker.toml", sample).expect("packagers ship it");
    }
}
