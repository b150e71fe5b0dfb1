//! What is already on this machine, as data for [`super::plan`].

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::node_modules;
use crate::step::Step;
use crate::toolchain::{self, Compilers, Toolchain, Version};

/// A machine, as far as setup has to know it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    /// `ID` and `VERSION_ID` of /etc/os-release, e.g. "debian" and "12".
    pub(crate) distribution: (String, String),
    /// Whether packages can be installed and file systems mounted.
    pub(crate) root: bool,
    /// Debian packages that are installed, with their architecture left out.
    pub(crate) packages: BTreeSet<String>,
    /// The toolchain that can already build the BPF program.
    pub(crate) toolchain: Option<Toolchain>,
    /// The bpf-linker that starts.
    pub(crate) linker: Option<Version>,
    /// Whether a BPF file system is mounted on /sys/fs/bpf.
    pub(crate) bpffs: bool,
    /// Whether the programs that the tests start are in PATH (where packages have names that we don't know).
    pub(crate) test_programs: bool,
    /// Whether `node` and `npm` are in PATH, wherever they are from.
    pub(crate) node: bool,
    /// Whether the npm packages of the repository's lock are installed.
    pub(crate) node_modules: bool,
}

/// Programs that tests start.
const TEST_PROGRAMS: &[&str] = &[
    "aria2c",
    "chromium",
    "curl",
    "ethtool",
    "ip",
    "nginx",
    "node",
    "npm",
    "nsenter",
    "openssl",
    "python3",
    "transmission-cli",
    "transmission-daemon",
    "unshare",
    "zstd",
];

impl Facts {
    pub(crate) fn of_this_machine() -> Self {
        Self {
            distribution: distribution(&fs::read_to_string("/etc/os-release").unwrap_or_default()),
            root: is_root(&fs::read_to_string("/proc/self/status").unwrap_or_default()),
            packages: packages(),
            toolchain: Compilers::of_this_machine().choose(),
            linker: toolchain::linker(),
            bpffs: has_bpffs(&fs::read_to_string("/proc/self/mounts").unwrap_or_default()),
            test_programs: TEST_PROGRAMS.iter().all(|program| is_in_path(program)),
            node: ["node", "npm"].into_iter().all(is_in_path),
            node_modules: node_modules::are_installed(),
        }
    }
}

fn distribution(os_release: &str) -> (String, String) {
    let value = |key: &str| {
        let line = os_release.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        line.unwrap_or_default().trim_matches('"').to_owned()
    };
    (value("ID"), value("VERSION_ID"))
}

/// The effective user is the second of the four numbers.
fn is_root(status: &str) -> bool {
    let uids = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    uids.and_then(|uids| uids.split_whitespace().nth(1)) == Some("0")
}

fn packages() -> BTreeSet<String> {
    if !Path::new("/usr/bin/dpkg-query").exists() {
        return BTreeSet::new();
    }
    let list =
        Step::new("/usr/bin/dpkg-query").args(["-W", "-f", "${db:Status-Status} ${Package}\\n"]).output();
    list.unwrap_or_default()
        .lines()
        .filter_map(|line| line.strip_prefix("installed "))
        .map(str::to_owned)
        .collect()
}

fn is_in_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).exists())
}

fn has_bpffs(mounts: &str) -> bool {
    mounts.lines().any(|line| {
        let mut fields = line.split(' ').skip(1);
        fields.next() == Some("/sys/fs/bpf") && fields.next() == Some("bpf")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distribution_is_read_with_and_without_quotes() {
        let debian = "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nVERSION_ID=\"12\"\nID=debian\n";
        assert_eq!(distribution(debian), ("debian".to_owned(), "12".to_owned()));
        assert_eq!(distribution(""), (String::new(), String::new()));
    }

    #[test]
    fn root_is_the_effective_user() {
        assert!(is_root("Name:\tx\nUid:\t1000\t0\t0\t0\n"));
        assert!(!is_root("Name:\tx\nUid:\t0\t1000\t0\t0\n"));
    }

    #[test]
    fn bpffs_is_found_among_the_mounts() {
        assert!(has_bpffs("sysfs /sys sysfs rw 0 0\nbpf /sys/fs/bpf bpf rw,mode=700 0 0\n"));
        assert!(!has_bpffs("sysfs /sys sysfs rw 0 0\nbpf /run/bpf bpf rw 0 0\n"));
    }
}
