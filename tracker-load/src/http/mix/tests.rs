//! The load tester against reference trackers whose faults are known: it has to report each of them, and nothing else.

use std::collections::{BTreeSet, HashMap};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::configuration::Configuration;
use super::drive::run;
use crate::mix::outcome::{Kind, Outcome};
use crate::mix::verdict::Fault;

/// What is wrong with a reference tracker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reference {
    Honest,
    /// Every answer is the last one of its connection.
    Closes,
    /// Every fiftieth request gets no answer, and the connection ends.
    Drops,
    /// Every fiftieth request gets no answer, and the connection stays.
    Silent,
    WrongCounts,
    StrangePeer,
    PeerTwice,
    TooMany,
    /// Peers that are no whole number of peers.
    CutShort,
    /// The scrape of another torrent than was asked for.
    OtherTorrent,
    /// Announces get a scrape's answer.
    WrongAction,
    NoBencoding,
    Refuses,
    /// It stops for a while.
    Stalls,
}

/// A small tracker: it knows who announced what, and answers with everybody.
struct Tracker {
    reference: Reference,
    swarms: HashMap<Vec<u8>, BTreeSet<([u8; 4], u16)>>,
    requests: u64,
}

/// Starts one; its threads end with their connections.
fn start(reference: Reference) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let tracker = Arc::new(Mutex::new(Tracker { reference, swarms: HashMap::new(), requests: 0 }));
    thread::spawn(move || {
        for socket in listener.incoming() {
            let tracker = Arc::clone(&tracker);
            thread::spawn(move || serve(&socket.unwrap(), &tracker));
        }
    });
    address
}

fn serve(mut socket: &TcpStream, tracker: &Mutex<Tracker>) {
    let IpAddr::V4(from) = socket.peer_addr().unwrap().ip() else { panic!("IPv4") };
    let mut request = String::new();
    for line in BufReader::new(socket).lines().map_while(Result::ok) {
        if request.is_empty() {
            request = line;
        } else if line.is_empty() {
            let (body, is_last) =
                match tracker.lock().unwrap().answer(&std::mem::take(&mut request), from.octets()) {
                    Reply::Answer(body, is_last) => (body, is_last),
                    Reply::Nothing => continue,
                    Reply::End => return,
                };
            let connection = if is_last { "Connection: close\r\n" } else { "" };
            let head = format!("HTTP/1.1 200 OK\r\n{connection}Content-Length: {}\r\n\r\n", body.len());
            if socket.write_all(&[head.as_bytes(), &body].concat()).is_err() || is_last {
                return;
            }
        }
    }
}

enum Reply {
    /// A body, and whether the connection ends behind it.
    Answer(Vec<u8>, bool),
    Nothing,
    End,
}

fn parameter(request: &str, name: &str) -> Vec<u8> {
    let query = request.split(['?', ' ']).nth(2).unwrap();
    let value = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')).unwrap_or("");
    let (mut bytes, mut rest) = (Vec::new(), value.as_bytes());
    while let Some((first, behind)) = rest.split_first() {
        (bytes, rest) = match first {
            b'%' => {
                bytes.push(u8::from_str_radix(str::from_utf8(&behind[..2]).unwrap(), 16).unwrap());
                (bytes, &behind[2..])
            }
            byte => {
                bytes.push(*byte);
                (bytes, behind)
            }
        };
    }
    bytes
}

fn scraped(info_hash: &[u8], complete: u32) -> Vec<u8> {
    let counts = format!("d8:completei{complete}e10:downloadedi0e10:incompletei0eeee");
    [b"d5:filesd20:", info_hash, counts.as_bytes()].concat()
}

