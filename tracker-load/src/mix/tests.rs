//! The load tester against reference trackers whose faults are known: it has to report each of them, and nothing else.

use std::collections::{BTreeSet, HashMap};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::thread;
use std::time::Duration;

use super::configuration::Configuration;
use super::drive::run;
use super::outcome::{Kind, Outcome};
use super::verdict::Fault;

const ID: u64 = 0x0102_0304_0506_0708;

/// What is wrong with a reference tracker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reference {
    Honest,
    /// Every tenth request gets no answer.
    Drops,
    WrongTransaction,
    WrongCounts,
    StrangePeer,
    PeerTwice,
    TooMany,
    CutShort,
    AnswersBadIds,
    /// An answer to another question.
    WrongAction,
    /// It stops for a while.
    Stalls,
}

/// A small tracker: it knows who announced what, and answers with everybody.
struct Tracker {
    reference: Reference,
    swarms: HashMap<[u8; 20], BTreeSet<(Ipv4Addr, u16)>>,
    requests: u64,
}

impl Tracker {
    fn start(reference: Reference) -> (SocketAddr, impl FnOnce()) {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let mut tracker = Self { reference, swarms: HashMap::new(), requests: 0 };
        let thread = thread::spawn(move || {
            let mut buffer = [0; 2048];
            loop {
                let (length, source) = socket.recv_from(&mut buffer).unwrap();
                if length == 1 {
                    return;
                }
                let SocketAddr::V4(from) = source else { panic!("{source}") };
                if let Some(answer) = tracker.answer(&buffer[..length], *from.ip()) {
                    socket.send_to(&answer, source).unwrap();
                }
            }
        });
        let stop = move || {
            UdpSocket::bind("127.0.0.1:0").unwrap().send_to(&[0], address).unwrap();
            thread.join().unwrap();
        };
        (address, stop)
    }

    fn answer(&mut self, request: &[u8], from: Ipv4Addr) -> Option<Vec<u8>> {
        self.requests += 1;
        let own = self.reference;
        let is = |reference| own == reference;
        if is(Reference::Drops) && self.requests.is_multiple_of(10) {
            return None;
        }
        if is(Reference::Stalls) && self.requests == 2000 {
            thread::sleep(Duration::from_millis(400));
        }
        let mut transaction = request[12..16].to_vec();
        if is(Reference::WrongTransaction) && self.requests.is_multiple_of(100) {
            transaction = vec![0xff; 4];
        }
        let good = request[..8] == ID.to_be_bytes() || is(Reference::AnswersBadIds);
        let mut answer = match request[11] {
            0 => [&[0; 4], &transaction[..], &ID.to_be_bytes()].concat(),
            _ if !good => [&[0, 0, 0, 3], &transaction[..], b"bad id"].concat(),
            1 if is(Reference::WrongAction) => [&[0, 0, 0, 2], &transaction[..], &[0; 12]].concat(),
            1 => self.announce(request, from, &transaction),
            _ => {
                let seeders = self.count(&request[16..36]);
                [&[0, 0, 0, 2], &transaction[..], &seeders.to_be_bytes(), &[0; 8]].concat()
            }
        };
        if is(Reference::CutShort) && request[11] == 1 {
            answer.pop();
        }
        Some(answer)
    }

    fn count(&self, info_hash: &[u8]) -> u32 {
        let known = self.swarms.get(info_hash).map_or(0, |swarm| swarm.len() as u32);
        if self.reference == Reference::WrongCounts { 1_000_000 } else { known }
    }

    fn announce(&mut self, request: &[u8], from: Ipv4Addr, transaction: &[u8]) -> Vec<u8> {
        let info_hash: [u8; 20] = request[16..36].try_into().unwrap();
        let want = i32::from_be_bytes(request[92..96].try_into().unwrap());
        let port = u16::from_be_bytes(request[96..98].try_into().unwrap());
        let swarm = self.swarms.entry(info_hash).or_default();
        swarm.insert((from, port));
        let most = if want > 0 { want as usize } else { 50 };
        let most = if self.reference == Reference::TooMany { usize::MAX } else { most };
        let mut peers: Vec<(Ipv4Addr, u16)> = swarm.iter().copied().take(most).collect();
        match self.reference {
            Reference::StrangePeer => peers[0] = (Ipv4Addr::new(192, 0, 2, 1), port),
            Reference::PeerTwice => peers.push(peers[0]),
            _ => {}
        }
        let mut answer = [&[0, 0, 0, 1], transaction, &1800u32.to_be_bytes(), &[0; 4]].concat();
        answer.extend(self.count(&info_hash).to_be_bytes());
        for (ip, port) in peers {
            answer.extend(ip.octets());
            answer.extend(port.to_be_bytes());
        }
        answer
    }
}

fn configuration(target: SocketAddr) -> Configuration {
    Configuration {
        target,
        seconds: 0.5,
        warmup: 0.0,
        window: 16,
        sockets: 4,
        connects: 1,
        announces: 8,
        scrapes: 2,
        torrents: 20,
        peers: 12,
        want: 5,
        ..Configuration::default()
    }
}

fn measure(reference: Reference, change: impl FnOnce(&mut Configuration)) -> Outcome {
    let (target, stop) = Tracker::start(reference);
    let mut configuration = configuration(target);
    change(&mut configuration);
    let outcome = run(&configuration).unwrap();
    stop();
    outcome
}

