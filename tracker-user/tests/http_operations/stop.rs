//! A stop: what is being answered is answered, and nothing is cut off.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use tracker_testkit::http::case::Setup;
use tracker_testkit::http::query::{self, Version};
use tracker_testkit::http::{Place, Running};

use crate::{BINARY, announce, host};

#[test]
fn a_stop_cuts_no_answer_off_and_waits_for_no_idle_connection() {
    let setup = Setup { keys: vec![("workers", "2")], ..Setup::default() };
    let tracker = Running::start(BINARY, Place::Loopback, &setup);
    let request = announce([0xdd; 20]);
    let answered = AtomicU64::new(0);
    let mut idle = tracker.dial(host(2), false, None).open().unwrap();
    assert_eq!(idle.ask(&query::get(b"/health", &[], Version::Http11)).unwrap().status, 200);
    let dials = [false, true].map(|tls| tracker.dial(host(1), tls, None));
    thread::scope(|scope| {
        for dial in &dials {
            let (request, answered) = (&request, &answered);
            scope.spawn(move || {
                let mut connection = dial.open().unwrap();
                loop {
                    if connection.send(request).is_err() {
                        return;
                    }
                    match connection.read_response(false) {
                        Ok(response) => {
                            assert_eq!(response.status, 200);
                            answered.fetch_add(1, Ordering::Relaxed);
                        }
                        // Nothing at all is as good as an answer; half of one isn't.
                        Err(why) => {
                            assert!(!why.contains("HTTP/1.1") && !why.contains("body"), "{why}");
                            return;
                        }
                    }
                }
            });
        }
        while answered.load(Ordering::Relaxed) < 100 {
            thread::yield_now();
        }
        tracker.daemon.stop_well();
    });
    idle.read_end().unwrap();
}
