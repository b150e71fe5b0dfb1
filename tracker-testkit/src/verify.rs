//! An independent reader of frames: what the tracker put on the wire, checked against the RFCs and not against the
//! tracker's own code.
//!
//! [`Datagram::read`] takes one frame apart and refuses whatever a receiver would refuse; [`answer`] also compares
//! an answer with its request. Errors are sentences for a failing test to print.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::packet::SHORTEST_ON_THE_WIRE;

/// RFC 1071: the folded one's complement sum of all parts, each of which but the last has an even length.
pub fn ones_complement_sum(parts: &[&[u8]]) -> u16 {
    let mut sum: u64 = 0;
    for part in parts {
        for pair in part.chunks(2) {
            sum += u64::from(pair[0]) << 8 | u64::from(*pair.get(1).unwrap_or(&0));
        }
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// A UDP datagram as a receiver understands it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Hardware address of the sender.
    pub source_mac: [u8; 6],
    /// Hardware address of the receiver.
    pub destination_mac: [u8; 6],
    /// Tags in the order of the frame: ethertype and control word.
    pub tags: Vec<(u16, u16)>,
    /// Address and port of the sender.
    pub source: SocketAddr,
    /// Address and port of the receiver.
    pub destination: SocketAddr,
    /// Time to live, or hop limit.
    pub hops: u8,
    /// What UDP carries.
    pub payload: Vec<u8>,
    /// Bytes behind the end that the IP header gives: padding.
    pub trailing: usize,
}

impl Datagram {
    /// Takes a frame apart: a UDP datagram without IP options, fragments or extension headers, whose lengths and
    /// checksums are right.
    pub fn read(frame: &[u8]) -> Result<Self, String> {
        let mut rest = Bytes(frame);
        let Ethernet { destination_mac, source_mac, tags, ethertype } = Ethernet::read(&mut rest)?;
        let (network, segment, trailing) = match ethertype {
            0x0800 => Network::v4(rest.0)?,
            0x86dd => Network::v6(rest.0)?,
            other => return Err(format!("ethertype {other:#06x} is neither IPv4 nor IPv6")),
        };
        let (source_port, destination_port, payload) = network.udp(segment)?;
        Ok(Self {
            source_mac,
            destination_mac,
            tags,
            source: SocketAddr::new(network.source, source_port),
            destination: SocketAddr::new(network.destination, destination_port),
            hops: network.hops,
            payload: payload.to_vec(),
            trailing,
        })
    }
}

/// Checks `answer` as the answer to the frame `request`: everything turned round, TTL 64, the same tags, no byte
/// too many but ethernet's padding. Returns the payload.
pub fn answer(request: &[u8], answer: &[u8]) -> Result<Vec<u8>, String> {
    let sent = Datagram::read(answer)?;
    let asked = Asked::read(request)?;
    same("destination hardware address", &sent.destination_mac, &asked.source_mac)?;
    same("source hardware address", &sent.source_mac, &asked.destination_mac)?;
    same("tags", &sent.tags, &asked.tags)?;
    same("source", &sent.source, &asked.destination)?;
    same("destination", &sent.destination, &asked.source)?;
    same("TTL or hop limit", &sent.hops, &64)?;
    // Ethernet pads to 60 bytes anyway, so padding up to there may stay.
    if answer.len() != SHORTEST_ON_THE_WIRE {
        same("bytes behind the datagram", &sent.trailing, &0)?;
    }
    Ok(sent.payload)
}

/// The header of a frame, with all its tags.
struct Ethernet {
    destination_mac: [u8; 6],
    source_mac: [u8; 6],
    tags: Vec<(u16, u16)>,
    ethertype: u16,
}

impl Ethernet {
    fn read(rest: &mut Bytes<'_>) -> Result<Self, String> {
        let destination_mac = rest.take("destination hardware address")?;
        let source_mac = rest.take("source hardware address")?;
        let mut tags = Vec::new();
        let mut ethertype = rest.u16("ethertype")?;
        while matches!(ethertype, 0x8100 | 0x88a8) {
            tags.push((ethertype, rest.u16("tag")?));
            ethertype = rest.u16("ethertype behind a tag")?;
        }
        Ok(Self { destination_mac, source_mac, tags, ethertype })
    }
}

/// The addresses of a request, whose lengths and checksums may be anything.
struct Asked {
    source_mac: [u8; 6],
    destination_mac: [u8; 6],
    tags: Vec<(u16, u16)>,
    source: SocketAddr,
    destination: SocketAddr,
}

impl Asked {
    fn read(frame: &[u8]) -> Result<Self, String> {
        let mut rest = Bytes(frame);
        let Ethernet { destination_mac, source_mac, tags, ethertype } = Ethernet::read(&mut rest)?;
        let (source, destination): (IpAddr, IpAddr) = if ethertype == 0x0800 {
            rest.take::<12>("first part of the IPv4 header")?;
            (Ipv4Addr::from(rest.take("source")?).into(), Ipv4Addr::from(rest.take("destination")?).into())
        } else {
            rest.take::<8>("first part of the IPv6 header")?;
            (
                Ipv6Addr::from(rest.take::<16>("source")?).into(),
                Ipv6Addr::from(rest.take::<16>("destination")?).into(),
            )
        };
        let source = SocketAddr::new(source, rest.u16("source port")?);
        let destination = SocketAddr::new(destination, rest.u16("destination port")?);
        Ok(Self { source_mac, destination_mac, tags, source, destination })
    }
}

struct Network {
    source: IpAddr,
    destination: IpAddr,
    hops: u8,
}

impl Network {
    /// RFC 791. Returns the header, what it carries, and the number of bytes behind it.
    fn v4(packet: &[u8]) -> Result<(Self, &[u8], usize), String> {
        let mut rest = Bytes(packet);
        let header: [u8; 20] = rest.take("IPv4 header")?;
        same("IPv4 version and header length", &header[0], &0x45)?;
        let total = usize::from(u16::from_be_bytes([header[2], header[3]]));
        let flags_and_offset = u16::from_be_bytes([header[6], header[7]]);
        // "Don't fragment" is the only bit that a whole datagram may carry.
        same("IPv4 flags and fragment offset", &(flags_and_offset & !0x4000), &0)?;
        same("IPv4 protocol", &header[9], &17)?;
        same("sum over the IPv4 header", &ones_complement_sum(&[&header]), &0xffff)?;
        let body_len =
            total.checked_sub(20).ok_or(format!("IPv4 total length {total} is less than its header"))?;
        let trailing = rest
            .0
            .len()
            .checked_sub(body_len)
            .ok_or(format!("IPv4 total length {total}, but only {} bytes are there", packet.len()))?;
        let network = Self {
            source: Ipv4Addr::new(header[12], header[13], header[14], header[15]).into(),
            destination: Ipv4Addr::new(header[16], header[17], header[18], header[19]).into(),
            hops: header[8],
        };
        Ok((network, &rest.0[..body_len], trailing))
    }

    /// RFC 8200. Returns as [`Network::v4`] does.
    fn v6(packet: &[u8]) -> Result<(Self, &[u8], usize), String> {
        let mut rest = Bytes(packet);
        let first = rest.u16("IPv6 version")?;
        same("IPv6 version", &(first >> 12), &6)?;
        rest.u16("IPv6 flow label")?;
        let body_len = usize::from(rest.u16("IPv6 payload length")?);
        let [next_header, hops] = rest.take("IPv6 next header and hop limit")?;
        same("IPv6 next header", &next_header, &17)?;
        let source = Ipv6Addr::from(rest.take::<16>("IPv6 source")?).into();
        let destination = Ipv6Addr::from(rest.take::<16>("IPv6 destination")?).into();
        let trailing = rest
            .0
            .len()
            .checked_sub(body_len)
            .ok_or(format!("IPv6 payload length {body_len}, but only {} bytes are there", rest.0.len()))?;
        Ok((Self { source, destination, hops }, &rest.0[..body_len], trailing))
    }

    /// RFC 768, with RFC 8200's pseudo header for IPv6.
    fn udp<'a>(&self, segment: &'a [u8]) -> Result<(u16, u16, &'a [u8]), String> {
        let mut rest = Bytes(segment);
        let source_port = rest.u16("UDP source port")?;
        let destination_port = rest.u16("UDP destination port")?;
        let length = rest.u16("UDP length")?;
        let checksum = rest.u16("UDP checksum")?;
        same("UDP length", &usize::from(length), &segment.len())?;
        if checksum == 0 {
            return Err("the UDP checksum is 0: not computed".into());
        }
        let length_and_protocol = [u32::from(length).to_be_bytes(), [0, 0, 0, 17]].concat();
        let sum = match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                ones_complement_sum(&[&source.octets(), &destination.octets(), &length_and_protocol, segment])
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                ones_complement_sum(&[&source.octets(), &destination.octets(), &length_and_protocol, segment])
            }
            (source, destination) => return Err(format!("{source} and {destination} are of two families")),
        };
        same("sum over the UDP pseudo header and datagram", &sum, &0xffff)?;
        Ok((source_port, destination_port, rest.0))
    }
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, found: &T, wanted: &T) -> Result<(), String> {
    if found == wanted { Ok(()) } else { Err(format!("{what}: found {found:02x?}, wanted {wanted:02x?}")) }
}

