//! What belongs to a package: manual pages, completions, the unit.

use std::fs;
use std::path::Path;
use std::process::Command;

use tracker_testkit::skip::{Requirement, must_skip};

use crate::home;

#[test]
fn each_verb_has_a_manual_page_that_names_its_options() {
    let home = home();
    let man = home.path("man");
    fs::create_dir(&man).expect("the directory is ours");
    home.told(&["generate", "man", man.to_str().expect("text")]);
    for (page, words) in [
        ("tracker-user.1", vec!["iface", "SIGHUP", "tracker\\-user\\-map(1)"]),
        ("tracker-user-map.1", vec!["access", "block", "limit", "top"]),
        ("tracker-user-map-access-load.1", vec!["FILE"]),
        ("tracker-user-doctor.1", vec!["Exit status", "json"]),
        ("tracker-user-config-import.1", vec!["aquatic", "opentracker"]),
    ] {
        let text = fs::read_to_string(man.join(page)).unwrap_or_else(|error| panic!("{page}: {error}"));
        assert!(text.contains(".TH "), "{page}: {text}");
        for word in words {
            assert!(text.contains(word), "{page} doesn't say {word}: {text}");
        }
    }
    // It is for those who build the tracker.
    let main = fs::read_to_string(man.join("tracker-user.1")).expect("it was read above");
    assert!(!main.contains("generate"), "{main}");
}

#[test]
fn bash_completes_verbs() {
    if must_skip(&[Requirement::Program("bash")]) {
        return;
    }
    let home = home();
    home.write("completions", &home.told(&["generate", "completions", "bash"]));
    let script = format!(
        "source {}; COMP_WORDS=(tracker-user map acc); COMP_CWORD=2; \
         registered=$(complete -p tracker-user); function=${{registered#*-F }}; ${{function%% *}} tracker-user acc map; echo ${{COMPREPLY[@]}}",
        home.path("completions").display()
    );
    let output = Command::new("bash").args(["-c", &script]).output().expect("it is there");
    assert_eq!(
        String::from_utf8_lossy(&output.stdout).trim(),
        "access",
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    for (shell, said) in [("zsh", "#compdef tracker-user"), ("fish", "complete -c tracker-user")] {
        assert!(home.told(&["generate", "completions", shell]).contains(said), "{shell}");
    }
}

#[test]
fn the_unit_is_valid_and_exposes_little() {
    if must_skip(&[Requirement::Program("systemd-analyze")]) {
        return;
    }
    let home = home();
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/tracker.service");
    let text = fs::read_to_string(unit).expect("it is there");
    // Where the tracker isn't installed, this one stands for it; nor is there a manual page.
    let text = text.replace("/usr/bin/tracker-user", env!("CARGO_BIN_EXE_tracker-user"));
    home.write("tracker.service", &text.replace("Documentation=man:tracker-user(1)\n", ""));
    let analyze = |words: &[&str]| {
        let output = Command::new("systemd-analyze").args(words).arg(home.path("tracker.service")).output();
        let output = output.expect("it is there");
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&said).into_owned())
    };
    let (valid, said) = analyze(&["verify", "--man=no"]);
    let about_it: Vec<&str> = said.lines().filter(|line| line.contains("tracker.service")).collect();
    assert!(valid && about_it.is_empty(), "{said}");
    // Of 10.0, which is no protection at all.
    let (little, said) = analyze(&["security", "--offline=true", "--threshold=30", "--no-pager"]);
    assert!(little, "{said}");
}
