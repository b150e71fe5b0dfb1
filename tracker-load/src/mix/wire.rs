//! What requests go out by: a socket of the client's own, or frames past the network stack, by an AF_XDP socket that clients share.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::sys::datagrams::{self, Received};
use crate::sys::xsk::{self, Xsk};

/// The first client's port; the others' follow.
const FIRST_PORT: u16 = 20_000;

/// A client's way to the tracker.
pub(super) enum Wire {
    Socket(UdpSocket),
    Xdp { link: Rc<RefCell<Link>>, client: usize },
}

impl Wire {
    /// Sends datagrams without blocking; how many.
    pub(super) fn send<'a>(&self, mut datagrams: impl Iterator<Item = &'a [u8]>) -> Result<usize> {
        match self {
            Self::Socket(socket) => datagrams::send(socket, datagrams).context("cannot send"),
            Self::Xdp { link, client } => {
                let link = &mut *link.borrow_mut();
                let frame = link.frames[*client].clone();
                link.socket
                    .send(|into| datagrams.next().map(|datagram| frame.write(datagram, into)))
                    .context("cannot send")
            }
        }
    }

    /// Takes what has arrived, without blocking; how many datagrams.
    pub(super) fn receive(&self, into: &mut Received) -> Result<usize> {
        match self {
            Self::Socket(socket) => datagrams::receive(socket, into).context("cannot receive"),
            Self::Xdp { link, client } => {
                let link = &mut *link.borrow_mut();
                link.receive();
                into.refill(&mut link.came[*client]);
                Ok(into.count())
            }
        }
    }
}

/// Waits until one of them has something to read, or the time is over.
pub(super) fn wait<'a>(wires: impl Iterator<Item = &'a Wire> + Clone, time: Duration) -> io::Result<()> {
    let mut shared = wires.clone().filter_map(|wire| match wire {
        Wire::Xdp { link, .. } => Some(link),
        Wire::Socket(_) => None,
    });
    match shared.next() {
        Some(link) => link.borrow().socket.wait(time),
        None => datagrams::wait(
            wires.filter_map(|wire| match wire {
                Wire::Socket(socket) => Some(socket),
                Wire::Xdp { .. } => None,
            }),
            time,
        ),
    }
}

/// The AF_XDP socket, and the clients' frames.
pub(super) struct Link {
    socket: Xsk,
    frames: Vec<Frame>,
    /// What has come, by client.
    came: Vec<VecDeque<Vec<u8>>>,
}

impl Link {
    /// For clients of these addresses on an interface. The tracker's hardware address is looked up when it is not given.
    pub(super) fn open(
        interface: &str,
        mac: &str,
        target: SocketAddr,
        sources: &[IpAddr],
    ) -> Result<Rc<RefCell<Self>>> {
        let own = xsk::interface(interface).with_context(|| format!("interface {interface}"))?;
        let to = if mac.is_empty() { neighbour(interface, target)? } else { read_mac(mac).context("mac")? };
        let frames: Vec<Frame> = sources
            .iter()
            .enumerate()
            .map(|(number, source)| {
                let source = SocketAddr::new(*source, FIRST_PORT + number as u16);
                Frame { macs: [to, own.mac], source, target }
            })
            .collect();
        let socket = Xsk::open(own, target.port()).with_context(|| {
            format!("AF_XDP on {interface}: it needs root (or CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF), and no other program or AF_XDP socket there")
        })?;
        let came = frames.iter().map(|_| VecDeque::new()).collect();
        Ok(Rc::new(RefCell::new(Self { socket, frames, came })))
    }

    fn receive(&mut self) {
        let Self { socket, came, .. } = self;
        socket.receive(|frame| {
            if let Some((port, payload)) = payload(frame)
                && let Some(came) = came.get_mut(usize::from(port.wrapping_sub(FIRST_PORT)))
            {
                came.push_back(payload.to_vec());
            }
        });
    }
}

/// What the frames of a client begin with.
#[derive(Clone)]
struct Frame {
    /// To, from.
    macs: [[u8; 6]; 2],
    source: SocketAddr,
    target: SocketAddr,
}

impl Frame {
    /// Writes a frame with this datagram; its length.
    fn write(&self, datagram: &[u8], into: &mut [u8]) -> usize {
        let mut at = 0;
        let mut put = |bytes: &[u8]| {
            into[at..at + bytes.len()].copy_from_slice(bytes);
            at += bytes.len();
        };
        self.macs.iter().for_each(|mac| put(mac));
        let udp_len = (8 + datagram.len()) as u16;
        let mut udp = [self.source.port(), self.target.port(), udp_len, 0].map(u16::to_be_bytes).concat();
        match (self.source.ip(), self.target.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                let mut head = [0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 17, 0, 0].to_vec();
                head[2..4].copy_from_slice(&(20 + udp_len).to_be_bytes());
                head.extend([from.octets(), to.octets()].concat());
                let sum = checksum(&[&head]);
                head[10..12].copy_from_slice(&sum.to_be_bytes());
                // A UDP checksum of 0 is none (RFC 768).
                put(&[8, 0]);
                put(&head);
            }
            (from, to) => {
                let octets = |ip: IpAddr| match ip {
                    IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
                    IpAddr::V6(ip) => ip.octets(),
                };
                let (from, to) = (octets(from), octets(to));
                // RFC 8200, 8.1: the addresses, the length and the protocol are in the sum.
                let sum = checksum(&[&from, &to, &udp_len.to_be_bytes(), &[0, 17], &udp, datagram]);
                udp[6..8].copy_from_slice(&if sum == 0 { 0xffff_u16 } else { sum }.to_be_bytes());
                put(&[0x86, 0xdd]);
                put(&[0x60, 0, 0, 0]);
                put(&udp_len.to_be_bytes());
                put(&[17, 64]);
                put(&from);
                put(&to);
            }
        }
        put(&udp);
        put(datagram);
        at
    }
}

