//! A client of WebTorrent: messages out, messages in, over one connection.
//!
//! It answers pings, as every client does without knowing, and takes nothing for granted: each frame has to be one that a server may
//! send, each message one that the protocol has.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use socket2::SockRef;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use crate::answer::Counts;
use crate::daemon::is_timeout;
use crate::http::connection::{Connection, Dial, Response};
use crate::http::unread::Unread;
use crate::ws::frames::{self, Framing, Received};
use crate::ws::message::Message;
use crate::ws::request;
use crate::ws::upgrade::{self, Upgrade};

/// An upgraded connection.
#[derive(Debug)]
pub struct Client {
    connection: Connection,
    framing: Framing,
    /// Of frames that aren't complete.
    received: Vec<u8>,
    /// Of a message that isn't: long ones come in fragments.
    fragments: Option<Vec<u8>>,
    /// Messages that came while the client waited for something else.
    inbox: VecDeque<Message>,
    /// Pings whose pong hasn't come.
    pings: VecDeque<Vec<u8>>,
    answers_pings: bool,
    unread: Option<Arc<Unread>>,
    trips: u32,
}

/// Why there is no client.
#[derive(Debug)]
pub enum Refused {
    /// The tracker says something else than 101.
    Response(Response),
    /// It closes, or says what isn't HTTP.
    Broken(String),
}

/// How a client goes that says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vanishing {
    /// Its kernel says that nothing more will come.
    Fin,
    /// Its kernel says that there is no such connection any more.
    Reset,
}

/// What comes.
enum Event {
    Message(Message),
    Pong,
    Closed(Option<u16>),
    End,
}

impl Client {
    /// Connects and upgrades.
    ///
    /// # Errors
    ///
    /// The tracker doesn't want it.
    pub fn open(dial: &Dial, upgrade: &Upgrade) -> Result<Self, Refused> {
        let connection = dial.open().map_err(|error| Refused::Broken(format!("connecting: {error}")))?;
        Self::over(connection, upgrade)
    }

    /// Upgrades a connection on which there may have been requests and answers.
    ///
    /// # Errors
    ///
    /// The tracker doesn't want it.
    pub fn over(mut connection: Connection, upgrade: &Upgrade) -> Result<Self, Refused> {
        let response = connection.ask(&upgrade.bytes()).map_err(Refused::Broken)?;
        if response.status != 101 {
            return Err(Refused::Response(response));
        }
        upgrade::is_accepted(&response).map_err(Refused::Broken)?;
        Ok(Self::upgraded(connection))
    }

    /// A connection that has been upgraded already.
    pub fn upgraded(connection: Connection) -> Self {
        Self {
            connection,
            framing: Framing::Text,
            received: Vec::new(),
            fragments: None,
            inbox: VecDeque::new(),
            pings: VecDeque::new(),
            answers_pings: true,
            unread: None,
            trips: 0,
        }
    }

    /// Puts its messages into frames in this way; one that cuts them has to know what the tracker has read.
    pub fn framed(self, framing: Framing, unread: Option<Arc<Unread>>) -> Self {
        Self { framing, unread, ..self }
    }

    /// From now on pings aren't answered.
    pub fn ignore_pings(&mut self) {
        self.answers_pings = false;
    }

    /// The connection underneath.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Sends a message.
    ///
    /// # Errors
    ///
    /// The connection is gone.
    pub fn say(&mut self, text: &str) -> io::Result<()> {
        match self.framing {
            Framing::Text => self.send(&frames::text(text.as_bytes())),
            Framing::Binary => self.send(&frames::binary(text.as_bytes())),
            Framing::Fragmented => {
                self.pings.extend([frames::BETWEEN.to_vec(), frames::BETWEEN.to_vec()]);
                self.send(&frames::fragments(text.as_bytes()))
            }
            Framing::Cut => {
                let unread = Arc::clone(self.unread.as_ref().expect("who cuts knows what is read"));
                for byte in frames::text(text.as_bytes()) {
                    self.send(&[byte])?;
                    unread.wait(self.connection.socket());
                }
                Ok(())
            }
        }
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    ///
    /// The connection is gone.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.connection.send(bytes)
    }

    /// Pings, and waits for the pong.
    ///
    /// # Errors
    ///
    /// Another pong, or none.
    pub fn ping(&mut self, payload: &[u8]) -> Result<(), String> {
        self.send(&frames::ping(payload)).map_err(|error| format!("sending a ping: {error}"))?;
        self.pings.push_back(payload.to_vec());
        while !self.pings.is_empty() {
            match self.event()? {
                Event::Message(message) => self.inbox.push_back(message),
                Event::Pong => {}
                Event::Closed(status) => return Err(format!("closed with {status:?}, and no pong")),
                Event::End => return Err("the end, and no pong".into()),
            }
        }
        Ok(())
    }

