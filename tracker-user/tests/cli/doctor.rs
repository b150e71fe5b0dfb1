//! `doctor` on real interfaces: what it finds there, and its exit status.

use std::process::Output;

use serde_json::Value;
use tracker_testkit::netns::Cable;
use tracker_testkit::skip::{Requirement, must_skip};

use crate::wired::Wired;

/// Runs it in the tracker's namespace.
fn doctor(wired: &Wired, words: &[&str]) -> Output {
    let words: Vec<&str> = ["doctor"].iter().chain(words).copied().collect();
    wired.home.command(Some(&wired.cable.server), &words).output().expect("the binary exists")
}

fn level_of(findings: &Value, about: &str) -> String {
    let all = findings.as_array().expect("a list");
    let found = all.iter().find(|finding| finding["about"].as_str().is_some_and(|it| it.ends_with(about)));
    let found = found.unwrap_or_else(|| panic!("nothing about {about} in {findings:#}"));
    assert_eq!(found["level"] == "ok", found["remedy"].is_null(), "{found}");
    found["level"].as_str().expect("a word").to_owned()
}

#[test]
fn it_finds_what_is_there_and_what_is_in_the_way() {
    if must_skip(&[Requirement::Root, Requirement::Bpf]) {
        return;
    }
    let wired = Wired::new("off", "");
    let examine = || {
        let output = doctor(&wired, &["--iface", Cable::SERVER_INTERFACE, "--json"]);
        let findings: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        (findings, output.status.code())
    };
    let (findings, status) = examine();
    for about in
        ["kernel", "capabilities", "XDP program", "BPF file system", "driver", "MTU", "state directory"]
    {
        assert_eq!(level_of(&findings, about), "ok", "{about}: {findings:#}");
    }
    // A cable has two ends.
    assert_eq!(level_of(&findings, "other end"), "advice");
    assert_eq!(status, Some(3), "{findings:#}");

    let mut ip = wired.cable.server.command("ip");
    let mtu = ip.args(["link", "set", "dev", Cable::SERVER_INTERFACE, "mtu", "1300"]).status();
    assert!(mtu.expect("ip runs").success());
    assert_eq!(level_of(&examine().0, "MTU"), "advice");
    let mut ip = wired.cable.server.command("ip");
    let mtu = ip.args(["link", "set", "dev", Cable::SERVER_INTERFACE, "mtu", "1500"]).status();
    assert!(mtu.expect("ip runs").success());

    // With a tracker there, there is a program.
    let daemon = wired.start();
    let (findings, status) = examine();
    assert_eq!((level_of(&findings, "other programs").as_str(), status), ("problem", Some(1)));
    daemon.stop_well();
    assert_eq!(examine().1, Some(3));

    let output = doctor(&wired, &["--iface", "no-such-if"]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said.contains("PROBLEM  no-such-if: there is no such interface\n         -> choose one of: lo"),
        "{said}"
    );
}
