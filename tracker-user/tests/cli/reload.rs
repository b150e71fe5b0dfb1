//! SIGHUP and SIGUSR1: the lists as their files say, or as they were.

use tracker_testkit::daemon::{ACCESS_LIST, BLOCK_LIST, CONFIGURATION, Configuration};

use crate::{DENIED, HASH, HASH_TEXT, OTHER, OTHER_TEXT, client, home, on_loopback, running};

#[test]
fn sighup_and_sigusr1_reload_the_access_list() {
    let (home, daemon) = running(&on_loopback("deny", ""));
    let client = client(&daemon);
    home.write(ACCESS_LIST, &format!("{HASH_TEXT}\n"));
    assert_eq!(client.refusal(HASH), None);
    daemon.signal(libc::SIGHUP);
    daemon.eventually("SIGHUP reloads", || client.refusal(HASH));
    home.write(ACCESS_LIST, &format!("{OTHER_TEXT}\n"));
    daemon.signal(libc::SIGUSR1);
    daemon.eventually("SIGUSR1 reloads", || client.refusal(OTHER));
    assert_eq!(client.refusal(HASH), None);
    daemon.stop_well();
}

#[test]
fn a_bad_line_keeps_the_old_list_and_is_named() {
    let configuration = Configuration {
        block_list: "192.0.2.0/24\n".into(),
        ..on_loopback("deny", &format!("{HASH_TEXT}\n"))
    };
    let (home, daemon) = running(&configuration);
    let client = client(&daemon);
    home.write(ACCESS_LIST, &format!("{OTHER_TEXT}\nrubbish\n"));
    home.write(BLOCK_LIST, "10.0.0.0/8\n\n10.0.0.0/33\n");
    daemon.signal(libc::SIGHUP);
    for file in [format!("{ACCESS_LIST}:2"), format!("{BLOCK_LIST}:3")] {
        daemon.eventually(&format!("{file} is named"), || daemon.log().contains(&file).then_some(()));
    }
    assert!(daemon.log().contains("rubbish"), "{}", daemon.log());
    assert_eq!(client.refusal(HASH).as_deref(), Some(DENIED));
    assert_eq!(client.refusal(OTHER), None);
    assert_eq!(home.stats()["blocked_networks"], 1);
}

#[test]
fn a_bad_line_at_start_is_fatal_and_named() {
    let home = home();
    home.configure(&on_loopback("deny", &format!("# list\n{HASH_TEXT}\nabc\n")));
    let said = home.try_start(None).unwrap_err();
    assert!(said.contains(&format!("{ACCESS_LIST}:3")) && said.contains("\"abc\""), "{said}");
    home.configure(&Configuration { block_list: "nonsense\n".into(), ..on_loopback("off", "") });
    let said = home.try_start(None).unwrap_err();
    assert!(said.contains(&format!("{BLOCK_LIST}:1")) && said.contains("nonsense"), "{said}");
}

#[test]
fn the_log_level_is_reloaded_and_other_changed_keys_are_named() {
    let (home, daemon) = running(&on_loopback("off", ""));
    let text = home.read(CONFIGURATION);
    home.write(CONFIGURATION, &format!("log_level = \"warn\"\n{}", text.replace("100_000", "100_001")));
    daemon.signal(libc::SIGHUP);
    let restart = "needs a restart: swarm.max_peers";
    daemon.eventually("the key is named", || daemon.log().contains(restart).then_some(()));
    // At "warn" a second reload doesn't announce itself, but an error is still told; and a bad file changes nothing.
    home.write(CONFIGURATION, "\nlog_level = \"loud\"\n");
    daemon.signal(libc::SIGUSR1);
    let place = format!("{CONFIGURATION}:2: ");
    daemon.eventually("the line is named", || daemon.log().contains(&place).then_some(()));
    assert!(!daemon.log().contains("SIGUSR1"), "{}", daemon.log());
    daemon.stop_well();
}

#[test]
fn a_log_for_programs_has_a_json_object_in_each_line() {
    let home = home();
    home.configure(&on_loopback("off", ""));
    let text = home.read(CONFIGURATION);
    home.write(CONFIGURATION, &format!("log_format = \"json\"\n{text}"));
    let daemon = home.start(None);
    daemon.signal(libc::SIGHUP);
    daemon.eventually("the reload is told", || daemon.log().contains("access list").then_some(()));
    let log = daemon.log();
    // What is behind the last newline is still being written.
    let (whole, _) = log.rsplit_once('\n').expect("there is a line");
    for line in whole.lines() {
        let object: serde_json::Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(object["level"].is_string() && object["message"].is_string(), "{line}");
    }
    daemon.stop_well();
}
