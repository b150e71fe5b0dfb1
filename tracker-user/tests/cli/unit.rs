//! The unit under a systemd of its own (`boot.sh`): started, reloaded, killed and stopped, with XDP and as a user that isn't root.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tracker_common::settings::LAYOUT_VERSION;
use tracker_testkit::daemon::Home;
use tracker_testkit::skip::{Requirement, must_skip};

use crate::{HASH_TEXT, home};

const SYSTEMD: &str = "/lib/systemd/systemd";

/// A cgroup of this test's own: systemd takes the one that it is started in for the whole machine's.
struct Cgroup {
    directory: PathBuf,
}

impl Cgroup {
    /// Below the test's own, in a mount of the hierarchy that is gone with `home`.
    fn new(home: &Home) -> Self {
        let mounted = home.path("cgroup");
        fs::create_dir(&mounted).expect("the directory is ours");
        let mount = Command::new("mount").args(["-t", "cgroup2", "cgroup2"]).arg(&mounted).status();
        assert!(mount.expect("mount runs").success(), "cgroup2");
        let all = fs::read_to_string("/proc/self/cgroup").expect("the kernel tells");
        let own = all.lines().find_map(|line| line.strip_prefix("0::/")).expect("every process has one");
        let directory = mounted.join(own).join(format!("tracker-unit-{}", std::process::id()));
        fs::create_dir(&directory).expect("root may make it");
        Self { directory }
    }
}

/// Removes a cgroup with all below it; files are the kernel's.
fn remove_cgroup(directory: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_cgroup(&entry.path());
        }
    }
    // Processes that were just killed may be in it for a moment.
    let deadline = Instant::now() + Duration::from_secs(5);
    while fs::remove_dir(directory).is_err() && directory.exists() && Instant::now() < deadline {
        std::thread::yield_now();
    }
}

/// A booted systemd; killed with everything in it on drop.
struct Machine {
    unshare: Child,
    /// The first process, as this process knows it.
    systemd: String,
    cgroup: Cgroup,
    home: Home,
}

impl Machine {
    #[track_caller]
    fn boot() -> Self {
        let home = home();
        let cgroup = Cgroup::new(&home);
        let packaging = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging");
        let text = |name: &str| fs::read_to_string(packaging.join(name)).expect("it is there");
        // The binary under test isn't installed.
        let unit = text("tracker.service").replace("/usr/bin/tracker-user", "/opt/tracker-user");
        home.write("tracker.service", &unit);
        home.write(
            "packaged.toml",
            &text("tracker.toml").replace("interfaces = []", "interfaces = [\"lo\"]"),
        );
        fs::create_dir(home.path("root")).expect("the directory is ours");
        let boot = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/boot.sh");
        let mut command = Command::new("sh");
        // The shell that enters the cgroup becomes unshare, whose child becomes systemd.
        command.args(["-c", "echo $$ > \"$0/cgroup.procs\" && exec unshare \"$@\""]).arg(&cgroup.directory);
        command.args([
            "--mount",
            "--pid",
            "--net",
            "--uts",
            "--ipc",
            "--cgroup",
            "--fork",
            "--kill-child=KILL",
        ]);
        command.arg("sh").arg(boot).arg(home.path("root")).arg(home.path("tracker.service"));
        command.arg(home.path("packaged.toml")).arg(env!("CARGO_BIN_EXE_tracker-user"));
        let log = File::create(home.path("boot.log")).expect("the directory is ours");
        let unshare = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
        let unshare = unshare.expect("there is a shell");
        let mut machine = Self { unshare, systemd: String::new(), cgroup, home };
        machine.eventually("systemd is up", |machine| {
            let id = machine.unshare.id();
            let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
            machine.systemd = children.trim().to_owned();
            let runs = fs::read_to_string(format!("/proc/{}/comm", machine.systemd));
            runs.is_ok_and(|name| name == "systemd\n")
                && machine.run("systemctl is-active boot.target").is_ok()
        });
        machine
    }

