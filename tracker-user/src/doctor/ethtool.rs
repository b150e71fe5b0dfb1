//! What `ethtool` asks: a driver's name, and offloads that stand in the way. Tests are below.

use std::ffi::c_void;
use std::io;
use std::net::UdpSocket;
use std::os::fd::AsRawFd as _;

/// linux/ethtool.h
const ETHTOOL_GDRVINFO: u32 = 0x03;
const ETHTOOL_GFLAGS: u32 = 0x25;

/// linux/ethtool.h: `ETH_FLAG_RXVLAN`.
const RX_VLAN: u32 = 1 << 8;
/// linux/ethtool.h: `ETH_FLAG_LRO`.
const LRO: u32 = 1 << 15;

/// linux/ethtool.h: `struct ethtool_drvinfo`, of which only the name is read.
#[repr(C)]
struct DriverInfo {
    command: u32,
    driver: [u8; 32],
    rest: [u8; 160],
}

/// linux/ethtool.h: `struct ethtool_value`.
#[repr(C)]
struct Value {
    command: u32,
    data: u32,
}

/// linux/if.h: `struct ifreq`, as ethtool's ioctl uses it.
#[repr(C)]
struct Request {
    name: [u8; libc::IFNAMSIZ],
    data: *mut c_void,
    rest: [u8; 16],
}

/// The name of an interface's driver.
///
/// # Errors
///
/// Those of the ioctl; no such interface.
pub(super) fn driver(interface: &str) -> io::Result<String> {
    let mut info = DriverInfo { command: ETHTOOL_GDRVINFO, driver: [0; 32], rest: [0; 160] };
    // SAFETY: the kernel writes one `ethtool_drvinfo` of 196 bytes, which is the size of `info`, and keeps no pointer.
    unsafe { ask(interface, (&raw mut info).cast())? };
    let len = info.driver.iter().position(|byte| *byte == 0).unwrap_or(info.driver.len());
    Ok(String::from_utf8_lossy(&info.driver[..len]).into_owned())
}

/// Offloads that are on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Offloads {
    /// Packets are put together before they reach the program.
    pub(super) lro: bool,
    /// VLAN tags are taken off before packets reach the program.
    pub(super) rx_vlan: bool,
}

/// An interface's offloads.
///
/// # Errors
///
/// Those of the ioctl; no such interface.
pub(super) fn offloads(interface: &str) -> io::Result<Offloads> {
    let mut value = Value { command: ETHTOOL_GFLAGS, data: 0 };
    // SAFETY: the kernel writes one `ethtool_value`, which `value` is, and keeps no pointer.
    unsafe { ask(interface, (&raw mut value).cast())? };
    Ok(Offloads { lro: value.data & LRO != 0, rx_vlan: value.data & RX_VLAN != 0 })
}

const _: () = assert!(size_of::<DriverInfo>() == 196 && size_of::<Request>() == 40);

/// # Safety
///
/// `data` points to the structure that its command wants, alive until the call returns.
unsafe fn ask(interface: &str, data: *mut c_void) -> io::Result<()> {
    let mut request = Request { name: [0; libc::IFNAMSIZ], data, rest: [0; 16] };
    let name = interface.as_bytes();
    if name.len() >= request.name.len() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    request.name[..name.len()].copy_from_slice(name);
    let socket = UdpSocket::bind("127.0.0.1:0").or_else(|_no_ipv4| UdpSocket::bind("[::1]:0"))?;
    // SAFETY: `request` is an `ifreq` with a terminated name, and the caller vouches for `data`.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL as _, &raw mut request) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_has_no_offload_in_the_way() {
        assert_eq!(offloads("lo").expect("Linux has it"), Offloads::default());
    }

    #[test]
    fn unknown_interfaces_and_long_names_are_errors() {
        assert!(driver("no-such-if").is_err());
        assert!(driver("a name that is longer than any").is_err());
    }
}
