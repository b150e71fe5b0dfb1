//! A daemon for HTTP rows, with its listeners, and clients at any address.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConfig;

use crate::answer::Answer as UdpAnswer;
use crate::daemon::{Configuration, Daemon, Home};
use crate::http::answer::Answer;
use crate::http::authority::Authority;
use crate::http::case::{Host, Setup};
use crate::http::connection::{Connection, Dial};
use crate::http::query::{self, Announce, Version};
use crate::netns::Namespace;
use crate::payload;
use crate::rows::{self, Family, Source};
use crate::run::{Hosts, Path as _};
use crate::sockets::{MARKERS, Sockets};

/// Info hash of the announces that prove that others before them are in the table.
const MARKER: [u8; 20] = [0xf8; 20];

/// The host that announces markers; no case uses it.
const FENCE: Host = Host { family: Family::V4, number: 0xff02 };

/// How long an announce may take into the table before the test fails; nothing is measured with it.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where tracker and clients are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// On this machine's loopback, of which 127.0.0.0/8 is there for everybody: IPv4 alone.
    Loopback,
    /// On the loopback of a namespace, with both families. Needs root.
    Namespace,
}

/// A tracker and its clients.
#[derive(Debug)]
pub struct Running {
    /// The tracker's files.
    pub home: Home,
    /// Its process.
    pub daemon: Daemon,
    /// Whom its certificate is from.
    pub authority: Authority,
    hosts: Hosts,
    namespace: Option<Arc<Namespace>>,
    client: Arc<ClientConfig>,
    udp: Sockets,
    markers: u16,
}

impl Running {
    /// Starts the tracker at `binary` (in tests `env!("CARGO_BIN_EXE_tracker-user")`).
    #[track_caller]
    pub fn start(binary: impl AsRef<Path>, place: Place, setup: &Setup) -> Self {
        let (hosts, namespace, addresses) = match place {
            Place::Loopback => (Hosts { v4: [127, 77], v6: 0 }, None, &["127.0.0.1:0"][..]),
            Place::Namespace => {
                let namespace = Namespace::new();
                namespace.own_networks("10.77.0.0/16", "fd77::/64");
                let hosts = Hosts { v4: [10, 77], v6: 0xfd77 };
                (hosts, Some(Arc::new(namespace)), &["127.0.0.1:0", "[::1]:0"][..])
            }
        };
        let home = Home::new(binary.as_ref());
        let authority = Authority::new();
        let identity = authority.identity(&["127.0.0.1", "::1", "localhost"]);
        home.write("chain.pem", &identity.chain);
        home.write("key.pem", &identity.key);
        let markers = [MARKERS[0], MARKERS[1], MARKER];
        home.configure(&Configuration {
            http: http_sections(&home, hosts, addresses, setup),
            ..Configuration::sockets(addresses).with_setup(&setup.base, hosts, &markers)
        });
        let daemon = home.start(namespace.as_deref());
        let v6 = namespace.is_some().then(|| daemon.address(true));
        let udp = Sockets::new(hosts, namespace.clone(), daemon.address(false), v6);
        Self { client: authority.client(), home, daemon, authority, hosts, namespace, udp, markers: 0 }
    }

    /// Whether hosts can have IPv6 addresses.
    pub fn has_ipv6(&self) -> bool {
        self.namespace.is_some()
    }

    /// A host's address.
    pub fn address(&self, host: Host) -> IpAddr {
        self.hosts.address(host.family, rows::Host::Number(host.number))
    }

    /// How a host reaches the tracker; with a preface it goes to the listener for the PROXY protocol.
    #[track_caller]
    pub fn dial(&self, host: Host, tls: bool, preface: Option<&[u8]>) -> Dial {
        let scheme = match (preface.is_some(), tls) {
            (false, false) => "http",
            (false, true) => "https",
            (true, false) => "proxy+http",
            (true, true) => "proxy+https",
        };
        Dial {
            to: self.listener(scheme, host.family == Family::V6),
            from: Some(self.address(host)),
            namespace: self.namespace.clone(),
            tls: tls.then(|| Arc::clone(&self.client)),
            preface: preface.unwrap_or_default().to_vec(),
        }
    }

    /// Where a listener is.
    #[track_caller]
    pub fn listener(&self, scheme: &str, is_ipv6: bool) -> SocketAddr {
        self.daemon.http_address(scheme, is_ipv6)
    }

    /// The namespace, if there is one.
    pub fn namespace(&self) -> Option<&Arc<Namespace>> {
        self.namespace.as_ref()
    }

