//! Certificates: renewed under load, refused when they can't be used, made for trying out.

use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use tracker_testkit::daemon::{Configuration, Daemon, Home};
use tracker_testkit::http::authority::{Authority, Identity, client_trusting};
use tracker_testkit::http::case::Setup;
use tracker_testkit::http::connection::{Connection, Dial};
use tracker_testkit::http::query::{self, Version};
use tracker_testkit::http::{Place, Running};
use tracker_testkit::skip::{Requirement, must_skip};

use crate::{BINARY, announce, counted, host, run};

/// The names of [`Running`]'s own certificate.
const NAMES: [&str; 3] = ["127.0.0.1", "::1", "localhost"];

/// The certificate that the tracker has presented.
fn presented(connection: &Connection) -> Vec<u8> {
    let certificates = connection.session().expect("TLS").peer_certificates().expect("the handshake is over");
    certificates[0].to_vec()
}

fn write(tracker: &Running, identity: &Identity) {
    tracker.home.write("chain.pem", &identity.chain);
    tracker.home.write("key.pem", &identity.key);
}

/// Waits for new connections with another certificate than this one, and returns that.
fn wait_for_another(tracker: &Running, dial: &Dial, old: &[u8]) -> Vec<u8> {
    tracker.daemon.eventually("a new certificate", || {
        let connection = dial.open().expect("a handshake");
        Some(presented(&connection)).filter(|certificate| certificate != old)
    })
}

