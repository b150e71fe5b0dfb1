//! Two network namespaces joined by a veth pair: the client's end and the tracker's.
//!
//! The tracker's end receives in a kernel thread of its own (threaded NAPI), because a veth otherwise receives on the
//! CPU and in the time of whoever sends: the client would pay for the tracker. The thread needs a NAPI, which a veth
//! has when GRO is on or a program is attached, and without a program a veth uses it only for packets of a sender that
//! can't do TSO (`veth_skb_is_eligible_for_gro`). So GRO is on and the client's TSO, which UDP has no use for, off in every
//! mode: all are measured alike.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::pass_program;
use crate::step::Step;

/// The tracker's address on the pair.
pub(crate) const TRACKER: &str = "10.199.0.1";
const CLIENT: &str = "10.199.0.2";

/// The namespaces and the pair; gone when dropped.
pub(crate) struct Lab {
    client: String,
    tracker: String,
    /// The tracker's end of the pair; its name is used nowhere else, so the kernel thread can be told by it.
    pub(crate) interface: String,
}

impl Lab {
    pub(crate) fn build(scratch: &Path) -> Result<Self> {
        let number = std::process::id();
        let lab = Self {
            client: format!("tracker-bench-{number}-client"),
            tracker: format!("tracker-bench-{number}-tracker"),
            interface: format!("tb{number}"),
        };
        let (client, tracker, far, near) = (&lab.client, &lab.tracker, "client", &lab.interface);
        let pass = scratch.join("pass.o");
        fs::write(&pass, pass_program::object()?)
            .with_context(|| format!("cannot write {}", pass.display()))?;
        for line in [
            format!("netns add {client}"),
            format!("netns add {tracker}"),
            format!(
                "link add {far} netns {client} numrxqueues 1 numtxqueues 1 type veth peer name {near} netns {tracker} numrxqueues 1 numtxqueues 1"
            ),
            format!("-n {client} address add {CLIENT}/30 dev {far}"),
            format!("-n {tracker} address add {TRACKER}/30 dev {near}"),
            format!("-n {client} link set {far} up"),
            format!("-n {tracker} link set {near} up"),
            format!("-n {tracker} link set lo up"),
        ] {
            ip(&line)?;
        }
        // xdpdrv: native. The path may hold blanks, so it is an argument of its own.
        Step::new("ip")
            .args(["-n", client, "link", "set", "dev", far, "xdpdrv", "object"])
            .arg(&pass)
            .args(["section", pass_program::SECTION])
            .output()?;
        lab.in_tracker("ethtool").args(["-K", near, "gro", "on"]).output()?;
        lab.in_client("ethtool").args(["-K", far, "tso", "off"]).output()?;
        Ok(lab)
    }

    /// Where the tracker of this lab pins its maps.
    pub(crate) fn pin_directory(&self) -> PathBuf {
        Path::new("/sys/fs/bpf").join(format!("tracker-bench-{}", self.interface))
    }

    /// A program on the client's end, on CPU 0.
    pub(crate) fn in_client(&self, program: impl AsRef<Path>) -> Step {
        inside(&self.client, 0, program.as_ref())
    }

    /// A program on the tracker's end, on CPU 1.
    pub(crate) fn in_tracker(&self, program: impl AsRef<Path>) -> Step {
        inside(&self.tracker, 1, program.as_ref())
    }

    /// Makes the kernel thread that receives for the tracker, and keeps it on CPU 1; its process id.
    pub(crate) fn receiving_thread(&self) -> Result<u32> {
        // `ip netns exec` mounts a /sys of the namespace, which nsenter doesn't.
        let file = format!("/sys/class/net/{}/threaded", self.interface);
        Step::new("ip")
            .args(["netns", "exec", &self.tracker, "sh", "-c", &format!("echo 1 > {file}")])
            .output()
            .context("the kernel has no threaded NAPI (Linux 5.12) or the interface has no NAPI")?;
        let prefix = format!("napi/{}", self.interface);
        let thread = process_named(|name| name.starts_with(&prefix))
            .with_context(|| format!("no kernel thread {prefix}-…"))?;
        Step::new("taskset").args(["-cp", "1", &thread.to_string()]).output()?;
        Ok(thread)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // Empty after a clean stop; full after a daemon that had to be killed.
        let _ = fs::remove_dir_all(self.pin_directory());
        for namespace in [&self.client, &self.tracker] {
            // The pair goes with its namespaces. Nothing can be done about an error here, and `ip netns` lists what is left.
            let _ = ip(&format!("netns delete {namespace}"));
        }
    }
}

fn ip(line: &str) -> Result<String> {
    Step::new("ip").args(line.split(' ')).output()
}

/// `nsenter` instead of `ip netns exec`: the latter hides the BPF file system under a new /sys.
fn inside(namespace: &str, cpu: u32, program: &Path) -> Step {
    let file = PathBuf::from("/run/netns").join(namespace);
    Step::new("nsenter")
        .arg(format!("--net={}", file.display()))
        .args(["taskset", "-c", &cpu.to_string()])
        .arg(program)
}

/// A process (or kernel thread) by its name.
pub(crate) fn process_named(wanted: impl Fn(&str) -> bool) -> Option<u32> {
    fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let name = fs::read_to_string(entry.path().join("comm")).ok()?;
        wanted(name.trim_end()).then_some(pid)
    })
}
