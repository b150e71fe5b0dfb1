//! W11: messages that are too long, too deep or none, and frames that are wrong.

use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use super::{Rows, Scene, says, sends};
use crate::ws::case::{Expected, Step};
use crate::ws::client::Vanishing;
use crate::ws::counters;
use crate::ws::frames::{self, frame};

const TEXT: OpCode = OpCode::Data(Data::Text);
const CONTINUATION: OpCode = OpCode::Data(Data::Continue);

/// Longest message.
const MAX: usize = 64 * 1024;

/// A new connection sends this and is closed.
fn closed(s: &Scene, send: Step, status: u16, reason: Option<&'static str>) -> [Step; 3] {
    let after = reason.map(|reason| Expected::Failure { action: "announce", reason, info_hash: None });
    [s.opens(0), send, Step::Closed { at: 0, status: Some(status), after }]
}

/// A client sends these bytes and is closed.
fn closed_by(s: &Scene, bytes: impl Into<Vec<u8>>, status: u16) -> [Step; 3] {
    closed(s, sends(0, bytes), status, None)
}

pub(super) fn add(rows: &mut Rows) {
    sizes(rows);
    depths(rows);
    texts(rows);
    wrong_frames(rows);
    rows.once("W11", "who sends such things leaves its swarms, is counted, and others go on", |s| {
        let mut steps = s.join(0..2);
        steps.extend([
            says(0, "{", []),
            Step::Closed {
                at: 0,
                status: Some(1007),
                after: Some(Expected::Failure {
                    action: "announce",
                    reason: "invalid JSON",
                    info_hash: None,
                }),
            },
            s.has(1, 0, 0, 1),
            Step::Counted(vec![
                (counters::CLOSED_BAD, 1),
                (counters::IN_INVALID, 1),
                (counters::CONNECTIONS, 2),
            ]),
        ]);
        steps
    });
}

/// An announce of exactly this length.
fn announce_of(s: &Scene, length: usize) -> String {
    let empty = s.leecher(0).and("\"filler\":\"\"").text().len();
    s.leecher(0).and(&format!("\"filler\":\"{}\"", "x".repeat(length - empty))).text()
}

fn sizes(rows: &mut Rows) {
    rows.add("W11", "a message of 64 KiB is read", |s| {
        vec![
            s.opens(0),
            says(0, announce_of(s, MAX), [s.announced(0, 1)]),
            says(0, announce_of(s, MAX), [s.announced(0, 1)]),
        ]
    });
    rows.add("W11", "a longer message is too large", |s| {
        let too_large = Some("message too large");
        [
            closed(s, says(0, announce_of(s, MAX + 1), []), 1009, too_large),
            closed(s, says(0, "x".repeat(MAX + 1), []), 1009, too_large),
        ]
        .concat()
    });
    rows.once("W11", "a length that is too large is known before the message is there", |s| {
        let header = |length: u64| [&[0x81, 0xff][..], &length.to_be_bytes(), &[1, 2, 3, 4]].concat();
        let too_large = Some("message too large");
        [
            closed(s, sends(0, header(MAX as u64 + 1)), 1009, too_large),
            closed(s, sends(0, header(1 << 40)), 1009, too_large),
        ]
        .concat()
    });
    rows.once("W11", "fragments are too large together", |s| {
        let fragments: Vec<u8> = (0..9)
            .flat_map(|n| frame(if n == 0 { TEXT } else { CONTINUATION }, false, &[b'x'; MAX / 8]))
            .collect();
        closed(s, sends(0, fragments), 1009, Some("message too large")).into()
    });
}

fn depths(rows: &mut Rows) {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    rows.add("W11", "32 levels are read", |s| {
        let x = format!("\"x\":{}", nested(31));
        let objects = format!("\"x\":{}1{}", "{\"y\":".repeat(31), "}".repeat(31));
        // Brackets in strings are none.
        let text = format!("\"x\":\"{}\\\"{}\"", "[".repeat(100), "{".repeat(100));
        vec![
            s.opens(0),
            says(0, s.leecher(0).and(&x).text(), [s.announced(0, 1)]),
            says(0, s.leecher(0).and(&objects).text(), [s.announced(0, 1)]),
            says(0, s.leecher(0).and(&text).text(), [s.announced(0, 1)]),
        ]
    });
    rows.add("W11", "more levels are too deep", |s| {
        let too_deep = Some("JSON is nested too deeply");
        let with = |keys: String| says(0, s.leecher(0).and(&keys).text(), []);
        [
            closed(s, with(format!("\"x\":{}", nested(32))), 1008, too_deep),
            closed(s, with(format!("\"x\":{}1{}", "{\"y\":".repeat(32), "}".repeat(32))), 1008, too_deep),
            closed(s, with(format!("\"offers\":{}", nested(40))), 1008, too_deep),
            closed(s, with(format!("\"x\":{}", nested(30_000))), 1008, too_deep),
            closed(s, says(0, "[".repeat(MAX), []), 1008, too_deep),
        ]
        .concat()
    });
}

