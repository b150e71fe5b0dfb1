//! Frames to clients: tungstenite writes their headers, and what is in them goes straight into a connection's queue.
//!
//! A client's frames are `receiver`'s.

use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{Frame, FrameHeader};

/// A whole text message of these parts.
pub(super) fn text(parts: &[&[u8]], out: &mut Vec<u8>) {
    message(OpCode::Data(Data::Text), true, parts, out);
}

/// A piece of a text message: the first, some in between, the last.
pub(super) fn fragment(is_first: bool, is_last: bool, part: &[u8], out: &mut Vec<u8>) {
    let kind = if is_first { Data::Text } else { Data::Continue };
    message(OpCode::Data(kind), is_last, &[part], out);
}

/// An empty ping.
pub(super) fn ping(out: &mut Vec<u8>) {
    message(OpCode::Control(Control::Ping), true, &[], out);
}

/// The end.
pub(super) fn close(code: CloseCode, out: &mut Vec<u8>) {
    let frame = Frame::close(Some(CloseFrame { code, reason: Default::default() }));
    // A vector takes everything.
    let _never = frame.format(out);
}

fn message(opcode: OpCode, is_final: bool, parts: &[&[u8]], out: &mut Vec<u8>) {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let header = FrameHeader { is_final, opcode, ..FrameHeader::default() };
    out.reserve(header.len(length as u64) + length);
    // A vector takes everything.
    let _never = header.format(length as u64, out);
    parts.iter().for_each(|part| out.extend_from_slice(part));
}
