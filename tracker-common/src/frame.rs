//! Ethernet frames as bytes: the headers of a UDP datagram found, checked and rewritten into those of its answer.
//!
//! [`Frame`] is what the XDP program sees (packet pointers) and what user space has (a buffer). Every access is a fixed number of bytes
//! at an offset that is a constant once the code is monomorphised: the shape that the BPF verifier can follow. The offsets of
//! a family are the constants of a [`Network`]; a VLAN tag is taken out before they are used.

use core::hint::black_box;

use bytemuck::Pod;

use crate::checksum::Sum;
use crate::connection_id::Address;
use crate::table::{Peer6, PeerFamily, Peers4, Peers6};
use crate::verdict::Verdict;

/// Bytes of an Ethernet header.
pub const ETHERNET_LEN: usize = 14;
/// Bytes of a VLAN tag.
pub const TAG_LEN: usize = 4;
/// Bytes of an IPv4 header without options.
pub const IPV4_LEN: usize = 20;
/// Bytes of an IPv6 header.
pub const IPV6_LEN: usize = 40;
/// Bytes of a UDP header.
pub const UDP_LEN: usize = 8;
/// Shortest Ethernet frame without its checksum; network cards pad to it.
pub const MIN_FRAME_LEN: usize = 60;
/// A UDP datagram longer than this is not looked at: 1,500 (MTU) − 20 (IPv4).
pub const MAX_DATAGRAM_LEN: usize = 1500 - IPV4_LEN;

/// A mask that every offset in a frame with a datagram of [`MAX_DATAGRAM_LEN`] passes unchanged.
pub(crate) const OFFSETS: usize = 0xfff;

/// A mask that takes a datagram's length to the whole steps of a sum in it.
const WHOLE_STEPS: usize = 0x7e0;

/// A mask that a datagram's length passes unchanged.
const LENGTHS: usize = 0x7ff;

const _: () = assert!(MAX_DATAGRAM_LEN <= LENGTHS && WHOLE_STEPS == LENGTHS & !(REQUEST_STEP - 1));
const _: () = assert!(ETHERNET_LEN + IPV6_LEN + MAX_DATAGRAM_LEN <= OFFSETS);

const PROTOCOL_UDP: u32 = 17;
const TTL: u32 = 64;

/// The bytes of one frame.
///
/// Headers are loaded and stored as arrays of whole words in the packet's byte order: taken apart into single bytes they would not fit
/// into the 512 bytes of stack that a BPF program has (seen with LLVM 22).
pub trait Frame {
    /// `N` bytes from offset `at`, or `None` when the frame ends before.
    fn bytes<const N: usize>(&self, at: usize) -> Option<&[u8; N]>;
    /// A value from offset `at`, or `None` when the frame ends before.
    fn load<T: Pod>(&self, at: usize) -> Option<T>;
    /// Writes a value at offset `at`, or `None` when the frame ends before.
    fn store<T: Pod>(&mut self, at: usize, value: T) -> Option<()>;
    /// [`Frame::load`] from an offset that isn't a constant; it is below 4,096, or the outcome is anything but a read outside the frame.
    #[inline(always)]
    fn load_at<T: Pod>(&self, at: usize) -> Option<T> {
        self.load(at)
    }
    /// [`Frame::store`] at such an offset.
    #[inline(always)]
    fn store_at<T: Pod>(&mut self, at: usize, value: T) -> Option<()> {
        self.store(at, value)
    }
    /// [`Frame::bytes`] from such an offset.
    #[inline(always)]
    fn bytes_at<const N: usize>(&self, at: usize) -> Option<&[u8; N]> {
        self.bytes(at)
    }
    /// `N` bytes from such an offset on, to be written.
    fn window_at<const N: usize>(&mut self, at: usize) -> Option<&mut [u8; N]>;
    /// True when the frame has at least `len` bytes.
    fn reaches(&self, len: usize) -> bool;
    /// Cuts or grows the frame at its end; false when that is impossible, and then the frame is as it was.
    fn set_len(&mut self, len: usize) -> bool;
    /// The same for a frame whose length is known: spares the question for it.
    fn resize(&mut self, from: usize, to: usize) -> bool;
    /// Bytes of the frame.
    fn total_len(&self) -> usize;
    /// Cuts bytes off the frame's front, or grows it there when the number is negative; false when that is impossible.
    fn cut_front(&mut self, bytes: isize) -> bool;
    /// True when a loopback interface brought the frame.
    fn is_from_loopback(&self) -> bool;

