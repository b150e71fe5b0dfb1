//! The lists while no tracker runs: the command line changes the files, and the next start finds it.

use tracker_testkit::daemon::{ACCESS_LIST, Configuration};

use crate::{DENIED, HASH, HASH_TEXT, OTHER, OTHER_TEXT, client, home, on_loopback, running};

#[test]
fn lists_are_changed_without_a_tracker_and_count_from_the_next_start() {
    let home = home();
    home.configure(&on_loopback("off", "# mine\n"));
    let output = home.ask(&["map", "access", "add", HASH_TEXT, OTHER_TEXT]);
    assert!(output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("no tracker is running: this counts from its next start"), "{said}");
    home.told(&["map", "access", "remove", OTHER_TEXT]);
    assert_eq!(home.told(&["map", "access", "mode", "deny"]), "mode deny; 1 torrent listed, mode deny\n");
    home.told(&["map", "block", "add", "192.0.2.0/24"]);
    assert_eq!(home.read(ACCESS_LIST), format!("# mine\n{HASH_TEXT}\n"));
    for (words, told) in [
        (&["map", "access", "list"][..], format!("{HASH_TEXT}\n")),
        (&["map", "access", "count"], "1\n".to_owned()),
        (&["map", "access", "mode"], "deny\n".to_owned()),
        (&["map", "block", "list"], "192.0.2.0/24\n".to_owned()),
    ] {
        assert_eq!(home.told(words), told, "{words:?}");
    }

    let daemon = home.start(None);
    let client = client(&daemon);
    assert_eq!(client.refusal(HASH), Some(DENIED.to_owned()));
    assert_eq!(client.refusal(OTHER), None);
    assert_eq!(home.told(&["map", "block", "list"]), "192.0.2.0/24\n");
}

#[test]
fn bad_input_changes_nothing_without_a_tracker_either() {
    let home = home();
    home.configure(&on_loopback("off", &format!("{HASH_TEXT}\n")));
    for words in [&["map", "access", "add", OTHER_TEXT, "bad"][..], &["map", "block", "add", "bad"]] {
        let said = home.refused(words);
        assert!(said.contains("\"bad\""), "{words:?}: {said}");
    }
    assert_eq!(home.read(ACCESS_LIST), format!("{HASH_TEXT}\n"));
    home.write(ACCESS_LIST, "bad\n");
    let said = home.refused(&["map", "access", "add", HASH_TEXT]);
    assert!(said.contains("access-list.txt:1: \"bad\""), "{said}");
    assert_eq!(home.read(ACCESS_LIST), "bad\n");
}

#[test]
fn what_only_a_tracker_knows_is_not_told_without_one() {
    let home = home();
    home.configure(&on_loopback("off", ""));
    for words in [&["map", "stats"][..], &["map", "top"], &["map", "torrent", HASH_TEXT]] {
        let said = home.refused(words);
        assert!(said.contains("no tracker is running") && said.contains("control.sock"), "{words:?}: {said}");
    }
}

#[test]
fn a_state_directory_that_cannot_be_written_is_named() {
    let home = home();
    home.configure(&Configuration { access_list: None, ..on_loopback("off", "") });
    // A path below a file can't be made by anybody, root included.
    home.write("state", "");
    let said = home.refused(&["map", "block", "add", "10.0.0.0/8"]);
    assert!(said.contains("no tracker is running") && said.contains("/state"), "{said}");
}

#[test]
fn a_running_tracker_that_is_asked_at_another_socket_keeps_its_lists() {
    let (home, _daemon) = running(&on_loopback("deny", ""));
    let elsewhere = home.path("elsewhere.sock").display().to_string();
    let said = home.refused(&["map", "access", "add", HASH_TEXT, "--control", &elsewhere]);
    assert!(said.contains("a tracker runs with the state directory") && said.contains("--control"), "{said}");
    assert_eq!(home.read(ACCESS_LIST), "");
}
