//! What travels beside a packet's bytes: its source as a `sockaddr`, and the local address as a control message.
//!
//! Used by both backends, [`mmsg`](super::mmsg) and [`ring`](super::ring), which are tested in `udp::backend`.

use std::mem::{MaybeUninit, size_of};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// Room for one control message of `in6_pktinfo` (20 bytes) or `in_pktinfo` (12 bytes): a header of 16 and padding.
pub(super) const CONTROL_BYTES: usize = 64;

/// Control messages start with a `cmsghdr`, which wants the alignment of `usize`.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
pub(super) struct Control(pub(super) [u8; CONTROL_BYTES]);

/// The local address that a request was sent to, as the kernel wants it back in the answer.
#[derive(Clone, Copy)]
pub(super) enum Local {
    /// The socket has it.
    Bound,
    V4(libc::in_pktinfo),
    V6(libc::in6_pktinfo),
}

pub(super) fn zeroed_name() -> libc::sockaddr_storage {
    // SAFETY: `sockaddr_storage` is integers and arrays of them; all zero is a value (family AF_UNSPEC).
    unsafe { MaybeUninit::zeroed().assume_init() }
}

pub(super) fn source_of(name: &libc::sockaddr_storage) -> Option<SocketAddr> {
    match i32::from(name.ss_family) {
        libc::AF_INET => {
            // SAFETY: `sockaddr_storage` is large and aligned enough for every address type, any bytes are a `sockaddr_in`, and the
            // family says that the kernel wrote one.
            let name = unsafe { &*(&raw const *name).cast::<libc::sockaddr_in>() };
            let ip = Ipv4Addr::from(u32::from_be(name.sin_addr.s_addr));
            Some(SocketAddrV4::new(ip, u16::from_be(name.sin_port)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: as above, for `sockaddr_in6`.
            let name = unsafe { &*(&raw const *name).cast::<libc::sockaddr_in6>() };
            let ip = Ipv6Addr::from(name.sin6_addr.s6_addr);
            Some(SocketAddrV6::new(ip, u16::from_be(name.sin6_port), 0, name.sin6_scope_id).into())
        }
        _ => None,
    }
}

/// `header` is as the kernel left it when it received into a backend's buffers.
pub(super) fn local_of(header: &libc::msghdr) -> Local {
    // SAFETY: the kernel has filled in `header`: its control pointer and length describe initialised bytes of a backend's buffers,
    // aligned for `cmsghdr`; the macros stay inside that length. Data is read unaligned and only when the message says that it is
    // long enough.
    unsafe {
        let mut message = libc::CMSG_FIRSTHDR(header);
        while !message.is_null() {
            let holds = |bytes: usize| (*message).cmsg_len >= libc::CMSG_LEN(bytes as libc::c_uint) as usize;
            match ((*message).cmsg_level, (*message).cmsg_type) {
                (libc::IPPROTO_IP, libc::IP_PKTINFO) if holds(size_of::<libc::in_pktinfo>()) => {
                    let mut info: libc::in_pktinfo =
                        libc::CMSG_DATA(message).cast::<libc::in_pktinfo>().read_unaligned();
                    // Routing chooses the interface; `ipi_spec_dst` is the address to answer from.
                    info.ipi_ifindex = 0;
                    return Local::V4(info);
                }
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) if holds(size_of::<libc::in6_pktinfo>()) => {
                    let mut info: libc::in6_pktinfo =
                        libc::CMSG_DATA(message).cast::<libc::in6_pktinfo>().read_unaligned();
                    let address = Ipv6Addr::from(info.ipi6_addr.s6_addr);
                    if address.is_multicast() {
                        return Local::Bound;
                    }
                    // A link-local address means something only together with its interface.
                    if !address.is_unicast_link_local() {
                        info.ipi6_ifindex = 0;
                    }
                    return Local::V6(info);
                }
                _ => message = libc::CMSG_NXTHDR(header, message),
            }
        }
    }
    Local::Bound
}

/// Writes the local address as a control message; returns its length.
pub(super) fn write_control(control: &mut Control, local: &Local) -> usize {
    match *local {
        Local::Bound => 0,
        Local::V4(info) => write_message(control, libc::IPPROTO_IP, libc::IP_PKTINFO, info),
        Local::V6(info) => write_message(control, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, info),
    }
}

fn write_message<T: Copy>(control: &mut Control, level: libc::c_int, kind: libc::c_int, data: T) -> usize {
    const { assert!(size_of::<libc::cmsghdr>() + size_of::<T>() + 8 <= CONTROL_BYTES) };
    // SAFETY: the buffer is aligned for `cmsghdr` and long enough for the header and `T` (asserted above); `CMSG_DATA` of a header
    // at its start is inside it. The data is written unaligned.
    unsafe {
        let message = control.0.as_mut_ptr().cast::<libc::cmsghdr>();
        (*message).cmsg_level = level;
        (*message).cmsg_type = kind;
        (*message).cmsg_len = libc::CMSG_LEN(size_of::<T>() as libc::c_uint) as usize;
        libc::CMSG_DATA(message).cast::<T>().write_unaligned(data);
        libc::CMSG_SPACE(size_of::<T>() as libc::c_uint) as usize
    }
}
