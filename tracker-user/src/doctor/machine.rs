//! The kernel, its settings, and the limits of processes. Tests are below.

use std::fs;
use std::path::Path;

use super::Finding;
use crate::config::{Config, XdpMode};
use crate::http::descriptors;
use crate::http::sys::DescriptorLimit;

/// What the tracker promises to run on, and is tested with: from here on io_uring has all that its back end asks for, too.
const TESTED: (u32, u32) = (6, 1);
/// The program calls `bpf_xdp_get_buff_len` for each packet, the smaller one for connects alone as well; `bpf_loop` is a version older.
const FOR_XDP: (u32, u32) = (5, 18);

pub(super) fn examine(config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.push(kernel(&read("/proc/sys/kernel/osrelease").unwrap_or_default(), wants_xdp(config)));
    if wants_xdp(config) {
        findings.extend(jit(read("/proc/sys/net/core/bpf_jit_enable").as_deref()));
        findings.extend(map_count(config, number("/proc/sys/vm/max_map_count")));
    }
    findings.extend(receive_buffer(config, number("/proc/sys/net/core/rmem_max")));
    findings.extend(conntrack(
        config,
        number("/proc/sys/net/netfilter/nf_conntrack_count"),
        number("/proc/sys/net/netfilter/nf_conntrack_max"),
    ));
    findings.extend(file_descriptors(config, DescriptorLimit::read().ok().map(|limit| limit.hard)));
    findings.extend(backlog(config, number("/proc/sys/net/core/somaxconn")));
    findings.push(state_directory(&config.state_directory));
    findings
}