    /// Takes the VLAN tag out, which there is; `None` when the driver can't.
    #[inline(always)]
    fn take_tag(&mut self) -> Option<u32> {
        let addresses = self.load::<[u32; 3]>(0)?;
        let tag = self.load::<u32>(ETHERNET_LEN - 2)?;
        if !self.cut_front(TAG_LEN as isize) {
            return None;
        }
        self.store(0, addresses)?;
        Some(tag)
    }

    /// Puts a VLAN tag in.
    #[inline(always)]
    fn put_tag(&mut self, tag: u32) -> Option<()> {
        let addresses = self.load::<[u32; 3]>(0)?;
        if !self.cut_front(-(TAG_LEN as isize)) {
            return None;
        }
        self.store(0, addresses)?;
        self.store(ETHERNET_LEN - 2, tag)
    }
}

/// An IPv4 or IPv6 address in whole words, native-endian, as it is best kept in registers.
pub trait Ip: Copy + PartialEq {
    /// The address as the rest of the program knows it.
    fn address(self) -> Address;
    /// Adds the address to a checksum.
    fn add_to(self, sum: Sum) -> Sum;
}

/// An IPv4 address; only the low 32 bits are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ip4(u64);

impl Ip for Ip4 {
    #[inline(always)]
    fn address(self) -> Address {
        Address::V4((self.0 as u32).to_ne_bytes())
    }

    #[inline(always)]
    fn add_to(self, sum: Sum) -> Sum {
        sum.add4(self.0 as u32)
    }
}

/// An IPv6 address: its first and its last eight bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ip6(u64, u64);

impl Ip for Ip6 {
    #[inline(always)]
    fn address(self) -> Address {
        Address::V6(((self.1.to_le() as u128) << 64 | self.0.to_le() as u128).to_le_bytes())
    }

    #[inline(always)]
    fn add_to(self, sum: Sum) -> Sum {
        sum.add8(self.0).add8(self.1)
    }
}

/// What the headers of a UDP datagram say.
///
/// Every field is a whole word: the verifier refuses unaligned access to the stack, which LLVM makes when it moves smaller ones about
/// (seen with LLVM 22 and Linux 6.18).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram<A> {
    /// Source address.
    pub source: A,
    /// Source port.
    pub source_port: u64,
    /// Destination address.
    pub destination: A,
    /// Destination port.
    pub destination_port: u64,
    /// Bytes of UDP header and payload, from 8 to [`MAX_DATAGRAM_LEN`] once [`Network::check`] has passed.
    pub len: usize,
}

impl<A> Datagram<A> {
    /// Bytes of payload.
    #[inline(always)]
    pub fn payload_len(&self) -> usize {
        self.len - UDP_LEN
    }
}

/// An IP family.
pub trait Network {
    /// Addresses of the family.
    type Ip: Ip;
    /// Peers of the family.
    type Peers: PeerFamily;
    /// Offset of the IP header.
    const IP: usize = ETHERNET_LEN;
    /// Offset of the UDP header.
    const UDP: usize;
    /// Offset of the payload.
    const PAYLOAD: usize = Self::UDP + UDP_LEN;
    /// RFC 768 and RFC 8200 §8.1: only IPv4 may do without a UDP checksum.
    const CHECKSUM_OPTIONAL: bool;

    /// Finds the datagram.
    ///
    /// # Errors
    ///
    /// The verdict on a frame in which there is none, or not where it can be found.
    fn parse<F: Frame>(frame: &F) -> Result<Datagram<Self::Ip>, Verdict>;

