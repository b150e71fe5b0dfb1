//! Every row of docs/protocol.md that is built must be named by a test.
//!
//! Rows have ids (U01, H01, W01…). A test names one when the id stands anywhere in test code: a file of a `tests`
//! directory, tracker-testkit, or what follows the first `#[cfg(test)]` of any other source file.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

/// The families of rows that exist in code: HTTP, UDP and WebTorrent.
const BUILT: &[char] = &['H', 'U', 'W'];

/// Rows that no test names, in order.
pub(crate) fn untested(workspace: &Path) -> Result<Vec<String>> {
    let path = workspace.join("docs/protocol.md");
    let table = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let rows: BTreeSet<String> =
        table.lines().filter_map(row_id).filter(|id| id.starts_with(BUILT)).map(str::to_owned).collect();
    ensure!(!rows.is_empty(), "{} has no rows; has its table another form now?", path.display());
    let mut named = BTreeSet::new();
    for member in fs::read_dir(workspace).context("cannot list the workspace")? {
        let member = member?.path();
        if member.join("Cargo.toml").exists() {
            collect(&member, member.ends_with("tracker-testkit"), &mut named)?;
        }
    }
    Ok(rows.difference(&named).cloned().collect())
}

/// The id that a line of the table begins with: `| U01 connect, right magic | …`.
fn row_id(line: &str) -> Option<&str> {
    line.strip_prefix("| ")?.split(' ').next().filter(|word| is_id(word))
}

fn is_id(word: &str) -> bool {
    matches!(word.as_bytes(), [b'A'..=b'Z', b'0'..=b'9', b'0'..=b'9'])
}

fn collect(directory: &Path, all_is_test: bool, named: &mut BTreeSet<String>) -> Result<()> {
    for entry in fs::read_dir(directory).with_context(|| format!("cannot list {}", directory.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            if !path.ends_with("target") {
                collect(&path, all_is_test || path.ends_with("tests"), named)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let source =
                fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            let is_test = all_is_test || path.file_stem().is_some_and(|stem| stem == "tests");
            named.extend(ids(if is_test { &source } else { test_part(&source) }));
        }
    }
    Ok(())
}

fn test_part(source: &str) -> &str {
    source.find("#[cfg(test)]").map_or("", |at| &source[at..])
}

fn ids(source: &str) -> impl Iterator<Item = String> {
    source.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| is_id(word)).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_found_in_the_table() {
        assert_eq!(row_id("| U01 connect, right magic | connect response |"), Some("U01"));
        assert_eq!(row_id("| input | answer |"), None);
        assert_eq!(row_id("U01 in a sentence"), None);
    }

    #[test]
    fn row_counts_only_when_a_test_names_it() {
        let workspace = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = workspace.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("docs/protocol.md", "| U97 a | b |\n| U98 a | b |\n| U99 a | b |\n| X01 not built | b |\n");
        write("crate/Cargo.toml", "");
        write("crate/src/lib.rs", "// U97: obeyed here\n#[cfg(test)]\nmod tests { /* U98 */ }\n");
        write("crate/tests/it.rs", "const ROW: &str = \"U99\";\n");
        assert_eq!(untested(workspace.path()).unwrap(), ["U97"]);
    }
}
