//! The rows of docs/protocol.md as data: every input that the table names, and what it gets.
//!
//! A [`Case`] says nothing about how packets travel; [`crate::run`] plays it against a [`crate::run::Path`], and
//! each path (the handler in memory, sockets, the XDP program, …) gives hosts their addresses. Cases of one
//! [`Setup`] share a tracker: each has hosts and info hashes of its own.

mod access;
mod announce;
mod connect;
mod frames;
mod peers;
mod scrape;

use crate::answer::Counts;
use crate::payload::{self, Announce};

/// Number of hosts that a case may use.
pub const HOSTS_PER_CASE: u16 = 100;

/// First of the hosts that belong to no case: [`Setup::blocked`] names some.
pub const COMMON_HOSTS: u16 = 0xf000;

/// All cases.
pub fn all() -> Vec<Case> {
    let mut rows = Rows { cases: Vec::new(), setup: Setup::default() };
    connect::add(&mut rows);
    announce::add(&mut rows);
    peers::add(&mut rows);
    scrape::add(&mut rows);
    access::add(&mut rows);
    frames::add(&mut rows);
    assert!(rows.cases.len() < usize::from(COMMON_HOSTS / HOSTS_PER_CASE), "every case has hosts of its own");
    rows.cases
}

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
    /// What a path has to be able to do, with repetitions.
    pub fn needs(&self) -> Vec<Need> {
        let mut needs = Vec::new();
        for step in &self.steps {
            match step {
                Step::Exchange { source, id, .. } => {
                    needs.extend(source.needs());
                    if let Id::Of(other) = id {
                        needs.extend(other.needs());
                    }
                }
                Step::Flood { source, .. } => needs.extend(source.needs()),
                Step::EpochsPass(_) => needs.push(Need::Clock),
            }
        }
        needs
    }
}

/// What only some paths can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Need {
    /// Send packets of this family.
    Family(Family),
    /// Send from port 0 and from addresses that no host can have.
    AnySource,
    /// Send from an IPv4-mapped IPv6 address.
    MappedSource,
    /// Send a packet that is not plain.
    Shape(Shape),
    /// Let time pass.
    Clock,
}

/// How the tracker is set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setup {
    /// `off`, `deny`, `allow`, or another word for one of them.
    pub access_mode: &'static str,
    /// The text of the access list's file.
    pub access_list: String,
    /// Networks in the block list: those hosts of the family whose number begins like this one's, and how many
    /// low bits of the number are free.
    pub blocked: Vec<(Family, u16, u8)>,
    /// Whether a bad connection id gets an error packet or nothing.
    pub bad_connection_id: &'static str,
    /// Configured limit of peers in an answer.
    pub max_response_peers: u32,
    /// Configured limit of hashes in a scrape.
    pub max_scrape_torrents: u32,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            access_mode: "off",
            access_list: String::new(),
            blocked: Vec::new(),
            bad_connection_id: "error",
            max_response_peers: 50,
            max_scrape_torrents: 70,
        }
    }
}

/// A packet's family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
    /// IPv6 with an IPv4-mapped source.
    Mapped,
}

impl Family {
    /// Both families, for the claims that hold in each.
    pub const BOTH: [Self; 2] = [Self::V4, Self::V6];
}

/// Where a request comes from; a path turns it into an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Source {
    /// The packet's family.
    pub family: Family,
    /// Who sends.
    pub host: Host,
    /// From which UDP port.
    pub port: SourcePort,
    /// In what packet.
    pub shape: Shape,
}

/// Who sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// An ordinary host, by number.
    Number(u16),
    /// An address that can't be a sender's.
    Odd(OddHost),
}

/// Addresses that can't be a sender's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum OddHost {
    Multicast,
    HighMulticast,
    /// Only IPv4 has it.
    Broadcast,
    Unspecified,
}

