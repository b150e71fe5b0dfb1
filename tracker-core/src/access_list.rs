//! Which torrents may be tracked (PROTOCOL "Access list", U15, U19).
//!
//! A list is parsed as a whole or not at all: who loads it keeps the old one when a line is bad. It is asked for each announce by the
//! socket workers, and copied into a BPF map for the kernel.

use std::fmt::{self, Display, Formatter, Write};
use std::str::FromStr;

use hashbrown::HashSet;
use tracker_common::wire::InfoHash;

/// What being listed means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Nothing: every torrent is tracked.
    #[default]
    Off,
    /// Listed torrents are refused.
    Deny,
    /// Only listed torrents are tracked.
    Allow,
}

/// Not a mode.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("access list mode \"{0}\": expected off, deny (or black, blacklist) or allow (or white, whitelist)")]
pub struct UnknownMode(String);

impl FromStr for Mode {
    type Err = UnknownMode;

    fn from_str(name: &str) -> Result<Self, UnknownMode> {
        match name {
            "off" => Ok(Self::Off),
            "deny" | "black" | "blacklist" => Ok(Self::Deny),
            "allow" | "white" | "whitelist" => Ok(Self::Allow),
            _ => Err(UnknownMode(name.to_owned())),
        }
    }
}

impl Display for Mode {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Off => "off",
            Self::Deny => "deny",
            Self::Allow => "allow",
        })
    }
}

/// A line, or an argument, that isn't an info hash. Shows what was there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{}\" is not an info hash: expected 40 hexadecimal digits, or 64 of a v2 hash", .0.escape_debug())]
pub struct BadInfoHash(String);

/// A bad line of a list file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct BadLine<E: std::error::Error> {
    /// Its number, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub reason: E,
}

/// Reads an info hash: 40 hexadecimal digits in either case, or the 64 of a v2 hash, of which the first 20 bytes count (BEP 52).
///
/// # Errors
///
/// [`BadInfoHash`], which quotes the text.
pub fn parse_info_hash(text: &str) -> Result<InfoHash, BadInfoHash> {
    let digits = text.as_bytes();
    let bad = || BadInfoHash(text.to_owned());
    if !matches!(digits.len(), 40 | 64) || !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err(bad());
    }
    let mut hash = InfoHash::default();
    for (byte, pair) in hash.iter_mut().zip(text.as_bytes().as_chunks::<2>().0) {
        let [high, low] = pair.map(|digit| (digit as char).to_digit(16).unwrap_or_default() as u8);
        *byte = high << 4 | low;
    }
    Ok(hash)
}

