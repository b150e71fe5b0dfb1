//! From facts to steps: nothing here looks at the machine, so every machine can be tried in a test.

use super::facts::Facts;
use super::node_modules;
use crate::step::Step;
use crate::toolchain::{LINKER_LLVM, LINKER_VERSION, Toolchain};

/// Debian 12 ships rustc twice; the `-web` packages follow upstream for Firefox's sake. Sources included.
const COMPILER: &[&str] = &["rustc-web", "cargo-web", "rust-web-src"];

/// What bpf-linker links against. Polly and zstd are named by `llvm-config --libs` though nothing of them is used.
const LINKER_LIBRARIES: &[&str] = &["gcc", "libc6-dev", "llvm-22-dev", "libpolly-22-dev", "libzstd-dev"];

/// Real clients (libtorrent by way of Python), a browser, a reverse proxy, what makes certificates, what counts instructions, and what makes namespaces
/// and links and runs programs in them.
const TEST_TOOLS: &[&str] = &[
    "aria2",
    "chromium",
    "curl",
    "ethtool",
    "iproute2",
    "libnginx-mod-stream",
    "nginx-light",
    "openssl",
    "procps",
    "prometheus",
    "python3",
    "python3-libtorrent",
    "systemd",
    "transmission-cli",
    "transmission-daemon",
    "util-linux",
    "valgrind",
    "zstd",
];

/// What runs the clients from npm. Debian's packages are in conflict with those of others, so they are not for machines that
/// have the programs already.
const NODE: &[&str] = &["nodejs", "npm"];

/// The linter that belongs to [`COMPILER`]: what only that compiler compiles, only that one can look at.
const CLIPPY: &str = "rust-web-clippy";

/// What has to be done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    /// Nothing.
    Complete,
    /// These, in this order.
    Run(Vec<Step>),
    /// These, but by somebody else: why, and the lines to paste.
    Manual {
        /// One clause, without a full stop.
        reason: String,
        /// Shell lines.
        commands: Vec<String>,
    },
}

pub(crate) fn plan(facts: &Facts, tests: bool) -> Plan {
    let linker_missing = facts.linker.is_none_or(|version| version < LINKER_VERSION);
    let mut wanted: Vec<&str> = Vec::new();
    if facts.toolchain.is_none() {
        wanted.extend(COMPILER);
    }
    if linker_missing {
        wanted.extend(LINKER_LIBRARIES);
    }
    if tests {
        wanted.extend(TEST_TOOLS);
        // A nightly brings its own.
        if facts.toolchain != Some(Toolchain::Nightly) {
            wanted.push(CLIPPY);
        }
        if !facts.node {
            wanted.extend(NODE);
        }
    }
    wanted.retain(|package| !facts.packages.contains(*package));

    let debian = facts.distribution.0 == "debian" && facts.distribution.1 == "12";
    if !debian {
        return elsewhere(facts, tests, linker_missing);
    }
    let mut steps = Vec::new();
    if !wanted.is_empty() {
        steps.push(Step::new("apt-get").arg("update"));
        let install = Step::new("apt-get")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .args(["install", "--yes", "--no-install-recommends"])
            .args(&wanted);
        // nginx and Transmission come as services, which Debian starts when they are installed; tests start their own.
        steps.push(if tests { install.env("SYSTEMD_OFFLINE", "1") } else { install });
    }
    if linker_missing {
        steps.push(install_linker());
    }
    if !facts.bpffs {
        steps.push(mount_bpffs());
    }
    if tests && !facts.node_modules {
        steps.extend(node_modules::install());
    }
    if steps.is_empty() {
        return Plan::Complete;
    }
    if facts.root || !steps.iter().any(needs_root) {
        return Plan::Run(steps);
    }
    Plan::Manual {
        reason: "installing packages and mounting file systems takes root".to_owned(),
        commands: steps.iter().map(as_user).collect(),
    }
}

