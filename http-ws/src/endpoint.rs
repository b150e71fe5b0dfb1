//! Where to listen and what is spoken there, as one word of the configuration: `http://0.0.0.0:6969`, `https://[::]:443`,
//! `proxy+http://127.0.0.1:8080`.
//!
//! The configuration reads and prints it with `FromStr` and `Display`, which undo each other. Tests: below.

use std::fmt::{self, Display, Formatter};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// One listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Address and port; port 0 takes a free one.
    pub address: SocketAddr,
    /// TLS or plain.
    pub tls: bool,
    /// Connections from trusted proxies begin with a header of the PROXY protocol, version 1 or 2.
    pub proxy_protocol: bool,
}

/// The schemes, with what they say about TLS and the PROXY protocol.
const SCHEMES: [(&str, bool, bool); 4] = [
    ("http", false, false),
    ("https", true, false),
    ("proxy+http", false, true),
    ("proxy+https", true, true),
];

/// A word that says no endpoint. Shows what was there, and what it lacks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{}\" is nothing to listen on: {reason}", .text.escape_debug())]
pub struct BadEndpoint {
    text: String,
    reason: Reason,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum Reason {
    #[error(
        "no scheme: expected http://, https://, proxy+http:// or proxy+https:// and an address, as in http://0.0.0.0:6969"
    )]
    NoScheme,
    #[error("unknown scheme \"{}\": expected http, https, proxy+http or proxy+https", .0.escape_debug())]
    UnknownScheme(String),
    #[error("\"{}\" follows the address: leave it out, every listener serves all paths", .0.escape_debug())]
    Path(String),
    #[error("no port: expected one behind the address, as in {0}:6969")]
    NoPort(String),
    #[error("port \"{}\": expected a number from 0 (any free one) to 65535", .0.escape_debug())]
    BadPort(String),
    #[error("no address: expected 0.0.0.0 for all of IPv4, [::] for all of IPv6, or one of this machine's")]
    NoAddress,
    #[error("an IPv6 address has brackets around it: expected [{0}]")]
    NoBrackets(Ipv6Addr),
    #[error("\"{}\" is not an IP address, and host names are not looked up: expected 0.0.0.0, [::] or one of this machine's", .0.escape_debug())]
    NotAnAddress(String),
}

impl FromStr for Endpoint {
    type Err = BadEndpoint;

    fn from_str(text: &str) -> Result<Self, BadEndpoint> {
        parse(text).map_err(|reason| BadEndpoint { text: text.to_owned(), reason })
    }
}

fn parse(text: &str) -> Result<Endpoint, Reason> {
    let (scheme, rest) = text.split_once("://").ok_or(Reason::NoScheme)?;
    let known = SCHEMES.into_iter().find(|(name, ..)| name.eq_ignore_ascii_case(scheme));
    let (_, tls, proxy_protocol) = known.ok_or_else(|| Reason::UnknownScheme(scheme.to_owned()))?;
    if let Some(at) = rest.find(['/', '?', '#']) {
        return Err(Reason::Path(rest.get(at..).unwrap_or_default().to_owned()));
    }
    Ok(Endpoint { address: socket_address(rest)?, tls, proxy_protocol })
}

fn socket_address(text: &str) -> Result<SocketAddr, Reason> {
    // Of ":::6969" and the like nobody can tell where the port begins.
    if let Ok(address) = text.parse::<Ipv6Addr>() {
        return Err(Reason::NoBrackets(address));
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (text, None),
    };
    if let Ok(address) = host.parse::<Ipv6Addr>() {
        return Err(Reason::NoBrackets(address));
    }
    if host.is_empty() || host == "*" {
        return Err(Reason::NoAddress);
    }
    // With any port, for a link-local address may have a zone ("[fe80::1%2]").
    let mut address: SocketAddr =
        format!("{host}:0").parse().map_err(|_| Reason::NotAnAddress(host.to_owned()))?;
    let port = port.ok_or_else(|| Reason::NoPort(host.to_owned()))?;
    let is_number = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let bad = || Reason::BadPort(port.to_owned());
    // The standard library would take a sign.
    address.set_port(is_number.then(|| port.parse().ok()).flatten().ok_or_else(bad)?);
    // A socket for IPv6 alone can't be bound to an IPv4-mapped address.
    if let IpAddr::V4(v4) = address.ip().to_canonical() {
        address.set_ip(v4.into());
    }
    Ok(address)
}

