//! The change to another user: what each thread has left, seen in /proc, and that everything an operator does goes on.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use tracker_testkit::daemon::{ACCESS_LIST, CONFIGURATION, Configuration, Daemon, Home};
use tracker_testkit::skip::{Requirement, must_skip};

#[cfg(feature = "xdp")]
use crate::wired::Wired;
use crate::{DENIED, HASH, HASH_TEXT, OTHER, OTHER_TEXT, client, home, on_loopback};

/// Debian's user for what needs nothing; its group has the same number.
const NOBODY: u32 = 65534;

/// The fields of the kernel's status of each thread, by the thread's name.
fn threads(daemon: &Daemon) -> Vec<(String, BTreeMap<String, String>)> {
    // A thread has its maker's name until it has given itself its own.
    daemon.eventually("all threads have their names", || {
        let threads = threads_now(daemon);
        let unnamed = |(name, status): &(String, BTreeMap<String, String>)| {
            name == "tracker-user" && status["Pid"] != status["Tgid"]
        };
        (!threads.iter().any(unnamed)).then_some(threads)
    })
}

fn threads_now(daemon: &Daemon) -> Vec<(String, BTreeMap<String, String>)> {
    let tasks = fs::read_dir(format!("/proc/{}/task", daemon.id())).expect("it runs");
    let status = |task: fs::DirEntry| {
        let text = fs::read_to_string(task.path().join("status")).ok()?;
        let fields = text.lines().filter_map(|line| line.split_once(":\t"));
        let fields: BTreeMap<_, _> =
            fields.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect();
        Some((fields["Name"].clone(), fields))
    };
    tasks.flatten().filter_map(status).collect()
}

fn is_number_of(field: &str, number: u32) -> bool {
    field.split_whitespace().all(|id| id.parse() == Ok(number))
}

/// No thread is anybody else's, may become so, or has capabilities that its name isn't listed with.
#[track_caller]
fn assert_reduced(daemon: &Daemon, user: u32, may_make_maps: &[&str]) {
    const CAP_BPF: u64 = 1 << 39;
    let threads = threads(daemon);
    assert!(threads.len() >= 5, "{threads:?}");
    for (name, status) in threads {
        assert!(
            is_number_of(&status["Uid"], user) && is_number_of(&status["Gid"], user),
            "{name}: {status:?}"
        );
        assert!(is_number_of(&status["Groups"], user), "{name}: {status:?}");
        assert_eq!(status["NoNewPrivs"], "1", "{name}");
        let allowed = if may_make_maps.contains(&name.as_str()) { CAP_BPF } else { 0 };
        for set in ["CapEff", "CapPrm", "CapInh", "CapAmb"] {
            let has = u64::from_str_radix(&status[set], 16).expect("it is hexadecimal");
            let allowed = if set == "CapInh" || set == "CapAmb" { 0 } else { allowed };
            assert_eq!(has, allowed, "{set} of {name}");
        }
    }
}

/// A home that others than root may look into.
fn open_home() -> Home {
    let home = home();
    fs::set_permissions(home.path("."), fs::Permissions::from_mode(0o755)).expect("it is ours");
    home
}

fn as_nobody(more: &str) -> Configuration {
    Configuration { more: format!("[privileges]\nuser = \"nobody\"\n{more}"), ..on_loopback("deny", "") }
}

/// Lists change by the command line, and by a reload; a restart knows them still.
#[track_caller]
fn assert_lists_change(home: &Home, daemon: Daemon) -> Daemon {
    home.told(&["map", "access", "add", HASH_TEXT]);
    assert_eq!(client(&daemon).refusal(HASH).as_deref(), Some(DENIED));
    let list = home.read("state/access-list.txt");
    assert_eq!(list.trim(), HASH_TEXT);
    home.write("state/access-list.txt", &format!("{OTHER_TEXT}\n"));
    daemon.signal(libc::SIGHUP);
    daemon.eventually("the list is read again", || {
        (client(&daemon).refusal(OTHER).as_deref() == Some(DENIED)).then_some(())
    });
    assert_eq!(client(&daemon).refusal(HASH), None);
    let connection_id = client(&daemon).connection_id();
    daemon.stop_well();
    let daemon = home.start(None);
    assert_eq!(client(&daemon).connection_id(), connection_id, "the keys of the connection ids are kept");
    daemon
}

/// The list is in the state directory, which becomes the user's.
fn list_in_state(home: &Home) {
    let text = home.read(CONFIGURATION);
    let path = format!("path = {:?}\n", home.path(ACCESS_LIST));
    assert!(text.contains(&path), "{text}");
    home.write(CONFIGURATION, &text.replace(&path, ""));
    fs::create_dir(home.path("state")).expect("it is ours");
    home.write("state/access-list.txt", "");
}