/// On other systems packages have other names (and Debian's compiler package doesn't exist), so rustup's nightly
/// is the way, and only what can be seen missing is named.
fn elsewhere(facts: &Facts, tests: bool, linker_missing: bool) -> Plan {
    let mut commands = Vec::new();
    if tests && !facts.test_programs {
        let tools = [TEST_TOOLS, NODE].concat();
        commands.push(format!("# install with your package manager: {}", tools.join(", ")));
    }
    if tests && !facts.node_modules {
        commands.extend(node_modules::install().iter().map(ToString::to_string));
    }
    if facts.toolchain.is_none() {
        commands.push("rustup toolchain install nightly --component rust-src,clippy".to_owned());
    }
    if linker_missing {
        commands.push(format!(
            "# install the development files of LLVM {LINKER_LLVM} (llvm-config, libLLVM, Polly), zstd and a C \
             compiler with your package manager, and set LLVM_PREFIX to where they are"
        ));
        commands.push(install_linker().to_string());
    }
    if !facts.bpffs {
        commands.push(format!("sudo {}", mount_bpffs()));
    }
    if commands.is_empty() {
        return Plan::Complete;
    }
    let (name, version) = &facts.distribution;
    let system = if name.is_empty() { "this system".to_owned() } else { format!("{name} {version}") };
    Plan::Manual {
        reason: format!("setup installs packages on Debian 12 only, and this is {}", system.trim_end()),
        commands,
    }
}

fn install_linker() -> Step {
    Step::new("cargo")
        .clean()
        .env("LLVM_PREFIX", format!("/usr/lib/llvm-{LINKER_LLVM}"))
        .args(["install", "bpf-linker", "--version", &LINKER_VERSION.to_string(), "--locked"])
        .args(["--no-default-features", "--features", &format!("llvm-{LINKER_LLVM}")])
}

fn mount_bpffs() -> Step {
    Step::new("mount").args(["-t", "bpf", "bpf", "/sys/fs/bpf"])
}

/// bpf-linker goes into the user's own directory, npm packages go into the workspace.
fn needs_root(step: &Step) -> bool {
    *step != install_linker() && !node_modules::install().contains(step)
}

