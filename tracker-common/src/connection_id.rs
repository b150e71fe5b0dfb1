//! Connection ids: 64 bits that prove that a source address receives what is sent to it (PROTOCOL U05).
//!
//! id = SipHash-2-4(key, address ‖ epoch), where an epoch is [`EPOCH_NS`] = 120 s of the monotonic clock. An id is accepted in
//! its own epoch and in the next one, so for at least 120 s (issued at an epoch's last moment) and at most 240 s (at its first).
//! The full 64 bits are compared. An attacker who can't see the answers has to guess: with 10^6 guesses a second for 240 s the
//! chance to hit one of the two valid ids is 2 × 2.4 × 10^8 / 2^64 ≈ 2.6 × 10^-11. The port is not part of it: NATs rebind.
//!
//! The XDP program and the daemon compute ids from the same [`Keys`] and the same clock (`CLOCK_MONOTONIC_COARSE`, in the kernel
//! `bpf_ktime_get_coarse_ns`), so an id issued by one is good for the other.

use bytemuck::{Pod, Zeroable};

use crate::siphash::{SipKey, siphash_2_4_long, siphash_2_4_short};

/// Length of an epoch in nanoseconds: 120 s.
pub const EPOCH_NS: u64 = 120 * 1_000_000_000;

/// Number of an epoch since the machine started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The epoch at a time of `CLOCK_MONOTONIC_COARSE`, in nanoseconds.
    #[inline(always)]
    pub const fn at(monotonic_ns: u64) -> Self {
        Self(monotonic_ns / EPOCH_NS)
    }
}

/// The keys of connection ids: epoch `e` uses slot `e mod 4`.
///
/// Two slots are in use at any time (this epoch and the one before); the two others may be replaced without invalidating an id.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Keys {
    /// Indexed by the epoch's lowest two bits.
    pub slots: [SipKey; 4],
}

const _: () = assert!(size_of::<Keys>() == Keys::BYTES);

impl Keys {
    /// Size of all keys in bytes.
    pub const BYTES: usize = 64;

    /// Keys from 64 random bytes.
    pub fn from_bytes(bytes: &[u8; Self::BYTES]) -> Self {
        let (slots, _) = bytes.as_chunks::<16>();
        let mut keys = Self::zeroed();
        for (slot, bytes) in keys.slots.iter_mut().zip(slots) {
            *slot = SipKey::from_bytes(*bytes);
        }
        keys
    }

    /// The 64 bytes that [`Keys::from_bytes`] takes.
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        let (chunks, _) = bytes.as_chunks_mut::<16>();
        for (chunk, slot) in chunks.iter_mut().zip(&self.slots) {
            *chunk = slot.to_bytes();
        }
        bytes
    }

    #[inline(always)]
    fn of(&self, epoch: Epoch) -> &SipKey {
        &self.slots[(epoch.0 & 3) as usize]
    }
}

/// A source address, in network order. An IPv4-mapped IPv6 address is an IPv4 address (U20).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Address {
    /// IPv4.
    V4([u8; 4]),
    /// IPv6.
    V6([u8; 16]),
}

impl Address {
    /// An address from 16 bytes of IPv6; `::ffff:a.b.c.d` becomes IPv4.
    #[inline(always)]
    pub const fn from_v6(bytes: [u8; 16]) -> Self {
        match bytes {
            [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d] => Self::V4([a, b, c, d]),
            _ => Self::V6(bytes),
        }
    }
}

impl From<core::net::IpAddr> for Address {
    fn from(address: core::net::IpAddr) -> Self {
        match address {
            core::net::IpAddr::V4(v4) => Self::V4(v4.octets()),
            core::net::IpAddr::V6(v6) => Self::from_v6(v6.octets()),
        }
    }
}

/// Proof that a connection id was checked. Only [`verify`] makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValidSource(Seed);

impl ValidSource {
    /// What the source's rate limit is found by.
    #[inline(always)]
    pub const fn seed(self) -> Seed {
        self.0
    }
}

/// A number that depends on key and address, and that a source can't know in advance for any address that it can only forge: what rate
/// limits are found by. It is the id that the source would get now, so that it costs nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed(u64);

impl Seed {
    /// The seed of a source that was issued this id in this epoch.
    #[inline(always)]
    pub const fn of(id: u64) -> Self {
        Self(id)
    }

    /// The hash of the whole address.
    #[inline(always)]
    pub const fn of_address(self) -> u64 {
        self.0
    }

    /// The hash of the source: of an IPv4 address, or of an IPv6 address's /64, which is what one customer has at least.
    #[inline(always)]
    pub fn source_hash(self, keys: &Keys, address: &Address, now: Epoch) -> u64 {
        match *address {
            Address::V4(_) => self.0,
            // It is never sent, so a message of another shape than those of ids does no harm.
            Address::V6(ip) => siphash_2_4_short(keys.of(now), u128::from_le_bytes(ip) as u64),
        }
    }
}

/// A connection id that didn't hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// What the source's rate limit is found by.
    pub seed: Seed,
}

/// The connection id of `address` in `epoch`.
#[inline(always)]
pub fn issue(keys: &Keys, address: &Address, epoch: Epoch) -> u64 {
    let key = keys.of(epoch);
    match *address {
        // The message is the address, then the epoch: in 3 bytes after an IPv4 address (they last for 63 years), in 7 after an IPv6 one, so
        // that both fill their last block. The two shapes can't collide: the length is part of that block.
        Address::V4(ip) => {
            let epoch = (epoch.0 & 0x00ff_ffff) << 32;
            siphash_2_4_short(key, u32::from_le_bytes(ip) as u64 | epoch | 7 << 56)
        }
        Address::V6(ip) => {
            let ip = u128::from_le_bytes(ip);
            let epoch = epoch.0 & 0x00ff_ffff_ffff_ffff;
            siphash_2_4_long(key, ip as u64, (ip >> 64) as u64, epoch | 23 << 56)
        }
    }
}

