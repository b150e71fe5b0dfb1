//! Ethernet frames for tests: a right one by default, and any single field of it made wrong on request.
//!
//! Used by the tests of the XDP program. Lengths and checksums are computed when the frame is built, after every
//! other field is known, so that the order of the calls does not matter; an override always wins over the
//! computed value.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::verify::ones_complement_sum;

/// Ethertype of IPv4.
pub const ETHERTYPE_IPV4: u16 = 0x0800;
/// Ethertype of IPv6.
pub const ETHERTYPE_IPV6: u16 = 0x86dd;
/// Ethertype of an 802.1Q tag.
pub const ETHERTYPE_VLAN: u16 = 0x8100;
/// Ethertype of an 802.1ad (service provider) tag.
pub const ETHERTYPE_QINQ: u16 = 0x88a8;

/// IP protocol number of UDP.
pub const PROTOCOL_UDP: u8 = 17;
/// IP protocol number of TCP, as an example of what is not UDP.
pub const PROTOCOL_TCP: u8 = 6;

/// IPv6 hop-by-hop options header.
pub const EXTENSION_HOP_BY_HOP: u8 = 0;
/// IPv6 routing header.
pub const EXTENSION_ROUTING: u8 = 43;
/// IPv6 fragment header.
pub const EXTENSION_FRAGMENT: u8 = 44;
/// IPv6 destination options header.
pub const EXTENSION_DESTINATION: u8 = 60;

/// IPv4 flag "don't fragment", as a word of flags and offset.
pub const DONT_FRAGMENT: u16 = 0x4000;
/// IPv4 flag "more fragments", as a word of flags and offset.
pub const MORE_FRAGMENTS: u16 = 0x2000;

/// Shortest frame that a real network card delivers (without the check sequence): shorter ones arrive padded.
pub const SHORTEST_ON_THE_WIRE: usize = 60;

/// How a checksum field is filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// As the RFC wants it.
    Good,
    /// One bit off.
    Bad,
    /// Zero: for UDP over IPv4 "not computed", otherwise wrong.
    Zero,
    /// The folded sum of the pseudo header alone, as a local sender leaves it for the network card to finish
    /// (`CHECKSUM_PARTIAL`). Only meaningful for UDP.
    Partial,
}

#[derive(Clone, Copy, Debug)]
enum Network {
    V4 {
        source: Ipv4Addr,
        destination: Ipv4Addr,
    },
    V6 {
        source: Ipv6Addr,
        destination: Ipv6Addr,
    },
    /// No IP header at all: the payload follows the ethernet header.
    None,
}

/// Starts a frame from `02:00:00:00:00:01` to `02:00:00:00:00:02`.
pub fn eth() -> PacketBuilder {
    PacketBuilder {
        destination_mac: [2, 0, 0, 0, 0, 2],
        source_mac: [2, 0, 0, 0, 0, 1],
        tags: Vec::new(),
        ethertype: None,
        network: Network::None,
        protocol: PROTOCOL_UDP,
        hops: 57,
        traffic_class: 0,
        flow_label: 0,
        identification: 0x1234,
        flags_and_offset: DONT_FRAGMENT,
        ip_options: Vec::new(),
        header_length_words: None,
        version: None,
        ip_length: None,
        ip_checksum: Checksum::Good,
        extensions: Vec::new(),
        ports: None,
        udp_length: None,
        udp_checksum: Checksum::Good,
        payload: Vec::new(),
        padded_to: 0,
        truncated_to: usize::MAX,
    }
}

/// A whole frame around `payload` from `source` to `destination`; the two must be of one family.
#[track_caller]
pub fn datagram(source: SocketAddr, destination: SocketAddr, payload: impl Into<Vec<u8>>) -> Vec<u8> {
    eth().ip(source.ip(), destination.ip()).udp(source.port(), destination.port()).payload(payload).build()
}

