//! Command lines and trackers that are killed while they write lists and limits, and many command lines at once: what was acknowledged is there, no
//! file is ever torn, and the tracker, its files and the kernel agree.

use std::fs;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use tracker_core::access_list::{AccessList, Mode, format_info_hash};
use tracker_core::block_list::BlockList;
use tracker_testkit::daemon::{ACCESS_LIST, BLOCK_LIST, Configuration, Daemon, Home};

use crate::{home, on_loopback, running};

/// Of so many kills one is a tracker's, which has to be started again. No multiple of the number of verbs, so that each meets all.
const TRACKER_EACH: u64 = 8;

fn hash(number: u64) -> String {
    format!("{number:040x}")
}

/// An IPv4 and an IPv6 network that no test comes from.
fn networks(number: u64) -> [String; 2] {
    [format!("172.{}.{}.0/24", 16 + number / 250, number % 250), format!("2001:db8:{number:x}::/48")]
}

/// Higher than what any test sends.
fn limit(number: u64) -> u64 {
    10_000 + number
}

/// The list that the file has; every line of it is whole.
#[track_caller]
fn list(home: &Home) -> AccessList {
    AccessList::parse(Mode::Deny, &home.read(ACCESS_LIST)).expect("the file is never torn")
}

#[track_caller]
fn block_list(home: &Home) -> BlockList {
    BlockList::parse(&home.read(BLOCK_LIST)).expect("the file is never torn")
}

/// The limit of announces that is kept, and will count at the next start.
#[track_caller]
fn kept_limit(home: &Home) -> u64 {
    let kept: serde_json::Value =
        serde_json::from_str(&home.read("state/limits")).expect("the file is never torn");
    kept["override"]["announces"].as_u64().unwrap_or_else(|| panic!("no limit of announces in {kept}"))
}

/// Waits for different moments of a command line's short life, without giving the processor away for longer.
fn spin(duration: Duration) {
    let end = Instant::now() + duration;
    while Instant::now() < end {
        thread::yield_now();
    }
}

/// What command lines have asked for, and what has become of it.
#[derive(Default)]
struct Ledger {
    acknowledged: u64,
    hashes: Vec<String>,
    networks: Vec<String>,
    /// Those that may be in force: the acknowledged one is the first, and then come what was sent later by command lines that were killed.
    limits: Vec<u64>,
    /// What was sent in vain before it: that may be carried out late.
    late: Vec<u64>,
}

impl Ledger {
    /// The words of a change; the verbs take turns, but for limits where only lists can be changed.
    fn change(number: u64, lists_alone: bool) -> Vec<String> {
        let mut words = vec!["map".to_owned()];
        let mut say = |more: &[&str]| words.extend(more.iter().map(ToString::to_string));
        match number % 3 {
            0 => say(&["access", "add", &hash(number)]),
            1 if !lists_alone => say(&["limit", "announces", &limit(number).to_string()]),
            _ => {
                let [v4, v6] = networks(number);
                say(&["block", "add", &v4, &v6]);
            }
        }
        words
    }

    fn book(&mut self, words: &[String], acknowledged: bool) {
        self.acknowledged += u64::from(acknowledged);
        match words[1].as_str() {
            "access" if acknowledged => self.hashes.extend_from_slice(&words[3..]),
            "block" if acknowledged => self.networks.extend_from_slice(&words[3..]),
            "limit" => {
                let limit = words[3].parse().expect("it was a number");
                if acknowledged {
                    self.late = self.limits.split_off(1.min(self.limits.len()));
                    self.limits.clear();
                }
                self.limits.push(limit);
            }
            _ => {}
        }
    }

    /// What was acknowledged is there, and a running tracker says what its files say.
    #[track_caller]
    fn holds(&self, home: &Home) {
        let told = home.told(&["map", "access", "list"]);
        assert_eq!(told, list(home).to_text(), "the tracker and the file agree");
        for hash in &self.hashes {
            assert!(told.contains(hash), "{hash} was acknowledged");
        }
        let told = home.told(&["map", "block", "list"]);
        let file: String = block_list(home).networks().iter().map(|network| format!("{network}\n")).collect();
        assert_eq!(told, file, "the tracker and the file agree");
        for network in &self.networks {
            assert!(told.lines().any(|line| line == network), "{network} was acknowledged");
        }
        let kept = kept_limit(home);
        let told = home.told(&["map", "limit"]);
        assert!(told.ends_with(&format!("\nannounces {kept}\n")), "{kept} is kept: {told}");
        assert!(
            self.limits.contains(&kept) || self.late.contains(&kept),
            "{kept} is none of {:?}, {:?}",
            self.limits,
            self.late
        );
    }
}

