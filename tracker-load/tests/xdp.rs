//! Load past the network stack, across a cable, against a small tracker on an ordinary socket.

use std::collections::{BTreeSet, HashMap};
use std::net::{SocketAddr, UdpSocket};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tracker_testkit::netns::Namespace;
use tracker_testkit::skip::{Requirement, must_skip};

const SERVER_V4: &str = "10.99.0.2";
const SERVER_V6: &str = "fd99::2";

/// A client whose end of the cable has no program, and a server.
fn cable() -> (Namespace, Namespace) {
    let (client, server) = (Namespace::new(), Namespace::new());
    client.cable_to(&server, "client0", "server0");
    for (namespace, interface, v4, v6) in
        [(&client, "client0", "10.99.0.1", "fd99::1"), (&server, "server0", SERVER_V4, SERVER_V6)]
    {
        namespace.ip(&format!("address add {v4}/24 dev {interface}"));
        namespace.ip(&format!("-6 address add {v6}/64 dev {interface}"));
        namespace.ip(&format!("link set {interface} up"));
    }
    client.own_networks("10.77.0.0/16", "fd77::/64");
    server.ip("route add 10.77.0.0/16 via 10.99.0.1");
    server.ip("-6 route add fd77::/64 via fd99::1");
    (client, server)
}

const ID: [u8; 8] = *b"an id...";

/// Answers until it is told to stop; `strange` adds a peer that nobody has announced.
fn tracker(
    namespace: &Namespace,
    address: SocketAddr,
    strange: bool,
    stopping: &Arc<AtomicBool>,
) -> JoinHandle<u64> {
    let socket = namespace.inside(|| UdpSocket::bind(address)).expect("the address is the server's");
    socket.set_read_timeout(Some(Duration::from_millis(50))).expect("not zero");
    let stopping = Arc::clone(stopping);
    thread::spawn(move || {
        let mut swarms: HashMap<Vec<u8>, BTreeSet<Vec<u8>>> = HashMap::new();
        let (mut buffer, mut answered) = ([0; 2048], 0);
        while !stopping.load(Ordering::Relaxed) {
            let Ok((len, from)) = socket.recv_from(&mut buffer) else { continue };
            let request = &buffer[..len];
            // What finds out the hardware address is no request.
            if len < 16 {
                continue;
            }
            let (action, transaction) = (&request[8..12], &request[12..16]);
            let answer = match action {
                [0, 0, 0, 0] => [action, transaction, &ID].concat(),
                _ if request[..8] != ID => continue,
                [0, 0, 0, 1] => {
                    let ip = match from {
                        SocketAddr::V4(from) => from.ip().octets().to_vec(),
                        SocketAddr::V6(from) => from.ip().octets().to_vec(),
                    };
                    let swarm = swarms.entry(request[16..36].to_vec()).or_default();
                    swarm.insert([&ip[..], &request[96..98]].concat());
                    let counts = [1800, 0, swarm.len() as u32].map(u32::to_be_bytes).concat();
                    let peers: Vec<u8> = swarm.iter().take(20).flatten().copied().collect();
                    let more = if strange { [&vec![9; ip.len()][..], &[0, 9]].concat() } else { Vec::new() };
                    [action, transaction, &counts, &peers, &more].concat()
                }
                _ => [action, transaction, &[0; 12]].concat(),
            };
            socket.send_to(&answer, from).expect("the cable takes it");
            answered += 1;
        }
        answered
    })
}

fn command(client: &Namespace, target: SocketAddr, sources: &str, more: &[&str]) -> Command {
    let mut command = client.command(env!("CARGO_BIN_EXE_tracker-load"));
    command.args(["udp", "mix", "--json", "--target", &target.to_string(), "--xdp", "client0"]);
    command.args([
        "--sources",
        sources,
        "--sockets",
        "4",
        "--torrents",
        "50",
        "--peers",
        "4",
        "--bad-ids",
        "0.05",
    ]);
    command.args(["--scrapes", "10", "--window", "64"]).args(more);
    command
}

fn load(client: &Namespace, target: SocketAddr, sources: &str, more: &[&str]) -> (bool, serde_json::Value) {
    let mut command = command(client, target, sources, more);
    let output = command.args(["--warmup", "0.2", "--seconds", "1"]).output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stderr);
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"));
    (output.status.success(), report)
}

