//! Frames of RFC 6455: taken from a buffer where they lie, and written with a mask, as a client must.

use std::fmt;
use std::io::Cursor;

use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

/// The longest frame that is taken; a tracker's messages are far shorter.
pub(crate) const LONGEST: usize = 128 << 10;

/// RFC 6455, 5.5: of a control frame.
const LONGEST_CONTROL: u64 = 125;

/// What a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Text or binary: a message, or its beginning.
    Message,
    /// More of a message.
    Continuation,
    Ping,
    Pong,
    Close,
}

/// A frame from a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    pub(crate) kind: Kind,
    /// The last one of its message.
    pub(crate) is_final: bool,
    pub(crate) payload: &'a [u8],
    /// Bytes of header and payload.
    pub(crate) len: usize,
}

/// What a server must not send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Violation(pub(crate) &'static str);

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// The frame that `bytes` begin with; `None` when it isn't all there yet.
pub(crate) fn first(bytes: &[u8]) -> Result<Option<Frame<'_>>, Violation> {
    let mut cursor = Cursor::new(bytes);
    let Some((header, len)) =
        FrameHeader::parse(&mut cursor).map_err(|_| Violation("an unknown kind of frame"))?
    else {
        return Ok(None);
    };
    let kind = match header.opcode {
        OpCode::Data(Data::Text | Data::Binary) => Kind::Message,
        OpCode::Data(Data::Continue) => Kind::Continuation,
        OpCode::Control(Control::Ping) => Kind::Ping,
        OpCode::Control(Control::Pong) => Kind::Pong,
        OpCode::Control(Control::Close) => Kind::Close,
        OpCode::Data(Data::Reserved(_)) | OpCode::Control(Control::Reserved(_)) => {
            return Err(Violation("an unknown kind of frame"));
        }
    };
    let is_control = matches!(kind, Kind::Ping | Kind::Pong | Kind::Close);
    match header {
        FrameHeader { mask: Some(_), .. } => return Err(Violation("a frame with a mask")),
        FrameHeader { rsv1: true, .. } | FrameHeader { rsv2: true, .. } | FrameHeader { rsv3: true, .. } => {
            return Err(Violation("an extension that wasn't agreed upon"));
        }
        FrameHeader { is_final: false, .. } if is_control => {
            return Err(Violation("a control frame in parts"));
        }
        _ if is_control && len > LONGEST_CONTROL => return Err(Violation("a long control frame")),
        _ if len > LONGEST as u64 => return Err(Violation("a frame of more than 128 KiB")),
        _ => {}
    }
    // It fits: at most LONGEST, and a cursor doesn't pass the end.
    let (start, len) = (cursor.position() as usize, len as usize);
    let payload = bytes[start..].get(..len);
    Ok(payload.map(|payload| Frame { kind, is_final: header.is_final, payload, len: start + len }))
}

/// Appends a whole text message.
pub(crate) fn text(payload: &[u8], mask: u32, into: &mut Vec<u8>) {
    append(OpCode::Data(Data::Text), payload, mask, into);
}

/// Appends the answer to a ping.
pub(crate) fn pong(payload: &[u8], mask: u32, into: &mut Vec<u8>) {
    append(OpCode::Control(Control::Pong), payload, mask, into);
}

fn append(opcode: OpCode, payload: &[u8], mask: u32, into: &mut Vec<u8>) {
    let mask = mask.to_le_bytes();
    let header = FrameHeader { opcode, mask: Some(mask), ..FrameHeader::default() };
    header.format(payload.len() as u64, into).expect("a vector takes everything");
    let start = into.len();
    into.extend_from_slice(payload);
    apply(mask, &mut into[start..]);
}

/// Eight bytes at a time: announces have kilobytes.
fn apply(mask: [u8; 4], bytes: &mut [u8]) {
    let word = u32::from_le_bytes(mask);
    let words = u64::from(word) << 32 | u64::from(word);
    let (chunks, rest) = bytes.as_chunks_mut::<8>();
    for chunk in chunks {
        *chunk = (u64::from_le_bytes(*chunk) ^ words).to_le_bytes();
    }
    rest.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(first_byte: u8, payload: &[u8]) -> Vec<u8> {
        let len = payload.len();
        let header = match len {
            ..126 => vec![first_byte, len as u8],
            126..65_536 => vec![first_byte, 126, (len >> 8) as u8, len as u8],
            _ => [&[first_byte, 127][..], &(len as u64).to_be_bytes()].concat(),
        };
        [&header, payload].concat()
    }

    #[test]
    fn frame_is_there_at_its_last_byte_and_not_before() {
        for len in [0, 1, 125, 126, 700, 65_535, 65_536] {
            let payload = vec![b'x'; len];
            let whole = frame(0x81, &payload);
            for part in [0, 1, 2, whole.len() / 2, whole.len() - 1] {
                assert_eq!(first(&whole[..part.min(whole.len() - 1)]), Ok(None), "{part} bytes of {len}");
            }
            let behind = [&whole, &b"more"[..]].concat();
            let expected = Frame { kind: Kind::Message, is_final: true, payload: &payload, len: whole.len() };
            assert_eq!(first(&behind), Ok(Some(expected)));
        }
    }

    #[test]
    fn kinds_are_told_apart() {
        for (byte, kind, is_final) in [
            (0x81, Kind::Message, true),
            (0x82, Kind::Message, true),
            (0x01, Kind::Message, false),
            (0x00, Kind::Continuation, false),
            (0x89, Kind::Ping, true),
            (0x8a, Kind::Pong, true),
            (0x88, Kind::Close, true),
        ] {
            let bytes = frame(byte, b"abc");
            let found = first(&bytes).unwrap().unwrap();
            assert_eq!((found.kind, found.is_final), (kind, is_final), "{byte:#x}");
        }
    }

    #[test]
    fn what_a_server_must_not_send_is_refused() {
        let masked = [0x81, 0x83, 1, 2, 3, 4, b'a', b'b', b'c'];
        let long = frame(0x89, &[0; 126]);
        let longer = frame(0x82, &vec![0; LONGEST + 1]);
        let others = [frame(0xc1, b"a"), frame(0x83, b"a"), frame(0x8b, b"a"), frame(0x09, b"a")];
        for bytes in [&masked[..], &long, &longer].into_iter().chain(others.iter().map(Vec::as_slice)) {
            assert!(first(bytes).is_err(), "{:x?}", &bytes[..bytes.len().min(8)]);
        }
    }

    #[test]
    fn mask_comes_off_as_it_went_on() {
        for len in [0, 3, 8, 13, 200] {
            let payload: Vec<u8> = (0..len).map(|byte| byte as u8).collect();
            let mut written = b"before".to_vec();
            text(&payload, 0x0403_0201, &mut written);
            let header = if len < 126 { 2 } else { 4 };
            let (head, body) = written[6..].split_at(header + 4);
            assert_eq!((head[0], head[1] & 0x80, &head[header..]), (0x81, 0x80, &[1, 2, 3, 4][..]));
            let unmasked: Vec<u8> =
                body.iter().zip([1, 2, 3, 4].iter().cycle()).map(|(b, m)| b ^ m).collect();
            assert_eq!(unmasked, payload);
        }
    }
}
