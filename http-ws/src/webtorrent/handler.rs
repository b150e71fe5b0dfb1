//! What becomes of a request: the swarm changes, offers and answers go on, the client gets a reply.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use tracker_common::connection_id::Address;
use tracker_common::terms::Terms;
use tracker_common::wire::{AnnounceKind, InfoHash};

use super::full_scrape::FullScrape;
use super::inbox::What;
use super::mailbox::Mailbox;
use super::memberships::Memberships;
use super::offered::Offered;
use super::request::{Action, Announce, Answer, Ends, Refusal, Request, read};
use super::swarms::{Announcement, Refused};
use super::{Local, Scratch, reply};
use crate::counters::Signal;
use crate::worker::Worker;

/// A client: its mailbox, and the swarms that it is in.
pub(super) struct Client {
    pub(super) address: Address,
    pub(super) mailbox: Rc<Mailbox>,
    memberships: Memberships,
    /// Where the access list was that all of them were last looked up in.
    looked_up_in: usize,
}

/// What the connection has to do besides sending what is in its mailbox.
pub(super) enum Then {
    GoOn,
    /// Send all torrents.
    FullScrape(FullScrape),
    /// End with the status for this.
    End(Ends),
}

impl Client {
    pub(super) fn new(address: Address, mailbox: Rc<Mailbox>) -> Self {
        Self { address, mailbox, memberships: Memberships::default(), looked_up_in: 0 }
    }

    /// Does what a message asks.
    pub(super) fn handle(&mut self, text: &str, worker: &Worker, local: &Local, now_s: u32) -> Then {
        let mut scratch = local.scratch.borrow_mut();
        let Scratch { message, .. } = &mut *scratch;
        message.clear();
        let done = match read(text) {
            Ok(Request::Announce(announce)) => {
                local.tally.count_from(&self.address, Signal::InAnnounce);
                self.announce(&announce, worker, local, &mut scratch, now_s).map(|()| Then::GoOn)
            }
            Ok(Request::Answer(answer)) => {
                local.tally.count_from(&self.address, Signal::InAnswer);
                self.answer(&answer, worker, local, message, now_s).map(|()| Then::GoOn)
            }
            Ok(Request::Scrape(mut hashes)) => {
                local.tally.count_from(&self.address, Signal::InScrape);
                self.scrape(&mut hashes, worker, local, message);
                Ok(Then::GoOn)
            }
            Ok(Request::FullScrape) => {
                local.tally.count_from(&self.address, Signal::InScrape);
                self.full_scrape(local).map(Then::FullScrape)
            }
            Err(refusal) => {
                local.tally.count_from(&self.address, Signal::InInvalid);
                Err(refusal)
            }
        };
        done.unwrap_or_else(|refusal| {
            self.refuse(&refusal, local, &mut scratch.message);
            refusal.ends.map_or(Then::GoOn, Then::End)
        })
    }

    /// Tells the client why not.
    pub(super) fn refuse(&self, refusal: &Refusal, local: &Local, message: &mut Vec<u8>) {
        message.clear();
        reply::refusal(refusal, message);
        self.mailbox.send(&[message]);
        local.tally.count_from(&self.address, Signal::OutError);
    }

    /// W01, W04, W05.
    fn announce(
        &mut self,
        announce: &Announce<'_>,
        worker: &Worker,
        local: &Local,
        scratch: &mut Scratch,
        now_s: u32,
    ) -> Result<(), Refusal> {
        let Announce { info_hash, peer_id, kind, seeder, ref offers } = *announce;
        let [a, b, c, ..] = peer_id;
        local.software.count([a, b, c]);
        let settings = &local.shared.settings;
        let refuse =
            |reason| Refusal { action: Action::Announce, reason, info_hash: Some(info_hash), ends: None };
        let stopped = kind == AnnounceKind::Stopped;
        let known = self.memberships.get(&info_hash, &peer_id).map(|known| Arc::clone(&known.speaker));
        let max = settings.max_torrents_per_connection as usize;
        if !stopped && known.is_none() && self.memberships.len() >= max {
            self.forget_denied(worker);
            if self.memberships.len() >= max {
                return Err(refuse("too many torrents"));
            }
        }
        let swarms = &local.shared.swarms;
        let speaker = known
            .or_else(|| self.memberships.speaker(&peer_id).cloned())
            .unwrap_or_else(|| swarms.speaker(peer_id, self.mailbox.id));
        let Scratch { message, picked } = scratch;
        picked.clear();
        let random = &mut worker.scratch.borrow_mut().random;
        let announcement = Announcement { info_hash, speaker: &speaker, kind, seeder };
        let wanted = offers.len().min(settings.max_offers as usize);
        let counts = swarms
            .announce(&announcement, wanted, random, picked, |info_hash| {
                worker.context.lists.access.load().allows(info_hash)
            })
            .map_err(|refused| match refused {
                Refused::Denied => refuse("info hash not allowed"),
                Refused::Full => refuse("too many torrents"),
            })?;
        if stopped {
            self.memberships.remove(&info_hash, &peer_id);
        } else {
            self.memberships.announced(info_hash, &speaker, now_s);
        }

        let terms = Terms { interval_s: settings.interval_s, ..worker.context.policy.terms() };
        reply::announce(&info_hash, terms.interval(random.next()), counts, message);
        self.mailbox.send(&[message]);
        local.tally.count_from(&self.address, Signal::OutAnnounce);

        message.clear();
        reply::forwarded(&info_hash, &peer_id, message);
        for (recipient, offer) in picked.iter().zip(offers) {
            let key = local.shared.offer_key(&info_hash, &peer_id, &recipient.peer, offer.offer_id);
            let offered = Offered { key, from: self.mailbox.id, at_s: now_s };
            let parts = reply::offer(message, offer.offer_id, offer.offer);
            local.send(recipient.connection, What::Offer(offered), &parts);
        }
        Ok(())
    }

