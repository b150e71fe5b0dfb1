//! A client's end of a connection: bytes as they are, plain or in TLS, and responses read strictly.
//!
//! What is sent is never looked at, so that requests may be as wrong as a test wants them. Of a response exactly its own bytes are
//! taken: what is left over belongs to the next one, or is a byte too many.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use socket2::{Domain, Socket, Type};

use crate::daemon::is_timeout;
use crate::netns::Namespace;

/// How long an answer or an end may take before it counts as missing.
const PATIENCE: Duration = Duration::from_secs(20);

/// Longest head of a response that is taken for one.
const MAX_HEAD: usize = 8192;

/// Where a connection goes, and how.
#[derive(Clone, Debug)]
pub struct Dial {
    /// The tracker.
    pub to: SocketAddr,
    /// The client's address; `None`: whatever the way there suggests.
    pub from: Option<IpAddr>,
    /// The client's host, if it isn't this process's.
    pub namespace: Option<Arc<Namespace>>,
    /// Speaks TLS with these settings.
    pub tls: Option<Arc<ClientConfig>>,
    /// Sent before anything else, TLS included: a header of the PROXY protocol.
    pub preface: Vec<u8>,
}

impl Dial {
    /// Plain, from here.
    pub fn plain(to: SocketAddr) -> Self {
        Self { to, from: None, namespace: None, tls: None, preface: Vec::new() }
    }

    /// TLS, from here.
    pub fn tls(to: SocketAddr, config: Arc<ClientConfig>) -> Self {
        Self { tls: Some(config), ..Self::plain(to) }
    }

    /// Connects, and completes the handshake.
    ///
    /// # Errors
    ///
    /// The tracker doesn't want it, or is none.
    pub fn open(&self) -> io::Result<Connection> {
        let mut socket = match &self.namespace {
            Some(namespace) => namespace.inside(|| self.connect())?,
            None => self.connect()?,
        };
        socket.write_all(&self.preface)?;
        let stream = match &self.tls {
            None => Stream::Plain(socket),
            Some(config) => {
                let name = ServerName::IpAddress(self.to.ip().into());
                let mut session =
                    ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
                while session.is_handshaking() {
                    session.complete_io(&mut socket)?;
                }
                Stream::Tls(Box::new(StreamOwned::new(session, socket)))
            }
        };
        Ok(Connection { stream, unread: Vec::new() })
    }

    fn connect(&self) -> io::Result<TcpStream> {
        let socket = Socket::new(Domain::for_address(self.to), Type::STREAM, None)?;
        if let Some(from) = self.from {
            socket.bind(&SocketAddr::new(from, 0).into())?;
        }
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        // What a test writes in two parts is meant to travel in two.
        socket.set_tcp_nodelay(true)?;
        socket.connect(&self.to.into())?;
        Ok(socket.into())
    }
}

/// An open connection.
#[derive(Debug)]
pub struct Connection {
    stream: Stream,
    /// Read, but not yet taken.
    unread: Vec<u8>,
}

#[derive(Debug)]
enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

/// A response.
#[derive(Clone, PartialEq, Eq)]
pub struct Response {
    /// Whether the version is 1.0, and not 1.1.
    pub is_http_1_0: bool,
    /// 200, 404, …
    pub status: u16,
    /// Names in lower case, in their order.
    pub headers: Vec<(String, String)>,
    /// The body, which a chunked one is put together to.
    pub body: Vec<u8>,
}

impl Response {
    /// The value of a header that is there once.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(found, _)| found == name);
        let (_, value) = values.next()?;
        values.next().is_none().then_some(value.as_str())
    }
}

impl std::fmt::Debug for Response {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} {:?} {:?}", self.status, self.headers, String::from_utf8_lossy(&self.body))
    }
}

