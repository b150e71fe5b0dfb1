//! Interfaces: driver, queues, offloads, MTU, and whoever is there already. Tests are below.

use std::fs;
use std::thread::available_parallelism;

use super::Finding;
use super::ethtool::{self, Offloads};
use super::machine::wants_xdp;
use crate::config::{Config, XdpMode};
use crate::interface::{Interface, interfaces};

/// Drivers with native XDP that can send answers back.
const NATIVE: &[&str] = &[
    "atlantic",
    "bnxt_en",
    "dpaa2-eth",
    "ena",
    "fec",
    "funeth",
    "gve",
    "hv_netvsc",
    "i40e",
    "ice",
    "igb",
    "igc",
    "ixgbe",
    "ixgbevf",
    "mana",
    "mlx4_en",
    "mlx5_core",
    "mvneta",
    "mvpp2",
    "netvsc",
    "nfp",
    "octeontx2",
    "qede",
    "sfc",
    "stmmac",
    "thunder",
    "tun",
    "veth",
    "virtio_net",
    "xen_netfront",
];

/// The largest MTU whose frames are in one page with the room that XDP wants.
const MTU_OF_A_PAGE: u32 = 3498;

/// The smallest MTU of IPv6, and of all answers in one piece.
const LEAST_MTU: u32 = 1500;

pub(super) fn examine(config: &Config) -> Vec<Finding> {
    if !wants_xdp(config) {
        return Vec::new();
    }
    let all = match interfaces() {
        Ok(all) => all,
        Err(error) => {
            return vec![Finding::problem(
                "interfaces",
                error.to_string(),
                "the tracker needs netlink: look into the sandbox it runs in",
            )];
        }
    };
    let mut findings = Vec::new();
    for name in &config.xdp.interfaces {
        match all.iter().find(|interface| interface.name == *name) {
            Some(interface) => findings.extend(examine_one(config.xdp.mode, interface)),
            None => {
                let names: Vec<&str> = all.iter().map(|interface| interface.name.as_str()).collect();
                findings.push(Finding::problem(
                    name.as_str(),
                    "there is no such interface",
                    format!("choose one of: {}", names.join(", ")),
                ));
            }
        }
    }
    findings
}

fn examine_one(mode: XdpMode, interface: &Interface) -> Vec<Finding> {
    let name = &interface.name;
    let mut findings = Vec::new();
    if !interface.up {
        findings.push(Finding::advice(
            name.as_str(),
            "the interface is down",
            format!("ip link set dev {name} up"),
        ));
    }
    let driver = if interface.loopback { Ok("loopback".to_owned()) } else { ethtool::driver(name) };
    findings.push(driver_of(name, mode, driver.as_deref().unwrap_or("of unknown name")));
    if let Some(attached) = interface.xdp {
        findings.push(Finding::problem(
            format!("{name}, other programs"),
            format!("XDP program {} is attached", attached.program_id),
            format!("stop what attached it (`bpftool net` shows it), or `ip link set dev {name} xdp off`"),
        ));
    }
    if !interface.loopback {
        findings.push(mtu_of(name, interface.mtu));
    }
    let receiving = receive_queues(interface);
    let processors = available_parallelism().map_or(1, |count| count.get());
    if receiving > 0 && !interface.loopback {
        findings.push(queues_of(name, receiving, processors));
    }
    if interface.veth {
        findings.push(Finding::advice(
            format!("{name}, other end"),
            "answers arrive only if the other end of the cable has an XDP program, too",
            "attach one there that lets everything pass, or use --xdp generic",
        ));
    }
    if let Ok(offloads) = ethtool::offloads(name) {
        let vlans = fs::read_to_string("/proc/net/vlan/config").unwrap_or_default();
        findings.extend(offloads_of(name, offloads, has_vlans(&vlans, name)));
    }
    findings
}

/// 0 where it can't be seen: sysfs shows the namespace in which it was mounted.
fn receive_queues(interface: &Interface) -> usize {
    let directory = format!("/sys/class/net/{}", interface.name);
    let index = fs::read_to_string(format!("{directory}/ifindex")).unwrap_or_default();
    if index.trim() != interface.index.to_string() {
        return 0;
    }
    let queues = fs::read_dir(format!("{directory}/queues")).into_iter().flatten().flatten();
    queues.filter(|queue| queue.file_name().to_string_lossy().starts_with("rx-")).count()
}