#[test]
fn certificates_are_renewed_under_load_without_a_failed_request() {
    let setup =
        Setup { keys: vec![("workers", "2"), ("max_connections_per_address", "0")], ..Setup::default() };
    let tracker = Running::start(BINARY, Place::Loopback, &setup);
    let dial = tracker.dial(host(1), true, None);
    let request = announce([0xcc; 20]);
    let finished = AtomicBool::new(false);
    let answered = AtomicU64::new(0);
    thread::scope(|scope| {
        let clients: Vec<_> = [true, false, false]
            .into_iter()
            .map(|keep_alive| {
                let (dial, request, finished, answered) = (&dial, &request, &finished, &answered);
                scope.spawn(move || {
                    let mut connection = dial.open().expect("a handshake");
                    while !finished.load(Ordering::Relaxed) {
                        if !keep_alive {
                            connection = dial.open().expect("a handshake");
                        }
                        let response = connection.ask(request).expect("an answer");
                        assert_eq!(response.status, 200);
                        answered.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        // So that a failed assertion ends the clients, too.
        let looking = Dial { tls: Some(tracker.authority.forgetful_client()), ..dial.clone() };
        let outcome = thread::scope(|inner| inner.spawn(|| renew(&tracker, &looking, &request)).join());
        finished.store(true, Ordering::Relaxed);
        for client in clients {
            client.join().expect("every request is answered");
        }
        outcome.expect("the certificates are as they should be");
    });
    assert!(answered.load(Ordering::Relaxed) > 20, "{answered:?}");
    tracker.daemon.stop_well();
}

/// Two good certificates, by either signal, and between them some that can't be used.
fn renew(tracker: &Running, dial: &Dial, request: &[u8]) {
    let mut old = dial.open().unwrap();
    let first = presented(&old);
    write(tracker, &tracker.authority.identity(&NAMES));
    tracker.daemon.signal(libc::SIGUSR1);
    let second = wait_for_another(tracker, dial, &first);
    assert_eq!(old.ask(request).unwrap().status, 200, "an old connection goes on");

    let good = tracker.authority.identity(&NAMES);
    let others = Authority::new().identity(&NAMES);
    let cut = &good.chain[..good.chain.len() / 3];
    for (n, (chain, key, named)) in [
        ("", good.key.as_str(), "chain.pem"),
        ("no certificate", good.key.as_str(), "chain.pem"),
        (cut, good.key.as_str(), "chain.pem"),
        (&good.chain, "", "key.pem"),
        (&good.chain, "no key", "key.pem"),
        // A key that belongs to another certificate.
        (&good.chain, &others.key, "key.pem"),
    ]
    .into_iter()
    .enumerate()
    {
        let said = tracker.daemon.log().len();
        tracker.home.write("chain.pem", chain);
        tracker.home.write("key.pem", key);
        tracker.daemon.signal(if n % 2 == 0 { libc::SIGHUP } else { libc::SIGUSR1 });
        tracker.daemon.eventually("the log names the file", || {
            tracker.daemon.log().get(said..).is_some_and(|new| new.contains(named)).then_some(())
        });
        assert_eq!(presented(&dial.open().unwrap()), second, "the old one stays");
    }
    let said = tracker.daemon.log().len();
    fs::remove_file(tracker.home.path("chain.pem")).expect("it is there");
    tracker.daemon.signal(libc::SIGHUP);
    tracker.daemon.eventually("the log names the file", || {
        tracker.daemon.log().get(said..).is_some_and(|new| new.contains("chain.pem")).then_some(())
    });

    write(tracker, &good);
    tracker.daemon.signal(libc::SIGHUP);
    let third = wait_for_another(tracker, dial, &second);
    assert_ne!(third, first);
    assert_eq!(old.ask(request).unwrap().status, 200, "an old connection still goes on");
}

/// A tracker with one https listener, and these lines in `[tls]`.
fn tracker_with(tls: &str) -> (Home, Daemon) {
    let home = Home::new(BINARY);
    home.configure(&Configuration {
        http: format!("[http]\nlisten = [\"https://127.0.0.1:0\"]\n[tls]\n{tls}\n"),
        ..Configuration::sockets(&["127.0.0.1:0"])
    });
    let daemon = home.start(None);
    (home, daemon)
}

#[test]
fn a_self_signed_certificate_serves_and_is_trusted_by_curl() {
    let home = Home::new(BINARY);
    let directory = home.path("made");
    let said = run(Command::new(BINARY).args(["tls", "self-signed"]).arg(&directory));
    let files: Vec<_> = fs::read_dir(&directory)
        .expect("the directory was made")
        .map(|entry| entry.expect("a file").path())
        .collect();
    let with = |text: &str| {
        let mut found =
            files.iter().filter(|file| fs::read_to_string(file).is_ok_and(|content| content.contains(text)));
        found.next().unwrap_or_else(|| panic!("no file with {text} in {files:?}; said: {said}")).clone()
    };
    let (certificate, key) = (with("BEGIN CERTIFICATE"), with("PRIVATE KEY"));
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&key).expect("it is there").permissions());
    assert_eq!(mode & 0o077, 0, "the key is for its owner alone: {mode:o}");
    let (_home, daemon) = tracker_with(&format!("certificate = {certificate:?}\nprivate_key = {key:?}"));
    let to = daemon.http_address("https", false);
    let trusting = client_trusting(&fs::read_to_string(&certificate).expect("it is there"));
    let mut connection = Dial::tls(to, trusting).open().expect("a handshake");
    assert_eq!(connection.ask(&query::get(b"/health", &[], Version::Http11)).unwrap().status, 200);
    if !must_skip(&[Requirement::Program("curl")]) {
        let url = format!("https://{to}/health");
        run(Command::new("curl").args(["-q", "-sS", "-f", "--cacert"]).arg(&certificate).arg(&url));
        run(Command::new("curl")
            .args(["-q", "-sS", "-f", "--tls-max", "1.2", "--cacert"])
            .arg(&certificate)
            .arg(&url));
    }
    daemon.stop_well();
}

#[test]
fn a_pkcs12_bundle_of_openssl_serves() {
    if must_skip(&[Requirement::Program("openssl")]) {
        return;
    }
    let authority = Authority::new();
    let identity = authority.identity(&NAMES);
    let files = Home::new(BINARY);
    files.write("chain.pem", &identity.chain);
    files.write("key.pem", &identity.key);
    files.write("password", "secret of the tests\n");
    let bundle = files.path("bundle.p12");
    let path = |name| files.path(name).display().to_string();
    run(Command::new("openssl").args([
        "pkcs12",
        "-export",
        "-in",
        &path("chain.pem"),
        "-inkey",
        &path("key.pem"),
        "-passout",
        &format!("file:{}", path("password")),
        "-out",
        &path("bundle.p12"),
    ]));
    let password = files.path("password");
    let (_home, daemon) = tracker_with(&format!("pkcs12 = {bundle:?}\npkcs12_password_file = {password:?}"));
    let mut connection = Dial::tls(daemon.http_address("https", false), authority.client()).open().unwrap();
    assert_eq!(connection.ask(&announce([1; 20])).unwrap().status, 200);
    daemon.stop_well();
}

#[test]
fn who_comes_back_resumes_its_session() {
    let tracker = Running::start(BINARY, Place::Loopback, &Setup::default());
    let dial = tracker.dial(host(1), true, None);
    for _ in 0..5 {
        // The ticket comes with the answer.
        assert_eq!(dial.open().unwrap().ask(&announce([2; 20])).unwrap().status, 200);
    }
    let [all, resumed] =
        ["tls_handshakes", "tls_handshakes_resumed"].map(|name| counted(&tracker.home, name));
    assert_eq!((all, resumed), (5, 4));
    tracker.daemon.stop_well();
}
