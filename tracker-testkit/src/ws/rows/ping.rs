//! W09: pings, and the ends that clients make. What takes time is for the tests of operations.

use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control, OpCode};

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
    rows.once("W09", "a close frame may have a reason, or no status", |s| {
        let close = |payload: &[u8]| frames::frame(OpCode::Control(Control::Close), true, payload);
        vec![
            s.opens(0),
            sends(0, close(b"\x03\xe8because \xc3\xa9")),
            Step::Closed { at: 0, status: Some(1000), after: None },
            s.opens(0),
            sends(0, close(b"")),
            Step::Closed { at: 0, status: None, after: None },
        ]
    });
    rows.once("W09", "what comes behind a close frame is nothing", |s| {
        let announce = frames::text(s.leecher(0).text().as_bytes());
        vec![
            s.opens(0),
            s.opens(1),
            sends(0, [frames::close(1000), announce].concat()),
            Step::Closed { at: 0, status: Some(1000), after: None },
            s.has(1, 0, 0, 0),
        ]
    });
}
