//! What a row of docs/protocol.md's HTTP table is made of: a tracker's set-up, and steps with what they get.
//!
//! A [`Case`] says nothing about versions, TLS, or how requests share connections: [`crate::http::play`] plays it in every
//! manner. A request that is raw goes as it is in each of them.

use std::net::IpAddr;

use crate::http::answer::Scraped;
use crate::http::query::{self, Announce};
use crate::payload;
use crate::rows::{self, Family};

/// One sub-case of a row.
#[derive(Clone, Debug)]
pub struct Case {
    /// The row's id in docs/protocol.md.
    pub row: &'static str,
    /// What is claimed, as a sentence.
    pub name: String,
    /// How the tracker is set up.
    pub setup: Setup,
    /// What happens, in this order.
    pub steps: Vec<Step>,
}

impl Case {
    /// Whether there is a host with an IPv6 address in it.
    pub fn needs_ipv6(&self) -> bool {
        self.steps.iter().any(|step| match step {
            Step::Talk(Talk { host, .. }) | Step::Udp { host, .. } => host.family == Family::V6,
            Step::HangUp(_) | Step::AccessList(_) => false,
        })
    }

    /// Whether all its requests are bytes as they are, which versions and pipelining don't change.
    pub fn is_raw(&self) -> bool {
        self.steps.iter().all(|step| match step {
            Step::Talk(talk) => talk.exchanges.iter().all(|(request, _)| matches!(request, Request::Raw(_))),
            Step::Udp { .. } | Step::HangUp(_) | Step::AccessList(_) => true,
        })
    }
}

/// How the tracker is set up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Setup {
    /// What all front ends share.
    pub base: rows::Setup,
    /// Further keys of `[http]`, as TOML.
    pub keys: Vec<(&'static str, &'static str)>,
    /// Further keys of `[tls]`.
    pub tls_keys: Vec<(&'static str, &'static str)>,
    /// Keys of `[webtorrent]`.
    pub webtorrent_keys: Vec<(&'static str, &'static str)>,
    /// Trusted proxies: hosts by number, and how many low bits of the number are free.
    pub trusted_hosts: Vec<(Family, u16, u8)>,
    /// Trusted proxies where no host is.
    pub trusted_networks: Vec<&'static str>,
}

/// A client's machine; a [`crate::run::Hosts`] has its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Host {
    /// Its family.
    pub family: Family,
    /// Its number.
    pub number: u16,
}

/// Somebody's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// A host's own.
    Of(Host),
    /// This one, which a proxy has named.
    Named(IpAddr),
}

/// An address and the port that was announced from there.
pub type Peer = (Address, u16);

/// One thing that happens.
#[derive(Clone, Debug)]
pub enum Step {
    /// A connection with requests and answers.
    Talk(Talk),
    /// An announce over UDP.
    Udp {
        /// Who sends.
        host: Host,
        /// What.
        announce: payload::Announce,
        /// Seeders, leechers and peers of the answer; `None`: whatever it says.
        expected: Option<(u32, u32, Vec<Peer>)>,
    },
    /// The end of a connection that was kept.
    HangUp(u8),
    /// The access list has this text from now on, and the tracker is told by SIGHUP. When it has read it isn't known: a
    /// patient talk has to follow.
    AccessList(String),
}

/// A connection with requests and answers.
#[derive(Clone, Debug)]
pub struct Talk {
    /// Who connects.
    pub host: Host,
    /// Whether it goes to a listener for the PROXY protocol, and what is sent there before all else.
    pub preface: Option<Vec<u8>>,
    /// Requests and their answers; none depends on what another one has changed.
    pub exchanges: Vec<(Request, Reply)>,
    /// What becomes of the connection.
    pub end: End,
    /// The connection stays under this number, or is the one that was kept under it.
    pub kept: Option<u8>,
    /// Tried again until it gets what it should: for effects that follow in their own time.
    pub patient: bool,
}

/// What is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// A good GET request in the version that the manner wants.
    Get {
        /// The target.
        target: Vec<u8>,
        /// Header lines besides `Host`.
        headers: Vec<(&'static str, Vec<u8>)>,
    },
    /// Bytes as they are.
    Raw(Vec<u8>),
}

/// What becomes of a connection after its last answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// What version and `Connection` header say; raw requests: whatever.
    Natural,
    /// The tracker closes it.
    Closed,
    /// It goes on.
    Open,
}

