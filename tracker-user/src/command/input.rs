//! What `map` verbs read: arguments, standard input, files.
//!
//! Called by `map`. Tests are below.

use std::io::{self, Read as _};
use std::path::Path;

use anyhow::{Context as _, bail};
use tracker_core::access_list::entries;

/// Stands for standard input.
const STDIN: &str = "-";

/// What errors call it.
const STDIN_NAME: &str = "standard input";

/// The arguments as they are, or the lines of standard input in place of a `-`.
///
/// `check` says what is wrong with an entry, so that a bad line is named with its number.
pub(super) fn arguments(
    arguments: &[String],
    check: impl Fn(&str) -> Result<(), String>,
) -> anyhow::Result<Vec<String>> {
    let mut all = Vec::new();
    for argument in arguments {
        if argument == STDIN {
            all.extend(lines(&stdin()?, &check)?);
        } else {
            all.push(argument.clone());
        }
    }
    Ok(all)
}

/// Name and text of a list's file, or of standard input in place of a `-`.
pub(super) fn file(what: &str, path: &Path) -> anyhow::Result<(String, String)> {
    if path == Path::new(STDIN) {
        return Ok((STDIN_NAME.to_owned(), stdin()?));
    }
    let text = std::fs::read_to_string(path).with_context(|| format!("{what} {}", path.display()))?;
    Ok((path.display().to_string(), text))
}

fn stdin() -> anyhow::Result<String> {
    let mut text = String::new();
    io::stdin().lock().read_to_string(&mut text).context(STDIN_NAME)?;
    Ok(text)
}

fn lines(text: &str, check: impl Fn(&str) -> Result<(), String>) -> anyhow::Result<Vec<String>> {
    let mut all = Vec::new();
    for (line, entry) in entries(text) {
        if let Err(reason) = check(entry) {
            bail!("{STDIN_NAME}:{line}: {reason}");
        }
        all.push(entry.to_owned());
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_taken_without_comments_and_a_bad_one_is_numbered() {
        let check = |entry: &str| if entry == "bad" { Err("it is bad".to_owned()) } else { Ok(()) };
        assert_eq!(lines("# x\na # b\n\n c\r\n", check).expect("all are good"), ["a", "c"]);
        let error = lines("a\n\n bad\n", check).expect_err("one is bad").to_string();
        assert_eq!(error, "standard input:3: it is bad");
    }
}