/// From which UDP port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SourcePort {
    /// The host's usual one.
    First,
    /// Another one.
    Second,
    /// Port 0, which can't be answered.
    Zero,
}

/// In what packet a request travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shape {
    /// Ethernet, IP, UDP.
    Plain,
    /// With an 802.1Q tag.
    Vlan,
    /// With an 802.1ad tag.
    ServiceVlan,
    /// Filled with zeros to the 60 bytes of ethernet's shortest frame.
    Padded,
    /// IPv4 with options, IPv6 with an extension header.
    Options,
    /// In two fragments.
    Fragments,
    /// With a wrong UDP checksum.
    BadChecksum,
}

impl Source {
    /// What a path has to be able to do to send from here.
    fn needs(&self) -> Vec<Need> {
        let mut needs = vec![match self.family {
            Family::Mapped => Need::MappedSource,
            family => Need::Family(family),
        }];
        if matches!(self.host, Host::Odd(_)) || self.port == SourcePort::Zero {
            needs.push(Need::AnySource);
        }
        if self.shape != Shape::Plain {
            needs.push(Need::Shape(self.shape));
        }
        needs
    }

    /// The same host at another port.
    pub fn second_port(self) -> Self {
        Self { port: SourcePort::Second, ..self }
    }

    /// The same host at port 0.
    pub fn port_zero(self) -> Self {
        Self { port: SourcePort::Zero, ..self }
    }

    /// The same host and port in another kind of packet.
    pub fn shaped(self, shape: Shape) -> Self {
        Self { shape, ..self }
    }

    /// Any datagram; its first eight bytes are taken as they are.
    pub fn sends(self, bytes: impl Into<Vec<u8>>, expected: Expected) -> Step {
        self.sends_with(Id::AsIs, bytes, expected)
    }

    /// Any datagram, whose first eight bytes become a connection id.
    pub fn sends_with(self, id: Id, bytes: impl Into<Vec<u8>>, expected: Expected) -> Step {
        Step::Exchange { source: self, id, request: bytes.into(), expected }
    }

    /// An announce with a good connection id.
    pub fn announces(self, announce: Announce, expected: Expected) -> Step {
        self.sends_with(Id::Good, announce.bytes(), expected)
    }

    /// A scrape with a good connection id.
    pub fn scrapes(self, info_hashes: &[[u8; 20]], expected: Expected) -> Step {
        self.sends_with(Id::Good, payload::scrape(0, 0x5c5c, info_hashes), expected)
    }
}

/// One thing that happens.
#[derive(Clone, Debug)]
pub enum Step {
    /// A request and its answer.
    Exchange {
        /// Who sends.
        source: Source,
        /// What replaces the first eight bytes.
        id: Id,
        /// What is sent.
        request: Vec<u8>,
        /// What comes back.
        expected: Expected,
    },
    /// The same request over and over; the answers stop before the end, and there was at least one.
    Flood {
        /// Who sends.
        source: Source,
        /// What is sent.
        request: Vec<u8>,
        /// How often.
        times: u32,
    },
    /// This many epochs of the connection ids pass.
    EpochsPass(u64),
}

/// What is sent as connection id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Id {
    /// The request's own first eight bytes.
    AsIs,
    /// The source's own, from a connect just before.
    Good,
    /// The source's own as it was when it was first asked for in this case.
    First,
    /// The source's own with one bit changed.
    Flipped(u8),
    /// The one of another source.
    Of(Source),
}

/// What comes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Nothing.
    Silence,
    /// A connect answer.
    Connect,
    /// An announce answer with these numbers and peers.
    Announce {
        /// Peers that have everything.
        seeders: u32,
        /// Peers that still download.
        leechers: u32,
        /// Who is named.
        peers: Peers,
    },
    /// An announce answer, whatever it says: one of many announces that build a swarm.
    Accepted,
    /// A scrape answer.
    Scrape(Vec<Counts>),
    /// An error packet with this text.
    Error(&'static str),
}

