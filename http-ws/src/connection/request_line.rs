//! Raw bytes in a request's target (H01: "unescaped bytes ≥ 0x80").
//!
//! Some clients put the bytes of an info hash into the request line as they are. The HTTP parser wants a target to be text, so such bytes are
//! percent-encoded on their way to it. [`Escape`] follows the lines of a connection to know which belong to request lines; it
//! knows nothing of bodies, and needn't: a request that has one is the last of its connection (see `service`). Called by `wire`; tests
//! are below.

use memchr::memchr;

/// Where in a connection the next byte is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// At the beginning of a request line, or among the empty lines before it.
    #[default]
    Before,
    /// In a request line.
    RequestLine,
    /// At the beginning of a header line; the carriage return of an empty one may have passed.
    HeaderLineStart,
    /// In a header line.
    HeaderLine,
}

/// Percent-encodes what can't stand in a target.
#[derive(Debug, Default)]
pub(crate) struct Escape {
    place: Place,
}

impl Escape {
    /// Follows the next bytes of a connection; when something has to be escaped among them, the bytes to take instead.
    pub(crate) fn follow(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        // Almost always it is one request, or some, and nothing is to be escaped anywhere: then it doesn't matter where lines end.
        if self.place == Place::Before && bytes.ends_with(b"\r\n\r\n") && all_may_stand_in_target(bytes) {
            return None;
        }
        let mut escaped: Option<Vec<u8>> = None;
        let mut rest = bytes;
        while let Some(first) = rest.first() {
            let end = memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
            let (line, after) = rest.split_at(end);
            let ends = line.last() == Some(&b'\n');
            let empty = line.iter().all(|byte| matches!(byte, b'\r' | b'\n'));
            self.place = match self.place {
                Place::Before if empty => Place::Before,
                Place::Before => Place::RequestLine,
                Place::HeaderLineStart if !empty => Place::HeaderLine,
                place => place,
            };
            let in_request_line = self.place == Place::RequestLine;
            if in_request_line && !all_may_stand_in_target(line) {
                let done = bytes.len() - rest.len();
                escape(line, escaped.get_or_insert_with(|| bytes.get(..done).unwrap_or_default().to_vec()));
            } else if let Some(escaped) = &mut escaped {
                escaped.extend_from_slice(line);
            }
            if ends {
                self.place = match self.place {
                    Place::Before => Place::Before,
                    // Its carriage return may have come with the bytes before.
                    Place::HeaderLineStart if matches!(first, b'\r' | b'\n') => Place::Before,
                    _ => Place::HeaderLineStart,
                };
            }
            rest = after;
        }
        escaped
    }
}

/// `"`, `<` and `>` are refused by the parser as well.
const fn may_stand_in_target(byte: u8) -> bool {
    !matches!(byte, 0x7f..|b'"'| b'<' | b'>')
}

/// Without an early end, so that the compiler makes vectors of it.
fn all_may_stand_in_target(line: &[u8]) -> bool {
    line.iter().fold(true, |all, byte| all & may_stand_in_target(*byte))
}

fn escape(line: &[u8], out: &mut Vec<u8>) {
    const DIGITS: [u8; 16] = *b"0123456789ABCDEF";
    for byte in line {
        if may_stand_in_target(*byte) {
            out.push(*byte);
        } else {
            out.extend([b'%', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the parser is given when the bytes come in pieces of this many.
    fn passed_on(bytes: &[u8], piece: usize) -> Vec<u8> {
        let mut escape = Escape::default();
        bytes.chunks(piece).flat_map(|piece| escape.follow(piece).unwrap_or_else(|| piece.to_vec())).collect()
    }

    #[test]
    fn raw_bytes_are_escaped_in_request_lines_only() {
        let sent = b"\r\nGET /a?\xff\x80b\"<> HTTP/1.1\r\nUser-Agent: \xe4\"x\"\r\n\r\nGET /\x7f HTTP/1.1\nA: \xff\n\nGET /\xc3\xa4 ";
        let expected =
            b"\r\nGET /a?%FF%80b%22%3C%3E HTTP/1.1\r\nUser-Agent: \xe4\"x\"\r\n\r\nGET /%7F HTTP/1.1\nA: \xff\n\nGET /%C3%A4 ";
        for piece in 1..=sent.len() {
            assert_eq!(
                passed_on(sent, piece).escape_ascii().to_string(),
                expected.escape_ascii().to_string(),
                "in pieces of {piece}"
            );
        }
    }

    #[test]
    fn ordinary_requests_pass_as_they_are() {
        let sent = b"GET /announce?info_hash=%FF HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\n\r\n";
        assert_eq!(Escape::default().follow(sent), None);
    }
}
