//! Which compiler builds the BPF program: rustup's nightly with its sources, else the distribution's.
//!
//! The BPF target has no precompiled `core`, so the compiler must come with the sources of `core` and take
//! `-Z build-std`. A rustup stable has no sources, and a nightly only has them with its rust-src component, so
//! the component's files are looked for rather than the toolchain's name. `setup` installs what is missing here,
//! `build-ebpf` builds with it.

use std::path::Path;

use crate::paths;
use crate::step::Step;

/// The LLVM that bpf-linker is built with: it reads the bitcode of this version and of older ones.
pub(crate) const LINKER_LLVM: u32 = 22;

/// Older bpf-linkers don't know the LLVM above.
pub(crate) const LINKER_VERSION: Version = Version(0, 13, 0);

/// `rust-version` of the workspace; also the oldest compiler that aya-ebpf 0.2.1 was tried with.
const OLDEST_RUSTC: Version = Version(1, 95, 0);

/// Three numbers in order of importance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version(pub(crate) u32, pub(crate) u32, pub(crate) u32);

impl Version {
    /// The first three numbers of "1.96.0-nightly" or "bpf-linker 0.13.0".
    pub(crate) fn find(text: &str) -> Option<Self> {
        let word = text.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
        let mut numbers = word.split(|c: char| !c.is_ascii_digit()).map(str::parse);
        let mut next = || numbers.next().and_then(Result::ok);
        Some(Self(next()?, next().unwrap_or(0), next().unwrap_or(0)))
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// A compiler that was found on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Compiler {
    /// Its release.
    pub(crate) release: Version,
    /// The major version of its LLVM.
    pub(crate) llvm: u32,
    /// Whether the sources of `core` lie where `-Z build-std` looks for them.
    pub(crate) has_sources: bool,
}

impl Compiler {
    fn can_build_bpf(&self) -> bool {
        self.has_sources && self.release >= OLDEST_RUSTC && self.llvm <= LINKER_LLVM
    }

    fn from_rustc(rustc: &Step) -> Option<Self> {
        let about = rustc.clone().arg("-vV").output().ok()?;
        let line =
            |name: &str| about.lines().find_map(|line| line.strip_prefix(name)).and_then(Version::find);
        let sysroot = rustc.clone().args(["--print", "sysroot"]).output().ok()?;
        let library = Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library");
        Some(Self {
            release: line("release: ")?,
            llvm: line("LLVM version: ")?.0,
            // `Cargo.lock` is what build-std resolves with; `core` alone is not enough.
            has_sources: library.join("core/src/lib.rs").is_file() && library.join("Cargo.lock").is_file(),
        })
    }
}

/// The compilers a toolchain can be chosen from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Compilers {
    /// `rustup run nightly rustc`.
    pub(crate) nightly: Option<Compiler>,
    /// `/usr/bin/rustc`, with `/usr/bin/cargo` beside it.
    pub(crate) system: Option<Compiler>,
}

impl Compilers {
    pub(crate) fn of_this_machine() -> Self {
        let system = Step::new("/usr/bin/rustc").clean();
        // `rustup run` may download a toolchain that is only configured; that is not ours to start.
        let nightly =
            Step::new("rustup").args(["run", "nightly", "rustc"]).env("RUSTUP_AUTO_INSTALL", "0").clean();
        Self {
            nightly: Compiler::from_rustc(&nightly),
            system: Path::new("/usr/bin/cargo").exists().then(|| Compiler::from_rustc(&system)).flatten(),
        }
    }

    pub(crate) fn choose(&self) -> Option<Toolchain> {
        let able = |compiler: &Option<Compiler>| compiler.as_ref().is_some_and(Compiler::can_build_bpf);
        match self {
            Self { nightly, .. } if able(nightly) => Some(Toolchain::Nightly),
            Self { system, .. } if able(system) => Some(Toolchain::System),
            _ => None,
        }
    }
}

/// What runs cargo for the BPF target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Toolchain {
    /// rustup's nightly.
    Nightly,
    /// The distribution's stable compiler, told to accept `-Z build-std`.
    System,
}

impl Toolchain {
    /// `cargo command`, of this toolchain.
    pub(crate) fn cargo(self, command: &str) -> Step {
        let cargo = match (self, command) {
            (Self::Nightly, _) => Step::new("rustup").args(["run", "nightly", "cargo"]),
            // rustup's proxies come first in PATH (and cargo looks into $CARGO_HOME/bin before PATH for its
            // subcommands), so the programs are named in full.
            (Self::System, "clippy") => Step::new("/usr/bin/cargo-clippy").env("CARGO", "/usr/bin/cargo"),
            (Self::System, _) => Step::new("/usr/bin/cargo"),
        };
        let cargo = match self {
            Self::Nightly => cargo,
            Self::System => cargo.env("RUSTC", "/usr/bin/rustc").env("RUSTC_BOOTSTRAP", "1"),
        };
        cargo.clean().arg(command)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nightly => "rustup's nightly",
            Self::System => "the distribution's /usr/bin/rustc",
        }
    }
}

/// The version of the bpf-linker that a build would find, if it starts at all (its LLVM library may be gone).
pub(crate) fn linker() -> Option<Version> {
    let about = with_cargo_bin(Step::new("bpf-linker").arg("--version")).output().ok()?;
    Version::find(&about)
}

/// With `$CARGO_HOME/bin` in PATH, where `cargo install` has put bpf-linker; sudo's PATH lacks it.
pub(crate) fn with_cargo_bin(step: Step) -> Step {
    let bin = paths::cargo_bin();
    let path = std::env::var("PATH").unwrap_or_default();
    match std::env::split_paths(&path).any(|dir| dir == bin) {
        true => step,
        false => step.env("PATH", format!("{path}:{}", bin.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABLE: Compiler = Compiler { release: Version(1, 96, 0), llvm: LINKER_LLVM, has_sources: true };

    fn choice(nightly: Option<Compiler>, system: Option<Compiler>) -> Option<Toolchain> {
        Compilers { nightly, system }.choose()
    }

    #[test]
    fn nightly_with_sources_comes_first() {
        assert_eq!(choice(Some(ABLE), Some(ABLE)), Some(Toolchain::Nightly));
    }

    #[test]
    fn nightly_without_sources_is_not_taken() {
        let bare = Compiler { has_sources: false, ..ABLE };
        assert_eq!(choice(Some(bare.clone()), Some(ABLE)), Some(Toolchain::System));
        assert_eq!(choice(Some(bare), None), None);
    }

    #[test]
    fn compiler_with_a_newer_llvm_than_the_linker_is_not_taken() {
        let newer = Compiler { llvm: LINKER_LLVM + 1, ..ABLE };
        assert_eq!(choice(Some(newer), Some(ABLE)), Some(Toolchain::System));
    }

    #[test]
    fn compiler_older_than_the_workspace_wants_is_not_taken() {
        let older = Compiler { release: Version(1, 85, 1), ..ABLE };
        assert_eq!(choice(None, Some(older)), None);
    }

    #[test]
    fn versions_are_found_in_what_programs_print() {
        assert_eq!(Version::find("bpf-linker 0.13.0"), Some(Version(0, 13, 0)));
        assert_eq!(Version::find("1.97.0-nightly"), Some(Version(1, 97, 0)));
        assert_eq!(Version::find("22.1"), Some(Version(22, 1, 0)));
        assert_eq!(Version::find("unknown"), None);
    }
}
