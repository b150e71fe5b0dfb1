//! W09: pings, and the ends that clients make. What takes time is for the tests of operations.

use super::{Rows, says, sends};
use crate::ws::case::Step;
use crate::ws::frames;

pub(super) fn add(rows: &mut Rows) {
    rows.once("W09", "a ping gets a pong with the same bytes", |s| {
        let all: Vec<u8> = (0..=255).collect();
        vec![
            s.opens(0),
            Step::Ping(0, Vec::new()),
            Step::Ping(0, b"x".to_vec()),
            Step::Ping(0, all[..125].to_vec()),
            Step::Ping(0, all[131..].to_vec()),
            says(0, s.leecher(0).text(), [s.announced(0, 1)]),
        ]
    });
    rows.once("W09", "a pong that nobody asked for is fine", |s| {
        vec![
            s.opens(0),
            sends(0, frames::pong(b"")),
            sends(0, frames::pong(b"nobody asked")),
            says(0, s.leecher(0).text(), [s.announced(0, 1)]),
        ]
    });
    rows.once("W09", "a close frame gets one with the same status", |s| {
        let mut steps = Vec::new();
        for status in [1000, 1001, 1003, 1011, 3000, 4000, 4999] {
            steps.push(s.opens(0));
            steps.push(says(0, s.leecher(0).text(), [s.announced(0, 1)]));
            steps.push(Step::Close(0, status));
            steps.push(s.opens(1));
            steps.push(s.has(1, 0, 0, 0));
            steps.push(Step::Close(1, 1000));
        }
        steps
    });
}
