//! Which capabilities the process has, so that a refusal can name the missing ones.
//!
//! Used by `bpf` before it asks the kernel for anything. Tests are below.

use std::fs;

/// A capability, with its number in linux/capability.h.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capability {
    /// Attach to network interfaces.
    NetAdmin = 12,
    /// Everything, before Linux 5.8 split `CAP_BPF` off; the kernel still takes it instead.
    SysAdmin = 21,
    /// Pointer arithmetic that depends on the path (a verdict's counter), which the verifier refuses without it.
    Perfmon = 38,
    /// Load programs, make maps.
    Bpf = 39,
}

/// The names of the capabilities that loading and attaching need and the process doesn't have.
pub fn missing_for_xdp() -> Vec<&'static str> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    effective(&status).map(missing).unwrap_or_default()
}

fn effective(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

fn missing(effective: u64) -> Vec<&'static str> {
    let has = |capability: Capability| effective >> capability as u32 & 1 == 1;
    let mut names = Vec::new();
    if !has(Capability::SysAdmin) {
        if !has(Capability::Bpf) {
            names.push("CAP_BPF");
        }
        if !has(Capability::Perfmon) {
            names.push("CAP_PERFMON");
        }
    }
    if !has(Capability::NetAdmin) {
        names.push("CAP_NET_ADMIN");
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_misses_nothing_and_nobody_misses_all() {
        let root = effective("Name:\tx\nCapEff:\t000001ffffffffff\n").expect("the line is there");
        assert_eq!(missing(root), Vec::<&str>::new());
        assert_eq!(missing(0), ["CAP_BPF", "CAP_PERFMON", "CAP_NET_ADMIN"]);
        assert_eq!(missing(1 << 39 | 1 << 38), ["CAP_NET_ADMIN"]);
        assert_eq!(missing(1 << 21), ["CAP_NET_ADMIN"]);
    }

    #[test]
    fn own_status_is_read() {
        assert!(effective(&fs::read_to_string("/proc/self/status").expect("Linux has it")).is_some());
    }
}
