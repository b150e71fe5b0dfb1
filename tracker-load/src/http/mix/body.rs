//! Bencoded answers taken apart (BEP 3, 7, 23, 48).

/// What a body says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer<'a> {
    /// To an announce: peers in compact form.
    Announced { complete: u32, incomplete: u32, peers4: &'a [u8], peers6: &'a [u8] },
    /// To a scrape of one torrent, or of none that is known.
    Scraped { info_hash: &'a [u8], complete: u32, incomplete: u32 },
    /// A failure reason.
    Failure(&'a [u8]),
}

/// Nested lists and dictionaries deeper than that aren't read.
const DEPTH: u32 = 16;

/// Reads a body; `None` when it is no answer of a tracker. A line end behind it is let pass: aquatic_http sends one.
pub(crate) fn read(body: &[u8]) -> Option<Answer<'_>> {
    let mut rest = body.strip_suffix(b"\r\n").unwrap_or(body);
    let mut counts = Counts::default();
    let (mut interval, mut peers4, mut peers6, mut files, mut failure) = (None, None, None, None, None);
    each(&mut rest, |key, rest| {
        match key {
            b"interval" => interval = Some(number(rest)?),
            b"peers" => peers4 = Some(string(rest)?),
            b"peers6" => peers6 = Some(string(rest)?),
            b"files" => files = Some(file(rest)?),
            b"failure reason" => failure = Some(string(rest)?),
            _ => counts.take(key, rest)?,
        }
        Some(())
    })?;
    if !rest.is_empty() {
        return None;
    }
    if let Some(reason) = failure {
        return Some(Answer::Failure(reason));
    }
    if let Some((info_hash, Counts { complete, incomplete })) = files {
        let (complete, incomplete) = (complete.unwrap_or(0), incomplete.unwrap_or(0));
        return Some(Answer::Scraped { info_hash, complete, incomplete });
    }
    // Without peers of a family there may be no key.
    (interval.is_some() && (peers4.is_some() || peers6.is_some())).then_some(())?;
    let (complete, incomplete) = (counts.complete?, counts.incomplete?);
    let (peers4, peers6) = (peers4.unwrap_or_default(), peers6.unwrap_or_default());
    Some(Answer::Announced { complete, incomplete, peers4, peers6 })
}

#[derive(Clone, Copy, Default)]
struct Counts {
    complete: Option<u32>,
    incomplete: Option<u32>,
}

impl Counts {
    /// The value of a key, which may be one of these.
    fn take(&mut self, key: &[u8], rest: &mut &[u8]) -> Option<()> {
        match key {
            b"complete" => self.complete = Some(number(rest)?),
            b"incomplete" => self.incomplete = Some(number(rest)?),
            _ => skip(rest, DEPTH)?,
        }
        Some(())
    }
}

/// A dictionary with one torrent at most; nothing of an unknown one.
fn file<'a>(rest: &mut &'a [u8]) -> Option<(&'a [u8], Counts)> {
    let mut found: (&[u8], Counts) = (&[], Counts { complete: Some(0), incomplete: Some(0) });
    let mut torrents = 0;
    each(rest, |key, rest| {
        torrents += 1;
        let mut counts = Counts::default();
        each(rest, |key, rest| counts.take(key, rest))?;
        (counts.complete.is_some() && counts.incomplete.is_some()).then_some(())?;
        found = (key, counts);
        Some(())
    })?;
    (torrents <= 1).then_some(found)
}

/// Calls `entry` for each key of a dictionary, to take its value.
fn each<'a>(rest: &mut &'a [u8], mut entry: impl FnMut(&'a [u8], &mut &'a [u8]) -> Option<()>) -> Option<()> {
    *rest = rest.strip_prefix(b"d")?;
    loop {
        if let Some(behind) = rest.strip_prefix(b"e") {
            *rest = behind;
            return Some(());
        }
        let key = string(rest)?;
        entry(key, rest)?;
    }
}

