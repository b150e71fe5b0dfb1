//! What announces and scrapes do to the swarm, and are answered.

use http_ws::Settings;

use super::{Tracker, announce, answer, send};

#[test]
fn peers_of_two_announces_meet() {
    let tracker = Tracker::start(Settings::default());
    let mut stream = tracker.connect();
    send(&mut stream, &announce(1, 1000, "&event=started"));
    let (status, body) = answer(&mut stream);
    assert_eq!(status, "HTTP/1.1 200 OK");
    let text = body.escape_ascii().to_string();
    assert!(
        text.starts_with(
            "d8:completei0e10:downloadedi0e11:external ip4:\\x7f\\x00\\x00\\x0110:incompletei1e8:intervali"
        ),
        "{text}"
    );
    assert!(text.ends_with("e12:min intervali900e5:peers0:e"), "{text}");
    let mut text = String::new();
    // The writer takes a moment.
    while !text.ends_with("5:peers6:\\x7f\\x00\\x00\\x01\\x03\\xe8e") {
        send(&mut stream, &announce(1, 1001, "&left=0"));
        text = answer(&mut stream).1.escape_ascii().to_string();
    }
    assert!(text.contains("8:completei1e") && text.contains("10:incompletei1e"), "{text}");
    send(&mut stream, format!("GET /scrape?info_hash={} HTTP/1.1\r\n\r\n", "%01".repeat(20)).as_bytes());
    let (_, body) = answer(&mut stream);
    let text = body.escape_ascii().to_string();
    assert!(
        text.starts_with("d5:filesd20:\\x01\\x01") && text.ends_with("eeee") || text.ends_with("eee"),
        "{text}"
    );
}

#[test]
fn denied_and_bad_requests_say_why() {
    let tracker = Tracker::start(Settings::default());
    let mut stream = tracker.connect();
    for (request, reason) in [
        ("/announce?peer_id=-XX0001-000000000000&port=1", "missing info_hash"),
        ("/announce?info_hash=x&peer_id=-XX0001-000000000000&port=1", "invalid info_hash"),
        ("/scrape", "full scrapes are not allowed"),
    ] {
        send(&mut stream, format!("GET {request} HTTP/1.1\r\n\r\n").as_bytes());
        let (_, body) = answer(&mut stream);
        let expected = format!("d14:failure reason{}:{reason}e", reason.len());
        assert_eq!(body.escape_ascii().to_string(), expected, "{request}");
    }
    assert_eq!((tracker.count("error_query"), tracker.count("error_full_scrape")), (2, 1));
}
