//! Two namespaces and a veth pair of the laboratory's own: the client's end and the tracker's.
//!
//! A veth receives on the CPU and in the time of whoever sends, unless its NAPI has a thread of its own. So with everything on one
//! CPU the generator's thread pays for all of it: making the request, the veth, the answer, the veth again, the far end. For the flood
//! the tracker's end gets such a thread, on the other CPU.

use std::fs;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result, bail, ensure};
use tracker_lab::traffic::{CLIENT_MAC, SERVER_MAC};
use tracker_testkit::netns::Namespace;

use crate::sys;

/// The pair; the namespaces end with it.
pub(crate) struct Cable {
    pub(crate) client: Namespace,
    pub(crate) server: Namespace,
    pub(crate) client_interface: String,
    pub(crate) server_interface: String,
}

impl Cable {
    /// A new pair. Needs root.
    pub(crate) fn new() -> Self {
        let (client, server) = (Namespace::new(), Namespace::new());
        // Names that no other interface of the machine has: kernel threads are told by them.
        static CABLES: AtomicU32 = AtomicU32::new(0);
        let number = format!("{}n{}", std::process::id() % 1_000_000, CABLES.fetch_add(1, Ordering::Relaxed));
        let (client_interface, server_interface) = (format!("lc{number}"), format!("ls{number}"));
        // No neighbour discovery among the frames.
        for namespace in [&client, &server] {
            namespace.sysctl("net/ipv6/conf/default/disable_ipv6", "1");
        }
        client.cable_to(&server, &client_interface, &server_interface);
        for (namespace, interface, mac) in
            [(&client, &client_interface, CLIENT_MAC), (&server, &server_interface, SERVER_MAC)]
        {
            let mac = mac.map(|byte| format!("{byte:02x}")).join(":");
            namespace.ip(&format!("link set {interface} address {mac}"));
            namespace.ip(&format!("link set {interface} up"));
        }
        Self { client, server, client_interface, server_interface }
    }

    /// Index of the client's interface, in its namespace.
    pub(crate) fn client_index(&self) -> Result<u32> {
        self.index(&self.client, &self.client_interface)
    }

    fn index(&self, namespace: &Namespace, interface: &str) -> Result<u32> {
        let name = std::ffi::CString::new(interface)?;
        namespace.inside(|| sys::interface_index(&name)).with_context(|| format!("no interface {interface}"))
    }

    /// Gives the receiving side of one end a thread on this CPU, or takes it away again; its process id.
    ///
    /// Only possible while a program is attached there.
    pub(crate) fn receive_in_thread(&self, end: End, cpu: Option<usize>) -> Result<Option<u32>> {
        let (namespace, interface) = match end {
            End::Client => (&self.client, &self.client_interface),
            End::Server => (&self.server, &self.server_interface),
        };
        // sysfs shows the interfaces of the namespace it was mounted in.
        let script = format!(
            "mount -t sysfs sysfs /sys && echo {} > /sys/class/net/{interface}/threaded",
            u8::from(cpu.is_some())
        );
        let output = namespace
            .command("unshare")
            .args(["--mount", "sh", "-c", &script])
            .output()
            .context("cannot start unshare")?;
        ensure!(
            output.status.success(),
            "{interface}: no threaded NAPI (Linux 5.12): {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        let Some(cpu) = cpu else { return Ok(None) };
        let prefix = format!("napi/{interface}-");
        let thread =
            process_named(|name| name.starts_with(&prefix)).with_context(|| format!("no thread {prefix}"))?;
        sys::pin_thread(thread, cpu).with_context(|| format!("pinning {prefix}"))?;
        Ok(Some(thread))
    }
}

/// One end of the pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Client,
    Server,
}

/// A process (or kernel thread) by its name.
pub(crate) fn process_named(wanted: impl Fn(&str) -> bool) -> Option<u32> {
    fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let name = fs::read_to_string(entry.path().join("comm")).ok()?;
        wanted(name.trim_end()).then_some(pid)
    })
}

/// Run time of all threads of a process, in nanoseconds, exact.
pub(crate) fn run_time_ns(process: u32) -> Result<u64> {
    let mut sum = 0;
    for task in fs::read_dir(format!("/proc/{process}/task")).context("the process is gone")? {
        let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) else { continue };
        let Some(time) = text.split_whitespace().next().and_then(|word| word.parse::<u64>().ok()) else {
            bail!("schedstat of {process}: {text:?}");
        };
        sum += time;
    }
    Ok(sum)
}