    /// Checks what [`parse`](Self::parse) took on trust: lengths, and the header's own checksum.
    ///
    /// # Errors
    ///
    /// The verdict on a frame whose lengths or header checksum don't hold.
    fn check<F: Frame>(frame: &F, datagram: &Datagram<Self::Ip>) -> Result<(), Verdict>;

    /// The peer at this address; `port` as it stands in the packet.
    fn peer(ip: Self::Ip, port: u16) -> <Self::Peers as PeerFamily>::Peer;

    /// Rewrites the IP header into that of an answer with `len` bytes of UDP header and payload.
    fn write_header<F: Frame>(frame: &mut F, to: &Datagram<Self::Ip>, len: usize) -> Option<()>;
}

/// IPv4.
pub struct V4;

impl Network for V4 {
    type Ip = Ip4;
    type Peers = Peers4;
    const UDP: usize = Self::IP + IPV4_LEN;
    const CHECKSUM_OPTIONAL: bool = true;

    #[inline(always)]
    fn parse<F: Frame>(frame: &F) -> Result<Datagram<Ip4>, Verdict> {
        let [start, fragment, protocol, source, destination] =
            frame.load::<[u32; 5]>(Self::IP).ok_or(Verdict::PassLength)?.map(u32::from_be);
        if start >> 28 != 4 || protocol >> 16 & 0xff != PROTOCOL_UDP {
            return Err(Verdict::PassOther);
        }
        if start >> 24 != 0x45 {
            return Err(Verdict::PassIpOptions);
        }
        // "More fragments" and the offset; "don't fragment" is no fragment.
        if fragment & 0x3fff != 0 {
            return Err(Verdict::PassFragment);
        }
        udp::<F, Self>(frame, Ip4(source.to_be() as u64), Ip4(destination.to_be() as u64))
    }

    #[inline(always)]
    fn check<F: Frame>(frame: &F, datagram: &Datagram<Ip4>) -> Result<(), Verdict> {
        let header = frame.load::<[u32; 5]>(Self::IP).ok_or(Verdict::PassLength)?;
        if (u32::from_be(header[0]) & 0xffff) as usize != IPV4_LEN + datagram.len {
            return Err(Verdict::PassLength);
        }
        if header.iter().fold(Sum::default(), |sum, word| sum.add4(*word)).folded() != 0xffff {
            return Err(Verdict::PassChecksum);
        }
        check_len::<F, Self>(frame, datagram)
    }

    #[inline(always)]
    fn peer(ip: Ip4, port: u16) -> u64 {
        (port.to_le() as u64) << 32 | (ip.0 as u32).to_le() as u64
    }

    #[inline(always)]
    fn write_header<F: Frame>(frame: &mut F, to: &Datagram<Ip4>, len: usize) -> Option<()> {
        // Version 4, five words, no type of service. RFC 6864: with "don't fragment" the identification may be 0.
        let start = (0x4500_0000 | (IPV4_LEN + len) as u32).to_be();
        let fragment = 0x4000u32.to_be();
        let protocol = TTL << 24 | PROTOCOL_UDP << 16;
        let (source, destination) = (to.destination.0 as u32, to.source.0 as u32);
        let checksum = Sum::default()
            .add4(start)
            .add4(fragment)
            .add4(protocol.to_be())
            .add4(source)
            .add4(destination)
            .checksum();
        let protocol = (protocol | u16::from_be(checksum) as u32).to_be();
        frame.store(Self::IP, [start, fragment, protocol, source, destination])
    }
}

/// IPv6.
pub struct V6;

impl Network for V6 {
    type Ip = Ip6;
    type Peers = Peers6;
    const UDP: usize = Self::IP + IPV6_LEN;
    const CHECKSUM_OPTIONAL: bool = false;