fn faults(outcome: &Outcome) -> Vec<Fault> {
    Fault::ALL.into_iter().filter(|fault| outcome.faults.of(*fault) > 0).collect()
}

#[test]
fn an_honest_tracker_has_no_fault_and_all_kinds_are_asked_by_their_weights() {
    let outcome = measure(Reference::Honest, |configuration| configuration.bad_ids = 0.1);
    assert_eq!(faults(&outcome), []);
    assert_eq!(outcome.of_kind.iter().map(|of| of.lost + of.errors).sum::<u64>(), 0);
    let sent = Kind::ALL.map(|kind| outcome.of(kind).sent as f64);
    let all: f64 = sent.iter().sum();
    for (kind, share) in [(0, 1.0 / 11.0), (1, 0.9 * 8.0 / 11.0), (2, 0.9 * 2.0 / 11.0), (3, 1.0 / 11.0)] {
        let tolerance = 5.0 * (share / all).sqrt() + 0.01;
        assert!(
            (sent[kind] / all - share).abs() < tolerance,
            "{:?}: {} of {all}",
            Kind::ALL[kind],
            sent[kind]
        );
    }
    assert!(outcome.peers >= 4 * outcome.of(Kind::Announce).answers, "swarms of twelve give five");
    assert!(outcome.of(Kind::Announce).latency.quantile_us(0.5) > 0.0);
}

#[test]
fn each_fault_is_reported_and_no_other() {
    for (reference, fault) in [
        (Reference::WrongTransaction, Fault::Transaction),
        (Reference::WrongCounts, Fault::Counts),
        (Reference::StrangePeer, Fault::StrangePeer),
        (Reference::PeerTwice, Fault::DoublePeer),
        (Reference::TooMany, Fault::TooManyPeers),
        (Reference::CutShort, Fault::Length),
        (Reference::WrongAction, Fault::Action),
        (Reference::AnswersBadIds, Fault::BadIdAnswered),
    ] {
        let outcome = measure(reference, |configuration| {
            // Where only announces can be wrong, nobody waits for them in vain.
            configuration.fill = !matches!(reference, Reference::CutShort | Reference::WrongAction);
            // One more than is wanted isn't one too many.
            configuration.want = if reference == Reference::PeerTwice { 50 } else { 5 };
            configuration.bad_ids = if reference == Reference::AnswersBadIds { 0.2 } else { 0.0 };
        });
        assert_eq!(faults(&outcome), [fault], "{reference:?}");
    }
}

#[test]
fn a_shared_tracker_may_know_peers_that_are_not_ours() {
    for reference in [Reference::StrangePeer, Reference::WrongCounts] {
        let outcome = measure(reference, |configuration| configuration.shared = true);
        assert_eq!(faults(&outcome), [], "{reference:?}");
    }
}

#[test]
fn requests_without_an_answer_are_lost_by_their_kind() {
    let outcome = measure(Reference::Drops, |configuration| {
        configuration.fill = false;
        configuration.seconds = 2.5;
        // What is lost keeps its place for a second.
        // Slowly: a lost connect keeps its
        // socket's requests back, and what comes at once then has to fit into a receive buffer.
        (configuration.rate, configuration.window) = (200.0, 1000);
    });
    assert_eq!(faults(&outcome), []);
    let sum = |of: fn(&super::outcome::OfKind) -> u64| outcome.of_kind.iter().map(of).sum::<u64>();
    let (lost, answers) = (sum(|of| of.lost) as f64, sum(|of| of.answers) as f64);
    let share = lost / (lost + answers);
    assert!((0.03..0.11).contains(&share), "{lost} lost, {answers} answers");
    assert!(outcome.of(Kind::Announce).lost > 0);
}

#[test]
fn a_stall_in_an_open_loop_counts_for_all_who_waited() {
    let outcome = measure(Reference::Stalls, |configuration| {
        configuration.rate = 4000.0;
        configuration.seconds = 2.0;
        configuration.window = 64;
        configuration.fill = false;
        configuration.connects = 1;
        (configuration.announces, configuration.scrapes) = (0, 0);
    });
    let of = outcome.of(Kind::Connect);
    // Never more than were due until the last of them was sent.
    let due = (outcome.time.as_secs_f64() * 4000.0) as u64 + 1;
    assert!((2000..=due).contains(&of.sent), "{} of {due}", of.sent);
    // 1,600 of 8,000 were due during a stall of 0.4 s, but only 64 were in flight: had those alone waited, one of a hundred would have.
    assert!(of.latency.quantile_us(0.95) > 100_000.0, "{}", of.latency.quantile_us(0.95));
}

#[test]
fn sources_take_turns_and_are_all_known_as_peers() {
    let outcome = measure(Reference::Honest, |configuration| {
        configuration.sources = "127.0.3.0/30".into();
        configuration.popularity = "public".into();
        configuration.torrents = 200;
    });
    assert_eq!(faults(&outcome), []);
    assert!(outcome.of(Kind::Announce).answers > 0);
}

#[test]
fn a_printed_configuration_reads_back() {
    let configuration = configuration("127.0.0.1:6969".parse().unwrap());
    let text = configuration.to_text().unwrap();
    assert_eq!(toml::from_str::<Configuration>(&text).unwrap(), configuration);
    assert!(toml::from_str::<Configuration>("no_such_key = 1").is_err());
}
