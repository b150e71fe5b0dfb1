//! How many connections there may be: overall, and from one address (H17).
//!
//! Shared by all workers; asked once when a connection comes and once when it ends. A [`Slot`] gives its place back when it is dropped.
//! Tests are below.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use hashbrown::HashMap;
use tracker_common::connection_id::Address;

/// Parts of the map of addresses, each with a lock of its own: workers seldom meet.
const PARTS: usize = 16;

/// Counts open connections against their limits.
#[derive(Debug)]
pub(crate) struct Slots {
    max: u32,
    max_per_address: u32,
    open: AtomicU32,
    parts: [Mutex<HashMap<u64, u32>>; PARTS],
}

/// Why there is no slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// There are too many connections.
    Overall,
    /// There are too many from this address.
    Address,
}

impl Slots {
    /// With these limits; no limit for addresses when theirs is 0.
    pub(crate) fn new(max: u32, max_per_address: u32) -> Arc<Self> {
        Arc::new(Self { max, max_per_address, open: AtomicU32::new(0), parts: Default::default() })
    }

    /// A slot for a connection.
    pub(crate) fn take(self: &Arc<Self>) -> Result<Slot, Full> {
        // Relaxed: nothing else follows from the number.
        if self.open.fetch_add(1, Ordering::Relaxed) >= self.max {
            self.open.fetch_sub(1, Ordering::Relaxed);
            return Err(Full::Overall);
        }
        Ok(Slot { slots: Arc::clone(self), network: None })
    }

    /// Locked without regard to panics elsewhere: a count is right after every statement.
    fn part(&self, network: u64) -> std::sync::MutexGuard<'_, HashMap<u64, u32>> {
        // Addresses of one customer differ in the low bits, networks of IPv6 in the middle.
        let part = (network ^ network >> 7 ^ network >> 23) as usize % PARTS;
        self.parts[part].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's place, given back on drop.
#[derive(Debug)]
pub(crate) struct Slot {
    slots: Arc<Slots>,
    network: Option<u64>,
}

impl Slot {
    /// Counts the connection as one of this address.
    pub(crate) fn belongs_to(&mut self, address: &Address) -> Result<(), Full> {
        if self.slots.max_per_address == 0 || self.network.is_some() {
            return Ok(());
        }
        let network = network(address);
        let mut part = self.slots.part(network);
        let count = part.entry(network).or_insert(0);
        if *count >= self.slots.max_per_address {
            return Err(Full::Address);
        }
        *count += 1;
        drop(part);
        self.network = Some(network);
        Ok(())
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.open.fetch_sub(1, Ordering::Relaxed);
        let Some(network) = self.network else { return };
        let mut part = self.slots.part(network);
        if let Some(count) = part.get_mut(&network) {
            *count -= 1;
            if *count == 0 {
                part.remove(&network);
            }
        }
    }
}

/// An IPv4 address or an IPv6 /64 as a number. The /64 of mapped addresses isn't anybody's, so the two don't meet.
fn network(address: &Address) -> u64 {
    match address {
        Address::V4(ip) => u64::from(u32::from_be_bytes(*ip)),
        Address::V6([a, b, c, d, e, f, g, h, ..]) => u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    fn address(text: &str) -> Address {
        Address::from(text.parse::<IpAddr>().expect("an address"))
    }

    #[test]
    fn connections_are_limited_overall() {
        let slots = Slots::new(2, 0);
        let first = slots.take().expect("there is room");
        let _second = slots.take().expect("there is room");
        assert_eq!(slots.take().err(), Some(Full::Overall));
        drop(first);
        assert!(slots.take().is_ok());
    }

    #[test]
    fn an_address_has_its_limit_and_an_ipv6_network_too() {
        let slots = Slots::new(100, 2);
        let take = |text: &str| {
            let mut slot = slots.take()?;
            slot.belongs_to(&address(text)).map(|()| slot)
        };
        for [first, same, other] in
            [["192.0.2.1", "192.0.2.1", "192.0.2.2"], ["2001:db8::1", "2001:db8::ffff:1", "2001:db8:0:1::1"]]
        {
            let kept = [take(first).expect("the first"), take(same).expect("the second")];
            assert_eq!(take(same).err(), Some(Full::Address));
            assert!(take(other).is_ok());
            drop(kept);
            assert!(take(first).is_ok());
        }
        assert!(slots.parts.iter().all(|part| part.lock().expect("nobody panics").is_empty()));
        assert_eq!(slots.open.load(Ordering::Relaxed), 0);
    }
}