    #[inline(always)]
    fn parse<F: Frame>(frame: &F) -> Result<Datagram<Ip6>, Verdict> {
        let [start, next] = frame.load::<[u32; 2]>(Self::IP).ok_or(Verdict::PassLength)?.map(u32::from_be);
        if start >> 28 != 6 {
            return Err(Verdict::PassOther);
        }
        match next >> 8 & 0xff {
            PROTOCOL_UDP => {}
            44 => return Err(Verdict::PassFragment),
            // Hop-by-hop, routing, ESP, AH, destination options, mobility, HIP, shim6.
            0 | 43 | 50 | 51 | 60 | 135 | 139 | 140 => return Err(Verdict::PassExtensionHeader),
            _ => return Err(Verdict::PassOther),
        }
        // Word by word: LLVM may keep an array of them unaligned on the stack.
        let word = |index: usize| frame.load::<u64>(Self::IP + 8 + 8 * index).ok_or(Verdict::PassLength);
        let (s0, s1, d0, d1) = (word(0)?, word(1)?, word(2)?, word(3)?);
        if s0 == 0 && u64::from_be(s1) >> 32 == 0xffff {
            return Err(Verdict::PassMapped);
        }
        udp::<F, Self>(frame, Ip6(s0, s1), Ip6(d0, d1))
    }

    #[inline(always)]
    fn check<F: Frame>(frame: &F, datagram: &Datagram<Ip6>) -> Result<(), Verdict> {
        let len = frame.load::<u16>(Self::IP + 4).ok_or(Verdict::PassLength)?;
        if u16::from_be(len) as usize != datagram.len {
            return Err(Verdict::PassLength);
        }
        check_len::<F, Self>(frame, datagram)
    }

    #[inline(always)]
    fn peer(ip: Ip6, port: u16) -> Peer6 {
        Peer6 { high: ip.0.to_le(), low: ip.1.to_le(), port: port.to_le() as u64 }
    }

    #[inline(always)]
    fn write_header<F: Frame>(frame: &mut F, to: &Datagram<Ip6>, len: usize) -> Option<()> {
        // Version 6, no traffic class, no flow label.
        let start = 0x6000_0000u32.to_be();
        let next = ((len as u32) << 16 | PROTOCOL_UDP << 8 | TTL).to_be();
        frame.store(Self::IP, [start, next])?;
        frame.store(Self::IP + 8, [to.destination.0, to.destination.1, to.source.0, to.source.1])
    }
}

#[inline(always)]
fn udp<F: Frame, N: Network>(
    frame: &F,
    source: N::Ip,
    destination: N::Ip,
) -> Result<Datagram<N::Ip>, Verdict> {
    let [from, to, len, _] = frame.load::<[u16; 4]>(N::UDP).ok_or(Verdict::PassLength)?.map(u16::from_be);
    Ok(Datagram {
        source,
        source_port: from as u64,
        destination,
        destination_port: to as u64,
        len: len as usize,
    })
}

/// The length comes from the headers, never from the frame's end: short frames are padded by network cards.
#[inline(always)]
fn check_len<F: Frame, N: Network>(frame: &F, datagram: &Datagram<N::Ip>) -> Result<(), Verdict> {
    if datagram.len < UDP_LEN || datagram.len > MAX_DATAGRAM_LEN || !frame.reaches(N::UDP + datagram.len) {
        return Err(Verdict::PassLength);
    }
    Ok(())
}

/// The part of a UDP checksum that stands for addresses, protocol and length.
#[inline(always)]
fn pseudo_header<A: Ip>(datagram: &Datagram<A>, len: usize) -> Sum {
    let sum = Sum::default().add2((PROTOCOL_UDP as u16).to_be()).add2((len as u16).to_be());
    datagram.destination.add_to(datagram.source.add_to(sum))
}

/// True when the datagram's UDP checksum holds.
///
/// A checksum that is just the pseudo header's sum holds too: that is what the kernel leaves there when it expects the network card to
/// add the rest, and what therefore comes from a local socket across veth or loopback.
#[inline(always)]
pub fn udp_checksum_holds<F: Frame, N: Network>(frame: &F, datagram: &Datagram<N::Ip>) -> bool {
    let pseudo = pseudo_header(datagram, datagram.len);
    match frame.load::<u16>(N::UDP + 6) {
        None => false,
        Some(0) => N::CHECKSUM_OPTIONAL,
        Some(partial) if partial == pseudo.folded() => true,
        Some(_) => sum_holds(frame, N::UDP, datagram.len, pseudo),
    }
}