fn texts(rows: &mut Rows) {
    rows.add("W11", "what is no object is invalid", |s| {
        let mut steps = Vec::new();
        for text in [
            "{",
            "}",
            "[]",
            "5",
            "null",
            "\"announce\"",
            "{}{}",
            "{},",
            "{\"action\":\"announce\",}",
            "{'action':'announce'}",
            "{\"action\"}",
            "{\"action\":\"announce\" \"x\":1}",
            "{\"action\":\"a\nb\"}",
            "{\"x\":01}",
            "{\"x\":nul}",
            "{\"x\":\"\\x\"}",
            "d8:completei0ee",
            "\u{feff}{}",
            "\0",
            " ",
        ] {
            steps.extend(closed(s, says(0, text, []), 1007, Some("invalid JSON")));
        }
        steps
    });
    rows.once("W11", "an empty message is invalid", |s| {
        [
            closed(s, sends(0, frames::text(b"")), 1007, Some("invalid JSON")),
            closed(s, sends(0, frames::binary(b"")), 1007, Some("invalid JSON")),
        ]
        .concat()
    });
    rows.add("W11", "a key that comes twice makes it invalid", |s| {
        let twice =
            |keys: &str| closed(s, says(0, s.leecher(0).and(keys).text(), []), 1007, Some("invalid JSON"));
        [twice("\"left\":0"), twice("\"action\":\"announce\""), twice("\"\\u0061ction\":\"announce\"")]
            .concat()
    });
    rows.once("W11", "text that isn't UTF-8 closes", |s| {
        let not_utf8 =
            [&b"\xff"[..], b"\xc3\x28", b"{\"action\":\"\xe9\"}", b"\xed\xa0\x80", b"{\"x\":\"\xf0\x9f\x98"];
        let closed_by = |bytes| {
            let after = Some(Expected::AnyFailure("announce"));
            [s.opens(0), sends(0, bytes), Step::Closed { at: 0, status: Some(1007), after }]
        };
        let mut steps = Vec::new();
        for text in not_utf8 {
            steps.extend(closed_by(frames::text(text)));
        }
        let fragments = [frame(TEXT, false, b"{\"x\":\"\xc3"), frame(CONTINUATION, true, b"\"}")].concat();
        steps.extend(closed_by(fragments));
        steps.extend(closed_by(frames::binary(b"{\"x\":\"\xff\"}")));
        steps
    });
}

fn wrong_frames(rows: &mut Rows) {
    rows.once("W11", "frames that are against the protocol close", |s| {
        let header = |change: fn(&mut FrameHeader)| {
            let mut header = FrameHeader { opcode: TEXT, mask: Some([1, 2, 3, 4]), ..FrameHeader::default() };
            change(&mut header);
            frames::bytes(header, b"{}")
        };
        let control = |control, is_final, payload: &[u8]| frame(OpCode::Control(control), is_final, payload);
        let wrong = [
            frames::unmasked(b"{}"),
            header(|header| header.rsv1 = true),
            header(|header| header.rsv2 = true),
            header(|header| header.rsv3 = true),
            header(|header| header.opcode = OpCode::Data(Data::Reserved(3))),
            header(|header| header.opcode = OpCode::Data(Data::Reserved(7))),
            header(|header| header.opcode = OpCode::Control(Control::Reserved(11))),
            header(|header| header.opcode = OpCode::Control(Control::Reserved(15))),
            // Control frames in pieces or too long.
            control(Control::Ping, false, b"x"),
            control(Control::Ping, true, &[b'x'; 126]),
            control(Control::Close, true, &[0x03, 0xe8].repeat(63)),
            // A fragment of nothing, and a message in the middle of another one.
            frame(CONTINUATION, true, b"{}"),
            frame(CONTINUATION, false, b"{}"),
            [frame(TEXT, false, b"{"), frame(TEXT, true, b"{}")].concat(),
            // Close frames with half a status, and with those that nobody may send.
            control(Control::Close, true, b"\x03"),
            frames::close(0),
            frames::close(999),
            frames::close(1005),
            frames::close(1006),
        ];
        wrong.into_iter().flat_map(|bytes| closed_by(s, bytes, 1002)).collect()
    });
    rows.once("W11", "half a message and the end leave nothing", |s| {
        vec![
            s.opens(0),
            s.opens(1),
            says(0, s.leecher(0).text(), [s.announced(0, 1)]),
            sends(0, frame(TEXT, false, b"{\"action\":")),
            sends(0, &frames::text(b"{}")[..3]),
            Step::Vanish(0, Vanishing::Fin),
            s.has(1, 0, 0, 0),
        ]
    });
}
