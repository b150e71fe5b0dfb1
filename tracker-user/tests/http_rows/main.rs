//! Every row of docs/protocol.md's HTTP table against a running tracker.
//!
//! The rows are data in `tracker_testkit::http::rows`; they are played plain and in TLS, in HTTP/1.0 and 1.1, one request after the
//! other and pipelined. `splits` cuts some requests at every byte; `in_kernel` has peers whose announces the kernel answers, and
//! `mutations` requests that nobody would send.

#[cfg(feature = "xdp")]
mod in_kernel;
mod mutations;
mod splits;

use tracker_testkit::http::case::{Host, Setup};
use tracker_testkit::http::query::{self, Announce, Version};
use tracker_testkit::http::{Manner, Place, Running, check_all, rows};
use tracker_testkit::rows::Family;
use tracker_testkit::skip::{Requirement, must_skip};

const BINARY: &str = env!("CARGO_BIN_EXE_tracker-user");

/// One test for each manner, with both families where namespaces can be made, with IPv4 elsewhere.
macro_rules! manners {
    ($($name:ident: $number:literal;)+) => {
        $(
            #[test]
            fn $name() {
                if must_skip(&[Requirement::Root]) {
                    return;
                }
                check_all(&rows::all(), BINARY, Place::Namespace, Manner::ALL[$number]);
            }
        )+
    };
}

manners! {
    rows_hold_for_http_1_1: 0;
    rows_hold_for_http_1_0: 1;
    rows_hold_when_requests_are_pipelined: 2;
    rows_hold_for_http_1_1_in_tls: 3;
    rows_hold_for_http_1_0_in_tls: 4;
    rows_hold_when_requests_are_pipelined_in_tls: 5;
}

#[test]
fn ipv4_rows_hold_without_any_privilege() {
    check_all(&rows::all(), BINARY, Place::Loopback, Manner::ALL[0]);
}

#[test]
fn a_blocked_client_of_a_trusted_proxy_gets_403() {
    let proxy = Host { family: Family::V4, number: 0xf100 };
    let blocked = Host { family: Family::V4, number: 0xf307 };
    let setup = Setup {
        base: tracker_testkit::rows::Setup { blocked: vec![(Family::V4, 0xf300, 8)], ..Default::default() },
        trusted_hosts: vec![(Family::V4, proxy.number, 8)],
        ..Setup::default()
    };
    let tracker = Running::start(BINARY, Place::Loopback, &setup);
    let mut connection = tracker.dial(proxy, false, None).open().unwrap();
    for (client, status) in [(tracker.address(blocked).to_string(), 403), ("192.0.2.1".to_owned(), 200)] {
        let header = ("X-Forwarded-For", client.as_bytes());
        let request = query::get(Announce::default().target().as_bytes(), &[header], Version::Http11);
        assert_eq!(connection.ask(&request).unwrap().status, status, "{client}");
    }
    tracker.daemon.stop_well();
}
