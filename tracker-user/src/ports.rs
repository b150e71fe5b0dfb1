//! Ports that can't be had: by whom they are taken, and what an operator can do.
//!
//! Used where sockets are bound: `udp::bind`, `http::bind`. Tests are there, and below.

use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::MetadataExt as _;

/// Whose ports are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Those of `udp.addresses`.
    Udp,
    /// Those of `http.listen`.
    Tcp,
    /// Those of `metrics.listen`.
    Metrics,
}

/// linux/include/net/tcp_states.h: `TCP_LISTEN`.
const LISTENING: &str = "0A";

impl Transport {
    const fn key(self) -> &'static str {
        match self {
            Self::Udp => "udp.addresses",
            Self::Tcp => "http.listen",
            Self::Metrics => "metrics.listen",
        }
    }

    const fn tables(self) -> [&'static str; 2] {
        match self {
            Self::Udp => ["/proc/net/udp", "/proc/net/udp6"],
            Self::Tcp | Self::Metrics => ["/proc/net/tcp", "/proc/net/tcp6"],
        }
    }
}

/// Whether it can't be bound because the machine has no IPv6.
pub fn no_ipv6(error: &anyhow::Error) -> bool {
    let os_error = error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error);
    matches!(os_error, Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL))
}

/// What an operator needs to know about a bind that was refused.
/// `what` is the address as the configuration has it.
pub fn explain(transport: Transport, what: &str, address: SocketAddr, error: io::Error) -> anyhow::Error {
    let port = address.port();
    let key = transport.key();
    let reason = match error.raw_os_error() {
        Some(libc::EADDRINUSE) => match holder(transport, address) {
            Some(process) => {
                format!("{what}: the port is in use by {process}: stop it or choose another port in {key}")
            }
            None => format!(
                "{what}: the port is in use by another process: stop it or choose another port in {key}"
            ),
        },
        Some(libc::EACCES) if port < 1024 => {
            format!("{what}: ports below 1024 need root or CAP_NET_BIND_SERVICE")
        }
        Some(libc::EADDRNOTAVAIL) => {
            format!("{what}: {} is not an address of this machine (`ip address` lists them)", address.ip())
        }
        _ => format!("{what}: bind"),
    };
    anyhow::Error::new(error).context(reason)
}

/// The process that has a socket on this port, as far as this process may see it.
fn holder(transport: Transport, address: SocketAddr) -> Option<String> {
    // A wildcard socket of one family also stands in the way of the other one.
    let inodes: Vec<u64> = transport
        .tables()
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .flat_map(|table| {
            table.lines().skip(1).filter_map(|line| inode_on(transport, line, address)).collect::<Vec<_>>()
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

/// The inode of a line of /proc/net/{udp,tcp}{,6} whose socket conflicts with `address`.
fn inode_on(transport: Transport, line: &str, address: SocketAddr) -> Option<u64> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (ip, port) = fields.get(1)?.split_once(':')?;
    if u16::from_str_radix(port, 16).ok()? != address.port() {
        return None;
    }
    // A connection has a port of ours too; only what listens is in the way.
    if transport == Transport::Tcp && *fields.get(3)? != LISTENING {
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

    #[test]
    fn connections_do_not_hold_a_port_and_listeners_do() {
        let line = |state: &str| {
            format!(
                "  1: {:08X}:0050 00000000:0000 {state} 0:0 0:0 0 0 0 4711 1",
                u32::from_ne_bytes([127, 0, 0, 1])
            )
        };
        let address = "127.0.0.1:80".parse().expect("an address");
        assert_eq!(inode_on(Transport::Tcp, &line("0A"), address), Some(4711));
        assert_eq!(inode_on(Transport::Tcp, &line("01"), address), None);
        assert_eq!(inode_on(Transport::Udp, &line("07"), address), Some(4711));
    }
}
