//! File descriptors: raised at start, and what happens when there are too few.

use std::fs;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use tracker_testkit::http::case::Setup;
use tracker_testkit::http::connection::{Connection, Dial};
use tracker_testkit::http::query::{self, Version};
use tracker_testkit::http::{Place, Running};

use crate::{BINARY, host, wrapped};

/// Lines of a shell that make the tracker one that can't raise its limit beyond what it is.
fn limited_to(soft: u32, hard: u32) -> String {
    format!(
        "ulimit -Sn {soft} && ulimit -Hn {hard} || exit 1\n\
         if [ \"$(id -u)\" = 0 ]; then exec setpriv --bounding-set=-sys_resource {BINARY} \"$@\"; fi\n\
         exec {BINARY} \"$@\""
    )
}

#[test]
fn the_soft_limit_rises_to_the_hard_one_and_the_log_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let setup = Setup { keys: vec![("max_connections", "1000")], ..Setup::default() };
    let tracker = Running::start(wrapped(&directory, &limited_to(256, 4096)), Place::Loopback, &setup);
    let limits = fs::read_to_string(format!("/proc/{}/limits", tracker.daemon.id())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let soft: u64 = line.split_whitespace().nth(3).and_then(|number| number.parse().ok()).unwrap();
    assert!((1000..=4096).contains(&soft), "{line}");
    assert!(tracker.daemon.log().contains("descriptors"), "{}", tracker.daemon.log());
    tracker.daemon.stop_well();
}

#[test]
fn without_descriptors_the_tracker_waits_and_recovers() {
    let directory = tempfile::tempdir().unwrap();
    let setup = Setup { keys: vec![("max_connections_per_address", "0")], ..Setup::default() };
    let tracker = Running::start(wrapped(&directory, &limited_to(80, 80)), Place::Loopback, &setup);
    assert!(tracker.daemon.log().contains("80"), "the log says how few there are: {}", tracker.daemon.log());
    let dial = tracker.dial(host(1), false, None);
    let health = query::get(b"/health", &[], Version::Http11);
    let answered =
        |connection: &mut Connection| connection.ask(&health).is_ok_and(|found| found.status == 200);
    // Twice as many connections as descriptors, each with half a request, so that the tracker has to accept them.
    let connections: Vec<_> = (0..160)
        .map(|_| {
            let mut connection = dial.open().expect("the kernel takes it");
            connection.send(b"GET /hea").expect("a few bytes");
            connection
        })
        .collect();
    // Its next client finds no descriptor: `accept` on the control socket takes one before it waits.
    let control = UnixStream::connect(tracker.home.path("control.sock")).expect("the tracker has it");
    let spent = cpu_share_while_nothing_happens(&tracker);
    assert!(spent < 0.5, "it works {spent} of the time though there is nothing to do");
    drop((connections, control));
    recover(&tracker, &dial, answered);
    tracker.daemon.stop_well();
}

fn recover(tracker: &Running, dial: &Dial, answered: impl Fn(&mut Connection) -> bool) {
    tracker.daemon.eventually("requests are answered again", || {
        dial.open().is_ok_and(|mut connection| answered(&mut connection)).then_some(())
    });
    let stats = tracker.home.stats();
    let count = |name: &str| stats["http"][name].as_u64().unwrap_or_default();
    assert!(count("accept_errors") + count("connections_refused") > 0, "{stats}");
}

/// How much of a second and a half the tracker has worked, on one processor. A share, not a time: a busy machine makes it smaller.
fn cpu_share_while_nothing_happens(tracker: &Running) -> f64 {
    let ticks = || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", tracker.daemon.id())).expect("it runs");
        let fields = stat.rsplit_once(')').expect("a name in brackets").1.split_whitespace();
        // utime and stime are fields 14 and 15.
        fields.skip(11).take(2).map(|field| field.parse::<u64>().expect("a number")).sum::<u64>()
    };
    let (before, begin) = (ticks(), Instant::now());
    while begin.elapsed() < Duration::from_millis(1500) {
        std::thread::park_timeout(Duration::from_millis(100));
    }
    // Linux counts 100 a second for user space.
    (ticks() - before) as f64 / 100.0 / begin.elapsed().as_secs_f64()
}