fn as_user(step: &Step) -> String {
    if needs_root(step) { format!("sudo {step}") } else { step.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::toolchain::Version;

    /// Debian 12 with rustup's stable, root, and nothing else.
    fn fresh() -> Facts {
        Facts { distribution: ("debian".to_owned(), "12".to_owned()), root: true, ..Facts::default() }
    }

    /// The same after `setup --tests`.
    fn complete() -> Facts {
        let packages = [COMPILER, LINKER_LIBRARIES, TEST_TOOLS, &[CLIPPY]].concat();
        Facts {
            packages: packages.into_iter().map(str::to_owned).collect(),
            toolchain: Some(Toolchain::System),
            linker: Some(LINKER_VERSION),
            bpffs: true,
            test_programs: true,
            node: true,
            node_modules: true,
            ..fresh()
        }
    }

    fn lines(plan: Plan) -> Vec<String> {
        match plan {
            Plan::Complete => Vec::new(),
            Plan::Run(steps) => steps.iter().map(ToString::to_string).collect(),
            Plan::Manual { reason, commands } => [vec![reason], commands].concat(),
        }
    }

    #[test]
    fn fresh_machine_gets_compiler_libraries_linker_and_bpffs() {
        let expected = [
            "apt-get update",
            "DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends rustc-web cargo-web \
             rust-web-src gcc libc6-dev llvm-22-dev libpolly-22-dev libzstd-dev",
            "LLVM_PREFIX=/usr/lib/llvm-22 cargo install bpf-linker --version 0.13.0 --locked \
             --no-default-features --features llvm-22",
            "mount -t bpf bpf /sys/fs/bpf",
        ];
        assert_eq!(lines(plan(&fresh(), false)), expected);
    }

    #[test]
    fn second_run_has_nothing_to_do() {
        assert_eq!(plan(&complete(), false), Plan::Complete);
        assert_eq!(plan(&complete(), true), Plan::Complete);
    }

    #[test]
    fn only_what_is_missing_is_installed() {
        let mut facts = complete();
        facts.packages.remove("aria2");
        assert_eq!(plan(&facts, false), Plan::Complete);
        let expected = [
            "apt-get update",
            "DEBIAN_FRONTEND=noninteractive SYSTEMD_OFFLINE=1 apt-get install --yes --no-install-recommends aria2",
        ];
        assert_eq!(lines(plan(&facts, true)), expected);
    }

    #[test]
    fn working_linker_needs_no_libraries_of_its_build() {
        let mut facts = complete();
        for package in LINKER_LIBRARIES {
            facts.packages.remove(*package);
        }
        assert_eq!(plan(&facts, true), Plan::Complete);
    }

    #[test]
    fn old_linker_is_replaced() {
        let facts = Facts { linker: Some(Version(0, 9, 15)), ..complete() };
        assert_eq!(plan(&facts, false), Plan::Run(vec![install_linker()]));
    }

    #[test]
    fn nightly_with_sources_spares_the_distribution_s_compiler_and_linter() {
        let facts = Facts { toolchain: Some(Toolchain::Nightly), ..fresh() };
        let lines = lines(plan(&facts, true)).join("\n");
        assert!(!lines.contains("rustc-web") && !lines.contains(CLIPPY), "{lines}");
    }

    #[test]
    fn node_is_installed_where_there_is_none() {
        let facts = Facts { node: false, ..complete() };
        assert_eq!(plan(&facts, false), Plan::Complete);
        let lines = lines(plan(&facts, true));
        assert!(lines[1].ends_with(" nodejs npm"), "{lines:?}");
        let mut facts = fresh();
        facts.node = true;
        assert!(!self::lines(plan(&facts, true))[1].contains("nodejs"));
    }

    #[test]
    fn npm_packages_are_installed_when_others_are_wanted() {
        let facts = Facts { node_modules: false, ..complete() };
        assert_eq!(plan(&facts, false), Plan::Complete);
        assert_eq!(plan(&facts, true), Plan::Run(node_modules::install().to_vec()));
        // Behind what installs npm.
        let lines = lines(plan(&Facts { node: false, ..facts }, true));
        let at = |what: &str| lines.iter().position(|line| line.contains(what));
        assert!(at("apt-get install") < at("npm ci --ignore-scripts"), "{lines:?}");
    }

    #[test]
    fn without_root_the_commands_are_shown_with_sudo() {
        let facts = Facts { root: false, bpffs: false, linker: None, ..complete() };
        let expected = [
            "installing packages and mounting file systems takes root",
            "LLVM_PREFIX=/usr/lib/llvm-22 cargo install bpf-linker --version 0.13.0 --locked \
             --no-default-features --features llvm-22",
            "sudo mount -t bpf bpf /sys/fs/bpf",
        ];
        assert_eq!(lines(plan(&facts, false)), expected);
    }

    #[test]
    fn without_root_what_needs_none_is_run() {
        let facts = Facts { root: false, linker: None, node_modules: false, ..complete() };
        assert_eq!(plan(&facts, false), Plan::Run(vec![install_linker()]));
        let [copy, npm] = node_modules::install();
        assert_eq!(plan(&facts, true), Plan::Run(vec![install_linker(), copy, npm]));
    }

    #[test]
    fn other_systems_are_told_what_to_install() {
        let facts = Facts { distribution: ("fedora".to_owned(), "43".to_owned()), ..fresh() };
        let lines = lines(plan(&facts, true));
        assert_eq!(lines[0], "setup installs packages on Debian 12 only, and this is fedora 43");
        assert!(lines.iter().any(|line| line.starts_with("rustup toolchain install nightly")), "{lines:?}");
        assert!(lines.iter().any(|line| line == "sudo mount -t bpf bpf /sys/fs/bpf"), "{lines:?}");
    }

    #[test]
    fn other_systems_that_have_everything_are_complete() {
        let facts = Facts { distribution: ("arch".to_owned(), String::new()), ..complete() };
        assert_eq!(plan(&facts, true), Plan::Complete);
    }
}