impl Connection {
    /// Sends bytes.
    ///
    /// # Errors
    ///
    /// The other end doesn't take them.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.stream {
            Stream::Plain(stream) => stream.write_all(bytes),
            Stream::Tls(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
        }
    }

    /// Sends a request and reads its answer.
    ///
    /// # Errors
    ///
    /// As [`Connection::read_response`].
    pub fn ask(&mut self, request: &[u8]) -> Result<Response, String> {
        self.send(request).map_err(|error| format!("sending: {error}"))?;
        self.read_response(request.starts_with(b"HEAD "))
    }

    /// Reads one response and not a byte more. The answer to a HEAD request has no body.
    ///
    /// # Errors
    ///
    /// What isn't as HTTP wants it, or is missing.
    pub fn read_response(&mut self, to_head: bool) -> Result<Response, String> {
        let length = loop {
            if let Some(at) = self.unread.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            if self.unread.len() > MAX_HEAD {
                return Err(format!("no end of the head in {:?}", self.unread_text()));
            }
            if self.read_more().map_err(|error| format!("{error}; so far {:?}", self.unread_text()))? == 0 {
                return Err(format!("the connection was closed after {:?}", self.unread_text()));
            }
        };
        let head: Vec<u8> = self.unread.drain(..length).collect();
        let mut response = read_head(&head)?;
        let body_follows = !to_head && response.status != 204 && response.status >= 200;
        if body_follows {
            response.body = self.read_body(&response)?;
        }
        Ok(response)
    }

    fn read_body(&mut self, response: &Response) -> Result<Vec<u8>, String> {
        if response.header("transfer-encoding") == Some("chunked") {
            return self.read_chunks();
        }
        if response.is_http_1_0 && response.headers.iter().all(|(name, _)| name != "content-length") {
            return self.take_all();
        }
        let length = response.header("content-length").ok_or_else(|| format!("no length: {response:?}"))?;
        let length = length.parse().map_err(|error| format!("length {length:?}: {error}"))?;
        self.take(length)
    }

    fn read_chunks(&mut self) -> Result<Vec<u8>, String> {
        let mut body = Vec::new();
        loop {
            let line = self.take_line()?;
            let length = usize::from_str_radix(&line, 16).map_err(|error| format!("{line:?}: {error}"))?;
            let chunk = self.take(length + 2)?;
            let Some(content) = chunk.strip_suffix(b"\r\n") else {
                return Err("a chunk that doesn't end".into());
            };
            if length == 0 {
                return Ok(body);
            }
            body.extend(content);
        }
    }

    fn take_line(&mut self) -> Result<String, String> {
        loop {
            if let Some(at) = self.unread.windows(2).position(|window| window == b"\r\n") {
                let line: Vec<u8> = self.unread.drain(..at + 2).take(at).collect();
                return String::from_utf8(line).map_err(|error| error.to_string());
            }
            self.need_more()?;
        }
    }

    fn take(&mut self, length: usize) -> Result<Vec<u8>, String> {
        while self.unread.len() < length {
            self.need_more()?;
        }
        Ok(self.unread.drain(..length).collect())
    }

    /// To the end of the connection.
    fn take_all(&mut self) -> Result<Vec<u8>, String> {
        loop {
            match self.read_more() {
                Ok(0) => return Ok(std::mem::take(&mut self.unread)),
                Ok(_) => {}
                Err(error) => return Err(format!("in the middle of a body: {error}")),
            }
        }
    }

    fn need_more(&mut self) -> Result<(), String> {
        match self.read_more() {
            Ok(0) => Err(format!("closed in the middle of a body, behind {:?}", self.unread_text())),
            Ok(_) => Ok(()),
            Err(error) => Err(format!("in the middle of a body: {error}")),
        }
    }

    /// Waits for the end of the connection.
    ///
    /// # Errors
    ///
    /// Bytes that came before it, or that it didn't come.
    pub fn read_end(&mut self) -> Result<(), String> {
        if !self.unread.is_empty() {
            return Err(format!("bytes that nobody asked for: {:?}", self.unread_text()));
        }
        match self.read_more() {
            Ok(0) => Ok(()),
            Ok(_) => Err(format!("bytes that nobody asked for: {:?}", self.unread_text())),
            Err(error) if is_timeout(&error) => Err("the connection stays open".into()),
            // The tracker had not read everything: the kernel ends the connection in this way.
            Err(_) => Ok(()),
        }
    }

    /// Takes whatever is there, and waits for it when there is nothing: for protocols that follow an upgrade. 0 at the end.
    ///
    /// # Errors
    ///
    /// Those of the socket; that nothing came is one of them.
    pub fn read_into(&mut self, bytes: &mut Vec<u8>) -> io::Result<usize> {
        if self.unread.is_empty() {
            self.read_more()?;
        }
        let length = self.unread.len();
        bytes.append(&mut self.unread);
        Ok(length)
    }

    /// What has come so far doesn't matter.
    pub fn forget_unread(&mut self) {
        self.unread.clear();
    }

    /// Says that nothing more will be sent; answers can still come.
    ///
    /// # Errors
    ///
    /// The connection is gone.
    pub fn finish_sending(&mut self) -> io::Result<()> {
        if let Stream::Tls(stream) = &mut self.stream {
            stream.conn.send_close_notify();
            stream.flush()?;
        }
        self.socket().shutdown(std::net::Shutdown::Write)
    }

    /// The socket underneath.
    pub fn socket(&self) -> &TcpStream {
        match &self.stream {
            Stream::Plain(stream) => stream,
            Stream::Tls(stream) => &stream.sock,
        }
    }

    /// The TLS session, of connections that have one.
    pub fn session(&self) -> Option<&ClientConnection> {
        match &self.stream {
            Stream::Plain(_) => None,
            Stream::Tls(stream) => Some(&stream.conn),
        }
    }

    fn unread_text(&self) -> String {
        String::from_utf8_lossy(&self.unread).into_owned()
    }

    /// Reads what is there; 0 at the end.
    fn read_more(&mut self) -> io::Result<usize> {
        let mut buffer = [0; 16 * 1024];
        let read = match &mut self.stream {
            Stream::Plain(stream) => stream.read(&mut buffer),
            Stream::Tls(stream) => stream.read(&mut buffer),
        };
        match read {
            Ok(length) => {
                self.unread.extend(&buffer[..length]);
                Ok(length)
            }
            // Without a closing alert: lengths say whether an answer is whole.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
            Err(error) => Err(error),
        }
    }
}

