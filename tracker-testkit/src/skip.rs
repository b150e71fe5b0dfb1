//! Tests that need more than a compiler say so here, and are counted.
//!
//! A skipped test prints a line that begins with `skipping:`; because cargo hides the output of tests that pass, the
//! line is also appended to the file that the environment variable `TRACKER_SKIP_LOG` names, where `cargo xtask test`
//! counts them. With `CI=true` nothing may be skipped, so there it is a failure.

use std::env;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::{node_modules, sys};

/// What a test may need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requirement {
    /// To be root, and to be allowed to make network namespaces.
    Root,
    /// To be allowed to load BPF programs.
    Bpf,
    /// To be allowed to use io_uring.
    IoUring,
    /// A program that answers to `--version`, or to `version` as openssl 3.0.
    Program(&'static str),
    /// A module of Debian's Python.
    PythonModule(&'static str),
    /// The npm packages of the WebTorrent tests.
    NodeModules,
}

impl Requirement {
    fn is_met(self) -> bool {
        let succeeds = |program: &str, arguments: &[&str]| {
            let mut command = Command::new(program);
            command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            command.status().is_ok_and(|status| status.success())
        };
        match self {
            // On a thread of its own, because the thread stays in the namespace.
            Self::Root => {
                sys::is_root()
                    && std::thread::spawn(sys::unshare_network).join().is_ok_and(|made| made.is_ok())
            }
            Self::IoUring => sys::io_uring().is_ok(),
            Self::Bpf => sys::load_pass_program("may_i").is_ok(),
            // openssl knows the second alone, nginx the third.
            Self::Program(name) => ["--version", "version", "-v"].iter().any(|word| succeeds(name, &[word])),
            Self::PythonModule(name) => succeeds(PYTHON, &["-c", &format!("import {name}")]),
            Self::NodeModules => node_modules::are_installed(),
        }
    }

    fn name(self) -> String {
        match self {
            Self::Root => "root".into(),
            Self::IoUring => "permission to use io_uring".into(),
            Self::Bpf => "permission to load BPF programs".into(),
            Self::Program(name) => format!("the program {name}"),
            Self::PythonModule(name) => format!("the module {name} of {PYTHON}"),
            Self::NodeModules => "the npm packages of `cargo xtask setup --tests`".into(),
        }
    }
}

/// Debian's Python, by its path: another one in front of it has not Debian's modules.
pub const PYTHON: &str = "/usr/bin/python3";

/// Whether something is missing; then it has been said and counted, and the test has to return.
#[must_use]
#[track_caller]
pub fn must_skip(requirements: &[Requirement]) -> bool {
    let missing: Vec<String> = requirements
        .iter()
        .filter(|requirement| !requirement.is_met())
        .map(|requirement| requirement.name())
        .collect();
    if missing.is_empty() {
        return false;
    }
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let line = format!("skipping: {test} needs {}", missing.join(", "));
    assert!(env::var("CI").as_deref() != Ok("true"), "{line}; with CI=true that is a failure");
    println!("{line}");
    if let Some(path) = env::var_os("TRACKER_SKIP_LOG") {
        let file = OpenOptions::new().create(true).append(true).open(&path);
        // One write of one line: tests in other processes append at the same time.
        file.and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()))
            .expect("TRACKER_SKIP_LOG is writable");
    }
    true
}
