//! The journey through the loaded program and in user space, on random and mutated frames: they must agree.

use std::cell::RefCell;
use std::collections::HashSet;
use std::net::IpAddr;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tracker_common::connection_id::{Address, Epoch, Keys};
use tracker_common::frame::BufferFrame;
use tracker_common::journey::{Host, travel};
use tracker_common::settings::{Settings, access_mode};
use tracker_common::verdict::Verdict;
use tracker_testkit::payload;
use tracker_testkit::skip::{Requirement, must_skip};
use tracker_user::udp::sys::coarse_monotonic_ns;

use crate::loaded::Outcome;
use crate::{
    LISTED, LOOPBACK, TRANSACTION, UNLISTED, announce, around, blocked, families, good_id, keys, program,
    scrape, settings, tracker_v4, tracker_v6, within_one_epoch,
};

/// BPF_PROG_TEST_RUN takes no frame shorter than an Ethernet header, and no driver delivers one.
#[test]
fn a_frame_without_a_whole_ethernet_header_passes() {
    for (client, tracker) in families() {
        let whole = around(client, tracker, payload::connect(TRANSACTION)).build();
        for cut in 0..14 {
            let outcome = in_user_space(&whole[..cut], settings());
            assert_eq!(outcome, Outcome { verdict: Verdict::PassOther, frame: whole[..cut].to_vec() });
        }
    }
}

#[test]
fn kernel_and_user_space_agree_on_every_frame() {
    if must_skip(&[Requirement::Bpf]) {
        return;
    }
    let program = RefCell::new(program());
    let seen = RefCell::new(HashSet::new());
    let random = proptest::collection::vec(any::<u8>(), 14..200);
    let cases = prop_oneof![9 => frames(), 1 => random];
    let modes = prop_oneof![Just(access_mode::OFF), Just(access_mode::DENY), Just(access_mode::ALLOW)];
    let mut runner =
        TestRunner::new(Config { cases: 20_000, failure_persistence: None, ..Config::default() });
    runner
        .run(&(cases, modes, any::<bool>()), |(frame, access_mode, errors)| {
            // The drop policy, or more errors than this test can send in a window.
            let errors_per_window = if errors { 65_535 } else { 0 };
            let settings = Settings { access_mode, errors_per_window, ..settings() };
            let mut program = program.borrow_mut();
            program.set_settings(&settings);
            let (kernel, user) =
                within_one_epoch(|_| (program.run(&frame, LOOPBACK), in_user_space(&frame, settings)));
            seen.borrow_mut().insert(kernel.verdict.name());
            prop_assert_eq!(kernel, user);
            Ok(())
        })
        .unwrap();
    // Seen are 14 to 16; what is missing takes an accident, as the second tag behind the first.
    assert!(seen.borrow().len() >= 12, "the frames are too much alike: {:?}", seen.borrow());
}

/// The maps as plain collections.
struct PlainTables {
    settings: Settings,
    endpoints: Vec<(Address, u16)>,
    keys: Keys,
    listed: HashSet<[u8; 20]>,
    now_ns: u64,
}

impl Host for PlainTables {
    fn serves(&self, address: &Address, port: u16) -> bool {
        self.endpoints.contains(&(*address, port))
    }

    fn blocks(&self, address: &Address) -> bool {
        blocked().iter().any(|(network, length)| match (*address, network) {
            (Address::V4(address), IpAddr::V4(network)) => {
                (u32::from_be_bytes(address) ^ u32::from(*network)) >> (32 - length) == 0
            }
            (Address::V6(address), IpAddr::V6(network)) => {
                (u128::from_be_bytes(address) ^ u128::from(*network)) >> (128 - length) == 0
            }
            _ => false,
        })
    }

    fn allows(&self, info_hash: &[u8; 20]) -> bool {
        match self.settings.access_mode {
            access_mode::DENY => !self.listed.contains(info_hash),
            access_mode::ALLOW => self.listed.contains(info_hash),
            _ => true,
        }
    }

    fn keys(&self) -> Option<&Keys> {
        Some(&self.keys)
    }

    fn now_ns(&self) -> u64 {
        self.now_ns
    }

    fn may_send_error(&mut self, _: u64, _: u64) -> bool {
        self.settings.errors_per_window != 0
    }
}

/// What user space decides about the frame.
fn in_user_space(frame: &[u8], settings: Settings) -> Outcome {
    let mut buffer = vec![0; 4096];
    buffer[..frame.len()].copy_from_slice(frame);
    let mut tables = PlainTables {
        settings,
        endpoints: [tracker_v4(), tracker_v6()].map(|one| (Address::from(one.ip()), one.port())).to_vec(),
        keys: keys(),
        listed: HashSet::from([LISTED]),
        now_ns: coarse_monotonic_ns(),
    };
    let mut buffer_frame = BufferFrame::new(&mut buffer, frame.len(), true);
    let verdict = travel(&mut buffer_frame, &mut tables);
    Outcome { verdict, frame: buffer_frame.as_slice().to_vec() }
}

/// Frames that get far: right ones, then changed here and there.
fn frames() -> impl Strategy<Value = Vec<u8>> {
    let request = prop_oneof![
        Just((0, true, LISTED)),
        Just((1, true, LISTED)),
        Just((1, true, UNLISTED)),
        Just((1, false, UNLISTED)),
        Just((2, true, LISTED)),
        Just((2, false, LISTED)),
    ];
    let tag = prop_oneof![3 => Just(None), 1 => Just(Some(0x8100)), 1 => Just(Some(0x88a8))];
    let tail = proptest::collection::vec(any::<u8>(), 0..80);
    let edits = proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    (request, any::<bool>(), tag, tail, edits, 0..100usize, any::<prop::sample::Index>()).prop_map(
        |((action, good, info_hash), v4, tag, tail, edits, cut, length)| {
            let (client, tracker) = families()[usize::from(v4)];
            let id = good_id(client, Epoch::at(coarse_monotonic_ns())) ^ u64::from(!good);
            let mut payload = match action {
                0 => payload::connect(TRANSACTION),
                1 => announce(id, info_hash),
                _ => scrape(id),
            };
            payload.extend(tail);
            let mut builder = around(client, tracker, payload);
            if let Some(ethertype) = tag {
                builder = builder.tag(ethertype, 5);
            }
            let mut frame = builder.build();
            for (at, value) in edits {
                let at = at.index(frame.len());
                frame[at] = value;
            }
            // One in ten is cut, never below what the kernel takes.
            if cut < 10 {
                let len = frame.len();
                frame.truncate(14 + length.index(len - 14));
            }
            frame
        },
    )
}
