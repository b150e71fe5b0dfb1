//! What a tracker needs to start, what it says when it does not get it, and what it leaves behind.

use std::fs;
use std::time::Duration;

use tracker_testkit::answer::Answer;
use tracker_testkit::daemon::Configuration;
use tracker_testkit::netns::{Cable, Namespace};
use tracker_testkit::payload::Announce;
use tracker_testkit::skip::{Requirement, must_skip};

use crate::{HASH, Wired, client, home, on_loopback, running};

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
        // SIGTERM on top of SIGINT is what a second Ctrl-C would be: it may come too late, but never hurts.
        daemon.stop_well();
        assert!(!home.path("control.sock").exists(), "the control socket is removed");
    }
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
fn connection_ids_of_the_kernel_survive_a_restart() {
    if must_skip(&[Requirement::Root, Requirement::Bpf]) {
        return;
    }
    let wired = Wired::new("off", "");
    let daemon = wired.start();
    let connection_id = wired.client(&daemon).connection_id();
    assert_eq!(wired.count("kernel", "connect"), 1);
    daemon.stop_well();
    let daemon = wired.start();
    let answer = wired.client(&daemon).ask(&Announce { connection_id, ..Announce::default() }.bytes());
    assert!(matches!(answer, Answer::Announce { .. }), "{answer:?}");
}

#[test]
fn a_stop_detaches_and_unpins() {
    if must_skip(&[Requirement::Root, Requirement::Bpf]) {
        return;
    }
    let wired = Wired::new("off", "");
    assert!(!wired.has_program());
    // The file system has files of its own.
    let before = pinned(&wired);
    let daemon = wired.start();
    assert!(wired.has_program());
    assert!(
        daemon.told().contains(&format!("xdp {} native", Cable::SERVER_INTERFACE)),
        "{:?}",
        daemon.told()
    );
    assert!(pinned(&wired).iter().any(|path| path.ends_with("/COUNTERS")), "{:?}", pinned(&wired));
    daemon.stop_well();
    assert!(!wired.has_program());
    assert_eq!(pinned(&wired), before);
}

#[test]
fn a_killed_tracker_leaves_no_program_and_the_next_one_starts() {
    if must_skip(&[Requirement::Root, Requirement::Bpf]) {
        return;
    }
    let wired = Wired::new("off", "");
    // Dropping kills.
    drop(wired.start());
    assert!(!wired.has_program());
    let daemon = wired.start();
    assert!(wired.has_program());
    wired.client(&daemon).connection_id();
    assert!(wired.count("kernel", "connect") > 0);
}

/// Files in the BPF file system.
fn pinned(wired: &Wired) -> Vec<String> {
    let mut directories = vec![wired.pins.path()];
    let mut files = Vec::new();
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
            match entry.file_type().unwrap().is_dir() {
                true => directories.push(entry.path()),
                false => files.push(entry.path().display().to_string()),
            }
        }
    }
    files
}

#[test]
fn a_program_in_the_way_is_named() {
    if must_skip(&[Requirement::Root, Requirement::Bpf]) {
        return;
    }
    let wired = Wired::new("off", "");
    let _other = wired.cable.server.attach_pass_program(Cable::SERVER_INTERFACE, "in_the_way");
    let said = wired.home.try_start(Some(&wired.cable.server)).unwrap_err();
    assert!(said.contains("in_the_way") && said.contains(Cable::SERVER_INTERFACE), "{said}");

    let configuration = Configuration {
        addresses: vec![format!("{}:0", Cable::SERVER_V4)],
        ..on_loopback("off", "").with_xdp("auto", Cable::SERVER_INTERFACE, &wired.pins.path())
    };
    wired.home.configure(&configuration);
    let daemon = wired.start();
    assert!(daemon.log().contains("in_the_way"), "{}", daemon.log());
    let off = format!("xdp {} off", Cable::SERVER_INTERFACE);
    assert!(daemon.told().iter().any(|line| line.starts_with(&off)), "{:?}", daemon.told());
    assert_eq!(wired.client(&daemon).refusal(HASH), None);
}

#[test]
fn loopback_gets_generic_mode_by_itself() {
    if must_skip(&[Requirement::Root, Requirement::Bpf]) {
        return;
    }
    let wired = Wired::new("off", "");
    let namespace = Namespace::new();
    wired.home.configure(&on_loopback("off", "").with_xdp("auto", "lo", &wired.pins.path()));
    let daemon = wired.home.start(Some(&namespace));
    assert!(daemon.told().iter().any(|line| line.starts_with("xdp lo generic")), "{:?}", daemon.told());
    tracker_testkit::client::Client::new(Some(&namespace), daemon.address(false)).connection_id();
    assert_eq!(wired.count("kernel", "connect"), 1);
}

#[test]
fn missing_capabilities_are_named() {
    if must_skip(&[Requirement::Root, Requirement::Bpf, Requirement::Program("setpriv")]) {
        return;
    }
    let wired = Wired::new("off", "");
    let mut command = wired.cable.server.command("setpriv");
    // sys_admin stands in for the two others.
    command.args([
        "--bounding-set",
        "-bpf,-perfmon,-net_admin,-sys_admin",
        env!("CARGO_BIN_EXE_tracker-user"),
        "-c",
    ]);
    let output = command.arg(wired.home.path(tracker_testkit::daemon::CONFIGURATION)).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(said.contains("CAP_BPF") && said.contains("CAP_NET_ADMIN"), "{said}");
}

#[test]
fn an_interface_that_does_not_exist_is_an_error() {
    let home = home();
    home.configure(&on_loopback("off", "").with_xdp("auto", "nosuch0", &home.path("pins")));
    let said = home.try_start(None).unwrap_err();
    assert!(said.contains("nosuch0") && said.contains("lo"), "{said}");
}