/// A frame in the making. Every method returns the builder; [`PacketBuilder::build`] returns the bytes.
#[derive(Clone, Debug)]
#[must_use]
pub struct PacketBuilder {
    destination_mac: [u8; 6],
    source_mac: [u8; 6],
    tags: Vec<(u16, u16)>,
    ethertype: Option<u16>,
    network: Network,
    protocol: u8,
    hops: u8,
    traffic_class: u8,
    flow_label: u32,
    identification: u16,
    flags_and_offset: u16,
    ip_options: Vec<u8>,
    header_length_words: Option<u8>,
    version: Option<u8>,
    ip_length: Option<u16>,
    ip_checksum: Checksum,
    extensions: Vec<(u8, Vec<u8>)>,
    ports: Option<(u16, u16)>,
    udp_length: Option<u16>,
    udp_checksum: Checksum,
    payload: Vec<u8>,
    padded_to: usize,
    truncated_to: usize,
}

/// Ethernet.
impl PacketBuilder {
    /// Sets both hardware addresses.
    pub fn macs(mut self, source: [u8; 6], destination: [u8; 6]) -> Self {
        self.source_mac = source;
        self.destination_mac = destination;
        self
    }

    /// Adds an 802.1Q tag behind those already there.
    pub fn vlan(self, id: u16) -> Self {
        self.tag(ETHERTYPE_VLAN, id)
    }

    /// Adds an 802.1ad tag behind those already there.
    pub fn qinq(self, id: u16) -> Self {
        self.tag(ETHERTYPE_QINQ, id)
    }

    /// Adds a tag with any ethertype and control word (priority, drop-eligible bit and id).
    pub fn tag(mut self, ethertype: u16, control: u16) -> Self {
        self.tags.push((ethertype, control));
        self
    }

    /// Overrides the ethertype that names the network header.
    pub fn ethertype(mut self, ethertype: u16) -> Self {
        self.ethertype = Some(ethertype);
        self
    }

    /// Fills the built frame with zeros up to `len` bytes, as a network card pads short ones.
    pub fn padded_to(mut self, len: usize) -> Self {
        self.padded_to = len;
        self
    }

    /// Cuts the built frame to at most `len` bytes; the length fields still speak of the whole.
    pub fn truncated_to(mut self, len: usize) -> Self {
        self.truncated_to = len;
        self
    }
}

/// IPv4 and IPv6.
impl PacketBuilder {
    /// IPv4 from `source` to `destination`.
    pub fn ipv4(mut self, source: Ipv4Addr, destination: Ipv4Addr) -> Self {
        self.network = Network::V4 { source, destination };
        self
    }

    /// IPv6 from `source` to `destination`.
    pub fn ipv6(mut self, source: Ipv6Addr, destination: Ipv6Addr) -> Self {
        self.network = Network::V6 { source, destination };
        self
    }

    /// Either family, by the addresses, which must agree.
    #[track_caller]
    pub fn ip(self, source: IpAddr, destination: IpAddr) -> Self {
        match (source, destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => self.ipv4(source, destination),
            (IpAddr::V6(source), IpAddr::V6(destination)) => self.ipv6(source, destination),
            (source, destination) => panic!("one packet can't go from {source} to {destination}"),
        }
    }

    /// Time to live, or hop limit.
    pub fn hops(mut self, hops: u8) -> Self {
        self.hops = hops;
        self
    }

    /// Type of service, or traffic class.
    pub fn traffic_class(mut self, class: u8) -> Self {
        self.traffic_class = class;
        self
    }

    /// IPv6's flow label, of which 20 bits count.
    pub fn flow_label(mut self, label: u32) -> Self {
        self.flow_label = label & 0xf_ffff;
        self
    }

    /// IPv4's identification.
    pub fn identification(mut self, identification: u16) -> Self {
        self.identification = identification;
        self
    }

    /// Overrides the protocol (IPv4) or the last next header (IPv6).
    pub fn protocol(mut self, protocol: u8) -> Self {
        self.protocol = protocol;
        self
    }

    /// IPv4 options, padded with zeros to a multiple of four bytes; the header length follows.
    pub fn ip_options(mut self, options: impl Into<Vec<u8>>) -> Self {
        self.ip_options = options.into();
        self.ip_options.resize(self.ip_options.len().next_multiple_of(4), 0);
        assert!(self.ip_options.len() <= 40, "IPv4 has room for 40 bytes of options");
        self
    }

