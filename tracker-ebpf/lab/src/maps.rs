//! Maps that the laboratory's programs share with user space.

use aya_ebpf::btf_maps::{Array, PerCpuArray};
use aya_ebpf::macros::btf_map;
use tracker_lab::tally::{Evidence, Tally};
use tracker_lab::traffic::Traffic;

/// What the generator makes; user space writes.
#[btf_map]
static TRAFFIC: Array<Traffic, 1> = Array::new();

/// What all programs count; user space reads.
#[btf_map]
static TALLY: PerCpuArray<Tally, 1> = PerCpuArray::new();

/// The first bad answer; user space reads.
#[btf_map]
static EVIDENCE: Array<Evidence, 1> = Array::new();

#[inline(always)]
pub(crate) fn traffic() -> Option<&'static Traffic> {
    TRAFFIC.get(0)
}

#[inline(always)]
pub(crate) fn tally() -> Option<&'static mut Tally> {
    let tally = TALLY.get_ptr_mut(0)?;
    // SAFETY: a per-CPU value that lives as long as the program, and XDP programs of one CPU don't interrupt each other; each program asks once.
    Some(unsafe { &mut *tally })
}

#[inline(always)]
pub(crate) fn evidence() -> Option<*mut Evidence> {
    EVIDENCE.get_ptr_mut(0)
}
