//! Plays a [`Case`] against a tracker, by whatever [`Path`] it is reached.
//!
//! The tests in `tracker-user/tests/protocol_rows.rs` bring the paths. A failed case is one text: row, name, step,
//! request, what was expected and what came.

use std::collections::HashMap;
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::answer::Answer;
use crate::payload;
use crate::rows::{Case, Expected, Family, Host, Id, Need, OddHost, Peers, Setup, Source, Step};

/// A way to a tracker.
pub trait Path {
    /// Whether it can do what a case needs.
    fn offers(&self, need: Need) -> bool;

    /// Where hosts live, and so which peers an answer names.
    fn hosts(&self) -> Hosts;

    /// Sends a request and returns what comes back, or `None` for silence. `silence` says what the case expects:
    /// with it, the path has to make sure that the request has been dealt with before it says `None`; without it,
    /// it may wait for an answer as long as it likes.
    fn exchange(&mut self, source: &Source, request: &[u8], silence: bool) -> Option<Vec<u8>>;

    /// Returns when all announces so far of this family have been applied to the table.
    fn settle(&mut self, family: Family);

    /// Lets epochs of the connection ids pass; only on paths that offer [`Need::Clock`].
    fn epochs_pass(&mut self, epochs: u64) {
        unreachable!("this path has no clock to move by {epochs} epochs");
    }
}

/// The addresses that a path gives to hosts: their number fills the last 16 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hosts {
    /// The first 16 bits of IPv4 addresses.
    pub v4: [u8; 2],
    /// The first 16 bits of IPv6 addresses.
    pub v6: u16,
}

impl Hosts {
    /// A host's address.
    pub fn address(&self, family: Family, host: Host) -> IpAddr {
        match family {
            Family::V4 => self.v4_address(host).into(),
            Family::V6 => self.v6_address(host).into(),
            Family::Mapped => self.v4_address(host).to_ipv6_mapped().into(),
        }
    }

    fn v4_address(&self, host: Host) -> Ipv4Addr {
        match host {
            Host::Number(n) => Ipv4Addr::new(self.v4[0], self.v4[1], n.to_be_bytes()[0], n.to_be_bytes()[1]),
            Host::Odd(OddHost::Multicast) => Ipv4Addr::new(224, 0, 0, 1),
            Host::Odd(OddHost::HighMulticast) => Ipv4Addr::new(239, 255, 255, 255),
            Host::Odd(OddHost::Broadcast) => Ipv4Addr::BROADCAST,
            Host::Odd(OddHost::Unspecified) => Ipv4Addr::UNSPECIFIED,
        }
    }

    fn v6_address(&self, host: Host) -> Ipv6Addr {
        match host {
            Host::Number(n) => Ipv6Addr::new(self.v6, 0, 0, 0, 0, 0, 0, n),
            Host::Odd(OddHost::Multicast) => Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1),
            Host::Odd(OddHost::HighMulticast) => Ipv6Addr::from([0xff; 16]),
            Host::Odd(OddHost::Broadcast) => unreachable!("IPv6 has no broadcast address"),
            Host::Odd(OddHost::Unspecified) => Ipv6Addr::UNSPECIFIED,
        }
    }

    /// The text of the block list's file for a set-up.
    pub fn block_list(&self, setup: &Setup) -> String {
        let mut text = String::new();
        for (family, number, free_bits) in &setup.blocked {
            let address = self.address(*family, Host::Number(*number));
            let bits = if address.is_ipv4() { 32 } else { 128 };
            writeln!(text, "{address}/{}", bits - free_bits).expect("writing to a String");
        }
        text
    }
}

/// The access list's file for a set-up: the case's own lines and the path's marker torrents, which have to be
/// let in whatever the mode.
pub fn access_list(setup: &Setup, markers: &[[u8; 20]]) -> String {
    let mut text = setup.access_list.clone();
    if matches!(setup.access_mode, "allow" | "white" | "whitelist") {
        for marker in markers {
            for byte in marker {
                write!(text, "{byte:02x}").expect("writing to a String");
            }
            text.push('\n');
        }
    }
    text
}

/// Plays a case. The error is a text for a person.
pub fn check(case: &Case, path: &mut dyn Path) -> Result<(), String> {
    let _played = NamedInPanics(case);
    let mut player = Player { path, first_ids: HashMap::new(), unsettled: Vec::new() };
    for (number, step) in case.steps.iter().enumerate() {
        player.step(step).map_err(|what| {
            format!("{} \"{}\", step {} of {}:\n{what}", case.row, case.name, number + 1, case.steps.len())
        })?;
    }
    for family in player.unsettled {
        player.path.settle(family);
    }
    Ok(())
}

