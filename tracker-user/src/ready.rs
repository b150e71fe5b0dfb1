//! What the tracker tells on stdout at start: one fact a line, the last one `ready`.
//!
//! Written for scripts and tests that wait for a tracker, and for people. Each line is flushed at once. Tests are below.

use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};

use http_ws::Endpoint;

use crate::config::Listen;
use crate::interface::{Interface, InterfaceAddress};

/// Something that listens.
#[derive(Clone, Copy, Debug)]
pub enum Listens {
    /// UDP sockets.
    Udp(SocketAddr),
    /// HTTP, HTTPS, or either behind a proxy.
    Http(Endpoint),
    /// The same place, for WebTorrent.
    WebSocket(Endpoint),
}

impl Listens {
    const fn address(self) -> SocketAddr {
        match self {
            Self::Udp(address)
            | Self::Http(Endpoint { address, .. })
            | Self::WebSocket(Endpoint { address, .. }) => address,
        }
    }

    /// The line about it; nobody can announce where the PROXY protocol is spoken.
    fn line(self, address: SocketAddr) -> String {
        match self {
            Self::Udp(_) => format!("announce udp://{address}/announce"),
            Self::Http(endpoint) => {
                let listen = Listen(Endpoint { address, ..endpoint });
                if endpoint.proxy_protocol {
                    format!("listen {listen}")
                } else {
                    format!("announce {listen}/announce")
                }
            }
            Self::WebSocket(Endpoint { tls, .. }) => {
                let scheme = if tls { "wss" } else { "ws" };
                format!("announce {scheme}://{address}/announce")
            }
        }
    }
}

/// A line for each place where clients reach the tracker, wildcards expanded to the addresses of the interfaces that `served` lets through.
pub fn places(
    bound: impl IntoIterator<Item = Listens>,
    addresses: &[InterfaceAddress],
    served: impl Fn(u32) -> bool,
) -> Vec<String> {
    let mut lines = Vec::new();
    for listens in bound {
        let address = listens.address();
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
            expanded.push(address);
        }
        lines.extend(expanded.into_iter().map(|address| listens.line(address)));
    }
    lines.dedup();
    lines
}

/// A link-local address means something only together with an interface of the client, which no URL can name.
fn has_url(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(_) => true,
        IpAddr::V6(v6) => !v6.is_unicast_link_local(),
    }
}

/// Writes the lines: places, interfaces with what became of them, metrics, the control socket, how to stop, `ready`.
///
/// # Errors
///
/// Those of writing; a closed stdout doesn't concern a tracker, so callers may ignore them.
pub fn write(
    out: &mut impl Write,
    places: &[String],
    interfaces: &[String],
    metrics: &[SocketAddr],
    control: &str,
) -> io::Result<()> {
    for place in places {
        writeln!(out, "{place}")?;
    }
    for interface in interfaces {
        writeln!(out, "xdp {interface}")?;
    }
    for address in metrics {
        writeln!(out, "metrics http://{address}/metrics")?;
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

    fn udp(text: &str) -> Listens {
        Listens::Udp(text.parse().expect("an address"))
    }

    #[test]
    fn wildcards_are_expanded_to_the_served_interfaces() {
        let locals =
            [local(1, "127.0.0.1"), local(2, "192.0.2.1"), local(2, "fe80::1"), local(2, "2001:db8::1")];
        let bound = [udp("0.0.0.0:6969"), udp("[::]:6969"), udp("127.0.0.1:80")];
        assert_eq!(
            places(bound, &locals, |index| index == 2),
            [
                "announce udp://192.0.2.1:6969/announce",
                "announce udp://[2001:db8::1]:6969/announce",
                "announce udp://127.0.0.1:80/announce"
            ]
        );
        assert_eq!(places([bound[0]], &locals, |_| true).len(), 2);
    }

    #[test]
    fn wildcard_without_any_address_stays() {
        assert_eq!(places([udp("[::]:1")], &[], |_| true), ["announce udp://[::]:1/announce"]);
    }

    #[test]
    fn http_has_announce_urls_except_behind_the_proxy_protocol() {
        let locals = [local(1, "192.0.2.1")];
        let http = |address: &str, tls, proxy_protocol| {
            Listens::Http(Endpoint { address: address.parse().expect("an address"), tls, proxy_protocol })
        };
        let bound = [
            http("0.0.0.0:80", false, false),
            http("[::1]:443", true, false),
            http("127.0.0.1:81", false, true),
        ];
        let webtorrent = bound.iter().filter_map(|listens| match listens {
            Listens::Http(endpoint) if !endpoint.proxy_protocol => Some(Listens::WebSocket(*endpoint)),
            _ => None,
        });
        assert_eq!(
            places(webtorrent, &locals, |_| true),
            ["announce ws://192.0.2.1:80/announce", "announce wss://[::1]:443/announce"]
        );
        assert_eq!(
            places(bound, &locals, |_| true),
            [
                "announce http://192.0.2.1:80/announce",
                "announce https://[::1]:443/announce",
                "listen proxy+http://127.0.0.1:81"
            ]
        );
    }

    #[test]
    fn lines_end_with_ready() {
        let mut out = Vec::new();
        write(
            &mut out,
            &["announce udp://127.0.0.1:1/announce".to_owned()],
            &["lo generic".to_owned()],
            &["127.0.0.1:9969".parse().expect("an address")],
            "/run/c",
        )
        .expect("memory");
        assert_eq!(
            String::from_utf8(out).expect("text"),
            "announce udp://127.0.0.1:1/announce\nxdp lo generic\nmetrics http://127.0.0.1:9969/metrics\ncontrol /run/c\nstop with Ctrl-C or SIGTERM\nready\n"
        );
    }
}
