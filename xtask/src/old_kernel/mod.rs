//! `cargo xtask old-kernel`: whether the oldest kernel that is supported takes the whole program and answers by it.
//!
//! Debian's kernel is booted in QEMU (without KVM, which not every machine lets its guests use) with a few programs in memory: the tracker, the
//! load tester, which checks the answers, and busybox. What a verifier of years ago takes can't be seen on a newer kernel, and one that doesn't take the program gets one
//! that answers connects alone.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use clap::Args;

use crate::run::cargo;
use crate::step::Step;
use crate::{build_ebpf, paths, setup};

/// Flags of `old-kernel`.
#[derive(Args)]
pub(crate) struct Flags {
    /// Debian's package of the kernel; without, what linux-image-amd64 stands for: Linux 6.1 on Debian 12
    #[arg(long, value_name = "PACKAGE")]
    package: Option<String>,
}

/// What boots and fills the machine, and the packages that have it.
const TOOLS: [(&str, &str); 2] = [("qemu-system-x86_64", "qemu-system-x86"), ("busybox", "busybox-static")];

/// Seconds; the verifier alone takes half a minute, as everything is emulated.
const PATIENCE: &str = "1200";

pub(crate) fn run(flags: &Flags) -> Result<()> {
    setup::run(&setup::Flags::default())?;
    build_ebpf::run(&build_ebpf::Flags::default())?;
    let programs = ["tracker-user", "tracker-load"];
    cargo()
        .args(["build", "--release", "--locked"])
        .args(programs.iter().flat_map(|name| ["--package", name]))
        .run()?;
    let missing = TOOLS.iter().filter(|(program, _)| !is_there(program)).map(|(_, package)| *package);
    let missing: Vec<_> = missing.collect();
    if !missing.is_empty() {
        let install = ["install", "--yes", "--no-install-recommends"];
        Step::new("apt-get").args(install).args(missing).env("DEBIAN_FRONTEND", "noninteractive").run()?;
    }

    let directory = paths::target().join("old-kernel");
    fs::create_dir_all(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
    let package = match &flags.package {
        Some(package) => package.clone(),
        None => newest_package()?,
    };
    let kernel = kernel(&directory, &package)?;
    let memory = memory(&directory, &programs)?;

    let machine = Step::new("timeout")
        .args([PATIENCE, "qemu-system-x86_64"])
        .args(["-machine", "q35", "-cpu", "max", "-m", "2048", "-display", "none", "-serial", "stdio"])
        .args(["-no-reboot", "-append", "console=ttyS0 panic=-1 quiet"])
        .arg("-kernel")
        .arg(kernel)
        .arg("-initrd")
        .arg(memory);
    eprintln!("$ {machine}");
    let said = machine.output()?;
    print!("{said}");
    ensure!(
        said.contains("RESULT good"),
        "{package} doesn't answer announces in the kernel, or not right: the lines above say why"
    );
    Ok(())
}

fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
}

/// The package that Debian's newest kernel is in.
fn newest_package() -> Result<String> {
    let depends = Step::new("apt-cache").args(["depends", "--important", "linux-image-amd64"]).output()?;
    let package = depends.lines().find_map(|line| line.trim().strip_prefix("Depends: "));
    package.map(str::to_owned).context("linux-image-amd64 depends on no kernel; name one with --package")
}

/// Downloads a kernel, unless it is there; its image.
fn kernel(directory: &Path, package: &str) -> Result<PathBuf> {
    let unpacked = directory.join(package);
    if !unpacked.exists() {
        Step::new("apt-get").args(["download", package]).dir(directory).run()?;
        let begin = format!("{package}_");
        let archive = files(directory)?.into_iter().find(|file| name(file).starts_with(&begin));
        let archive =
            archive.with_context(|| format!("apt-get left no {begin}… in {}", directory.display()))?;
        Step::new("dpkg-deb").arg("--extract").arg(&archive).arg(&unpacked).run()?;
        fs::remove_file(&archive).with_context(|| format!("cannot remove {}", archive.display()))?;
    }
    let image = files(&unpacked.join("boot"))?.into_iter().find(|file| name(file).starts_with("vmlinuz"));
    image.with_context(|| format!("{package} has no kernel"))
}

fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))?;
    entries.map(|entry| Ok(entry?.path())).collect()
}

fn name(file: &Path) -> String {
    file.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Puts the programs, what they are linked to, and the first process into an archive that the kernel unpacks into its memory.
fn memory(directory: &Path, programs: &[&str]) -> Result<PathBuf> {
    let root = directory.join("root");
    if root.exists() {
        fs::remove_dir_all(&root).with_context(|| format!("cannot clear {}", root.display()))?;
    }
    for place in ["bin", "dev", "lib64", "proc", "sys", "tmp"] {
        fs::create_dir_all(root.join(place)).with_context(|| format!("cannot fill {}", root.display()))?;
    }
    let mut libraries = Vec::new();
    for program in programs {
        let built = paths::cargo_target().join("release").join(program);
        Step::new("strip").arg("-o").arg(root.join("bin").join(program)).arg(&built).run()?;
        let linked = Step::new("ldd").arg(&built).output()?;
        libraries.extend(linked.split_whitespace().filter(|word| word.starts_with('/')).map(str::to_owned));
    }
    for library in libraries {
        let to = root.join(library.trim_start_matches('/'));
        fs::create_dir_all(to.parent().unwrap_or(&root))
            .with_context(|| format!("no place for {library}"))?;
        fs::copy(&library, &to).with_context(|| format!("cannot copy {library}"))?;
    }
    let busybox = Step::new("sh").args(["-c", "command -v busybox"]).output()?;
    fs::copy(busybox.trim(), root.join("bin/busybox")).context("cannot copy busybox")?;
    symlink("busybox", root.join("bin/sh")).context("cannot link the shell")?;
    let init = root.join("init");
    fs::write(&init, include_str!("init.sh")).with_context(|| format!("cannot write {}", init.display()))?;
    fs::set_permissions(&init, fs::Permissions::from_mode(0o755)).context("cannot make init executable")?;
    let archive = "find . | busybox cpio -o -H newc | gzip -1 > ../memory.gz";
    Step::new("sh").args(["-c", archive]).dir(&root).run()?;
    Ok(directory.join("memory.gz"))
}
