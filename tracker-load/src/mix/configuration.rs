//! What is asked for: a file's values over the defaults, flags over both.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use serde::{Deserialize, Serialize};

/// Flags of `udp mix`; each has a key of the same name in the file.
#[derive(Args, Debug, Default)]
pub(crate) struct Flags {
    /// File with values for all that isn't said by a flag (TOML)
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print the configuration, and exit
    #[arg(short, long)]
    pub(super) print: bool,
    /// Report as JSON
    #[arg(long)]
    pub(super) json: bool,
    /// Where the tracker listens
    #[arg(long, value_name = "ADDR:PORT")]
    target: Option<SocketAddr>,
    /// Measured seconds
    #[arg(long)]
    seconds: Option<f64>,
    /// Seconds before that, not measured; nothing is measured before every peer has announced once
    #[arg(long)]
    warmup: Option<f64>,
    /// Requests a second, sent whatever the tracker does (open loop); 0: as fast as answers come (closed loop)
    #[arg(long)]
    rate: Option<f64>,
    /// Requests in flight at most, over all sockets
    #[arg(long)]
    window: Option<u32>,
    /// Sockets, each with a source port of its own
    #[arg(long)]
    sockets: Option<u32>,
    /// Source addresses: a network whose addresses are this machine's, such as 127.0.1.0/28; sockets take turns
    #[arg(long, value_name = "CIDR")]
    sources: Option<String>,
    /// Weight of connects among the requests
    #[arg(long)]
    connects: Option<u32>,
    /// Weight of announces
    #[arg(long)]
    announces: Option<u32>,
    /// Weight of scrapes, of one torrent each
    #[arg(long)]
    scrapes: Option<u32>,
    /// Share of announces and scrapes that have a bad connection id, 0 to 1
    #[arg(long)]
    bad_ids: Option<f64>,
    /// Torrents
    #[arg(long)]
    torrents: Option<u32>,
    /// Peers of a torrent (uniform), or on average (zipf); they share an address and differ in their port
    #[arg(long)]
    peers: Option<u16>,
    /// How peers are shared out among torrents: uniform, zipf or public
    #[arg(long, value_name = "MODEL")]
    popularity: Option<String>,
    /// Peers wanted in an answer; -1 leaves it to the tracker
    #[arg(long, allow_negative_numbers = true)]
    want: Option<i32>,
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
}

/// All values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Configuration {
    pub(crate) target: SocketAddr,
    pub(crate) seconds: f64,
    pub(crate) warmup: f64,
    pub(crate) rate: f64,
    pub(crate) window: u32,
    pub(crate) sockets: u32,
    pub(crate) sources: String,
    pub(crate) connects: u32,
    pub(crate) announces: u32,
    pub(crate) scrapes: u32,
    pub(crate) bad_ids: f64,
    pub(crate) torrents: u32,
    pub(crate) peers: u16,
    pub(crate) popularity: String,
    pub(crate) want: i32,
    pub(crate) leechers: bool,
    pub(crate) fill: bool,
    pub(crate) shared: bool,
    pub(crate) seed: u64,
    pub(crate) cpu_of: Vec<u32>,
}

impl Default for Configuration {
    fn default() -> Self {
        Self {
            target: SocketAddr::from(([127, 0, 0, 1], 6969)),
            seconds: 10.0,
            warmup: 1.0,
            rate: 0.0,
            window: 256,
            sockets: 8,
            sources: String::new(),
            connects: 10,
            announces: 100,
            scrapes: 1,
            bad_ids: 0.0,
            torrents: 10_000,
            peers: 50,
            popularity: "uniform".to_owned(),
            want: -1,
            leechers: false,
            fill: true,
            shared: false,
            seed: 1,
            cpu_of: Vec::new(),
        }
    }
}

/// Source addresses of one CIDR at most.
const MAX_SOURCES: u32 = 65_536;

impl Flags {
    /// The file's values, and the flags' over them.
    pub(super) fn configuration(&self) -> Result<Configuration> {
        let mut values = match &self.config {
            Some(file) => {
                let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
                toml::from_str(&text).with_context(|| file.display().to_string())?
            }
            None => Configuration::default(),
        };
        macro_rules! take {
            ($($name:ident),+) => { $(if let Some(value) = self.$name.clone() { values.$name = value; })+ };
        }
        take!(
            target, seconds, warmup, rate, window, sockets, sources, connects, announces, scrapes, bad_ids,
            torrents, peers, popularity, want, leechers, fill, shared, seed
        );
        values.cpu_of.extend(&self.cpu_of);
        values.check()?;
        Ok(values)
    }
}

impl Configuration {
    /// As a file.
    pub(super) fn to_text(&self) -> Result<String> {
        Ok(toml::to_string(self)?)
    }

    fn check(&self) -> Result<()> {
        let seconds = 0.0..=86_400.0;
        ensure!(
            seconds.contains(&self.seconds) && seconds.contains(&self.warmup),
            "seconds and warmup are from 0 to 86400"
        );
        ensure!((0.0..=1e8).contains(&self.rate), "rate is from 0 to 100000000");
        ensure!((1..=1_000_000).contains(&self.window), "window is from 1 to 1000000");
        ensure!(
            (1..=self.window.min(4096)).contains(&self.sockets),
            "sockets are from 1 to 4096, and no more than the window"
        );
        ensure!(
            self.window.div_ceil(self.sockets) <= 65_536,
            "a socket has 65536 requests in flight at most: take more sockets"
        );
        ensure!(self.connects + self.announces + self.scrapes > 0, "all weights are 0");
        ensure!((0.0..=1.0).contains(&self.bad_ids), "bad_ids is a share, from 0 to 1");
        ensure!(self.torrents > 0 && self.peers > 0, "there is a torrent and a peer at least");
        ensure!(
            self.peers <= crate::population::MAX_PEERS,
            "peers are {} at most",
            crate::population::MAX_PEERS
        );
        self.popularity.parse::<crate::popularity::Popularity>().map_err(anyhow::Error::msg)?;
        self.sources().map(drop)
    }

    /// The addresses that sockets take turns with; `None`: whatever the way there suggests.
    pub(super) fn sources(&self) -> Result<Vec<Option<IpAddr>>> {
        if self.sources.is_empty() {
            return Ok(vec![None]);
        }
        let (address, length) = self.sources.split_once('/').unwrap_or((&self.sources, ""));
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
}
