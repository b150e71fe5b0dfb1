//! Claims to peer ids that another connection has taken (W07). Tests are in `swarms/tests`.

use std::sync::Arc;

use crate::webtorrent::speaker::Speaker;

/// Claims that are kept at most; of more, the oldest are forgotten. An honest swarm has one now and then.
const MAX: usize = 64;

/// A connection's claim to be a peer of the torrent.
#[derive(Debug)]
pub(super) struct Claim {
    pub(super) speaker: Arc<Speaker>,
    pub(super) seeder: bool,
}

/// A swarm's, the latest last. Almost always empty.
#[derive(Debug, Default)]
pub(super) struct Aside(Vec<Claim>);

impl Aside {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn has(&self, speaker: &Speaker) -> bool {
        self.0.iter().any(|claim| claim.speaker.is(speaker))
    }

    pub(super) fn put(&mut self, claim: Claim) {
        if self.0.len() >= MAX {
            self.0.remove(0);
        }
        self.0.push(claim);
    }

    /// The latest claim to the peer id of this speaker, which isn't kept any more.
    pub(super) fn take_latest(&mut self, speaker: &Speaker) -> Option<Claim> {
        let at = self.0.iter().rposition(|claim| claim.speaker.peer == speaker.peer)?;
        Some(self.0.remove(at))
    }

    pub(super) fn forget(&mut self, speaker: &Speaker) {
        self.0.retain(|claim| !claim.speaker.is(speaker));
    }
}
