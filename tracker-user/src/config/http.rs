//! The tables of HTTP and TLS, what may stand in them, and what the workers of `http-ws` are given of them.
//!
//! Tests are below.

use std::fmt::{self, Display, Formatter};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http_ws::endpoint::BadEndpoint;
use http_ws::proxy;
use http_ws::tls::Files;
use http_ws::{Endpoint, Settings};
use serde::{Deserialize, Serialize};
use tracker_core::block_list::{BadNetwork, Network};

use super::{Config, Refusal, within};

section! {
    /// HTTP (BEP 3, 7, 21, 23, 24, 48) and HTTPS. Both serve the same swarms as UDP.
    Http {
        /// Where to listen: "http://ADDRESS:PORT" or "https://ADDRESS:PORT", IPv4 and IPv6 apart, with "proxy+" in front when each
        /// connection begins with a header of the PROXY protocol; [] for no HTTP. Port 0 takes a free one, which is printed at start.
        listen: Vec<Listen> = vec![
            Listen::plain(SocketAddr::from(([0, 0, 0, 0], 6969))),
            Listen::plain(SocketAddr::from(([0u16; 8], 6969))),
        ],
        /// Threads, each of which serves all of these addresses, 1 to 1024; 0: one per processor.
        workers: u32 = 0,
        /// Connections at once, 1 to 16777216; further clients are told to come back later. Each takes a file descriptor: where the
        /// system gives fewer, fewer connections are taken, and the log says how to get more.
        max_connections: u32 = 65_536,
        /// Connections at once from one address (IPv6: one /64); 0: any number. Trusted proxies are exempt.
        max_connections_per_address: u32 = 64,
        /// Seconds that a client may take to send a request, and to take more of its answer, 1 to 3600.
        request_timeout_s: u32 = 10,
        /// Seconds that a connection stays open for its next request, 1 to 3600.
        idle_timeout_s: u32 = 60,
        /// Addresses or networks of reverse proxies, for example ["127.0.0.1", "2001:db8::/64"]. What they say about the client's
        /// address counts, and they have to say it; what others say is ignored.
        trusted_proxies: Vec<TrustedProxy> = Vec::new(),
        /// The header in which they say it: "x-forwarded-for", "x-real-ip" or "forwarded" (RFC 7239). It isn't looked at where the
        /// PROXY protocol is spoken.
        proxy_header: ProxyHeader = ProxyHeader::XForwardedFor,
        /// Whether the parameters ip, ipv4 and ipv6 of a request count when it comes through a trusted proxy.
        use_ip_parameters: bool = false,
        /// Answer a scrape without info hashes with all torrents. Many of them are sorted in a temporary file, 36 bytes a torrent, in
        /// $TMPDIR, else /var/tmp.
        full_scrape: bool = false,
        /// Seconds between two of those answers to one source, 1 to 86400.
        full_scrape_interval_s: u32 = 900,
    }
}

section! {
    /// Certificate and key for the https:// addresses of http.listen, one pair or one bundle. SIGHUP and SIGUSR1 read the files again;
    /// if they can't be used the tracker goes on with what it has. `tracker-user tls self-signed DIR` makes some for trying out.
    Tls {
        /// File with the certificate: a PEM chain, the server's own first, or one DER certificate.
        certificate: PathBuf = PathBuf::new(),
        /// File with its private key in PEM or DER (PKCS#8, PKCS#1 or SEC1); may be the same PEM file.
        private_key: PathBuf = PathBuf::new(),
        /// Instead of both: a PKCS#12 bundle (.p12, .pfx).
        pkcs12: PathBuf = PathBuf::new(),
        /// File with the bundle's password; "": it has none.
        pkcs12_password_file: PathBuf = PathBuf::new(),
        /// TLS handshakes at once in each worker, 1 to 65536; further ones wait, or take the place of one that has been going on for
        /// more than a second.
        max_handshakes: u32 = 256,
        /// Seconds that a handshake may take, from the acceptance of the connection, 1 to 600.
        handshake_timeout_s: u32 = 10,
    }
}

choice! {
    /// In which header a trusted proxy names the client (PROTOCOL H16).
    ProxyHeader {
        /// The usual one.
        XForwardedFor = "x-forwarded-for",
        /// nginx's.
        XRealIp = "x-real-ip",
        /// RFC 7239's.
        Forwarded = "forwarded",
    }
}