impl Tracker {
    fn answer(&mut self, request: &str, from: [u8; 4]) -> Reply {
        self.requests += 1;
        let own = self.reference;
        let is = |reference| own == reference;
        match self.requests {
            number if number.is_multiple_of(50) && is(Reference::Drops) => return Reply::End,
            number if number.is_multiple_of(50) && is(Reference::Silent) => return Reply::Nothing,
            1000 if is(Reference::Stalls) => thread::sleep(Duration::from_millis(400)),
            _ => {}
        }
        let info_hash = parameter(request, "info_hash");
        assert_eq!(info_hash.len(), 20, "{request}");
        let body = if is(Reference::Refuses) {
            b"d14:failure reason2:noe".to_vec()
        } else if is(Reference::NoBencoding) && self.requests.is_multiple_of(10) {
            b"<html></html>".to_vec()
        } else if request.starts_with("GET /scrape") {
            let other = is(Reference::OtherTorrent).then_some([7; 20].as_slice());
            let known = self.swarms.get(&info_hash).map_or(0, BTreeSet::len) as u32;
            scraped(other.unwrap_or(&info_hash), if is(Reference::WrongCounts) { 1_000_000 } else { known })
        } else if is(Reference::WrongAction) {
            scraped(&info_hash, 0)
        } else {
            self.announce(request, info_hash, from)
        };
        Reply::Answer(body, is(Reference::Closes))
    }

    fn announce(&mut self, request: &str, info_hash: Vec<u8>, from: [u8; 4]) -> Vec<u8> {
        let number = |name| str::from_utf8(&parameter(request, name)).unwrap().parse::<u32>().unwrap();
        let (port, want) = (number("port") as u16, number("numwant") as usize);
        let swarm = self.swarms.entry(info_hash).or_default();
        swarm.insert((from, port));
        let most = if self.reference == Reference::TooMany { usize::MAX } else { want };
        let mut peers: Vec<([u8; 4], u16)> = swarm.iter().copied().take(most).collect();
        match self.reference {
            Reference::StrangePeer => peers[0].0 = [192, 0, 2, 1],
            Reference::PeerTwice => peers.push(peers[0]),
            _ => {}
        }
        let complete = if self.reference == Reference::WrongCounts { 1_000_000 } else { swarm.len() };
        let mut compact: Vec<u8> =
            peers.iter().flat_map(|(ip, port)| [&ip[..], &port.to_be_bytes()].concat()).collect();
        if self.reference == Reference::CutShort {
            compact.pop();
        }
        let head =
            format!("d8:completei{complete}e10:incompletei0e8:intervali1800e5:peers{}:", compact.len());
        [head.as_bytes(), &compact, b"e"].concat()
    }
}

fn measure(reference: Reference, change: impl FnOnce(&mut Configuration)) -> Outcome {
    let mut configuration = Configuration {
        target: start(reference),
        seconds: 0.5,
        warmup: 0.1,
        connections: 8,
        announces: 10,
        scrapes: 3,
        torrents: 50,
        peers: 4,
        // One less than there are for some answers, so that too many can be told.
        want: 3,
        sources: "127.0.9.0/30".to_owned(),
        cpu_of: vec![std::process::id()],
        ..Configuration::default()
    };
    change(&mut configuration);
    run(&configuration).unwrap()
}

/// Faults by name, those that were found.
fn faults(outcome: &Outcome) -> Vec<&'static str> {
    let found = Fault::ALL.into_iter().filter(|fault| outcome.faults.of(*fault) > 0);
    found.map(Fault::name).collect()
}

#[test]
fn honest_tracker_has_no_faults_whoever_closes() {
    for (reference, close) in
        [(Reference::Honest, false), (Reference::Honest, true), (Reference::Closes, false)]
    {
        let outcome = measure(reference, |configuration| configuration.close = close);
        assert_eq!(faults(&outcome), [""; 0], "{reference:?}");
        for kind in [Kind::Announce, Kind::Scrape] {
            let of = outcome.of(kind);
            assert!(of.answers > 20, "{kind:?}: {} answers of {reference:?}", of.answers);
            assert_eq!((of.errors, of.lost, outcome.broken), (0, 0, 0), "{kind:?}, {reference:?}");
            assert!(of.latency.quantile_us(0.5) > 0.0);
        }
        assert!(outcome.peers > outcome.of(Kind::Announce).answers);
        assert!(outcome.cpu[0].time > Duration::ZERO);
    }
}

