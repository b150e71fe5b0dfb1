//! Changes that fail in the kernel, or behind it: the command line says so, and files, sockets and kernel have what they had, now and after a
//! restart.
//!
//! The kernel refuses in earnest: a map of the running tracker is frozen.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use tracker_common::settings::{LAYOUT_VERSION, names};
use tracker_testkit::client::Client;
use tracker_testkit::daemon::{ACCESS_LIST, Daemon, Home};
use tracker_testkit::netns::Cable;
use tracker_testkit::skip::{Requirement, must_skip};

use crate::wired::Wired;
use crate::{DENIED, HASH, HASH_TEXT, OTHER, OTHER_TEXT};

const BLOCK_LIST: &str = "state/block-list.txt";

/// A tracker whose access list denies [`HASH`], with a block list that has a neighbour of the clients, and with a limit that was set at run time.
struct Tracker {
    wired: Wired,
    daemon: Daemon,
    files: BTreeMap<PathBuf, String>,
}

impl Tracker {
    fn new() -> Self {
        let wired = Wired::new("deny", &format!("# mine\n{HASH_TEXT}\n"));
        let daemon = wired.start();
        wired.home.told(&["map", "block", "add", "10.99.0.200", "2001:db8:1::/48"]);
        wired.home.told(&["map", "limit", "connects", "900"]);
        let files = files(&wired.home);
        Self { wired, daemon, files }
    }

    fn freeze(&self, map: &str) {
        self.wired.pins.freeze(format!("v{LAYOUT_VERSION}/{map}"));
    }

    /// Asks for a change, which is refused and changes nothing.
    #[track_caller]
    fn refuses(&self, words: &[&str]) -> String {
        let words: Vec<&str> = ["map"].iter().chain(words).copied().collect();
        let said = self.wired.home.refused(&words);
        self.is_as_it_was(&format!("{words:?}: {said}"));
        said
    }

    #[track_caller]
    fn is_as_it_was(&self, after: &str) {
        let (wired, home) = (&self.wired, &self.wired.home);
        assert_eq!(files(home), self.files, "{after}");
        assert_eq!(home.told(&["map", "access", "list"]), format!("{HASH_TEXT}\n"), "{after}");
        assert_eq!(home.told(&["map", "access", "mode"]), "deny\n", "{after}");
        assert_eq!(home.told(&["map", "block", "list"]), "10.99.0.200\n2001:db8:1::/48\n", "{after}");
        let limits = "connects 900\nbad_ids off\nannounces off\n";
        assert_eq!(home.told(&["map", "limit"]), limits, "{after}");
        let dropped = || wired.count("kernel", "drop_blocked") + wired.count("kernel", "drop_limit_connect");
        let (before, connects) = (dropped(), wired.count("kernel", "connect"));
        // A new one each, so that limits as low as 3 would be noticed.
        let clients: Vec<Client> = (0..20).map(|_| wired.client(&self.daemon)).collect();
        for client in &clients {
            client.connection_id();
        }
        assert_eq!(clients[0].refusal(HASH), Some(DENIED.to_owned()), "{after}");
        assert_eq!(clients[0].refusal(OTHER), None, "{after}");
        assert_eq!(dropped(), before, "{after}");
        assert!(wired.count("kernel", "connect") >= connects + 20, "{after}: the kernel has answered");
        assert_eq!(wired.count("sockets", "connect"), 0, "{after}");
    }

    /// Stops the tracker and starts it again, with maps that nobody has frozen.
    #[track_caller]
    fn restart(self) -> Self {
        let Self { wired, daemon, files } = self;
        daemon.stop_well();
        let daemon = wired.start();
        let tracker = Self { wired, daemon, files };
        tracker.is_as_it_was("a restart");
        tracker
    }
}

/// The lists and what the tracker keeps; nothing unfinished is among it.
fn files(home: &Home) -> BTreeMap<PathBuf, String> {
    let state =
        fs::read_dir(home.path("state")).expect("it was made").map(|entry| entry.expect("a file").path());
    let all = state.chain([home.path(ACCESS_LIST)]);
    all.map(|path| (path.clone(), fs::read_to_string(&path).expect("they are texts"))).collect()
}