/// True when `len` bytes from `at`, added to `sum`, make a sum that holds.
///
/// A function of its own, since its loop would otherwise stand in the program once for every family and tag. The bytes behind the last
/// whole word are the end of the datagram's last eight bytes: a branch for each of their numbers would multiply the steps of the
/// verifier, which follows the loop once for every state that enters it.
#[inline(never)]
fn sum_holds<F: Frame>(frame: &F, mut at: usize, len: usize, mut sum: Sum) -> bool {
    // The caller has checked it; a function of its own has to show it to the verifier again.
    if !(UDP_LEN..=MAX_DATAGRAM_LEN).contains(&len) {
        return false;
    }
    // Masked, since Linux 6.1 forgets bounds that were found by 32-bit comparisons. Opaque, or LLVM 22 leaves the masks out, and counts the
    // loop down to 0 (in which 6.1 sees no bound).
    let Some(last) = frame.load_at::<u64>(at + len - 8) else { return false };
    let end = at + (black_box(len) & WHOLE_STEPS);
    while at < end {
        let Some(words) = frame.load_at::<[u64; 4]>(at) else { return false };
        sum = sum.add8(words[0]).add8(words[1]).add8(words[2]).add8(words[3]);
        at += REQUEST_STEP;
    }
    // Up to three words that are left.
    let end = at + (black_box(len) & (REQUEST_STEP - 8));
    for _ in 1..REQUEST_STEP / 8 {
        if at >= end {
            break;
        }
        let Some(word) = frame.load_at::<u64>(at) else { return false };
        sum = sum.add8(word);
        at += 8;
    }
    let rest = len % 8;
    if rest != 0 {
        sum = sum.add8((u64::from_le(last) >> (64 - 8 * rest)).to_le());
    }
    sum.folded() == 0xffff
}

/// What an answer carries.
pub trait Payload {
    /// Bytes.
    const LEN: usize;
    /// Adds the payload to a checksum.
    fn add_to(&self, sum: Sum) -> Sum;
    /// Writes the payload into the frame.
    fn store<F: Frame>(&self, frame: &mut F, at: usize) -> Option<()>;
}

/// Turns the frame into the answer to its datagram; `None` when the frame can't have the answer's length.
///
/// A frame of the right length stays as it is, and so does one that was padded to the shortest frame there is: that spares a
/// connect on a real network card the call that changes the length.
#[inline(always)]
pub fn answer<F: Frame, N: Network, P: Payload>(
    frame: &mut F,
    request: &Datagram<N::Ip>,
    payload: &P,
) -> Option<()> {
    let len = UDP_LEN + P::LEN;
    let frame_len = N::UDP + len;
    let longest = if frame_len < MIN_FRAME_LEN { MIN_FRAME_LEN } else { frame_len };
    if (request.len != len || frame.reaches(longest + 1)) && !frame.set_len(frame_len) {
        return None;
    }
    let sum = payload.add_to(Sum::default());
    write_headers::<F, N>(frame, request, P::LEN, sum)?;
    payload.store(frame, N::PAYLOAD)
}

/// Turns the headers of a request into those of its answer; `sum` is that of the answer's `payload_len` bytes of payload.
#[inline(always)]
pub fn write_headers<F: Frame, N: Network>(
    frame: &mut F,
    request: &Datagram<N::Ip>,
    payload_len: usize,
    sum: Sum,
) -> Option<()> {
    let len = UDP_LEN + payload_len;
    let [d0, d1, d2, s0, s1, s2] = frame.load::<[u16; 6]>(0)?;
    frame.store(0, [s0, s1, s2, d0, d1, d2])?;
    N::write_header(frame, request, len)?;
    let ports = [request.destination_port, request.source_port].map(|port| (port as u16).to_be());
    let udp_len = (len as u16).to_be();
    let sum = sum.plus(pseudo_header(request, len)).add2(ports[0]).add2(ports[1]).add2(udp_len);
    frame.store(N::UDP, [ports[0], ports[1], udp_len, sum.udp_checksum()])
}

