//! A client's frames: tungstenite makes messages of them and answers pings and closes.
//!
//! It is given the bytes of a connection as they come, from the worker's buffer, and has no stream of its own. While a client is silent
//! between two messages there is nothing to remember, and no tungstenite: a connection that waits takes no buffer.

use std::io::{self, Read, Write};
use std::ops::ControlFlow;

use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig, WebSocketContext};
use tokio_tungstenite::tungstenite::{Error, Message};

/// Bytes of a message at most (W11).
pub const MAX_MESSAGE: usize = 64 * 1024;

/// Bytes of a frame's mask.
const MASK: usize = 4;

/// What a connection has of messages that aren't whole yet.
#[derive(Debug, Default)]
pub struct Receiver(Option<Box<Unfinished>>);

#[derive(Debug)]
struct Unfinished {
    context: WebSocketContext,
    /// Bytes that came, less those of the messages that were made of them, had each been sent in a single frame with the shortest header.
    /// No way to send a message takes fewer bytes, so it is 0 only if nothing is left over.
    surplus: usize,
    since_ns: u64,
}

impl Receiver {
    /// Takes bytes, hands on messages until `each` breaks, and adds what has to be replied to control frames.
    ///
    /// # Errors
    ///
    /// What came is against the protocol, or too large; or the client has said that it closes (`Error::ConnectionClosed`). Nothing can
    /// be received after it.
    pub fn receive(
        &mut self,
        bytes: &[u8],
        now_ns: u64,
        replies: &mut Vec<u8>,
        mut each: impl FnMut(Message) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let unfinished = self.0.get_or_insert_with(|| Box::new(Unfinished::new(bytes.len(), now_ns)));
        unfinished.surplus += bytes.len();
        let mut pipe = Pipe { bytes, replies };
        loop {
            match unfinished.context.read(&mut pipe) {
                Ok(message) => {
                    unfinished.surplus = unfinished.surplus.saturating_sub(shortest(&message));
                    unfinished.since_ns = now_ns;
                    let is_data = message.is_text() || message.is_binary();
                    if each(message).is_break() {
                        return Ok(());
                    }
                    // That nothing more has come is known: asked to read, tungstenite would make a buffer of twice the size first. What it has to say
                    // to a ping or a close it says when it is asked.
                    if is_data && unfinished.surplus == 0 {
                        break;
                    }
                }
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        if unfinished.surplus == 0 {
            self.0 = None;
        }
        Ok(())
    }

    /// Nothing was read until now: the client isn't to blame for the time that has passed.
    pub fn resume(&mut self, now_ns: u64) {
        if let Some(unfinished) = &mut self.0 {
            unfinished.since_ns = now_ns;
        }
    }

    /// Since when a message isn't whole.
    pub fn unfinished_since_ns(&self) -> Option<u64> {
        self.0.as_ref().map(|unfinished| unfinished.since_ns)
    }
}

impl Unfinished {
    fn new(bytes: usize, since_ns: u64) -> Self {
        let config = WebSocketConfig::default()
            .max_message_size(Some(MAX_MESSAGE))
            .max_frame_size(Some(MAX_MESSAGE))
            .read_buffer_size(bytes)
            .write_buffer_size(0);
        Self { context: WebSocketContext::new(Role::Server, Some(config)), surplus: 0, since_ns }
    }
}

/// Bytes of a message in a single frame.
fn shortest(message: &Message) -> usize {
    let length = message.len();
    FrameHeader::default().len(length as u64) + MASK + length
}

/// What tungstenite takes for a stream.
struct Pipe<'a> {
    bytes: &'a [u8],
    replies: &'a mut Vec<u8>,
}

impl Read for Pipe<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.bytes.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.bytes.read(buffer)
    }
}

