//! The crowd against trackers of its own: one that forwards as it should, and others that don't.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use tungstenite::{Error, Message as Frame, WebSocket};

use super::*;

/// What a tracker does to a message that it forwards.
type Change = fn(&mut Value);

/// Connections by peer id, in the swarms where they are.
#[derive(Default)]
struct State {
    swarms: HashMap<String, Vec<String>>,
    connections: HashMap<String, Sender<Value>>,
}

/// A tracker of threads, one for each connection, that end with their connections.
fn tracker(change: Change) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let state = Arc::new(Mutex::new(State::default()));
    thread::spawn(move || {
        for socket in listener.incoming() {
            let state = Arc::clone(&state);
            thread::spawn(move || {
                let socket = socket.unwrap();
                socket.set_nodelay(true).unwrap();
                let mut socket = tungstenite::accept(socket).unwrap();
                socket.get_mut().set_read_timeout(Some(Duration::from_millis(1))).unwrap();
                let (sender, receiver) = channel();
                serve(&mut socket, &state, &sender, &receiver, change);
            });
        }
    });
    address
}

fn serve(
    socket: &mut WebSocket<TcpStream>,
    state: &Mutex<State>,
    sender: &Sender<Value>,
    receiver: &Receiver<Value>,
    change: Change,
) {
    loop {
        match socket.read() {
            Ok(Frame::Text(text)) => {
                let message = serde_json::from_str(&text).unwrap();
                take(&message, &mut state.lock().unwrap(), sender, change);
            }
            Ok(_) => {}
            Err(Error::Io(error)) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => return,
        }
        for message in receiver.try_iter() {
            if socket.send(Frame::text(message.to_string())).is_err() {
                return;
            }
        }
    }
}

fn take(message: &Value, state: &mut State, from: &Sender<Value>, change: Change) {
    let text = |key: &str| message[key].as_str().unwrap().to_owned();
    if message["action"] == "scrape" {
        let members = state.swarms.get(&text("info_hash")).map_or(0, Vec::len);
        let counts = json!({"complete": 0, "incomplete": members, "downloaded": 0});
        let mut answer = json!({"action": "scrape", "files": {}});
        answer["files"][text("info_hash")] = counts;
        change(&mut answer);
        let _ = from.send(answer);
        return;
    }
    let (info_hash, peer_id) = (text("info_hash"), text("peer_id"));
    let forward = |state: &State, to: &str, offer_id: &Value, key: &str, content: &Value| {
        let mut forwarded =
            json!({"action": "announce", "info_hash": info_hash, "peer_id": peer_id, "offer_id": offer_id});
        forwarded[key] = content.clone();
        change(&mut forwarded);
        // Who is gone gets nothing.
        let _ = state.connections[to].send(forwarded);
    };
    if message["answer"].is_object() {
        return forward(state, &text("to_peer_id"), &message["offer_id"], "answer", &message["answer"]);
    }
    state.connections.insert(peer_id.clone(), from.clone());
    let members = state.swarms.entry(info_hash.clone()).or_default();
    if !members.contains(&peer_id) {
        members.push(peer_id.clone());
    }
    let others: Vec<String> = members.iter().filter(|member| **member != peer_id).cloned().collect();
    for (offer, to) in message["offers"].as_array().unwrap().iter().zip(&others) {
        forward(state, to, &offer["offer_id"], "offer", &offer["offer"]);
    }
    let mut answer = json!({"action": "announce", "info_hash": info_hash, "complete": 0, "incomplete": 1, "interval": 120});
    change(&mut answer);
    let _ = from.send(answer);
}

fn crowd(target: SocketAddr, answer_share: f64) -> Crowd {
    Crowd::new(&load(target, answer_share)).unwrap()
}

fn load(target: SocketAddr, answer_share: f64) -> Load {
    Load {
        target,
        path: "/announce".to_owned(),
        connections: 4,
        tls: false,
        choice: Choice::Own { each: 3, peers: 4 },
        leechers: true,
        offers: 5,
        sdp_bytes: 400,
        answer_share,
        scrape_share: 0.0,
        sources: Vec::new(),
        shared: false,
        seed: 1,
    }
}

/// Announces and scrapes of popular torrents.
fn mixed(change: Change) -> Crowd {
    let choice = Choice::Popular { sizes: vec![5, 1, 1, 1] };
    let sources = vec!["127.0.5.1".parse().unwrap(), "127.0.5.2".parse().unwrap()];
    let mut crowd =
        Crowd::new(&Load { choice, sources, scrape_share: 0.3, ..load(tracker(change), 0.5) }).unwrap();
    crowd.join(5).unwrap();
    crowd
}

#[test]
fn announces_and_scrapes_are_asked_by_their_shares_and_answered() {
    let mut crowd = mixed(|_| {});
    crowd.drive(Duration::from_secs(60), Some(500)).unwrap();
    let Counts { announces, scrapes, failures, wrong, refused, broken, lost, .. } = crowd.counts;
    assert_eq!(([failures, wrong, refused, broken, lost], &crowd.counts.trouble), ([0; 5], &None));
    let share = scrapes as f64 / (announces + scrapes) as f64;
    assert!((0.2..0.4).contains(&share), "{scrapes} scrapes, {announces} announces");
    assert!(crowd.counts.offers > 0 && crowd.counts.answers > 0);
}

