//! What a tracker needs to start, what it says when it does not get it, and what it leaves behind.

use std::fs;
use std::net::{Ipv6Addr, SocketAddr};
use std::time::Duration;

use tracker_testkit::answer::Answer;
use tracker_testkit::client::Client;
use tracker_testkit::daemon::Configuration;
use tracker_testkit::payload::Announce;

use crate::{HASH, client, home, on_loopback, running};

#[test]
fn a_second_tracker_on_the_port_is_an_error() {
    let (_home, daemon) = running(&on_loopback("off", ""));
    let taken = daemon.address(false);
    let second = home();
    second.configure(&Configuration::sockets(&[&taken.to_string()]));
    let said = second.try_start(None).unwrap_err();
    assert!(said.contains(&taken.to_string()) && said.contains("in use"), "{said}");
    assert!(said.contains(&daemon.id().to_string()), "the process is named: {said}");
    assert_eq!(client(&daemon).refusal(HASH), None);
}

#[test]
fn a_second_tracker_on_the_control_socket_is_an_error() {
    let (home, daemon) = running(&on_loopback("off", ""));
    let said = home.try_start(None).unwrap_err();
    assert!(said.contains("control.sock") && said.contains("another tracker"), "{said}");
    assert_eq!(client(&daemon).refusal(HASH), None);
}

#[test]
fn sigterm_and_sigint_end_it_well() {
    for signal in [libc::SIGTERM, libc::SIGINT] {
        let (home, daemon) = running(&on_loopback("off", ""));
        assert_eq!(client(&daemon).refusal(HASH), None);
        daemon.signal(signal);
        let status = daemon.wait();
        assert!(status.success(), "{status}");
        assert!(!home.path("control.sock").exists(), "the control socket is removed");
    }
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let home = home();
    home.configure(&on_loopback("off", ""));
    let forced = (0..20).any(|_| {
        let daemon = home.start(None);
        daemon.signal(libc::SIGTERM);
        daemon.signal(libc::SIGINT);
        let status = daemon.wait();
        let forced = [libc::SIGTERM, libc::SIGINT].map(|signal| Some(128 + signal)).contains(&status.code());
        // The first may have been enough.
        assert!(status.success() || forced, "{status}");
        forced
    });
    assert!(forced, "twenty stops took no notice of the second signal");
}

#[test]
fn a_stop_takes_less_than_a_second() {
    // One try may fall into a moment when the machine does not let the tracker run.
    let quick = (0..5).any(|_| {
        let (_home, daemon) = running(&on_loopback("off", ""));
        let (status, took) = daemon.stop();
        assert!(status.success(), "{status}");
        took < Duration::from_secs(1)
    });
    assert!(quick, "five stops took a second or more");
}

#[test]
fn connection_ids_survive_a_restart() {
    let (home, daemon) = running(&on_loopback("off", ""));
    let connection_id = client(&daemon).connection_id();
    daemon.stop_well();
    let keys = home.path("state/connection-id.keys");
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&keys).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600, "{}", keys.display());
    let daemon = home.start(None);
    let answer = client(&daemon).ask(&Announce { connection_id, ..Announce::default() }.bytes());
    assert!(matches!(answer, Answer::Announce { .. }), "{answer:?}");
}

#[test]
fn each_tracker_has_keys_of_its_own() {
    let (_first, daemon) = running(&on_loopback("off", ""));
    let connection_id = client(&daemon).connection_id();
    let (_second, daemon) = running(&on_loopback("off", ""));
    let answer = client(&daemon).ask(&Announce { connection_id, ..Announce::default() }.bytes());
    assert!(matches!(answer, Answer::Error { .. }), "{answer:?}");
}

#[test]
fn an_interface_that_does_not_exist_is_an_error() {
    let home = home();
    home.configure(&on_loopback("off", "").with_xdp("auto", "nosuch0", &home.path("pins")));
    let said = home.try_start(None).unwrap_err();
    assert!(said.contains("nosuch0") && said.contains("lo"), "{said}");
}

#[cfg(not(feature = "xdp"))]
#[test]
fn a_tracker_built_without_xdp_says_so_and_goes_on_with_sockets() {
    let home = home();
    home.configure(&on_loopback("off", "").with_xdp("native", "lo", &home.path("pins")));
    let said = home.try_start(None).unwrap_err();
    assert!(said.contains("built without"), "{said}");
    home.configure(&on_loopback("off", "").with_xdp("auto", "lo", &home.path("pins")));
    let daemon = home.start(None);
    assert!(daemon.log().contains("built without"), "{}", daemon.log());
    assert_eq!(client(&daemon).refusal(HASH), None);
}

#[test]
fn a_wildcard_answers_from_the_address_that_was_asked() {
    let (_home, daemon) = running(&Configuration {
        addresses: vec!["0.0.0.0:0".into(), "[::]:0".into()],
        ..on_loopback("off", "")
    });
    for asked in ["127.0.0.1", "127.0.0.5", "127.1.2.3"] {
        let port = daemon.address(false).port();
        // The client's socket is connected: it takes an answer from nowhere else.
        Client::new(None, SocketAddr::new(asked.parse().unwrap(), port)).connection_id();
    }
    let has_ipv6 = daemon.addresses().iter().any(SocketAddr::is_ipv6);
    if has_ipv6 {
        Client::new(None, SocketAddr::new(Ipv6Addr::LOCALHOST.into(), daemon.address(true).port()))
            .connection_id();
    }
}