    /// IPv4 flags and fragment offset (in units of eight bytes) as one word.
    pub fn flags_and_offset(mut self, word: u16) -> Self {
        self.flags_and_offset = word;
        self
    }

    /// Makes the packet the first of several fragments, in either family.
    pub fn first_fragment(self) -> Self {
        self.fragment(0, true)
    }

    /// Makes the packet the last fragment, `offset` bytes into the datagram (a multiple of eight).
    pub fn last_fragment(self, offset: u16) -> Self {
        self.fragment(offset, false)
    }

    /// Makes the packet a fragment, `offset` bytes into the datagram (a multiple of eight).
    pub fn fragment(mut self, offset: u16, more: bool) -> Self {
        assert!(offset.is_multiple_of(8), "fragment offsets count in units of eight bytes");
        match self.network {
            Network::V6 { .. } => {
                let word = offset | u16::from(more);
                let mut body = vec![0];
                body.extend(word.to_be_bytes());
                body.extend(0x0bad_cafe_u32.to_be_bytes());
                self.extensions.push((EXTENSION_FRAGMENT, body));
            }
            Network::V4 { .. } | Network::None => {
                self.flags_and_offset = (offset / 8) | if more { MORE_FRAGMENTS } else { 0 };
            }
        }
        self
    }

    /// Adds an IPv6 extension header of eight bytes, whose content is padding.
    pub fn extension(self, kind: u8) -> Self {
        // Length 0 (eight bytes in all), then one PadN option of six bytes.
        self.extension_with(kind, [0, 1, 4, 0, 0, 0, 0])
    }

    /// Adds an IPv6 extension header; `body` is everything behind its next-header byte.
    pub fn extension_with(mut self, kind: u8, body: impl Into<Vec<u8>>) -> Self {
        self.extensions.push((kind, body.into()));
        self
    }

    /// Overrides the IPv4 header length, in words of four bytes.
    pub fn header_length_words(mut self, words: u8) -> Self {
        self.header_length_words = Some(words);
        self
    }

    /// Overrides the version in the first half byte.
    pub fn version(mut self, version: u8) -> Self {
        self.version = Some(version);
        self
    }

    /// Overrides IPv4's total length or IPv6's payload length.
    pub fn ip_length(mut self, length: u16) -> Self {
        self.ip_length = Some(length);
        self
    }

    /// How IPv4's header checksum is filled.
    pub fn ip_checksum(mut self, checksum: Checksum) -> Self {
        self.ip_checksum = checksum;
        self
    }
}

/// UDP.
impl PacketBuilder {
    /// UDP from port `source` to port `destination`.
    pub fn udp(mut self, source: u16, destination: u16) -> Self {
        self.ports = Some((source, destination));
        self
    }

    /// Overrides the length in the UDP header.
    pub fn udp_length(mut self, length: u16) -> Self {
        self.udp_length = Some(length);
        self
    }

    /// How the UDP checksum is filled.
    pub fn udp_checksum(mut self, checksum: Checksum) -> Self {
        self.udp_checksum = checksum;
        self
    }

    /// What UDP (or without [`PacketBuilder::udp`], IP) carries.
    pub fn payload(mut self, payload: impl Into<Vec<u8>>) -> Self {
        self.payload = payload.into();
        self
    }
}

impl PacketBuilder {
    /// The frame's bytes.
    pub fn build(&self) -> Vec<u8> {
        let mut frame = self.ethernet_header();
        match self.network {
            Network::V4 { source, destination } => {
                let transport = self.transport(&source.octets(), &destination.octets());
                frame.extend(self.ipv4_header(source, destination, transport.len()));
                frame.extend(transport);
            }
            Network::V6 { source, destination } => {
                let transport = self.transport(&source.octets(), &destination.octets());
                frame.extend(self.ipv6_headers(source, destination, transport.len()));
                frame.extend(transport);
            }
            Network::None => frame.extend(&self.payload),
        }
        frame.resize(frame.len().max(self.padded_to), 0);
        frame.truncate(self.truncated_to);
        frame
    }