impl From<ProxyHeader> for proxy::ProxyHeader {
    fn from(header: ProxyHeader) -> Self {
        match header {
            ProxyHeader::XForwardedFor => Self::XForwardedFor,
            ProxyHeader::XRealIp => Self::XRealIp,
            ProxyHeader::Forwarded => Self::Forwarded,
        }
    }
}

/// An address to listen on, with what is spoken there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Listen(pub Endpoint);

impl Listen {
    const fn plain(address: SocketAddr) -> Self {
        Self(Endpoint { address, tls: false, proxy_protocol: false })
    }
}

impl Display for Listen {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

impl TryFrom<String> for Listen {
    type Error = BadEndpoint;

    fn try_from(text: String) -> Result<Self, BadEndpoint> {
        text.parse().map(Self)
    }
}

impl From<Listen> for String {
    fn from(listen: Listen) -> Self {
        listen.to_string()
    }
}

/// Where reverse proxies are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TrustedProxy(pub Network);

impl TryFrom<String> for TrustedProxy {
    type Error = BadNetwork;

    fn try_from(text: String) -> Result<Self, BadNetwork> {
        Network::parse(&text).map(Self)
    }
}

impl From<TrustedProxy> for String {
    fn from(TrustedProxy(Network { address, prefix_len }): TrustedProxy) -> Self {
        let bits = if address.is_ipv4() { 32 } else { 128 };
        if prefix_len == bits { address.to_string() } else { format!("{address}/{prefix_len}") }
    }
}

impl Http {
    /// How many threads: as many as processors unless it is said.
    pub fn worker_count(&self) -> usize {
        match self.workers {
            0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            count => count as usize,
        }
    }

    pub(super) fn check(&self) -> Result<(), Refusal> {
        self.check_addresses()?;
        within("http.workers", self.workers, 0..=1024)?;
        within("http.max_connections", self.max_connections, 1..=1 << 24)?;
        within("http.request_timeout_s", self.request_timeout_s, 1..=3600)?;
        within("http.idle_timeout_s", self.idle_timeout_s, 1..=3600)?;
        within("http.full_scrape_interval_s", self.full_scrape_interval_s, 1..=86_400)?;
        if self.use_ip_parameters && self.trusted_proxies.is_empty() {
            return Err((
                "http.use_ip_parameters",
                "true without http.trusted_proxies: the parameters count only in requests that come through one of them, or anybody could \
                 register somebody else"
                    .to_owned(),
            ));
        }
        Ok(())
    }

    fn check_addresses(&self) -> Result<(), Refusal> {
        let refuse = |reason: String| Err(("http.listen", reason));
        for (i, listen) in self.listen.iter().enumerate() {
            let address = listen.0.address;
            if let Some(other) = self.listen[..i].iter().find(|other| meet(other.0.address, address)) {
                return match other.0.address == address {
                    true => refuse(format!("{address} is listed twice")),
                    false => refuse(format!(
                        "{other} and {listen} share a port: 0.0.0.0 and [::] are all addresses of their family"
                    )),
                };
            }
            if listen.0.proxy_protocol && self.trusted_proxies.is_empty() {
                return refuse(format!(
                    "{listen} needs http.trusted_proxies: headers of the PROXY protocol are taken from those alone"
                ));
            }
        }
        Ok(())
    }
}

/// Whether two sockets can't have these addresses at once.
fn meet(a: SocketAddr, b: SocketAddr) -> bool {
    let same_ip = a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified();
    a.port() == b.port() && a.port() != 0 && a.is_ipv4() == b.is_ipv4() && same_ip
}

impl Tls {
    /// Where certificate and key are; `None`: nowhere. Of a checked configuration.
    pub fn files(&self) -> Option<Files> {
        let named = |path: &Path| (!path.as_os_str().is_empty()).then(|| path.to_owned());
        if let Some(bundle) = named(&self.pkcs12) {
            return Some(Files::Pkcs12 { bundle, password_file: named(&self.pkcs12_password_file) });
        }
        let (certificate, private_key) = (named(&self.certificate)?, named(&self.private_key)?);
        Some(Files::Separate { certificate, private_key })
    }