/// Long enough for a write to take a while.
fn configuration() -> Configuration {
    let hashes: String = (0..5_000).map(|number| hash(1 << 40 | number) + "\n").collect();
    let blocked: String = (0..2_500)
        .map(|number| {
            format!("# {number}\n10.{}.{}.0/24\n2001:db9:{number:x}::/48\n", number / 250, number % 250)
        })
        .collect();
    Configuration { block_list: blocked, ..on_loopback("deny", &hashes) }
}

/// Kills command lines, and some trackers, while they change something; the last kills meet command lines that find no tracker and change the
/// files themselves. `check` looks at a tracker that was started again.
fn kill_again_and_again(
    home: &Home,
    kills: u64,
    without_tracker: u64,
    start: impl Fn() -> Daemon,
    check: impl Fn(&Ledger),
) {
    let mut ledger = Ledger::default();
    let mut daemon = Some(start());
    let mut usual = Duration::ZERO;
    for number in 0..3 {
        let words = Ledger::change(number, false);
        let begin = Instant::now();
        home.told(&words.iter().map(String::as_str).collect::<Vec<_>>());
        usual = usual.max(begin.elapsed());
        ledger.book(&words, true);
    }
    ledger.acknowledged = 0;
    for kill in 3..3 + kills {
        if kill == 3 + kills - without_tracker {
            daemon.take().expect("it runs").stop_well();
        }
        let words = Ledger::change(kill, daemon.is_none());
        let mut command = home.command(None, &words.iter().map(String::as_str).collect::<Vec<_>>());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().expect("the binary exists");
        spin(usual * (kill * 7 % 23) as u32 / 20);
        let trackers = daemon.is_some() && kill % TRACKER_EACH == 0;
        if trackers {
            // Killed by being dropped.
            drop(daemon.take());
        } else {
            // It may have ended by itself.
            let _ended = child.kill();
        }
        ledger.book(&words, child.wait().expect("it is our child").success());
        list(home);
        block_list(home);
        kept_limit(home);
        if trackers {
            daemon = Some(start());
            ledger.holds(home);
            check(&ledger);
        }
    }
    // A change that a killed command line had sent is made or not; either way the next one comes behind it.
    drop(daemon.take());
    let daemon = start();
    home.told(&["map", "access", "add", &hash(3 + kills)]);
    ledger.holds(home);
    check(&ledger);
    for directory in ["", "state"] {
        let unfinished: Vec<_> = fs::read_dir(home.path(directory))
            .expect("the directory is ours")
            .map(|entry| entry.expect("it is readable").file_name().to_string_lossy().into_owned())
            .filter(|name| name.contains(".tracker-"))
            .collect();
        assert!(unfinished.is_empty(), "{unfinished:?}");
    }
    // Neither all nor none: kills came at different moments.
    println!("{} of {kills} were acknowledged", ledger.acknowledged);
    daemon.stop_well();
}

#[test]
fn what_was_acknowledged_survives_200_kills_and_no_file_is_torn() {
    let home = home();
    home.configure(&configuration());
    kill_again_and_again(&home, 200, 50, || home.start(None), |_| ());
}

#[cfg(feature = "xdp")]
#[test]
fn a_killed_tracker_s_lists_and_limits_are_in_the_kernel_again() {
    use tracker_testkit::skip::{Requirement, must_skip};

    use crate::pinned::Pinned;
    use crate::wired::Wired;

    if must_skip(&[Requirement::Root, Requirement::Bpf]) {
        return;
    }
    let wired = Wired::with(configuration());
    let check = |ledger: &Ledger| {
        let pinned = Pinned::of(&wired);
        let (access, block) = (list(&wired.home), block_list(&wired.home));
        assert_eq!(pinned.access_list(), access.sorted(), "the kernel and the file agree");
        assert_eq!(pinned.block_list().networks(), block.networks(), "the kernel and the file agree");
        let settings = pinned.settings();
        assert_eq!(u64::from(settings.limits.announces), kept_limit(&wired.home));
        assert_eq!((settings.block4, settings.block6), (1, 1), "{} were acknowledged", ledger.acknowledged);
    };
    // Three of them are a tracker's, one for each verb.
    kill_again_and_again(&wired.home, 24, 0, || wired.start(), check);
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