#[test]
fn what_the_settings_have_to_say_is_refused_and_changes_nothing() {
    if must_skip(&[Requirement::Root, Requirement::Bpf]) {
        return;
    }
    let tracker = Tracker::new();
    tracker.freeze(names::SETTINGS);
    let client = format!("{}/32", Cable::CLIENT_V4);
    for words in [
        &["limit", "connects", "3"][..],
        &["access", "mode", "allow"],
        &["access", "mode", "off"],
        &["access", "add", OTHER_TEXT],
        &["access", "remove", HASH_TEXT],
        &["access", "clear"],
        &["block", "add", &client],
        &["block", "clear"],
    ] {
        let said = tracker.refuses(words);
        assert!(said.contains("the kernel refused the ") && said.contains("SETTINGS"), "{words:?}: {said}");
        // All of it could be taken back.
        assert!(!said.contains("taking it back"), "{words:?}: {said}");
    }
    let tracker = tracker.restart();
    tracker.wired.home.told(&["map", "limit", "connects", "800"]);
}

#[test]
fn what_a_list_has_to_say_is_refused_and_changes_nothing() {
    if must_skip(&[Requirement::Root, Requirement::Bpf]) {
        return;
    }
    let tracker = Tracker::new();
    let home = &tracker.wired.home;
    // The first of two families is changed before the second one is refused, and counts at once, as the neighbour's /24 is looked up.
    tracker.freeze(names::BLOCK6);
    let client = format!("{}/32", Cable::CLIENT_V4);
    let said = tracker.refuses(&["block", "add", &client, "2001:db8::/32"]);
    assert!(said.contains("the kernel refused the change: filling the block list"), "{said}");
    tracker.freeze(names::ACCESS);
    home.write("other.txt", &format!("{OTHER_TEXT}\n"));
    tracker.refuses(&["access", "load", home.path("other.txt").to_str().expect("it is text")]);
    // A reload is refused likewise; its files are the operator's, and stay as they are.
    home.write(ACCESS_LIST, &format!("{OTHER_TEXT}\n"));
    home.write(BLOCK_LIST, &format!("{client}\n2001:db8::/32\n"));
    tracker.daemon.signal(libc::SIGHUP);
    tracker.daemon.eventually("both lists are refused", || {
        (tracker.daemon.log().matches("the list stays as it was").count() == 2).then_some(())
    });
    for name in [ACCESS_LIST, BLOCK_LIST] {
        home.write(name, &tracker.files[&home.path(name)]);
    }
    tracker.is_as_it_was("a reload");
    tracker.restart();
}

/// A file that is a mount point: something new can be written beside it, but nothing be put in its place.
struct MountPoint(PathBuf);

impl MountPoint {
    fn new(file: PathBuf) -> Self {
        let status = Command::new("mount").arg("--bind").args([&file, &file]).status();
        assert!(status.expect("mount runs").success(), "{}", file.display());
        Self(file)
    }
}

impl Drop for MountPoint {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[test]
fn a_file_that_cannot_be_replaced_is_found_behind_the_kernel_which_takes_the_change_back() {
    if must_skip(&[Requirement::Root, Requirement::Bpf]) {
        return;
    }
    let tracker = Tracker::new();
    let home = &tracker.wired.home;
    let client = format!("{}/32", Cable::CLIENT_V4);
    let mounted = [ACCESS_LIST, BLOCK_LIST, "state/limits"].map(|name| MountPoint::new(home.path(name)));
    for words in [
        &["access", "add", OTHER_TEXT][..],
        &["access", "remove", HASH_TEXT],
        &["access", "clear"],
        &["block", "add", &client],
        &["block", "clear"],
        &["limit", "connects", "3"],
    ] {
        let said = tracker.refuses(words);
        assert!(said.contains("busy") && !said.contains("the kernel keeps"), "{words:?}: {said}");
    }
    drop(mounted);
    home.told(&["map", "access", "add", OTHER_TEXT]);
    assert_eq!(tracker.wired.client(&tracker.daemon).refusal(OTHER), Some(DENIED.to_owned()));
}
