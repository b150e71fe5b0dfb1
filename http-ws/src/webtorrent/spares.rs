//! Buffers of queues that nobody has anything in at the moment.
//!
//! A queue has a buffer only while something waits, which is for moments, and one that grows is as large as the one before in the end. Given back to malloc
//! in between, parts of it would be handed out for members of swarms and other things that stay, and the next buffer would need
//! memory elsewhere. A worker has some of them at hand for its mailboxes instead.

use std::cell::RefCell;

/// Buffers that are kept at most, ...
const MOST: usize = 64;

/// ... and bytes of one: what the answers and offers of a turn take in a swarm of any size.
const LARGEST: usize = 16 * 1024;

/// A worker's.
#[derive(Debug, Default)]
pub(super) struct Spares(RefCell<Vec<Vec<u8>>>);

impl Spares {
    /// An empty buffer.
    pub(super) fn take(&self) -> Vec<u8> {
        self.0.borrow_mut().pop().unwrap_or_default()
    }

    /// A buffer isn't needed any more.
    pub(super) fn put(&self, mut buffer: Vec<u8>) {
        let mut spares = self.0.borrow_mut();
        if spares.len() < MOST && (1..=LARGEST).contains(&buffer.capacity()) {
            buffer.clear();
            spares.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_used_again_empty_and_not_too_many_or_too_large() {
        let spares = Spares::default();
        for capacity in [0, LARGEST + 1] {
            spares.put(Vec::with_capacity(capacity));
            assert_eq!(spares.take().capacity(), 0);
        }
        for _ in 0..MOST + 5 {
            let mut buffer = Vec::with_capacity(100);
            buffer.push(b'a');
            spares.put(buffer);
        }
        for _ in 0..MOST {
            let buffer = spares.take();
            assert!(buffer.is_empty() && buffer.capacity() >= 100);
        }
        assert_eq!(spares.take().capacity(), 0);
    }
}
