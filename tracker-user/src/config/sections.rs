//! The tables of the configuration but those of HTTP, and the words in them.
//!
//! Ranges and relations are checked in [`checks`](super::checks).

use std::net::SocketAddr;
use std::path::PathBuf;

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
        /// How sockets are read: "mmsg": many packets a system call; "io_uring": the kernel puts packets into buffers that it
        /// shares with the tracker (Linux 6.1; where it isn't allowed, as in Docker by default, "mmsg" is used, and the log says so).
        backend: UdpBackend = UdpBackend::Mmsg,
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
        /// started together spread out. HTTP clients are also told not to come back before half of it.
        interval_s: u32 = 1800,
        /// Peers in one answer at most, 1 to 230. Also the number sent to a client that names none. A UDP answer over
        /// IPv6 holds at most 67, whatever is set here: larger packets would be fragmented.
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
    /// Networks that get no answer at all. `tracker-user map block` changes the list while the tracker runs.
    BlockList {
        /// File with one address or network a line, such as 192.0.2.0/24 or 2001:db8::/32; blank lines and # comments are
        /// ignored. "": block-list.txt in the state directory, which may be missing.
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

choice! {
    /// How UDP sockets are read.
    UdpBackend {
        /// `recvmmsg` and `sendmmsg`.
        Mmsg = "mmsg",
        /// A multishot receive and batched sends.
        IoUring = "io_uring" | "io-uring",
    }
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

impl From<LogLevel> for tracing::level_filters::LevelFilter {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Off => Self::OFF,
            LogLevel::Error => Self::ERROR,
            LogLevel::Warn => Self::WARN,
            LogLevel::Info => Self::INFO,
            LogLevel::Debug => Self::DEBUG,
            LogLevel::Trace => Self::TRACE,
        }
    }
}

choice! {
    /// How the log is written.
    LogFormat {
        /// A line for people.
        Text = "text",
        /// A JSON object a line.
        Json = "json",
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
