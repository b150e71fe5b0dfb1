//! A block list of 100,000 networks as the kernel has it: the XDP program over the maps that the tracker filled, asked for thousands of addresses,
//! against a look through all networks.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tracker_common::connection_id::Keys;
use tracker_common::settings::{Endpoints, names};
use tracker_common::verdict::Verdict;
use tracker_core::Random;
use tracker_core::block_list::Network;
use tracker_testkit::packet::datagram;
use tracker_testkit::payload;
use tracker_testkit::skip::{Requirement, must_skip};

use crate::loaded::LoadedProgram;
use crate::told_with_input;
use crate::wired::Wired;

const LOOPBACK: u32 = 1;
const NETWORKS_EACH: usize = 50_000;
const SOURCES_EACH: usize = 2_000;

/// Long enough that most of the world isn't blocked, some of them longer or shorter than a /24.
fn network(random: &mut Random, v4: bool) -> Network {
    let bits = u128::from(random.next()) << 64 | u128::from(random.next());
    let roll = random.next();
    let text = if v4 {
        let address = unicast(bits as u32);
        format!("{address}/{}", if roll.is_multiple_of(500) { 14 } else { 18 + roll % 15 })
    } else {
        // In one eighth of the addresses, as the real ones are.
        let address = Ipv6Addr::from_bits(bits >> 3 | 1 << 125);
        format!("{address}/{}", 24 + roll % 105)
    };
    Network::parse(&text).expect("it is a network")
}

/// An address that may be a source.
fn unicast(bits: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits((1 + (bits >> 24) % 120) << 24 | bits & 0xff_ffff)
}

fn contains(network: &Network, address: IpAddr) -> bool {
    match (network.address, address) {
        (IpAddr::V4(first), IpAddr::V4(address)) => {
            (first.to_bits() ^ address.to_bits()).leading_zeros() >= u32::from(network.prefix_len)
        }
        (IpAddr::V6(first), IpAddr::V6(address)) => {
            (first.to_bits() ^ address.to_bits()).leading_zeros() >= u32::from(network.prefix_len)
        }
        _ => false,
    }
}

/// In a network, at one of its ends, beside it, or anywhere.
fn source(random: &mut Random, networks: &[Network]) -> IpAddr {
    let network = networks[random.next() as usize % networks.len()];
    let (any, roll) = (random.next(), random.next() % 4);
    match network.address {
        IpAddr::V4(first) => {
            let rest = u32::MAX.checked_shr(network.prefix_len.into()).unwrap_or(0);
            let first = first.to_bits();
            let bits = [first | any as u32 & rest, first, (first | rest) + 1, unicast(any as u32).to_bits()];
            IpAddr::V4(Ipv4Addr::from_bits(bits[roll as usize]))
        }
        IpAddr::V6(first) => {
            let rest = u128::MAX.checked_shr(network.prefix_len.into()).unwrap_or(0);
            let (first, any) = (first.to_bits(), u128::from(any) << 60 | u128::from(any));
            let bits = [first | any & rest, first, (first | rest) + 1, any | 1 << 125];
            IpAddr::V6(bits[roll as usize].into())
        }
    }
}

#[test]
fn the_program_blocks_exactly_the_addresses_of_a_hundred_thousand_networks() {
    if must_skip(&[Requirement::Root, Requirement::Bpf]) {
        return;
    }
    let mut random = Random::new(6);
    let networks = [true, false]
        .map(|v4| -> Vec<Network> { (0..NETWORKS_EACH).map(|_| network(&mut random, v4)).collect() });
    let text: String = networks.iter().flatten().map(|network| format!("{network}\n")).collect();
    let wired = Wired::new("off", "");
    let _daemon = wired.start();
    told_with_input(&wired.home, &["map", "block", "load", "-"], &text);

    let directory = wired.pins.path().join(format!("v{}", tracker_common::settings::LAYOUT_VERSION));
    let pinned = [names::SETTINGS, names::BLOCK4_BITS, names::BLOCK4, names::BLOCK6];
    let mut program = LoadedProgram::with_pins(&directory, &pinned);
    let trackers: [SocketAddr; 2] =
        ["198.51.100.1:6969", "[2001:db8::1]:6969"].map(|text| text.parse().unwrap());
    program.set_keys(&Keys::from_bytes(&[7; Keys::BYTES]));
    program.set_endpoints(&Endpoints::new(trackers));
    for (networks, tracker) in networks.iter().zip(trackers) {
        let mut blocked = 0;
        for _ in 0..SOURCES_EACH {
            let address = source(&mut random, networks);
            let frame = datagram(SocketAddr::new(address, 6881), tracker, payload::connect(1));
            let expected = networks.iter().any(|network| contains(network, address));
            let verdict = program.run(&frame, LOOPBACK).verdict;
            let wanted = if expected { Verdict::DropBlocked } else { Verdict::Connect };
            assert_eq!(verdict, wanted, "{address}");
            blocked += usize::from(expected);
        }
        // A test of which most cases are of one kind would say little.
        assert!((SOURCES_EACH / 10..SOURCES_EACH * 9 / 10).contains(&blocked), "{blocked} of {SOURCES_EACH}");
    }
    wired.home.told(&["map", "block", "clear"]);
    for (networks, tracker) in networks.iter().zip(trackers) {
        let frame = datagram(SocketAddr::new(networks[0].address, 6881), tracker, payload::connect(1));
        assert_eq!(program.run(&frame, LOOPBACK).verdict, Verdict::Connect);
    }
}
