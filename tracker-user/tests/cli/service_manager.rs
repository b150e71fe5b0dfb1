//! What a service manager is told, heard at a socket in its place.

use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use crate::{home, on_loopback};

/// The next message that has this line; others are left out.
#[track_caller]
fn wait_for(socket: &UnixDatagram, line: &str) -> String {
    let deadline = Instant::now() + Duration::from_secs(30);
    let mut heard = Vec::new();
    while Instant::now() < deadline {
        let mut bytes = [0; 4096];
        let Ok(len) = socket.recv(&mut bytes) else { continue };
        let message = String::from_utf8_lossy(&bytes[..len]).into_owned();
        if message.lines().any(|said| said == line) {
            return message;
        }
        heard.push(message);
    }
    panic!("no {line} in {heard:?}");
}

#[test]
fn readiness_reloads_life_and_the_stop_are_told() {
    let mut home = home();
    let path = home.path("notify.sock");
    let socket = UnixDatagram::bind(&path).expect("the directory is ours");
    socket.set_read_timeout(Some(Duration::from_millis(100))).expect("it is not zero");
    home.set_environment("NOTIFY_SOCKET", path.to_str().expect("text"));
    home.set_environment("WATCHDOG_USEC", "600000");
    home.configure(&on_loopback("off", ""));
    let daemon = home.start(None);
    let ready = wait_for(&socket, "READY=1");
    assert!(ready.contains("STATUS=serving 1 addresses, sockets alone"), "{ready}");
    wait_for(&socket, "WATCHDOG=1");
    daemon.signal(libc::SIGHUP);
    let reloading = wait_for(&socket, "RELOADING=1");
    let time = reloading.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC="));
    assert!(time.is_some_and(|time| time.parse::<u64>().is_ok_and(|time| time > 0)), "{reloading}");
    wait_for(&socket, "READY=1");
    wait_for(&socket, "WATCHDOG=1");
    daemon.stop_well();
    wait_for(&socket, "STOPPING=1");
}
