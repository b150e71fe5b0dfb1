//! Frames of other software rebuilt, and what each override changes.

use super::*;
use crate::verify::Datagram;

#[test]
fn frames_of_linux_are_rebuilt_byte_for_byte() {
    // Sent by the socket module of Python 3.11 on Linux 6.18 through a veth pair with `tx off`, read by an
    // AF_PACKET socket: "hello" from port 40000 to port 6969.
    let captured =
        hex("5eda6efcea71462086a4eaa30800450000219ab3400040118b500a6300010a6300029c401b39000defbf68656c6c6f");
    let frame = eth()
        .macs([0x46, 0x20, 0x86, 0xa4, 0xea, 0xa3], [0x5e, 0xda, 0x6e, 0xfc, 0xea, 0x71])
        .ipv4([10, 99, 0, 1].into(), [10, 99, 0, 2].into())
        .hops(64)
        .identification(0x9ab3)
        .udp(40_000, 6969)
        .payload(*b"hello");
    assert_eq!(frame.build(), captured);

    let captured = hex(concat!(
        "92254c9d874bfafdcc85911b86dd6003e632000d1140fd990000000000000000",
        "000000000001fd9900000000000000000000000000029c401b39000d095268656c6c6f"
    ));
    let frame = eth()
        .macs([0xfa, 0xfd, 0xcc, 0x85, 0x91, 0x1b], [0x92, 0x25, 0x4c, 0x9d, 0x87, 0x4b])
        .ipv6("fd99::1".parse().unwrap(), "fd99::2".parse().unwrap())
        .flow_label(0x3e632)
        .hops(64)
        .udp(40_000, 6969)
        .payload(*b"hello");
    assert_eq!(frame.build(), captured);
}

fn hex(text: &str) -> Vec<u8> {
    text.as_bytes()
        .chunks(2)
        .map(|digits| u8::from_str_radix(str::from_utf8(digits).unwrap(), 16).unwrap())
        .collect()
}

#[test]
fn overrides_change_their_field_and_no_other() {
    let right = eth().ipv4([10, 0, 0, 1].into(), [10, 0, 0, 2].into()).udp(1, 2).payload(*b"x");
    let differing = |other: PacketBuilder| -> Vec<usize> {
        right
            .build()
            .iter()
            .zip(other.build())
            .enumerate()
            .filter(|(_, (a, b))| **a != *b)
            .map(|(i, _)| i)
            .collect()
    };
    assert_eq!(differing(right.clone().ip_checksum(Checksum::Bad)), [24]);
    assert_eq!(differing(right.clone().udp_checksum(Checksum::Bad)), [40]);
    assert_eq!(differing(right.clone().udp_checksum(Checksum::Zero)), [40, 41]);
    assert_eq!(right.clone().padded_to(60).build().len(), 60);
    assert_eq!(right.clone().truncated_to(20).build().len(), 20);
}

#[test]
fn extension_headers_chain_to_udp() {
    let source: Ipv6Addr = "2001:db8::1".parse().unwrap();
    let frame = eth()
        .ipv6(source, source)
        .extension(EXTENSION_HOP_BY_HOP)
        .first_fragment()
        .udp(1, 2)
        .payload(*b"payload")
        .build();
    assert_eq!(frame[20], EXTENSION_HOP_BY_HOP);
    assert_eq!(frame[54], EXTENSION_FRAGMENT);
    assert_eq!(frame[62], PROTOCOL_UDP);
    assert_eq!(usize::from(u16::from_be_bytes([frame[18], frame[19]])), frame.len() - 54);
}

#[test]
fn what_is_built_can_be_read_back() {
    let source: SocketAddr = "[2001:db8::1]:50000".parse().unwrap();
    let destination: SocketAddr = "[2001:db8::2]:6969".parse().unwrap();
    let read = Datagram::read(&datagram(source, destination, *b"odd")).unwrap();
    assert_eq!((read.source, read.destination, read.payload), (source, destination, b"odd".to_vec()));
}
