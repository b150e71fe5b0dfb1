//! The HTTP rows of docs/protocol.md as data: every input that the table names, and what it gets.
//!
//! Cases of one [`Setup`] share a tracker: each has hosts and info hashes of its own.

mod access;
mod announce;
mod answer;
mod connection;
mod escapes;
mod limits;
mod proxy;
mod proxy_protocol;
mod scrape;
mod swarm;

use crate::http::case::{Case, Host, Setup, Step};
use crate::http::query::Announce;
use crate::payload;
use crate::rows::{COMMON_HOSTS, Family, HOSTS_PER_CASE};

/// All cases.
pub fn all() -> Vec<Case> {
    let mut rows = Rows { cases: Vec::new(), setup: Setup::default() };
    escapes::add(&mut rows);
    announce::add(&mut rows);
    answer::add(&mut rows);
    swarm::add(&mut rows);
    scrape::add(&mut rows);
    connection::add(&mut rows);
    access::add(&mut rows);
    proxy::add(&mut rows);
    proxy_protocol::add(&mut rows);
    limits::add(&mut rows);
    assert!(rows.cases.len() < usize::from(COMMON_HOSTS / HOSTS_PER_CASE), "every case has hosts of its own");
    rows.cases
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
            self.one(row, &format!("{name} ({family:?})"), family, &steps);
        }
    }

    /// A claim that has nothing to do with families.
    fn any(&mut self, row: &'static str, name: &str, steps: impl Fn(&Scene) -> Vec<Step>) {
        self.one(row, name, Family::V4, steps);
    }

    fn one(&mut self, row: &'static str, name: &str, family: Family, steps: impl Fn(&Scene) -> Vec<Step>) {
        let number = self.cases.len() as u16;
        let steps = steps(&Scene { number, family });
        self.cases.push(Case { row, name: name.to_owned(), setup: self.setup.clone(), steps });
    }
}

/// The hosts and info hashes of one case.
struct Scene {
    number: u16,
    family: Family,
}

impl Scene {
    /// The case's host number `n` of its own family.
    fn host(&self, n: u16) -> Host {
        self.host_of(self.family, n)
    }

    /// The case's host number `n` of any family.
    fn host_of(&self, family: Family, n: u16) -> Host {
        assert!(n < HOSTS_PER_CASE, "a case has {HOSTS_PER_CASE} hosts");
        Host { family, number: self.number * HOSTS_PER_CASE + n }
    }

    /// The case's info hash number `n`, of bytes that have to be escaped and such that need not.
    fn hash(&self, n: u8) -> [u8; 20] {
        let mut hash = *b"..\0& =%+?#aZ~\xff\x80\x7f\"<\\\x0a";
        hash[..2].copy_from_slice(&self.number.to_be_bytes());
        hash[19] = n;
        hash
    }

    /// A leecher's first announce to the case's info hash 0.
    fn leecher(&self) -> Announce {
        Announce { info_hash: self.hash(0), ..Announce::default() }
    }

    /// A seeder's first announce to the case's info hash 0.
    fn seeder(&self) -> Announce {
        Announce { left: Some(0), ..self.leecher() }
    }

    /// The same over UDP.
    fn udp_leecher(&self) -> payload::Announce {
        payload::Announce { info_hash: self.hash(0), ..payload::Announce::default() }
    }
}

/// The port of [`Announce::default`] and of [`payload::Announce::default`].
const PORT: u16 = 51_413;

/// The host at the default port.
fn peer(host: Host) -> crate::http::case::Peer {
    (host.address(), PORT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_http_table_has_a_case() {
        let cases = all();
        for row in 1..=17 {
            let id = format!("H{row:02}");
            assert!(cases.iter().any(|case| case.row == id), "{id} has no case");
        }
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
