//! Why a configuration is refused: file, line, and what is allowed there.
//!
//! Used by [`Config::parse`](super::Config::parse), whose tests test it. What is allowed is said by the comment of the key.

use std::ops::Range;

use super::{Config, Key};

/// Why a configuration is refused, with everything an operator needs to mend it.
#[derive(Debug, thiserror::Error)]
#[error("{file}:{line}: {reason}{help}")]
pub struct ConfigError {
    file: String,
    line: usize,
    reason: String,
    help: String,
    /// What is wrong, in bytes of the text.
    pub(super) span: Range<usize>,
}

impl ConfigError {
    /// For what stands at a place of the text.
    pub(super) fn at(file: &str, text: &str, span: Range<usize>, reason: String) -> Self {
        let offset = span.start;
        Self { file: file.to_owned(), line: line_at(text, offset), help: help_at(text, offset), reason, span }
    }
}

impl Config {
    /// Everything that is wrong with the text of a file, in the order of its lines; `file` is what errors call it.
    ///
    /// One error hides others: a value of a wrong type those of the whole file. So each is noted, its lines are taken out, and the rest is read
    /// again.
    pub fn errors(file: &str, text: &str) -> Vec<ConfigError> {
        const ENOUGH: usize = 50;
        let mut rest = text.to_owned();
        let mut errors: Vec<(usize, ConfigError)> = Vec::new();
        while errors.len() < ENOUGH {
            let Err(error) = Self::parse(file, &rest) else { break };
            let span = error.span.clone();
            errors.push((span.start, error));
            if !take_out(&mut rest, &span) {
                // What is wrong isn't on a line of its own.
                break;
            }
        }
        errors.sort_by_key(|(at, _)| *at);
        errors.into_iter().map(|(_, error)| error).collect()
    }
}

/// Replaces the lines of a span by blanks; false when they are blank already.
fn take_out(text: &mut String, span: &Range<usize>) -> bool {
    // Bytes, not characters: a span may end inside of one, lines don't.
    let bytes = text.as_bytes();
    let at_end = |from: usize| {
        bytes[from..].iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| from + at)
    };
    let start = span.start.min(bytes.len());
    let begin = bytes[..start].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let end = at_end(span.end.max(start + 1).min(bytes.len()));
    if bytes[begin..end].is_empty() || bytes[begin..end].iter().all(u8::is_ascii_whitespace) {
        return false;
    }
    let blank: String =
        bytes[begin..end].iter().map(|byte| if *byte == b'\n' { '\n' } else { ' ' }).collect();
    text.replace_range(begin..end, &blank);
    true
}

fn line_at(text: &str, offset: usize) -> usize {
    1 + text.as_bytes()[..offset.min(text.len())].iter().filter(|&&byte| byte == b'\n').count()
}

/// Where the value of `section.key` (or of a key without section) stands.
pub(super) fn span_of(text: &str, key: &str) -> Option<Range<usize>> {
    let document = toml::de::DeTable::parse(text).ok()?;
    let mut table = document.get_ref();
    let mut parts = key.split('.').peekable();
    while let Some(part) = parts.next() {
        let value = table.get(part)?;
        if parts.peek().is_none() {
            return Some(value.span());
        }
        table = value.get_ref().as_table()?;
    }
    None
}

/// The comment of the key whose line holds `offset`: it says what is allowed.
fn help_at(text: &str, offset: usize) -> String {
    let Ok(document) = toml::de::DeTable::parse(text) else { return String::new() };
    let defaults = Config::default();
    let tables = defaults.tables();
    for (key, value) in document.get_ref() {
        if let Some(table) = value.get_ref().as_table() {
            let Some((name, _, list)) = tables.iter().find(|(name, ..)| *name == key.get_ref()) else {
                continue;
            };
            for (key, value) in table {
                if (key.span().start..value.span().end).contains(&offset) {
                    return help(&format!("{name}."), list, key.get_ref());
                }
            }
        } else if (key.span().start..value.span().end).contains(&offset) {
            return help("", &defaults.keys(), key.get_ref());
        }
    }
    String::new()
}

fn help(prefix: &str, list: &[Key], name: &str) -> String {
    let Some(key) = list.iter().find(|key| key.name == name) else { return String::new() };
    let comment: String = key.comment.concat();
    format!("\n  {prefix}{name}:{comment} Default: {}", key.value)
}

/// The same for a key by its name.
pub(super) fn help_for(name: &str) -> String {
    let defaults = Config::default();
    match name.split_once('.') {
        None => help("", &defaults.keys(), name),
        Some((table, key)) => {
            let tables = defaults.tables();
            let found = tables.iter().find(|(name, ..)| *name == table);
            found.map_or_else(String::new, |(name, _, list)| help(&format!("{name}."), list, key))
        }
    }
}

/// The known field that was meant by an unknown one, from serde's message, which lists them.
pub(super) fn nearest_field(message: &str) -> Option<String> {
    let rest = message.strip_prefix("unknown field `")?;
    let mut names = rest.split('`').step_by(2);
    let unknown = names.next()?;
    nearest(unknown, names).map(str::to_owned)
}

/// What was meant by an unknown name: the known one with the fewest edits, where they are few enough to be a slip.
pub(super) fn nearest<'a>(unknown: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let (edits, name) =
        known.map(|name| (strsim::levenshtein(unknown, name), name)).min_by_key(|(edits, _)| *edits)?;
    (edits <= 1 + unknown.len() / 4).then_some(name)
}
