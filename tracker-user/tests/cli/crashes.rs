//! Command lines and trackers that are killed while they write lists, and many command lines at once: what was acknowledged is there, and no file
//! is ever torn.

use std::fs;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use tracker_core::access_list::{AccessList, Mode, format_info_hash};
use tracker_testkit::daemon::{ACCESS_LIST, Home};

use crate::{home, on_loopback, running};

/// Kills in all.
const KILLS: u64 = 200;

/// Of so many kills one is a tracker's, which has to be started again.
const TRACKER_EACH: u64 = 8;

/// So many kills at the end meet command lines that change the files themselves.
const WITHOUT_TRACKER: u64 = 50;

fn hash(number: u64) -> String {
    format!("{number:040x}")
}

/// The list that the file has; every line of it is whole.
#[track_caller]
fn list(home: &Home) -> AccessList {
    AccessList::parse(Mode::Deny, &home.read(ACCESS_LIST)).expect("the file is never torn")
}

/// Waits for different moments of a command line's short life, without giving the processor away for longer.
fn spin(duration: Duration) {
    let end = Instant::now() + duration;
    while Instant::now() < end {
        thread::yield_now();
    }
}

#[test]
fn what_was_acknowledged_survives_200_kills_and_no_file_is_torn() {
    // Long enough for a write to take a while.
    let first: String = (0..5_000).map(|number| hash(1 << 40 | number) + "\n").collect();
    let (home, daemon) = running(&on_loopback("deny", &first));
    let begin = Instant::now();
    home.told(&["map", "access", "add", &hash(0)]);
    let usual = begin.elapsed();
    let mut acknowledged = vec![hash(0)];
    let mut daemon = Some(daemon);
    for kill in 1..=KILLS {
        if kill == KILLS - WITHOUT_TRACKER {
            daemon.take().expect("it runs").stop_well();
        }
        let mut command = home.command(None, &["map", "access", "add", &hash(kill)]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().expect("the binary exists");
        spin(usual * (kill * 7 % 23) as u32 / 20);
        if daemon.is_some() && kill % TRACKER_EACH == 0 {
            // Killed by being dropped.
            drop(daemon.take());
            if child.wait().expect("it is our child").success() {
                acknowledged.push(hash(kill));
            }
            list(&home);
            daemon = Some(home.start(None));
        } else {
            // It may have ended by itself.
            let _ended = child.kill();
            if child.wait().expect("it is our child").success() {
                acknowledged.push(hash(kill));
            }
            list(&home);
        }
    }
    // A change that a killed command line had sent is made or not; either way the next one comes behind it.
    drop(daemon.take());
    let daemon = home.start(None);
    home.told(&["map", "access", "add", &hash(KILLS + 1)]);
    let told = home.told(&["map", "access", "list"]);
    let file = list(&home);
    assert_eq!(told, file.to_text(), "the tracker and the file agree");
    for hash in &acknowledged {
        assert!(told.contains(hash), "{hash} was acknowledged");
    }
    assert!(file.len() >= 5_000 + acknowledged.len());
    let unfinished: Vec<_> = fs::read_dir(home.path(""))
        .expect("the directory is ours")
        .map(|entry| entry.expect("it is readable").file_name().to_string_lossy().into_owned())
        .filter(|name| name.contains(".tracker-"))
        .collect();
    assert!(unfinished.is_empty(), "{unfinished:?}");
    // Neither all nor none: kills came at different moments.
    println!("{} of {KILLS} were acknowledged", acknowledged.len() - 1);
    daemon.stop_well();
}

/// Adds from eight command lines at a time; all of them have to be there in the end.
#[track_caller]
fn add_from_many(home: &Home) {
    const AT_ONCE: u8 = 8;
    const EACH: u8 = 10;
    thread::scope(|scope| {
        for one in 0..AT_ONCE {
            scope.spawn(move || {
                for number in 0..EACH {
                    let hash = format_info_hash(&[one * EACH + number; 20]);
                    home.told(&["map", "access", "add", &hash]);
                }
            });
        }
    });
    let list = list(home);
    assert_eq!(list.len(), usize::from(AT_ONCE * EACH));
}

#[test]
fn many_command_lines_at_once_lose_nothing() {
    let (home, _daemon) = running(&on_loopback("deny", ""));
    add_from_many(&home);
    assert_eq!(home.told(&["map", "access", "list"]), list(&home).to_text());
}

#[test]
fn many_command_lines_at_once_lose_nothing_without_a_tracker() {
    let home = home();
    home.configure(&on_loopback("deny", ""));
    add_from_many(&home);
}

#[test]
fn a_tracker_that_starts_among_many_command_lines_knows_what_they_changed() {
    let home = home();
    home.configure(&on_loopback("deny", ""));
    let daemon = thread::scope(|scope| {
        let adding = scope.spawn(|| add_from_many(&home));
        let daemon = home.start(None);
        adding.join().expect("they succeed");
        daemon
    });
    assert_eq!(home.told(&["map", "access", "list"]), list(&home).to_text());
    daemon.stop_well();
}
