//! HTTP and HTTPS as an operator sees them: what is told at start, counted, reloaded and left behind. What requests get is in the rows.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use tracker_testkit::daemon::{Configuration, Home};

use crate::{home, on_loopback, running};

/// What a client gets for one request of HTTP/1.0: everything until the tracker closes.
pub(crate) fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = connect(address);
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap_or_else(|error| panic!("{path} at {address}: {error}"));
    String::from_utf8_lossy(&answer).into_owned()
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap_or_else(|error| panic!("{address}: {error}"));
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream
}

fn plain() -> Configuration {
    on_loopback("off", "").with_http(&["http://127.0.0.1:0"])
}

/// Makes a certificate by the command line and gives the tables of the configuration that use it.
fn self_signed(home: &Home, directory: &str, name: &str) -> String {
    let path = home.path(directory);
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_tracker-user"))
        .args(["tls", "self-signed", path.to_str().unwrap(), name])
        .output()
        .expect("the binary exists");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains(name), "{said}");
    with_certificate(home, directory)
}

fn with_certificate(home: &Home, directory: &str) -> String {
    format!(
        "[http]\nlisten = [\"https://127.0.0.1:0\"]\nworkers = 1\n[tls]\ncertificate = {:?}\nprivate_key = {:?}\n",
        home.path(directory).join("certificate.pem"),
        home.path(directory).join("private-key.pem"),
    )
}

#[test]
fn listeners_are_told_answer_and_are_counted() {
    let (home, daemon) = running(&plain().with_http(&["http://127.0.0.1:0", "http://127.0.0.2:0"]));
    let urls: Vec<&String> =
        daemon.told().iter().filter(|line| line.starts_with("announce http://")).collect();
    assert_eq!(urls.len(), 2, "{:?}", daemon.told());
    let address = daemon.http_address("http", false);
    assert!(
        get(address, "/health").starts_with("HTTP/1.1 200")
            || get(address, "/health").starts_with("HTTP/1.0 200")
    );
    let hash = "%ab".repeat(20);
    let announce = format!("/announce?info_hash={hash}&peer_id=-XX0000-000000000000&port=6881&left=0");
    let answer = get(address, &announce);
    assert!(answer.contains("d8:completei1e"), "{answer}");
    daemon.eventually("the peer is in the table", || (home.stats()["swarm"]["peers"] == 1).then_some(()));
    assert_eq!(home.stats()["http"]["announce"], 1);
    let table = home.told(&["map", "stats"]);
    assert!(table.lines().any(|line| line.split_whitespace().eq(["announce", "1"])), "{table}");
    daemon.stop_well();
}

#[test]
fn without_listeners_nothing_is_told_of_http() {
    let (home, daemon) = running(&on_loopback("off", ""));
    assert!(!daemon.told().iter().any(|line| line.contains("http")), "{:?}", daemon.told());
    assert_eq!(home.stats()["http"], serde_json::json!({}));
}

#[test]
fn a_second_tracker_on_the_port_is_an_error() {
    let (_home, daemon) = running(&plain());
    let taken = daemon.http_address("http", false);
    let second = home();
    second.configure(&on_loopback("off", "").with_http(&[&format!("http://{taken}")]));
    let said = second.try_start(None).unwrap_err();
    assert!(said.contains(&format!("http://{taken}")) && said.contains("in use"), "{said}");
    assert!(said.contains(&daemon.id().to_string()), "the process is named: {said}");
    assert!(!second.path("control.sock").exists(), "nothing is left behind");
    get(taken, "/health");
}

#[test]
fn a_stop_closes_connections_that_wait_for_their_next_request() {
    let (_home, daemon) = running(&plain());
    let mut stream = connect(daemon.http_address("http", false));
    write!(stream, "GET /health HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    let mut first = [0];
    stream.read_exact(&mut first).unwrap();
    daemon.stop_well();
    // Everything else of the answer, and the end: without it the read times out.
    stream.read_to_end(&mut Vec::new()).expect("the connection ends");
}

#[test]
fn as_many_descriptors_as_possible_are_provided_for() {
    let (_home, daemon) = running(&plain());
    let limits = fs::read_to_string(format!("/proc/{}/limits", daemon.id())).unwrap();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).expect("Linux has it");
    let fields: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(fields[0], fields[1], "{limits}");
    assert!(daemon.log().contains(&format!("file descriptors: at most {}", fields[0])), "{}", daemon.log());
}

#[test]
fn a_certificate_is_made_used_and_reloaded_and_a_broken_one_is_not() {
    let home = home();
    let http = self_signed(&home, "tls", "first.example");
    home.configure(&Configuration { http, ..on_loopback("off", "") });
    let daemon = home.start(None);
    daemon.http_address("https", false);
    assert!(daemon.log().contains("first.example"), "the certificate is told: {}", daemon.log());

    self_signed(&home, "other", "second.example");
    home.write("tls/certificate.pem", &home.read("other/certificate.pem"));
    daemon.signal(libc::SIGHUP);
    // Its key is still the first one's.
    let stays = "the certificate stays as it was";
    daemon.eventually("the pair is refused", || daemon.log().contains(stays).then_some(()));
    home.write("tls/private-key.pem", &home.read("other/private-key.pem"));
    daemon.signal(libc::SIGUSR1);
    let reloaded = || {
        daemon
            .log()
            .lines()
            .any(|line| line.contains("second.example") && !line.contains(stays))
            .then_some(())
    };
    daemon.eventually("the new pair is used", reloaded);
    daemon.stop_well();
}

#[test]
fn a_bad_certificate_at_start_is_fatal_and_named() {
    let home = home();
    home.configure(&Configuration { http: with_certificate(&home, "nowhere"), ..on_loopback("off", "") });
    let said = home.try_start(None).unwrap_err();
    assert!(said.contains("nowhere/") && said.contains("No such file"), "{said}");
    assert!(!home.path("control.sock").exists(), "nothing is left behind");
}

#[test]
fn https_without_a_certificate_is_refused_with_the_way_to_one() {
    let home = home();
    home.configure(&on_loopback("off", "").with_http(&["https://127.0.0.1:0"]));
    let said = home.try_start(None).unwrap_err();
    assert!(said.contains("needs a certificate") && said.contains("tls self-signed"), "{said}");
}