#[test]
fn requests_go_out_and_answers_come_back_as_frames_of_both_families() {
    if must_skip(&[Requirement::Root, Requirement::Bpf]) {
        return;
    }
    let (client, server) = cable();
    let mac = server.mac("server0").map(|byte| format!("{byte:02x}")).join(":");
    for (address, sources) in [(SERVER_V4, "10.77.1.0/30"), (SERVER_V6, "fd77::100/126")] {
        let target = SocketAddr::new(address.parse().expect("an address"), 6969);
        let stopping = Arc::new(AtomicBool::new(false));
        let tracker = tracker(&server, target, false, &stopping);
        // IPv4's neighbour is found out, IPv6's has to be told.
        let more: &[&str] = if target.is_ipv6() { &["--mac", &mac] } else { &[] };
        let (good, report) = load(&client, target, sources, more);
        stopping.store(true, Ordering::Relaxed);
        let answered = tracker.join().expect("it ends");
        assert!(good, "{report}");
        let answers = report["answers"].as_u64().expect("a number");
        assert!(answers > 1000 && answered > answers, "{answers} answers of {answered}: {report}");
        for kind in ["connect", "announce", "scrape"] {
            let of = &report["kinds"][kind];
            let (answers, lost) = (of["answers"].as_u64().unwrap_or(0), of["lost"].as_u64().unwrap_or(0));
            assert!(answers > 10, "{kind}: {of}");
            // A machine that is busy with something else may hold a tracker up for a second.
            assert!(lost <= 64 && lost * 10 <= answers, "{kind}: {of}");
        }
    }
}

#[test]
fn faults_are_found_in_frames_too() {
    if must_skip(&[Requirement::Root, Requirement::Bpf]) {
        return;
    }
    let (client, server) = cable();
    let target = SocketAddr::new(SERVER_V4.parse().expect("an address"), 6969);
    let stopping = Arc::new(AtomicBool::new(false));
    let tracker = tracker(&server, target, true, &stopping);
    let (good, report) = load(&client, target, "10.77.1.0/30", &["--fill", "false"]);
    stopping.store(true, Ordering::Relaxed);
    tracker.join().expect("it ends");
    assert!(!good);
    assert!(report["faults"]["strange_peer"].as_u64() > Some(10), "{report}");
    assert_eq!(report["faults"]["wrong_transaction"].as_u64(), Some(0), "{report}");
}

/// The kernel takes a queue back from a process that has ended with a delay, and only then has it for the next one.
#[test]
fn interface_is_free_for_the_next_and_taken_while_one_has_it() {
    if must_skip(&[Requirement::Root, Requirement::Bpf]) {
        return;
    }
    let (client, server) = cable();
    let target = SocketAddr::new(SERVER_V4.parse().expect("an address"), 6969);
    let stopping = Arc::new(AtomicBool::new(false));
    let tracker = tracker(&server, target, false, &stopping);
    let said = || {
        let mut command = command(&client, target, "10.77.1.0/30", &["--warmup", "0", "--seconds", "0.05"]);
        String::from_utf8_lossy(&command.output().expect("it starts").stderr).into_owned()
    };
    for _ in 0..10 {
        let said = said();
        assert!(!said.contains("AF_XDP"), "{said}");
    }
    let mut holder = command(&client, target, "10.77.1.0/30", &["--seconds", "60"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let link = || client.command("ip").args(["link", "show", "client0"]).output().expect("it starts").stdout;
    // The program is attached after the queue was taken.
    let is_held = (0..1000).any(|_| {
        thread::sleep(Duration::from_millis(20));
        String::from_utf8_lossy(&link()).contains("prog/xdp")
    });
    let refused = (0..10).map(|_| said()).find(|said| said.contains("AF_XDP"));
    holder.kill().expect("it runs");
    holder.wait().expect("it was started here");
    stopping.store(true, Ordering::Relaxed);
    tracker.join().expect("it ends");
    let refused = refused.expect("the queue is taken");
    assert!(is_held, "no program is attached");
    assert!(refused.contains("AF_XDP on client0") && refused.contains("bind to queue 0"), "{refused}");
}

#[test]
fn interface_that_is_not_there_is_named() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tracker-load"));
    let output = command.args(["udp", "mix", "--xdp", "nosuch0"]).output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("interface nosuch0"), "{said}");
}