    /// The next message.
    ///
    /// # Errors
    ///
    /// What isn't a message, or the end.
    pub fn read(&mut self) -> Result<Message, String> {
        match self.inbox.pop_front() {
            Some(message) => Ok(message),
            None => self.read_new(),
        }
    }

    fn read_new(&mut self) -> Result<Message, String> {
        loop {
            match self.event()? {
                Event::Message(message) => return Ok(message),
                Event::Pong => {}
                Event::Closed(status) => return Err(format!("closed with {status:?}")),
                Event::End => return Err("the end, without a close frame".into()),
            }
        }
    }

    /// Sends a message and reads the next one.
    ///
    /// # Errors
    ///
    /// As [`Self::read`].
    pub fn ask(&mut self, text: &str) -> Result<Message, String> {
        self.say(text).map_err(|error| format!("sending: {error}"))?;
        self.read()
    }

    /// Scrapes these torrents; what comes before the answer is kept.
    ///
    /// # Errors
    ///
    /// Another answer, or none.
    pub fn scrape(&mut self, info_hashes: &[[u8; 20]]) -> Result<Vec<([u8; 20], Counts)>, String> {
        let message = frames::text(request::scrape(info_hashes).as_bytes());
        self.send(&message).map_err(|error| format!("sending a scrape: {error}"))?;
        loop {
            match self.read_new()? {
                Message::Scraped { files, .. } => return Ok(files),
                other => self.inbox.push_back(other),
            }
        }
    }

    /// Returns when the tracker has answered a scrape: what was queued for this client before is here, then.
    ///
    /// # Errors
    ///
    /// Another answer, or none.
    pub fn round_trip(&mut self) -> Result<(), String> {
        self.trips += 1;
        let mut marker = *b"round trip 0123.....";
        marker[11..15].copy_from_slice(&self.trips.to_be_bytes());
        match self.scrape(&[marker])?[..] {
            [(hash, _)] if hash == marker => Ok(()),
            ref other => Err(format!("a round trip got {other:?}")),
        }
    }

    /// Messages that came while the client waited for something else.
    pub fn take_inbox(&mut self) -> Vec<Message> {
        self.inbox.drain(..).collect()
    }

    /// Makes a round trip, before whose answer nothing may come.
    ///
    /// # Errors
    ///
    /// What came.
    pub fn expect_nothing(&mut self) -> Result<(), String> {
        self.round_trip()?;
        match self.take_inbox()[..] {
            [] => Ok(()),
            ref some => Err(format!("nobody asked for {some:?}")),
        }
    }

    /// Waits for a close frame, answers it and waits for the end.
    ///
    /// # Errors
    ///
    /// What came before, or that there was none.
    pub fn read_close(&mut self) -> Result<Option<u16>, String> {
        if let Some(message) = self.inbox.pop_front() {
            return Err(format!("{message:?} instead of a close frame"));
        }
        loop {
            match self.event()? {
                Event::Closed(status) => {
                    // The tracker may be gone already.
                    let _ = self.send(&frames::close(status.unwrap_or(1000)));
                    self.read_end()?;
                    return Ok(status);
                }
                Event::Pong => {}
                Event::Message(message) => return Err(format!("{message:?} instead of a close frame")),
                Event::End => return Err("the end, without a close frame".into()),
            }
        }
    }

    /// Closes with this status, and waits for the tracker to do the same.
    ///
    /// # Errors
    ///
    /// Messages that nobody has read, or another end.
    pub fn close(mut self, status: u16) -> Result<(), String> {
        self.send(&frames::close(status)).map_err(|error| format!("closing: {error}"))?;
        loop {
            match self.event()? {
                Event::Closed(Some(answered)) if answered == status => break,
                Event::Closed(other) => return Err(format!("closed with {status}, answered with {other:?}")),
                Event::Pong => {}
                Event::Message(message) => self.inbox.push_back(message),
                Event::End => return Err("the end, without a close frame".into()),
            }
        }
        self.read_end()?;
        match self.take_inbox()[..] {
            [] => Ok(()),
            ref some => Err(format!("nobody asked for {some:?}")),
        }
    }

    /// Says that nothing more will be sent; what is under way can still come.
    ///
    /// # Errors
    ///
    /// The connection is gone.
    pub fn finish_sending(&mut self) -> io::Result<()> {
        self.connection.finish_sending()
    }

