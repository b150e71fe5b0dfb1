//! `cargo xtask bench …` and `cargo xtask stress`: builds what is measured, and leaves the rest to tracker-bench.
//!
//! The figures of the whole `bench udp`, `bench sockets`, `bench http` and `bench ws` are written to docs/benchmarks as Markdown and JSON; those of some of
//! their cases only when `--output` says where.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{Args, Subcommand};

use crate::run::{build_daemon, cargo};
use crate::step::Step;
use crate::{build_ebpf, paths};

/// Flags of `bench`.
#[derive(Args)]
pub(crate) struct Flagged {
    /// What to measure; without it everything, for docs/benchmarks.md
    #[command(subcommand)]
    bench: Option<Bench>,
    /// Rounds of everything
    #[arg(long, default_value = "5", value_name = "N")]
    rounds: String,
    /// Measured seconds of a round over UDP
    #[arg(long, default_value = "0.5", value_name = "S")]
    seconds: String,
}

/// What to measure.
#[derive(Subcommand)]
pub(crate) enum Bench {
    /// CPU time per connect, answered by XDP and by sockets, side by side under the same load
    Connect(Flags),
    /// What answers cost in the kernel, beside the floor and a reference; the writer, memory, a flood
    Udp(Flags),
    /// Trackers under ordinary clients over UDP: ours by XDP and sockets, aquatic_udp, opentracker, and a server that does nothing
    Sockets(Flags),
    /// Requests per CPU second over HTTP and HTTPS, beside a bare hyper server, opentracker and aquatic_http; memory of idle connections
    Http(Flags),
    /// WebTorrent's messages per CPU second over WebSocket, plain and with TLS, beside aquatic_ws; memory
    Ws(Flags),
    /// What a peer takes in memory, beside aquatic_udp and opentracker
    Footprint(Flags),
    /// Latency at half load while ten million peers expire, beside aquatic_udp; takes a quarter of an hour
    Expiry(Flags),
    /// All reports in docs/benchmarks on one page, docs/benchmarks.md
    Summary,
    /// Instructions of each hot path, a request; `--write tracker-bench/instructions.json` writes down what tests compare with
    Instructions(Flags),
    /// Install the trackers that are measured beside ours when they are there: aquatic_udp, aquatic_http, aquatic_ws and, from Debian,
    /// opentracker
    Setup,
}

/// Flags that are handed on: `cargo xtask bench udp --help` shows tracker-bench's.
#[derive(Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Flags {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "FLAGS")]
    flags: Vec<OsString>,
}

impl Flags {
    fn have(&self, wanted: &str) -> bool {
        self.flags.iter().any(|given| given.to_string_lossy().starts_with(wanted))
    }
}

pub(crate) fn run(flagged: &Flagged) -> Result<()> {
    match &flagged.bench {
        Some(bench) => one(bench),
        None => all(flagged),
    }
}

/// Everything, one after the other, into docs/benchmarks and docs/benchmarks.md.
fn all(flagged: &Flagged) -> Result<()> {
    let reports = || ["--output".into(), reports().into_os_string()];
    let rounds = ["--rounds", &flagged.rounds];
    let timed = [rounds, ["--seconds", &flagged.seconds]].concat();
    let bench = build()?;
    bench.clone().arg("footprint").args(programs()).args(reports()).run()?;
    bench.clone().arg("http").args(rounds).args(programs()).args(reports()).run()?;
    bench.clone().arg("ws").args(rounds).args(programs()).args(reports()).run()?;
    bench.clone().arg("sockets").args(&timed).args(programs()).args(reports()).run()?;
    bench.clone().arg("udp").args(&timed).args(lab()).args(reports()).run()?;
    bench.clone().arg("expiry").args(programs()).args(reports()).run()?;
    bench.arg("instructions").arg("--functions").args(reports()).run()?;
    summary()
}

/// Where reports are.
fn reports() -> PathBuf {
    paths::workspace().join("docs/benchmarks")
}

fn summary() -> Result<()> {
    Step::new(release("tracker-bench")).args(["summary", "--reports"]).arg(reports()).run()
}

