//! An answer as it arrives: how long it is, and whether it is what a tracker answers to an announce.

/// Bytes that were received, looked at as an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It isn't all there yet.
    Incomplete,
    /// Its end isn't known before the connection's: no length was given.
    UntilEnd,
    /// All there.
    Complete(Complete),
    /// Nothing that HTTP allows, or a status other than 200.
    Wrong,
}

/// An answer that is all there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Complete {
    pub(crate) body: Body,
    /// Where the body begins.
    pub(crate) body_at: usize,
    /// Bytes of header and body.
    pub(crate) len: usize,
    /// The server is going to close the connection.
    pub(crate) closes: bool,
}

/// What a body says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// `complete`, `incomplete`, `interval`, and so many IPv4 peers in compact form.
    Announced {
        /// Peers.
        peers: usize,
    },
    /// A failure reason.
    Failure,
    /// No dictionary of an announce.
    Wrong,
}

/// Looks at what has been received so far; `ended` when the server has closed the connection.
pub(crate) fn judge(received: &[u8], ended: bool) -> Answer {
    let Some(end) = memchr::memmem::find(received, b"\r\n\r\n") else {
        return if ended { Answer::Wrong } else { Answer::Incomplete };
    };
    let (header, body) = (&received[..end], &received[end + 4..]);
    let mut lines = header.split(|byte| *byte == b'\n').map(|line| line.trim_ascii());
    let status = lines.next().unwrap_or_default();
    let keeps = status.starts_with(b"HTTP/1.1 200");
    if !keeps && !status.starts_with(b"HTTP/1.0 200") {
        return Answer::Wrong;
    }
    let (mut len, mut closes) = (None, !keeps);
    for line in lines {
        let Some(colon) = memchr::memchr(b':', line) else { return Answer::Wrong };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"content-length") {
            let Some(value) = decimal(value) else { return Answer::Wrong };
            len = Some(value);
        } else if name.eq_ignore_ascii_case(b"connection") {
            closes = !value.eq_ignore_ascii_case(b"keep-alive")
                && (closes || value.eq_ignore_ascii_case(b"close"));
        }
    }
    let len = match len {
        Some(len) => len,
        None if ended => body.len(),
        None => return Answer::UntilEnd,
    };
    match body.get(..len) {
        Some(body) => {
            Answer::Complete(Complete { body: read(body), body_at: end + 4, len: end + 4 + len, closes })
        }
        None if ended => Answer::Wrong,
        None => Answer::Incomplete,
    }
}

/// Reads a bencoded dictionary. A line end behind it is let pass: aquatic_http sends one.
fn read(body: &[u8]) -> Body {
    dictionary(body.strip_suffix(b"\r\n").unwrap_or(body)).unwrap_or(Body::Wrong)
}

fn dictionary(body: &[u8]) -> Option<Body> {
    let mut rest = body.strip_prefix(b"d")?.strip_suffix(b"e")?;
    let (mut seen, mut peers) = (0, None);
    while !rest.is_empty() {
        let key = string(&mut rest)?;
        match key {
            b"complete" | b"incomplete" | b"interval" => seen += usize::from(integer(&mut rest)?.is_some()),
            b"peers" => peers = Some(string(&mut rest)?.len()),
            b"failure reason" => return Some(Body::Failure),
            _ if rest.first() == Some(&b'i') => _ = integer(&mut rest)?,
            _ => _ = string(&mut rest)?,
        }
    }
    // BEP 23: six bytes a peer.
    let peers = peers.filter(|peers| peers.is_multiple_of(6))? / 6;
    (seen == 3).then_some(Body::Announced { peers })
}

fn string<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let colon = memchr::memchr(b':', rest.get(..8.min(rest.len()))?)?;
    let len = decimal(&rest[..colon])?;
    let string = rest.get(colon + 1..)?.get(..len)?;
    *rest = &rest[colon + 1 + len..];
    Some(string)
}

