//! Frames as arrays of a constant length: one comparison with the packet's end, and every access after it is a constant.
//!
//! Only this file and [`crate::sinks`]' evidence touch the context.

use aya_ebpf::helpers::{bpf_xdp_adjust_tail, bpf_xdp_get_buff_len};
use aya_ebpf::programs::XdpContext;

/// The first `N` bytes of the frame, to be changed, if it has them.
#[inline(always)]
pub(crate) fn bytes_mut<const N: usize>(context: &mut XdpContext) -> Option<&mut [u8; N]> {
    let (start, end) = (context.data(), context.data_end());
    if start + N > end {
        return None;
    }
    // SAFETY: the packet has N bytes, and the context is borrowed for as long as they are: nobody else has them, or changes the length.
    Some(unsafe { &mut *(start as *mut [u8; N]) })
}

/// The first `N` bytes of the frame, if it has them.
#[inline(always)]
pub(crate) fn bytes<const N: usize>(context: &XdpContext) -> Option<&[u8; N]> {
    bytes_at(context, 0)
}

/// `N` bytes from `at`, an offset that the verifier can bound.
#[inline(always)]
pub(crate) fn bytes_at<const N: usize>(context: &XdpContext, at: usize) -> Option<&[u8; N]> {
    let (start, end) = (context.data(), context.data_end());
    if start + at + N > end {
        return None;
    }
    // SAFETY: the packet has N bytes there, and the context is borrowed for as long as they are.
    Some(unsafe { &*((start + at) as *const [u8; N]) })
}

/// Moves the end of the frame.
#[inline(always)]
pub(crate) fn grow(context: &mut XdpContext, by: i32) -> bool {
    // SAFETY: a helper on the valid context.
    unsafe { bpf_xdp_adjust_tail(context.ctx, by) == 0 }
}

/// Bytes of the frame.
#[inline(always)]
pub(crate) fn len(context: &XdpContext) -> usize {
    // SAFETY: a helper on the valid context.
    unsafe { bpf_xdp_get_buff_len(context.ctx) as usize }
}

/// Two bytes as they stand in the packet.
#[inline(always)]
pub(crate) fn load2<const N: usize>(frame: &[u8; N], at: usize) -> u16 {
    u16::from_ne_bytes([frame[at], frame[at + 1]])
}

/// Four bytes as they stand in the packet.
#[inline(always)]
pub(crate) fn load4<const N: usize>(frame: &[u8; N], at: usize) -> u32 {
    u32::from_ne_bytes([frame[at], frame[at + 1], frame[at + 2], frame[at + 3]])
}

/// Eight bytes as they stand in the packet.
#[inline(always)]
pub(crate) fn load8<const N: usize>(frame: &[u8; N], at: usize) -> u64 {
    load4(frame, at) as u64 | (load4(frame, at + 4) as u64) << 32
}

/// Stores bytes at a constant offset.
#[inline(always)]
pub(crate) fn store<const N: usize, const M: usize>(frame: &mut [u8; N], at: usize, value: [u8; M]) {
    let mut index = 0;
    while index < M {
        frame[at + index] = value[index];
        index += 1;
    }
}

/// The one's complement sum of whole words from `from` up to the end, which may have two bytes more.
#[inline(always)]
pub(crate) fn sum<const N: usize>(frame: &[u8; N], from: usize) -> u64 {
    let mut sum = 0;
    let mut at = from;
    while at + 4 <= N {
        sum += load4(frame, at) as u64;
        at += 4;
    }
    if at + 2 <= N {
        sum += load2(frame, at) as u64;
    }
    sum
}

/// A sum in 16 bits, not complemented.
#[inline(always)]
pub(crate) fn fold(sum: u64) -> u16 {
    let sum = (sum & 0xffff_ffff) + (sum >> 32);
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    sum as u16
}
