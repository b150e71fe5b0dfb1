//! Programs of the laboratory, all in one object: who loads it picks one by name for each end of a veth pair.
//!
//! - [`generator`]: turns frames into requests; run with BPF_PROG_TEST_RUN and live frames, so that no packet needs a system call.
//! - [`sinks`]: the far end: counts answers, or checks each of them, and drops them.
//! - [`plain`]: drop, pass, reflect: the floor that answers are measured above.
//! - [`reference`]: the plainest program that answers announces from a table.
//! - [`packet`]: frames as arrays; [`maps`]: what the programs share with user space.

#![no_std]
#![no_main]

mod generator;
mod maps;
mod packet;
mod plain;
mod reference;
mod sinks;

/// Never called: `cargo xtask build-ebpf` refuses an object in which a path to it is left.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// Read by the loader; no helper that is called here is reserved to GPL programs.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 11] = *b"Apache-2.0\0";