    /// Announces over UDP.
    ///
    /// # Errors
    ///
    /// No answer, or one that can't be read.
    pub fn announce_by_udp(&mut self, host: Host, announce: &payload::Announce) -> Result<UdpAnswer, String> {
        let source = Source {
            family: host.family,
            host: rows::Host::Number(host.number),
            port: rows::SourcePort::First,
            shape: rows::Shape::Plain,
        };
        let is_ipv6 = host.family == Family::V6;
        let mut ask = |request: &[u8]| {
            let bytes = self.udp.exchange(&source, request, false).ok_or("silence over UDP")?;
            UdpAnswer::read(&bytes, is_ipv6)
        };
        let UdpAnswer::Connect { connection_id, .. } = ask(&payload::connect(0xc0c0))? else {
            return Err("no answer to a connect".into());
        };
        ask(&payload::Announce { connection_id, ..announce.clone() }.bytes())
    }

    /// Returns when all UDP announces of this family have been applied to the table.
    pub fn settle_udp(&mut self, family: Family) {
        self.udp.settle(family);
    }

    /// Returns when all HTTP announces have been applied to the table. There is one worker, and the writer takes its announces
    /// one after another, but for stops, which go last among those of one step of the clock: so when two later ones are there, one after
    /// the other, the earlier ones are.
    #[track_caller]
    pub fn settle(&mut self) {
        for _ in 0..2 {
            self.mark();
        }
    }

    /// Announces a marker and waits until it is counted.
    fn mark(&mut self) {
        self.markers += 1;
        let marker =
            Announce { info_hash: MARKER, port: self.markers, numwant: Some(1), ..Announce::default() };
        let mut connection = self.dial(FENCE, false, None).open().expect("the tracker lets the fence in");
        let mut ask = |target: &str| {
            let response = ask(&mut connection, target);
            Answer::read(&response).unwrap_or_else(|why| panic!("{target}: {why}"))
        };
        let answer = ask(&marker.target());
        assert!(matches!(answer, Answer::Announce(_)), "a marker got {answer:?}");
        let deadline = Instant::now() + PATIENCE;
        loop {
            match ask(&query::scrape(&[MARKER])) {
                Answer::Scrape(torrents)
                    if torrents
                        .first()
                        .is_some_and(|(_, torrent)| torrent.counts.leechers == u32::from(self.markers)) =>
                {
                    return;
                }
                other => assert!(Instant::now() < deadline, "a marker announce is not applied: {other:?}"),
            }
        }
    }
}

#[track_caller]
fn ask(connection: &mut Connection, target: &str) -> Vec<u8> {
    let request = query::get(target.as_bytes(), &[], Version::Http11);
    connection.ask(&request).unwrap_or_else(|why| panic!("{target}: {why}")).body
}

/// `[http]`, `[tls]` and `[webtorrent]` of the configuration: each kind of listener at each address, one worker unless the set-up wants more.
fn http_sections(home: &Home, hosts: Hosts, addresses: &[&str], setup: &Setup) -> String {
    let mut trusted: Vec<String> =
        setup.trusted_networks.iter().map(|network| (*network).to_owned()).collect();
    for (family, number, free_bits) in &setup.trusted_hosts {
        let address = hosts.address(*family, rows::Host::Number(*number));
        // Without IPv6 there is no such host either.
        if address.is_ipv4() || hosts.v6 != 0 {
            let bits = if address.is_ipv4() { 32 } else { 128 };
            trusted.push(format!("{address}/{}", bits - free_bits));
        }
    }
    let mut listen = Vec::new();
    // The PROXY protocol is nobody's but trusted proxies'.
    let schemes: &[&str] =
        if trusted.is_empty() { &["http", "https"] } else { &["http", "https", "proxy+http", "proxy+https"] };
    for scheme in schemes {
        listen.extend(addresses.iter().map(|address| format!("{scheme}://{address}")));
    }
    let mut text = format!("[http]\nlisten = {listen:?}\ntrusted_proxies = {trusted:?}\n");
    if setup.keys.iter().all(|(key, _)| *key != "workers") {
        text.push_str("workers = 1\n");
    }
    for (key, value) in &setup.keys {
        writeln!(text, "{key} = {value}").expect("writing to a String");
    }
    let (certificate, key) = (home.path("chain.pem"), home.path("key.pem"));
    writeln!(text, "[tls]\ncertificate = {certificate:?}\nprivate_key = {key:?}")
        .expect("writing to a String");
    for (key, value) in &setup.tls_keys {
        writeln!(text, "{key} = {value}").expect("writing to a String");
    }
    text.push_str("[webtorrent]\n");
    for (key, value) in &setup.webtorrent_keys {
        writeln!(text, "{key} = {value}").expect("writing to a String");
    }
    text
}
