//! WebSocket connections of several workers: who gets what, and what is left of who has gone.

use std::net::TcpStream;
use std::time::Duration;

use http_ws::{Settings, webtorrent};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::{Message, WebSocket};

use super::{Tracker, answer, send};

const UPGRADE: &[u8] = b"GET /announce HTTP/1.1\r\nHost: tracker.example\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// A client with its connection.
struct Client(WebSocket<TcpStream>);

impl Client {
    fn of(tracker: &Tracker) -> Self {
        let mut stream = tracker.connect();
        send(&mut stream, UPGRADE);
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            std::io::Read::read_exact(&mut stream, &mut byte).expect("an answer");
            head.extend(byte);
        }
        let head = String::from_utf8(head).expect("a header is text");
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        assert!(head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
        Self(WebSocket::from_raw_socket(stream, Role::Client, None))
    }

    fn say(&mut self, message: &Value) {
        self.0.send(Message::text(message.to_string())).expect("the server reads");
    }

    fn hear(&mut self) -> Value {
        loop {
            match self.0.read().expect("the server answers") {
                Message::Text(text) => return serde_json::from_str(&text).expect("it is JSON"),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

fn id(name: &str) -> String {
    format!("{name:\u{fe}>20}")
}

fn announce(peer: &str, offers: &[&str]) -> Value {
    let offers: Vec<Value> = offers
        .iter()
        .map(|name| json!({"offer_id": name, "offer": {"type": "offer", "sdp": name}}))
        .collect();
    json!({"action": "announce", "info_hash": id("torrent"), "peer_id": id(peer), "left": 1, "offers": offers})
}

#[test]
fn peers_of_all_workers_meet() {
    let tracker = Tracker::start_with(Settings::default(), 3);
    let mut clients: Vec<(String, Client)> =
        (0..24).map(|number| (format!("peer {number}"), Client::of(&tracker))).collect();
    for (number, (peer, client)) in clients.iter_mut().enumerate() {
        client.say(&announce(peer, &[]));
        let told = client.hear();
        assert_eq!(told["incomplete"], number + 1, "{told}");
        assert_eq!(told.as_object().expect("an object").len(), 5);
    }
    let offers: Vec<String> = (0..10).map(|number| format!("offer {number}")).collect();
    let names: Vec<&str> = offers.iter().map(String::as_str).collect();
    for round in 0..20 {
        let (sender, _) = &clients[round % 24];
        let message = announce(sender, &names);
        let sender = sender.clone();
        clients[round % 24].1.say(&message);
        clients[round % 24].1.hear();
        tracker.until_webtorrent("offers_forwarded", 10 * (round as u64 + 1));
        let mut answered = 0;
        for (number, (peer, client)) in clients.iter_mut().enumerate() {
            if number == round % 24 {
                continue;
            }
            // A scrape's answer comes behind whatever was there before.
            client.say(&json!({"action": "scrape", "info_hash": []}));
            let told = client.hear();
            if told["action"] == "announce" {
                assert_eq!(
                    (&told["peer_id"], &told["offer"]["sdp"]),
                    (&json!(id(&sender)), &told["offer_id"])
                );
                client.say(&json!({
                    "action": "announce", "info_hash": id("torrent"), "peer_id": id(peer), "to_peer_id": id(&sender),
                    "offer_id": told["offer_id"], "answer": {"sdp": peer},
                }));
                answered += 1;
                assert_eq!(client.hear()["action"], "scrape");
            }
        }
        assert_eq!(answered, 10);
        for _ in 0..10 {
            let told = clients[round % 24].1.hear();
            assert_eq!(
                json!(id(told["answer"]["sdp"].as_str().expect("an answer"))),
                told["peer_id"],
                "{told}"
            );
        }
    }
    tracker.until_webtorrent("answers_forwarded", 200);
    drop(clients);
    tracker.until_webtorrent("connections_open", 0);
    tracker.until_webtorrent("torrents", 0);
    tracker.until_webtorrent("peers", 0);
}

#[test]
fn answer_to_somebody_who_has_gone_is_an_error_wherever_he_was() {
    let tracker = Tracker::start_with(Settings::default(), 2);
    for round in 1..=16 {
        let (mut sender, mut other) = (Client::of(&tracker), Client::of(&tracker));
        other.say(&announce("other", &[]));
        other.hear();
        sender.say(&announce("sender", &["offer"]));
        sender.hear();
        let offer = other.hear();
        drop(sender);
        tracker.until_webtorrent("connections_open", 1);
        other.say(&json!({
            "action": "announce", "info_hash": id("torrent"), "peer_id": id("other"), "to_peer_id": id("sender"),
            "offer_id": offer["offer_id"], "answer": {},
        }));
        let told = other.hear();
        assert_eq!(
            told,
            json!({"action": "announce", "failure reason": "unknown offer", "info_hash": id("torrent")})
        );
        tracker.until_webtorrent("answers_unmatched", round);
        drop(other);
        tracker.until_webtorrent("connections_open", 0);
    }
}

#[test]
fn answers_are_matched_however_the_name_of_the_offer_is_escaped() {
    let tracker = Tracker::start(Settings::default());
    let (mut sender, mut other) = (Client::of(&tracker), Client::of(&tracker));
    other.say(&announce("other", &[]));
    other.hear();
    sender.say(&announce("sender", &["\u{e9}\u{1f}"]));
    sender.hear();
    assert_eq!(other.hear()["offer_id"], "\u{e9}\u{1f}");
    let answer = json!({
        "action": "announce", "info_hash": id("torrent"), "peer_id": id("other"), "to_peer_id": id("sender"),
        "offer_id": "NAME", "answer": {},
    });
    let answer = answer.to_string().replace("NAME", "\\u00E9\\u001F").replace('\u{fe}', "\\u00fe");
    other.0.send(Message::text(answer)).expect("the server reads");
    assert_eq!(sender.hear()["answer"], json!({}));
}

#[test]
fn silent_connections_are_pinged_and_closed() {
    let settings = webtorrent::Settings { idle_timeout: Duration::from_millis(800), ..Default::default() };
    let tracker = Tracker::start(Settings { webtorrent: Some(settings), ..Settings::default() });
    let mut lively = Client::of(&tracker);
    let mut silent = Client::of(&tracker);
    silent.say(&announce("silent", &[]));
    // The client answers pings when it reads, and this one doesn't read.
    lively.0.get_ref().set_read_timeout(Some(Duration::from_millis(2500))).expect("not zero");
    let error = lively.0.read().map(|message| assert!(message.is_ping())).and_then(|()| lively.0.read());
    assert!(error.is_ok(), "{error:?}");
    tracker.until_webtorrent("closed_idle", 1);
    tracker.until_webtorrent("peers", 0);
    silent.hear();
    let close = loop {
        match silent.0.read().expect("a close") {
            Message::Ping(_) => {}
            other => break other,
        }
    };
    assert!(matches!(&close, Message::Close(Some(frame)) if u16::from(frame.code) == 1001), "{close:?}");
}

#[test]
fn upgrades_that_lack_something_are_refused_and_http_goes_on() {
    let tracker = Tracker::start(Settings::default());
    let text = str::from_utf8(UPGRADE).expect("it is text");
    for (request, status) in [
        (text.replace("13", "8"), "426"),
        (text.replace("Sec-WebSocket-Key", "X"), "400"),
        (text.replace("keep-alive, Upgrade", "close"), "400"),
        (text.replace("HTTP/1.1", "HTTP/1.0"), "400"),
        (text.replace("GET", "POST"), "405"),
        (text.replace("/announce", "/scrape"), "200"),
        (text.replace("websocket", "h2c"), "200"),
    ] {
        let mut stream = tracker.connect();
        send(&mut stream, request.as_bytes());
        assert_eq!(answer(&mut stream).0.split(' ').nth(1), Some(status), "{request}");
    }
    let off = Tracker::start(Settings { webtorrent: None, ..Settings::default() });
    let mut stream = off.connect();
    send(&mut stream, text.replace("/announce", "/ws").as_bytes());
    assert_eq!(answer(&mut stream).0, "HTTP/1.1 404 Not Found");
}