#[test]
fn each_fault_is_reported_and_no_other() {
    for (reference, fault) in [
        (Reference::WrongCounts, Fault::Counts),
        (Reference::StrangePeer, Fault::StrangePeer),
        (Reference::PeerTwice, Fault::DoublePeer),
        (Reference::TooMany, Fault::TooManyPeers),
        (Reference::CutShort, Fault::Length),
        (Reference::OtherTorrent, Fault::Action),
        (Reference::WrongAction, Fault::Action),
        (Reference::NoBencoding, Fault::Unreadable),
    ] {
        // Every peer has its own address, so that swarms of four announce four addresses each: more than three are wanted.
        let outcome = measure(reference, |configuration| {
            configuration.want = if reference == Reference::PeerTwice { 30 } else { 3 };
        });
        assert_eq!(faults(&outcome), [fault.name()], "{reference:?}");
    }
}

#[test]
fn what_others_announce_is_no_fault_when_the_torrents_are_shared() {
    for reference in [Reference::StrangePeer, Reference::WrongCounts] {
        let outcome = measure(reference, |configuration| configuration.shared = true);
        assert_eq!(faults(&outcome), [""; 0], "{reference:?}");
    }
}

#[test]
fn connections_that_end_without_an_answer_are_broken_and_their_requests_lost() {
    let outcome = measure(Reference::Drops, |_| {});
    let lost: u64 = [Kind::Announce, Kind::Scrape].map(|kind| outcome.of(kind).lost).iter().sum();
    let sent: u64 = [Kind::Announce, Kind::Scrape].map(|kind| outcome.of(kind).sent).iter().sum();
    assert_eq!(outcome.broken, lost);
    // One of 50.
    assert!(lost >= sent / 50 - 8 && lost <= sent / 50 + 8, "{lost} of {sent}");
    assert_eq!(faults(&outcome), [""; 0]);
}

#[test]
fn failure_reasons_are_errors() {
    let outcome = measure(Reference::Refuses, |configuration| configuration.fill = false);
    let of = outcome.of(Kind::Announce);
    assert!(of.answers == 0 && of.errors > 20, "{} answers, {} errors", of.answers, of.errors);
    assert_eq!(faults(&outcome), [""; 0]);
}

#[test]
fn tracker_that_never_answers_is_none() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let configuration = Configuration { target: listener.local_addr().unwrap(), ..Configuration::default() };
    let error = run(&configuration).err().expect("nobody answers").to_string();
    assert!(error.contains("doesn't answer"), "{error}");
}

/// 400 ms of silence in an open loop are waited through by all that were due in that time; a closed loop has a few that waited.
#[test]
fn stall_is_seen_by_all_requests_that_were_due_in_it() {
    let open = |configuration: &mut Configuration| {
        (configuration.rate, configuration.seconds, configuration.fill) = (1000.0, 2.0, false);
        configuration.shared = true;
    };
    let outcome = measure(Reference::Stalls, open);
    let of = outcome.of(Kind::Announce);
    // A fifth of the time at least: those due in the first 200 ms of the stall waited for 200 ms.
    assert!(of.latency.quantile_us(0.95) > 150_000.0, "{}", of.latency.quantile_us(0.95));
    let rate = outcome.answers() as f64 / outcome.time.as_secs_f64();
    assert!((900.0..1100.0).contains(&rate), "{rate}");
}

#[test]
fn silent_connection_is_given_up() {
    let outcome = measure(Reference::Silent, |configuration| configuration.seconds = 6.0);
    let lost: u64 = [Kind::Announce, Kind::Scrape].map(|kind| outcome.of(kind).lost).iter().sum();
    assert!((1..=8).contains(&lost), "{lost}");
}

#[test]
fn configuration_is_what_is_printed_and_refuses_what_it_does_not_know() {
    let configuration = Configuration { tls: "full".to_owned(), connections: 7, ..Configuration::default() };
    let text = configuration.to_text().unwrap();
    assert_eq!(toml::from_str::<Configuration>(&text).unwrap(), configuration);
    assert!(toml::from_str::<Configuration>("no_such_key = 1").is_err());
    let wrong = Configuration { tls: "perhaps".to_owned(), ..Configuration::default() };
    assert!(wrong.handshakes().is_err());
}
