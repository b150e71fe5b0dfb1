//! How UDP sockets are read: with io_uring where it is allowed, and without it where it isn't.

use tracker_testkit::daemon::Home;
use tracker_testkit::script;
use tracker_testkit::skip::{PYTHON, Requirement, must_skip};

use crate::{HASH, client, home, on_loopback, running};

/// Runs a program that may do everything but make an io_uring, as under Docker's default seccomp profile.
const CONFINED: &str = r#"
import ctypes, os, struct, sys
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
ALLOW, REFUSE, IO_URING_SETUP = 0x7FFF0000, 0x00050001, 425
filters = [
    (0x20, 0, 0, 0),               # the system call's number
    (0x15, 0, 1, IO_URING_SETUP),
    (0x06, 0, 0, REFUSE),          # EPERM
    (0x06, 0, 0, ALLOW),
]
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *f) for f in filters))
class Program(ctypes.Structure):
    _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_void_p)]
program = Program(len(filters), ctypes.addressof(code))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
assert libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0) == 0
"#;

#[test]
fn io_uring_that_is_not_allowed_is_said_and_done_without() {
    let scripts = tempfile::tempdir().expect("a directory");
    let confined = scripts.path().join("confined");
    let tracker = env!("CARGO_BIN_EXE_tracker-user");
    let text = format!("#!{PYTHON}\n{CONFINED}os.execv({tracker:?}, [{tracker:?}] + sys.argv[1:])\n");
    script::write(&confined, &text);
    let home = Home::new(confined);
    home.configure(&on_loopback("off", "").with_backend("io_uring"));
    let daemon = home.start(None);
    assert_eq!(client(&daemon).refusal(HASH), None);
    let log = daemon.log();
    assert!(log.contains("udp.backend = \"io_uring\": it isn't permitted here"), "{log}");
    assert!(log.contains("seccomp") && log.contains("recvmmsg"), "{log}");
    assert_eq!(log.matches("io_uring_disabled").count(), 1, "it is said once: {log}");
    daemon.stop_well();
}

#[test]
fn io_uring_answers_and_ends_well() {
    if must_skip(&[Requirement::IoUring]) {
        return;
    }
    let (_home, daemon) = running(&on_loopback("off", "").with_backend("io_uring"));
    for _ in 0..100 {
        assert_eq!(client(&daemon).refusal(HASH), None);
    }
    assert_eq!(daemon.log().matches("io_uring").count(), 0, "{}", daemon.log());
    daemon.stop_well();
}

#[test]
fn unknown_backend_is_refused_with_those_there_are() {
    let home = home();
    home.configure(&on_loopback("off", "").with_backend("epoll"));
    let said = home.try_start(None).unwrap_err();
    assert!(said.contains("epoll") && said.contains("mmsg") && said.contains("io_uring"), "{said}");
}
