//! The WebTorrent rows of docs/protocol.md as data: every input that the table names, and what it gets.
//!
//! Cases of one [`Setup`] share a tracker: each has hosts and info hashes of its own.

mod access;
mod answers;
mod errors;
mod events;
mod malformed;
mod offers;
mod ping;
mod scrape;
mod takeover;
mod upgrade;

use crate::answer::Counts;
use crate::http::case::{Host, Setup};
use crate::rows::{COMMON_HOSTS, Family, HOSTS_PER_CASE};
use crate::ws::case::{Case, Expected, Name, Open, Opened, Played, Said, Step, peer_id};
use crate::ws::request::{ANSWER, Announce, Answer, OFFER};
use crate::ws::upgrade::Upgrade;

/// All cases.
pub fn all() -> Vec<Case> {
    let mut rows = Rows { cases: Vec::new(), setup: Setup::default() };
    upgrade::add(&mut rows);
    offers::add(&mut rows);
    answers::add(&mut rows);
    errors::add(&mut rows);
    events::add(&mut rows);
    scrape::add(&mut rows);
    takeover::add(&mut rows);
    ping::add(&mut rows);
    malformed::add(&mut rows);
    access::add(&mut rows);
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

    /// A claim that holds in every manner.
    fn add(&mut self, row: &'static str, name: &str, steps: impl FnOnce(&Scene) -> Vec<Step>) {
        self.played(Played::Everywhere, row, name, steps);
    }

    /// The same, byte by byte, too.
    fn cut(&mut self, row: &'static str, name: &str, steps: impl FnOnce(&Scene) -> Vec<Step>) {
        self.played(Played::Cut, row, name, steps);
    }

    /// A claim that has nothing to do with frames, or has its own.
    fn once(&mut self, row: &'static str, name: &str, steps: impl FnOnce(&Scene) -> Vec<Step>) {
        self.played(Played::Once, row, name, steps);
    }

    fn played(
        &mut self,
        played: Played,
        row: &'static str,
        name: &str,
        steps: impl FnOnce(&Scene) -> Vec<Step>,
    ) {
        let steps = steps(&Scene { number: self.cases.len() as u16 });
        self.cases.push(Case { row, name: name.to_owned(), setup: self.setup.clone(), played, steps });
    }
}

/// The hosts and info hashes of one case.
struct Scene {
    number: u16,
}

impl Scene {
    /// Where a client is.
    fn host(&self, name: Name) -> Host {
        assert!(name < HOSTS_PER_CASE, "a case has {HOSTS_PER_CASE} hosts");
        Host { family: Family::V4, number: self.number * HOSTS_PER_CASE + name }
    }

    /// The case's info hash number `n`, of characters that JSON escapes and such that need not, and beyond ASCII.
    fn hash(&self, n: u8) -> [u8; 20] {
        let mut hash = *b"..\0& =/\"\\\x1f\x7f\x80\xff{}[]\x0a\xe9.";
        hash[..2].copy_from_slice(&self.number.to_be_bytes());
        hash[19] = n;
        hash
    }

    /// A client connects.
    fn opens(&self, name: Name) -> Step {
        Step::Open(Open {
            name,
            host: self.host(name),
            preface: None,
            upgrade: Upgrade::default(),
            with: Vec::new(),
            gets: Opened::WebSocket,
        })
    }

    /// All these clients connect and announce as leechers of torrent 0.
    fn join(&self, names: impl IntoIterator<Item = Name>) -> Vec<Step> {
        let mut count = 0;
        let steps = names.into_iter().map(|name| {
            count += 1;
            [self.opens(name), says(name, self.leecher(name).text(), [self.announced(0, count)])]
        });
        steps.collect::<Vec<_>>().concat()
    }

    /// A client's first announce to torrent 0, as a leecher.
    fn leecher(&self, name: Name) -> Announce {
        Announce { info_hash: self.hash(0), peer_id: peer_id(name), ..Announce::default() }
    }

    /// As a seeder.
    fn seeder(&self, name: Name) -> Announce {
        Announce { left: Some("0"), ..self.leecher(name) }
    }

    /// The answer to an announce to torrent 0: seeders, leechers.
    fn announced(&self, complete: u64, incomplete: u64) -> Expected {
        Expected::Announced { info_hash: self.hash(0), complete, incomplete }
    }

    /// A client's offer in torrent 0.
    fn offer(&self, from: Name, id: &str) -> Expected {
        Expected::Offer {
            info_hash: self.hash(0),
            peer_id: peer_id(from),
            offer_id: id.to_owned(),
            offer: OFFER.to_owned(),
        }
    }

    /// A client's offers in torrent 0 reach each exactly one of these.
    fn spread(&self, from: Name, ids: &[&str], among: impl IntoIterator<Item = Name>) -> Step {
        Step::Spread {
            info_hash: self.hash(0),
            peer_id: peer_id(from),
            offers: ids.iter().map(|id| (*id).to_owned()).collect(),
            among: among.into_iter().collect(),
        }
    }

    /// A client's answer to an offer in torrent 0.
    fn answer(&self, from: Name, to: Name, id: &str) -> Answer {
        Answer {
            info_hash: self.hash(0),
            peer_id: peer_id(from),
            to_peer_id: peer_id(to),
            offer_id: id.to_owned(),
            answer: ANSWER.to_owned(),
        }
    }

    /// The same as it is forwarded.
    fn answered(&self, from: Name, id: &str) -> Expected {
        Expected::Answer {
            info_hash: self.hash(0),
            peer_id: peer_id(from),
            offer_id: id.to_owned(),
            answer: ANSWER.to_owned(),
        }
    }

    /// An announce about torrent 0 fails.
    fn failure(&self, reason: &'static str) -> Expected {
        Expected::Failure { action: "announce", reason, info_hash: Some(self.hash(0)) }
    }

    /// In the end torrent 0 has these counts: seeders, completed, leechers.
    fn has(&self, asked_by: Name, seeders: u32, completed: u32, leechers: u32) -> Step {
        Step::Counts(asked_by, vec![(self.hash(0), Counts { seeders, completed, leechers })])
    }
}

/// A client sends a message and gets these.
fn says(from: Name, text: impl Into<String>, gets: impl Into<Vec<Expected>>) -> Step {
    Step::Say { from, said: Said::Message(text.into()), gets: gets.into() }
}

/// A client sends bytes.
fn sends(from: Name, bytes: impl Into<Vec<u8>>) -> Step {
    Step::Say { from, said: Said::Bytes(bytes.into()), gets: Vec::new() }
}

/// A client gets these.
fn gets(at: Name, messages: impl Into<Vec<Expected>>) -> Step {
    Step::Get { at, messages: messages.into() }
}

/// These clients get nothing.
fn quiet(names: impl IntoIterator<Item = Name>) -> Step {
    Step::Quiet(names.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_webtorrent_table_has_a_case() {
        let cases = all();
        // Time and full queues are for the tests of operations: W10 has no case.
        for row in (1..=11).filter(|row| *row != 10) {
            let id = format!("W{row:02}");
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