/// Plays all cases that a path can play, one tracker for each [`Setup`], and panics with everything that failed.
/// Returns how many were played.
#[track_caller]
pub fn check_all<P: Path>(cases: &[Case], mut start: impl FnMut(&Setup) -> P) -> usize {
    let mut failures = Vec::new();
    let mut played = 0;
    let mut setups: Vec<&Setup> = Vec::new();
    for case in cases {
        if !setups.contains(&&case.setup) {
            setups.push(&case.setup);
        }
    }
    for setup in setups {
        let mut path = start(setup);
        for case in cases.iter().filter(|case| case.setup == *setup) {
            if case.needs().into_iter().all(|need| path.offers(need)) {
                played += 1;
                failures.extend(check(case, &mut path).err());
            }
        }
    }
    assert!(failures.is_empty(), "{} of {played} cases failed\n\n{}", failures.len(), failures.join("\n\n"));
    assert!(played > 0, "no case was played");
    played
}

/// Says which case was being played when a path panics.
struct NamedInPanics<'a>(&'a Case);

impl Drop for NamedInPanics<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("while playing {} \"{}\"", self.0.row, self.0.name);
        }
    }
}

struct Player<'a> {
    path: &'a mut dyn Path,
    first_ids: HashMap<(Family, Host), u64>,
    /// Families with announces that may still be on their way to the table.
    unsettled: Vec<Family>,
}

impl Player<'_> {
    fn step(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::Exchange { source, id, request, expected } => self.exchange(source, *id, request, expected),
            Step::Flood { source, request, times } => self.flood(source, request, *times),
            Step::EpochsPass(epochs) => {
                self.path.epochs_pass(*epochs);
                Ok(())
            }
        }
    }

    fn exchange(
        &mut self,
        source: &Source,
        id: Id,
        request: &[u8],
        expected: &Expected,
    ) -> Result<(), String> {
        let id = match id {
            Id::AsIs => None,
            Id::Good => Some(self.connect(source)?),
            Id::First => match self.first_ids.get(&(source.family, source.host)) {
                Some(id) => Some(*id),
                None => Some(self.connect(source)?),
            },
            Id::Flipped(bit) => Some(self.connect(source)? ^ 1 << bit),
            Id::Of(other) => Some(self.connect(&other)?),
        };
        let mut request = request.to_vec();
        if let Some(id) = id {
            request[..8].copy_from_slice(&id.to_be_bytes());
        }
        if matches!(expected, Expected::Announce { .. } | Expected::Scrape(_)) {
            for family in std::mem::take(&mut self.unsettled) {
                self.path.settle(family);
            }
        }
        let answer = self.path.exchange(source, &request, *expected == Expected::Silence);
        if matches!(expected, Expected::Announce { .. } | Expected::Accepted)
            && !self.unsettled.contains(&source.family)
        {
            self.unsettled.push(source.family);
        }
        self.compare(source, &request, expected, answer.as_deref()).map_err(|why| {
            format!(
                "  from     {source:?}\n  request  {}\n  expected {expected:?}\n  got      {}\n  {why}",
                hex(&request),
                shown(answer.as_deref(), source)
            )
        })
    }

    fn connect(&mut self, source: &Source) -> Result<u64, String> {
        // Connection ids belong to an address: a plain packet gets the same one as any other.
        let source = Source { shape: crate::rows::Shape::Plain, ..*source };
        let answer = self.path.exchange(&source, &payload::connect(0xc0c0), false);
        match answer.as_deref().map(|bytes| Answer::read(bytes, is_ipv6(&source))) {
            Some(Ok(Answer::Connect { transaction: 0xc0c0, connection_id })) => {
                self.first_ids.entry((source.family, source.host)).or_insert(connection_id);
                Ok(connection_id)
            }
            _ => Err(format!(
                "  {source:?} asked for a connection id and got {}",
                shown(answer.as_deref(), &source)
            )),
        }
    }

    fn flood(&mut self, source: &Source, request: &[u8], times: u32) -> Result<(), String> {
        // Answered or not, the path has to know that each was dealt with.
        let answered = (0..times).filter(|_| self.path.exchange(source, request, true).is_some()).count();
        if 0 < answered && answered < times as usize {
            Ok(())
        } else {
            Err(format!("  {answered} of {times} requests were answered\n  request  {}", hex(request)))
        }
    }

    fn compare(
        &self,
        source: &Source,
        request: &[u8],
        expected: &Expected,
        answer: Option<&[u8]>,
    ) -> Result<(), String> {
        let Some(bytes) = answer else {
            return if *expected == Expected::Silence { Ok(()) } else { Err("silence".into()) };
        };
        let answer = Answer::read(bytes, is_ipv6(source))?;
        let asked = u32::from_be_bytes(request[12..16].try_into().unwrap_or_default());
        if answer.transaction() != asked {
            return Err(format!("the transaction is {:#x}, not {asked:#x}", answer.transaction()));
        }
        let most = if is_ipv6(source) { 1232 } else { 1400 };
        if bytes.len() > most {
            return Err(format!("the answer has {} bytes, {most} are allowed", bytes.len()));
        }
        match (expected, &answer) {
            (Expected::Connect, Answer::Connect { connection_id: 1.., .. }) => Ok(()),
            (Expected::Error(wanted), Answer::Error { text, .. }) if text == wanted => Ok(()),
            (Expected::Scrape(wanted), Answer::Scrape { counts, .. }) if counts == wanted => Ok(()),
            (Expected::Accepted, Answer::Announce { .. }) => Ok(()),
            (
                Expected::Announce { seeders, leechers, peers: wanted },
                Answer::Announce { interval, seeders: s, leechers: l, peers, .. },
            ) => {
                // 1800 s and at most a tenth to either side.
                if !(1620..=1980).contains(interval) {
                    return Err(format!("the interval is {interval} s"));
                }
                if (s, l) != (seeders, leechers) {
                    return Err("the counts differ".into());
                }
                self.compare_peers(wanted, peers)
            }
            _ => Err("another answer".into()),
        }
    }

    fn compare_peers(&self, wanted: &Peers, found: &[SocketAddr]) -> Result<(), String> {
        let (count, of) = match wanted {
            Peers::Exactly(peers) => (peers.len(), peers),
            Peers::Some(count, of) => (*count, of),
        };
        let hosts = self.path.hosts();
        let mut of: Vec<SocketAddr> = of
            .iter()
            .map(|(source, port)| SocketAddr::new(hosts.address(source.family, source.host), *port))
            .collect();
        if found.len() != count {
            return Err(format!("{} peers, not {count}", found.len()));
        }
        for peer in found {
            match of.iter().position(|other| other == peer) {
                Some(at) => _ = of.swap_remove(at),
                None => return Err(format!("{peer} should not be there, or not twice")),
            }
        }
        Ok(())
    }
}

