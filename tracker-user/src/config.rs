//! The configuration: every key with its comment, its type and its default in one place.
//!
//! `section!` makes from one declaration the struct that serde fills, its `Default`, and the comments of the file that
//! `config print` shows, so the documentation can't drift from the code. Read by `cli` and `daemon`; a value that
//! exists has passed [`Config::validate`]. Errors name file, line and what is allowed. Tests are below.

use std::fmt;
use std::net::SocketAddr;
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tracker_common::table::layout::Cell;
use tracker_core::Limits;
use tracker_core::policy::{self, BadPolicy, Policy};

mod refusal;

pub use refusal::ConfigError;

/// Comment lines and default of one key, as `config print` shows them.
struct Key {
    name: &'static str,
    comment: &'static [&'static str],
    value: toml::Value,
}

/// Declares one table of the configuration; the doc comments become the comments of the printed file.
macro_rules! section {
    (
        $(#[doc = $about:literal])+
        $Name:ident {
            $( $(#[doc = $comment:literal])+ $key:ident: $Type:ty = $default:expr, )+
            $( tables { $( $(#[doc = $table_about:literal])+ $table:ident: $Table:ty, )+ } )?
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct $Name {
            $( $(#[doc = $comment])+ pub $key: $Type, )+
            $( $( $(#[doc = $table_about])+ pub $table: $Table, )+ )?
        }

        impl Default for $Name {
            fn default() -> Self {
                Self { $( $key: $default, )+ $( $( $table: <$Table>::default(), )+ )? }
            }
        }

        impl $Name {
            const ABOUT: &'static [&'static str] = &[$($about),+];

            fn keys(&self) -> Vec<Key> {
                vec![$( Key {
                    name: stringify!($key),
                    comment: &[$($comment),+],
                    value: toml::Value::try_from(&self.$key).expect("every type of the configuration is a TOML value"),
                }, )+]
            }
        }
    };
}

section! {
    /// Configuration of tracker-user. Every key is optional; the values shown are the defaults.
    Config {
        /// Directory for what has to survive a restart: the keys of the connection ids, the access list.
        state_directory: PathBuf = PathBuf::from("/var/lib/tracker"),
        /// What is logged to stderr: "off", "error", "warn", "info", "debug" or "trace".
        log_level: LogLevel = LogLevel::Info,
        tables {
            /// Answering inside the kernel.
            xdp: Xdp,
            /// UDP sockets.
            udp: Udp,
            /// What clients are told.
            protocol: Protocol,
            /// The swarm table.
            swarm: Swarm,
            /// Which torrents are served.
            access_list: AccessList,
            /// Which networks are served.
            block_list: BlockList,
            /// The socket of `tracker-user map`.
            control: Control,
        }
    }
}

section! {
    /// Answering inside the kernel, by an XDP program on network interfaces. Needs root or the capabilities
    /// CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN; what the program doesn't answer reaches the sockets below.
    Xdp {
        /// Interfaces to attach to, for example ["eth0"]; none: sockets answer everything. `--iface` on the command line
        /// replaces this list.
        interfaces: Vec<String> = Vec::new(),
        /// "auto": native, else generic, else sockets alone, and the log says why; "native" or "generic": that mode or an
        /// error at start; "off": sockets alone.
        mode: XdpMode = XdpMode::Auto,
        /// What the program answers: "all": connects, announces and scrapes; "connect": connects only, and the sockets the
        /// rest, from the same swarm table. `--xdp-answer` on the command line overrides it.
        answer: XdpAnswer = XdpAnswer::All,
        /// Bytes of the ring through which announces reach the swarm table, a power of two from 65536 to 1073741824; 56 an
        /// announce. When it is full, sockets answer.
        event_ring_bytes: u32 = 4 << 20,
        /// Directory on a BPF file system (bpffs) where the maps are pinned while the tracker runs.
        pin_directory: PathBuf = PathBuf::from("/sys/fs/bpf/tracker"),
    }
}

section! {
    /// UDP (BEP 15).
    Udp {
        /// Addresses with ports to listen on, IPv4 and IPv6 apart. `0.0.0.0` and `[::]` are all addresses of the machine; port
        /// 0 takes a free one, which is printed at start.
        addresses: Vec<SocketAddr> = vec![
            SocketAddr::from(([0, 0, 0, 0], 6969)),
            SocketAddr::from(([0u16; 8], 6969)),
        ],
        /// Threads for each address, 1 to 1024; 0: one per processor.
        workers_per_address: u32 = 1,
        /// Receive buffer of each socket in bytes, at most 2147483647; 0: what the system gives. Above net.core.rmem_max it
        /// needs CAP_NET_ADMIN.
        receive_buffer_bytes: u32 = 4 << 20,
        /// Answer to an announce or scrape without a valid connection id: "error" (a short packet, never longer than the
        /// request) or "drop".
        bad_connection_id: BadConnectionId = BadConnectionId::Error,
        /// At most so many of those answers per second to one source address, 1 to 65535.
        errors_per_second: u32 = 10,
    }
}

section! {
    /// What clients are told, and how long they are remembered.
    Protocol {
        /// Seconds between two announces of a client, 60 to 16080; each answer varies it by up to 10 % so that clients that
        /// started together spread out.
        interval_s: u32 = 1800,
        /// Peers in one answer at most, 1 to 230. Also the number sent to a client that names none. An IPv6 answer holds
        /// at most 67, whatever is set here: larger packets would be fragmented.
        max_response_peers: u32 = 50,
        /// Torrents in one scrape at most, 1 to 100; hashes beyond are not answered.
        max_scrape_torrents: u32 = 70,
        /// Seconds after its last announce until a peer is forgotten, at least 2 * interval_s + 600 so that one lost
        /// announce doesn't remove a living peer, and at most 32760.
        peer_lifetime_s: u32 = 4200,
    }
}

section! {
    /// The swarm table. Its memory follows the swarm, in pieces of 512 KiB: some 75 bytes for a torrent with up to three
    /// IPv4 peers, 8 for each further one (IPv6: 26), and in torrents of more than 512 peers up to 12 more to find them.
    /// What comes beyond a limit is answered but not remembered, and counted.
    Swarm {
        /// Torrents at most, 1 to 100000000.
        max_torrents: u32 = 10_000_000,
        /// Peers at most, 1 to 1000000000.
        max_peers: u32 = 40_000_000,
        /// Peers of one torrent at most; 0: as many as its lists can hold, 655360 IPv4 (196608 IPv6) leechers and as many seeders.
        max_peers_per_torrent: u32 = 0,
        /// Torrents at most that the peers of one address (IPv6: one /64) may be in; two ports in a torrent count twice.
        /// 0: any number. A limit costs 10 to 20 bytes for each address.
        max_torrents_per_address: u32 = 0,
        /// Seconds in which the whole table is searched once for peers past their lifetime, 1 to 3600, and at most half of
        /// protocol.peer_lifetime_s.
        cleaning_interval_s: u32 = 60,
    }
}

section! {
    /// Which torrents are served. `tracker-user map access` changes the list while the tracker runs.
    AccessList {
        /// "off": all; "deny" (also "black", "blacklist"): all but the listed ones; "allow" (also "white", "whitelist"): only
        /// the listed ones. `tracker-user map access mode` overrides it until this value is edited.
        mode: AccessMode = AccessMode::Off,
        /// File with one info hash a line, 40 hexadecimal digits (64 for v2 torrents); blank lines and # comments are
        /// ignored. "": access-list.txt in the state directory.
        path: PathBuf = PathBuf::new(),
    }
}

section! {
    /// Networks that get no answer at all.
    BlockList {
        /// File with one address or network a line, such as 192.0.2.0/24 or 2001:db8::/32; blank lines and # comments are
        /// ignored. "": nobody is blocked.
        path: PathBuf = PathBuf::new(),
    }
}

section! {
    /// The socket through which `tracker-user map` talks to the running tracker.
    Control {
        /// Path of the Unix socket; its owner and group may use it (mode 0660).
        socket: PathBuf = PathBuf::from("/run/tracker/control.sock"),
    }
}

/// An enum of the configuration with its names in the file; the first name is printed, all are read.
macro_rules! choice {
    ($(#[$about:meta])* $Name:ident { $( $(#[$doc:meta])* $Variant:ident = $text:literal $(| $alias:literal)*, )+ }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub enum $Name { $( $(#[$doc])* #[serde(rename = $text $(, alias = $alias)*)] $Variant, )+ }

        impl fmt::Display for $Name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str(match self { $( Self::$Variant => $text, )+ })
            }
        }

        impl std::str::FromStr for $Name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                match text {
                    $( $text $(| $alias)* => Ok(Self::$Variant), )+
                    _ => Err(format!("`{text}` is none of: {}", [$($text $(, $alias)*),+].join(", "))),
                }
            }
        }
    };
}

choice! {
    /// How much is logged.
    LogLevel {
        /// Nothing.
        Off = "off",
        /// What stops the tracker.
        Error = "error",
        /// What an operator should change.
        Warn = "warn",
        /// Start, stop, reloads.
        Info = "info",
        /// Details of those.
        Debug = "debug",
        /// Everything.
        Trace = "trace",
    }
}

impl From<LogLevel> for log::LevelFilter {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Off => Self::Off,
            LogLevel::Error => Self::Error,
            LogLevel::Warn => Self::Warn,
            LogLevel::Info => Self::Info,
            LogLevel::Debug => Self::Debug,
            LogLevel::Trace => Self::Trace,
        }
    }
}

choice! {
    /// Which kind of XDP is asked for.
    XdpMode {
        /// The best that works.
        Auto = "auto",
        /// In the driver.
        Native = "native",
        /// In the network stack.
        Generic = "generic",
        /// None.
        Off = "off",
    }
}

choice! {
    /// What the XDP program answers by itself.
    XdpAnswer {
        /// Connects, announces and scrapes.
        All = "all",
        /// Connects.
        Connect = "connect",
    }
}

choice! {
    /// Answer to a bad connection id (PROTOCOL U04).
    BadConnectionId {
        /// One short error packet.
        Error = "error",
        /// Silence.
        Drop = "drop",
    }
}

choice! {
    /// What the access list means.
    AccessMode {
        /// Nothing.
        Off = "off",
        /// Listed torrents are refused.
        Deny = "deny" | "black" | "blacklist",
        /// Other torrents are refused.
        Allow = "allow" | "white" | "whitelist",
    }
}

impl Config {
    /// Reads and checks a file.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| anyhow::anyhow!("configuration {}: {error}", path.display()))?;
        Ok(Self::parse(&path.display().to_string(), &text)?)
    }

    /// Checks the text of a file; `file` is what errors call it.
    pub fn parse(file: &str, text: &str) -> Result<Self, ConfigError> {
        let refuse = |at: Range<usize>, reason: String| ConfigError::at(file, text, at.start, reason);
        let config: Self = toml::from_str(text)
            .map_err(|error| refuse(error.span().unwrap_or(0..0), error.message().replace('\n', " ")))?;
        config
            .validate()
            .map_err(|(key, reason)| refuse(refusal::span_of(text, key).unwrap_or(0..0), reason))?;
        Ok(config)
    }

    /// Checks what types can't: ranges and relations. The error names the key, as `section.key`, and the reason.
    pub fn validate(&self) -> Result<(), (&'static str, String)> {
        let within = |key: &'static str, value: u32, allowed: RangeInclusive<u32>| {
            if allowed.contains(&value) {
                return Ok(());
            }
            Err((key, format!("{value} is not within {} to {}", allowed.start(), allowed.end())))
        };
        if self.udp.addresses.is_empty() {
            return Err(("udp.addresses", "no address to listen on".to_owned()));
        }
        for (i, address) in self.udp.addresses.iter().enumerate() {
            if address.port() != 0 && self.udp.addresses[..i].contains(address) {
                return Err(("udp.addresses", format!("{address} is listed twice")));
            }
            if address.is_ipv6() && address.ip().to_canonical().is_ipv4() {
                return Err((
                    "udp.addresses",
                    format!("{address} is an IPv4 address: write {}", address.ip().to_canonical()),
                ));
            }
        }
        within("udp.workers_per_address", self.udp.workers_per_address, 0..=1024)?;
        within("udp.receive_buffer_bytes", self.udp.receive_buffer_bytes, 0..=i32::MAX as u32)?;
        within("udp.errors_per_second", self.udp.errors_per_second, 1..=u32::from(u16::MAX))?;
        let protocol = &self.protocol;
        within("protocol.interval_s", protocol.interval_s, 60..=MAX_INTERVAL_S)?;
        if !(1..=MAX_PEERS_V4).contains(&protocol.max_response_peers) {
            return Err((
                "protocol.max_response_peers",
                format!(
                    "{} is not within 1 to {MAX_PEERS_V4}: an IPv4 answer of more than {MAX_PEERS_V4} peers is longer than 1400 bytes \
                     and would be fragmented",
                    protocol.max_response_peers
                ),
            ));
        }
        within("protocol.max_scrape_torrents", protocol.max_scrape_torrents, 1..=100)?;
        match self.policy().check() {
            Ok(()) => {}
            Err(bad @ (BadPolicy::LifetimeTooShort { .. } | BadPolicy::LifetimeTooLong(_))) => {
                return Err(("protocol.peer_lifetime_s", bad.to_string()));
            }
            // The ranges above are narrower.
            Err(bad) => return Err(("protocol", bad.to_string())),
        }
        let ring = self.xdp.event_ring_bytes;
        if !ring.is_power_of_two() || !EVENT_RING_BYTES.contains(&ring) {
            return Err((
                "xdp.event_ring_bytes",
                format!(
                    "{ring} is not a power of two from {} to {}",
                    EVENT_RING_BYTES.start(),
                    EVENT_RING_BYTES.end()
                ),
            ));
        }
        within("swarm.max_torrents", self.swarm.max_torrents, 1..=100_000_000)?;
        within("swarm.max_peers", self.swarm.max_peers, 1..=1_000_000_000)?;
        // A deadline that is long past looks like one to come.
        let half_a_life = (self.protocol.peer_lifetime_s / 2).clamp(1, 3600);
        within("swarm.cleaning_interval_s", self.swarm.cleaning_interval_s, 1..=half_a_life)
    }

    /// The tracker's terms.
    pub fn policy(&self) -> Policy {
        Policy {
            interval_s: self.protocol.interval_s,
            max_response_peers: self.protocol.max_response_peers,
            max_scrape_torrents: self.protocol.max_scrape_torrents,
            peer_lifetime_s: self.protocol.peer_lifetime_s,
            bad_connection_id: match self.udp.bad_connection_id {
                BadConnectionId::Error => {
                    policy::BadConnectionId::Error { per_second: self.udp.errors_per_second }
                }
                BadConnectionId::Drop => policy::BadConnectionId::Drop,
            },
        }
    }

    /// How large the swarm table may grow, and how long it remembers.
    pub fn limits(&self) -> Limits {
        Limits {
            max_torrents: self.swarm.max_torrents,
            max_peers: self.swarm.max_peers,
            max_peers_per_torrent: self.swarm.max_peers_per_torrent,
            max_torrents_per_address: self.swarm.max_torrents_per_address,
            peer_lifetime_s: self.protocol.peer_lifetime_s,
            first_buckets: Limits::FIRST_BUCKETS,
        }
    }

    /// The configuration as a file, with a comment on every key.
    pub fn commented(&self) -> String {
        let mut out = String::new();
        comment(&mut out, Self::ABOUT);
        out.push('\n');
        keys(&mut out, &self.keys());
        for (name, about, list) in self.tables() {
            out.push('\n');
            comment(&mut out, about);
            out.push_str(&format!("[{name}]\n"));
            keys(&mut out, &list);
        }
        out
    }

    fn tables(&self) -> [(&'static str, &'static [&'static str], Vec<Key>); 7] {
        [
            ("xdp", Xdp::ABOUT, self.xdp.keys()),
            ("udp", Udp::ABOUT, self.udp.keys()),
            ("protocol", Protocol::ABOUT, self.protocol.keys()),
            ("swarm", Swarm::ABOUT, self.swarm.keys()),
            ("access_list", AccessList::ABOUT, self.access_list.keys()),
            ("block_list", BlockList::ABOUT, self.block_list.keys()),
            ("control", Control::ABOUT, self.control.keys()),
        ]
    }
}

/// The most peers in an IPv4 answer that isn't fragmented (PROTOCOL U22).
const MAX_PEERS_V4: u32 = tracker_common::wire::MAX_PEERS_V4 as u32;

/// The kernel wants whole pages, which are 64 KiB at most.
const EVENT_RING_BYTES: RangeInclusive<u32> = 1 << 16..=1 << 30;

/// What a peer may be late beyond two intervals (PROTOCOL "Defaults").
const LIFETIME_GRACE_S: u32 = 600;

/// The longest lifetime that a deadline of the swarm table can hold.
const MAX_LIFETIME_S: u32 = Cell::MAX_LIFETIME_S as u32;

/// The longest interval that leaves room for such a lifetime.
const MAX_INTERVAL_S: u32 = (MAX_LIFETIME_S - LIFETIME_GRACE_S) / 2;

fn comment(out: &mut String, lines: &[&str]) {
    for line in lines {
        out.push('#');
        out.push_str(line);
        out.push('\n');
    }
}

fn keys(out: &mut String, list: &[Key]) {
    for key in list {
        comment(out, key.comment);
        out.push_str(&format!("{} = {}\n", key.name, key.value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        Config::parse("tracker.toml", text).expect_err("the text has to be refused").to_string()
    }

    #[test]
    fn printed_default_parses_back_to_the_default() {
        let printed = Config::default().commented();
        assert_eq!(Config::parse("printed", &printed).expect(&printed), Config::default());
    }

    #[test]
    fn printed_default_has_every_key_and_a_comment_on_each() {
        let printed = Config::default().commented();
        let mut printed_keys = 0;
        let mut previous = "";
        for line in printed.lines() {
            assert!(line.len() <= 130, "too long: {line}");
            if line.contains(" = ") && !line.starts_with('#') {
                printed_keys += 1;
                assert!(previous.starts_with("# "), "no comment above: {line}");
            }
            previous = line;
        }
        let serialized = toml::Table::try_from(Config::default()).expect("the configuration is a TOML table");
        let keys: usize = serialized.values().map(|value| value.as_table().map_or(1, toml::Table::len)).sum();
        assert_eq!(printed_keys, keys);
    }

    #[test]
    fn changed_values_survive_printing() {
        let mut config = Config::default();
        config.xdp.interfaces = vec!["eth0".to_owned(), "eth \"1\"".to_owned()];
        config.access_list.path = PathBuf::from("/etc/tracker/list");
        config.udp.addresses = vec!["[2001:db8::1]:80".parse().expect("an address")];
        assert_eq!(Config::parse("printed", &config.commented()).expect("it parses"), config);
    }

    #[test]
    fn default_terms_are_the_tracker_s() {
        assert_eq!(Config::default().policy(), Policy::default());
    }

    #[test]
    fn empty_file_is_the_default() {
        assert_eq!(Config::parse("empty", "").expect("it parses"), Config::default());
    }

    #[test]
    fn unknown_key_is_refused_with_its_line_and_the_known_ones() {
        let message = error("[udp]\nworkers_per_address = 2\nworker = 3\n");
        assert!(
            message.starts_with("tracker.toml:3: unknown field `worker`, expected one of `addresses`"),
            "{message}"
        );
        let message = error("statedirectory = \"/tmp\"\n");
        assert!(message.starts_with("tracker.toml:1: unknown field `statedirectory`"), "{message}");
        let message = error("\n[upd]\n");
        assert!(message.starts_with("tracker.toml:2: unknown field `upd`"), "{message}");
    }

    #[test]
    fn bad_value_is_refused_with_its_line_and_what_is_allowed() {
        let message = error("[xdp]\n\nmode = \"fast\"\n");
        assert!(message.starts_with("tracker.toml:3: unknown variant `fast`"), "{message}");
        assert!(message.contains("`native`") && message.contains("xdp.mode:"), "{message}");
        let message = error("[udp]\naddresses = [\"0.0.0.0\"]\n");
        assert!(message.starts_with("tracker.toml:2: "), "{message}");
        assert!(message.contains("udp.addresses: Addresses with ports"), "{message}");
        let message = error("[protocol]\ninterval_s = 1800\nmax_response_peers = 231\n");
        assert!(message.starts_with("tracker.toml:3: 231 is not within 1 to 230"), "{message}");
    }

    #[test]
    fn lifetime_shorter_than_two_intervals_is_refused_and_explained() {
        let message = error("[protocol]\npeer_lifetime_s = 3600\n");
        assert!(
            message.starts_with("tracker.toml:2: peer_lifetime_s = 3600: at least 4200 (two intervals"),
            "{message}"
        );
        let message = error("[protocol]\ninterval_s = 3600\n");
        assert!(message.contains("peer_lifetime_s = 4200: at least 7800"), "{message}");
    }

    #[test]
    fn limits_in_the_comments_are_those_in_force() {
        let printed = Config::default().commented();
        for (limit, text) in [
            (MAX_INTERVAL_S, "60 to 16080"),
            (MAX_LIFETIME_S, "at most 32760"),
            (MAX_PEERS_V4, "1 to 230"),
            (tracker_common::wire::MAX_PEERS_V6 as u32, "at most 67"),
        ] {
            assert!(text.ends_with(&limit.to_string()) && printed.contains(text), "{limit}: {text}");
        }
    }

    #[test]
    fn broken_syntax_names_the_line() {
        let message = error("[udp]\naddresses = \n");
        assert!(message.starts_with("tracker.toml:2: "), "{message}");
    }

    #[test]
    fn aliases_of_the_access_mode_are_read() {
        for (text, mode) in
            [("blacklist", AccessMode::Deny), ("white", AccessMode::Allow), ("off", AccessMode::Off)]
        {
            let config = Config::parse("alias", &format!("[access_list]\nmode = \"{text}\"")).expect(text);
            assert_eq!(config.access_list.mode, mode);
            assert_eq!(text.parse(), Ok(mode));
        }
    }

    #[test]
    fn same_address_twice_is_refused() {
        let message = error("[udp]\naddresses = [\"127.0.0.1:6969\", \"127.0.0.1:6969\"]\n");
        assert!(message.contains("127.0.0.1:6969 is listed twice"), "{message}");
    }
}
