//! A command that is shown before it runs, in a form that can be pasted into a shell.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt::{self, Display, Formatter};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

/// Variables that a surrounding cargo or rustup sets for its own children and that would steer an inner cargo:
/// the outer toolchain, its flags, wrappers and target.
const INHERITED: &[&str] = &[
    "CARGO",
    "CARGO_BUILD_TARGET",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_BUILD_RUSTC_WRAPPER",
    "RUSTC",
    "RUSTDOC",
    "RUSTC_WRAPPER",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTFLAGS",
    "RUSTUP_TOOLCHAIN",
    "RUST_RECURSION_COUNT",
];

/// One command of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    program: String,
    args: Vec<String>,
    env: BTreeMap<String, String>,
    dir: Option<PathBuf>,
    clean: bool,
}

impl Step {
    pub(crate) fn new(program: impl Into<String>) -> Self {
        Self { program: program.into(), args: Vec::new(), env: BTreeMap::new(), dir: None, clean: false }
    }

    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_string_lossy().into_owned());
        self
    }

    pub(crate) fn args<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(self, args: I) -> Self {
        args.into_iter().fold(self, Self::arg)
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.env.insert(name.to_owned(), value.as_ref().to_string_lossy().into_owned());
        self
    }

    pub(crate) fn dir(mut self, dir: &Path) -> Self {
        self.dir = Some(dir.to_owned());
        self
    }

    /// Without what the cargo around xtask put into the environment.
    pub(crate) fn clean(mut self) -> Self {
        self.clean = true;
        self
    }

    /// The command, not started; says nothing.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.args);
        if self.clean {
            for name in INHERITED {
                command.env_remove(name);
            }
        }
        command.envs(&self.env);
        if let Some(dir) = &self.dir {
            command.current_dir(dir);
        }
        command
    }

    /// Print the command, run it, and fail with its name when it fails.
    pub(crate) fn run(&self) -> Result<()> {
        eprintln!("$ {self}");
        let status = self.command().status().with_context(|| format!("cannot start `{}`", self.program))?;
        if !status.success() {
            bail!("`{self}`: {status}");
        }
        Ok(())
    }

    /// What a command prints, without showing the command; an error when it fails.
    pub(crate) fn output(&self) -> Result<String> {
        let output = self.command().output().with_context(|| format!("cannot start `{}`", self.program))?;
        if !output.status.success() {
            let stderr = String::from_utf8_lossy(&output.stderr);
            bail!("`{self}`: {}: {}", output.status, stderr.trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

impl Display for Step {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Some(dir) = &self.dir {
            write!(f, "cd {} && ", quoted(&dir.to_string_lossy()))?;
        }
        for (name, value) in &self.env {
            write!(f, "{name}={} ", quoted(value))?;
        }
        write!(f, "{}", quoted(&self.program))?;
        self.args.iter().try_for_each(|arg| write!(f, " {}", quoted(arg)))
    }
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_prints_as_a_shell_line() {
        let step = Step::new("cargo").env("LLVM_PREFIX", "/usr/lib/llvm-22").args(["install", "bpf-linker"]);
        assert_eq!(step.to_string(), "LLVM_PREFIX=/usr/lib/llvm-22 cargo install bpf-linker");
    }

    #[test]
    fn words_that_a_shell_would_split_are_quoted() {
        let step = Step::new("echo").arg("two words").arg("it's").arg("");
        assert_eq!(step.to_string(), r"echo 'two words' 'it'\''s' ''");
    }
}