/// What comes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// An announce answer.
    Announced(Swarm),
    /// An announce answer, whatever it says of the swarm.
    Accepted,
    /// A scrape answer with these torrents, sorted.
    Scraped(Vec<([u8; 20], Scraped)>),
    /// A failure reason with this text and nothing else.
    Failure(&'static str),
    /// A failure reason in which this word is.
    FailureNaming(&'static str),
    /// A failure reason, whatever it says, with `retry in`.
    RetryLater,
    /// The same, or the end of the connection without a word.
    Refused,
    /// A plain status.
    Status(u16),
    /// One of these.
    OneOf(&'static [u16]),
    /// A status with this header.
    With(u16, &'static str, &'static str),
    /// Nothing but the connection's end, or this status before it.
    EndOr(u16),
}

/// What an announce answer says of the swarm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Swarm {
    /// Seeders.
    pub complete: u64,
    /// Leechers.
    pub incomplete: u64,
    /// Downloads ever completed.
    pub downloaded: u64,
    /// So many peers.
    pub count: usize,
    /// Of these.
    pub of: Vec<Peer>,
    /// Whether they are compact.
    pub compact: bool,
    /// `external ip`; `None`: the host's address.
    pub external: Option<IpAddr>,
}

/// An announce answer with exactly these peers.
pub fn announced(complete: u64, incomplete: u64, peers: &[Peer]) -> Reply {
    announced_some(complete, incomplete, peers.len(), peers)
}

/// An announce answer with so many of these peers.
pub fn announced_some(complete: u64, incomplete: u64, count: usize, of: &[Peer]) -> Reply {
    Reply::Announced(Swarm {
        complete,
        incomplete,
        downloaded: 0,
        count,
        of: of.to_vec(),
        compact: true,
        external: None,
    })
}

impl Reply {
    fn swarm(self, change: impl FnOnce(&mut Swarm)) -> Self {
        match self {
            Self::Announced(mut swarm) => {
                change(&mut swarm);
                Self::Announced(swarm)
            }
            other => unreachable!("{other:?} says nothing of a swarm"),
        }
    }

    /// With so many downloads completed.
    pub fn downloaded(self, downloaded: u64) -> Self {
        self.swarm(|swarm| swarm.downloaded = downloaded)
    }

    /// With a list of dictionaries.
    pub fn in_a_list(self) -> Self {
        self.swarm(|swarm| swarm.compact = false)
    }

    /// To somebody at this address.
    pub fn to(self, external: IpAddr) -> Self {
        self.swarm(|swarm| swarm.external = Some(external))
    }
}

/// One torrent of a scrape answer: seeders, completed, leechers.
pub fn counts(seeders: u32, completed: u32, leechers: u32) -> Scraped {
    Scraped { counts: crate::answer::Counts { seeders, completed, leechers }, downloaders: None }
}

impl Host {
    /// Its address.
    pub fn address(self) -> Address {
        Address::Of(self)
    }

    /// A connection with nothing on it yet.
    pub fn talks(self) -> Step {
        Step::Talk(Talk {
            host: self,
            preface: None,
            exchanges: Vec::new(),
            end: End::Natural,
            kept: None,
            patient: false,
        })
    }

    /// A GET request.
    pub fn gets(self, target: impl AsRef<[u8]>, reply: Reply) -> Step {
        self.talks().get(target, reply)
    }

    /// An announce.
    pub fn announces(self, announce: Announce, reply: Reply) -> Step {
        self.gets(announce.target(), reply)
    }

    /// A scrape.
    pub fn scrapes(self, info_hashes: &[[u8; 20]], torrents: &[([u8; 20], Scraped)]) -> Step {
        self.gets(query::scrape(info_hashes), Reply::Scraped(torrents.to_vec()))
    }

    /// Any bytes.
    pub fn sends(self, bytes: impl Into<Vec<u8>>, reply: Reply) -> Step {
        self.talks().raw(bytes, reply)
    }

    /// An announce over UDP.
    pub fn announces_by_udp(
        self,
        announce: payload::Announce,
        expected: Option<(u32, u32, Vec<Peer>)>,
    ) -> Step {
        Step::Udp { host: self, announce, expected }
    }
}

impl Step {
    fn talk(self, change: impl FnOnce(&mut Talk)) -> Self {
        match self {
            Self::Talk(mut talk) => {
                change(&mut talk);
                Self::Talk(talk)
            }
            other => unreachable!("{other:?} is no talk"),
        }
    }

    /// One more GET request.
    pub fn get(self, target: impl AsRef<[u8]>, reply: Reply) -> Self {
        let request = Request::Get { target: target.as_ref().to_vec(), headers: Vec::new() };
        self.talk(|talk| talk.exchanges.push((request, reply)))
    }

    /// Any bytes.
    pub fn raw(self, bytes: impl Into<Vec<u8>>, reply: Reply) -> Self {
        self.talk(|talk| talk.exchanges.push((Request::Raw(bytes.into()), reply)))
    }

    /// The last request has this header, too.
    pub fn header(self, name: &'static str, value: impl AsRef<[u8]>) -> Self {
        self.talk(|talk| match talk.exchanges.last_mut() {
            Some((Request::Get { headers, .. }, _)) => headers.push((name, value.as_ref().to_vec())),
            other => unreachable!("{other:?} has no headers"),
        })
    }

    /// To a listener for the PROXY protocol, with this before all else.
    pub fn behind(self, preface: impl Into<Vec<u8>>) -> Self {
        self.talk(|talk| talk.preface = Some(preface.into()))
    }

    /// The connection is closed afterwards.
    pub fn closed(self) -> Self {
        self.talk(|talk| talk.end = End::Closed)
    }

    /// The connection goes on afterwards.
    pub fn open(self) -> Self {
        self.talk(|talk| talk.end = End::Open)
    }

    /// The connection is kept under this number.
    pub fn kept(self, number: u8) -> Self {
        self.talk(|talk| talk.kept = Some(number))
    }

    /// Tried again until it gets what it should.
    pub fn patient(self) -> Self {
        self.talk(|talk| talk.patient = true)
    }
}
