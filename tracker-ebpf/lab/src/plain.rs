//! Programs that do next to nothing: the floor.

use aya_ebpf::bindings::xdp_action::{XDP_DROP, XDP_PASS, XDP_TX};
use aya_ebpf::macros::xdp;
use aya_ebpf::programs::XdpContext;

use crate::maps;
use crate::packet::{bytes_mut, load2, load4, store};

/// Counts and drops.
#[xdp]
fn drop_all(_context: XdpContext) -> u32 {
    if let Some(tally) = maps::tally() {
        tally.dropped += 1;
    }
    XDP_DROP
}

/// Passes everything: the far end of ordinary clients needs a program, or what XDP_TX sends never arrives.
#[xdp]
fn pass_all(_context: XdpContext) -> u32 {
    XDP_PASS
}

/// Swaps the hardware addresses and sends the frame back.
#[xdp]
fn reflect(mut context: XdpContext) -> u32 {
    let Some(frame) = bytes_mut::<14>(&mut context) else { return XDP_DROP };
    let (to, to_end) = (load4(frame, 0), load2(frame, 4));
    let (from, from_end) = (load4(frame, 6), load2(frame, 10));
    store(frame, 0, from.to_ne_bytes());
    store(frame, 4, from_end.to_ne_bytes());
    store(frame, 6, to.to_ne_bytes());
    store(frame, 10, to_end.to_ne_bytes());
    XDP_TX
}
