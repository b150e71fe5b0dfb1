//! All parsers of answers, for fuzzing: whatever a tracker sends, none of them panics or reads beyond it.

use std::net::IpAddr;

use crate::http::answer::{self, Answer};
use crate::http::mix::body;
use crate::mix::outcome::Kind;
use crate::mix::verdict::{Asked, Expected, judge};
use crate::ws::frames;
use crate::ws::message::Message;

/// Reads bytes as an answer over UDP, of both families, to whatever was asked.
pub fn over_udp(bytes: &[u8]) {
    let mut seen = Vec::new();
    for ipv6 in [false, true] {
        let sources = vec![IpAddr::from([127, 0, 0, 1])];
        let expected = Expected { sources, ipv6, shared: false };
        for kind in Kind::ALL {
            for want in [-1, 0, 3] {
                let _verdict = judge(bytes, Asked { kind, swarm: 5, want }, &expected, &mut seen);
            }
        }
    }
}

/// Reads bytes as what has come over HTTP so far; an answer that is all there lies within them.
pub fn over_http(bytes: &[u8]) {
    let _bencoded = body::read(bytes);
    for ended in [false, true] {
        if let Answer::Complete(complete) = answer::judge(bytes, ended) {
            assert!(complete.body_at <= complete.len && complete.len <= bytes.len(), "{complete:?}");
            let _bencoded = body::read(&bytes[complete.body_at..complete.len]);
        }
    }
}

/// Reads bytes as frames of WebSocket, and as a tracker's message.
pub fn over_websocket(bytes: &[u8]) {
    let _message = Message::read(bytes);
    let mut rest = bytes;
    while let Ok(Some(frame)) = frames::first(rest) {
        assert!(frame.len > 0 && frame.len <= rest.len(), "a frame within what has come");
        let _message = Message::read(frame.payload);
        rest = &rest[frame.len..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_random_or_cut_off_is_read_without_harm() {
        let http = b"HTTP/1.1 200 OK\r\nContent-Length: 60\r\n\r\nd8:completei1e10:incompletei49e8:intervali1800e5:peers0:e";
        let message = br#"{"action":"announce","interval":120,"info_hash":"h","complete":1,"incomplete":2}"#;
        let frame = [&[0x81, message.len() as u8], &message[..]].concat();
        let udp = [[0, 0, 0, 1], *b"tran", [0, 0, 7, 8], [0; 4], [0; 4], [127, 0, 0, 1]].concat();
        let mut random = 1;
        for whole in [&http[..], message, &frame, &udp] {
            for cut in 0..=whole.len() {
                let mut bytes = whole[..cut].to_vec();
                for spoiled in 0..8 {
                    over_udp(&bytes);
                    over_http(&bytes);
                    over_websocket(&bytes);
                    if let Some(at) = (crate::population::splitmix(&mut random) as usize).checked_rem(cut) {
                        bytes[at] = (spoiled * 37) as u8;
                    }
                }
            }
        }
    }
}
