//! The machine's network interfaces and their addresses, asked from the kernel over route netlink.
//!
//! Used for the announce URLs, for the addresses that the XDP program serves, and to name the program that is in the way of
//! ours. Netlink and not `getifaddrs` because only netlink tells of XDP programs; messages are read with bounds checks, and what
//! isn't understood is skipped. Tests are below.

use std::io::{self, Read as _};
use std::net::IpAddr;

use socket2::{Domain, Protocol, Socket, Type};

/// A network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its number.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// The longest packet that it sends, without the link's header.
    pub mtu: u32,
    /// Whether it is up.
    pub up: bool,
    /// Whether it is a loopback interface.
    pub loopback: bool,
    /// Whether it is one end of a veth pair, as in containers.
    pub veth: bool,
    /// The XDP program attached to it.
    pub xdp: Option<AttachedXdp>,
}

/// An XDP program that is attached to an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttachedXdp {
    /// The kernel's number of the program.
    pub program_id: u32,
    /// `IFLA_XDP_ATTACHED`: 1 native, 2 generic, 3 offloaded, 4 several.
    pub mode: u8,
}

/// An address of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InterfaceAddress {
    /// Number of the interface.
    pub interface: u32,
    /// The address.
    pub ip: IpAddr,
}

/// All interfaces of this network namespace.
///
/// # Errors
///
/// Those of the netlink socket.
pub fn interfaces() -> io::Result<Vec<Interface>> {
    Ok(dump(libc::RTM_GETLINK)?.iter().filter_map(|message| parse_link(message)).collect())
}

/// All addresses of this network namespace.
///
/// # Errors
///
/// Those of the netlink socket.
pub fn addresses() -> io::Result<Vec<InterfaceAddress>> {
    Ok(dump(libc::RTM_GETADDR)?.iter().filter_map(|message| parse_address(message)).collect())
}

/// Takes the XDP program off an interface, whoever attached it over netlink.
///
/// # Errors
///
/// What the kernel answers.
pub fn detach_xdp(index: u32, native: bool) -> io::Result<()> {
    let flags = if native { XDP_FLAGS_DRV_MODE } else { XDP_FLAGS_SKB_MODE };
    let nested =
        [attribute(IFLA_XDP_FD, &(-1i32).to_ne_bytes()), attribute(IFLA_XDP_FLAGS, &flags.to_ne_bytes())]
            .concat();
    // ifinfomsg with the interface's number, then the attribute.
    let mut payload = vec![0u8; 16];
    payload[4..8].copy_from_slice(&index.to_ne_bytes());
    payload.extend(attribute(libc::IFLA_XDP | libc::NLA_F_NESTED as u16, &nested));
    ask(libc::RTM_SETLINK, (libc::NLM_F_REQUEST | libc::NLM_F_ACK) as u16, &payload)?;
    Ok(())
}

const HEADER_BYTES: usize = 16;

/// Asks for all objects of a kind: every interface, every family.
fn dump(request: u16) -> io::Result<Vec<Vec<u8>>> {
    ask(request, (libc::NLM_F_REQUEST | libc::NLM_F_DUMP) as u16, &[0; 16])
}

/// Sends a request and returns the payloads of the answers, each after its netlink header.
fn ask(request: u16, flags: u16, payload: &[u8]) -> io::Result<Vec<Vec<u8>>> {
    let socket =
        Socket::new(Domain::from(libc::AF_NETLINK), Type::RAW, Some(Protocol::from(libc::NETLINK_ROUTE)))?;
    // The kernel answers at once or never.
    socket.set_read_timeout(Some(std::time::Duration::from_secs(1)))?;
    // nlmsghdr: u32 length, u16 type, u16 flags, u32 sequence, u32 port.
    let mut message = vec![0u8; HEADER_BYTES];
    message[0..4].copy_from_slice(&((HEADER_BYTES + payload.len()) as u32).to_ne_bytes());
    message[4..6].copy_from_slice(&request.to_ne_bytes());
    message[6..8].copy_from_slice(&flags.to_ne_bytes());
    message.extend(payload);
    socket.send(&message)?;

    let mut answers = Vec::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let received = (&socket).read(&mut buffer)?;
        let mut rest = &buffer[..received];
        while let Some((kind, payload, next)) = next_message(rest) {
            match i32::from(kind) {
                libc::NLMSG_DONE => return Ok(answers),
                libc::NLMSG_ERROR => {
                    // Code 0 is the acknowledgement.
                    return match payload.first_chunk().map_or(0, |code| i32::from_ne_bytes(*code)) {
                        0 => Ok(answers),
                        code => Err(io::Error::from_raw_os_error(-code)),
                    };
                }
                _ => answers.push(payload.to_vec()),
            }
            rest = next;
        }
        if received == 0 {
            return Ok(answers);
        }
    }
}

fn next_message(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let len = u32::from_ne_bytes(*bytes.first_chunk()?) as usize;
    let kind = u16::from_ne_bytes(*bytes.get(4..)?.first_chunk()?);
    let payload = bytes.get(HEADER_BYTES..len)?;
    Some((kind, payload, bytes.get(len.next_multiple_of(4)..).unwrap_or(&[])))
}

