//! Offers that a connection has been given and may answer (W02).
//!
//! They are kept with the connection that an offer went to, so nobody else can answer it, and each names the connection that made it, so
//! the answer goes nowhere else, whatever has become of peer ids meanwhile.

use std::collections::VecDeque;

use super::connection_id::ConnectionId;

/// Seconds for which an offer may be answered. Clients give up after 50.
pub(super) const LIFETIME_S: u32 = 120;

/// Offers that are remembered at most; of more, the oldest are forgotten. A client can't have so many connections at once.
const MAX: usize = 1024;

/// An offer, by what an answer to it has to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Offered {
    /// Hash of torrent, both peers and the offer's name, see [`Shared::offer_key`](super::Shared::offer_key).
    pub(super) key: u64,
    /// Who made it.
    pub(super) from: ConnectionId,
    /// Second of the tracker's clock.
    pub(super) at_s: u32,
}

/// The offers of a connection, the oldest first.
#[derive(Debug, Default)]
pub(super) struct OfferedOffers(VecDeque<Offered>);

impl OfferedOffers {
    pub(super) fn add(&mut self, offer: Offered) {
        self.forget(offer.at_s);
        if self.0.len() >= MAX {
            self.0.pop_front();
        }
        self.0.push_back(offer);
    }

    /// Who made the offer; it can't be answered again.
    pub(super) fn take(&mut self, key: u64, now_s: u32) -> Option<ConnectionId> {
        // Answers come soon.
        let at = self.0.iter().rposition(|offer| offer.key == key)?;
        self.0.remove(at).filter(|offer| !is_old(offer, now_s)).map(|offer| offer.from)
    }

    /// Forgets offers that nobody may answer any more.
    pub(super) fn forget(&mut self, now_s: u32) {
        while self.0.pop_front_if(|offer| is_old(offer, now_s)).is_some() {}
    }

    /// The same with the memory they took.
    pub(super) fn tidy(&mut self, now_s: u32) {
        self.forget(now_s);
        if self.0.capacity() > 4 * self.0.len() {
            self.0.shrink_to_fit();
        }
    }
}

fn is_old(offer: &Offered, now_s: u32) -> bool {
    now_s.saturating_sub(offer.at_s) > LIFETIME_S
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(key: u64, at_s: u32) -> Offered {
        Offered { key, from: ConnectionId::new(1, key), at_s }
    }

    #[test]
    fn an_offer_is_answered_once_and_in_time() {
        let mut offers = OfferedOffers::default();
        offers.add(offer(1, 0));
        offers.add(offer(2, 0));
        offers.add(offer(3, 100));
        assert_eq!(offers.take(1, LIFETIME_S), Some(ConnectionId::new(1, 1)));
        assert_eq!(offers.take(1, LIFETIME_S), None);
        assert_eq!(offers.take(2, LIFETIME_S + 1), None);
        assert_eq!(offers.take(3, LIFETIME_S + 1), Some(ConnectionId::new(1, 3)));
        assert_eq!(offers.take(4, 0), None);
    }

    #[test]
    fn only_the_latest_are_remembered() {
        let mut offers = OfferedOffers::default();
        (0..2000).for_each(|key| offers.add(offer(key, 0)));
        assert_eq!(offers.0.len(), MAX);
        assert_eq!(offers.take(2000 - MAX as u64 - 1, 0), None);
        assert!(offers.take(2000 - MAX as u64, 0).is_some());
        offers.tidy(LIFETIME_S + 1);
        assert_eq!((offers.0.len(), offers.0.capacity()), (0, 0));
    }
}
