//! The XDP program: BitTorrent's UDP tracker protocol answered before the kernel's network stack sees the packet.
//!
//! A packet's journey, step by step, is [`tracker_common::journey`]: it is the same code that the tests run in user space. Here is only
//! what ties it to the kernel:
//!
//! - [`packet`]: the frame as packet pointers; the only code that compares with the packet's end.
//! - [`maps`]: the BPF maps, each with who writes and who reads it, and the journey's look-ups in them.
//! - [`table`]: the swarm table's segments, and its records as the read path wants them.
//! - `main`: the entry points, which count the verdict and translate it.
//!
//! The program only reads what the daemon wrote; it writes nothing but counters, the rate limit's sketch, its own scratch memory and the events.
//! None of the helpers that it calls (map look-up, `ktime_get_coarse_ns`, `get_prandom_u32`, `xdp_adjust_head`, `xdp_adjust_tail`,
//! `xdp_get_buff_len`, `ringbuf_output`, `loop`) is reserved to GPL programs, so it carries the project's licence.

#![feature(asm_experimental_arch)]
#![no_std]
#![no_main]

mod maps;
mod packet;
mod table;

use aya_ebpf::bindings::xdp_action::{XDP_DROP, XDP_PASS, XDP_TX};
use aya_ebpf::macros::xdp;
use aya_ebpf::programs::XdpContext;
use tracker_common::journey;
use tracker_common::verdict::{Class, Verdict};

use crate::maps::Maps;
use crate::packet::Packet;

/// The entry point: one packet in, one verdict counted, one action out.
#[xdp]
fn tracker(context: XdpContext) -> u32 {
    run::<true>(&context)
}

/// The same without announces and scrapes: a tenth of the way for the verifier, which older kernels give up on for the whole.
#[xdp]
fn tracker_connect(context: XdpContext) -> u32 {
    run::<false>(&context)
}

#[inline(always)]
fn run<const ANSWERS: bool>(context: &XdpContext) -> u32 {
    let (version, verdict) = journey::travel(&mut Packet::new(context), &mut Maps::<ANSWERS>);
    maps::count(version, verdict);
    log(context, verdict);
    match verdict.class() {
        Class::Answer => XDP_TX,
        Class::Pass => XDP_PASS,
        Class::Drop => XDP_DROP,
    }
}

#[cfg(feature = "debug")]
#[inline(always)]
fn log(context: &XdpContext, verdict: Verdict) {
    aya_log_ebpf::info!(context, "{}", verdict.name());
}

#[cfg(not(feature = "debug"))]
#[inline(always)]
fn log(_: &XdpContext, _: Verdict) {}

/// Never called: `cargo xtask build-ebpf` refuses an object in which a path to it is left.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// Read by the loader; see the crate's documentation on helpers.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 11] = *b"Apache-2.0\0";
