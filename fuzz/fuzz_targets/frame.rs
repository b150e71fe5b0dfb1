//! Frames: the XDP program's journey never panics, leaves what it passes or drops as it was, and answers with as many bytes as came at most.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tracker_common::connection_id::{Address, Keys};
use tracker_common::frame::BufferFrame;
use tracker_common::journey::{Host, travel};
use tracker_common::verdict::Class;

/// Serves everything, and decides by a few bits of the input.
struct Anything {
    bits: u8,
    keys: Keys,
}

impl Host for Anything {
    fn serves(&self, _: &Address, _: u16) -> bool {
        true
    }

    fn blocks(&self, _: &Address) -> bool {
        self.bits & 1 != 0
    }

    fn allows(&self, _: &[u8; 20]) -> bool {
        self.bits & 2 != 0
    }

    fn keys(&self) -> Option<&Keys> {
        (self.bits & 4 == 0).then_some(&self.keys)
    }

    fn now_ns(&self) -> u64 {
        0
    }

    fn may_send_error(&mut self, _: u64, _: u64) -> bool {
        self.bits & 8 == 0
    }
}

fuzz_target!(|input: (u8, &[u8])| {
    let (bits, frame) = input;
    let mut buffer = frame.to_vec();
    let mut traveller = BufferFrame::new(&mut buffer, frame.len(), bits & 16 != 0);
    let verdict = travel(&mut traveller, &mut Anything { bits, keys: Keys::from_bytes(&[7; Keys::BYTES]) });
    if verdict.class() == Class::Answer {
        assert!(traveller.as_slice().len() <= frame.len());
    } else {
        assert_eq!(traveller.as_slice(), frame);
    }
});