/// Which peers an announce answer names; always each at most once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peers {
    /// These, in any order.
    Exactly(Vec<Peer>),
    /// So many of these.
    Some(usize, Vec<Peer>),
}

/// A host and the port that it announced.
pub type Peer = (Source, u16);

/// Shorthand for [`Expected::Announce`] with exactly these peers.
pub fn announced(seeders: u32, leechers: u32, peers: &[Peer]) -> Expected {
    Expected::Announce { seeders, leechers, peers: Peers::Exactly(peers.to_vec()) }
}

/// Shorthand for [`Expected::Announce`] with so many of these peers.
pub fn announced_some(seeders: u32, leechers: u32, count: usize, of: &[Peer]) -> Expected {
    Expected::Announce { seeders, leechers, peers: Peers::Some(count, of.to_vec()) }
}

/// Shorthand for [`Expected::Scrape`]: seeders, completed, leechers.
pub fn scraped(counts: &[(u32, u32, u32)]) -> Expected {
    let counts = counts.iter().map(|&(seeders, completed, leechers)| Counts { seeders, completed, leechers });
    Expected::Scrape(counts.collect())
}

/// The table while it is being written.
struct Rows {
    cases: Vec<Case>,
    setup: Setup,
}

impl Rows {
    /// The cases that follow have this set-up.
    fn set_up(&mut self, setup: Setup) {
        self.setup = setup;
    }

    /// A claim that holds in both families.
    fn both(&mut self, row: &'static str, name: &str, steps: impl Fn(&Scene) -> Vec<Step>) {
        for family in Family::BOTH {
            self.one(row, name, family, &steps);
        }
    }

    /// A claim about one family.
    fn one(&mut self, row: &'static str, name: &str, family: Family, steps: impl Fn(&Scene) -> Vec<Step>) {
        let number = self.cases.len() as u16;
        let steps = steps(&Scene { number, family });
        let name = format!("{name} ({family:?})");
        self.cases.push(Case { row, name, setup: self.setup.clone(), steps });
    }
}

/// The hosts and info hashes of one case.
struct Scene {
    number: u16,
    family: Family,
}

impl Scene {
    /// The case's host number `n` of its own family.
    fn host(&self, n: u16) -> Source {
        self.host_of(self.family, n)
    }

    /// The case's host number `n` of any family.
    fn host_of(&self, family: Family, n: u16) -> Source {
        assert!(n < HOSTS_PER_CASE, "a case has {HOSTS_PER_CASE} hosts");
        common(family, self.number * HOSTS_PER_CASE + n)
    }

    /// An address that nobody can have.
    fn odd(&self, odd: OddHost) -> Source {
        Source { host: Host::Odd(odd), ..self.host(0) }
    }

    /// The case's info hash number `n`.
    fn hash(&self, n: u8) -> [u8; 20] {
        let mut hash = [n; 20];
        hash[..2].copy_from_slice(&self.number.to_be_bytes());
        hash
    }

    /// A leecher's first announce to the case's info hash 0.
    fn leecher(&self) -> Announce {
        Announce { info_hash: self.hash(0), ..Announce::default() }
    }

    /// A seeder's first announce to the case's info hash 0.
    fn seeder(&self) -> Announce {
        Announce { left: 0, ..self.leecher() }
    }
}

/// The host with this number, counted over all cases.
fn common(family: Family, number: u16) -> Source {
    Source { family, host: Host::Number(number), port: SourcePort::First, shape: Shape::Plain }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_udp_table_has_a_case() {
        let cases = all();
        for row in 1..=22 {
            let id = format!("U{row:02}");
            assert!(cases.iter().any(|case| case.row == id), "{id} has no case");
        }
        assert!(cases.iter().any(|case| case.row == "access list"));
    }

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = all().into_iter().map(|case| (case.row, case.name)).collect();
        names.sort();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
