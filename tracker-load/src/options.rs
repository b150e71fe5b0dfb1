//! Flags of a load and the same as keys of a file, from one declaration: a file's values over the defaults, flags over both.

/// Declares `Flags` and `Configuration` of a load: what all loads have, and what is said here.
macro_rules! options {
    ($( $(#[doc = $about:literal])+ $key:ident: $Type:ty = $default:expr, )*) => {
        /// Flags; each has a key of the same name in the file.
        #[derive(clap::Args, Debug, Default)]
        pub(crate) struct Flags {
            /// File with values for all that isn't said by a flag (TOML)
            #[arg(short, long, value_name = "FILE")]
            config: Option<std::path::PathBuf>,
            /// Print the configuration, and exit
            #[arg(short, long)]
            pub(super) print: bool,
            /// Report as JSON
            #[arg(long)]
            pub(super) json: bool,
            /// Draw the latencies into this file (SVG)
            #[arg(long, value_name = "FILE")]
            pub(super) plot: Option<std::path::PathBuf>,
            /// Where the tracker listens
            #[arg(long, value_name = "ADDR:PORT")]
            target: Option<std::net::SocketAddr>,
            /// Measured seconds
            #[arg(long)]
            seconds: Option<f64>,
            /// Seconds before that, not measured; nothing is measured before every peer has announced once
            #[arg(long)]
            warmup: Option<f64>,
            /// Requests a second, sent whatever the tracker does (open loop); 0: as fast as answers come (closed loop)
            #[arg(long)]
            rate: Option<f64>,
            /// Source addresses: a network whose addresses are this machine's, such as 127.0.1.0/28; sockets take turns
            #[arg(long, value_name = "CIDR")]
            sources: Option<String>,
            /// Weight of announces among the requests
            #[arg(long)]
            announces: Option<u32>,
            /// Weight of scrapes, of one torrent each
            #[arg(long)]
            scrapes: Option<u32>,
            /// Torrents
            #[arg(long)]
            torrents: Option<u32>,
            /// Peers of a torrent (uniform), or on average (zipf)
            #[arg(long)]
            peers: Option<u16>,
            /// How peers are shared out among torrents: uniform, zipf or public
            #[arg(long, value_name = "MODEL")]
            popularity: Option<String>,
            /// Everybody is a leecher, so that everybody may be given to everybody
            #[arg(long)]
            leechers: Option<bool>,
            /// Let every peer announce once before anything is measured
            #[arg(long)]
            fill: Option<bool>,
            /// Others announce the same torrents, so peers and counts that aren't ours are no faults
            #[arg(long)]
            shared: Option<bool>,
            /// Number that all random choices follow from
            #[arg(long)]
            seed: Option<u64>,
            /// Count the CPU time of this process (or kernel thread), and its memory; may be given several times
            #[arg(long, value_name = "PID")]
            cpu_of: Vec<u32>,
            $( $(#[doc = $about])+ #[arg(long, allow_negative_numbers = true)] $key: Option<$Type>, )*
        }

        /// All values.
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub(crate) struct Configuration {
            pub(crate) target: std::net::SocketAddr,
            pub(crate) seconds: f64,
            pub(crate) warmup: f64,
            pub(crate) rate: f64,
            pub(crate) sources: String,
            pub(crate) announces: u32,
            pub(crate) scrapes: u32,
            pub(crate) torrents: u32,
            pub(crate) peers: u16,
            pub(crate) popularity: String,
            pub(crate) leechers: bool,
            pub(crate) fill: bool,
            pub(crate) shared: bool,
            pub(crate) seed: u64,
            pub(crate) cpu_of: Vec<u32>,
            $( pub(crate) $key: $Type, )*
        }

        impl Default for Configuration {
            fn default() -> Self {
                Self {
                    target: std::net::SocketAddr::from(([127, 0, 0, 1], 6969)),
                    seconds: 10.0,
                    warmup: 1.0,
                    rate: 0.0,
                    sources: String::new(),
                    announces: 100,
                    scrapes: 1,
                    torrents: 10_000,
                    peers: 50,
                    popularity: "uniform".to_owned(),
                    leechers: false,
                    fill: true,
                    shared: false,
                    seed: 1,
                    cpu_of: Vec::new(),
                    $( $key: $default, )*
                }
            }
        }

        impl Flags {
            /// The file's values, and the flags' over them.
            pub(super) fn configuration(&self) -> anyhow::Result<Configuration> {
                let mut values: Configuration = match &self.config {
                    Some(file) => $crate::options::read(file)?,
                    None => Configuration::default(),
                };
                $crate::options::take_all!(self, values, target, seconds, warmup, rate, sources, announces, scrapes, torrents, peers, popularity, leechers, fill, shared, seed);
                $( if let Some(value) = self.$key.clone() { values.$key = value; } )*
                values.cpu_of.extend(&self.cpu_of);
                values.common().check()?;
                values.check()?;
                Ok(values)
            }
        }

        impl Configuration {
            /// As a file.
            pub(super) fn to_text(&self) -> anyhow::Result<String> {
                Ok(toml::to_string(self)?)
            }

            /// What all loads have.
            pub(crate) fn common(&self) -> $crate::options::Common<'_> {
                $crate::options::Common {
                    target: self.target,
                    seconds: self.seconds,
                    warmup: self.warmup,
                    rate: self.rate,
                    sources: &self.sources,
                    torrents: self.torrents,
                    peers: self.peers,
                    popularity: &self.popularity,
                    leechers: self.leechers,
                    seed: self.seed,
                    cpu_of: &self.cpu_of,
                }
            }
        }
    };
}

macro_rules! take_all {
    ($flags:ident, $values:ident, $($name:ident),+) => { $(if let Some(value) = $flags.$name.clone() { $values.$name = value; })+ };
}

pub(crate) use {options, take_all};

use std::fs;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use crate::cpu_time::CpuTime;
use crate::popularity::Popularity;
use crate::population::{MAX_PEERS, Population};

/// Reads a file of values.
pub(crate) fn read<T: serde::de::DeserializeOwned>(file: &Path) -> Result<T> {
    let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    toml::from_str(&text).with_context(|| file.display().to_string())
}

/// Source addresses of one CIDR at most.
const MAX_SOURCES: u32 = 65_536;

/// What all loads have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Common<'a> {
    pub(crate) target: SocketAddr,
    pub(crate) seconds: f64,
    pub(crate) warmup: f64,
    pub(crate) rate: f64,
    pub(crate) sources: &'a str,
    pub(crate) torrents: u32,
    pub(crate) peers: u16,
    pub(crate) popularity: &'a str,
    pub(crate) leechers: bool,
    pub(crate) seed: u64,
    pub(crate) cpu_of: &'a [u32],
}

impl Common<'_> {
    /// Requests are due at fixed times.
    pub(crate) fn is_open(&self) -> bool {
        self.rate > 0.0
    }

    pub(crate) fn check(&self) -> Result<()> {
        let seconds = 0.0..=86_400.0;
        ensure!(
            seconds.contains(&self.seconds) && seconds.contains(&self.warmup),
            "seconds and warmup are from 0 to 86400"
        );
        ensure!((0.0..=1e8).contains(&self.rate), "rate is from 0 to 100000000");
        ensure!(self.torrents > 0 && self.peers > 0, "there is a torrent and a peer at least");
        ensure!(self.peers <= MAX_PEERS, "peers are {MAX_PEERS} at most");
        self.popularity.parse::<Popularity>().map_err(anyhow::Error::msg)?;
        self.sources().map(drop)
    }

    /// How many peers each torrent has.
    pub(crate) fn sizes(&self) -> Result<Vec<u16>> {
        let popularity: Popularity = self.popularity.parse().map_err(anyhow::Error::msg)?;
        Ok(popularity.sizes(self.torrents, self.peers, self.seed))
    }

    /// Who announces.
    pub(crate) fn population(&self) -> Result<Population> {
        Ok(Population::of(&self.sizes()?, self.seed).leechers_alone(self.leechers))
    }

    /// The addresses that sockets take turns with; `None`: whatever the way there suggests.
    pub(crate) fn sources(&self) -> Result<Vec<Option<IpAddr>>> {
        if self.sources.is_empty() {
            return Ok(vec![None]);
        }
        let (address, length) = self.sources.split_once('/').unwrap_or((self.sources, ""));
        let address: IpAddr =
            address.parse().with_context(|| format!("sources: `{address}` is no address"))?;
        ensure!(address.is_ipv4() == self.target.is_ipv4(), "sources and target are of different families");
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let length: u32 =
            if length.is_empty() { bits } else { length.parse().context("sources: the length")? };
        ensure!(
            length <= bits && bits - length <= 16,
            "sources: a network of {MAX_SOURCES} addresses at most"
        );
        let count = 1u32 << (bits - length);
        Ok((0..count)
            .map(|number| {
                Some(match address {
                    IpAddr::V4(ip) => {
                        let network = u32::from(ip) & !(count - 1);
                        IpAddr::from((network + number).to_be_bytes())
                    }
                    IpAddr::V6(ip) => {
                        let network = u128::from(ip) & !(u128::from(count) - 1);
                        IpAddr::from((network + u128::from(number)).to_be_bytes())
                    }
                })
            })
            .collect())
    }

    /// The address that the way to the target suggests.
    pub(crate) fn own_address(&self) -> Result<IpAddr> {
        let any: IpAddr = if self.target.is_ipv6() { [0u16; 8].into() } else { [0u8; 4].into() };
        let socket = UdpSocket::bind((any, 0)).context("a socket")?;
        socket.connect(self.target).with_context(|| format!("no way to {}", self.target))?;
        Ok(socket.local_addr()?.ip())
    }

    /// What the watched processes have used so far.
    pub(crate) fn cpu_times(&self) -> Result<Vec<CpuTime>> {
        self.cpu_of.iter().map(|pid| CpuTime::of(*pid)).collect()
    }
}