/// An info hash as 40 lower-case digits.
pub fn format_info_hash(hash: &InfoHash) -> String {
    hash.iter().fold(String::with_capacity(40), |mut text, byte| {
        // Writing to a string can't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A set of info hashes, and what being in it means.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessList {
    mode: Mode,
    hashes: HashSet<InfoHash>,
}

impl AccessList {
    /// A list without entries.
    pub fn new(mode: Mode) -> Self {
        Self { mode, hashes: HashSet::new() }
    }

    /// Parses a list file: one info hash a line; blank lines are ignored, and what follows a `#`.
    ///
    /// # Errors
    ///
    /// The first bad line.
    pub fn parse(mode: Mode, text: &str) -> Result<Self, BadLine<BadInfoHash>> {
        let mut list = Self::new(mode);
        for (line, content) in entries(text) {
            let hash = parse_info_hash(content).map_err(|reason| BadLine { line, reason })?;
            list.insert(hash);
        }
        Ok(list)
    }

    /// True when the torrent may be tracked.
    #[inline]
    pub fn allows(&self, info_hash: &InfoHash) -> bool {
        match self.mode {
            Mode::Off => true,
            Mode::Deny => !self.hashes.contains(info_hash),
            Mode::Allow => self.hashes.contains(info_hash),
        }
    }

    /// What being listed means.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Changes what being listed means.
    pub fn set_mode(&mut self, mode: Mode) {
        self.mode = mode;
    }

    /// Lists a torrent; false when it was already.
    pub fn insert(&mut self, info_hash: InfoHash) -> bool {
        self.hashes.insert(info_hash)
    }

    /// Takes a torrent off the list; false when it wasn't on it.
    pub fn remove(&mut self, info_hash: &InfoHash) -> bool {
        self.hashes.remove(info_hash)
    }

    /// Takes all off the list.
    pub fn clear(&mut self) {
        self.hashes.clear();
    }

    /// True for a listed torrent, whatever that means.
    pub fn contains(&self, info_hash: &InfoHash) -> bool {
        self.hashes.contains(info_hash)
    }

    /// Listed torrents, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &InfoHash> {
        self.hashes.iter()
    }

    /// Listed torrents, sorted.
    pub fn sorted(&self) -> Vec<InfoHash> {
        let mut hashes: Vec<_> = self.hashes.iter().copied().collect();
        hashes.sort_unstable();
        hashes
    }

    /// How many torrents are listed.
    pub fn len(&self) -> usize {
        self.hashes.len()
    }

    /// True when none is listed.
    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// The list as a file that [`AccessList::parse`] reads: sorted, one lower-case hash a line.
    pub fn to_text(&self) -> String {
        let mut text = String::with_capacity(41 * self.len());
        for hash in self.sorted() {
            text.push_str(&format_info_hash(&hash));
            text.push('\n');
        }
        text
    }
}

/// The lines of a list file that say something, without comments and surrounding space, with their numbers.
pub fn entries(text: &str) -> impl Iterator<Item = (usize, &str)> {
    // A byte order mark is what some editors put in front of a text file; it is no part of the first line.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    text.lines().enumerate().filter_map(|(index, line)| {
        let content = line.split('#').next().unwrap_or_default().trim();
        (!content.is_empty()).then_some((index + 1, content))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HASH: &str = "0123456789abcdef0123456789ABCDEF01234567";

    fn parse(text: &str) -> Result<AccessList, String> {
        AccessList::parse(Mode::Deny, text).map_err(|error| error.to_string())
    }

    #[test]
    fn reads_either_case_comments_and_blank_lines() {
        let text = format!("# a comment\n\n  {HASH}  # why\r\n\t\n{}\n#{HASH}\n", "f".repeat(40));
        let list = parse(&text).unwrap();
        assert_eq!(list.len(), 2);
        assert!(list.contains(&parse_info_hash(&HASH.to_lowercase()).unwrap()));
        assert!(list.contains(&[0xff; 20]));
    }

    #[test]
    fn a_file_may_begin_with_a_byte_order_mark_and_end_without_a_newline() {
        assert_eq!(parse(&format!("\u{feff}{HASH}")).unwrap().len(), 1);
    }

    #[test]
    fn v2_hashes_are_truncated_to_20_bytes() {
        let list = parse(&format!("{HASH}{}\n", "e".repeat(24))).unwrap();
        assert_eq!(list.sorted(), [parse_info_hash(HASH).unwrap()]);
    }

    #[test]
    fn a_bad_line_is_named_and_quoted() {
        for bad in [
            "xyz",
            &HASH[1..],
            &format!("{HASH}0"),
            &"g".repeat(40),
            "01 23",
            &"é".repeat(20),
            &format!("{HASH} {HASH}"),
        ] {
            let error = parse(&format!("# first\n{HASH}\n {bad} # comment\n{HASH}\n")).unwrap_err();
            assert!(error.starts_with("line 3: "), "{error}");
            assert!(error.contains(&format!("\"{bad}\"")), "{error}");
        }
    }

    #[test]
    fn a_quoted_line_cannot_forge_a_log_line() {
        assert!(!parse_info_hash("a\nb\u{1b}[31m").unwrap_err().to_string().contains(['\n', '\u{1b}']));
    }

    #[test]
    fn modes_have_their_other_names() {
        for (mode, names) in [
            (Mode::Off, &["off"][..]),
            (Mode::Deny, &["deny", "black", "blacklist"]),
            (Mode::Allow, &["allow", "white", "whitelist"]),
        ] {
            for name in names {
                assert_eq!(name.parse(), Ok(mode), "{name}");
            }
            assert_eq!(mode.to_string().parse(), Ok(mode));
        }
        assert!("grey".parse::<Mode>().unwrap_err().to_string().contains("\"grey\""));
    }

    #[test]
    fn deny_refuses_the_listed_and_allow_all_others() {
        let (listed, other) = ([1; 20], [2; 20]);
        for (mode, allows_listed, allows_other) in
            [(Mode::Off, true, true), (Mode::Deny, false, true), (Mode::Allow, true, false)]
        {
            let mut list = AccessList::new(mode);
            list.insert(listed);
            assert_eq!(list.allows(&listed), allows_listed, "{mode}, listed");
            assert_eq!(list.allows(&other), allows_other, "{mode}, not listed");
        }
    }

    proptest! {
        #[test]
        fn nothing_is_lost_between_text_and_list(hashes in proptest::collection::hash_set(any::<[u8; 20]>(), 0..50)) {
            let mut list = AccessList::new(Mode::Allow);
            for hash in &hashes {
                prop_assert!(list.insert(*hash));
                prop_assert!(!list.insert(*hash));
            }
            let text = list.to_text();
            prop_assert!(text.lines().is_sorted());
            prop_assert_eq!(AccessList::parse(Mode::Allow, &text).unwrap(), list.clone());
            prop_assert_eq!(AccessList::parse(Mode::Allow, &text.to_uppercase()).unwrap(), list.clone());
            for hash in &hashes {
                prop_assert!(list.remove(hash));
            }
            prop_assert!(list.is_empty());
        }

        #[test]
        fn any_text_gives_a_list_or_a_line(text in "[ -~\n#\\PC]{0,200}") {
            if let Err(BadLine { line, reason: BadInfoHash(quoted) }) = AccessList::parse(Mode::Deny, &text) {
                let named = text.lines().nth(line - 1).unwrap();
                prop_assert!(named.contains(&quoted));
            }
        }
    }
}
