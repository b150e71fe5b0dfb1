//! Whether what was forwarded is what was sent: the offers that one client of the crowd made come to another, untouched and once, and its
//! answer comes back.

use super::super::ledger::Verdict;
use super::super::message::{Forwarded, same};
use super::super::messages::{self, Messages};
use super::super::offer::Offer;
use super::Crowd;
use super::client::Client;

/// An offer that a client may answer, or `None` when it is too old to know.
pub(super) type Checked = Result<Option<(Offer, u32)>, &'static str>;

impl Crowd {
    /// Looks at an offer that has come to client number `number`.
    pub(super) fn check_offer(&mut self, number: usize, came: &Forwarded<'_>) -> Checked {
        let (offer, _) = self.messages.offer.numbers(came.content).ok_or("an offer without a number")?;
        let maker = self.maker(offer)?;
        if maker == number {
            return Err("an offer of one's own");
        }
        self.expected.clear();
        self.messages.offer.write(offer, None, &mut self.expected);
        if !same(came.content, &self.expected) {
            return Err("an offer that was changed");
        }
        self.check_names(came, offer, offer.session)?;
        let receiver = self.clients[number].session;
        let (announce, index) = offer.place();
        let verdict =
            with(&mut self.clients[maker], offer, |maker| maker.ledger.delivered(announce, index, receiver));
        let checked = settled(&self.messages, verdict, came, offer)?;
        match checked {
            Some((_, torrent)) if !self.members.has(number, torrent) => {
                Err("an offer of a torrent that wasn't announced")
            }
            checked => Ok(checked),
        }
    }

    /// Looks at an answer that has come to client number `number`.
    pub(super) fn check_answer(&mut self, number: usize, came: &Forwarded<'_>) -> Checked {
        let (offer, by) = self.messages.answer.numbers(came.content).ok_or("an answer without a number")?;
        if self.maker(offer)? != number || self.clients[number].session != offer.session {
            return Err("an answer to another's offer");
        }
        self.expected.clear();
        self.messages.answer.write(offer, Some(by), &mut self.expected);
        if !same(came.content, &self.expected) {
            return Err("an answer that was changed");
        }
        self.check_names(came, offer, by)?;
        let (announce, index) = offer.place();
        let verdict = self.clients[number].ledger.answered(announce, index, by);
        settled(&self.messages, verdict, came, offer)
    }

    /// Who made an offer.
    fn maker(&self, offer: Offer) -> Result<usize, &'static str> {
        let number = self.sessions.get(offer.session as usize).ok_or("an offer of nobody")?;
        Ok(*number as usize)
    }

    fn check_names(&mut self, came: &Forwarded<'_>, offer: Offer, from: u32) -> Result<(), &'static str> {
        self.expected.clear();
        messages::peer_id(from, &mut self.expected);
        if !same(came.peer_id, &self.expected) {
            return Err("a peer id that isn't the sender's");
        }
        self.expected.clear();
        messages::string(&offer.id(), &mut self.expected);
        if !same(came.offer_id, &self.expected) {
            return Err("an offer id that isn't the offer's");
        }
        Ok(())
    }
}

/// What a client knows of an offer of its own; nothing of an earlier session's.
fn with(client: &mut Client, offer: Offer, find: impl FnOnce(&mut Client) -> Verdict) -> Verdict {
    if client.session == offer.session { find(client) } else { Verdict::Forgotten }
}

fn settled(messages: &Messages, verdict: Verdict, came: &Forwarded<'_>, offer: Offer) -> Checked {
    match verdict {
        Verdict::Wrong(what) => Err(what),
        Verdict::Forgotten => Ok(None),
        Verdict::Right(torrent) if same(came.info_hash, messages.info_hash(torrent)) => {
            Ok(Some((offer, torrent)))
        }
        Verdict::Right(_) => Err("an info hash that isn't the torrent's"),
    }
}