/// Bytes that the sum of a request takes at once: a power of two.
const REQUEST_STEP: usize = 32;

/// Bytes that [`payload_sum`] takes at once. A step behind the shortest answers still lies in the place of an announce request.
pub const SUM_STEP: usize = 48;

/// The sum of `len` bytes from `at`, followed by zeros up to a multiple of [`SUM_STEP`].
#[inline(always)]
pub fn payload_sum<F: Frame>(frame: &F, at: usize, len: usize) -> Sum {
    let (mut whole, mut high) = (0u64, 0u64);
    let end = at + (black_box(len) & LENGTHS);
    let mut at = at;
    // Counted: in a loop that only compares with `end`, Linux 6.1 sees no bound.
    for _ in 0..LENGTHS.div_ceil(SUM_STEP) {
        if at >= end {
            break;
        }
        let Some(words) = frame.load_at::<[u64; SUM_STEP / 8]>(at) else { break };
        for word in words {
            whole = whole.wrapping_add(word);
            high += word >> 32;
        }
        at += SUM_STEP;
    }
    // The lower halves' sum, which is below 2^64, is what the whole words' sum has more than the upper halves'. Two chains of additions that
    // don't wait for each other, and no masks.
    Sum::of_halves(whole.wrapping_sub(high << 32), high)
}

/// A frame in a buffer: what user space runs the same code on.
#[derive(Debug)]
pub struct BufferFrame<'a> {
    buffer: &'a mut [u8],
    /// Bytes cut off the front.
    start: usize,
    /// Where the frame ends in the buffer.
    end: usize,
    loopback: bool,
}

impl<'a> BufferFrame<'a> {
    /// A frame in the first `len` bytes of `buffer`; the rest is room to grow. A `len` beyond the buffer is the buffer's.
    pub fn new(buffer: &'a mut [u8], len: usize, loopback: bool) -> Self {
        let end = len.min(buffer.len());
        Self { buffer, start: 0, end, loopback }
    }

    /// The frame as it is now.
    pub fn as_slice(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }
}

impl Frame for BufferFrame<'_> {
    fn bytes<const N: usize>(&self, at: usize) -> Option<&[u8; N]> {
        self.as_slice().get(at..)?.first_chunk()
    }

    fn window_at<const N: usize>(&mut self, at: usize) -> Option<&mut [u8; N]> {
        self.buffer.get_mut(self.start..self.end)?.get_mut(at..)?.first_chunk_mut()
    }

    fn load<T: Pod>(&self, at: usize) -> Option<T> {
        let bytes = self.as_slice().get(at..)?.get(..size_of::<T>())?;
        bytemuck::try_pod_read_unaligned(bytes).ok()
    }

    fn store<T: Pod>(&mut self, at: usize, value: T) -> Option<()> {
        let bytes = self.buffer.get_mut(self.start..self.end)?.get_mut(at..)?.get_mut(..size_of::<T>())?;
        bytes.copy_from_slice(bytemuck::bytes_of(&value));
        Some(())
    }

    fn reaches(&self, len: usize) -> bool {
        len <= self.total_len()
    }

    fn set_len(&mut self, len: usize) -> bool {
        let Some(grown) = self.buffer.get_mut(self.end..self.start + len) else {
            // Shorter, or beyond the buffer.
            let fits = self.start + len <= self.end;
            self.end = if fits { self.start + len } else { self.end };
            return fits;
        };
        // As the kernel does it.
        grown.fill(0);
        self.end = self.start + len;
        true
    }

    fn resize(&mut self, _from: usize, to: usize) -> bool {
        self.set_len(to)
    }

    fn total_len(&self) -> usize {
        self.end - self.start
    }

    fn cut_front(&mut self, bytes: isize) -> bool {
        match self.start.checked_add_signed(bytes) {
            Some(start) if start <= self.end => {
                self.start = start;
                true
            }
            _ => false,
        }
    }

    fn is_from_loopback(&self) -> bool {
        self.loopback
    }
}