    fn ethernet_header(&self) -> Vec<u8> {
        let mut header = Vec::new();
        header.extend(self.destination_mac);
        header.extend(self.source_mac);
        for (ethertype, control) in &self.tags {
            header.extend(ethertype.to_be_bytes());
            header.extend(control.to_be_bytes());
        }
        let ethertype = self.ethertype.unwrap_or(match self.network {
            Network::V4 { .. } => ETHERTYPE_IPV4,
            Network::V6 { .. } => ETHERTYPE_IPV6,
            // ARP: something that is neither.
            Network::None => 0x0806,
        });
        header.extend(ethertype.to_be_bytes());
        header
    }

    fn ipv4_header(&self, source: Ipv4Addr, destination: Ipv4Addr, transport_len: usize) -> Vec<u8> {
        let header_len = 20 + self.ip_options.len();
        let words = self.header_length_words.unwrap_or((header_len / 4) as u8);
        let mut header = vec![self.version.unwrap_or(4) << 4 | words, self.traffic_class];
        header.extend(self.ip_length.unwrap_or((header_len + transport_len) as u16).to_be_bytes());
        header.extend(self.identification.to_be_bytes());
        header.extend(self.flags_and_offset.to_be_bytes());
        header.extend([self.hops, self.protocol, 0, 0]);
        header.extend(source.octets());
        header.extend(destination.octets());
        header.extend(&self.ip_options);
        let checksum = !ones_complement_sum(&[&header]);
        header[10..12].copy_from_slice(&filled(self.ip_checksum, checksum, 0).to_be_bytes());
        header
    }

    fn ipv6_headers(&self, source: Ipv6Addr, destination: Ipv6Addr, transport_len: usize) -> Vec<u8> {
        let extensions_len: usize = self.extensions.iter().map(|(_, body)| 1 + body.len()).sum();
        let kinds: Vec<u8> = self.extensions.iter().map(|(kind, _)| *kind).chain([self.protocol]).collect();
        let version = self.version.unwrap_or(6);
        let first = u32::from(version) << 28 | u32::from(self.traffic_class) << 20 | self.flow_label;
        let mut header = Vec::from(first.to_be_bytes());
        header.extend(self.ip_length.unwrap_or((extensions_len + transport_len) as u16).to_be_bytes());
        header.extend([kinds[0], self.hops]);
        header.extend(source.octets());
        header.extend(destination.octets());
        for ((_, body), next) in self.extensions.iter().zip(&kinds[1..]) {
            header.push(*next);
            header.extend(body);
        }
        header
    }

    fn transport(&self, source: &[u8], destination: &[u8]) -> Vec<u8> {
        let Some((source_port, destination_port)) = self.ports else { return self.payload.clone() };
        let length = self.udp_length.unwrap_or((8 + self.payload.len()) as u16);
        let mut segment = Vec::new();
        segment.extend(source_port.to_be_bytes());
        segment.extend(destination_port.to_be_bytes());
        segment.extend(length.to_be_bytes());
        segment.extend([0, 0]);
        segment.extend(&self.payload);
        let pseudo_tail = [0, PROTOCOL_UDP, 0, 0, length.to_be_bytes()[0], length.to_be_bytes()[1]];
        let pseudo_sum = ones_complement_sum(&[source, destination, &pseudo_tail]);
        let sum = ones_complement_sum(&[source, destination, &pseudo_tail, &segment]);
        // RFC 768: a computed checksum of zero is sent as all ones.
        let checksum = if !sum == 0 { 0xffff } else { !sum };
        segment[6..8].copy_from_slice(&filled(self.udp_checksum, checksum, pseudo_sum).to_be_bytes());
        segment
    }
}

fn filled(how: Checksum, good: u16, partial: u16) -> u16 {
    match how {
        Checksum::Good => good,
        Checksum::Bad => good ^ 0x0400,
        Checksum::Zero => 0,
        Checksum::Partial => partial,
    }
}

#[cfg(test)]
mod tests;
