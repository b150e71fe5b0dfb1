//! Which offers a connection has made lately, who got each of them, and which were answered: so that a tracker that forwards one twice,
//! or to the wrong client, is found out.

use super::offer;

/// Announces that are remembered. An offer that comes later, from a server with a long queue, isn't checked.
const KEPT: usize = 16;

/// The last offers of one connection.
pub(crate) struct Ledger {
    announces: [Entry; KEPT],
    /// Of each offer of these announces, the session that got it, and one more: 0 is nobody.
    receivers: Box<[u32]>,
    offers: usize,
}

#[derive(Clone, Copy)]
struct Entry {
    /// The announce's number, and one more: 0 is none.
    announce: u32,
    torrent: u32,
    answered: u64,
}

/// What an offer or an answer turns out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Of this torrent, and as it should be.
    Right(u32),
    /// Too old to tell.
    Forgotten,
    /// What is wrong.
    Wrong(&'static str),
}

impl Ledger {
    /// For announces with so many offers.
    pub(crate) fn new(offers: u32) -> Self {
        let offers = offers.min(offer::MOST) as usize;
        let none = Entry { announce: 0, torrent: 0, answered: 0 };
        Self { announces: [none; KEPT], receivers: vec![0; KEPT * offers].into_boxed_slice(), offers }
    }

    pub(crate) fn clear(&mut self) {
        self.announces.iter_mut().for_each(|entry| entry.announce = 0);
    }

    /// Announce number `announce` goes out.
    pub(crate) fn made(&mut self, announce: u32, torrent: u32) {
        let place = announce as usize % KEPT;
        self.announces[place] = Entry { announce: announce + 1, torrent, answered: 0 };
        self.receivers[place * self.offers..][..self.offers].fill(0);
    }

    /// An offer has come to a session.
    pub(crate) fn delivered(&mut self, announce: u32, index: u32, to: u32) -> Verdict {
        let Some((place, receiver)) = self.find(announce, index) else { return Verdict::Forgotten };
        match self.receivers.get_mut(receiver) {
            Some(nobody @ 0) => {
                *nobody = to + 1;
                Verdict::Right(self.announces[place].torrent)
            }
            Some(_) => Verdict::Wrong("an offer that was forwarded before"),
            None => Verdict::Wrong("an offer that nobody made"),
        }
    }

    /// The answer of a session to an offer has come.
    pub(crate) fn answered(&mut self, announce: u32, index: u32, by: u32) -> Verdict {
        let Some((place, receiver)) = self.find(announce, index) else { return Verdict::Forgotten };
        let entry = &mut self.announces[place];
        let bit = 1 << (index % u64::BITS);
        match self.receivers.get(receiver) {
            _ if entry.answered & bit != 0 => Verdict::Wrong("an answer that was forwarded before"),
            Some(receiver) if *receiver == by + 1 => {
                entry.answered |= bit;
                Verdict::Right(entry.torrent)
            }
            _ => Verdict::Wrong("an answer of somebody who didn't get the offer"),
        }
    }

    /// Where an announce is remembered, and where the receiver of its offer is.
    fn find(&self, announce: u32, index: u32) -> Option<(usize, usize)> {
        let (place, index) = (announce as usize % KEPT, index as usize);
        let receiver = if index < self.offers { place * self.offers + index } else { usize::MAX };
        (self.announces[place].announce == announce + 1).then_some((place, receiver))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offer_goes_to_one_and_is_answered_by_that_one_once() {
        let mut ledger = Ledger::new(2);
        ledger.made(5, 77);
        assert_eq!(ledger.delivered(5, 1, 0), Verdict::Right(77));
        assert!(matches!(ledger.delivered(5, 1, 3), Verdict::Wrong(_)), "twice");
        assert!(matches!(ledger.delivered(5, 2, 3), Verdict::Wrong(_)), "there are two");
        assert!(matches!(ledger.answered(5, 1, 3), Verdict::Wrong(_)), "another's");
        assert!(matches!(ledger.answered(5, 0, 0), Verdict::Wrong(_)), "nobody got it");
        assert_eq!(ledger.answered(5, 1, 0), Verdict::Right(77));
        assert!(matches!(ledger.answered(5, 1, 0), Verdict::Wrong(_)), "twice");
    }

    #[test]
    fn what_is_too_old_is_forgotten() {
        let mut ledger = Ledger::new(10);
        assert_eq!(ledger.delivered(0, 0, 1), Verdict::Forgotten);
        for announce in 0..=KEPT as u32 {
            ledger.made(announce, announce);
        }
        assert_eq!(ledger.delivered(0, 0, 1), Verdict::Forgotten);
        assert_eq!(ledger.answered(0, 0, 1), Verdict::Forgotten);
        assert_eq!(ledger.delivered(1, 9, 1), Verdict::Right(1));
        ledger.clear();
        assert_eq!(ledger.delivered(1, 8, 1), Verdict::Forgotten);
    }
}
