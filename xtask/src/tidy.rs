//! Rules of the repository as tests: what a reviewer would have to look for otherwise.

use std::fs;
use std::path::{Path, PathBuf};

use crate::paths;

fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            sources(&path, found);
        } else if name.ends_with(".rs") {
            found.push(path);
        }
    }
}

/// The lines of a table of a manifest, without comments.
fn table(manifest: &str, name: &str) -> Vec<String> {
    let text = fs::read_to_string(paths::workspace().join(manifest)).unwrap();
    let lines = text.lines().skip_while(|line| line.trim() != format!("[{name}]")).skip(1);
    lines
        .take_while(|line| !line.starts_with('['))
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_module_opens_with_what_it_is() {
    let mut all = Vec::new();
    sources(paths::workspace(), &mut all);
    assert!(all.len() > 20, "found only {all:?}");
    all.retain(|path| !fs::read_to_string(path).unwrap().starts_with("//! "));
    assert!(all.is_empty(), "these begin without `//!` documentation: {all:#?}");
}

#[test]
fn bpf_program_has_the_workspace_s_lints() {
    // It is a workspace of its own and can't inherit them.
    for lints in ["rust", "clippy"] {
        let ours = table("Cargo.toml", &format!("workspace.lints.{lints}"));
        assert!(!ours.is_empty());
        assert_eq!(table("tracker-ebpf/Cargo.toml", &format!("lints.{lints}")), ours, "lints.{lints}");
    }
}

#[test]
fn every_crate_has_the_workspace_s_lints() {
    let members = table("Cargo.toml", "workspace").into_iter().find(|line| line.starts_with("members = ["));
    let members = members.expect("the workspace lists its members on one line");
    let names: Vec<&str> = members.split('"').skip(1).step_by(2).collect();
    assert!(names.contains(&"xtask"), "{members}");
    for name in names {
        assert_eq!(table(&format!("{name}/Cargo.toml"), "lints"), ["workspace = true"], "{name}");
    }
}
