//! Every row of docs/protocol.md's UDP table against every path by which a request can reach the tracker.
//!
//! The rows are data in `tracker_testkit::rows`; here are the paths: the handler in memory, the daemon's sockets on
//! the loopback interface, the XDP program run packet by packet, the daemon with native XDP across a cable, and
//! the daemon with generic XDP on `lo`; the program once answering everything, and once connects alone. Where XDP is
//! attached, the counters have to show that the kernel answered what it can.

mod daemon;
#[cfg(feature = "xdp")]
#[path = "../loaded/mod.rs"]
mod loaded;
mod memory;
#[cfg(feature = "xdp")]
mod program;

use tracker_testkit::rows;
use tracker_testkit::run::check_all;
use tracker_testkit::skip::{Requirement, must_skip};

#[test]
fn rows_hold_for_the_handler_in_memory() {
    let cases = rows::all();
    let played = check_all(&cases, memory::Memory::new);
    assert!(
        cases
            .iter()
            .all(|case| case.needs().iter().all(|need| memory::offers(*need)) || is_about_frames(case))
    );
    println!("{played} cases");
}

/// A path without frames has nothing to say about their shape.
fn is_about_frames(case: &rows::Case) -> bool {
    case.row == "U21"
}

#[test]
fn rows_hold_over_loopback_sockets() {
    if must_skip(&[Requirement::Root]) {
        return;
    }
    check_all(&rows::all(), daemon::on_loopback);
}

#[test]
fn rows_hold_over_loopback_sockets_with_io_uring() {
    if must_skip(&[Requirement::Root, Requirement::IoUring]) {
        return;
    }
    check_all(&rows::all(), daemon::on_loopback_with_io_uring);
}

#[test]
fn ipv4_rows_hold_over_loopback_sockets_without_any_privilege() {
    check_all(&rows::all(), daemon::on_loopback_unprivileged);
}

#[cfg(feature = "xdp")]
#[test]
fn rows_hold_for_the_program_run_packet_by_packet() {
    if must_skip(&[Requirement::Bpf]) {
        return;
    }
    check_all(&rows::all(), program::Program::answering_all);
}

#[cfg(feature = "xdp")]
#[test]
fn rows_hold_for_the_program_answering_connects_alone() {
    if must_skip(&[Requirement::Bpf]) {
        return;
    }
    check_all(&rows::all(), program::Program::answering_connects);
}

#[cfg(feature = "xdp")]
#[test]
fn rows_hold_with_native_xdp_across_a_cable() {
    if must_skip(&[Requirement::Root, Requirement::Bpf]) {
        return;
    }
    check_all(&rows::all(), |setup| daemon::across_a_cable(setup, "all"));
}

#[cfg(feature = "xdp")]
#[test]
fn rows_hold_with_native_xdp_answering_connects_alone() {
    if must_skip(&[Requirement::Root, Requirement::Bpf]) {
        return;
    }
    check_all(&rows::all(), |setup| daemon::across_a_cable(setup, "connect"));
}

#[cfg(feature = "xdp")]
#[test]
fn rows_hold_with_generic_xdp_on_loopback() {
    if must_skip(&[Requirement::Root, Requirement::Bpf]) {
        return;
    }
    check_all(&rows::all(), daemon::on_loopback_with_generic_xdp);
}