/// An integer, and whether it is one that counts may be: not negative.
fn integer(rest: &mut &[u8]) -> Option<Option<usize>> {
    let end = memchr::memchr(b'e', rest)?;
    let digits = rest[..end].strip_prefix(b"i")?;
    *rest = &rest[end + 1..];
    Some(decimal(digits))
}

fn decimal(digits: &[u8]) -> Option<usize> {
    let digit = |byte: &u8| byte.is_ascii_digit().then(|| usize::from(byte - b'0'));
    let add = |sum: usize, byte: &u8| sum.checked_mul(10)?.checked_add(digit(byte)?);
    (!digits.is_empty()).then(|| digits.iter().try_fold(0, add))?
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] =
        b"d8:completei1e11:external ip4:\x7f\0\0\x0110:incompletei49e8:intervali1800e5:peers12:abcdefghijkle";

    fn answer(head: &str, body: &[u8]) -> Vec<u8> {
        [head.as_bytes(), b"\r\n\r\n", body].concat()
    }

    fn complete(received: &[u8], ended: bool) -> Complete {
        match judge(received, ended) {
            Answer::Complete(complete) => complete,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn answer_is_complete_at_its_last_byte_and_not_before() {
        let whole = answer("HTTP/1.1 200 OK\r\ncontent-length: 90", BODY);
        for len in 0..whole.len() {
            assert_eq!(judge(&whole[..len], false), Answer::Incomplete, "{len} bytes");
            assert_eq!(judge(&whole[..len], true), Answer::Wrong, "{len} bytes and the end");
        }
        let expected = Complete {
            body: Body::Announced { peers: 2 },
            body_at: whole.len() - BODY.len(),
            len: whole.len(),
            closes: false,
        };
        assert_eq!(complete(&whole, false), expected);
        assert_eq!(complete(&[&whole, &b"HTTP"[..]].concat(), false), expected);
    }

    #[test]
    fn connection_closes_as_version_and_header_say() {
        for (head, closes) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 90", false),
            ("HTTP/1.1 200 OK\r\nContent-Length: 90  \r\nConnection: close", true),
            ("HTTP/1.0 200 OK\r\nContent-Length: 90", true),
            ("HTTP/1.0 200 OK\r\nContent-Length: 90\r\nconnection: keep-alive", false),
        ] {
            assert_eq!(complete(&answer(head, BODY), false).closes, closes, "{head}");
        }
    }

    #[test]
    fn answer_without_a_length_ends_with_the_connection() {
        let whole = answer("HTTP/1.0 200 OK", BODY);
        assert_eq!(judge(&whole, false), Answer::UntilEnd);
        assert_eq!(complete(&whole, true).body, Body::Announced { peers: 2 });
    }

    #[test]
    fn what_is_no_announce_answer_is_told() {
        for (body, expected) in [
            (&b"d14:failure reason2:noe"[..], Body::Failure),
            (b"d8:completei1e10:incompletei0e8:intervali9e5:peers0:e\r\n", Body::Announced { peers: 0 }),
            (b"d8:completei1e10:incompletei0e8:intervali9e5:peers0:ee", Body::Wrong),
            (b"d8:completei1e10:incompletei0e8:intervali9e5:peers5:abcdee", Body::Wrong),
            (b"d8:completei1e10:incompletei-1e8:intervali9e5:peers0:e", Body::Wrong),
            (b"d10:incompletei0e8:intervali9e5:peers0:e", Body::Wrong),
            (b"d8:completei1e10:incompletei0e8:intervali9e5:peers9999:e", Body::Wrong),
            (b"", Body::Wrong),
        ] {
            assert_eq!(read(body), expected, "{:?}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn other_statuses_and_no_http_are_wrong() {
        for head in
            ["HTTP/1.1 404 Not Found\r\nContent-Length: 0", "SSH-2.0", "HTTP/1.1 200 OK\r\nContent-Length: x"]
        {
            assert_eq!(judge(&answer(head, b""), false), Answer::Wrong, "{head}");
        }
    }
}
