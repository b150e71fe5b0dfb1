//! The XDP program in this tracker's service: on which interfaces, for which addresses, with which switches.
//!
//! Called by `daemon` in the order load, table, prepare, attach: everything that the program looks up is in its maps before the first packet.
//! Each step down (native, generic, sockets alone) is one line of the log with the reason and the remedy. Tests are below, and
//! end to end in `tests/cli`.

use std::net::SocketAddr;

use anyhow::{Context as _, bail};
use tracker_common::connection_id::Keys;
use tracker_common::settings::{ENDPOINTS_PER_FAMILY, Endpoints, Settings, answer};
use tracker_common::sketch::SourceLimits;
use tracker_core::TableWriter;

use crate::bpf::{AttachMode, EventRing, Kernel};
use crate::config::{BadConnectionId, Config, XdpAnswer, XdpMode};
use crate::huge_segments::HugeSegments;
use crate::identity;
use crate::interface::{self, Interface, InterfaceAddress};
use crate::lists::Lists;
use crate::stats::InterfaceMode;
use crate::writer_thread;

/// An interface of the configuration and what became of it.
pub(crate) struct Served {
    pub(crate) interface: Interface,
    pub(crate) result: InterfaceMode,
}

pub(crate) fn find_interfaces(names: &[String]) -> anyhow::Result<Vec<Interface>> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let all = interface::interfaces().context("asking for the network interfaces")?;
    let find = |name: &String| {
        all.iter().find(|interface| interface.name == *name).cloned().with_context(|| {
            let existing: Vec<&str> = all.iter().map(|interface| interface.name.as_str()).collect();
            format!("interface {name} doesn't exist; there are: {}", existing.join(", "))
        })
    };
    let mut found: Vec<Interface> = Vec::new();
    for name in names {
        let interface = find(name)?;
        if !found.contains(&interface) {
            found.push(interface);
        }
    }
    Ok(found)
}

/// The program, or why there is none.
pub(crate) type Loaded = Result<Kernel, String>;

pub(crate) fn load(config: &Config, wanted: bool) -> anyhow::Result<Loaded> {
    if !wanted {
        if matches!(config.xdp.mode, XdpMode::Native | XdpMode::Generic) {
            bail!("--xdp {}: on which interface? Name it with --iface or in xdp.interfaces", config.xdp.mode);
        }
        return Ok(Err("no interface".to_owned()));
    }
    if config.xdp.mode == XdpMode::Off {
        return Ok(Err("switched off".to_owned()));
    }
    match Kernel::load(config) {
        Ok(kernel) => Ok(Ok(kernel)),
        Err(error) if config.xdp.mode == XdpMode::Auto => {
            tracing::warn!("the XDP program isn't loaded, sockets answer everything: {error:#}");
            Ok(Err(format!("{error:#}")))
        }
        Err(error) => Err(error.context(format!("--xdp {}: the XDP program isn't loaded", config.xdp.mode))),
    }
}

/// Makes the swarm table where the program can read it, with the ring of its events; in ordinary memory if there is no program.
pub(crate) fn table(
    loaded: &mut Loaded,
    config: &Config,
) -> anyhow::Result<(TableWriter, Option<EventRing>)> {
    if let Ok(kernel) = loaded {
        match shared_table(kernel, config) {
            Ok((table, ring)) => return Ok((table, Some(ring))),
            Err(error) if config.xdp.mode == XdpMode::Auto => {
                tracing::warn!("no swarm table in the kernel, sockets answer everything: {error:#}");
                *loaded = Err(format!("{error:#}"));
            }
            Err(error) => {
                return Err(error.context(format!("--xdp {}: no swarm table in the kernel", config.xdp.mode)));
            }
        }
    }
    Ok((writer_thread::table(config, Box::new(HugeSegments::default()))?, None))
}

