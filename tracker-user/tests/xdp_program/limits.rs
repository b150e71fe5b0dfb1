//! Rate limits of sources in the loaded program.

use std::net::{IpAddr, SocketAddr};

use tracker_common::settings::Settings;
use tracker_common::sketch::SourceLimits;
use tracker_common::verdict::Verdict;
use tracker_testkit::packet::datagram;
use tracker_testkit::skip::{Requirement, must_skip};

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

#[test]
fn a_source_that_floods_is_cut_and_a_hundred_thousand_others_are_not() {
    if must_skip(&[Requirement::Bpf]) {
        return;
    }
    const LIMIT: u32 = 100;
    let mut program = limited(SourceLimits { connects: LIMIT, ..SourceLimits::default() });
    let flooding = connect(client_v4(), tracker_v4()).build();
    let mut cut = 0;
    for number in 0..100_000_u32 {
        let [_, a, b, c] = number.to_be_bytes();
        let other = SocketAddr::new(IpAddr::from([9, a, b, c]), 5000);
        let outcome = program.run(&connect(other, tracker_v4()).build(), LOOPBACK);
        assert_eq!(outcome.verdict, Verdict::Connect, "{other}");
        if number % 10 == 0 {
            cut += u32::from(program.run(&flooding, LOOPBACK).verdict == Verdict::DropLimitConnect);
        }
    }
    // Nothing is said of how many windows that took: a slow machine needs many.
    assert!(cut > 0, "the flood was never cut");
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
