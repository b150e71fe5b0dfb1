//! Sources that are never answered (PROTOCOL U03).
//!
//! An answer to one of these would go to many hosts, to nobody, or into a loop between two trackers.

use crate::connection_id::Address;

/// True when a packet from this address and port may be answered.
///
/// Refused: port 0; IPv4 0.0.0.0/8, 224.0.0.0/4 (multicast) and 240.0.0.0/4 (reserved, broadcast); IPv6 `::` and ff00::/8.
#[inline(always)]
pub fn is_sane(address: &Address, port: u16) -> bool {
    port != 0
        && match *address {
            Address::V4([first, ..]) => first != 0 && first < 224,
            Address::V6(bytes) => bytes[0] != 0xff && u128::from_ne_bytes(bytes) != 0,
        }
}

/// True for 127.0.0.0/8 and `::1`: addresses that only a loopback interface may bring.
#[inline(always)]
pub fn is_loopback(address: &Address) -> bool {
    match *address {
        Address::V4([first, ..]) => first == 127,
        Address::V6(bytes) => u128::from_be_bytes(bytes) == 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::IpAddr;

    fn sane(address: &str, port: u16) -> bool {
        is_sane(&Address::from(address.parse::<IpAddr>().unwrap()), port)
    }

    #[test]
    fn accepts_unicast() {
        for address in
            ["1.0.0.0", "127.0.0.1", "192.0.2.1", "223.255.255.255", "::1", "2001:db8::1", "fe80::1"]
        {
            assert!(sane(address, 1), "{address}");
            assert!(sane(address, 65535), "{address}");
        }
    }

    #[test]
    fn refuses_port_0() {
        assert!(!sane("192.0.2.1", 0));
        assert!(!sane("2001:db8::1", 0));
    }

    #[test]
    fn refuses_multicast_broadcast_and_unspecified() {
        for address in [
            "0.0.0.0",
            "0.1.2.3",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "ff02::1",
        ] {
            assert!(!sane(address, 6881), "{address}");
        }
    }
}
