//! HTTP as an operator sees it: bad clients, new certificates, too few descriptors, a stop, reverse proxies in front.
//!
//! - `slow`: thousands of clients that send or read slowly while others are served.
//! - `certificates`: a reload under load, and files that can't be used; `tls self-signed`, PKCS#12.
//! - `descriptors`: a process that may have few, and one that may have more.
//! - `stop`: answers that are on their way.
//! - `full_scrape`: all torrents, plain and compressed.
//! - `curl`, `nginx`: programs from Debian.

mod certificates;
mod curl;
mod descriptors;
mod full_scrape;
mod nginx;
mod slow;
mod stop;

use std::path::PathBuf;
use std::process::Command;

use tracker_testkit::daemon::Home;
use tracker_testkit::http::Running;
use tracker_testkit::http::case::Host;
use tracker_testkit::http::query::{self, Announce, Version};
use tracker_testkit::rows::Family;
use tracker_testkit::script;

const BINARY: &str = env!("CARGO_BIN_EXE_tracker-user");

/// An IPv4 host.
fn host(number: u16) -> Host {
    Host { family: Family::V4, number }
}

/// A leecher's announce in HTTP/1.1.
fn announce(info_hash: [u8; 20]) -> Vec<u8> {
    query::get(Announce { info_hash, ..Announce::default() }.target().as_bytes(), &[], Version::Http11)
}

/// What HTTP's workers have counted under this name.
fn counted(home: &Home, name: &str) -> u64 {
    let stats = home.stats();
    stats["http"][name].as_u64().unwrap_or_else(|| panic!("no number {name} of HTTP in {stats}"))
}

/// Runs a program to its end, which has to be good, and returns what it prints.
#[track_caller]
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}: {said}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A script that stands for the tracker's binary: these lines of a shell, and then the tracker.
fn wrapped(directory: &tempfile::TempDir, lines: &str) -> PathBuf {
    let path = directory.path().join("tracker");
    script::write(&path, &format!("#!/bin/sh\n{lines}\n"));
    path
}

/// A field of /proc/PID/status in KiB.
fn memory_kib(tracker: &Running, field: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", tracker.daemon.id())).expect("it runs");
    let line = status.lines().find(|line| line.starts_with(field)).expect("Linux has the field");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number of kB")
}
