//! One torrent's members: who joins, who leaves, who gets an offer. No lock, no clock, no I/O.
//!
//! A member is known by its peer id and belongs to a connection. When a second connection announces the same peer id, it takes the member's
//! place and the first one's claim is kept aside (W07): a client that has lost its connection comes back at once, and a stranger who
//! copies somebody's peer id has it for as long as he stays and no longer.

use std::sync::Arc;

use tracker_common::wire::AnnounceKind;
use tracker_core::Random;

use super::aside::{Aside, Claim};
use super::members::Members;
use super::{Counts, Recipient};
use crate::webtorrent::speaker::Speaker;

/// A torrent.
///
/// ```text
///   members   ┌─────────────────┬─────────────────────┐
///             │ s₀  s₁  …  sₖ₋₁ │ l₀  l₁  …           │   pointers to speakers, in no other order,
///             └─────────────────┴─────────────────────┘   so that a random position is a random member
///               k = seeders       leechers
/// ```
#[derive(Debug, Default)]
pub(super) struct Swarm {
    members: Members,
    /// Claims whose peer id another connection has taken.
    aside: Option<Box<Aside>>,
    seeders: u32,
    completed: u32,
}

/// Most torrents have one or two members, and the map of torrents has places for twice as many when it has just grown.
const _: () = assert!(size_of::<Swarm>() == 48);

/// How a swarm has changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Change {
    /// Claims more or less, the ones that are kept aside included.
    pub(super) claims: i64,
    /// Seeders more or less.
    pub(super) seeders: i64,
}

impl Swarm {
    pub(super) fn counts(&self) -> Counts {
        Counts {
            complete: self.seeders,
            incomplete: self.members.len() as u32 - self.seeders,
            downloaded: self.completed,
        }
    }

    /// All claims, the ones that are kept aside included.
    pub(super) fn claims(&self) -> usize {
        self.members.len() + self.aside.as_ref().map_or(0, |aside| aside.len())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.len() == 0
    }

    /// Whether this connection has announced this peer.
    pub(super) fn has(&self, speaker: &Speaker) -> bool {
        self.position_of(speaker).is_some() || self.aside.as_ref().is_some_and(|aside| aside.has(speaker))
    }

    /// A peer is there, or still is.
    pub(super) fn join(&mut self, speaker: &Arc<Speaker>, kind: AnnounceKind, seeder: bool) -> Change {
        let claims_before = self.claims();
        let seeders_before = self.seeders;
        match self.members.position(speaker) {
            None => {
                let at = self.members.add(Arc::clone(speaker));
                self.set_seeder(at, seeder);
            }
            Some(at) => {
                let was_seeder = self.is_seeder(at);
                // U14: of somebody who was a leecher.
                self.completed += u32::from(kind == AnnounceKind::Completed && seeder && !was_seeder);
                if self.members.get(at).is_some_and(|member| !member.is(speaker)) {
                    self.take_place(at, speaker, was_seeder);
                }
                self.set_seeder(at, seeder);
            }
        }
        self.change_since(claims_before, seeders_before)
    }

    /// A connection gives up its claim; whose place it had taken is a member again.
    pub(super) fn leave(&mut self, speaker: &Speaker) -> Change {
        let claims_before = self.claims();
        let seeders_before = self.seeders;
        match self.position_of(speaker) {
            Some(at) => match self.aside.as_mut().and_then(|aside| aside.take_latest(speaker)) {
                Some(claim) => {
                    self.members.replace(at, claim.speaker);
                    self.set_seeder(at, claim.seeder);
                }
                None => {
                    // A leecher's place may be taken by the last one, who is no seeder while there are leechers.
                    let at = self.set_seeder(at, false);
                    self.members.swap_remove(at);
                }
            },
            None => {
                if let Some(aside) = &mut self.aside {
                    aside.forget(speaker);
                }
            }
        }
        self.aside.take_if(|aside| aside.len() == 0);
        self.change_since(claims_before, seeders_before)
    }

    /// Up to `count` members other than this speaker's peer, each set of them with the same chance (Floyd's algorithm).
    pub(super) fn pick(
        &self,
        speaker: &Speaker,
        count: usize,
        random: &mut Random,
        picked: &mut Vec<Recipient>,
    ) {
        let own = self.members.position(speaker);
        let others = self.members.len() - usize::from(own.is_some());
        let count = count.min(others);
        let begin = picked.len();
        for limit in others - count..others {
            let drawn = below(random, limit + 1);
            // A position that is taken already stands for the one that has just come into reach.
            let taken = |at: usize| {
                picked.get(begin..).unwrap_or_default().iter().any(|recipient| recipient.position == at)
            };
            let position = if taken(drawn) { limit } else { drawn };
            // Positions are counted without the sender.
            let at = position + usize::from(own.is_some_and(|own| position >= own));
            let Some(&Speaker { peer, connection, .. }) = self.members.get(at) else { continue };
            picked.push(Recipient { peer, connection, position });
        }
    }

    /// Where this very claim is a member.
    fn position_of(&self, speaker: &Speaker) -> Option<usize> {
        let is = |at: &usize| self.members.get(*at).is_some_and(|member| member.is(speaker));
        self.members.position(speaker).filter(is)
    }

    /// Another connection has the peer id from now on.
    fn take_place(&mut self, at: usize, speaker: &Arc<Speaker>, was_seeder: bool) {
        let Some(before) = self.members.replace(at, Arc::clone(speaker)) else { return };
        let aside = self.aside.get_or_insert_default();
        aside.forget(speaker);
        aside.put(Claim { speaker: before, seeder: was_seeder });
    }

    fn is_seeder(&self, at: usize) -> bool {
        at < self.seeders as usize
    }

    /// Has a member among the seeders or among the leechers: it changes places with the one beside whom the border is. Its position.
    fn set_seeder(&mut self, at: usize, seeder: bool) -> usize {
        if self.is_seeder(at) == seeder {
            return at;
        }
        let to = if seeder {
            self.seeders += 1;
            self.seeders - 1
        } else {
            self.seeders -= 1;
            self.seeders
        };
        self.members.swap(at, to as usize);
        to as usize
    }

    /// Whether this very claim is a member, and if so, a seeder.
    #[cfg(test)]
    pub(super) fn is_member(&self, speaker: &Speaker) -> Option<bool> {
        self.position_of(speaker).map(|at| self.is_seeder(at))
    }

    /// Whether every member is found, and nothing is kept for nobody.
    #[cfg(test)]
    pub(super) fn is_in_order(&self) -> bool {
        self.members.are_found()
            && self.seeders as usize <= self.members.len()
            && self.aside.as_ref().is_none_or(|aside| aside.len() > 0)
    }

    fn change_since(&self, claims: usize, seeders: u32) -> Change {
        Change {
            claims: self.claims() as i64 - claims as i64,
            seeders: i64::from(self.seeders) - i64::from(seeders),
        }
    }
}

/// A number below `limit`, which is at least 1; each with the same chance but for one part in 2^32.
fn below(random: &mut Random, limit: usize) -> usize {
    ((u128::from(random.next()) * limit as u128) >> 64) as usize
}
