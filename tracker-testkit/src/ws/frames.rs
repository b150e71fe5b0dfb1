//! Frames of WebSocket: how a message is put into them, and those that are wrong.

use std::io::Cursor;

use tokio_tungstenite::tungstenite::Bytes;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control, Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{Frame, FrameHeader};

/// How messages are put into frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// One text frame, one write.
    Text,
    /// One binary frame.
    Binary,
    /// Several frames, one of them empty, with pings between them; cut wherever, inside of characters too.
    Fragmented,
    /// One text frame, which is sent byte by byte: each when the tracker has read the one before.
    Cut,
}

/// Every client's frames have the same mask.
const MASK: [u8; 4] = [0x5a, 0xff, 0x00, 0x13];

/// What is between the fragments of a message.
pub const BETWEEN: &[u8] = b"between fragments";

/// A frame that is right.
pub fn frame(opcode: OpCode, is_final: bool, payload: &[u8]) -> Vec<u8> {
    let header = FrameHeader { is_final, opcode, mask: Some(MASK), ..FrameHeader::default() };
    bytes(header, payload)
}

/// Any frame: with `mask` in its header the payload is masked.
pub fn bytes(header: FrameHeader, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let frame = Frame::from_payload(header, Bytes::copy_from_slice(payload));
    frame.format(&mut bytes).expect("writing to a vector");
    bytes
}

/// A text frame.
pub fn text(payload: &[u8]) -> Vec<u8> {
    frame(OpCode::Data(Data::Text), true, payload)
}

/// A text frame after which the message goes on.
pub fn unfinished(payload: &[u8]) -> Vec<u8> {
    frame(OpCode::Data(Data::Text), false, payload)
}

/// A binary frame.
pub fn binary(payload: &[u8]) -> Vec<u8> {
    frame(OpCode::Data(Data::Binary), true, payload)
}

/// A ping.
pub fn ping(payload: &[u8]) -> Vec<u8> {
    frame(OpCode::Control(Control::Ping), true, payload)
}

/// A pong.
pub fn pong(payload: &[u8]) -> Vec<u8> {
    frame(OpCode::Control(Control::Pong), true, payload)
}

/// A close frame.
pub fn close(status: u16) -> Vec<u8> {
    frame(OpCode::Control(Control::Close), true, &status.to_be_bytes())
}

/// A text frame without a mask, as the tracker sends them.
pub fn unmasked(payload: &[u8]) -> Vec<u8> {
    bytes(FrameHeader { opcode: OpCode::Data(Data::Text), ..FrameHeader::default() }, payload)
}

/// A text message in four fragments with pings between them.
pub fn fragments(message: &[u8]) -> Vec<u8> {
    let (first, rest) = message.split_at(message.len() / 3);
    let (second, third) = rest.split_at(rest.len() / 2);
    [
        frame(OpCode::Data(Data::Text), false, first),
        ping(BETWEEN),
        frame(OpCode::Data(Data::Continue), false, second),
        ping(BETWEEN),
        frame(OpCode::Data(Data::Continue), false, b""),
        frame(OpCode::Data(Data::Continue), true, third),
    ]
    .concat()
}

/// A frame of the tracker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Its kind.
    pub opcode: OpCode,
    /// Whether it is the last one of its message.
    pub is_final: bool,
    /// What it carries.
    pub payload: Vec<u8>,
}

/// Takes the first frame off some bytes, when it is complete.
///
/// # Errors
///
/// What isn't a frame as a server may send it.
pub fn take(bytes: &mut Vec<u8>) -> Result<Option<Received>, String> {
    let mut cursor = Cursor::new(&bytes[..]);
    let parsed = FrameHeader::parse(&mut cursor).map_err(|error| error.to_string())?;
    let Some((header, length)) = parsed else { return Ok(None) };
    let begin = cursor.position() as usize;
    let FrameHeader { is_final, rsv1, rsv2, rsv3, opcode, mask } = header;
    let is_whole = is_final || matches!(opcode, OpCode::Data(_));
    if !is_whole || rsv1 || rsv2 || rsv3 || mask.is_some() {
        return Err(format!("not a plain and unmasked frame: {header:?}"));
    }
    let end = begin + usize::try_from(length).map_err(|error| error.to_string())?;
    if bytes.len() < end {
        return Ok(None);
    }
    let payload = bytes[begin..end].to_vec();
    bytes.drain(..end);
    Ok(Some(Received { opcode, is_final, payload }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_taken_one_by_one() {
        let mut received = [unmasked(b"one"), unmasked(&[b'x'; 70_000])].concat();
        let last = received.pop().unwrap();
        let one = take(&mut received).unwrap().unwrap();
        assert_eq!((one.opcode, &one.payload[..]), (OpCode::Data(Data::Text), &b"one"[..]));
        assert_eq!(take(&mut received).unwrap(), None);
        received.push(last);
        assert_eq!(take(&mut received).unwrap().unwrap().payload.len(), 70_000);
        assert!(received.is_empty());
    }

    #[test]
    fn a_masked_frame_or_half_a_ping_is_not_a_servers() {
        assert!(take(&mut text(b"x")).is_err());
        let opcode = OpCode::Control(Control::Ping);
        let header = FrameHeader { is_final: false, opcode, ..FrameHeader::default() };
        assert!(take(&mut bytes(header, b"x")).is_err());
    }

    #[test]
    fn fragments_add_up() {
        let sent = fragments("äöü".as_bytes());
        assert_eq!(sent.len(), 6 + 6 * 6 + 2 * BETWEEN.len());
        assert_eq!(sent[0], 1, "text, and not the last fragment");
    }
}
