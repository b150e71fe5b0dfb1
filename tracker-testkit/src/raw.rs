//! Frames as they are: for packets that no UDP socket would send.
//!
//! Used by [`crate::sockets`] at a [`Cable`]'s client end.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use crate::netns::Cable;
use crate::packet::{self, Checksum};
use crate::sys;

/// Sends frames to the server of a cable, and sees those that come back.
#[derive(Debug)]
pub struct RawSender {
    /// A packet socket: of UDP sockets only `send` and `recv` are used, which are the same for both.
    socket: UdpSocket,
    client_mac: [u8; 6],
    server_mac: [u8; 6],
}

impl RawSender {
    /// At the client's end. Needs root.
    #[track_caller]
    pub fn new(cable: &Cable) -> Self {
        let socket = cable.client.inside(|| sys::packet_socket(Cable::CLIENT_INTERFACE));
        let socket = UdpSocket::from(socket.expect("root may have packet sockets"));
        socket.set_nonblocking(true).expect("a socket");
        Self {
            socket,
            client_mac: cable.client.mac(Cable::CLIENT_INTERFACE),
            server_mac: cable.server.mac(Cable::SERVER_INTERFACE),
        }
    }

    /// Sends a datagram in a frame of its own, with any source.
    #[track_caller]
    pub fn send(&self, source: SocketAddr, server: SocketAddr, checksum: Checksum, payload: &[u8]) {
        let frame = packet::eth()
            .macs(self.client_mac, self.server_mac)
            .ip(source.ip(), server.ip())
            .udp(source.port(), server.port())
            .udp_checksum(checksum)
            .payload(payload)
            .build();
        let sent = self.socket.send(&frame).unwrap_or_else(|error| panic!("sending {frame:02x?}: {error}"));
        assert_eq!(sent, frame.len());
    }

    /// Takes all frames that are waiting; the UDP payload of the first one from `server` to `client`.
    pub fn received(&self, server: IpAddr, client: IpAddr) -> Option<Vec<u8>> {
        let mut found = None;
        let mut buffer = [0; 2048];
        while let Ok(len) = self.socket.recv(&mut buffer) {
            let frame = &buffer[..len];
            let (addresses, payload_at) = match (server, client) {
                (IpAddr::V4(server), IpAddr::V4(client)) => ([server.octets(), client.octets()].concat(), 42),
                (IpAddr::V6(server), IpAddr::V6(client)) => ([server.octets(), client.octets()].concat(), 62),
                _ => unreachable!("one packet has addresses of one family"),
            };
            let addresses_at = payload_at - 8 - addresses.len();
            if frame.get(addresses_at..).is_some_and(|rest| rest.starts_with(&addresses)) && found.is_none() {
                found = frame.get(payload_at..).map(<[u8]>::to_vec);
            }
        }
        found
    }
}
