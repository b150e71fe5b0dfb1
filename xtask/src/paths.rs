//! Where things are in the repository; every task asks here.

use std::path::{Path, PathBuf};

/// The root of the workspace: the parent of xtask's own manifest, as cargo knew it when it built this binary.
pub(crate) fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in a directory of the workspace")
}

/// `target` of the workspace. The BPF object and the figures stay here whatever CARGO_TARGET_DIR says, because
/// other programs (tracker-user's build script, the documentation) look for them by this name.
pub(crate) fn target() -> PathBuf {
    workspace().join("target")
}

/// The XDP program, as `build-ebpf` leaves it.
pub(crate) fn bpf_object() -> PathBuf {
    target().join("bpf").join("tracker-ebpf")
}

/// The laboratory's programs, as `build-ebpf --lab` leaves them.
pub(crate) fn lab_object() -> PathBuf {
    target().join("bpf").join("lab")
}

/// Where cargo puts what it builds for the host.
pub(crate) fn cargo_target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(target, |dir| workspace().join(dir))
}

/// `$CARGO_HOME/bin`, where `cargo install` puts programs.
pub(crate) fn cargo_bin() -> PathBuf {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from).unwrap_or_else(|| {
        PathBuf::from(std::env::var_os("HOME").unwrap_or_else(|| "/root".into())).join(".cargo")
    });
    home.join("bin")
}