/// Checks an id that arrived from `address` in the epoch `now`.
///
/// # Errors
///
/// [`Invalid`] when it is neither the id of this epoch nor that of the one before.
#[inline(always)]
pub fn verify(keys: &Keys, address: &Address, now: Epoch, id: u64) -> Result<ValidSource, Invalid> {
    // Whole words are compared, and nothing of the expected id leaves: there is no prefix for an attacker to find by time.
    let current = issue(keys, address, now);
    if id == current {
        return Ok(ValidSource(Seed(current)));
    }
    if id == issue(keys, address, Epoch(now.0.wrapping_sub(1))) {
        return Ok(ValidSource(Seed(current)));
    }
    Err(Invalid { seed: Seed(current) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::hash::Hasher;
    use proptest::prelude::*;
    use std::vec::Vec;

    const SECOND: u64 = 1_000_000_000;

    fn addresses() -> impl Strategy<Value = Address> {
        prop_oneof![any::<[u8; 4]>().prop_map(Address::V4), any::<[u8; 16]>().prop_map(Address::from_v6)]
    }

    fn keys() -> impl Strategy<Value = Keys> {
        proptest::collection::vec(any::<u8>(), Keys::BYTES)
            .prop_map(|bytes| Keys::from_bytes(&bytes.try_into().unwrap()))
    }

    proptest! {
        #[test]
        fn accepted_for_120_seconds_and_never_after_240(
            keys in keys(), address in addresses(), issued in 0..u64::MAX / 2, age in 0..600 * SECOND,
        ) {
            let id = issue(&keys, &address, Epoch::at(issued));
            let accepted = verify(&keys, &address, Epoch::at(issued + age), id).is_ok();
            prop_assert!(accepted || age >= 120 * SECOND, "refused after {age} ns");
            prop_assert!(!accepted || age < 240 * SECOND, "accepted after {age} ns");
        }

        #[test]
        fn refused_from_another_address(keys in keys(), one in addresses(), other in addresses(), epoch: u64) {
            prop_assume!(one != other);
            let id = issue(&keys, &one, Epoch(epoch));
            prop_assert!(verify(&keys, &other, Epoch(epoch), id).is_err());
        }

        #[test]
        fn refused_with_another_key(one in keys(), other in keys(), address in addresses(), epoch: u64) {
            prop_assume!(one != other);
            let id = issue(&one, &address, Epoch(epoch));
            prop_assert!(verify(&other, &address, Epoch(epoch), id).is_err());
        }

        #[test]
        fn refused_when_any_bit_differs(keys in keys(), address in addresses(), epoch: u64, bit in 0..64) {
            let id = issue(&keys, &address, Epoch(epoch));
            prop_assert!(verify(&keys, &address, Epoch(epoch), id ^ (1u64 << bit)).is_err());
        }

        #[test]
        fn keys_out_of_use_can_be_replaced(keys in keys(), fresh: [u8; 16], address in addresses(), epoch in 1..u64::MAX - 2) {
            let id = issue(&keys, &address, Epoch(epoch));
            let mut rotated = keys;
            rotated.slots[((epoch + 2) & 3) as usize] = SipKey::from_bytes(fresh);
            prop_assert!(verify(&rotated, &address, Epoch(epoch), id).is_ok());
            prop_assert!(verify(&rotated, &address, Epoch(epoch + 1), id).is_ok());
        }

        #[test]
        fn ids_are_siphash_2_4_of_address_and_epoch(key: [u8; 16], address in addresses(), epoch in 0..1u64 << 56) {
            let mut keys = Keys::zeroed();
            keys.slots[(epoch & 3) as usize] = SipKey::from_bytes(key);
            let message: Vec<u8> = match address {
                Address::V4(ip) => [&ip[..], &epoch.to_le_bytes()[..3]].concat(),
                Address::V6(ip) => [&ip[..], &epoch.to_le_bytes()[..7]].concat(),
            };
            let mut other = siphasher::sip::SipHasher24::new_with_key(&key);
            other.write(&message);
            prop_assert_eq!(issue(&keys, &address, Epoch(epoch)), other.finish());
        }

        #[test]
        fn keys_survive_their_bytes(keys in keys()) {
            prop_assert_eq!(Keys::from_bytes(&keys.to_bytes()), keys);
        }
    }

    #[test]
    fn sources_of_one_ipv6_64_have_one_hash_and_others_another() {
        let keys = Keys::from_bytes(&core::array::from_fn(|index| index as u8));
        let hash = |text: &str| {
            let address = Address::from(text.parse::<core::net::IpAddr>().unwrap());
            let seed = Seed::of(issue(&keys, &address, Epoch(5)));
            assert_eq!(verify(&keys, &address, Epoch(5), 0), Err(Invalid { seed }));
            // An id of the epoch before is good, and the source the same.
            let before = issue(&keys, &address, Epoch(4));
            assert_eq!(verify(&keys, &address, Epoch(5), before).map(ValidSource::seed), Ok(seed));
            seed.source_hash(&keys, &address, Epoch(5))
        };
        assert_eq!(hash("2001:db8::1"), hash("2001:db8::ffff:1"));
        assert_ne!(hash("2001:db8::1"), hash("2001:db8:0:1::1"));
        assert_ne!(hash("192.0.2.1"), hash("192.0.2.2"));
    }

    #[test]
    fn mapped_ipv6_is_ipv4() {
        let mapped = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 1];
        assert_eq!(Address::from_v6(mapped), Address::V4([192, 0, 2, 1]));
    }
}