fn driver_of(name: &str, mode: XdpMode, driver: &str) -> Finding {
    let about = format!("{name}, driver");
    if NATIVE.contains(&driver) {
        return Finding::ok(about, format!("{driver} has native XDP"));
    }
    let found = format!("{driver} isn't known to have native XDP");
    match mode {
        XdpMode::Native => {
            Finding::problem(about, found, "--xdp auto, or a network card whose driver has it")
        }
        XdpMode::Generic => Finding::ok(about, format!("{found}; generic is what is configured")),
        _ => Finding::advice(
            about,
            format!("{found}: generic XDP answers behind the driver, at a part of the speed"),
            "for the full speed use a network card whose driver has it",
        ),
    }
}

fn mtu_of(name: &str, mtu: u32) -> Finding {
    let about = format!("{name}, MTU");
    if mtu > MTU_OF_A_PAGE {
        Finding::advice(
            about,
            format!("{mtu}: many drivers take no program above {MTU_OF_A_PAGE}"),
            format!("ip link set dev {name} mtu 1500; no packet of the protocol is longer"),
        )
    } else if mtu < LEAST_MTU {
        Finding::advice(
            about,
            format!("{mtu}: answers of up to 1,400 bytes and their headers may be fragmented or lost"),
            "lower protocol.max_response_peers and protocol.max_scrape_torrents if the link can't have 1500",
        )
    } else {
        Finding::ok(about, mtu.to_string())
    }
}

fn queues_of(name: &str, receiving: usize, processors: usize) -> Finding {
    let about = format!("{name}, queues");
    let found = format!("{receiving} for {processors} processors");
    if receiving >= processors {
        Finding::ok(about, found)
    } else {
        Finding::advice(
            about,
            format!("{found}: the others answer nothing"),
            format!("ethtool -L {name} combined {processors}, if the card has as many"),
        )
    }
}

fn offloads_of(name: &str, offloads: Offloads, vlans: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    if offloads.lro {
        findings.push(Finding::problem(
            format!("{name}, large receive offload"),
            "on: drivers take no program with it",
            format!("ethtool -K {name} lro off"),
        ));
    }
    if offloads.rx_vlan && vlans {
        findings.push(Finding::problem(
            format!("{name}, VLAN tags"),
            "the card takes them off before the program sees them, so answers would go out without",
            format!("ethtool -K {name} rxvlan off"),
        ));
    }
    findings
}

/// Whether the kernel's list of VLANs (`name | number | parent`) has one over this interface.
fn has_vlans(list: &str, name: &str) -> bool {
    list.lines()
        .any(|line| line.rsplit('|').next().is_some_and(|parent| parent.trim() == name) && line.contains('|'))
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn drivers_matter_by_the_mode() {
        for (driver, mode, level) in [
            ("ixgbe", XdpMode::Native, Level::Ok),
            ("r8169", XdpMode::Native, Level::Problem),
            ("r8169", XdpMode::Auto, Level::Advice),
            ("r8169", XdpMode::Generic, Level::Ok),
        ] {
            assert_eq!(driver_of("eth0", mode, driver).level, level, "{driver} {mode}");
        }
        assert!(NATIVE.is_sorted());
    }

    #[test]
    fn frames_longer_than_a_page_and_short_links_are_advice() {
        assert_eq!(
            [9000, 1500, 1280].map(|mtu| mtu_of("eth0", mtu).level),
            [Level::Advice, Level::Ok, Level::Advice]
        );
    }

    #[test]
    fn offloads_in_the_way_are_problems() {
        let both = Offloads { lro: true, rx_vlan: true };
        assert_eq!(offloads_of("eth0", both, true).len(), 2);
        assert_eq!(offloads_of("eth0", both, false).len(), 1);
        assert_eq!(offloads_of("eth0", Offloads::default(), true), []);
        let list = "VLAN Dev name    | VLAN ID\nName-Type: VLAN_NAME_TYPE_RAW_PLUS_VID_NO_PAD\neth0.5         | 5  | eth0\n";
        assert!(has_vlans(list, "eth0") && !has_vlans(list, "eth1"));
    }
}
