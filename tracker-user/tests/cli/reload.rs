//! SIGHUP and SIGUSR1: the lists as their files say, or as they were.

use std::io::Write as _;
use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};

use tracker_testkit::daemon::{ACCESS_LIST, BLOCK_LIST, CONFIGURATION, Configuration, Daemon, Home};
use tracker_testkit::http::authority::client_trusting;
use tracker_testkit::http::connection::Dial;
use tracker_testkit::payload;
#[cfg(feature = "xdp")]
use tracker_testkit::skip::{Requirement, must_skip};

#[cfg(feature = "xdp")]
use crate::wired::Wired;
use crate::{DENIED, HASH, HASH_TEXT, OTHER, OTHER_TEXT, client, home, on_loopback, running};

#[test]
fn sighup_and_sigusr1_reload_the_access_list() {
    let (home, daemon) = running(&on_loopback("deny", ""));
    let client = client(&daemon);
    home.write(ACCESS_LIST, &format!("{HASH_TEXT}\n"));
    assert_eq!(client.refusal(HASH), None);
    daemon.signal(libc::SIGHUP);
    daemon.eventually("SIGHUP reloads", || client.refusal(HASH));
    home.write(ACCESS_LIST, &format!("{OTHER_TEXT}\n"));
    daemon.signal(libc::SIGUSR1);
    daemon.eventually("SIGUSR1 reloads", || client.refusal(OTHER));
    assert_eq!(client.refusal(HASH), None);
    daemon.stop_well();
}

#[test]
fn a_bad_line_keeps_the_old_list_and_is_named() {
    let configuration = Configuration {
        block_list: "192.0.2.0/24\n".into(),
        ..on_loopback("deny", &format!("{HASH_TEXT}\n"))
    };
    let (home, daemon) = running(&configuration);
    let client = client(&daemon);
    home.write(ACCESS_LIST, &format!("{OTHER_TEXT}\nrubbish\n"));
    home.write(BLOCK_LIST, "10.0.0.0/8\n\n10.0.0.0/33\n");
    daemon.signal(libc::SIGHUP);
    for file in [format!("{ACCESS_LIST}:2"), format!("{BLOCK_LIST}:3")] {
        daemon.eventually(&format!("{file} is named"), || daemon.log().contains(&file).then_some(()));
    }
    assert!(daemon.log().contains("rubbish"), "{}", daemon.log());
    assert_eq!(client.refusal(HASH).as_deref(), Some(DENIED));
    assert_eq!(client.refusal(OTHER), None);
    assert_eq!(home.stats()["blocked_networks"], 1);
}

#[test]
fn a_bad_line_at_start_is_fatal_and_named() {
    let home = home();
    home.configure(&on_loopback("deny", &format!("# list\n{HASH_TEXT}\nabc\n")));
    let said = home.try_start(None).unwrap_err();
    assert!(said.contains(&format!("{ACCESS_LIST}:3")) && said.contains("\"abc\""), "{said}");
    home.configure(&Configuration { block_list: "nonsense\n".into(), ..on_loopback("off", "") });
    let said = home.try_start(None).unwrap_err();
    assert!(said.contains(&format!("{BLOCK_LIST}:1")) && said.contains("nonsense"), "{said}");
}

#[test]
fn the_log_level_is_reloaded_and_other_changed_keys_are_named() {
    let (home, daemon) = running(&on_loopback("off", ""));
    let text = home.read(CONFIGURATION);
    home.write(CONFIGURATION, &format!("log_level = \"warn\"\n{}", text.replace("100_000", "100_001")));
    daemon.signal(libc::SIGHUP);
    let restart = "needs a restart: swarm.max_peers";
    daemon.eventually("the key is named", || daemon.log().contains(restart).then_some(()));
    // At "warn" a second reload doesn't announce itself, but an error is still told; and a bad file changes nothing.
    home.write(CONFIGURATION, "\nlog_level = \"loud\"\n");
    daemon.signal(libc::SIGUSR1);
    let place = format!("{CONFIGURATION}:2: ");
    daemon.eventually("the line is named", || daemon.log().contains(&place).then_some(()));
    assert!(!daemon.log().contains("SIGUSR1"), "{}", daemon.log());
    daemon.stop_well();
}

#[test]
fn a_log_for_programs_has_a_json_object_in_each_line() {
    let home = home();
    home.configure(&on_loopback("off", ""));
    let text = home.read(CONFIGURATION);
    home.write(CONFIGURATION, &format!("log_format = \"json\"\n{text}"));
    let daemon = home.start(None);
    daemon.signal(libc::SIGHUP);
    daemon.eventually("the reload is told", || daemon.log().contains("access list").then_some(()));
    let log = daemon.log();
    // What is behind the last newline is still being written.
    let (whole, _) = log.rsplit_once('\n').expect("there is a line");
    for line in whole.lines() {
        let object: serde_json::Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(object["level"].is_string() && object["message"].is_string(), "{line}");
    }
    daemon.stop_well();
}

/// Asks until it is told to stop; how many answers came. Each request has to be answered, and as well as before.
fn asked_all_the_time(stop: &AtomicBool, mut ask: impl FnMut()) -> u64 {
    let mut answers = 0;
    while !stop.load(Ordering::Relaxed) {
        ask();
        answers += 1;
    }
    answers
}

