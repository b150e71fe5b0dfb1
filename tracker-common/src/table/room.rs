//! Where the peers of an answer are put: a packet in the kernel, a buffer in user space.

use bytemuck::Pod;

use super::layout::{RECORD_BYTES, WORDS, line_bytes};

/// Room for the peers of an answer. Offsets count from the first peer.
pub trait Room {
    /// Puts a line without its first `skip` bytes (below 64) at byte `at`. What lies behind, up to 64 bytes from `at`, may be overwritten: peers
    /// are put from front to back.
    fn put_line(&mut self, at: usize, line: &[u64; WORDS], skip: usize) -> Option<()>;
    /// Puts a value at byte `at`; `None` when it doesn't fit.
    fn put<T: Pod>(&mut self, at: usize, value: T) -> Option<()>;
    /// The value at byte `at`.
    fn get<T: Pod>(&self, at: usize) -> Option<T>;
}

/// Room in a buffer, which may end anywhere behind the last peer.
#[derive(Debug)]
pub struct Buffer<'a>(pub &'a mut [u8]);

impl Room for Buffer<'_> {
    #[inline(always)]
    fn put_line(&mut self, at: usize, line: &[u64; WORDS], skip: usize) -> Option<()> {
        let bytes = line_bytes(line);
        let from = bytes.get(skip..)?;
        let to = self.0.get_mut(at..)?;
        if skip == 0 && let Some(to) = to.first_chunk_mut::<RECORD_BYTES>() {
            // A copy of known length: most lines of most answers.
            *to = bytes;
            return Some(());
        }
        let len = from.len().min(to.len());
        to.get_mut(..len)?.copy_from_slice(from.get(..len)?);
        Some(())
    }

    #[inline(always)]
    fn put<T: Pod>(&mut self, at: usize, value: T) -> Option<()> {
        self.0.get_mut(at..)?.get_mut(..size_of::<T>())?.copy_from_slice(bytemuck::bytes_of(&value));
        Some(())
    }

    #[inline(always)]
    fn get<T: Pod>(&self, at: usize) -> Option<T> {
        bytemuck::try_pod_read_unaligned(self.0.get(at..)?.get(..size_of::<T>())?).ok()
    }
}
