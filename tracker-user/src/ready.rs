//! What the tracker tells on stdout at start: one fact a line, the last one `ready`.
//!
//! Written for scripts and tests that wait for a tracker, and for people. Each line is flushed at once. Tests are below.

use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};

use crate::interface::{Interface, InterfaceAddress};

/// The announce URLs of the bound addresses, wildcards expanded to the addresses of the interfaces that `served` lets through.
pub fn announce_urls(
    bound: &[SocketAddr],
    addresses: &[InterfaceAddress],
    served: impl Fn(u32) -> bool,
) -> Vec<String> {
    let mut urls = Vec::new();
    for address in bound {
        let mut expanded: Vec<SocketAddr> = Vec::new();
        if address.ip().is_unspecified() {
            expanded.extend(
                addresses
                    .iter()
                    .filter(|local| {
                        local.ip.is_ipv4() == address.is_ipv4()
                            && served(local.interface)
                            && has_url(local.ip)
                    })
                    .map(|local| SocketAddr::new(local.ip, address.port())),
            );
        }
        if expanded.is_empty() {
            expanded.push(*address);
        }
        urls.extend(expanded.iter().map(|address| format!("udp://{address}/announce")));
    }
    urls.dedup();
    urls
}

/// A link-local address means something only together with an interface of the client, which no URL can name.
fn has_url(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(_) => true,
        IpAddr::V6(v6) => !v6.is_unicast_link_local(),
    }
}

/// Writes the lines: announce URLs, interfaces with what became of them, the control socket, how to stop, `ready`.
///
/// # Errors
///
/// Those of writing; a closed stdout doesn't concern a tracker, so callers may ignore them.
pub fn write(out: &mut impl Write, urls: &[String], interfaces: &[String], control: &str) -> io::Result<()> {
    for url in urls {
        writeln!(out, "announce {url}")?;
    }
    for interface in interfaces {
        writeln!(out, "xdp {interface}")?;
    }
    writeln!(out, "control {control}")?;
    writeln!(out, "stop with Ctrl-C or SIGTERM")?;
    writeln!(out, "ready")?;
    out.flush()
}

/// Whether an interface's addresses belong into the URLs: those of the served interfaces, or of all when none is served.
pub fn is_served(served: &[Interface], index: u32) -> bool {
    served.is_empty() || served.iter().any(|interface| interface.index == index)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local(interface: u32, ip: &str) -> InterfaceAddress {
        InterfaceAddress { interface, ip: ip.parse().expect("an address") }
    }

    fn address(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn wildcards_are_expanded_to_the_served_interfaces() {
        let locals =
            [local(1, "127.0.0.1"), local(2, "192.0.2.1"), local(2, "fe80::1"), local(2, "2001:db8::1")];
        let bound = [address("0.0.0.0:6969"), address("[::]:6969"), address("127.0.0.1:80")];
        assert_eq!(
            announce_urls(&bound, &locals, |index| index == 2),
            [
                "udp://192.0.2.1:6969/announce",
                "udp://[2001:db8::1]:6969/announce",
                "udp://127.0.0.1:80/announce"
            ]
        );
        assert_eq!(announce_urls(&bound[..1], &locals, |_| true).len(), 2);
    }

    #[test]
    fn wildcard_without_any_address_stays() {
        assert_eq!(announce_urls(&[address("[::]:1")], &[], |_| true), ["udp://[::]:1/announce"]);
    }

    #[test]
    fn lines_end_with_ready() {
        let mut out = Vec::new();
        write(&mut out, &["udp://127.0.0.1:1/announce".to_owned()], &["lo generic".to_owned()], "/run/c")
            .expect("memory");
        assert_eq!(
            String::from_utf8(out).expect("text"),
            "announce udp://127.0.0.1:1/announce\nxdp lo generic\ncontrol /run/c\nstop with Ctrl-C or SIGTERM\nready\n"
        );
    }
}