fn shared_table(kernel: &mut Kernel, config: &Config) -> anyhow::Result<(TableWriter, EventRing)> {
    let ring = kernel.events()?;
    let segments = identity::with_only(identity::FOR_MAPS, || kernel.segments())?;
    let table = writer_thread::table(config, Box::new(segments))?;
    Ok((table, ring))
}

/// Writes everything that the program needs before the first packet.
pub(crate) fn prepare(
    kernel: &mut Kernel,
    config: &Config,
    keys: &Keys,
    lists: &Lists,
    limits: SourceLimits,
    bound: &[SocketAddr],
    interfaces: &[Interface],
) -> anyhow::Result<Vec<SocketAddr>> {
    kernel.set_keys(keys)?;
    lists.fill(kernel)?;
    kernel.set_settings(&settings(config, lists, limits))?;
    let attached: Vec<u32> = interfaces.iter().map(|interface| interface.index).collect();
    let endpoints = concrete(bound, local_addresses(), &attached);
    kernel.set_endpoints(&Endpoints::new(endpoints.iter().copied()))?;
    Ok(endpoints)
}

/// Attaches to each interface as well as it can be done; an explicit mode that can't be had is an error.
pub(crate) fn attach_all(
    loaded: Loaded,
    interfaces: Vec<Interface>,
    wanted: XdpMode,
) -> anyhow::Result<(Option<Kernel>, Vec<Served>)> {
    let mut served = Vec::new();
    let mut kernel = match loaded {
        Ok(kernel) => kernel,
        Err(reason) => {
            for interface in interfaces {
                let result = InterfaceMode {
                    name: interface.name.clone(),
                    mode: "off".to_owned(),
                    reason: Some(reason.clone()),
                };
                served.push(Served { interface, result });
            }
            return Ok((None, served));
        }
    };
    for interface in interfaces {
        match attach(&mut kernel, &interface, wanted) {
            Ok(result) => served.push(Served { interface, result }),
            Err(error) => {
                kernel.detach();
                return Err(error);
            }
        }
    }
    if served.iter().all(|served| served.result.mode == "off") {
        kernel.detach();
        return Ok((None, served));
    }
    Ok((Some(kernel), served))
}

fn attach(kernel: &mut Kernel, interface: &Interface, wanted: XdpMode) -> anyhow::Result<InterfaceMode> {
    let name = &interface.name;
    let attached = |mode: AttachMode, reason: Option<String>| {
        tracing::info!("{name}: the XDP program is attached in {} mode", mode.name());
        if interface.veth && mode == AttachMode::Native {
            // The driver delivers what XDP sends only to a NAPI that it wakes for a program (seen with Linux 6.18).
            tracing::warn!(
                "{name} is one end of a veth pair: unless its other end has an XDP program too (one that only passes will do), \
                 answers from native mode are lost; if clients get none, use --xdp generic"
            );
        }
        InterfaceMode { name: name.clone(), mode: mode.name().to_owned(), reason }
    };
    let explicit = match wanted {
        XdpMode::Native => Some(AttachMode::Native),
        XdpMode::Generic => Some(AttachMode::Generic),
        XdpMode::Auto | XdpMode::Off => None,
    };
    if let Some(mode) = explicit {
        return match kernel.attach(interface, mode) {
            Ok(()) => Ok(attached(mode, None)),
            Err(refused) => bail!("{name}: no XDP in {} mode: {}", mode.name(), refused.reason),
        };
    }
    let mut reason = None;
    for (mode, next) in [(AttachMode::Native, "generic mode"), (AttachMode::Generic, "sockets alone")] {
        if mode == AttachMode::Native && interface.loopback {
            reason = Some("a loopback interface has no native XDP".to_owned());
            continue;
        }
        match kernel.attach(interface, mode) {
            Ok(()) => return Ok(attached(mode, reason)),
            Err(refused) => {
                let next = if refused.other_mode_may_work { next } else { "sockets alone" };
                tracing::warn!(
                    "{name}: no XDP in {} mode: {}; going on with {next}",
                    mode.name(),
                    refused.reason
                );
                reason = Some(refused.reason);
                if !refused.other_mode_may_work {
                    break;
                }
            }
        }
    }
    Ok(InterfaceMode { name: name.clone(), mode: "off".to_owned(), reason })
}

