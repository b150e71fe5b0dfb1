//! What the laboratory's programs count, and what they keep of a bad answer.

use bytemuck::{Pod, Zeroable};

/// Counters of one CPU.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Tally {
    /// Requests made.
    pub generated: u64,
    /// Frames dropped at the tracker's end (program `drop`).
    pub dropped: u64,
    /// Connect answers at the far end.
    pub connects: u64,
    /// Announce answers.
    pub announces: u64,
    /// Scrape answers.
    pub scrapes: u64,
    /// Error answers.
    pub errors: u64,
    /// Anything else.
    pub others: u64,
    /// Peers in the announce answers.
    pub peers: u64,
    /// Announce answers that were checked peer by peer.
    pub checked: u64,
    /// Answers that are wrong.
    pub bad: u64,
    /// Requests that the reference took in, answered or not.
    pub reference: u64,
    /// Requests that the reference could not answer: bad id, unknown torrent, ring full, frame that can't grow.
    pub reference_refused: u64,
}

impl Tally {
    /// Adds another CPU's.
    pub fn add(&mut self, other: &Self) {
        let sum: &mut [u64; 12] = bytemuck::cast_mut(self);
        let other: &[u64; 12] = bytemuck::cast_ref(other);
        for (sum, part) in sum.iter_mut().zip(other) {
            *sum = sum.wrapping_add(*part);
        }
    }

    /// What was added since `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut difference = *self;
        let words: &mut [u64; 12] = bytemuck::cast_mut(&mut difference);
        let earlier: &[u64; 12] = bytemuck::cast_ref(earlier);
        for (word, part) in words.iter_mut().zip(earlier) {
            *word = word.wrapping_sub(*part);
        }
        difference
    }

    /// All answers at the far end.
    pub fn answers(&self) -> u64 {
        self.connects + self.announces + self.scrapes + self.errors
    }
}

/// Bytes kept of a bad answer.
pub const EVIDENCE_BYTES: usize = 2048;

/// The first bad answer.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Evidence {
    /// One of [`fault`]; 0 while there is none.
    pub fault: u32,
    /// Bytes of the frame.
    pub len: u32,
    /// Where in the frame it was found.
    pub at: u32,
    /// The torrent, by the transaction id.
    pub torrent: u32,
    /// The frame.
    pub frame: [u8; EVIDENCE_BYTES],
}

/// What can be wrong with an answer.
pub mod fault {
    /// Neither IPv4 nor IPv6, not UDP, not from the tracker.
    pub const NO_ANSWER: u32 = 1;
    /// The IP, UDP and frame lengths don't fit each other, or not the kind of answer.
    pub const LENGTH: u32 = 2;
    /// More peers than wanted, or another number of torrents than scraped.
    pub const TOO_MANY: u32 = 3;
    /// A peer that was never announced for this torrent, or a torn address.
    pub const STRANGER: u32 = 4;
    /// The announcer itself.
    pub const ITSELF: u32 = 5;
    /// An unknown action, or an error answer.
    pub const ACTION: u32 = 6;
    /// The IP header's or the UDP checksum is wrong.
    pub const CHECKSUM: u32 = 7;

    /// In words.
    pub fn name(fault: u32) -> &'static str {
        match fault {
            NO_ANSWER => "not an answer of the tracker",
            LENGTH => "lengths that don't fit",
            TOO_MANY => "more than was asked for",
            STRANGER => "a peer that was never announced for this torrent, or a torn address",
            ITSELF => "the announcer itself",
            ACTION => "an unknown action or an error",
            CHECKSUM => "a wrong checksum",
            _ => "unknown",
        }
    }
}