struct Stopping<'a>(&'a AtomicBool);

impl Drop for Stopping<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Reloads again and again, with lists that are another at each time, while requests come.
#[track_caller]
fn reload_under_load(home: &Home, daemon: &Daemon, ask: &mut [Box<dyn FnMut() + Send + '_>]) {
    const RELOADS: u32 = 30;
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // A failure ends the others, too.
        let stopping = Stopping(&stop);
        let asking: Vec<_> =
            ask.iter_mut().map(|ask| scope.spawn(|| asked_all_the_time(&stop, ask))).collect();
        for round in 0..RELOADS {
            // A list that takes a while, of torrents that nobody asks for.
            let list: String = (0..20_000_u32).map(|n| format!("{:040x}\n", n * (round + 1) + 1)).collect();
            home.write(ACCESS_LIST, &list);
            let network = format!("203.0.113.{}/31\n", 2 * round);
            home.write(BLOCK_LIST, &network);
            daemon.signal(if round % 2 == 0 { libc::SIGHUP } else { libc::SIGUSR1 });
            daemon.eventually("the lists are in force", || {
                (home.told(&["map", "block", "list"]) == network).then_some(())
            });
        }
        drop(stopping);
        for thread in asking {
            // A request without an answer is a panic there.
            let answers = thread.join().expect("each request is answered");
            assert!(answers > u64::from(RELOADS), "{answers} answers");
        }
    });
    assert!(!daemon.log().contains("ERROR"), "{}", daemon.log());
}

#[test]
fn no_request_is_lost_while_lists_and_certificate_are_reloaded() {
    let home = home();
    let tls = home.path("tls");
    home.told(&["tls", "self-signed", tls.to_str().expect("text"), "127.0.0.1"]);
    home.configure(&Configuration {
        http: format!(
            "[http]\nlisten = [\"http://127.0.0.1:0\", \"https://127.0.0.1:0\"]\nworkers = 1\n[tls]\ncertificate = {:?}\nprivate_key = {:?}\n",
            tls.join("certificate.pem"),
            tls.join("private-key.pem")
        ),
        block_list: "203.0.113.99/32\n".into(),
        ..on_loopback("deny", "")
    });
    let daemon = home.start(None);
    let (udp, http) = (client(&daemon), daemon.http_address("http", false));
    let https = daemon.http_address("https", false);
    let trusting = client_trusting(&home.read("tls/certificate.pem"));
    let connector = Dial::tls(https, trusting);
    reload_under_load(
        &home,
        &daemon,
        &mut [
            Box::new(|| assert_eq!(udp.refusal(HASH), None)),
            Box::new(|| {
                let answer = crate::http::get(http, "/scrape?info_hash=aaaaaaaaaaaaaaaaaaaa");
                assert!(answer.starts_with("HTTP/1.0 200"), "{answer}");
            }),
            Box::new(|| {
                let mut connection = connector.open().expect("a handshake");
                let answer = connection.ask(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").expect("an answer");
                assert_eq!(answer.status, 200);
            }),
        ],
    );
    daemon.stop_well();
}

#[cfg(feature = "xdp")]
#[test]
fn no_request_is_lost_in_the_kernel_while_lists_are_reloaded() {
    if must_skip(&[Requirement::Root, Requirement::Bpf]) {
        return;
    }
    let wired = Wired::new("deny", "");
    wired.home.write(BLOCK_LIST, "203.0.113.99/32\n");
    let list = wired.home.path(BLOCK_LIST);
    wired.set("[metrics]", &format!("[block_list]\npath = {list:?}\n[metrics]"));
    let daemon = wired.start();
    let client = wired.client(&daemon);
    reload_under_load(&wired.home, &daemon, &mut [Box::new(|| assert_eq!(client.refusal(HASH), None))]);
    assert!(wired.count("kernel", "announce") > 30);
    daemon.stop_well();
}

#[test]
fn the_log_names_no_client() {
    let (home, daemon) =
        running(&on_loopback("deny", &format!("{HASH_TEXT}\n")).with_http(&["http://127.0.0.1:0"]));
    let stranger = UdpSocket::bind("127.0.0.9:0").expect("Linux has all of 127/8");
    for request in [&[0; 5][..], &[0xff; 98], &payload::connect(1)] {
        stranger.send_to(request, daemon.address(false)).expect("it listens");
    }
    let counted = || home.stats()["sockets"]["connect"].as_u64();
    daemon.eventually("all is counted", || (counted() == Some(1)).then_some(()));
    for bytes in ["\0\0\0", "GET /nowhere HTTP/1.1\r\n\r\n", "POST /announce HTTP/9\r\n"] {
        let mut connection =
            std::net::TcpStream::connect(daemon.http_address("http", false)).expect("it listens");
        connection.write_all(bytes.as_bytes()).expect("it reads");
    }
    home.told(&["map", "block", "add", "127.0.0.9"]);
    daemon.signal(libc::SIGHUP);
    daemon.eventually("the reload is logged", || daemon.log().contains("block list").then_some(()));
    assert!(!daemon.log().contains("127.0.0.9"), "{}", daemon.log());
    daemon.stop_well();
}
