//! Every row of docs/protocol.md's WebTorrent table against a running tracker.
//!
//! The rows are data in `tracker_testkit::ws::rows`; they are played plain and in TLS, in text, binary and fragmented frames, with clients of
//! both families on several workers. `chance` looks at what is random,
//! `mutations` sends what nobody would send.

mod chance;
mod mutations;

use tracker_testkit::http::Place;
use tracker_testkit::skip::{Requirement, must_skip};
use tracker_testkit::ws::frames::Framing;
use tracker_testkit::ws::{Manner, check_all, rows};

const BINARY: &str = env!("CARGO_BIN_EXE_tracker-user");

/// One test for each manner, with clients of both families.
macro_rules! manners {
    ($($name:ident: $tls:literal, $framing:ident, $workers:literal;)+) => {
        $(
            #[test]
            fn $name() {
                if must_skip(&[Requirement::Root]) {
                    return;
                }
                let manner =
                    Manner { tls: $tls, framing: Framing::$framing, workers: $workers, mixed: true };
                check_all(&rows::all(), BINARY, Place::Namespace, manner);
            }
        )+
    };
}

manners! {
    rows_hold_on_three_workers: false, Text, 3;
    rows_hold_in_tls: true, Text, 1;
    rows_hold_in_binary_frames: false, Binary, 2;
    rows_hold_in_fragments: false, Fragmented, 1;
    rows_hold_in_fragments_in_tls: true, Fragmented, 3;
    rows_hold_byte_by_byte: false, Cut, 2;
    rows_hold_byte_by_byte_in_tls: true, Cut, 1;
}

#[test]
fn ipv4_rows_hold_without_any_privilege() {
    check_all(&rows::all(), BINARY, Place::Loopback, Manner::PLAINEST);
}