fn read_head(head: &[u8]) -> Result<Response, String> {
    let text = std::str::from_utf8(head).map_err(|error| error.to_string())?;
    let mut lines = text.trim_end_matches("\r\n").split("\r\n");
    let status_line = lines.next().unwrap_or_default();
    let status = status_line
        .strip_prefix("HTTP/1.1 ")
        .or_else(|| status_line.strip_prefix("HTTP/1.0 "))
        .and_then(|rest| rest.get(..3))
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(|| format!("a status line that is none: {status_line:?}"))?;
    let mut headers = Vec::new();
    for line in lines {
        let (name, value) =
            line.split_once(": ").ok_or_else(|| format!("a header that is none: {line:?}"))?;
        headers.push((name.to_ascii_lowercase(), value.to_owned()));
    }
    Ok(Response { is_http_1_0: status_line.starts_with("HTTP/1.0"), status, headers, body: Vec::new() })
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// A connection to somebody who says this and goes.
    fn told(text: &'static [u8]) -> Connection {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let connection = Dial::plain(listener.local_addr().unwrap()).open().unwrap();
        let (mut server, _) = listener.accept().unwrap();
        server.write_all(text).unwrap();
        connection
    }

    #[test]
    fn responses_are_taken_one_by_one() {
        let mut connection = told(
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 405 No\r\nContent-Length: 7\r\n\r\n\
              HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n",
        );
        assert_eq!(connection.read_response(false).unwrap().body, b"ok");
        assert_eq!(connection.read_response(true).unwrap().status, 405);
        assert_eq!(connection.read_response(false).unwrap().body, b"abcd");
        connection.read_end().unwrap();
    }

    #[test]
    fn a_byte_too_many_is_an_error() {
        let mut connection = told(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok\n");
        connection.read_response(false).unwrap();
        assert!(connection.read_end().unwrap_err().contains("nobody asked"));
    }

    #[test]
    fn what_is_no_response_is_an_error() {
        for text in [
            &b""[..],
            b"HTTP/1.1 200",
            b"HTTP/1.1 200 OK\r\n\r\nno length",
            b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab",
            b"d8:completei0ee\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n",
        ] {
            assert!(told(text).read_response(false).is_err(), "{:?}", String::from_utf8_lossy(text));
        }
    }
}
