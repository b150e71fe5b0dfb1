//! Sockets on the configured addresses: as many per address as there are workers, and no second tracker beside them.
//!
//! Called by `daemon` before anything is attached or written. `SO_REUSEPORT`, which lets the workers of one tracker share a port,
//! would also let a second tracker of the same user join and take a share of the requests; so each port is first bound once
//! without it. Tests are below.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, bail};
use socket2::{Domain, Protocol, Socket, Type};

use crate::config::Udp;
use crate::ports::{self, Transport, no_ipv6};
use crate::udp::sys::{self, Family};

/// How long a worker may wait for requests before it looks whether it should stop.
const RECEIVE_TIMEOUT: Duration = Duration::from_millis(200);

/// The sockets of one address.
pub struct Bound {
    /// The address with its real port.
    pub address: SocketAddr,
    /// One per worker.
    pub sockets: Vec<Socket>,
}

/// Binds all addresses of the configuration.
///
/// # Errors
///
/// An address that isn't this machine's, a port that is taken (with the process that has it) or privileged.
pub fn bind_all(config: &Udp) -> anyhow::Result<Vec<Bound>> {
    let workers = match config.workers_per_address {
        0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        count => count as usize,
    };
    let mut bound = Vec::new();
    for &address in &config.addresses {
        match bind(address, workers, config.receive_buffer_bytes) {
            Ok(sockets) => bound.push(sockets),
            Err(error) if address == SocketAddr::from(([0u16; 8], address.port())) && no_ipv6(&error) => {
                tracing::warn!(
                    "udp {address}: this machine has no IPv6; remove the address from udp.addresses to silence this"
                );
            }
            Err(error) => return Err(error),
        }
    }
    if bound.is_empty() {
        bail!("udp: none of the addresses in udp.addresses could be bound");
    }
    Ok(bound)
}

fn bind(address: SocketAddr, workers: usize, buffer_bytes: u32) -> anyhow::Result<Bound> {
    let probe = socket(address, false)
        .and_then(|socket| socket.bind(&address.into()).map(|()| socket))
        .map_err(|error| explain(address, error))?;
    let address = probe.local_addr()?.as_socket().context("a UDP socket has an Internet address")?;
    let mut sockets = Vec::with_capacity(workers);
    if workers == 1 {
        // It needn't share, and the kernel needn't choose.
        sockets.push(probe);
    } else {
        // The port is ours alone; from now on it may be shared. The probe keeps it until the workers' sockets have it.
        probe.set_reuse_port(true)?;
        for _ in 0..workers {
            let socket = socket(address, true).map_err(|error| explain(address, error))?;
            socket.bind(&address.into()).map_err(|error| explain(address, error))?;
            sockets.push(socket);
        }
    }
    for (number, socket) in sockets.iter().enumerate() {
        prepare(socket, address).with_context(|| format!("udp {address}: socket options"))?;
        // The configuration holds no more than an i32.
        if let Some(bytes) = i32::try_from(buffer_bytes).ok().filter(|bytes| *bytes > 0) {
            enlarge(socket, address, bytes, number == 0);
        }
    }
    Ok(Bound { address, sockets })
}

fn socket(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        // IPv4 has sockets of its own: one family a socket, so that an answer's family is the socket's.
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_port(shared)?;
    Ok(socket)
}

fn prepare(socket: &Socket, address: SocketAddr) -> io::Result<()> {
    socket.set_read_timeout(Some(RECEIVE_TIMEOUT))?;
    // A worker that can't send drops the answer: waiting would stop the requests behind it.
    socket.set_write_timeout(Some(Duration::from_millis(1)))?;
    if address.ip().is_unspecified() {
        sys::ask_for_local_address(socket, if address.is_ipv6() { Family::V6 } else { Family::V4 })?;
    }
    Ok(())
}

fn enlarge(socket: &Socket, address: SocketAddr, bytes: i32, report: bool) {
    let forced = sys::force_receive_buffer(socket, bytes);
    if forced.or_else(|_not_permitted| socket.set_recv_buffer_size(bytes as usize)).is_err() {
        tracing::debug!("udp {address}: the receive buffer stays as it is");
    }
    // The kernel doubles what it is asked for, and cuts it silently at net.core.rmem_max.
    let real = socket.recv_buffer_size().unwrap_or(0) / 2;
    if report && real < bytes as usize {
        tracing::info!(
            "udp {address}: receive buffer of {real} bytes instead of {bytes}; for more: sysctl -w net.core.rmem_max={bytes}"
        );
    }
}

fn explain(address: SocketAddr, error: io::Error) -> anyhow::Error {
    ports::explain(Transport::Udp, &format!("udp {address}"), address, error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    fn config(address: SocketAddr, workers: u32) -> Udp {
        Udp { addresses: vec![address], workers_per_address: workers, ..Udp::default() }
    }

    fn loopback() -> SocketAddr {
        "127.0.0.1:0".parse().expect("an address")
    }

    fn refusal(config: &Udp) -> String {
        match bind_all(config) {
            Ok(_) => panic!("{:?} could be bound", config.addresses),
            Err(error) => format!("{error:#}"),
        }
    }

    #[test]
    fn workers_of_one_tracker_share_the_port() {
        let bound = bind_all(&config(loopback(), 3)).expect("a free port");
        assert_eq!(bound[0].sockets.len(), 3);
        assert_ne!(bound[0].address.port(), 0);
        for socket in &bound[0].sockets {
            let address = socket.local_addr().expect("it is bound").as_socket();
            assert_eq!(address, Some(bound[0].address));
        }
    }

    #[test]
    fn second_tracker_on_the_port_is_an_error_that_names_address_and_process() {
        let first = bind_all(&config(loopback(), 2)).expect("a free port");
        let taken = first[0].address;
        let message = refusal(&config(taken, 2));
        assert!(
            message.contains(&format!("udp {taken}: the port is in use by process {}", std::process::id())),
            "{message}"
        );
        let everywhere = SocketAddr::from(([0, 0, 0, 0], taken.port()));
        assert!(
            refusal(&config(everywhere, 1)).contains("in use by process"),
            "{}",
            refusal(&config(everywhere, 1))
        );
    }

    #[test]
    fn plain_socket_on_the_port_is_an_error_too() {
        let other = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        let taken = other.local_addr().expect("it is bound");
        assert!(refusal(&config(taken, 1)).contains(&format!("udp {taken}: the port is in use by process")));
    }

    #[test]
    fn families_are_apart_on_one_port() {
        let Ok(bound) = bind_all(&config("[::]:0".parse().expect("an address"), 1)) else {
            eprintln!("skipped: no IPv6 on this machine");
            return;
        };
        // The port may be taken in IPv4 by a stranger; not by our own IPv6 socket.
        let v4 = SocketAddr::from(([127, 77, 66, 55], bound[0].address.port()));
        bind_all(&config(v4, 1)).expect("an IPv6 socket doesn't take the IPv4 port");
    }

    #[test]
    fn foreign_address_is_named() {
        let message = refusal(&config("192.0.2.77:0".parse().expect("an address"), 1));
        assert!(message.contains("192.0.2.77 is not an address of this machine"), "{message}");
    }
}
