//! The command line of a tracker with XDP: what reaches the kernel, what is attached, and what a stop takes away.

use std::fs;
use std::net::IpAddr;

use tracker_testkit::answer::Answer;
use tracker_testkit::client::Client;
use tracker_testkit::daemon::{ACCESS_LIST, BLOCK_LIST, CONFIGURATION, Configuration};
use tracker_testkit::netns::{Cable, Namespace};
use tracker_testkit::payload::{self, Announce};
use tracker_testkit::skip::{Requirement, must_skip};

use crate::wired::Wired;
use crate::{DENIED, HASH, HASH_TEXT, OTHER, OTHER_TEXT, on_loopback};

fn denied() -> Option<String> {
    Some(DENIED.to_owned())
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
fn verbs_take_effect_in_the_kernel_at_once() {
    if must_skip(&[Requirement::Root, Requirement::Bpf]) {
        return;
    }
    let wired = Wired::new("deny", "");
    let daemon = wired.start();
    let client = wired.client(&daemon);
    assert_eq!(client.refusal(HASH), None);
    let refused_in_kernel = |expected: u64| {
        assert_eq!(wired.count("kernel", "error_info_hash"), expected);
        assert_eq!(wired.count("sockets", "error_info_hash"), 0);
    };
    refused_in_kernel(0);
    wired.home.told(&["map", "access", "add", HASH_TEXT, OTHER_TEXT]);
    assert_eq!(client.refusal(HASH), denied());
    refused_in_kernel(1);
    wired.home.told(&["map", "access", "remove", HASH_TEXT]);
    assert_eq!(client.refusal(HASH), None);
    assert_eq!(client.refusal(OTHER), denied());
    refused_in_kernel(2);
    wired.home.told(&["map", "access", "mode", "allow"]);
    assert_eq!(client.refusal(HASH), denied());
    assert_eq!(client.refusal(OTHER), None);
    refused_in_kernel(3);
    wired.home.write("list.txt", &format!("{HASH_TEXT}\n"));
    wired.home.told(&["map", "access", "load", wired.home.path("list.txt").to_str().unwrap()]);
    assert_eq!(client.refusal(HASH), None);
    assert_eq!(client.refusal(OTHER), denied());
    refused_in_kernel(4);
    wired.home.told(&["map", "access", "clear"]);
    assert_eq!(client.refusal(HASH), denied());
    refused_in_kernel(5);
    wired.home.told(&["map", "access", "mode", "off"]);
    assert_eq!(client.refusal(HASH), None);
    refused_in_kernel(5);
    assert!(wired.count("kernel", "connect") > 0);
    assert_eq!(wired.count("sockets", "connect"), 0);
}

#[test]
fn a_list_of_many_thousands_is_loaded_into_the_kernel() {
    if must_skip(&[Requirement::Root, Requirement::Bpf]) {
        return;
    }
    let wired = Wired::new("deny", "");
    let daemon = wired.start();
    // More than the map in the BPF object has room for.
    let text: String = (0..100_000).map(|n| format!("{n:040x}\n")).collect();
    wired.home.write("many.txt", &text);
    wired.home.told(&["map", "access", "load", wired.home.path("many.txt").to_str().unwrap()]);
    let client = wired.client(&daemon);
    let mut last = [0; 20];
    last[16..].copy_from_slice(&99_999_u32.to_be_bytes());
    assert_eq!(client.refusal(last), denied());
    last[16..].copy_from_slice(&100_000_u32.to_be_bytes());
    assert_eq!(client.refusal(last), None);
    assert_eq!(wired.count("kernel", "error_info_hash"), 1);
    assert!(matches!(client.announce(&Announce::default()), Answer::Announce { .. }));
}

#[test]
fn a_reload_changes_the_lists_of_the_kernel() {
    if must_skip(&[Requirement::Root, Requirement::Bpf]) {
        return;
    }
    let wired = Wired::new("deny", "");
    wired.home.configure(&Configuration {
        addresses: vec![format!("{}:0", Cable::SERVER_V4)],
        block_list: "192.0.2.0/24\n".into(),
        ..on_loopback("deny", "").with_xdp("native", Cable::SERVER_INTERFACE, &wired.pins.path())
    });
    let daemon = wired.start();
    let client = wired.client(&daemon);
    assert_eq!(client.refusal(HASH), None);
    wired.home.write(ACCESS_LIST, &format!("{HASH_TEXT}\n"));
    daemon.signal(libc::SIGHUP);
    daemon.eventually("the access list is reloaded", || client.refusal(HASH));
    assert!(wired.count("kernel", "error_info_hash") > 0);

    wired.home.write(BLOCK_LIST, &format!("{}/32\n", Cable::CLIENT_V4));
    daemon.signal(libc::SIGUSR1);
    daemon.eventually("the client is blocked", || {
        client.send(&payload::connect(1));
        (wired.count("kernel", "drop_blocked") > 0).then_some(())
    });
    wired.home.write(BLOCK_LIST, "");
    daemon.signal(libc::SIGHUP);
    let stats = || wired.home.stats()["blocked_networks"].clone();
    daemon.eventually("the client is served again", || (stats() == 0).then_some(()));
    // Answers to connects from before may be in the way; a new socket has none.
    assert_eq!(wired.client(&daemon).refusal(OTHER), None);
    assert_eq!(wired.count("sockets", "drop_blocked"), 0);
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
    Client::new(Some(&namespace), daemon.address(false)).connection_id();
    assert_eq!(wired.count("kernel", "connect"), 1);
}

#[test]
fn a_veth_gets_native_mode_by_itself_and_a_word_about_its_other_end() {
    if must_skip(&[Requirement::Root, Requirement::Bpf]) {
        return;
    }
    let wired = Wired::new("off", "");
    wired.home.configure(&on_loopback("off", "").with_xdp(
        "auto",
        Cable::SERVER_INTERFACE,
        &wired.pins.path(),
    ));
    let daemon = wired.start();
    assert!(
        daemon.told().contains(&format!("xdp {} native", Cable::SERVER_INTERFACE)),
        "{:?}",
        daemon.told()
    );
    assert!(daemon.log().contains("one end of a veth pair"), "{}", daemon.log());
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
    let output = command.arg(wired.home.path(CONFIGURATION)).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(said.contains("CAP_BPF") && said.contains("CAP_NET_ADMIN"), "{said}");
}

#[test]
fn a_wildcard_is_served_in_the_kernel_at_every_address() {
    if must_skip(&[Requirement::Root, Requirement::Bpf]) {
        return;
    }
    let wired = Wired::new("off", "");
    wired.cable.server.ip(&format!("address add 10.99.0.77/24 dev {}", Cable::SERVER_INTERFACE));
    wired.home.configure(&Configuration {
        addresses: vec!["0.0.0.0:0".into(), "[::]:0".into()],
        ..on_loopback("off", "").with_xdp("native", Cable::SERVER_INTERFACE, &wired.pins.path())
    });
    let daemon = wired.start();
    let told = daemon.addresses();
    let mut connects = 0;
    for address in [Cable::SERVER_V4, "10.99.0.77", Cable::SERVER_V6] {
        let address: IpAddr = address.parse().unwrap();
        let url = told.iter().find(|url| url.ip() == address);
        let server = *url.unwrap_or_else(|| panic!("{address} is not among {told:?}"));
        Client::new(Some(&wired.cable.client), server).connection_id();
        connects += 1;
        assert_eq!(wired.count("kernel", "connect"), connects, "{server}");
    }
    assert_eq!(wired.count("sockets", "connect"), 0);
}