impl Display for Endpoint {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let proxy = if self.proxy_protocol { "proxy+" } else { "" };
        let scheme = if self.tls { "https" } else { "http" };
        write!(out, "{proxy}{scheme}://{}", self.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_word_says_what_is_spoken_where() {
        for (word, address, tls, proxy_protocol) in [
            ("http://0.0.0.0:6969", "0.0.0.0:6969", false, false),
            ("https://[::]:443", "[::]:443", true, false),
            ("proxy+http://127.0.0.1:8080", "127.0.0.1:8080", false, true),
            ("proxy+https://[2001:db8::1]:0", "[2001:db8::1]:0", true, true),
            ("http://[fe80::1%2]:80", "[fe80::1%2]:80", false, false),
        ] {
            let endpoint = Endpoint { address: address.parse().unwrap(), tls, proxy_protocol };
            assert_eq!(word.parse(), Ok(endpoint), "{word}");
            assert_eq!(endpoint.to_string(), word);
        }
    }

    #[test]
    fn a_scheme_may_be_written_in_either_case() {
        assert_eq!("HTTPS://[::]:443".parse(), "https://[::]:443".parse::<Endpoint>());
    }

    #[test]
    fn an_ipv4_mapped_address_is_an_ipv4_one() {
        assert_eq!("http://[::ffff:127.0.0.1]:80".parse(), "http://127.0.0.1:80".parse::<Endpoint>());
    }

    #[test]
    fn an_error_says_what_to_write() {
        for (word, expected) in [
            ("", "no scheme: expected http://"),
            ("0.0.0.0:6969", "no scheme: expected http://"),
            ("http:0.0.0.0:6969", "no scheme: expected http://"),
            ("udp://0.0.0.0:6969", "unknown scheme \"udp\": expected http, https, proxy+http or proxy+https"),
            (" http://0.0.0.0:6969", "unknown scheme \" http\""),
            ("http://0.0.0.0:6969/announce", "\"/announce\" follows the address: leave it out"),
            ("http://0.0.0.0:6969/", "\"/\" follows the address: leave it out"),
            ("http://0.0.0.0", "no port: expected one behind the address, as in 0.0.0.0:6969"),
            ("http://[::]", "no port: expected one behind the address, as in [::]:6969"),
            ("http://0.0.0.0:", "port \"\": expected a number from 0"),
            ("http://0.0.0.0:65536", "port \"65536\": expected a number from 0"),
            ("http://[::]:+80", "port \"+80\": expected a number from 0"),
            ("http://[::]:80 ", "port \"80 \": expected a number from 0"),
            ("http://", "no address: expected 0.0.0.0 for all of IPv4"),
            ("http://:6969", "no address: expected 0.0.0.0 for all of IPv4"),
            ("http://*:6969", "no address: expected 0.0.0.0 for all of IPv4"),
            ("http://::", "an IPv6 address has brackets around it: expected [::]"),
            ("http://2001:db8::1:6969", "an IPv6 address has brackets around it"),
            (
                "http://1:2:3:4:5:6:7:8:80",
                "an IPv6 address has brackets around it: expected [1:2:3:4:5:6:7:8]",
            ),
            ("http://localhost:6969", "\"localhost\" is not an IP address, and host names are not looked up"),
            ("http://localhost", "\"localhost\" is not an IP address, and host names are not looked up"),
            ("http://[0.0.0.0]:6969", "\"[0.0.0.0]\" is not an IP address"),
            ("http://[::1:6969", "\"[::1\" is not an IP address"),
            ("http://user@0.0.0.0:6969", "\"user@0.0.0.0\" is not an IP address"),
        ] {
            let error = word.parse::<Endpoint>().unwrap_err().to_string();
            let expected = format!("\"{word}\" is nothing to listen on: {expected}");
            assert!(error.starts_with(&expected), "{error}");
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_can_be_read(ip: IpAddr, port: u16, tls: bool, proxy_protocol: bool) {
            let endpoint = Endpoint { address: SocketAddr::new(ip.to_canonical(), port), tls, proxy_protocol };
            prop_assert_eq!(endpoint.to_string().parse(), Ok(endpoint));
        }

        #[test]
        fn every_text_is_an_endpoint_or_an_error_that_quotes_it(text in "(proxy\\+)?(https?)?(://)?[0-9a-f:.\\[\\]%/]{0,20}|\\PC{0,30}") {
            match text.parse::<Endpoint>() {
                Ok(endpoint) => prop_assert_eq!(endpoint.to_string().parse(), Ok(endpoint)),
                Err(error) => {
                    let quoted = format!("\"{}\"", text.escape_debug());
                    prop_assert!(error.to_string().starts_with(&quoted), "{}", error);
                }
            }
        }
    }
}
