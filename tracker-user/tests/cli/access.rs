//! `map access …`: at once, everywhere, and still there after a restart.

use tracker_testkit::daemon::ACCESS_LIST;

use crate::{DENIED, HASH, HASH_TEXT, OTHER, OTHER_TEXT, client, on_loopback, running};

fn denied() -> Option<String> {
    Some(DENIED.to_owned())
}

#[test]
fn an_added_hash_is_refused_at_once_and_after_a_restart() {
    let (home, daemon) = running(&on_loopback("deny", "# by hand\n"));
    assert_eq!(client(&daemon).refusal(HASH), None);
    home.told(&["map", "access", "add", HASH_TEXT]);
    assert_eq!(client(&daemon).refusal(HASH), denied());
    assert_eq!(client(&daemon).refusal(OTHER), None);
    assert_eq!(home.told(&["map", "access", "list"]), format!("{HASH_TEXT}\n"));
    let file = home.read(ACCESS_LIST);
    assert!(file.contains("# by hand") && file.contains(HASH_TEXT), "{file}");

    daemon.stop_well();
    let daemon = home.start(None);
    assert_eq!(client(&daemon).refusal(HASH), denied());
    home.told(&["map", "access", "remove", HASH_TEXT]);
    assert_eq!(client(&daemon).refusal(HASH), None);
    assert_eq!(home.told(&["map", "access", "list"]), "");

    daemon.stop_well();
    let daemon = home.start(None);
    assert_eq!(client(&daemon).refusal(HASH), None);
}

#[test]
fn hashes_are_taken_in_either_case_and_of_either_length() {
    let (home, daemon) = running(&on_loopback("allow", ""));
    let v2 = format!("{OTHER_TEXT}{}", "0".repeat(24));
    home.told(&["map", "access", "add", &HASH_TEXT.to_uppercase(), &v2]);
    assert_eq!(home.told(&["map", "access", "list"]), format!("{HASH_TEXT}\n{OTHER_TEXT}\n"));
    assert_eq!(client(&daemon).refusal(HASH), None);
    assert_eq!(client(&daemon).refusal(OTHER), None);
    assert_eq!(client(&daemon).refusal([1; 20]), denied());
}

#[test]
fn a_bad_hash_is_quoted_and_changes_nothing() {
    let list = format!("# by hand\n{OTHER_TEXT}\n");
    let (home, daemon) = running(&on_loopback("deny", &list));
    let too_long = format!("{HASH_TEXT}a");
    for bad in ["nothex", "", &HASH_TEXT[1..], &too_long, "gbababababababababababababababababababab"] {
        for verb in ["add", "remove"] {
            let said = home.refused(&["map", "access", verb, HASH_TEXT, OTHER_TEXT, bad]);
            assert!(said.contains(&format!("\"{bad}\"")), "{verb} {bad:?}: {said}");
        }
    }
    assert_eq!(home.read(ACCESS_LIST), list);
    assert_eq!(home.told(&["map", "access", "list"]), format!("{OTHER_TEXT}\n"));
    assert_eq!(client(&daemon).refusal(HASH), None);
    assert_eq!(client(&daemon).refusal(OTHER), denied());
}

#[test]
fn a_loaded_file_replaces_the_list_and_a_bad_one_does_not() {
    let (home, daemon) = running(&on_loopback("deny", &format!("{OTHER_TEXT}\n")));
    home.write("good.txt", &format!("# new\n\n{HASH_TEXT}\n"));
    home.told(&["map", "access", "load", home.path("good.txt").to_str().unwrap()]);
    assert_eq!(client(&daemon).refusal(HASH), denied());
    assert_eq!(client(&daemon).refusal(OTHER), None);

    home.write("bad.txt", &format!("{OTHER_TEXT}\n# fine\nnot a hash\n"));
    let said = home.refused(&["map", "access", "load", home.path("bad.txt").to_str().unwrap()]);
    assert!(said.contains("bad.txt:3") && said.contains("not a hash"), "{said}");
    assert_eq!(client(&daemon).refusal(HASH), denied());
    assert_eq!(client(&daemon).refusal(OTHER), None);

    daemon.stop_well();
    let daemon = home.start(None);
    assert_eq!(client(&daemon).refusal(HASH), denied());
    home.told(&["map", "access", "clear"]);
    assert_eq!(client(&daemon).refusal(HASH), None);
    assert_eq!(home.told(&["map", "access", "list"]), "");
}

#[test]
fn a_mode_set_at_run_time_counts_until_the_configuration_is_edited() {
    let configuration = on_loopback("off", &format!("{HASH_TEXT}\n"));
    let (home, daemon) = running(&configuration);
    assert_eq!(home.told(&["map", "access", "mode"]), "off\n");
    assert_eq!(client(&daemon).refusal(HASH), None);
    home.told(&["map", "access", "mode", "blacklist"]);
    assert_eq!(home.told(&["map", "access", "mode"]), "deny\n");
    assert_eq!(client(&daemon).refusal(HASH), denied());
    home.told(&["map", "access", "mode", "allow"]);
    assert_eq!(client(&daemon).refusal(HASH), None);
    assert_eq!(client(&daemon).refusal(OTHER), denied());

    daemon.stop_well();
    let daemon = home.start(None);
    assert_eq!(home.told(&["map", "access", "mode"]), "allow\n");
    assert_eq!(client(&daemon).refusal(OTHER), denied());

    daemon.stop_well();
    home.configure(&on_loopback("deny", &format!("{HASH_TEXT}\n")));
    let daemon = home.start(None);
    assert_eq!(home.told(&["map", "access", "mode"]), "deny\n");
    assert_eq!(client(&daemon).refusal(OTHER), None);
    assert_eq!(client(&daemon).refusal(HASH), denied());
}

#[test]
fn torrents_that_are_tracked_leave_when_they_are_denied() {
    let (home, daemon) = running(&on_loopback("deny", ""));
    let client = client(&daemon);
    assert_eq!(client.refusal(HASH), None);
    daemon.eventually("the announce is in the table", || (client.counts(HASH).leechers == 1).then_some(()));
    home.told(&["map", "access", "add", HASH_TEXT]);
    assert_eq!(client.counts(HASH).leechers, 0);
    daemon.eventually("the torrent is dropped", || (home.stats()["swarm"]["torrents"] == 0).then_some(()));
    home.told(&["map", "access", "remove", HASH_TEXT]);
    assert_eq!(client.counts(HASH).leechers, 0);
}

#[test]
fn stats_are_for_people_and_for_programs() {
    let (home, daemon) = running(&on_loopback("off", ""));
    let client = client(&daemon);
    client.connection_id();
    assert_eq!(client.refusal(HASH), None);
    daemon.eventually("the announce is in the table", || (client.counts(HASH).leechers == 1).then_some(()));
    let stats = home.stats();
    assert!(stats["sockets"]["connect"].as_u64() >= Some(2), "{stats}");
    assert_eq!(stats["sockets"]["announce"], 1, "{stats}");
    assert_eq!(stats["swarm"]["peers"], 1, "{stats}");
    let text = home.told(&["map", "stats"]);
    assert!(text.contains("connect") && text.contains("announce"), "{text}");
}