    /// W02.
    fn answer(
        &self,
        answer: &Answer<'_>,
        worker: &Worker,
        local: &Local,
        message: &mut Vec<u8>,
        now_s: u32,
    ) -> Result<(), Refusal> {
        let Answer { info_hash, peer_id, to_peer_id, offer_id, answer } = *answer;
        let refuse =
            |reason| Refusal { action: Action::Announce, reason, info_hash: Some(info_hash), ends: None };
        if !worker.context.lists.access.load().allows(&info_hash) {
            return Err(refuse("info hash not allowed"));
        }
        let key = local.shared.offer_key(&info_hash, &to_peer_id, &peer_id, offer_id);
        let Some(to) = self.mailbox.offered.borrow_mut().take(key, now_s) else {
            local.tally.count(Signal::AnswersUnmatched);
            return Err(refuse("unknown offer"));
        };
        reply::forwarded(&info_hash, &peer_id, message);
        let what = What::Answer { from: self.mailbox.id, info_hash };
        local.send(to, what, &reply::answer(message, offer_id, answer));
        Ok(())
    }

    /// W06.
    fn scrape(&self, hashes: &mut Vec<InfoHash>, worker: &Worker, local: &Local, message: &mut Vec<u8>) {
        hashes.sort_unstable();
        hashes.dedup();
        let access = worker.context.lists.access.load();
        reply::begin_scrape(message);
        for (number, hash) in hashes.iter().enumerate() {
            let counts =
                if access.allows(hash) { local.shared.swarms.scrape(hash) } else { Default::default() };
            reply::scraped(number == 0, hash, counts, message);
        }
        reply::end_scrape(local.shared.settings.interval_s, message);
        self.mailbox.send(&[message]);
        local.tally.count_from(&self.address, Signal::OutScrape);
    }

    fn full_scrape(&self, local: &Local) -> Result<FullScrape, Refusal> {
        let refuse = |reason| Refusal { action: Action::Scrape, reason, info_hash: None, ends: None };
        let throttle = local.shared.full_scrapes.as_ref().ok_or(refuse("full scrapes are not allowed"))?;
        let running = throttle
            .begin(self.address, Instant::now())
            .map_err(|_wait| refuse("full scrapes are limited"))?;
        local.tally.count_from(&self.address, Signal::OutScrape);
        Ok(FullScrape::new(running))
    }

    /// Forgets peers of torrents that were denied: swarms have dropped them. Once for each list, since there may be many.
    fn forget_denied(&mut self, worker: &Worker) {
        let list = worker.context.lists.access.load();
        let address = Arc::as_ptr(&list) as usize;
        if std::mem::replace(&mut self.looked_up_in, address) != address {
            self.memberships.retain(|membership| list.allows(&membership.info_hash));
        }
    }

    /// Peers that haven't announced for too long leave.
    pub(super) fn expire(&mut self, local: &Local, now_s: u32) {
        let lifetime = local.shared.settings.peer_lifetime_s();
        let before = self.memberships.len();
        self.memberships.retain(|membership| {
            let stays = now_s.saturating_sub(membership.announced_s) <= lifetime;
            if !stays {
                local.shared.swarms.leave(&membership.info_hash, &membership.speaker);
            }
            stays
        });
        local.tally.add(Signal::PeersExpired, (before - self.memberships.len()) as u64);
        self.memberships.give_back_memory();
        self.mailbox.offered.borrow_mut().tidy(now_s);
    }

    /// All its peers leave (W08).
    pub(super) fn leave(&mut self, local: &Local) {
        for membership in std::mem::take(&mut self.memberships).iter() {
            local.shared.swarms.leave(&membership.info_hash, &membership.speaker);
        }
    }
}
