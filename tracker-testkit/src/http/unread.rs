//! How many bytes a tracker has not read yet, asked of the kernel: so a test can send one part of a request after the other without
//! waiting any time.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};

/// How long the tracker may take to read before the test fails; nothing is measured with it.
const PATIENCE: Duration = Duration::from_secs(20);

/// `SOCK_DIAG_BY_FAMILY` of linux/sock_diag.h.
const BY_FAMILY: u16 = 20;
/// `TCP_ESTABLISHED` of net/tcp_states.h.
const ESTABLISHED: u8 = 1;

/// Asks the kernel about sockets (linux/inet_diag.h) of the network namespace in which it was made.
#[derive(Debug)]
pub struct Unread(Socket);

impl Unread {
    /// Needs no privilege.
    #[track_caller]
    pub fn new() -> Self {
        let netlink = Domain::from(libc::AF_NETLINK);
        let socket = Socket::new(netlink, Type::RAW, Some(Protocol::from(libc::NETLINK_SOCK_DIAG)));
        Self(socket.expect("a kernel with inet_diag, which ss needs as well"))
    }

    /// Returns when the other end of this connection has been accepted and all its bytes are read.
    #[track_caller]
    pub fn wait(&self, client: &TcpStream) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.at_the_other_end(client) {
                Ok(Some(0)) => return,
                Ok(other) => assert!(Instant::now() < deadline, "the tracker doesn't read: {other:?} bytes"),
                Err(error) => panic!("asking the kernel about a socket: {error}"),
            }
            std::thread::yield_now();
        }
    }

    /// Bytes that wait at the other end of a connection within this machine; `None` when it isn't established.
    ///
    /// # Errors
    ///
    /// Those of the sockets.
    pub fn at_the_other_end(&self, client: &TcpStream) -> io::Result<Option<u32>> {
        let request = request(client.peer_addr()?, client.local_addr()?);
        (&self.0).write_all(&request)?;
        let mut answer = [0; 1024];
        let length = (&self.0).read(&mut answer)?;
        // struct nlmsghdr: length, type, …; struct inet_diag_msg: family, state, …, receive queue.
        let kind = u16::from_ne_bytes([answer[4], answer[5]]);
        let waiting = u32::from_ne_bytes([answer[72], answer[73], answer[74], answer[75]]);
        let is_it = length >= 76 && kind == BY_FAMILY && answer[17] == ESTABLISHED;
        Ok(is_it.then_some(waiting))
    }
}

impl Default for Unread {
    fn default() -> Self {
        Self::new()
    }
}

/// struct nlmsghdr and struct inet_diag_req_v2 for one TCP socket.
fn request(local: SocketAddr, remote: SocketAddr) -> Vec<u8> {
    const LENGTH: u32 = 16 + 56;
    const NLM_F_REQUEST: u16 = 1;
    let mut bytes = Vec::with_capacity(LENGTH as usize);
    bytes.extend(LENGTH.to_ne_bytes());
    bytes.extend(BY_FAMILY.to_ne_bytes());
    bytes.extend(NLM_F_REQUEST.to_ne_bytes());
    bytes.extend([0; 8]);
    let family = if local.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    bytes.extend([family as u8, libc::IPPROTO_TCP as u8, 0, 0]);
    bytes.extend(u32::MAX.to_ne_bytes());
    bytes.extend(local.port().to_be_bytes());
    bytes.extend(remote.port().to_be_bytes());
    for address in [local.ip(), remote.ip()] {
        match address {
            IpAddr::V4(ip) => bytes.extend([&ip.octets()[..], &[0; 12]].concat()),
            IpAddr::V6(ip) => bytes.extend(ip.octets()),
        }
    }
    // Any interface, and no cookie.
    bytes.extend([0; 4]);
    bytes.extend([0xff; 8]);
    debug_assert_eq!(bytes.len(), LENGTH as usize);
    bytes
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn bytes_wait_until_they_are_read() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(address) else { continue };
            let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (mut server, _) = listener.accept().unwrap();
            let unread = Unread::new();
            client.write_all(b"abc").unwrap();
            assert_eq!(unread.at_the_other_end(&client).unwrap(), Some(3));
            server.read_exact(&mut [0; 2]).unwrap();
            assert_eq!(unread.at_the_other_end(&client).unwrap(), Some(1));
            server.read_exact(&mut [0; 1]).unwrap();
            unread.wait(&client);
            drop(server);
            assert_eq!(unread.at_the_other_end(&client).unwrap(), None);
        }
    }
}
