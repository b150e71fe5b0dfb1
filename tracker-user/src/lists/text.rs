//! Edits of the access list's text, line by line: comments, blank lines and what isn't understood stay.
//!
//! Used by [`Lists`](super::Lists). Tests are below.

use std::collections::HashSet;

use tracker_common::wire::InfoHash;
use tracker_core::access_list::{format_info_hash, parse_info_hash};

/// The info hash of a line of the list's file; none in blank lines, comments and lines that aren't understood.
fn hash_of(line: &str) -> Option<InfoHash> {
    parse_info_hash(line.trim_start_matches('\u{feff}').split('#').next()?.trim()).ok()
}

/// The text without the lines of these torrents; everything else stays.
pub(super) fn without(text: &str, gone: impl Fn(&InfoHash) -> bool) -> String {
    text.split_inclusive('\n').filter(|line| !hash_of(line).is_some_and(|hash| gone(&hash))).collect()
}

/// The text with lines for these torrents at its end, where they are missing.
pub(super) fn with_hashes(text: &str, hashes: &[InfoHash]) -> String {
    let mut listed: HashSet<InfoHash> = text.lines().filter_map(hash_of).collect();
    let mut text = text.to_owned();
    for hash in hashes {
        if !listed.insert(*hash) {
            continue;
        }
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        text.push_str(&format_info_hash(hash));
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB";
    const C: &str = "cccccccccccccccccccccccccccccccccccccccc";

    fn hash(text: &str) -> InfoHash {
        parse_info_hash(text).expect("a hash")
    }

    #[test]
    fn lines_of_removed_torrents_go_and_all_others_stay() {
        let text = format!("\u{feff}{A}\n# one\n\n{A} # first\n  {B}  \r\nnonsense\n#{B}\n{C}");
        let gone = [hash(A), hash(B)];
        assert_eq!(without(&text, |hash| gone.contains(hash)), format!("# one\n\nnonsense\n#{B}\n{C}"));
    }

    #[test]
    fn added_torrents_get_a_line_at_the_end_unless_they_have_one() {
        assert_eq!(with_hashes("", &[]), "");
        assert_eq!(
            with_hashes(&format!("# {A}\n{C}"), &[hash(A), hash(C), hash(A)]),
            format!("# {A}\n{C}\n{A}\n")
        );
        assert_eq!(with_hashes(&format!(" {B} # x\n"), &[hash(B)]), format!(" {B} # x\n"));
    }
}
