//! Sockets on the configured addresses: as many per address as there are workers, and no second tracker beside them.
//!
//! Called by `daemon` before anything is attached or written. `SO_REUSEPORT`, which lets the workers of one tracker share a port,
//! would also let a second tracker of the same user join and take a share of the requests; so each port is first bound once
//! without it. Tests are below.

use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use anyhow::{Context as _, bail};
use socket2::{Domain, Protocol, Socket, Type};

use crate::config::Udp;
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
                log::warn!(
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

fn no_ipv6(error: &anyhow::Error) -> bool {
    let os_error = error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error);
    matches!(os_error, Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL))
}

fn bind(address: SocketAddr, workers: usize, buffer_bytes: u32) -> anyhow::Result<Bound> {
    let probe = socket(address, false)
        .and_then(|socket| socket.bind(&address.into()).map(|()| socket))
        .map_err(|error| explain(address, error))?;
    let address = probe.local_addr()?.as_socket().context("a UDP socket has an Internet address")?;
    // The port is ours alone; from now on it may be shared. The probe keeps it until the workers' sockets have it.
    probe.set_reuse_port(true)?;
    let mut sockets = Vec::with_capacity(workers);
    for _ in 0..workers {
        let socket = socket(address, true).map_err(|error| explain(address, error))?;
        socket.bind(&address.into()).map_err(|error| explain(address, error))?;
        prepare(&socket, address).with_context(|| format!("udp {address}: socket options"))?;
        // The configuration holds no more than an i32.
        if let Some(bytes) = i32::try_from(buffer_bytes).ok().filter(|bytes| *bytes > 0) {
            enlarge(&socket, address, bytes, sockets.is_empty());
        }
        sockets.push(socket);
    }
    drop(probe);
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
        log::debug!("udp {address}: the receive buffer stays as it is");
    }
    // The kernel doubles what it is asked for, and cuts it silently at net.core.rmem_max.
    let real = socket.recv_buffer_size().unwrap_or(0) / 2;
    if report && real < bytes as usize {
        log::info!(
            "udp {address}: receive buffer of {real} bytes instead of {bytes}; for more: sysctl -w net.core.rmem_max={bytes}"
        );
    }
}

/// What an operator needs to know about a bind that was refused.
fn explain(address: SocketAddr, error: io::Error) -> anyhow::Error {
    let port = address.port();
    let reason = match error.raw_os_error() {
        Some(libc::EADDRINUSE) => match holder(address) {
            Some(process) => format!(
                "udp {address}: the port is in use by {process}: stop it or choose another port in udp.addresses"
            ),
            None => format!(
                "udp {address}: the port is in use by another process: stop it or choose another port in udp.addresses"
            ),
        },
        Some(libc::EACCES) if port < 1024 => {
            format!("udp {address}: ports below 1024 need root or CAP_NET_BIND_SERVICE")
        }
        Some(libc::EADDRNOTAVAIL) => {
            format!(
                "udp {address}: {} is not an address of this machine (`ip address` lists them)",
                address.ip()
            )
        }
        _ => format!("udp {address}: bind"),
    };
    anyhow::Error::new(error).context(reason)
}

/// The process that has a socket on this port, as far as this process may see it.
fn holder(address: SocketAddr) -> Option<String> {
    // A wildcard socket of one family also stands in the way of the other one.
    let inodes: Vec<u64> = ["/proc/net/udp", "/proc/net/udp6"]
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .flat_map(|table| {
            table.lines().skip(1).filter_map(|line| inode_on(line, address)).collect::<Vec<_>>()
        })
        .collect();
    for process in fs::read_dir("/proc").ok()?.flatten() {
        let path = process.path();
        let Some(id) = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let Ok(files) = fs::read_dir(path.join("fd")) else { continue };
        let holds = files.flatten().any(|file| {
            // The metadata of the link's target: a socket's inode number, as /proc/net has it.
            fs::metadata(file.path()).is_ok_and(|metadata| inodes.contains(&metadata.ino()))
                && fs::read_link(file.path())
                    .is_ok_and(|target| target.to_string_lossy().starts_with("socket:"))
        });
        if holds {
            let name = fs::read_to_string(path.join("comm")).unwrap_or_default();
            return Some(format!("process {id} ({})", name.trim()));
        }
    }
    None
}

/// The inode of a line of /proc/net/udp{,6} whose socket conflicts with `address`.
fn inode_on(line: &str, address: SocketAddr) -> Option<u64> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (ip, port) = fields.get(1)?.split_once(':')?;
    if u16::from_str_radix(port, 16).ok()? != address.port() {
        return None;
    }
    let ip = address_of_hex(ip)?;
    let meets = ip == address.ip() || ip.is_unspecified() || address.ip().is_unspecified();
    if !meets {
        return None;
    }
    fields.get(9)?.parse().ok()
}

/// /proc/net writes an address as 32-bit words in hexadecimal, each in the byte order of the machine.
fn address_of_hex(text: &str) -> Option<IpAddr> {
    let words: Option<Vec<[u8; 4]>> = text
        .as_bytes()
        .chunks(8)
        .map(|word| u32::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok().map(u32::to_ne_bytes))
        .collect();
    let bytes = words?.concat();
    if let Ok(v4) = <[u8; 4]>::try_from(bytes.as_slice()) {
        return Some(v4.into());
    }
    <[u8; 16]>::try_from(bytes.as_slice()).ok().map(IpAddr::from)
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

    #[test]
    fn addresses_of_proc_net_are_read() {
        assert_eq!(
            address_of_hex(&format!("{:08X}", u32::from_ne_bytes([127, 0, 0, 1]))),
            Some("127.0.0.1".parse().expect("an address"))
        );
        let loopback = format!("{}{:08X}", "0".repeat(24), u32::from_ne_bytes([0, 0, 0, 1]));
        assert_eq!(address_of_hex(&loopback), Some("::1".parse().expect("an address")));
        assert_eq!(address_of_hex("xyz"), None);
    }
}