/// RFC 1071; each part but the last has an even length.
fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0_u32;
    for part in parts {
        for pair in part.chunks(2) {
            let low = pair.get(1).copied().unwrap_or(0);
            sum += u32::from(u16::from_be_bytes([pair[0], low]));
        }
    }
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// The destination port and the payload of a frame with UDP.
fn payload(frame: &[u8]) -> Option<(u16, &[u8])> {
    let udp = match frame.get(12..14)? {
        [8, 0] => 14 + 4 * usize::from(frame.get(14)? & 15),
        _ => 54,
    };
    let port = u16::from_be_bytes(*frame.get(udp + 2..)?.first_chunk()?);
    let len = u16::from_be_bytes(*frame.get(udp + 4..)?.first_chunk()?);
    // A short frame has padding behind.
    Some((port, frame.get(udp + 8..udp + usize::from(len))?))
}

fn read_mac(text: &str) -> Result<[u8; 6]> {
    let bytes: Vec<u8> =
        text.split(':')
            .map(|byte| u8::from_str_radix(byte, 16))
            .collect::<Result<_, _>>()
            .with_context(|| format!("`{text}` is no hardware address like 02:00:00:00:00:01"))?;
    bytes.try_into().map_err(|_| anyhow::anyhow!("`{text}` is no hardware address: six bytes"))
}

/// The tracker's hardware address, as the kernel finds it out when it is asked to send something there.
fn neighbour(interface: &str, target: SocketAddr) -> Result<[u8; 6]> {
    let any: IpAddr = if target.is_ipv6() { [0u16; 8].into() } else { [0u8; 4].into() };
    let socket = UdpSocket::bind((any, 0)).context("a socket")?;
    for _attempt in 0..20 {
        // A connect that no tracker answers differently: two zero bytes are nothing.
        let _refused = socket.send_to(&[0, 0], target);
        std::thread::sleep(Duration::from_millis(50));
        let table = fs::read_to_string("/proc/thread-self/net/arp").unwrap_or_default();
        let ip = target.ip().to_string();
        let found =
            table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).find_map(
                |words| match words[..] {
                    [address, _, flags, mac, _, device]
                        if address == ip && device == interface && flags != "0x0" =>
                    {
                        read_mac(mac).ok()
                    }
                    _ => None,
                },
            );
        if let Some(mac) = found {
            return Ok(mac);
        }
    }
    bail!(
        "{} isn't a neighbour on {interface} that the kernel knows: give the hardware address of it, or of the gateway, as --mac (`ip neigh` shows them)",
        target.ip()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_both_families_are_as_they_should_be() {
        for (source, target, head) in [("10.0.0.2", "10.0.0.1:6969", 42), ("fd00::2", "[fd00::1]:6969", 62)] {
            let source = SocketAddr::new(source.parse().unwrap(), FIRST_PORT + 3);
            let frame = Frame { macs: [[1; 6], [2; 6]], source, target: target.parse().unwrap() };
            let mut into = [0xff; 2048];
            let len = frame.write(b"sixteen bytes...", &mut into);
            assert_eq!(len, head + 16);
            let (udp, bytes) = (head - 8, &into[..len]);
            assert_eq!(bytes[udp..udp + 2], (FIRST_PORT + 3).to_be_bytes());
            assert_eq!(payload(bytes), Some((6969, &b"sixteen bytes..."[..])));
            // Sums over what they are in are 0.
            if head == 42 {
                assert_eq!(checksum(&[&bytes[14..34]]), 0);
            } else {
                let pseudo = [&bytes[22..54], &[0, 24], &[0, 17]].concat();
                assert_eq!(checksum(&[&pseudo, &bytes[54..]]), 0);
            }
        }
    }

    #[test]
    fn padding_is_not_part_of_a_payload_and_cut_frames_have_none() {
        let frame = Frame {
            macs: [[1; 6], [2; 6]],
            source: "10.0.0.2:20000".parse().unwrap(),
            target: "10.0.0.1:1".parse().unwrap(),
        };
        let mut into = [0; 60];
        let len = frame.write(b"x", &mut into);
        assert_eq!(payload(&into), Some((1, &b"x"[..])));
        (0..len).for_each(|cut| assert_eq!(payload(&into[..cut]), None, "{cut}"));
    }

    #[test]
    fn hardware_addresses_are_read() {
        assert_eq!(read_mac("02:00:0a:ff:00:01").unwrap(), [2, 0, 10, 255, 0, 1]);
        for wrong in ["", "02:00", "02:00:00:00:00:0g", "02:00:00:00:00:00:00"] {
            assert!(read_mac(wrong).is_err(), "{wrong}");
        }
    }
}
