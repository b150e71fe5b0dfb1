//! `map block …`: at once, everywhere, and still there after a restart; and both lists from standard input.

use crate::{HASH_TEXT, OTHER_TEXT, client, home, on_loopback, running, told_with_input, with_input};
use tracker_testkit::daemon::{Configuration, Home};
use tracker_testkit::payload;

/// A tracker's list in its state directory.
const LIST: &str = "state/block-list.txt";

/// Whether the tracker answers a client on loopback, by what it has counted: silence takes a while to be sure of.
#[track_caller]
fn is_answered(home: &Home, client: &tracker_testkit::client::Client) -> bool {
    let count = |verdict: &str| home.stats()["sockets"][verdict].as_u64().expect("a counter");
    let (answered, dropped) = (count("connect"), count("drop_blocked"));
    client.send(&payload::connect(7));
    loop {
        if count("connect") > answered {
            return true;
        }
        if count("drop_blocked") > dropped {
            return false;
        }
    }
}

#[test]
fn a_blocked_network_is_silent_at_once_and_after_a_restart() {
    let (home, daemon) = running(&on_loopback("off", ""));
    let asking = client(&daemon);
    assert!(is_answered(&home, &asking));
    let said = home.told(&["map", "block", "add", "127.0.0.0/8", "2001:db8::/32"]);
    assert_eq!(said, "2 added, 0 listed already; 2 networks blocked\n");
    assert!(!is_answered(&home, &asking));
    assert_eq!(home.told(&["map", "block", "list"]), "127.0.0.0/8\n2001:db8::/32\n");
    assert_eq!(home.told(&["map", "block", "count"]), "2\n");
    assert_eq!(home.read(LIST), "127.0.0.0/8\n2001:db8::/32\n");

    daemon.stop_well();
    let daemon = home.start(None);
    let asking = client(&daemon);
    assert!(!is_answered(&home, &asking));
    assert_eq!(
        home.told(&["map", "block", "remove", "127.0.0.0/8", "10.0.0.0/8"]),
        "1 removed, 1 not listed; 1 network blocked\n"
    );
    assert!(is_answered(&home, &asking));
    home.told(&["map", "block", "clear"]);
    assert_eq!((home.told(&["map", "block", "list"]).as_str(), home.read(LIST).as_str()), ("", ""));
}

#[test]
fn a_list_is_loaded_whole_or_not_at_all() {
    let configuration =
        Configuration { block_list: "# mine\n192.0.2.0/24\n".to_owned(), ..on_loopback("off", "") };
    let (home, _daemon) = running(&configuration);
    home.write("new.txt", "10.0.0.0/8\n# one\n2001:db8::1\n");
    let path = home.path("new.txt").display().to_string();
    assert_eq!(home.told(&["map", "block", "load", &path]), "loaded; 2 networks blocked\n");
    assert_eq!(home.read("block-list.txt"), home.read("new.txt"));
    home.write("new.txt", "10.0.0.0/8\n10.0.0.0/99\n");
    let said = home.refused(&["map", "block", "load", &path]);
    assert!(said.contains(&format!("{path}:2: \"10.0.0.0/99\"")), "{said}");
    assert_eq!(home.told(&["map", "block", "list"]), "10.0.0.0/8\n2001:db8::1\n");
    let said = home.refused(&["map", "block", "load", "/no/such/file"]);
    assert!(said.contains("/no/such/file"), "{said}");
    for verb in ["add", "remove"] {
        let said = home.refused(&["map", "block", verb, "10.1.0.0/16", "nonsense"]);
        assert!(said.contains("\"nonsense\""), "{said}");
    }
    assert_eq!(home.told(&["map", "block", "count"]), "2\n");
}

#[test]
fn entries_come_from_standard_input_too() {
    let (home, _daemon) = running(&on_loopback("deny", ""));
    let hashes = format!("# two\n{HASH_TEXT} # one\n\n{OTHER_TEXT}\n");
    assert!(told_with_input(&home, &["map", "access", "add", "-"], &hashes).starts_with("2 added"));
    assert_eq!(home.told(&["map", "access", "count"]), "2\n");
    assert!(told_with_input(&home, &["map", "access", "remove", "-"], HASH_TEXT).starts_with("1 removed"));
    told_with_input(&home, &["map", "access", "load", "-"], &hashes);
    assert_eq!(home.told(&["map", "access", "list"]), format!("{HASH_TEXT}\n{OTHER_TEXT}\n"));
    told_with_input(&home, &["map", "block", "add", "-"], "10.0.0.0/8\n");
    told_with_input(&home, &["map", "block", "load", "-"], "192.0.2.0/24\n");
    assert_eq!(home.told(&["map", "block", "list"]), "192.0.2.0/24\n");

    for (words, input, wanted) in [
        (["map", "access", "add", "-"], format!("{HASH_TEXT}\n\nabc\n"), "standard input:3: \"abc\""),
        (["map", "access", "load", "-"], "abc".to_owned(), "standard input:1: \"abc\""),
        (["map", "block", "remove", "-"], "# x\nhost".to_owned(), "standard input:2: \"host\""),
    ] {
        let output = with_input(&home, &words, &input);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(wanted), "{words:?}: {said}");
    }
    assert_eq!(home.told(&["map", "access", "count"]), "2\n");
}

#[test]
fn lists_of_many_thousands_come_back_in_order() {
    let (home, _daemon) = running(&on_loopback("deny", ""));
    let text: String = (0..20_000).map(|number| format!("{number:040x}\n")).collect();
    told_with_input(&home, &["map", "access", "load", "-"], &text);
    assert_eq!(home.told(&["map", "access", "list"]), text);
}

#[test]
fn a_missing_list_at_a_configured_path_is_an_error_with_the_remedy() {
    let home = home();
    home.configure(&Configuration { block_list: "10.0.0.0/8\n".to_owned(), ..on_loopback("off", "") });
    std::fs::remove_file(home.path("block-list.txt")).expect("it was written");
    let said = home.try_start(None).map(drop).expect_err("the list is missing");
    assert!(said.contains("block-list.txt") && said.contains("create it"), "{said}");
}
