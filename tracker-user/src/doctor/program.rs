//! The XDP program: whether this process may load it, and whether the kernel takes it.

use super::Finding;
use super::machine::wants_xdp;
use crate::bpf::Kernel;
use crate::config::{Config, XdpAnswer};
use crate::privileges;

pub(super) fn examine(config: &Config) -> Vec<Finding> {
    if !wants_xdp(config) {
        return vec![Finding::advice(
            "XDP",
            "no interface is named: sockets would answer everything",
            "tracker-user doctor --iface eth0",
        )];
    }
    let mut findings = Vec::new();
    let missing = privileges::missing_for_xdp();
    if !missing.is_empty() {
        findings.push(Finding::problem(
            "capabilities",
            format!("missing: {}", missing.join(", ")),
            "run this and the tracker as root, by the systemd unit, or after `setcap cap_bpf,cap_perfmon,cap_net_admin+ep` on the binary",
        ));
        return findings;
    }
    findings.push(Finding::ok("capabilities", "CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN are there"));
    findings.push(match Kernel::try_program(config) {
        Ok(XdpAnswer::All) => Finding::ok("XDP program", "the kernel takes it"),
        Ok(XdpAnswer::Connect) if config.xdp.answer == XdpAnswer::Connect => {
            Finding::ok("XDP program", "the kernel takes it; connects alone, as configured")
        }
        Ok(XdpAnswer::Connect) => Finding::advice(
            "XDP program",
            "the kernel takes the smaller one, which answers connects alone",
            "use a newer kernel, or set xdp.answer = \"connect\" to spare the attempt",
        ),
        Err(error) => Finding::problem(
            "XDP program",
            format!("{error:#}"),
            "see what the kernel says; `ulimit -l unlimited` on kernels before 5.11; --xdp off answers over sockets",
        ),
    });
    findings.push(match Kernel::can_pin(config) {
        Ok(directory) => Finding::ok("BPF file system", format!("{} can have the pins", directory.display())),
        Err(error) => Finding::advice(
            "BPF file system",
            format!("{error:#}"),
            "mount -t bpf bpf /sys/fs/bpf; without it the tracker works, but tools such as bpftool don't find its maps by name",
        ),
    });
    findings
}
