//! The configuration as an operator meets it: what is printed, read and refused.

use super::checks::{MAX_INTERVAL_S, MAX_LIFETIME_S, MAX_PEERS_V4};
use tracker_common::sketch::SourceLimits;

use super::*;

fn error(text: &str) -> String {
    Config::parse("tracker.toml", text).expect_err("the text has to be refused").to_string()
}

#[test]
fn printed_default_parses_back_to_the_default() {
    let printed = Config::default().commented();
    assert_eq!(Config::parse("printed", &printed).expect(&printed), Config::default());
}

#[test]
fn printed_default_has_every_key_and_a_comment_on_each() {
    let printed = Config::default().commented();
    let mut printed_keys = 0;
    let mut previous = "";
    for line in printed.lines() {
        assert!(line.len() <= 130, "too long: {line}");
        if line.contains(" = ") && !line.starts_with('#') {
            printed_keys += 1;
            assert!(previous.starts_with("# "), "no comment above: {line}");
        }
        previous = line;
    }
    let serialized = toml::Table::try_from(Config::default()).expect("the configuration is a TOML table");
    let keys: usize = serialized.values().map(|value| value.as_table().map_or(1, toml::Table::len)).sum();
    assert_eq!(printed_keys, keys);
}

#[test]
fn changed_values_survive_printing() {
    let mut config = Config::default();
    config.xdp.interfaces = vec!["eth0".to_owned(), "eth \"1\"".to_owned()];
    config.access_list.path = PathBuf::from("/etc/tracker/list");
    config.udp.addresses = vec!["[2001:db8::1]:80".parse().expect("an address")];
    assert_eq!(Config::parse("printed", &config.commented()).expect("it parses"), config);
}

#[test]
fn default_terms_are_the_tracker_s() {
    let limits = SourceLimits { connects: 1000, bad_ids: 1000, announces: 0 };
    assert_eq!(Config::default().policy(), Policy { limits, ..Policy::default() });
}

#[test]
fn empty_file_is_the_default() {
    assert_eq!(Config::parse("empty", "").expect("it parses"), Config::default());
}

#[test]
fn unknown_key_is_refused_with_its_line_and_the_known_ones() {
    let message = error("[udp]\nworkers_per_address = 2\nworker = 3\n");
    assert!(
        message.starts_with("tracker.toml:3: unknown field `worker`, expected one of `addresses`"),
        "{message}"
    );
    let message = error("statedirectory = \"/tmp\"\n");
    assert!(message.starts_with("tracker.toml:1: unknown field `statedirectory`"), "{message}");
    let message = error("\n[upd]\n");
    assert!(message.starts_with("tracker.toml:2: unknown field `upd`"), "{message}");
}

#[test]
fn bad_value_is_refused_with_its_line_and_what_is_allowed() {
    let message = error("[xdp]\n\nmode = \"fast\"\n");
    assert!(message.starts_with("tracker.toml:3: unknown variant `fast`"), "{message}");
    assert!(message.contains("`native`") && message.contains("xdp.mode:"), "{message}");
    let message = error("[udp]\naddresses = [\"0.0.0.0\"]\n");
    assert!(message.starts_with("tracker.toml:2: "), "{message}");
    assert!(message.contains("udp.addresses: Addresses with ports"), "{message}");
    let message = error("[protocol]\ninterval_s = 1800\nmax_response_peers = 231\n");
    assert!(message.starts_with("tracker.toml:3: 231 is not within 1 to 230"), "{message}");
}

#[test]
fn lifetime_shorter_than_two_intervals_is_refused_and_explained() {
    let message = error("[protocol]\npeer_lifetime_s = 3600\n");
    assert!(
        message.starts_with("tracker.toml:2: peer_lifetime_s = 3600: at least 4200 (two intervals"),
        "{message}"
    );
    let message = error("[protocol]\ninterval_s = 3600\n");
    assert!(message.contains("peer_lifetime_s = 4200: at least 7800"), "{message}");
}

#[test]
fn limits_in_the_comments_are_those_in_force() {
    let printed = Config::default().commented();
    for (limit, text) in [
        (MAX_INTERVAL_S, "60 to 16080"),
        (MAX_LIFETIME_S, "at most 32760"),
        (MAX_PEERS_V4, "1 to 230"),
        (tracker_common::wire::MAX_PEERS_V6 as u32, "at most 67"),
    ] {
        assert!(text.ends_with(&limit.to_string()) && printed.contains(text), "{limit}: {text}");
    }
}

#[test]
fn broken_syntax_names_the_line() {
    let message = error("[udp]\naddresses = \n");
    assert!(message.starts_with("tracker.toml:2: "), "{message}");
}

#[test]
fn aliases_of_the_access_mode_are_read() {
    for (text, mode) in
        [("blacklist", AccessMode::Deny), ("white", AccessMode::Allow), ("off", AccessMode::Off)]
    {
        let config = Config::parse("alias", &format!("[access_list]\nmode = \"{text}\"")).expect(text);
        assert_eq!(config.access_list.mode, mode);
        assert_eq!(text.parse(), Ok(mode));
    }
}

#[test]
fn same_address_twice_is_refused() {
    let message = error("[udp]\naddresses = [\"127.0.0.1:6969\", \"127.0.0.1:6969\"]\n");
    assert!(message.contains("127.0.0.1:6969 is listed twice"), "{message}");
}

#[test]
fn all_errors_of_a_file_are_found_with_their_lines() {
    let text = "log_level = \"loud\"\n[udp]\nworkers_per_address = 5000\nworker = 3\n[protocol]\ninterval_s = \"x\"\n\
                max_response_peers = 1000\n[http]\nlisten = [\n  \"http://127.0.0.1:80\",\n  5,\n]\n[swarm\n";
    let errors: Vec<String> = Config::errors("t", text).iter().map(ToString::to_string).collect();
    let lines: Vec<&str> = errors.iter().map(|error| error.split(' ').next().expect("a place")).collect();
    assert_eq!(lines, ["t:1:", "t:3:", "t:4:", "t:6:", "t:7:", "t:11:", "t:13:"], "{errors:#?}");
    assert!(errors[1].contains("udp.workers_per_address: Threads"), "{}", errors[1]);
    assert!(Config::errors("t", "").is_empty());
    assert_eq!(Config::errors("t", "[udp]\naddresses = []\n").len(), 1);
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config { failure_persistence: None, ..Default::default() })]
    #[test]
    fn looking_for_errors_ends_whatever_the_text_is(text in "(\\PC|\n|[=\\[\\]\"#.a-z0-9_ ]){0,80}") {
        let _errors = Config::errors("t", &text);
    }
}
