//! A query as keys and values, in their order, as they are on the wire (H04).
//!
//! Called by the parsers beside it; every byte of a query is in exactly one key or value, or is a separator. Tests: below, and in `tests`.

use memchr::{Memchr3, memchr3_iter};

/// The keys that mean something to this tracker, each with the `=` behind it.
const KEYS: [&[u8]; 10] = [
    b"info_hash=",
    b"peer_id=",
    b"port=",
    b"left=",
    b"event=",
    b"numwant=",
    b"compact=",
    b"ip=",
    b"ipv4=",
    b"ipv6=",
];

/// Keys and values. A key without a value has an empty one; neither is decoded.
#[derive(Clone, Debug)]
pub(super) struct Parameters<'a> {
    query: &'a [u8],
    /// Where what isn't taken yet begins.
    begin: usize,
    /// All bytes that may separate, in one search over the whole query.
    marks: Memchr3<'a>,
}

impl<'a> Parameters<'a> {
    pub(super) fn of(query: &'a [u8]) -> Self {
        Self { query, begin: 0, marks: memchr3_iter(b'&', b'=', b'?', query) }
    }
}

impl<'a> Iterator for Parameters<'a> {
    type Item = (&'a [u8], &'a [u8]);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        // Further equals signs belong to the value.
        let mut equals = None;
        while self.begin < self.query.len() {
            let mark = self.marks.next();
            let end = match mark.and_then(|at| self.query.get(at)) {
                Some(b'=') => {
                    equals = equals.or(mark);
                    continue;
                }
                Some(b'?')
                    if !mark.is_some_and(|at| is_appended(self.query.get(at + 1..).unwrap_or_default())) =>
                {
                    continue;
                }
                Some(_) => mark.unwrap_or(self.query.len()),
                None => self.query.len(),
            };
            let parameter = self.query.get(self.begin..end).unwrap_or_default();
            let equals = equals.take().map(|at| at - self.begin);
            self.begin = end + 1;
            // "&&", and "?" at the very beginning.
            if !parameter.is_empty() {
                return Some(around(parameter, equals).unwrap_or((parameter, &[])));
            }
        }
        None
    }
}

/// What is before a byte, and what is behind it.
#[inline]
fn around(text: &[u8], at: Option<usize>) -> Option<(&[u8], &[u8])> {
    let (before, rest) = text.split_at_checked(at?)?;
    Some((before, rest.get(1..)?))
}

/// Whether the `?` before this separates parameters. It is an ordinary byte of a value (RFC 3986, section 3.4), an info hash's too, unless a
/// parameter that counts begins behind it: some clients append "?info_hash=…" to whatever announce URL they are given, also to one that has
/// a query of its own ("/announce?passkey=x").
#[cold]
fn is_appended(rest: &[u8]) -> bool {
    KEYS.iter().any(|key| rest.starts_with(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(query: &str) -> Vec<(&str, &str)> {
        let text = |bytes| str::from_utf8(bytes).unwrap();
        Parameters::of(query.as_bytes()).map(|(key, value)| (text(key), text(value))).collect()
    }

    #[test]
    fn keys_and_values_come_in_their_order() {
        assert_eq!(all("b=1&a=2&b=3"), [("b", "1"), ("a", "2"), ("b", "3")]);
    }

    #[test]
    fn a_key_may_have_no_value_and_a_value_no_key() {
        assert_eq!(all("a&b=&=c&="), [("a", ""), ("b", ""), ("", "c"), ("", "")]);
    }

    #[test]
    fn a_value_keeps_its_equals_signs() {
        assert_eq!(all("trackerid=a=b==&c=d"), [("trackerid", "a=b=="), ("c", "d")]);
    }

    #[test]
    fn separators_without_anything_between_them_are_nothing() {
        assert_eq!(all(""), []);
        assert_eq!(all("&&&"), []);
        assert_eq!(all("&a=1&&b=2&"), [("a", "1"), ("b", "2")]);
    }

    #[test]
    fn a_question_mark_before_a_parameter_that_counts_separates() {
        assert_eq!(all("?info_hash=a"), [("info_hash", "a")]);
        assert_eq!(all("x?info_hash=a"), [("x", ""), ("info_hash", "a")]);
        assert_eq!(
            all("passkey=x?info_hash=a&left=1"),
            [("passkey", "x"), ("info_hash", "a"), ("left", "1")]
        );
        for key in KEYS {
            let key = str::from_utf8(key).unwrap();
            assert_eq!(all(&format!("x=y?{key}z")), [("x", "y"), (key.trim_end_matches('='), "z")]);
        }
    }

    #[test]
    fn another_question_mark_belongs_to_its_key_or_value() {
        assert_eq!(all("info_hash=?a??&b?c=d?"), [("info_hash", "?a??"), ("b?c", "d?")]);
        assert_eq!(all("a=?portal=1?port?&port=1"), [("a", "?portal=1?port?"), ("port", "1")]);
        assert_eq!(all("??"), [("??", "")]);
    }
}
