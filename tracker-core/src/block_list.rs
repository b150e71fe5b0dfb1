//! Networks that are never answered (U16).
//!
//! One CIDR or address a line. The socket workers ask [`BlockList::blocks`], a binary search in merged ranges; the kernel gets the networks
//! themselves.

use std::fmt::{self, Display, Formatter};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tracker_common::connection_id::Address;

use crate::access_list::{BadLine, entries};

/// A line that isn't a network. Shows what was there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{}\" is not a network: expected an IPv4 or IPv6 address, with a prefix length or without, as in 192.0.2.0/24 or 2001:db8::/32", .0.escape_debug())]
pub struct BadNetwork(String);

/// An IPv4 or IPv6 network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network {
    /// Its first address: the bits behind the prefix are zero.
    pub address: IpAddr,
    /// Bits that its addresses have in common.
    pub prefix_len: u8,
}

impl Network {
    /// Reads `address` or `address/prefix`. Bits behind the prefix are ignored; a network of IPv4-mapped addresses is an IPv4 one (U20).
    ///
    /// # Errors
    ///
    /// [`BadNetwork`], which quotes the text.
    pub fn parse(text: &str) -> Result<Self, BadNetwork> {
        let bad = || BadNetwork(text.to_owned());
        let (address, prefix_len) = match text.split_once('/') {
            None => (text, None),
            // "+8" and "08" are numbers for the standard library, and mistakes here.
            Some((_, prefix)) if !prefix.bytes().all(|byte| byte.is_ascii_digit()) => return Err(bad()),
            Some((_, prefix)) if prefix.len() > 1 && prefix.starts_with('0') => return Err(bad()),
            Some((address, prefix)) => (address, Some(prefix.parse::<u8>().map_err(|_| bad())?)),
        };
        let address: IpAddr = address.parse().map_err(|_| bad())?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let prefix_len = prefix_len.unwrap_or(bits);
        if prefix_len > bits {
            return Err(bad());
        }
        Ok(match address {
            IpAddr::V4(v4) => Self::v4(v4, prefix_len),
            IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
                Some(v4) if prefix_len >= 96 => Self::v4(v4, prefix_len - 96),
                _ => {
                    let mask = u128::MAX.checked_shl(128 - u32::from(prefix_len)).unwrap_or(0);
                    Self { address: IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask)), prefix_len }
                }
            },
        })
    }

    fn v4(address: Ipv4Addr, prefix_len: u8) -> Self {
        let mask = u32::MAX.checked_shl(32 - u32::from(prefix_len)).unwrap_or(0);
        Self { address: IpAddr::V4(Ipv4Addr::from_bits(address.to_bits() & mask)), prefix_len }
    }
}

/// As [`Network::parse`] reads it; a single address without its prefix length.
impl Display for Network {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        match (self.address, self.prefix_len) {
            (IpAddr::V4(_), 32) | (IpAddr::V6(_), 128) => write!(out, "{}", self.address),
            (address, prefix_len) => write!(out, "{address}/{prefix_len}"),
        }
    }
}

/// A set of networks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlockList {
    networks: Vec<Network>,
    v4: Ranges<u32>,
    v6: Ranges<u128>,
}

impl BlockList {
    /// Parses a list file: one network a line; blank lines are ignored, and what follows a `#`.
    ///
    /// # Errors
    ///
    /// The first bad line.
    pub fn parse(text: &str) -> Result<Self, BadLine<BadNetwork>> {
        entries(text)
            .map(|(line, content)| Network::parse(content).map_err(|reason| BadLine { line, reason }))
            .collect()
    }

    /// True when packets from this address are to be ignored.
    #[inline]
    pub fn blocks(&self, address: &Address) -> bool {
        match *address {
            Address::V4(bytes) => self.v4.contain(u32::from_be_bytes(bytes)),
            Address::V6(bytes) => self.v6.contain(u128::from_be_bytes(bytes)),
        }
    }

    /// The networks, sorted, each once.
    pub fn networks(&self) -> &[Network] {
        &self.networks
    }

    /// How many networks there are.
    pub fn len(&self) -> usize {
        self.networks.len()
    }

    /// True without networks.
    pub fn is_empty(&self) -> bool {
        self.networks.is_empty()
    }
}

impl FromIterator<Network> for BlockList {
    fn from_iter<I: IntoIterator<Item = Network>>(networks: I) -> Self {
        let mut networks: Vec<_> = networks.into_iter().collect();
        networks.sort_unstable();
        networks.dedup();
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for network in &networks {
            match network.address {
                IpAddr::V4(first) => {
                    let rest = u32::MAX.checked_shr(network.prefix_len.into()).unwrap_or(0);
                    v4.push((first.to_bits(), first.to_bits() | rest));
                }
                IpAddr::V6(first) => {
                    let rest = u128::MAX.checked_shr(network.prefix_len.into()).unwrap_or(0);
                    v6.push((first.to_bits(), first.to_bits() | rest));
                }
            }
        }
        Self { networks, v4: Ranges::merged(v4), v6: Ranges::merged(v6) }
    }
}