    /// Goes without a close frame.
    pub fn vanish(mut self, how: Vanishing) {
        match how {
            // It may be gone already.
            Vanishing::Fin => _ = self.connection.finish_sending(),
            Vanishing::Reset => {
                SockRef::from(self.connection.socket()).set_linger(Some(Duration::ZERO)).expect("a socket");
            }
        }
    }

    /// Waits for the end of the connection.
    ///
    /// # Errors
    ///
    /// What came before it, or that it didn't come.
    pub fn read_end(&mut self) -> Result<(), String> {
        match self.received[..] {
            [] => self.connection.read_end(),
            ref some => Err(format!("bytes behind a close frame: {}", some.escape_ascii())),
        }
    }

    fn event(&mut self) -> Result<Event, String> {
        loop {
            let Some(Received { opcode, is_final, payload }) = frames::take(&mut self.received)? else {
                match self.connection.read_into(&mut self.received) {
                    Ok(0) if self.received.is_empty() => return Ok(Event::End),
                    Ok(0) => return Err("the end, in the middle of a frame".into()),
                    Ok(_) => continue,
                    Err(error) if is_timeout(&error) => return Err("nothing comes".into()),
                    Err(error) => return Err(error.to_string()),
                }
            };
            match opcode {
                OpCode::Data(data) => {
                    let message = match (data, self.fragments.take()) {
                        (Data::Text, None) => payload,
                        (Data::Continue, Some(begin)) => [begin, payload].concat(),
                        (other, _) => {
                            return Err(format!("a frame {other:?} that nobody asked for: {payload:?}"));
                        }
                    };
                    if !is_final {
                        self.fragments = Some(message);
                        continue;
                    }
                    let text = String::from_utf8(message).map_err(|error| error.to_string())?;
                    return Message::read(&text)
                        .map(Event::Message)
                        .map_err(|why| format!("{why} in {text}"));
                }
                OpCode::Control(Control::Ping) if self.answers_pings => {
                    // The tracker may have gone since; what it has said before is still to be read.
                    let _ = self.send(&frames::pong(&payload));
                }
                OpCode::Control(Control::Ping) => {}
                OpCode::Control(Control::Pong) if self.pings.front() == Some(&payload) => {
                    self.pings.pop_front();
                    return Ok(Event::Pong);
                }
                OpCode::Control(Control::Close) => return status(&payload).map(Event::Closed),
                other => return Err(format!("a frame {other:?} that nobody asked for: {payload:?}")),
            }
        }
    }
}

/// The status in a close frame, behind which there may be text.
fn status(payload: &[u8]) -> Result<Option<u16>, String> {
    match payload {
        [] => Ok(None),
        [high, low, reason @ ..] => {
            std::str::from_utf8(reason).map_err(|error| error.to_string())?;
            Ok(Some(u16::from_be_bytes([*high, *low])))
        }
        [_] => Err("half a status in a close frame".into()),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpListener};
    use std::thread;

    use tokio_tungstenite::tungstenite::{self, Message as Frame};

    use super::*;

    /// Somebody who says each message back, behind a ping.
    fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            let mut socket = tungstenite::accept(listener.accept().unwrap().0).unwrap();
            loop {
                match socket.read() {
                    Ok(Frame::Text(text)) => {
                        socket.send(Frame::Ping(tungstenite::Bytes::from_static(b"there?"))).unwrap();
                        socket.send(Frame::Text(text)).unwrap();
                    }
                    Ok(_) => {}
                    Err(_) => return,
                }
            }
        });
        address
    }

    const FAILURE: &str = r#"{"action":"announce","failure reason":"é"}"#;

    #[test]
    fn what_is_said_in_any_framing_is_heard() {
        for framing in [Framing::Text, Framing::Fragmented, Framing::Cut] {
            let client = Client::open(&Dial::plain(echo()), &Upgrade::default()).unwrap();
            let mut client = client.framed(framing, Some(Arc::new(Unread::new())));
            let Message::Failure { reason, .. } = client.ask(FAILURE).unwrap() else { panic!("another") };
            assert_eq!(reason, "é");
            client.ping(b"x").unwrap();
            client.close(1000).unwrap();
        }
    }

    #[test]
    fn a_message_too_many_is_an_error() {
        let mut client = Client::open(&Dial::plain(echo()), &Upgrade::default()).unwrap();
        client.say(FAILURE).unwrap();
        let why = client.close(1000).unwrap_err();
        assert!(why.contains("nobody asked"), "{why}");
    }
}