pub(super) fn wants_xdp(config: &Config) -> bool {
    config.xdp.mode != XdpMode::Off && !config.xdp.interfaces.is_empty()
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

fn number(path: &str) -> Option<u64> {
    read(path)?.parse().ok()
}

fn kernel(release: &str, wants_xdp: bool) -> Finding {
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let found = format!("Linux {release}");
    let name = |(major, minor): (u32, u32)| format!("{major}.{minor}");
    let newer = format!(
        "use Linux {} or newer (Debian: linux-image-amd64, of an older release from backports)",
        name(TESTED)
    );
    if version >= TESTED {
        Finding::ok("kernel", found)
    } else if wants_xdp && version < FOR_XDP {
        Finding::problem(
            "kernel",
            format!("{found}: XDP needs {} at least", name(FOR_XDP)),
            format!("{newer}, or --xdp off"),
        )
    } else {
        Finding::advice(
            "kernel",
            format!(
                "{found}: the tracker is tested with {} and newer ones, and may work here or not",
                name(TESTED)
            ),
            newer,
        )
    }
}

fn jit(enabled: Option<&str>) -> Option<Finding> {
    (enabled == Some("0")).then(|| {
        Finding::advice(
            "BPF compiler",
            "net.core.bpf_jit_enable = 0: the program would be interpreted",
            "sysctl net.core.bpf_jit_enable=1",
        )
    })
}

fn map_count(config: &Config, allowed: Option<u64>) -> Option<Finding> {
    let needed = u64::from(config.limits().segments()) + 1000;
    let allowed = allowed?;
    let found = format!("vm.max_map_count = {allowed}, a full swarm table takes {needed} mappings");
    Some(if allowed >= needed {
        Finding::ok("mappings", found)
    } else {
        Finding::advice(
            "mappings",
            found,
            format!("sysctl vm.max_map_count={needed}, or lower swarm.max_torrents and swarm.max_peers"),
        )
    })
}

fn receive_buffer(config: &Config, most: Option<u64>) -> Option<Finding> {
    let wanted = u64::from(config.udp.receive_buffer_bytes);
    let most = most.filter(|_| wanted > 0)?;
    let found = format!("udp.receive_buffer_bytes = {wanted}, net.core.rmem_max = {most}");
    Some(if wanted <= most {
        Finding::ok("receive buffer", found)
    } else {
        Finding::advice(
            "receive buffer",
            format!("{found}: taken whole only by root or with CAP_NET_ADMIN"),
            format!("sysctl net.core.rmem_max={wanted}"),
        )
    })
}

fn conntrack(config: &Config, count: Option<u64>, most: Option<u64>) -> Option<Finding> {
    let (count, most) = (count?, most?);
    let ports: Vec<String> = config.udp.addresses.iter().map(|address| address.port().to_string()).collect();
    let mut ports = ports;
    ports.sort_unstable();
    ports.dedup();
    let ports = ports.join(", ");
    Some(Finding::advice(
        "connection tracking",
        format!(
            "the firewall tracks connections ({count} of {most}): each client that sockets answer takes an entry, and a full table drops packets"
        ),
        format!(
            "leave the tracker out: nft 'add table inet tracker; add chain inet tracker in {{ type filter hook prerouting priority raw; }}; add \
             rule inet tracker in udp dport {{ {ports} }} notrack; add chain inet tracker out {{ type filter hook output priority raw; }}; add rule \
             inet tracker out udp sport {{ {ports} }} notrack'"
        ),
    ))
}

fn file_descriptors(config: &Config, hard: Option<u64>) -> Option<Finding> {
    if config.http.listen.is_empty() {
        return None;
    }
    let hard = hard?;
    let needed = descriptors::needed(
        config.http.max_connections,
        config.http.worker_count(),
        config.http.listen.len(),
    );
    let found =
        format!("at most {hard}, http.max_connections = {} needs {needed}", config.http.max_connections);
    Some(if hard >= needed {
        Finding::ok("file descriptors", found)
    } else {
        Finding::advice(
            "file descriptors",
            found,
            format!(
                "LimitNOFILE={needed} in the systemd unit, or `ulimit -n {needed}` as root, or a lower http.max_connections"
            ),
        )
    })
}

fn backlog(config: &Config, most: Option<u64>) -> Option<Finding> {
    const ENOUGH: u64 = 4096;
    let most = most.filter(|_| !config.http.listen.is_empty())?;
    let found = format!("net.core.somaxconn = {most}");
    Some(if most >= ENOUGH {
        Finding::ok("connections that wait to be accepted", found)
    } else {
        Finding::advice(
            "connections that wait to be accepted",
            found,
            format!("sysctl net.core.somaxconn={ENOUGH}"),
        )
    })
}

fn state_directory(directory: &Path) -> Finding {
    let about = "state directory";
    let path = directory.display();
    // Where it would be made, when it isn't there.
    let mut existing = directory;
    while !existing.exists() {
        match existing.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => existing = parent,
            _ => break,
        }
    }
    match tempfile::tempfile_in(existing) {
        Ok(_removed) if existing == directory => Finding::ok(about, path.to_string()),
        Ok(_removed) => Finding::ok(about, format!("{path} will be made")),
        Err(error) => Finding::advice(
            about,
            format!(
                "{path} can't be written ({error}): connection ids and changes to lists would not survive a restart"
            ),
            "run this as the tracker's user, or choose another state_directory",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn kernels_are_told_apart() {
        for (release, with_xdp, with_sockets) in [
            ("6.18.44", Level::Ok, Level::Ok),
            ("6.1.0-18-amd64", Level::Ok, Level::Ok),
            ("6.1", Level::Ok, Level::Ok),
            ("6.0.19-generic", Level::Advice, Level::Advice),
            ("5.18.1", Level::Advice, Level::Advice),
            ("5.17", Level::Problem, Level::Advice),
            ("5.10.0-28-amd64", Level::Problem, Level::Advice),
            ("garbage", Level::Problem, Level::Advice),
        ] {
            assert_eq!(kernel(release, true).level, with_xdp, "{release}");
            assert_eq!(kernel(release, false).level, with_sockets, "{release}");
        }
    }

    #[test]
    fn an_older_kernel_s_finding_says_which_one_to_use() {
        for release in ["5.17.0", "6.0.19"] {
            let remedy = kernel(release, true).remedy.expect("there is one");
            assert!(remedy.contains("use Linux 6.1 or newer"), "{release}: {remedy}");
        }
    }

    #[test]
    fn limits_below_the_configuration_are_advice_with_the_number() {
        let config = Config::default();
        let buffer = receive_buffer(&config, Some(212_992)).expect("a buffer is configured");
        assert_eq!(buffer.level, Level::Advice);
        assert!(buffer.remedy.expect("there is one").contains("net.core.rmem_max=4194304"));
        assert_eq!(receive_buffer(&config, Some(1 << 30)).expect("it is there").level, Level::Ok);
        let files = file_descriptors(&config, Some(1024)).expect("HTTP is on");
        assert!(files.remedy.expect("there is one").contains("LimitNOFILE=65"));
        assert_eq!(map_count(&config, Some(65_530)).expect("it is there").level, Level::Ok);
        assert_eq!(map_count(&config, Some(1000)).expect("it is there").level, Level::Advice);
        assert_eq!(conntrack(&config, None, None), None);
        let tracked = conntrack(&config, Some(5), Some(10)).expect("it is on");
        assert!(tracked.remedy.expect("there is one").contains("dport { 6969 } notrack"));
    }
}
