//! Where the peers of an answer are put: a packet in the kernel, a buffer in user space.

use bytemuck::Pod;

use super::layout::{RECORD_BYTES, WORDS};

/// Bytes behind the peers that a room has besides: a line is put whole.
pub const SPARE: usize = RECORD_BYTES;

/// Room for the peers of an answer. Offsets count from the first peer.
pub trait Room {
    /// Puts a line's bytes, in words as memory has them, at byte `at`. What lies behind the peers that are meant, up to 64 bytes from `at`, may be overwritten: peers are
    /// put from front to back.
    fn put_line(&mut self, at: usize, line: [u64; WORDS]) -> Option<()>;
    /// The 64 bytes from byte `at` on, to put a line there.
    fn window(&mut self, at: usize) -> Option<&mut [u8; RECORD_BYTES]>;
    /// Puts a value at byte `at`; `None` when it doesn't fit.
    fn put<T: Pod>(&mut self, at: usize, value: T) -> Option<()>;
    /// The value at byte `at`.
    fn get<T: Pod>(&self, at: usize) -> Option<T>;
}

/// Room in a buffer, which has [`SPARE`] bytes behind the last peer.
#[derive(Debug)]
pub struct Buffer<'a>(pub &'a mut [u8]);

impl Room for Buffer<'_> {
    #[inline(always)]
    fn put_line(&mut self, at: usize, line: [u64; WORDS]) -> Option<()> {
        *self.window(at)? = bytemuck::cast(line);
        Some(())
    }

    #[inline(always)]
    fn window(&mut self, at: usize) -> Option<&mut [u8; RECORD_BYTES]> {
        self.0.get_mut(at..)?.first_chunk_mut()
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