pub(crate) fn settings(config: &Config, lists: &Lists, limits: SourceLimits) -> Settings {
    let (block4, block6) = lists.blocks_any();
    Settings {
        access_mode: lists.kernel_mode(),
        errors_per_window: match config.udp.bad_connection_id {
            BadConnectionId::Error => config.udp.errors_per_second,
            BadConnectionId::Drop => 0,
        },
        block4: u32::from(block4),
        block6: u32::from(block6),
        answer: match config.xdp.answer {
            XdpAnswer::All => answer::ALL,
            XdpAnswer::Connect => answer::CONNECT,
        },
        interval_s: config.protocol.interval_s,
        max_response_peers: config.protocol.max_response_peers,
        max_scrape_torrents: config.protocol.max_scrape_torrents,
        limits,
    }
}

pub(crate) fn local_addresses() -> Vec<InterfaceAddress> {
    interface::addresses().unwrap_or_else(|error| {
        tracing::warn!("asking for the machine's addresses: {error}");
        Vec::new()
    })
}

/// The addresses that the program serves: it compares destinations, so a wildcard becomes all addresses of the machine. There is room for
/// so many of each family; the first ones are configured as such or on an interface of the program.
pub(crate) fn concrete(
    bound: &[SocketAddr],
    mut locals: Vec<InterfaceAddress>,
    interfaces: &[u32],
) -> Vec<SocketAddr> {
    locals.sort_by_key(|local| (!interfaces.contains(&local.interface), local.ip));
    let (wildcards, mut endpoints): (Vec<SocketAddr>, Vec<SocketAddr>) =
        bound.iter().partition(|address| address.ip().is_unspecified());
    for local in locals {
        for wildcard in wildcards.iter().filter(|wildcard| wildcard.is_ipv4() == local.ip.is_ipv4()) {
            let endpoint = SocketAddr::new(local.ip, wildcard.port());
            if !endpoints.contains(&endpoint) {
                endpoints.push(endpoint);
            }
        }
    }
    for (family, v4) in [("IPv4", true), ("IPv6", false)] {
        let count = endpoints.iter().filter(|endpoint| endpoint.is_ipv4() == v4).count();
        if count > ENDPOINTS_PER_FAMILY {
            tracing::debug!(
                "{count} {family} addresses and ports are served, {ENDPOINTS_PER_FAMILY} of them in the kernel, the others by the sockets"
            );
        }
    }
    endpoints
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_become_the_addresses_of_their_family_those_of_the_program_first() {
        let locals = [(1, "127.0.0.1"), (1, "::1"), (2, "192.0.2.1"), (2, "192.0.2.2")]
            .map(|(interface, ip)| InterfaceAddress { interface, ip: ip.parse().expect("an address") });
        let bound = ["0.0.0.0:1", "[::]:2", "192.0.2.1:1"].map(|text| text.parse().expect("an address"));
        let expected = ["192.0.2.1:1", "192.0.2.2:1", "127.0.0.1:1", "[::1]:2"]
            .map(|text| text.parse::<SocketAddr>().expect("an address"));
        assert_eq!(concrete(&bound, locals.to_vec(), &[2]), expected);
    }

    #[test]
    fn missing_interface_is_named_with_the_existing_ones() {
        let error =
            find_interfaces(&["nosuch0".to_owned()]).map(|_| ()).expect_err("it doesn't exist").to_string();
        assert!(
            error.contains("interface nosuch0 doesn't exist; there are: ") && error.contains("lo"),
            "{error}"
        );
    }
}