/// Ranges of addresses (first and last one), sorted by their first, none touching another's addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Ranges<T>(Vec<(T, T)>);

impl<T: Ord + Copy> Ranges<T> {
    /// From ranges sorted by their first.
    fn merged(ranges: Vec<(T, T)>) -> Self {
        let mut merged: Vec<(T, T)> = Vec::new();
        for (first, last) in ranges {
            match merged.last_mut() {
                Some((_, end)) if first <= *end => *end = last.max(*end),
                _ => merged.push((first, last)),
            }
        }
        Self(merged)
    }

    fn contain(&self, address: T) -> bool {
        let after = self.0.partition_point(|(first, _)| *first <= address);
        after.checked_sub(1).and_then(|index| self.0.get(index)).is_some_and(|(_, last)| address <= *last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn blocks(list: &BlockList, address: &str) -> bool {
        list.blocks(&Address::from(address.parse::<IpAddr>().unwrap()))
    }

    #[test]
    fn blocks_networks_and_single_addresses_of_both_families() {
        let text = "# spoofers\n192.0.2.0/25\n\n198.51.100.7 # one\n2001:db8:1::/48\r\n2001:db8::5\n";
        let list = BlockList::parse(text).unwrap();
        assert_eq!(list.len(), 4);
        for inside in
            ["192.0.2.0", "192.0.2.127", "198.51.100.7", "2001:db8:1::", "2001:db8:1:ffff::1", "2001:db8::5"]
        {
            assert!(blocks(&list, inside), "{inside}");
        }
        for outside in [
            "192.0.2.128",
            "192.0.1.255",
            "198.51.100.6",
            "198.51.100.8",
            "2001:db8:2::",
            "2001:db8::4",
            "::1",
        ] {
            assert!(!blocks(&list, outside), "{outside}");
        }
    }

    #[test]
    fn an_empty_list_blocks_nobody() {
        let list = BlockList::parse("# nothing\n").unwrap();
        assert!(list.is_empty());
        assert!(!blocks(&list, "0.0.0.0") && !blocks(&list, "::"));
    }

    #[test]
    fn prefix_0_blocks_a_whole_family() {
        let list = BlockList::parse("0.0.0.0/0").unwrap();
        assert!(blocks(&list, "255.255.255.255") && blocks(&list, "::ffff:1.2.3.4"));
        assert!(!blocks(&list, "2001:db8::1"));
        let list = BlockList::parse("::/0").unwrap();
        assert!(blocks(&list, "ffff::") && !blocks(&list, "1.2.3.4"));
    }

    #[test]
    fn mapped_networks_are_ipv4() {
        let list = BlockList::parse("::ffff:192.0.2.0/120").unwrap();
        assert!(blocks(&list, "192.0.2.9") && blocks(&list, "::ffff:192.0.2.9"));
        assert_eq!(list.networks(), [Network::parse("192.0.2.0/24").unwrap()]);
    }

    #[test]
    fn bits_behind_the_prefix_are_ignored() {
        assert_eq!(Network::parse("192.0.2.77/24").unwrap(), Network::parse("192.0.2.0/24").unwrap());
        assert_eq!(Network::parse("2001:db8::1/32").unwrap(), Network::parse("2001:db8::/32").unwrap());
    }

    #[test]
    fn a_bad_line_is_named_and_quoted() {
        for bad in [
            "192.0.2.0/33",
            "2001:db8::/129",
            "192.0.2",
            "192.0.2.0/",
            "192.0.2.0/+8",
            "192.0.2.0/08",
            "/8",
            "host",
            "1.2.3.4 5.6.7.8",
            "192.0.2.0/256",
        ] {
            let error = BlockList::parse(&format!("10.0.0.0/8\n{bad}\n")).unwrap_err().to_string();
            assert!(error.starts_with(&format!("line 2: \"{bad}\"")), "{error}");
        }
    }

    #[test]
    fn networks_are_shown_as_they_are_read() {
        for text in ["192.0.2.0/24", "192.0.2.7", "0.0.0.0/0", "2001:db8::/32", "2001:db8::1", "::/0"] {
            assert_eq!(Network::parse(text).unwrap().to_string(), text);
        }
    }

    proptest! {
        #[test]
        fn agrees_with_looking_through_all_networks(
            networks in proptest::collection::vec((any::<u32>(), 0..=32u8), 0..40), near in 0..40usize, offset in -2i64..2,
        ) {
            let list: BlockList = networks.iter().map(|(bits, len)| Network::v4(Ipv4Addr::from_bits(*bits), *len)).collect();
            let base = networks.get(near).map_or(0, |(bits, _)| *bits);
            for address in [base.wrapping_add(offset as u32), base, !base] {
                let expected = networks.iter().any(|(bits, len)| {
                    (u64::from(*bits) >> (32 - len)) == (u64::from(address) >> (32 - len))
                });
                prop_assert_eq!(list.blocks(&Address::V4(address.to_be_bytes())), expected, "{:08x}", address);
            }
        }
    }
}
