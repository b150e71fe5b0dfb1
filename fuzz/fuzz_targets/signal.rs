//! Messages of WebTorrent's clients, as bytes of a connection: the same messages come out however the bytes are cut, nothing is kept between
//! messages, and each is read or refused; what is forwarded stands in the message as it came, and is JSON.
#![no_main]

use std::ops::ControlFlow;

use http_ws::webtorrent::receiver::Receiver;
use http_ws::webtorrent::request::{Request, read};
use libfuzzer_sys::fuzz_target;
use serde::de::IgnoredAny;

/// What comes out of bytes that come in pieces of this many, and how it ends.
fn messages(bytes: &[u8], piece: usize) -> (Vec<Vec<u8>>, bool) {
    let mut receiver = Receiver::default();
    let mut messages = Vec::new();
    let mut replies = Vec::new();
    for piece in bytes.chunks(piece) {
        let received = receiver.receive(piece, 0, &mut replies, |message| {
            messages.push(message.into_data().to_vec());
            ControlFlow::Continue(())
        });
        if received.is_err() {
            return (messages, false);
        }
    }
    (messages, true)
}

fuzz_target!(|input: (u8, Vec<u8>, bool)| {
    let (piece, bytes, as_frames) = input;
    let messages = if as_frames {
        let whole = messages(&bytes, usize::MAX);
        let cut = messages(&bytes, usize::from(piece).max(1));
        assert_eq!(whole, cut);
        whole.0
    } else {
        vec![bytes]
    };
    for message in messages {
        let Ok(text) = str::from_utf8(&message) else { continue };
        let forwarded = match read(text) {
            Ok(Request::Announce(announce)) => {
                announce.offers.iter().flat_map(|offer| [offer.offer_id, offer.offer]).collect()
            }
            Ok(Request::Answer(answer)) => vec![answer.offer_id, answer.answer],
            Ok(Request::Scrape(hashes)) => {
                assert!(hashes.len() <= text.len() / 20);
                Vec::new()
            }
            Ok(Request::FullScrape) => Vec::new(),
            Err(refusal) => {
                assert!(refusal.ends.is_none() || refusal.info_hash.is_none());
                Vec::new()
            }
        };
        for part in forwarded {
            assert!(text.contains(part));
            assert!(serde_json::from_str::<IgnoredAny>(part).is_ok());
        }
    }
});
