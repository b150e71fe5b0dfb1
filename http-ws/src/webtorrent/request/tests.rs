//! What is read, and what is wrong with the rest.

use proptest::prelude::*;

use super::*;

const HASH: &str = "aaaaaaaaaaaaaaaaaaaa";

fn with(keys: &str) -> String {
    format!(r#"{{"action":"announce","info_hash":"{HASH}","peer_id":"pppppppppppppppppppp"{keys}}}"#)
}

fn announce(keys: &str) -> (AnnounceKind, bool, Vec<(String, String)>) {
    let text = with(keys);
    match read(&text) {
        Ok(Request::Announce(announce)) => {
            assert_eq!((announce.info_hash, announce.peer_id), ([b'a'; 20], [b'p'; 20]));
            let offers = announce.offers.iter();
            let offers = offers.map(|offer| (offer.offer_id.to_owned(), offer.offer.to_owned()));
            (announce.kind, announce.seeder, offers.collect())
        }
        other => panic!("{text}: {other:?}"),
    }
}

fn refusal(text: &str) -> Refusal {
    match read(text) {
        Err(refusal) => refusal,
        Ok(read) => panic!("{text}: {read:?}"),
    }
}

#[test]
fn left_is_zero_or_not_whatever_it_is() {
    for zero in ["0", "0.0", "-0", "0e5"] {
        assert!(announce(&format!(",\"left\":{zero}")).1, "{zero}");
    }
    for other in ["1", "0.5", "null", "1e300", "\"0\"", "\"\"", "[]", "{}", "true", "18446744073709551616"] {
        assert!(!announce(&format!(",\"left\":{other}")).1, "{other}");
    }
    assert!(!announce("").1);
}

#[test]
fn events_are_known_or_none() {
    for (event, kind) in [
        ("\"started\"", AnnounceKind::Started),
        ("\"completed\"", AnnounceKind::Completed),
        ("\"stopped\"", AnnounceKind::Stopped),
        ("\"\\u0073topped\"", AnnounceKind::Stopped),
        ("\"paused\"", AnnounceKind::Paused),
        ("\"update\"", AnnounceKind::None),
        ("\"Stopped\"", AnnounceKind::None),
        ("\"\"", AnnounceKind::None),
        ("null", AnnounceKind::None),
        ("3", AnnounceKind::None),
        ("{\"stopped\":null}", AnnounceKind::None),
    ] {
        assert_eq!(announce(&format!(",\"event\":{event}")).0, kind, "{event}");
    }
}

#[test]
fn offers_are_found_as_they_are() {
    let offer = r#"{ "type" : "offer", "sdp":"v=0\r\n\u00e4" , "x":[1.50,{}]}"#;
    let found = announce(&format!(
        r#","offers":[{{"x":{{}},"offer": {offer} ,"offer_id":"o\u0031"}},{{"offer_id":"","offer":0}}],"unknown":[[]]"#
    ));
    let expected = [("\"o\\u0031\"", offer), ("\"\"", "0")];
    assert_eq!(found.2, expected.map(|(id, offer)| (id.to_owned(), offer.to_owned())));
    for none in ["", ",\"offers\":null", ",\"offers\":[]"] {
        assert_eq!(announce(none).2, []);
    }
}

#[test]
fn bad_offers_are_refused_and_the_torrent_is_named() {
    for offers in [
        "0",
        "-1",
        "0.5",
        "true",
        "\"\"",
        "{}",
        "{\"a\":[{}]}",
        "[null]",
        "[1]",
        "[[]]",
        "[[[1]]]",
        "[\"\"]",
        "[{}]",
        "[{\"offer\":{}}]",
        "[{\"offer_id\":\"\"}]",
        "[{\"offer\":null,\"offer_id\":\"\"}]",
        "[{\"offer\":{},\"offer_id\":1}]",
        "[{\"offer\":{},\"offer_id\":\"\"},1]",
        "[1,{\"offer\":{},\"offer_id\":\"\"}]",
    ] {
        let refused = refusal(&with(&format!(",\"offers\":{offers}")));
        assert_eq!(refused, Refusal::new(Action::Announce, "invalid offers", Some([b'a'; 20])), "{offers}");
    }
}

#[test]
fn answers_need_whom_and_what_they_answer() {
    let text =
        with(r#","answer":{"sdp":"x"},"to_peer_id":"tttttttttttttttttttt","offer_id":"o","offers":[]"#);
    let Ok(Request::Answer(answer)) = read(&text) else { panic!("{text}") };
    assert_eq!((answer.to_peer_id, answer.offer_id, answer.answer), ([b't'; 20], "\"o\"", r#"{"sdp":"x"}"#));
    assert!(matches!(read(&with(",\"answer\":null")), Ok(Request::Announce(_))));
    for (keys, reason) in [
        (",\"answer\":{}", "missing to_peer_id"),
        (",\"answer\":{},\"to_peer_id\":null", "missing to_peer_id"),
        (",\"answer\":{},\"to_peer_id\":1", "invalid to_peer_id"),
        (",\"answer\":{},\"to_peer_id\":\"tttttttttttttttttttt\"", "missing offer_id"),
        (",\"answer\":{},\"to_peer_id\":\"tttttttttttttttttttt\",\"offer_id\":7", "invalid offer_id"),
    ] {
        assert_eq!(refusal(&with(keys)).reason, reason);
    }
}

#[test]
fn names_of_offers_are_the_same_however_they_are_escaped() {
    for json in ["\"\u{e9}\\n\"", r#""\u00e9\n""#, r#""\u00E9\u000a""#] {
        assert_eq!(decoded_string(json), "\u{e9}\n", "{json}");
    }
    assert_eq!(decoded_string("\"plain\""), "plain");
    assert_eq!(decoded_string(r#""\ud800""#), r#""\ud800""#);
    assert_eq!(decoded_string("\"\""), "");
}

#[test]
fn requests_without_ids_are_told_which() {
    for (text, reason) in [
        (r#"{"action":"announce"}"#, "missing info_hash"),
        (r#"{"action":"announce","info_hash":null}"#, "missing info_hash"),
        (r#"{"action":"announce","info_hash":"short"}"#, "invalid info_hash"),
        (r#"{"action":"announce","info_hash":[]}"#, "invalid info_hash"),
        (r#"{"action":"announce","info_hash":"aaaaaaaaaaaaaaaaaaaĀ"}"#, "invalid info_hash"),
        (r#"{"action":"announce","info_hash":"\ud800aaaaaaaaaaaaaaaaaaa"}"#, "invalid info_hash"),
        (r#"{"action":"announce","info_hash":"aaaaaaaaaaaaaaaaaaaa"}"#, "missing peer_id"),
        (r#"{"action":"announce","info_hash":"aaaaaaaaaaaaaaaaaaaa","peer_id":7}"#, "invalid peer_id"),
        (r#"{"info_hash":"aaaaaaaaaaaaaaaaaaaa"}"#, "invalid action"),
        (r#"{"action":"Announce"}"#, "invalid action"),
        (r#"{"action":7}"#, "invalid action"),
        ("{}", "invalid action"),
        (r#"{"action":"scrape","info_hash":7}"#, "invalid info_hash"),
        (r#"{"action":"scrape","info_hash":[7]}"#, "invalid info_hash"),
        (r#"{"action":"scrape","info_hash":["short"]}"#, "invalid info_hash"),
        (r#"{"action":"scrape","info_hash":{}}"#, "invalid info_hash"),
    ] {
        let refused = refusal(text);
        assert_eq!((refused.reason, refused.ends), (reason, None), "{text}");
        let action = if text.contains("scrape") { Action::Scrape } else { Action::Announce };
        assert_eq!(refused.action, action, "{text}");
        let named = matches!(reason, "missing peer_id" | "invalid peer_id") || text.starts_with("{\"info");
        assert_eq!(refused.info_hash.is_some(), named, "{text}");
    }
}

#[test]
fn scrapes_are_of_one_some_none_or_all() {
    let scrape = |value: &str| {
        let text = format!("{{\"action\":\"scrape\"{value}}}");
        match read(&text) {
            Ok(Request::Scrape(hashes)) => Some(hashes),
            Ok(Request::FullScrape) => None,
            other => panic!("{text}: {other:?}"),
        }
    };
    assert_eq!(scrape(&format!(",\"info_hash\":\"{HASH}\"")), Some(vec![[b'a'; 20]]));
    assert_eq!(scrape(&format!(",\"info_hash\":[\"{HASH}\",\"{HASH}\"]")), Some(vec![[b'a'; 20]; 2]));
    assert_eq!(scrape(",\"info_hash\":[]"), Some(Vec::new()));
    assert_eq!(scrape(",\"info_hash\":null"), None);
    assert_eq!(scrape(""), None);
}

#[test]
fn what_is_no_json_ends_the_connection() {
    for text in [
        "",
        " ",
        "{",
        "nonsense",
        "{}{}",
        "[]",
        "null",
        "7",
        "\"announce\"",
        "{\"action\":\"announce\"",
        "{'action':1}",
        "{\"action\":\"announce\",}",
        "{\"action\":\"announce\",\"action\":\"announce\"}",
        "{\"x\":01}",
        "{\"offers\":[1,]}",
        "{\"offers\":[{\"offer\":1,\"offer\":1}]}",
    ] {
        assert_eq!(refusal(text), Refusal::last("invalid JSON", Ends::Invalid), "{text}");
    }
}

#[test]
fn depth_has_a_limit_wherever_it_is() {
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    // The message is a level itself.
    announce(&format!(",\"x\":{}", nested(MAX_DEPTH - 1)));
    let deep = Refusal::last("JSON is nested too deeply", Ends::Policy);
    assert_eq!(refusal(&with(&format!(",\"x\":{}", nested(MAX_DEPTH)))), deep);
    assert_eq!(
        refusal(&with(&format!(",\"offers\":[{{\"offer_id\":\"\",\"offer\":{}}}]", nested(30_000)))),
        deep
    );
    assert_eq!(refusal(&"{\"x\":".repeat(10_000)), deep);
    // Many brackets, none of them deep.
    announce(&format!(",\"x\":[{}0],\"y\":\"{}\\\"[\\\\\"", "[],".repeat(1000), "[".repeat(1000)));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,200}|[\\[\\]{}\",:0-9a-z_\\\\]{0,200}") {
        let _either = read(&text);
    }

    /// The depth that a JSON value has, found without its structure.
    #[test]
    fn depth_is_that_of_the_parsed_value(value in values()) {
        fn depth_of(value: &serde_json::Value) -> usize {
            match value {
                serde_json::Value::Array(values) => 1 + values.iter().map(depth_of).max().unwrap_or(0),
                serde_json::Value::Object(values) => 1 + values.values().map(depth_of).max().unwrap_or(0),
                _ => 0,
            }
        }
        prop_assert_eq!(depth(value.to_string().as_bytes()), depth_of(&value));
    }
}

fn values() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![Just(serde_json::Value::Null), "[\\[\\]{}\"\\\\a]{0,8}".prop_map(Into::into)];
    leaf.prop_recursive(8, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            prop::collection::hash_map("[\\[{\"\\\\a]{0,4}", inner, 0..4)
                .prop_map(|entries| serde_json::Value::Object(entries.into_iter().collect())),
        ]
    })
}
