//! Rate limits of sources in the loaded program.

use std::net::{IpAddr, SocketAddr};

use tracker_common::settings::Settings;
use tracker_common::sketch::{SourceLimits, WINDOW_SHIFT};
use tracker_common::verdict::Verdict;
use tracker_testkit::packet::datagram;
use tracker_testkit::skip::{Requirement, must_skip};
use tracker_user::udp::sys::coarse_monotonic_ns;

use crate::loaded::LoadedProgram;
use crate::user_space::UserSpace;
use crate::{
    LOOPBACK, Tracker, UNLISTED, announce, client_v4, connect, families, good_id, program, scrape, settings,
    tracker_v4, within_one_epoch,
};

fn limited(limits: SourceLimits) -> LoadedProgram {
    let mut program = program();
    program.set_settings(&Settings { limits, ..settings() });
    program
}

/// The most that a limit lets through: in the two windows that a short test may touch, on each processor that it may run on.
fn at_most(limit: u64) -> u64 {
    2 * limit * std::thread::available_parallelism().unwrap().get() as u64
}

#[test]
fn each_kind_has_a_limit_and_a_verdict_of_its_own() {
    if must_skip(&[Requirement::Bpf]) {
        return;
    }
    let none = SourceLimits::default();
    for (limits, over) in [
        (SourceLimits { connects: 3, ..none }, Verdict::DropLimitConnect),
        (SourceLimits { bad_ids: 3, ..none }, Verdict::DropLimitBadId),
        (SourceLimits { announces: 3, ..none }, Verdict::DropLimitAnnounce),
    ] {
        for (client, tracker) in families() {
            within_one_epoch(|epoch| {
                let mut program = limited(limits);
                let good = good_id(client, epoch);
                for _ in 0..100 {
                    for payload in [announce(good, UNLISTED), scrape(good), announce(!good, UNLISTED)] {
                        program.run(&datagram(client, tracker, payload), LOOPBACK);
                    }
                    program.run(&connect(client, tracker).build(), LOOPBACK);
                }
                let counters = program.counters();
                let sent = if over == Verdict::DropLimitAnnounce { 200 } else { 100 };
                for verdict in
                    [Verdict::DropLimitConnect, Verdict::DropLimitBadId, Verdict::DropLimitAnnounce]
                {
                    let dropped = counters.of(verdict);
                    match verdict == over {
                        true => assert!(
                            (sent - at_most(3)..=sent - 3).contains(&dropped),
                            "{verdict:?}: {dropped}"
                        ),
                        false => assert_eq!(dropped, 0, "{verdict:?}"),
                    }
                }
            });
        }
    }
}

/// A source that floods, honest ones, and a million forged ones that are all different: more than there are cells to remember them.
#[test]
fn a_million_forged_sources_keep_no_honest_one_out_and_let_no_flood_in() {
    if must_skip(&[Requirement::Bpf]) {
        return;
    }
    // 2.5 million packets in a window of 1.07 s fill all cells (see `tracker_common::sketch`), more than a test can send.
    const LIMIT: u32 = 300;
    const FORGED: u32 = 1_000_000;
    // Of so many forged packets one is followed by the flood's and by an honest source's. Those take turns: 20 packets are each one's share.
    const EACH: u32 = 10;
    const HONEST: u32 = 5_000;
    let program = limited(SourceLimits { connects: LIMIT, ..SourceLimits::default() });
    let source = |network: u8, number: u32| {
        let [_, a, b, c] = number.to_be_bytes();
        connect(SocketAddr::new(IpAddr::from([network, a, b, c]), 5000), tracker_v4()).build()
    };
    let flood = connect(client_v4(), tracker_v4()).build();
    let window = || coarse_monotonic_ns() >> WINDOW_SHIFT;
    let first = window();
    let (mut forged_cut, mut honest_cut, mut flood_answered) = (0, 0, 0);
    for number in 0..FORGED {
        forged_cut += u32::from(!program.answers(&source(9, number), LOOPBACK));
        if number % EACH == 0 {
            flood_answered += u64::from(program.answers(&flood, LOOPBACK));
            honest_cut += u32::from(!program.answers(&source(11, number / EACH % HONEST), LOOPBACK));
        }
    }
    let windows = window() - first + 1;
    // All that share two cells with the flood: 1 of 4096² for each of a million and some; one may, three don't in a human's life.
    assert!(forged_cut + honest_cut <= 2, "{forged_cut} forged and {honest_cut} honest packets were cut");
    let sent = u64::from(FORGED / EACH);
    let most = windows * u64::from(LIMIT) * std::thread::available_parallelism().unwrap().get() as u64;
    assert!(flood_answered <= most, "{flood_answered} of {sent} got through, in {windows} windows");
    assert!(flood_answered < sent, "the flood was never cut, in {windows} windows");
    let counted = program.counters().of(Verdict::DropLimitConnect);
    assert_eq!(counted, u64::from(forged_cut + honest_cut) + sent - flood_answered);
}

#[test]
fn kernel_and_user_space_agree_with_limits_on() {
    if must_skip(&[Requirement::Bpf]) {
        return;
    }
    // Limits that are reached with the first packet or never: no window and no processor matters.
    for limit in [0, 1, 65_535] {
        let limits = SourceLimits { connects: limit, bad_ids: limit, announces: limit };
        let settings = Settings { limits, ..settings() };
        for (client, tracker) in families() {
            within_one_epoch(|epoch| {
                let good = good_id(client, epoch);
                let frames = [
                    connect(client, tracker).build(),
                    datagram(client, tracker, scrape(good)),
                    datagram(client, tracker, announce(!good, UNLISTED)),
                ];
                let mut tracker = Tracker::new();
                tracker.program.set_settings(&settings);
                let mut user_space = UserSpace::new(settings, tracker.view.lock().unwrap().clone());
                for frame in frames {
                    tracker.program.set_random(1);
                    let kernel = tracker.program.run(&frame, LOOPBACK).verdict;
                    user_space.now_ns = tracker.program.clock().expect("every request asks for it");
                    assert_eq!(user_space.run(&frame).verdict, kernel, "limit {limit}, {client}");
                }
            });
        }
    }
}