impl Write for Pipe<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.replies.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Frames as a client sends them: opcode, whether it is the last of its message, payload, and how many more bytes than needed the
    /// length has.
    fn frame(opcode: u8, is_final: bool, payload: &[u8], longer: bool) -> Vec<u8> {
        let mut bytes = vec![opcode | u8::from(is_final) << 7];
        match payload.len() {
            length if longer || length > 0xffff => {
                bytes.push(0x80 | 127);
                bytes.extend((length as u64).to_be_bytes());
            }
            length if length > 125 => {
                bytes.push(0x80 | 126);
                bytes.extend((length as u16).to_be_bytes());
            }
            length => bytes.push(0x80 | length as u8),
        }
        bytes.extend([1, 2, 3, 4]);
        bytes.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ (at % 4 + 1) as u8));
        bytes
    }

    fn all(receiver: &mut Receiver, bytes: &[u8]) -> (Vec<Message>, Vec<u8>) {
        let (mut messages, mut replies) = (Vec::new(), Vec::new());
        let received = receiver.receive(bytes, 7, &mut replies, |message| {
            messages.push(message);
            ControlFlow::Continue(())
        });
        received.expect("nothing is wrong with the frames");
        (messages, replies)
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        /// However messages are fragmented and cut, they come whole, and nothing is kept exactly when nothing is unfinished.
        #[test]
        fn messages_come_whole_and_nothing_is_kept(
            sent in prop::collection::vec(("[a-z]{0,300}", prop::collection::vec(1_usize..200, 0..3), any::<bool>()), 1..5),
            piece in 1_usize..500,
        ) {
            let mut bytes = Vec::new();
            let mut plain = true;
            for (text, cuts, longer) in &sent {
                let mut rest = text.as_bytes();
                let mut opcode = 1;
                for cut in cuts {
                    let (head, tail) = rest.split_at((*cut).min(rest.len()));
                    bytes.extend(frame(opcode, false, head, false));
                    (rest, opcode, plain) = (tail, 0, false);
                }
                bytes.extend(frame(opcode, true, rest, *longer));
                plain &= !longer;
            }
            let mut receiver = Receiver::default();
            let mut messages = Vec::new();
            for piece in bytes.chunks(piece) {
                messages.extend(all(&mut receiver, piece).0);
            }
            let expected: Vec<Message> = sent.iter().map(|(text, ..)| Message::text(text.clone())).collect();
            prop_assert_eq!(messages, expected);
            prop_assert!(!plain || receiver.0.is_none());
            // Half a message is kept.
            all(&mut receiver, &frame(1, true, b"abc", false)[..5]);
            prop_assert!(receiver.unfinished_since_ns().is_some());
            prop_assert_eq!(all(&mut receiver, &frame(1, true, b"abc", false)[5..]).0, [Message::text("abc")]);
        }
    }

    #[test]
    fn pings_are_answered_between_fragments() {
        let mut receiver = Receiver::default();
        let bytes =
            [frame(1, false, b"a", false), frame(9, true, b"p", false), frame(0, true, b"b", false)].concat();
        let (messages, replies) = all(&mut receiver, &bytes);
        assert_eq!(messages, [Message::Ping("p".into()), Message::text("ab")]);
        assert_eq!(replies, [0x8a, 1, b'p']);
    }

    #[test]
    fn a_close_is_answered_and_is_the_end() {
        let mut replies = Vec::new();
        let close = frame(8, true, &1000_u16.to_be_bytes(), false);
        let ended = Receiver::default().receive(&close, 0, &mut replies, |_| ControlFlow::Continue(()));
        assert!(matches!(ended, Err(Error::ConnectionClosed)), "{ended:?}");
        assert_eq!(replies, [0x88, 2, 3, 0xe8]);
    }

    #[test]
    fn what_is_too_large_is_refused_before_it_has_come() {
        let receive = |length: usize| {
            let header = frame(1, true, &vec![b'x'; length], false);
            Receiver::default().receive(&header[..14], 0, &mut Vec::new(), |_| ControlFlow::Continue(()))
        };
        receive(MAX_MESSAGE).expect("it isn't too large");
        assert!(matches!(receive(MAX_MESSAGE + 1), Err(Error::Capacity(_))));
        let fragments = [frame(1, false, &[b'x'; MAX_MESSAGE], false), frame(0, true, b"x", false)].concat();
        let received =
            Receiver::default().receive(&fragments, 0, &mut Vec::new(), |_| ControlFlow::Continue(()));
        assert!(matches!(received, Err(Error::Capacity(_))));
    }
}