fn one(bench: &Bench) -> Result<()> {
    match bench {
        Bench::Connect(flags) => build()?.arg("connect").args(programs()).args(&flags.flags).run(),
        Bench::Udp(flags) => documented(build()?.arg("udp").args(lab()).args(&flags.flags), flags),
        Bench::Sockets(flags) => {
            documented(build()?.arg("sockets").args(programs()).args(&flags.flags), flags)
        }
        Bench::Http(flags) => documented(build()?.arg("http").args(programs()).args(&flags.flags), flags),
        Bench::Ws(flags) => documented(build()?.arg("ws").args(programs()).args(&flags.flags), flags),
        Bench::Footprint(flags) => {
            documented(build()?.arg("footprint").args(programs()).args(&flags.flags), flags)
        }
        Bench::Expiry(flags) => documented(build()?.arg("expiry").args(programs()).args(&flags.flags), flags),
        Bench::Summary => {
            bench_alone()?;
            summary()
        }
        Bench::Instructions(flags) => bench_alone()?.arg("instructions").args(&flags.flags).run(),
        Bench::Setup => {
            install_aquatic()?;
            install_opentracker()
        }
    }
}

/// What is measured as a whole goes into the documentation.
fn documented(step: Step, flags: &Flags) -> Result<()> {
    let whole = !flags.have("--only") && !flags.have("--output") && !flags.have("--help");
    match whole {
        true => step.arg("--output").arg(reports()).run(),
        false => step.run(),
    }
}

/// `cargo xtask stress`.
pub(crate) fn stress(flags: &Flags) -> Result<()> {
    build()?.arg("stress").args(lab()).args(&flags.flags).run()
}

/// Builds everything that is measured or measures; tracker-bench, to be told what to do.
fn build() -> Result<Step> {
    build_ebpf::run(&build_ebpf::Flags::with_lab())?;
    build_daemon()?;
    let packages = ["--package", "tracker-bench", "--package", "tracker-load"];
    cargo().args(["build", "--release", "--locked"]).args(packages).run()?;
    Ok(Step::new(release("tracker-bench")))
}

/// Compares the instructions of each hot path with those that were written down.
pub(crate) fn check_instructions() -> Result<()> {
    let file = paths::workspace().join("tracker-bench/instructions.json");
    bench_alone()?.args(["instructions", "--check"]).arg(file).run()
}

/// tracker-bench, without what it measures.
fn bench_alone() -> Result<Step> {
    build_ebpf::run(&build_ebpf::Flags::default())?;
    cargo().args(["build", "--release", "--locked", "--package", "tracker-bench"]).run()?;
    Ok(Step::new(release("tracker-bench")))
}

fn release(program: &str) -> String {
    paths::cargo_target().join("release").join(program).to_string_lossy().into_owned()
}

fn lab() -> [String; 2] {
    ["--lab".to_owned(), paths::lab_object().to_string_lossy().into_owned()]
}

fn programs() -> [String; 4] {
    ["--tracker".to_owned(), release("tracker-user"), "--load".to_owned(), release("tracker-load")]
}

/// aquatic_udp with io_uring, which it uses when it is told to. aquatic_http and aquatic_ws without their metrics, whose version there current compilers refuse.
fn install_aquatic() -> Result<()> {
    let trackers = [
        ("aquatic_udp", Some("io-uring")),
        ("aquatic_http", Some("mimalloc")),
        ("aquatic_ws", Some("mimalloc")),
    ];
    for (name, features) in trackers {
        let install = ["install", name, "--version", "0.9.0", "--no-default-features", "--locked"];
        let step = Step::new("cargo").clean().args(install);
        features.map_or(step.clone(), |features| step.args(["--features", features])).run()?;
    }
    Ok(())
}

/// Only its program: the service that the package brings isn't started (invoke-rc.d does nothing in runlevel 1).
fn install_opentracker() -> Result<()> {
    if Path::new("/usr/bin/opentracker").exists() {
        return Ok(());
    }
    if !Path::new("/usr/bin/apt-get").exists() {
        eprintln!(
            "opentracker is installed from Debian only, and this is another system: put it into PATH for `bench http`"
        );
        return Ok(());
    }
    let install = ["install", "--yes", "--no-install-recommends", "opentracker"];
    Step::new("apt-get").env("RUNLEVEL", "1").args(install).run()
}
