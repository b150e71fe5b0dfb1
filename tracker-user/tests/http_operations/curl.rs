//! curl: a client that isn't ours, with as many headers as browsers send.

use std::process::Command;

use tracker_testkit::http::answer::Answer;
use tracker_testkit::http::case::Setup;
use tracker_testkit::http::query::Announce;
use tracker_testkit::http::{Place, Running};
use tracker_testkit::skip::{Requirement, must_skip};

use crate::{BINARY, host, run};

#[test]
fn curl_gets_an_answer_whatever_headers_it_sends() {
    if must_skip(&[Requirement::Program("curl")]) {
        return;
    }
    let tracker = Running::start(BINARY, Place::Loopback, &Setup::default());
    tracker.home.write("authority.pem", &tracker.authority.pem());
    for scheme in ["http", "https"] {
        for version in ["--http1.0", "--http1.1", "--http2"] {
            let body = tracker.home.path("body");
            let mut curl = Command::new("curl");
            curl.args(["-q", "-sS", "-f", "-g", "--path-as-is", version, "--cacert"]);
            curl.arg(tracker.home.path("authority.pem"));
            for n in 0..20 {
                curl.args(["-H", &format!("X-Header-{n}: a value of some length, {n}")]);
            }
            curl.args([
                "-H",
                "Accept-Encoding: gzip, deflate, br, zstd",
                "-A",
                "Mozilla/5.0 (X11; Linux x86_64)",
            ]);
            curl.args(["--interface", &tracker.address(host(1)).to_string(), "-o"]).arg(&body);
            let url =
                format!("{scheme}://{}{}", tracker.listener(scheme, false), Announce::default().target());
            // The same connection twice.
            run(curl.arg(&url).arg("-o").arg(&body).arg(&url));
            let Ok(Answer::Announce(announced)) = Answer::read(&std::fs::read(&body).unwrap()) else {
                panic!("{scheme} {version}: no announce answer")
            };
            assert_eq!(announced.external_ip, tracker.address(host(1)));
        }
    }
    tracker.daemon.stop_well();
}
