//! Finds the BPF object that the daemon carries inside itself, when it is built with the feature `xdp`.

use std::env;
use std::path::PathBuf;

fn main() {
    println!("cargo:rerun-if-env-changed=TRACKER_EBPF_OBJECT");
    if env::var_os("CARGO_FEATURE_XDP").is_none() {
        return;
    }
    let object = match env::var_os("TRACKER_EBPF_OBJECT") {
        Some(path) => PathBuf::from(path),
        None => {
            let crate_directory = env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it for build scripts");
            PathBuf::from(crate_directory).join("../target/bpf/tracker-ebpf")
        }
    };
    println!("cargo:rerun-if-changed={}", object.display());
    match object.canonicalize() {
        Ok(path) => println!("cargo:rustc-env=TRACKER_EBPF_OBJECT={}", path.display()),
        Err(error) => {
            // Not a panic: cargo would print a backtrace hint instead of the way out.
            eprintln!(
                "the BPF object {} is missing ({error}): build it with `cargo xtask build-ebpf`, \
                 or build a tracker that answers over sockets only with `--no-default-features`",
                object.display()
            );
            std::process::exit(1);
        }
    }
}