fn skip(rest: &mut &[u8], depth: u32) -> Option<()> {
    match rest.first()? {
        b'd' if depth > 0 => each(rest, |_, rest| skip(rest, depth - 1)),
        b'l' if depth > 0 => {
            *rest = &rest[1..];
            while !rest.starts_with(b"e") {
                skip(rest, depth - 1)?;
            }
            *rest = &rest[1..];
            Some(())
        }
        b'i' => {
            let end = memchr::memchr(b'e', rest)?;
            let digits = &rest[1..end];
            let digits = digits.strip_prefix(b"-").unwrap_or(digits);
            *rest = &rest[end + 1..];
            (!digits.is_empty() && digits.iter().all(u8::is_ascii_digit)).then_some(())
        }
        b'0'..=b'9' => string(rest).map(drop),
        _ => None,
    }
}

fn string<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let colon = memchr::memchr(b':', rest.get(..8.min(rest.len()))?)?;
    let len = decimal(&rest[..colon])? as usize;
    let (string, behind) = rest[colon + 1..].split_at_checked(len)?;
    *rest = behind;
    Some(string)
}

/// An integer that counts something.
fn number(rest: &mut &[u8]) -> Option<u32> {
    let end = memchr::memchr(b'e', rest)?;
    let number = decimal(rest.get(..end)?.strip_prefix(b"i")?)?;
    *rest = &rest[end + 1..];
    Some(number)
}

fn decimal(digits: &[u8]) -> Option<u32> {
    let digit = |byte: &u8| byte.is_ascii_digit().then(|| u32::from(byte - b'0'));
    let add = |sum: u32, byte: &u8| sum.checked_mul(10)?.checked_add(digit(byte)?);
    (!digits.is_empty()).then(|| digits.iter().try_fold(0, add))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn announces_scrapes_and_failures_are_read() {
        let body = b"d8:completei1e11:external ip4:abcd10:incompletei49e8:intervali1800e12:min intervali900e5:peers6:abcdefe";
        let announced = Answer::Announced { complete: 1, incomplete: 49, peers4: b"abcdef", peers6: b"" };
        assert_eq!(read(body), Some(announced));
        let body = b"d8:completei1e10:incompletei0e8:intervali9e6:peers618:abcdefghijklmnopqre\r\n";
        let announced =
            Answer::Announced { complete: 1, incomplete: 0, peers4: b"", peers6: b"abcdefghijklmnopqr" };
        assert_eq!(read(body), Some(announced));
        let body = b"d5:filesd20:aaaaaaaaaaaaaaaaaaaad8:completei5e10:downloadedi2e10:incompletei7eee5:flagsd20:min_request_intervali60eee";
        let scraped = Answer::Scraped { info_hash: &[b'a'; 20], complete: 5, incomplete: 7 };
        assert_eq!(read(body), Some(scraped));
        let none = Answer::Scraped { info_hash: b"", complete: 0, incomplete: 0 };
        assert_eq!(read(b"d5:filesdee"), Some(none));
        assert_eq!(read(b"d14:failure reason2:noe"), Some(Answer::Failure(b"no")));
    }

    #[test]
    fn what_is_no_answer_is_not_read() {
        for body in [
            &b""[..],
            b"d",
            b"de",
            b"i5e",
            b"d8:completei1e10:incompletei0e8:intervali9e5:peers0:ee",
            b"d8:completei1e10:incompletei-1e8:intervali9e5:peers0:e",
            b"d8:completei1e10:incompletei0e5:peers0:e",
            b"d10:incompletei0e8:intervali9e5:peers0:e",
            b"d8:completei1e10:incompletei0e8:intervali9e5:peersld2:ip1:aeee",
            b"d8:completei1e10:incompletei0e8:intervali9e5:peers9999:e",
            b"d8:completei99999999999e10:incompletei0e8:intervali9e5:peers0:e",
            b"d5:filesd20:aaaaaaaaaaaaaaaaaaaadeee",
            b"d1:alllllllllllllllllllllllllllllleeeeeeeeeeeeeeeeeeeeeeeeeeeeee",
        ] {
            assert_eq!(read(body), None, "{:?}", String::from_utf8_lossy(body));
        }
    }
}