fn is_ipv6(source: &Source) -> bool {
    source.family == Family::V6
}

fn shown(answer: Option<&[u8]>, source: &Source) -> String {
    match answer {
        None => "silence".into(),
        Some(bytes) => match Answer::read(bytes, is_ipv6(source)) {
            Ok(answer) => format!("{answer:?}"),
            Err(why) => format!("{} ({why})", hex(bytes)),
        },
    }
}

/// Bytes as hexadecimal digits, for messages.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a String");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows;

    /// A tracker that answers nothing.
    struct Nobody;

    impl Path for Nobody {
        fn offers(&self, _: Need) -> bool {
            false
        }
        fn hosts(&self) -> Hosts {
            Hosts { v4: [10, 77], v6: 0xfd77 }
        }
        fn exchange(&mut self, _: &Source, _: &[u8], _: bool) -> Option<Vec<u8>> {
            None
        }
        fn settle(&mut self, _: Family) {}
    }

    #[test]
    fn a_failure_names_row_claim_request_and_answer() {
        let case = rows::all().into_iter().find(|case| case.row == "U01").unwrap();
        let text = check(&case, &mut Nobody).unwrap_err();
        for part in
            [&case.name, "U01", "00000417271019800000000001020304", "expected Connect", "got      silence"]
        {
            assert!(text.contains(part), "{part:?} is missing in:\n{text}");
        }
    }

    #[test]
    fn a_silent_tracker_fails_every_case_that_expects_an_answer() {
        for case in rows::all() {
            let expects_answer = case.steps.iter().any(|step| {
                !matches!(step, Step::Exchange { expected: Expected::Silence, id: Id::AsIs, .. })
            });
            assert_eq!(check(&case, &mut Nobody).is_err(), expects_answer, "{} {}", case.row, case.name);
        }
    }

    #[test]
    fn hosts_and_networks_have_addresses() {
        let hosts = Nobody.hosts();
        assert_eq!(hosts.address(Family::V4, Host::Number(0x0102)).to_string(), "10.77.1.2");
        assert_eq!(hosts.address(Family::V6, Host::Number(0x0102)).to_string(), "fd77::102");
        assert_eq!(hosts.address(Family::Mapped, Host::Number(1)).to_string(), "::ffff:10.77.0.1");
        let blocked = vec![(Family::V4, 0x0100, 8), (Family::V6, 0x0203, 0)];
        let setup = Setup { blocked, ..Setup::default() };
        assert_eq!(hosts.block_list(&setup), "10.77.1.0/24\nfd77::203/128\n");
    }
}