#[test]
fn open_loop_asks_as_often_as_it_should_and_no_more() {
    let mut crowd = mixed(|_| {});
    crowd.set_pace(Pace::at(200.0));
    crowd.counts = Counts::new();
    let start = Instant::now();
    crowd.drive(Duration::from_secs(2), None).unwrap();
    let sent = crowd.counts.sent.announces + crowd.counts.sent.scrapes;
    // Never more than were due until the last of them was sent.
    let due = (start.elapsed().as_secs_f64() * 200.0) as u64 + 1;
    assert!((300..=due).contains(&sent), "{sent} of {due}");
    assert_eq!((crowd.counts.wrong, crowd.counts.lost), (0, 0));
    // As fast as it can be, it would be far more.
    crowd.set_pace(Pace::Closed);
    (0..4).for_each(|number| {
        crowd.announce(number);
        crowd.send(number);
    });
    crowd.drive(Duration::from_secs(60), Some(1000)).unwrap();
    assert!(crowd.counts.announces >= 1000);
}

#[test]
fn counts_that_cannot_be_are_wrong() {
    let changes: [Change; 3] = [
        |message| {
            if message["action"] == "announce" && message["complete"].is_number() {
                message["complete"] = 1000.into();
            }
        },
        |message| {
            for (_, file) in message["files"].as_object_mut().into_iter().flatten() {
                file["incomplete"] = 1000.into();
            }
        },
        |message| {
            if message["files"].is_object() {
                message["files"] = json!({"another": {"complete": 0, "incomplete": 0}});
            }
        },
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let choice = Choice::Popular { sizes: vec![1; 4] };
        let mut crowd =
            Crowd::new(&Load { choice, scrape_share: 0.5, ..load(tracker(change), 0.0) }).unwrap();
        crowd.begin(u32::MAX, 5).unwrap();
        crowd.drive(Duration::from_millis(500), None).unwrap();
        assert!(crowd.counts.wrong > 0, "change {number}");
    }
}

#[test]
fn offers_come_to_others_and_answers_come_back() {
    let mut crowd = crowd(tracker(|_| {}), 1.0);
    assert_eq!(crowd.torrents(), 3);
    crowd.join(5).unwrap();
    assert_eq!(crowd.open(), 4);
    crowd.counts = Counts::new();
    crowd.drive(Duration::from_secs(60), Some(200)).unwrap();
    let counts = &crowd.counts;
    assert!(counts.announces >= 200);
    // Of five offers three have somebody to go to; some are still under way.
    assert!(counts.offers >= 500 && counts.answers >= 250, "{} {}", counts.offers, counts.answers);
    let troubles = [counts.failures, counts.wrong, counts.refused, counts.broken, counts.lost];
    assert_eq!((troubles, &counts.trouble), ([0; 5], &None));
    assert_eq!(counts.sent.offers, 5 * counts.sent.announces);
    // What comes so late that it can't be checked isn't answered.
    let answered = counts.offers - counts.unchecked.min(counts.offers)..=counts.offers;
    assert!(answered.contains(&counts.sent.answers), "{} {answered:?}", counts.sent.answers);
    assert_eq!(counts.acknowledgements, 0);
}

#[test]
fn who_announces_once_is_quiet_after_that() {
    let mut crowd = crowd(tracker(|_| {}), 0.0);
    crowd.announce_once(5).unwrap();
    crowd.drive(Duration::from_millis(100), None).unwrap();
    assert_eq!((crowd.counts.announces, crowd.counts.sent.answers, crowd.open()), (4, 0, 4));
}

#[test]
fn what_is_changed_on_the_way_is_wrong() {
    let changes: [Change; 6] = [
        |message| {
            if message["offer"].is_object() {
                message["offer"]["sdp"] =
                    message["offer"]["sdp"].as_str().unwrap().replace("mid:0", "mid:1").into();
            }
        },
        |message| {
            if message["offer"].is_object() {
                message["offer"]["more"] = 1.into();
            }
        },
        |message| {
            if message["answer"].is_object() {
                message["answer"]["type"] = "offer".into();
            }
        },
        |message| {
            if message["offer_id"].is_string() {
                message["offer_id"] = "another".into();
            }
        },
        |message| {
            if message["offer"].is_object() {
                message["peer_id"] = "-WW0208-000000000009".into();
            }
        },
        |message| {
            if message["offer"].is_object() {
                message["info_hash"] = "another".into();
            }
        },
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut crowd = crowd(tracker(change), 1.0);
        crowd.join(5).unwrap();
        assert!(crowd.counts.wrong > 0, "change {number}");
        assert_eq!(crowd.counts.lost, 0, "change {number}");
    }
}

#[test]
fn what_is_no_tracker_is_told_of() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = listener.local_addr().unwrap();
    thread::spawn(move || listener.incoming().for_each(drop));
    let mut crowd = crowd(target, 1.0);
    crowd.begin(1, 0).unwrap();
    crowd.drive(Duration::from_millis(300), None).unwrap();
    assert!(crowd.counts.broken >= 4, "{}", crowd.counts.broken);
    assert_eq!((crowd.counts.announces, crowd.counts.wrong), (0, 0));
}
