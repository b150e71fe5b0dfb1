//! What clients do.

use super::servers::Who;

/// How many clients there are, and whether over TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Workload {
    pub(crate) crowd: Crowd,
    pub(crate) tls: bool,
}

/// Clients at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Crowd {
    /// So few that the server meets the same ones again and again.
    Few,
    /// So many that each is met seldom, and its state has left the CPU's caches.
    Many,
}

/// Offers of each announce, as many as clients send at most.
pub(crate) const OFFERS: u32 = 10;

/// Members of each swarm: an announce has somebody for each of its offers.
pub(crate) const PEERS: u32 = 40;

impl Crowd {
    pub(crate) const ALL: [Self; 2] = [Self::Few, Self::Many];

    pub(crate) fn connections(self) -> u32 {
        match self {
            Self::Few => 64,
            Self::Many => 10_000,
        }
    }

    /// Torrents of each connection.
    pub(crate) fn torrents(self) -> u32 {
        match self {
            Self::Few => 100,
            Self::Many => 2,
        }
    }

    /// Seconds before the measured ones. In a closed loop of many each waits for all others, seconds long, until the loop runs evenly.
    pub(crate) fn warmup(self) -> f64 {
        match self {
            Self::Few => 0.5,
            Self::Many => 5.0,
        }
    }

    /// Measured seconds, for so many that were asked for.
    pub(crate) fn seconds(self, wanted: f64) -> f64 {
        match self {
            Self::Few => wanted,
            Self::Many => 3.0 * wanted,
        }
    }
}

impl Workload {
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        Crowd::ALL.into_iter().flat_map(|crowd| [false, true].map(|tls| Self { crowd, tls }))
    }

    pub(crate) fn id(self) -> String {
        format!("{}-{}", if self.tls { "wss" } else { "ws" }, self.crowd.connections())
    }

    pub(crate) fn name(self) -> String {
        let connections = match self.crowd {
            Crowd::Few => "64 connections",
            Crowd::Many => "10,000 connections",
        };
        if self.tls { format!("{connections} with TLS") } else { connections.to_owned() }
    }

    pub(crate) fn servers(self) -> [Who; 2] {
        [Who::Ours, Who::Aquatic { tls: self.tls }]
    }

    pub(crate) fn flags(self, seconds: f64) -> Vec<String> {
        let numbers = [
            ("--connections", f64::from(self.crowd.connections())),
            ("--per-connection", f64::from(self.crowd.torrents())),
            ("--peers", f64::from(PEERS)),
            ("--warmup", self.crowd.warmup()),
            ("--seconds", self.crowd.seconds(seconds)),
        ];
        let numbers = numbers.iter().flat_map(|(name, value)| [(*name).to_owned(), value.to_string()]);
        numbers.chain(self.tls.then(|| "--tls".to_owned())).collect()
    }
}

/// The name of a case.
pub(crate) fn case(workload: Workload, who: Who) -> String {
    format!("{}-{}", workload.id(), who.id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_case_has_a_name_of_its_own() {
        let cases = || Workload::all().flat_map(|workload| workload.servers().map(|who| case(workload, who)));
        let mut names: Vec<String> = cases().collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), cases().count());
        assert!(names.contains(&"wss-10000-aquatic".to_owned()), "{names:?}");
    }

    #[test]
    fn swarms_are_no_larger_than_the_crowd_and_have_somebody_for_each_offer() {
        assert!(PEERS > OFFERS && Crowd::ALL.iter().all(|crowd| PEERS <= crowd.connections()));
    }
}
