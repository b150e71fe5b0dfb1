//! The frame as the verifier knows it: two pointers, and nothing readable before it was compared with the end.
//!
//! Only this file compares with the packet's end. The kernel has to be able to prove `data + constant <= data_end` for every access, so
//! offsets are constants after inlining; a length that comes out of the packet is only ever compared, never used to read.

use core::arch::asm;
use core::hint::black_box;
use core::marker::PhantomData;

use aya_ebpf::bindings::xdp_md;
use aya_ebpf::helpers::{bpf_xdp_adjust_head, bpf_xdp_adjust_tail, bpf_xdp_get_buff_len};
use aya_ebpf::programs::XdpContext;
use bytemuck::Pod;
use tracker_common::frame::Frame;

/// Index of the loopback interface in every network namespace (`LOOPBACK_IFINDEX` in the kernel's `net/flow.h`).
const LOOPBACK_IFINDEX: u32 = 1;

/// The packet that the program was called for.
pub(crate) struct Packet<'a> {
    context: *mut xdp_md,
    lifetime: PhantomData<&'a XdpContext>,
}

impl<'a> Packet<'a> {
    #[inline(always)]
    pub(crate) fn new(context: &'a XdpContext) -> Self {
        Self { context: context.ctx, lifetime: PhantomData }
    }

    /// Address of `len` bytes at `at`, if the packet has them.
    ///
    /// Start and end are loaded anew each time: the verifier forgets what it knew of older copies once the packet's length was changed.
    #[inline(always)]
    fn pointer(&self, at: usize, len: usize) -> Option<usize> {
        // SAFETY: the kernel passes a valid context and keeps it while the program runs.
        let (start, end) = unsafe { ((*self.context).data as usize, (*self.context).data_end as usize) };
        if start + at + len > end { None } else { Some(start + at) }
    }
}

/// An offset that isn't a constant, masked: the verifier takes it for less than 4,096 whatever it knew before. In assembly, since LLVM
/// leaves a mask out that it finds needless, and compares with the packet's end what the verifier doesn't want compared.
#[inline(always)]
fn masked(mut at: usize) -> usize {
    // SAFETY: one instruction on one register.
    unsafe { asm!("{at} &= 4095", at = inout(reg) at, options(pure, nomem, nostack)) };
    at
}

impl Frame for Packet<'_> {
    #[inline(always)]
    fn bytes<const N: usize>(&self, at: usize) -> Option<&[u8; N]> {
        let pointer = self.pointer(at, N)?;
        // SAFETY: the packet has N bytes there, a byte array needs no alignment, and `&self` keeps `store` and `set_len` away.
        Some(unsafe { &*(pointer as *const [u8; N]) })
    }

    #[inline(always)]
    fn load<T: Pod>(&self, at: usize) -> Option<T> {
        let pointer = self.pointer(at, size_of::<T>())?;
        // SAFETY: the packet has the value's bytes there, and any bytes are a `Pod`.
        Some(unsafe { (pointer as *const T).read_unaligned() })
    }

    #[inline(always)]
    fn store<T: Pod>(&mut self, at: usize, value: T) -> Option<()> {
        let pointer = self.pointer(at, size_of::<T>())?;
        // SAFETY: the packet has room for the value there, and `&mut self` means that no reference into it is alive.
        unsafe { (pointer as *mut T).write_unaligned(value) };
        Some(())
    }

    #[inline(always)]
    fn load_at<T: Pod>(&self, at: usize) -> Option<T> {
        self.load(masked(at))
    }

    #[inline(always)]
    fn store_at<T: Pod>(&mut self, at: usize, value: T) -> Option<()> {
        self.store(masked(at), value)
    }

    #[inline(always)]
    fn bytes_at<const N: usize>(&self, at: usize) -> Option<&[u8; N]> {
        self.bytes(masked(at))
    }

    #[inline(always)]
    fn window_at<const N: usize>(&mut self, at: usize) -> Option<&mut [u8; N]> {
        let pointer = self.pointer(masked(at), N)?;
        // SAFETY: the packet has N bytes there, a byte array needs no alignment, and `&mut self` keeps everybody else away.
        Some(unsafe { &mut *(pointer as *mut [u8; N]) })
    }

    #[inline(always)]
    fn reaches(&self, len: usize) -> bool {
        // Linux 6.1 forgets the bound of a length that was compared as a 32-bit number; the mask is one that it sees. Opaque, or LLVM, which
        // knows the bound, would leave the mask out.
        self.pointer(0, black_box(len) & 0xffff).is_some()
    }

    #[inline(always)]
    fn set_len(&mut self, len: usize) -> bool {
        // The length is asked for: a difference of packet pointers is no number to the verifier.
        self.resize(self.total_len(), len)
    }

    #[inline(always)]
    fn resize(&mut self, from: usize, to: usize) -> bool {
        // SAFETY: a helper on the valid context; no reference into the packet is alive, since this takes `&mut self`.
        unsafe { bpf_xdp_adjust_tail(self.context, to as i32 - from as i32) == 0 }
    }

    #[inline(always)]
    fn total_len(&self) -> usize {
        // SAFETY: a helper on the valid context.
        unsafe { bpf_xdp_get_buff_len(self.context) as usize }
    }

    #[inline(always)]
    fn cut_front(&mut self, bytes: isize) -> bool {
        // SAFETY: a helper on the valid context; no reference into the packet is alive, since this takes `&mut self`.
        unsafe { bpf_xdp_adjust_head(self.context, bytes as i32) == 0 }
    }

    #[inline(always)]
    fn is_from_loopback(&self) -> bool {
        // SAFETY: the kernel passes a valid context and keeps it while the program runs.
        unsafe { (*self.context).ingress_ifindex == LOOPBACK_IFINDEX }
    }
}