/// The unread part of a frame.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn take<const N: usize>(&mut self, what: &str) -> Result<[u8; N], String> {
        let (head, tail) =
            self.0.split_first_chunk::<N>().ok_or(format!("the frame ends within the {what}"))?;
        self.0 = tail;
        Ok(*head)
    }

    fn u16(&mut self, what: &str) -> Result<u16, String> {
        self.take(what).map(u16::from_be_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::{self, Checksum};

    fn request() -> packet::PacketBuilder {
        packet::eth().ipv4([10, 0, 0, 1].into(), [10, 0, 0, 2].into()).udp(4000, 6969).payload(*b"request")
    }

    fn reply() -> packet::PacketBuilder {
        packet::eth()
            .macs([2, 0, 0, 0, 0, 2], [2, 0, 0, 0, 0, 1])
            .ipv4([10, 0, 0, 2].into(), [10, 0, 0, 1].into())
            .hops(64)
            .udp(6969, 4000)
            .payload(*b"reply")
    }

    #[test]
    fn the_example_of_rfc_1071_sums_up() {
        assert_eq!(ones_complement_sum(&[&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]]), 0xddf2);
        assert_eq!(ones_complement_sum(&[&[0xff]]), 0xff00);
    }

    #[test]
    fn a_right_answer_yields_its_payload() {
        assert_eq!(answer(&request().build(), &reply().build()).unwrap(), b"reply");
        assert_eq!(answer(&request().build(), &reply().padded_to(60).build()).unwrap(), b"reply");
        assert_eq!(answer(&request().vlan(7).build(), &reply().vlan(7).build()).unwrap(), b"reply");
    }

    #[test]
    fn every_wrong_field_is_named() {
        let said = |wrong: packet::PacketBuilder| answer(&request().build(), &wrong.build()).unwrap_err();
        for (wrong, words) in [
            (reply().ip_checksum(Checksum::Bad), "IPv4 header"),
            (reply().udp_checksum(Checksum::Bad), "UDP pseudo header"),
            (reply().udp_checksum(Checksum::Zero), "not computed"),
            (reply().udp_checksum(Checksum::Partial), "UDP pseudo header"),
            (reply().hops(63), "TTL"),
            (reply().udp(6969, 4001), "destination"),
            (reply().udp(6970, 4000), "source"),
            (reply().udp_length(12), "UDP length"),
            (reply().ip_length(32), "UDP length"),
            (reply().ip_length(34), "only 33 bytes are there"),
            (reply().padded_to(61), "behind the datagram"),
            (reply().vlan(7), "tags"),
            (reply().first_fragment(), "fragment"),
            (reply().ip_options([1, 1, 1, 1]), "header length"),
            (reply().macs([2; 6], [2, 0, 0, 0, 0, 1]), "source hardware address"),
        ] {
            let said = said(wrong);
            assert!(said.contains(words), "expected a complaint about {words:?}, got {said:?}");
        }
    }

    #[test]
    fn ipv6_checksums_are_mandatory_and_checked() {
        let packet =
            packet::eth().ipv6("2001:db8::1".parse().unwrap(), "2001:db8::2".parse().unwrap()).udp(1, 2);
        assert!(Datagram::read(&packet.build()).is_ok());
        assert!(Datagram::read(&packet.clone().udp_checksum(Checksum::Bad).build()).is_err());
        assert!(Datagram::read(&packet.udp_checksum(Checksum::Zero).build()).is_err());
    }
}