    /// Asks again and again, since systemd has no way to tell us.
    #[track_caller]
    fn eventually(&mut self, what: &str, mut is_so: impl FnMut(&mut Self) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !is_so(self) {
            let ended = self.unshare.try_wait().expect("it is our child");
            assert!(ended.is_none() && Instant::now() < deadline, "not in time: {what}: {}", self.says());
        }
    }

    fn command(&self, words: &str) -> Output {
        let mut command = Command::new("nsenter");
        command.args(["--all", "--target", &self.systemd, "--"]).args(words.split_whitespace());
        command.output().expect("nsenter is util-linux's, as mount is")
    }

    fn run(&self, words: &str) -> Result<String, String> {
        let Output { status, stdout, stderr } = self.command(words);
        let text = |bytes| String::from_utf8_lossy(bytes).trim().to_owned();
        if status.success() { Ok(text(&stdout)) } else { Err(format!("{words}: {}", text(&stderr))) }
    }

    #[track_caller]
    fn told(&self, words: &str) -> String {
        self.run(words).unwrap_or_else(|error| panic!("{error}: {}", self.says()))
    }

    #[track_caller]
    fn map(&self, words: &str) -> String {
        self.told(&format!("/opt/tracker-user -c /etc/tracker/tracker.toml map {words}"))
    }

    #[track_caller]
    fn property(&self, name: &str) -> String {
        self.told(&format!("systemctl show tracker --value --property {name}"))
    }

    /// For a failure: what was said at boot, and the journal.
    fn says(&self) -> String {
        let journal = self.run("journalctl --no-pager --lines 100").unwrap_or_else(|error| error);
        format!("{}\n{journal}", self.home.read("boot.log"))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // unshare's end is systemd's, whose end is everybody's in there.
        let _ended = self.unshare.kill();
        let _status = self.unshare.wait();
        remove_cgroup(&self.cgroup.directory);
        let _unmounted = Command::new("umount").arg("--lazy").arg(self.home.path("cgroup")).status();
    }
}

#[test]
fn the_unit_starts_reloads_comes_back_and_stops_under_systemd() {
    if must_skip(&[Requirement::Root, Requirement::Bpf, Requirement::Program(SYSTEMD)]) {
        return;
    }
    let mut machine = Machine::boot();
    machine.told("systemctl start tracker");
    assert_eq!(machine.property("ActiveState"), "active");
    let status = machine.property("StatusText");
    assert!(status.contains("xdp lo generic"), "{status}: {}", machine.says());
    let user = machine.told(&format!("stat --format %U /proc/{}", machine.property("MainPID")));
    assert_eq!(user, "tracker");
    let pin = format!("stat /sys/fs/bpf/tracker/v{LAYOUT_VERSION}/COUNTERS");
    machine.told(&pin);

    machine.map(&format!("access add {HASH_TEXT}"));
    machine.map("limit announces 700");
    // That returns when the tracker was told; the tracker says itself when it begins, "reloading", and when it has ended.
    machine.told("systemctl reload tracker");
    machine.eventually("it has reloaded", |machine| {
        machine.told("journalctl --no-pager --unit tracker").contains("access list: 1 torrent,")
            && machine.property("ActiveState") == "active"
    });

    machine.told("systemctl kill --signal KILL tracker");
    machine.eventually("it is started again", |machine| {
        machine.property("NRestarts") == "1" && machine.property("ActiveState") == "active"
    });
    assert_eq!(machine.map("access list"), HASH_TEXT);
    assert!(machine.map("limit").ends_with("announces 700"));

    machine.told("systemctl stop tracker");
    assert_eq!(
        (machine.property("ActiveState").as_str(), machine.property("Result").as_str()),
        ("inactive", "success")
    );
    machine.run(&pin).expect_err("the pins are gone");
    machine.run("stat /run/tracker/control.sock").expect_err("so is the socket");
}