    pub(super) fn check(&self) -> Result<(), Refusal> {
        let named = |path: &Path| !path.as_os_str().is_empty();
        let (certificate, key) = (named(&self.certificate), named(&self.private_key));
        let refuse = |key, reason: &str| Err((key, reason.to_owned()));
        if named(&self.pkcs12) && (certificate || key) {
            return refuse(
                "tls.pkcs12",
                "a bundle and tls.certificate or tls.private_key: only one of both can be served, so remove one",
            );
        }
        if certificate && !key {
            return refuse("tls.certificate", "a certificate needs its tls.private_key");
        }
        if key && !certificate {
            return refuse("tls.private_key", "a private key needs its tls.certificate");
        }
        if named(&self.pkcs12_password_file) && !named(&self.pkcs12) {
            return refuse("tls.pkcs12_password_file", "a password without the bundle in tls.pkcs12");
        }
        within("tls.max_handshakes", self.max_handshakes, 1..=65_536)?;
        within("tls.handshake_timeout_s", self.handshake_timeout_s, 1..=600)
    }
}

/// Relations between the two tables.
pub(super) fn check(http: &Http, tls: &Tls) -> Result<(), Refusal> {
    http.check()?;
    tls.check()?;
    match http.listen.iter().find(|listen| listen.0.tls) {
        Some(listen) if tls.files().is_none() => Err((
            "http.listen",
            format!(
                "{listen} needs a certificate: set tls.certificate and tls.private_key, or tls.pkcs12; for trying out, `tracker-user tls \
                 self-signed DIR` makes one"
            ),
        )),
        _ => Ok(()),
    }
}

impl Config {
    /// Limits, timeouts and trust as the HTTP workers need them.
    pub fn http_settings(&self) -> Settings {
        let Self { http, tls, .. } = self;
        let seconds = |seconds: u32| Duration::from_secs(seconds.into());
        Settings {
            max_connections: http.max_connections,
            max_connections_per_address: http.max_connections_per_address,
            request_timeout: seconds(http.request_timeout_s),
            idle_timeout: seconds(http.idle_timeout_s),
            max_handshakes: tls.max_handshakes,
            handshake_timeout: seconds(tls.handshake_timeout_s),
            trusted_proxies: http.trusted_proxies.iter().map(|proxy| proxy.0).collect(),
            proxy_header: http.proxy_header.into(),
            use_ip_parameters: http.use_ip_parameters,
            full_scrape_every: http.full_scrape.then(|| seconds(http.full_scrape_interval_s)),
            webtorrent: self.webtorrent.settings(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        Config::parse("tracker.toml", text).expect_err("the text has to be refused").to_string()
    }

    fn parsed(text: &str) -> Config {
        Config::parse("tracker.toml", text).unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn default_settings_are_those_of_the_workers() {
        let (ours, theirs) = (Config::default().http_settings(), Settings::default());
        assert_eq!(format!("{ours:?}"), format!("{theirs:?}"));
    }

    #[test]
    fn every_kind_of_listener_is_read_and_printed() {
        let words = [
            "http://0.0.0.0:80",
            "https://[::1]:443",
            "proxy+http://127.0.0.1:0",
            "proxy+https://[2001:db8::1]:1",
        ];
        for word in words {
            let listen = Listen::try_from(word.to_owned()).expect(word);
            assert_eq!(String::from(listen), word);
            assert_eq!(
                (listen.0.tls, listen.0.proxy_protocol),
                (word.contains("https"), word.contains("proxy+"))
            );
        }
    }

    #[test]
    fn no_listener_is_no_http() {
        assert_eq!(parsed("[http]\nlisten = []\n").http.listen, []);
    }

    #[test]
    fn bad_listeners_are_refused_with_line_and_reason() {
        for (listen, reason) in [
            (r#"["0.0.0.0:80"]"#, "http://"),
            (r#"["ftp://0.0.0.0:80"]"#, "http://"),
            (r#"["http://localhost:80"]"#, "http://localhost:80"),
            (r#"["http://127.0.0.1:80", "http://127.0.0.1:80"]"#, "127.0.0.1:80 is listed twice"),
            (r#"["http://127.0.0.1:80", "https://127.0.0.1:80"]"#, "127.0.0.1:80 is listed twice"),
            (r#"["http://0.0.0.0:80", "http://127.0.0.1:80"]"#, "share a port"),
            (r#"["http://[::1]:80", "http://[::]:80"]"#, "share a port"),
            (r#"["http://[::ffff:192.0.2.1]:80", "http://192.0.2.1:80"]"#, "192.0.2.1:80 is listed twice"),
            (r#"["https://0.0.0.0:443"]"#, "needs a certificate"),
            (r#"["proxy+http://0.0.0.0:80"]"#, "needs http.trusted_proxies"),
        ] {
            let message = refusal(&format!("[http]\n\nlisten = {listen}\n"));
            assert!(
                message.starts_with("tracker.toml:3: ") && message.contains(reason),
                "{listen}: {message}"
            );
            assert!(message.contains("http.listen: Where to listen"), "{listen}: {message}");
        }
    }

    #[test]
    fn families_and_free_ports_do_not_meet() {
        parsed(
            r#"http.listen = ["http://0.0.0.0:80", "http://[::]:80", "http://127.0.0.1:0", "http://127.0.0.1:0"]"#,
        );
    }

    #[test]
    fn listener_for_proxies_is_taken_with_trusted_ones() {
        let config = parsed(
            "[http]\nlisten = [\"proxy+http://0.0.0.0:80\"]\ntrusted_proxies = [\"10.1.2.3/8\", \"::1\"]\n",
        );
        let printed: Vec<String> = config.http.trusted_proxies.iter().map(|&proxy| proxy.into()).collect();
        assert_eq!(printed, ["10.0.0.0/8", "::1"]);
        assert_eq!(config.http_settings().trusted_proxies.len(), 2);
        assert_eq!(Config::parse("printed", &config.commented()).expect("it parses"), config);
    }

    #[test]
    fn bad_proxies_are_refused() {
        let message = refusal("[http]\ntrusted_proxies = [\"10.0.0.0/33\"]\n");
        assert!(
            message.starts_with("tracker.toml:2: ") && message.contains("\"10.0.0.0/33\" is not a network"),
            "{message}"
        );
        assert!(refusal("http.use_ip_parameters = true").contains("without http.trusted_proxies"));
    }

    #[test]
    fn certificate_comes_in_one_way_with_its_key() {
        let files = |text: &str| parsed(text).tls.files();
        assert_eq!(files(""), None);
        assert_eq!(
            files("[tls]\ncertificate = \"/c\"\nprivate_key = \"/k\"\n"),
            Some(Files::Separate { certificate: "/c".into(), private_key: "/k".into() })
        );
        assert_eq!(
            files("[tls]\npkcs12 = \"/b\"\n"),
            Some(Files::Pkcs12 { bundle: "/b".into(), password_file: None })
        );
        assert_eq!(
            files(
                "[http]\nlisten = [\"https://0.0.0.0:0\"]\n[tls]\npkcs12 = \"/b\"\npkcs12_password_file = \"/p\"\n"
            ),
            Some(Files::Pkcs12 { bundle: "/b".into(), password_file: Some("/p".into()) })
        );
        for (text, reason) in [
            ("certificate = \"/c\"", "needs its tls.private_key"),
            ("private_key = \"/k\"", "needs its tls.certificate"),
            ("pkcs12 = \"/b\"\nprivate_key = \"/k\"", "only one of both"),
            ("pkcs12_password_file = \"/p\"", "without the bundle"),
        ] {
            let message = refusal(&format!("[tls]\n{text}\n"));
            assert!(message.starts_with("tracker.toml:2: ") && message.contains(reason), "{text}: {message}");
        }
    }

    #[test]
    fn numbers_out_of_range_are_refused() {
        for key in [
            "http.max_connections",
            "http.request_timeout_s",
            "http.idle_timeout_s",
            "http.full_scrape_interval_s",
        ] {
            assert!(refusal(&format!("{key} = 0")).contains("0 is not within 1 to"), "{key}");
        }
        assert!(refusal("http.workers = 1025").contains("1025 is not within 0 to 1024"));
        assert!(refusal("tls.handshake_timeout_s = 0").contains("0 is not within 1 to 600"));
        assert!(refusal("tls.max_handshakes = 0").contains("0 is not within 1 to 65536"));
    }
}
