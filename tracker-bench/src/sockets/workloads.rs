//! What clients ask.

/// A load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Workload {
    Connect,
    Announce,
    /// A connect and a hundredth of a scrape to ten announces.
    Mix,
}

/// Torrents, and leechers of each; all announce before anything is measured.
const POPULATION: [&str; 4] = ["--torrents", "10000", "--peers", "50"];

impl Workload {
    pub(crate) const ALL: [Self; 3] = [Self::Connect, Self::Announce, Self::Mix];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Announce => "announce",
            Self::Mix => "mix",
        }
    }

    /// In words.
    pub(crate) fn what(self) -> &'static str {
        match self {
            Self::Connect => "connects",
            Self::Announce => "announces of 30 peers",
            Self::Mix => "connects, announces and scrapes as 10 : 100 : 1",
        }
    }

    /// Flags of tracker-load.
    pub(crate) fn arguments(self) -> Vec<&'static str> {
        let own: &[&str] = match self {
            Self::Connect => return vec!["udp", "connect"],
            Self::Announce => &["--leechers"],
            // Some trackers give the announcer itself back, and the null server makes its peers up.
            Self::Mix => &[
                "--leechers",
                "true",
                "--fill",
                "true",
                "--shared",
                "true",
                "--connects",
                "10",
                "--announces",
                "100",
                "--scrapes",
                "1",
            ],
        };
        let kind = if self == Self::Mix { "mix" } else { "announce" };
        [&["udp", kind, "--want", "30"], &POPULATION[..], own].concat()
    }
}
