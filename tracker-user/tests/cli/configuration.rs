//! `config check` and `config print`.

use crate::{home, on_loopback};

#[test]
fn the_printed_configuration_passes_the_check() {
    let home = home();
    home.configure(&on_loopback("off", ""));
    for words in [&["config", "print"][..], &["-p"]] {
        home.write("printed.toml", &home.told(words));
        let said = home.told(&["config", "check", home.path("printed.toml").to_str().unwrap()]);
        assert!(said.contains("printed.toml: ok"), "{said}");
    }
    // With -c it is that file's configuration which is printed.
    assert!(home.read("printed.toml").contains("127.0.0.1:0"), "{}", home.read("printed.toml"));
}

#[test]
fn errors_name_file_line_and_what_is_allowed() {
    let home = home();
    home.configure(&on_loopback("off", ""));
    for (text, line, words) in [
        ("colour = 1\n", 1, &["colour", "state_directory", "log_level"][..]),
        ("\n[udp]\nadresses = []\n", 3, &["adresses", "addresses"]),
        ("[nonsense]\n", 1, &["nonsense", "xdp"]),
        ("[xdp]\nmode = \"fast\"\n", 2, &["fast", "auto", "native", "generic", "off"]),
        ("[udp]\naddresses = [\"127.0.0.1\"]\n", 2, &["address"]),
        ("[udp]\nerrors_per_second = 0\n", 2, &["errors_per_second", "1"]),
        ("[protocol]\ninterval_s = 1800\npeer_lifetime_s = 1000\n", 3, &["1000", "4200"]),
        ("[protocol]\nmax_response_peers = 1000\n", 2, &["1000", "230"]),
        ("[access_list]\nmode = \"grey\"\n", 2, &["grey", "deny", "allow"]),
        ("log_level = \n", 1, &[]),
    ] {
        home.write("wrong.toml", text);
        let path = home.path("wrong.toml");
        let said = home.refused(&["config", "check", path.to_str().unwrap()]);
        assert!(said.contains(&format!("{}:{line}:", path.display())), "{text:?}: {said}");
        for word in words {
            assert!(said.contains(word), "{text:?}: no {word:?} in {said}");
        }
    }
}

#[test]
fn a_tracker_does_not_start_with_a_wrong_configuration() {
    let home = home();
    home.write(tracker_testkit::daemon::CONFIGURATION, "[udp]\naddresses = []\n");
    let said = home.try_start(None).unwrap_err();
    assert!(said.contains("tracker.toml:2:") && said.contains("no address to listen on"), "{said}");
}
