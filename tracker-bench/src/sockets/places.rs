//! Where client and tracker meet: at the ends of a veth pair, or on loopback.
//!
//! Across the veth the tracker's end receives in a kernel thread of its own (threaded NAPI): a veth otherwise receives in the time of whoever
//! sends, and the client would pay for the tracker. Without a program, a veth has a NAPI only with GRO on, and uses it only for packets of a
//! sender that can't do TSO (`veth_skb_is_eligible_for_gro`). So GRO is on and the client's TSO, which UDP has no use for, off for all. On loopback
//! the client does pay for what it sends until it is in the tracker's socket, for all trackers alike.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result};
use tracker_testkit::netns::{AttachedProgram, Namespace};

use super::trackers::Who;
use crate::cable::process_named;
use crate::sys;

/// Where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Veth,
    Loopback,
}

impl Place {
    pub(crate) const ALL: [Self; 2] = [Self::Veth, Self::Loopback];

    /// In names of cases.
    pub(crate) fn id(self) -> &'static str {
        match self {
            Self::Veth => "clients",
            Self::Loopback => "loopback",
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Veth => "across the veth",
            Self::Loopback => "on loopback",
        }
    }

    /// Loopback has generic XDP alone, in the client's time.
    pub(crate) fn suits(self, who: Who) -> bool {
        self == Self::Veth || !matches!(who, Who::Xdp | Who::Generic)
    }
}

/// A client and a tracker.
pub(crate) struct Net {
    place: Place,
    pub(crate) client: Namespace,
    /// Another one, across the veth.
    server: Option<Namespace>,
    /// The tracker's end; its name is used nowhere else, so the kernel thread can be told by it.
    pub(crate) interface: String,
    _pass: Option<AttachedProgram>,
}

impl Net {
    pub(crate) fn new(place: Place) -> Result<Self> {
        let client = Namespace::new();
        client.ip("link set lo up");
        // A name of its own each time: an earlier namespace, and its kernel thread, may still be on their way out.
        static NETS: AtomicU32 = AtomicU32::new(0);
        let number = NETS.fetch_add(1, Ordering::Relaxed);
        let interface = format!("tb{}n{number}", std::process::id());
        if place == Place::Loopback {
            return Ok(Self { place, client, server: None, interface, _pass: None });
        }
        let server = Namespace::new();
        let far = "client";
        client.cable_to(&server, far, &interface);
        client.ip(&format!("address add 10.199.0.2/30 dev {far}"));
        server.ip(&format!("address add {}/30 dev {interface}", place.tracker()));
        client.ip(&format!("link set {far} up"));
        server.ip(&format!("link set {interface} up"));
        let pass = client.attach_pass_program(far, "bench_pass");
        output(with(server.command("ethtool"), &["-K", &interface, "gro", "on"]))?;
        output(with(client.command("ethtool"), &["-K", far, "tso", "off"]))?;
        Ok(Self { place, client, server: Some(server), interface, _pass: Some(pass) })
    }

    /// The tracker's namespace.
    pub(crate) fn server(&self) -> &Namespace {
        self.server.as_ref().unwrap_or(&self.client)
    }

    /// The tracker's address.
    pub(crate) fn tracker(&self) -> &'static str {
        self.place.tracker()
    }

    /// The kernel threads that work for the tracker on CPU 1: the one that receives across the veth, and the softirq thread.
    pub(crate) fn kernel_threads(&self, who: Who) -> Result<Vec<u32>> {
        let softirq = process_named(|name| name == "ksoftirqd/1").context("no kernel thread ksoftirqd/1")?;
        if self.place == Place::Loopback {
            return Ok(vec![softirq]);
        }
        let script =
            format!("mount -t sysfs sysfs /sys && echo 1 > /sys/class/net/{}/threaded", self.interface);
        output(with(self.server().command("unshare"), &["--mount", "sh", "-c", &script])).with_context(
            || {
                format!(
                    "{}: the kernel has no threaded NAPI (Linux 5.12) or the interface has none",
                    who.name()
                )
            },
        )?;
        let prefix = format!("napi/{}-", self.interface);
        let thread = process_named(|name| name.starts_with(&prefix));
        let thread = thread.with_context(|| format!("no kernel thread {prefix}…"))?;
        sys::pin_thread(thread, 1)?;
        Ok(vec![thread, softirq])
    }
}

impl Place {
    fn tracker(self) -> &'static str {
        match self {
            Self::Veth => "10.199.0.1",
            Self::Loopback => "127.0.0.1",
        }
    }
}

fn with(mut command: Command, arguments: &[&str]) -> Command {
    command.args(arguments);
    command
}

/// What a program prints; an error when it fails.
pub(crate) fn output(command: Command) -> Result<String> {
    let (text, result) = printed(command)?;
    result.map(|()| text)
}

/// What a program prints, and whether it failed.
pub(crate) fn printed(mut command: Command) -> Result<(String, Result<()>)> {
    let output = command.output().with_context(|| format!("cannot start {command:?}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let failed = || anyhow::anyhow!("{command:?}: {}: {}", output.status, said.trim());
    let result = if output.status.success() { Ok(()) } else { Err(failed()) };
    Ok((String::from_utf8_lossy(&output.stdout).into_owned(), result))
}
