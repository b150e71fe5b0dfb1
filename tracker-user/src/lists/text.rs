//! Edits of a list's text, line by line: comments, blank lines and what isn't understood stay.
//!
//! Used by [`Lists`](super::Lists) for both lists, whose lines differ in what `parse` takes. Tests are below.

use std::collections::HashSet;
use std::hash::Hash;

/// What a line of the file lists; nothing in blank lines, comments and lines that aren't understood.
fn entry_of<T>(line: &str, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
    parse(line.trim_start_matches('\u{feff}').split('#').next()?.trim())
}

/// The text without the lines of entries that are `gone`; everything else stays.
pub(super) fn without<T>(text: &str, parse: impl Fn(&str) -> Option<T>, gone: impl Fn(&T) -> bool) -> String {
    text.split_inclusive('\n')
        .filter(|line| !entry_of(line, &parse).is_some_and(|entry| gone(&entry)))
        .collect()
}

/// The text with lines for these entries at its end, where they are missing.
pub(super) fn with<T: Copy + Eq + Hash>(
    text: &str,
    parse: impl Fn(&str) -> Option<T>,
    entries: &[T],
    show: impl Fn(&T) -> String,
) -> String {
    let mut listed: HashSet<T> = text.lines().filter_map(|line| entry_of(line, &parse)).collect();
    let mut text = text.to_owned();
    for entry in entries {
        if !listed.insert(*entry) {
            continue;
        }
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        text.push_str(&show(entry));
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    use tracker_common::wire::InfoHash;
    use tracker_core::access_list::{format_info_hash, parse_info_hash};

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB";
    const C: &str = "cccccccccccccccccccccccccccccccccccccccc";

    fn hash(text: &str) -> InfoHash {
        parse_info_hash(text).expect("a hash")
    }

    fn parse(text: &str) -> Option<InfoHash> {
        parse_info_hash(text).ok()
    }

    #[test]
    fn lines_of_removed_entries_go_and_all_others_stay() {
        let text = format!("\u{feff}{A}\n# one\n\n{A} # first\n  {B}  \r\nnonsense\n#{B}\n{C}");
        let gone = [hash(A), hash(B)];
        assert_eq!(
            without(&text, parse, |hash| gone.contains(hash)),
            format!("# one\n\nnonsense\n#{B}\n{C}")
        );
    }

    #[test]
    fn added_entries_get_a_line_at_the_end_unless_they_have_one() {
        let with = |text: &str, hashes: &[InfoHash]| with(text, parse, hashes, format_info_hash);
        assert_eq!(with("", &[]), "");
        assert_eq!(with(&format!("# {A}\n{C}"), &[hash(A), hash(C), hash(A)]), format!("# {A}\n{C}\n{A}\n"));
        assert_eq!(with(&format!(" {B} # x\n"), &[hash(B)]), format!(" {B} # x\n"));
    }
}
