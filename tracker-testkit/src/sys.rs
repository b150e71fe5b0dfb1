//! The system calls that std has no safe form of: namespaces, socket options, signals, and a program that does
//! nothing. The only unsafe code of the crate.

#![expect(unsafe_code, reason = "system calls; every other module forbids it by lint")]

use std::ffi::{CString, c_int, c_void};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

fn checked(result: c_int) -> io::Result<c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Moves the calling thread into a new network namespace.
pub(crate) fn unshare_network() -> io::Result<()> {
    // SAFETY: takes a flag word and touches no memory of ours.
    checked(unsafe { libc::unshare(libc::CLONE_NEWNET) }).map(drop)
}

/// Makes an io_uring and closes it again.
pub(crate) fn io_uring() -> io::Result<()> {
    // `struct io_uring_params` has 120 bytes.
    let mut parameters = [0u64; 15];
    // SAFETY: the kernel writes the parameters alone, which live until the call returns.
    let fd = unsafe { libc::syscall(libc::SYS_io_uring_setup, 1, parameters.as_mut_ptr()) };
    let fd = checked(c_int::try_from(fd).unwrap_or(-1))?;
    // SAFETY: the descriptor was just made and nobody else knows it.
    drop(unsafe { OwnedFd::from_raw_fd(fd) });
    Ok(())
}

/// Moves the calling thread into the network namespace that `namespace` has open.
pub(crate) fn enter_network(namespace: &File) -> io::Result<()> {
    // SAFETY: takes a descriptor, open for as long as the borrow, and a flag word.
    checked(unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) }).map(drop)
}

/// Whether this process runs as root.
pub(crate) fn is_root() -> bool {
    // SAFETY: no arguments, no failure.
    unsafe { libc::geteuid() == 0 }
}

/// Sends a signal to a child that has not been waited for, so that the number is still its own.
pub(crate) fn signal(child: &std::process::Child, signal: c_int) -> io::Result<()> {
    let pid = child.id().cast_signed();
    // SAFETY: takes two numbers.
    checked(unsafe { libc::kill(pid, signal) }).map(drop)
}

/// `setsockopt` with a value of any length.
pub(crate) fn set_socket_option(
    socket: &impl AsRawFd,
    level: c_int,
    name: c_int,
    value: &[u8],
) -> io::Result<()> {
    let length = value.len() as libc::socklen_t;
    // SAFETY: the kernel reads `length` bytes from `value`, which the borrow keeps alive.
    checked(unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, value.as_ptr().cast(), length) })
        .map(drop)
}

/// Index of an interface of the calling thread's network namespace.
pub(crate) fn interface_index(name: &str) -> io::Result<u32> {
    let name = CString::new(name)?;
    // SAFETY: a pointer to a NUL-terminated string that lives until the end of the function.
    match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        0 => Err(io::Error::last_os_error()),
        index => Ok(index),
    }
}

/// A packet socket that sends and sees every frame of an interface of the calling thread's network namespace.
pub(crate) fn packet_socket(interface: &str) -> io::Result<OwnedFd> {
    let every_protocol = (libc::ETH_P_ALL as u16).to_be();
    // SAFETY: takes three numbers.
    let descriptor = checked(unsafe {
        libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, c_int::from(every_protocol))
    })?;
    // SAFETY: the kernel has just made this descriptor and nobody else knows it.
    let socket = unsafe { OwnedFd::from_raw_fd(descriptor) };
    let address = libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: every_protocol,
        sll_ifindex: interface_index(interface)?.cast_signed(),
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    let length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: the kernel reads `length` bytes, which are all of `address`.
    checked(unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length) })?;
    Ok(socket)
}

const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_OBJ_GET: libc::c_long = 7;
const BPF_MAP_FREEZE: libc::c_long = 22;
const BPF_LINK_CREATE: libc::c_long = 28;
const BPF_PROG_TYPE_XDP: u32 = 6;
const BPF_ATTACH_TYPE_XDP: u32 = 37;
const XDP_FLAGS_DRV_MODE: u32 = 4;

/// `union bpf_attr` up to the last field that the commands below need (linux/bpf.h).
#[repr(C, align(8))]
#[derive(Default)]
struct ProgramLoad {
    program_type: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buffer: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
}

#[repr(C, align(8))]
#[derive(Default)]
struct LinkCreate {
    program: u32,
    interface_index: u32,
    attach_type: u32,
    flags: u32,
}

#[repr(C, align(8))]
#[derive(Default)]
struct ObjectGet {
    path: u64,
    descriptor: u32,
    flags: u32,
}

/// `BPF_MAP_FREEZE`, with as much of zeros behind it as the kernel's alignment asks for.
#[repr(C, align(8))]
struct MapFreeze {
    map: u32,
    zero: u32,
}

/// Makes the kernel refuse every change of a pinned map by a system call, for as long as the map lives. Programs still write it.
pub(crate) fn freeze_map(pin: &Path) -> io::Result<()> {
    let path = CString::new(pin.as_os_str().as_bytes())?;
    let map = bpf(BPF_OBJ_GET, &ObjectGet { path: path.as_ptr() as u64, ..ObjectGet::default() })?;
    bpf_number(BPF_MAP_FREEZE, &MapFreeze { map: map.as_raw_fd().cast_unsigned(), zero: 0 }).map(drop)
}

/// Loads an XDP program that passes every packet: `r0 = XDP_PASS; exit`.
pub(crate) fn load_pass_program(name: &str) -> io::Result<OwnedFd> {
    const INSTRUCTIONS: [u64; 2] =
        [u64::from_ne_bytes([0xb7, 0, 0, 0, 2, 0, 0, 0]), u64::from_ne_bytes([0x95, 0, 0, 0, 0, 0, 0, 0])];
    let mut attributes = ProgramLoad {
        program_type: BPF_PROG_TYPE_XDP,
        instruction_count: INSTRUCTIONS.len() as u32,
        instructions: INSTRUCTIONS.as_ptr() as u64,
        license: c"Apache-2.0".as_ptr() as u64,
        ..ProgramLoad::default()
    };
    attributes.name[..name.len()].copy_from_slice(name.as_bytes());
    bpf(BPF_PROG_LOAD, &attributes)
}

/// Attaches a program in native mode to an interface of the calling thread's network namespace, until the returned
/// descriptor is closed.
pub(crate) fn attach_native(program: &OwnedFd, interface_index: u32) -> io::Result<OwnedFd> {
    let attributes = LinkCreate {
        program: program.as_raw_fd().cast_unsigned(),
        interface_index,
        attach_type: BPF_ATTACH_TYPE_XDP,
        flags: XDP_FLAGS_DRV_MODE,
    };
    bpf(BPF_LINK_CREATE, &attributes)
}

/// One of the commands above that return a descriptor.
fn bpf<T>(command: libc::c_long, attributes: &T) -> io::Result<OwnedFd> {
    let descriptor = bpf_number(command, attributes)?;
    // SAFETY: the kernel has just made this descriptor and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// One of the commands above.
fn bpf_number<T>(command: libc::c_long, attributes: &T) -> io::Result<c_int> {
    let attributes: *const c_void = std::ptr::from_ref(attributes).cast();
    // SAFETY: the kernel reads `size_of::<T>()` bytes of a `#[repr(C)]` struct without padding; the addresses in it
    // are of statics, or of what the caller keeps until this returns. It takes the fields behind that size for zero.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, attributes, size_of::<T>()) };
    checked(c_int::try_from(result).unwrap_or(-1))
}