/// The attributes in `bytes`: type without flags, and value.
fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let len = usize::from(u16::from_ne_bytes(*bytes.first_chunk()?));
        let kind = u16::from_ne_bytes(*bytes.get(2..)?.first_chunk()?) & !(libc::NLA_F_NESTED as u16);
        let value = bytes.get(4..len)?;
        bytes = bytes.get(len.next_multiple_of(4)..).unwrap_or(&[]);
        Some((kind, value))
    })
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend((4 + value.len() as u16).to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn parse_link(message: &[u8]) -> Option<Interface> {
    // ifinfomsg: u8 family, u8 padding, u16 type, i32 index, u32 flags, u32 change.
    let index = u32::from_ne_bytes(*message.get(4..)?.first_chunk()?);
    let flags = u32::from_ne_bytes(*message.get(8..)?.first_chunk()?);
    let mut interface = Interface {
        index,
        name: String::new(),
        mtu: 0,
        up: flags & libc::IFF_UP as u32 != 0,
        loopback: flags & libc::IFF_LOOPBACK as u32 != 0,
        veth: false,
        xdp: None,
    };
    for (kind, value) in attributes(message.get(16..)?) {
        match kind {
            libc::IFLA_IFNAME => {
                interface.name = String::from_utf8_lossy(value).trim_end_matches('\0').to_owned()
            }
            libc::IFLA_MTU => {
                interface.mtu = value.first_chunk().map_or(0, |mtu| u32::from_ne_bytes(*mtu));
            }
            libc::IFLA_LINKINFO => {
                interface.veth = attributes(value)
                    .any(|(kind, value)| kind == libc::IFLA_INFO_KIND && value.starts_with(b"veth"));
            }
            libc::IFLA_XDP => interface.xdp = parse_xdp(value),
            _ => {}
        }
    }
    (!interface.name.is_empty()).then_some(interface)
}

/// linux/if_link.h: inside `IFLA_XDP`.
const IFLA_XDP_FD: u16 = 1;
const IFLA_XDP_ATTACHED: u16 = 2;
const IFLA_XDP_FLAGS: u16 = 3;
const IFLA_XDP_PROG_ID: u16 = 4;
const XDP_FLAGS_SKB_MODE: u32 = 1 << 1;
const XDP_FLAGS_DRV_MODE: u32 = 1 << 2;

fn parse_xdp(value: &[u8]) -> Option<AttachedXdp> {
    let mut mode = 0;
    let mut program_id = 0;
    for (kind, value) in attributes(value) {
        match kind {
            IFLA_XDP_ATTACHED => mode = *value.first()?,
            IFLA_XDP_PROG_ID => program_id = u32::from_ne_bytes(*value.first_chunk()?),
            _ => {}
        }
    }
    (mode != 0).then_some(AttachedXdp { program_id, mode })
}

fn parse_address(message: &[u8]) -> Option<InterfaceAddress> {
    // ifaddrmsg: u8 family, u8 prefix length, u8 flags, u8 scope, u32 index.
    let interface = u32::from_ne_bytes(*message.get(4..)?.first_chunk()?);
    let mut address = None;
    for (kind, value) in attributes(message.get(8..)?) {
        let ip: IpAddr = match value.len() {
            4 => (*value.first_chunk::<4>()?).into(),
            16 => (*value.first_chunk::<16>()?).into(),
            _ => continue,
        };
        match kind {
            // On a point-to-point link IFA_ADDRESS is the other end, and IFA_LOCAL this one.
            libc::IFA_LOCAL => return Some(InterfaceAddress { interface, ip }),
            libc::IFA_ADDRESS => address = Some(InterfaceAddress { interface, ip }),
            _ => {}
        }
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_found_with_its_address() {
        let all = interfaces().expect("netlink answers");
        let lo = all.iter().find(|interface| interface.name == "lo").expect("every namespace has one");
        assert!(lo.loopback);
        if lo.up {
            let address =
                InterfaceAddress { interface: lo.index, ip: "127.0.0.1".parse().expect("an address") };
            assert!(addresses().expect("netlink answers").contains(&address));
        }
    }

    #[test]
    fn attached_program_is_read() {
        let nested =
            [&attribute(IFLA_XDP_ATTACHED, &[1])[..], &attribute(IFLA_XDP_PROG_ID, &77u32.to_ne_bytes())]
                .concat();
        let mut message = vec![0; 16];
        message[4..8].copy_from_slice(&3u32.to_ne_bytes());
        message.extend(attribute(libc::IFLA_IFNAME, b"eth0\0"));
        message.extend(attribute(libc::IFLA_XDP | libc::NLA_F_NESTED as u16, &nested));
        let interface = parse_link(&message).expect("it is complete");
        assert_eq!((interface.index, interface.name.as_str()), (3, "eth0"));
        assert_eq!(interface.xdp, Some(AttachedXdp { program_id: 77, mode: 1 }));
    }

    #[test]
    fn truncated_messages_are_skipped() {
        let mut message = vec![0; 16];
        message.extend(attribute(libc::IFLA_IFNAME, b"eth0\0"));
        message.extend(attribute(libc::IFLA_XDP, &attribute(IFLA_XDP_ATTACHED, &[1])));
        for len in 0..message.len() {
            // Whatever is left, nothing panics.
            let _whatever =
                (parse_link(&message[..len]), parse_address(&message[..len]), next_message(&message[..len]));
        }
        assert_eq!(parse_link(&message[..20]), None);
    }
}