#[test]
fn after_the_start_no_thread_has_a_privilege_and_lists_still_change() {
    if must_skip(&[Requirement::Root]) {
        return;
    }
    let home = open_home();
    home.configure(&as_nobody(""));
    list_in_state(&home);
    let daemon = home.start(None);
    assert_reduced(&daemon, NOBODY, &[]);
    assert_eq!(fs::metadata(home.path("control.sock")).expect("it listens").uid(), NOBODY);
    let daemon = assert_lists_change(&home, daemon);
    assert_reduced(&daemon, NOBODY, &[]);
    daemon.stop_well();
}

#[test]
fn in_a_chroot_lists_configuration_and_certificate_are_still_read() {
    if must_skip(&[Requirement::Root]) {
        return;
    }
    let home = open_home();
    let root = home.path(".").canonicalize().expect("it is there");
    let tls = home.path("tls");
    home.configure(&Configuration {
        http: format!(
            "[http]\nlisten = [\"https://127.0.0.1:0\"]\nworkers = 1\n[tls]\ncertificate = {:?}\nprivate_key = {:?}\n",
            tls.join("certificate.pem"),
            tls.join("private-key.pem")
        ),
        ..as_nobody(&format!("chroot = {root:?}\n"))
    });
    home.told(&["tls", "self-signed", tls.to_str().expect("text"), "localhost"]);
    for name in ["", "private-key.pem"] {
        std::os::unix::fs::chown(tls.join(name), Some(NOBODY), None).expect("root may");
    }
    list_in_state(&home);
    let daemon = home.start(None);
    assert_reduced(&daemon, NOBODY, &[]);
    let inside = fs::read_link(format!("/proc/{}/root", daemon.id())).expect("root sees it");
    assert_eq!(inside, root);
    let daemon = assert_lists_change(&home, daemon);
    let text =
        home.read(CONFIGURATION).replacen("state_directory", "log_level = \"debug\"\nstate_directory", 1);
    home.write(CONFIGURATION, &text);
    daemon.signal(libc::SIGHUP);
    daemon.eventually("all is read again", || {
        daemon.log().contains("tls: certificate CN=localhost").then_some(())
    });
    let log = daemon.log();
    assert!(!log.contains("ERROR") && !log.contains("needs a restart"), "{log}");
    daemon.stop_well();
}

#[cfg(feature = "xdp")]
#[test]
fn with_xdp_two_threads_may_make_maps_and_no_thread_may_do_anything_else() {
    if must_skip(&[Requirement::Root, Requirement::Bpf]) {
        return;
    }
    let wired = Wired::new("deny", "");
    fs::set_permissions(wired.home.path("."), fs::Permissions::from_mode(0o755)).expect("it is ours");
    list_in_state(&wired.home);
    wired.set("[metrics]", "[privileges]\nuser = \"nobody\"\n[metrics]");
    let daemon = wired.start();
    assert_reduced(&daemon, NOBODY, &["tracker-user", "segments", "placing"]);
    // A new map for the list, swapped in.
    let many: String =
        (0..20_000_u32).map(|n| format!("{n:040x}\n")).chain([format!("{HASH_TEXT}\n")]).collect();
    wired.home.write("many", &many);
    wired.home.told(&["map", "access", "load", wired.home.path("many").to_str().expect("text")]);
    assert_eq!(wired.client(&daemon).refusal(HASH).as_deref(), Some(DENIED));
    assert_eq!(wired.client(&daemon).refusal(OTHER), None);
    wired.applied(&daemon, 1);
    assert!(wired.count("kernel", "error_info_hash") > 0);
    daemon.stop_well();
    assert!(!wired.has_program());
    // The directory may stay, when the one above is root's.
    let pins = fs::read_dir(wired.pins.path()).expect("it is there").flatten();
    let pins = pins.filter_map(|entry| fs::read_dir(entry.path()).ok()).flatten().flatten();
    assert_eq!(pins.map(|pin| pin.path()).collect::<Vec<_>>(), [] as [std::path::PathBuf; 0]);
}

#[test]
fn users_that_do_not_exist_are_refused() {
    let home = home();
    for (table, said) in [
        ("user = \"nobody-of-that-name\"", "there is no such user"),
        ("user = \"nobody\"\ngroup = \"no-such-group\"", "there is no such group"),
    ] {
        home.configure(&Configuration { more: format!("[privileges]\n{table}\n"), ..on_loopback("off", "") });
        let error = home.try_start(None).expect_err("it can't start");
        assert!(error.contains(said), "{error}");
    }
}
