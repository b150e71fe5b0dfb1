//! Frames: whatever comes, and whatever words the swarm table has, the XDP program's journey never panics, leaves what it passes or drops
//! as it was, answers within the limits, and answers an unproven source with as many bytes as came at most.
#![no_main]

use std::cell::Cell;
use std::net::{IpAddr, SocketAddr};
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use tracker_common::connection_id::{Address, Epoch, Keys, issue};
use tracker_common::event::AnnounceEvent;
use tracker_common::frame::BufferFrame;
use tracker_common::journey::{Host, travel};
use tracker_common::siphash::{SipKey, siphash_1_3_words};
use tracker_common::sketch::{Kind, SourceLimits};
use tracker_common::table::layout::{Index, Place, WORDS, hash_words, slot};
use tracker_common::table::{PeerAddress, Record, TableMemory, Workspace};
use tracker_common::terms::Terms;
use tracker_common::verdict::{Class, Verdict};
use tracker_common::wire::{ANNOUNCE_ANSWER_LEN, AnnounceKind, MAX_PAYLOAD_V4, MAX_PAYLOAD_V6};
use tracker_core::{Limits, Millis, NoMemory, Segment, Segments, TableWriter, Words};
use tracker_testkit::packet;

#[path = "../../tracker-user/tests/loaded/table.rs"]
mod table;

use table::{Mapped, View, Witnessed};

/// What an input decides, besides its bytes. An announce that is answered has many bits right, so what spoils it comes alone and seldom:
/// as the number in the highest byte.
mod bit {
    pub const LOOPBACK: u32 = 1 << 0;
    pub const V6: u32 = 1 << 1;
    pub const TAG: u32 = 1 << 2;
    /// At least as long as an announce.
    pub const LONG: u32 = 1 << 3;
    /// The info hash is made a known one.
    pub const KNOWN: u32 = 1 << 4;
    pub const PADDED: u32 = 1 << 5;
    pub const LARGE_LIMITS: u32 = 1 << 6;
    /// The table has any words, not those of a writer.
    pub const ANY_WORDS: u32 = 1 << 7;
    /// A word is another one each time.
    pub const RESTLESS: u32 = 1 << 8;
    /// Some records can't be found.
    pub const HOLES: u32 = 1 << 9;
}

mod spoiler {
    /// The bytes are the frame; otherwise a UDP payload.
    pub const RAW: u32 = 1;
    /// The connection id isn't made right.
    pub const UNPROVEN: u32 = 2;
    pub const BLOCKED: u32 = 3;
    pub const DENIED: u32 = 4;
    pub const NO_KEYS: u32 = 5;
    pub const NO_ERRORS: u32 = 6;
    pub const NO_TERMS: u32 = 7;
    pub const RING_FULL: u32 = 8;
    pub const NO_ROOM: u32 = 9;
    /// Numbers from here on spoil nothing.
    pub const NONE: u32 = 16;
}

fn spoiled(bits: u32, spoiler: u32) -> bool {
    bits >> 24 == spoiler || bits >> 24 < spoiler::NONE && bits >> 16 & 0xff == spoiler
}

const KEY: SipKey = SipKey { k0: 1, k1: 2 };

/// Torrents of a writer's table, from one peer to more than an answer holds, of both families.
const TORRENTS: u8 = 12;

fn torrent(number: u8) -> [u8; 20] {
    [number % TORRENTS; 20]
}

/// Memory that is never freed.
#[derive(Debug)]
struct Leaked;

fn leak(records: usize) -> Segment {
    let records: Vec<Words> = (0..records).map(|_| Words::default()).collect();
    Segment::Static(records.leak())
}

impl Segments for Leaked {
    fn root(&mut self) -> Result<Segment, NoMemory> {
        Ok(leak(1))
    }

    fn create(&mut self, _: u32, _: Option<u32>) -> Result<Segment, NoMemory> {
        Ok(leak(8192))
    }
}

fn written() -> &'static View {
    static VIEW: OnceLock<View> = OnceLock::new();
    VIEW.get_or_init(|| {
        let segments = Witnessed::new(Leaked);
        let view = segments.view();
        let limits = Limits { max_torrents: 1000, max_peers: 10_000, first_buckets: 4, ..Limits::default() };
        let mut writer = TableWriter::new(limits, KEY, Box::new(segments)).expect("memory");
        for number in 0..TORRENTS {
            for n in 0..u16::from(number) * u16::from(number) * 4 + 1 {
                let [a, b] = n.to_be_bytes();
                let peer = match n % 2 {
                    0 => PeerAddress::v4([10, 0, a, b], 1 + n),
                    _ => PeerAddress::v6([0x20, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, a, b], 1 + n),
                };
                let kind = if n % 7 == 0 { AnnounceKind::Paused } else { AnnounceKind::Started };
                writer.apply(&AnnounceEvent::new(torrent(number), peer, kind, n % 3 == 0, 0), Millis(0));
            }
        }
        let view = view.lock().expect("nobody panics with it").clone();
        view
    })
}

/// A table whose words are the input's. Only what leads to the torrent is right, or nothing would be found.
struct Any<'a> {
    bits: u32,
    bytes: &'a [u8],
    wanted: [u64; 3],
    reads: Cell<u64>,
}

/// The torrent's number.
const TORRENT: u32 = 1;

impl Any<'_> {
    fn word(&self, number: u32, index: usize) -> u64 {
        let mut word = 0;
        if !self.bytes.is_empty() {
            for byte in 0..8 {
                let at = (number as usize).wrapping_mul(64).wrapping_add(index * 8 + byte);
                word = word << 8 | u64::from(self.bytes[at % self.bytes.len()]);
            }
        }
        if self.bits & bit::RESTLESS != 0 {
            self.reads.set(self.reads.get() + 1);
            word ^= (self.reads.get() / 200).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
        word
    }

    /// The torrent's words: any, but for its info hash.
    fn torrent(&self) -> [u64; WORDS] {
        let mut words = std::array::from_fn(|index| self.word(TORRENT, index));
        let [first, second, third] = self.wanted;
        // One of the four kinds.
        let version_and_kind = words[2] & 0xffff_ff03_0000_0000;
        (words[0], words[1], words[2]) = (first, second, version_and_kind | third);
        words
    }

    fn fingerprint(&self) -> u32 {
        Place::of(siphash_1_3_words(&KEY, self.wanted), self.index().buckets).fingerprint
    }

    fn index(&self) -> Index {
        Index::from_word(self.word(0, 0))
    }
}

#[derive(Clone, Copy)]
enum AnyRecord<'a> {
    Written(Mapped),
    Bucket(&'a Any<'a>),
    Record(&'a Any<'a>, u32),
}

impl Record for AnyRecord<'_> {
    fn word(self, index: usize) -> u64 {
        match self {
            Self::Written(mapped) => mapped.word(index),
            Self::Bucket(any) => slot(any.fingerprint(), TORRENT),
            Self::Record(any, TORRENT) => any.torrent()[index],
            Self::Record(any, number) => any.word(number, index),
        }
    }
}

/// Either table.
#[derive(Clone, Copy)]
struct Table<'a>(Option<&'a Any<'a>>);

impl<'a> TableMemory for Table<'a> {
    type Record = AnyRecord<'a>;

    fn root(&self) -> (Index, SipKey) {
        (self.0.map_or_else(|| written().root().0, Any::index), KEY)
    }

    fn bucket(&self, number: u32) -> Option<AnyRecord<'a>> {
        match self.0 {
            Some(any) => Some(AnyRecord::Bucket(any)),
            None => written().bucket(number).map(AnyRecord::Written),
        }
    }

    fn record(&self, number: u32) -> Option<AnyRecord<'a>> {
        match self.0 {
            Some(any) if any.bits & bit::HOLES != 0 && number % 5 == 3 => None,
            Some(any) => Some(AnyRecord::Record(any, number)),
            None => written().record(number).map(AnyRecord::Written),
        }
    }

    fn generation(&self) -> u64 {
        0
    }

    fn acquire(&self) {}
}

/// Serves everything, and decides by the bits of the input.
struct Anything<'a> {
    bits: u32,
    keys: Keys,
    any: &'a Any<'a>,
    random: u64,
    events: u32,
    work: Workspace,
}

impl Anything<'_> {
    fn has(&self, bit: u32) -> bool {
        self.bits & bit != 0
    }
}

impl<'a> Host for Anything<'a> {
    type Table = Table<'a>;

    fn serves(&self, _: &Address, _: u16) -> bool {
        true
    }

    fn blocks(&self, _: &Address) -> bool {
        spoiled(self.bits, spoiler::BLOCKED)
    }

    fn allows(&self, _: &[u8; 20]) -> bool {
        !spoiled(self.bits, spoiler::DENIED)
    }

    fn keys(&self) -> Option<&Keys> {
        (!spoiled(self.bits, spoiler::NO_KEYS)).then_some(&self.keys)
    }

    fn now_ns(&self) -> u64 {
        0
    }

    fn may_send_error(&mut self, _: u64, _: u64) -> bool {
        !spoiled(self.bits, spoiler::NO_ERRORS)
    }

    fn limits(&self) -> SourceLimits {
        SourceLimits::default()
    }

    fn is_within(&mut self, _: Kind, _: u64, _: u64, _: u32) -> bool {
        true
    }

    fn terms(&self) -> Option<Terms> {
        let limit = if self.has(bit::LARGE_LIMITS) { u32::MAX } else { 50 };
        let terms = Terms { interval_s: 1800, max_response_peers: limit, max_scrape_torrents: limit };
        (!spoiled(self.bits, spoiler::NO_TERMS)).then_some(terms)
    }

    fn table(&self) -> Table<'a> {
        Table(self.has(bit::ANY_WORDS).then_some(self.any))
    }

    fn random(&mut self) -> u64 {
        self.random
    }

    fn emit(&mut self, event: &[u64; 6]) -> bool {
        let _in_words: AnnounceEvent = bytemuck::cast(*event);
        self.events += u32::from(!spoiled(self.bits, spoiler::RING_FULL));
        !spoiled(self.bits, spoiler::RING_FULL)
    }

    fn workspace(&mut self) -> Option<&mut Workspace> {
        Some(&mut self.work)
    }
}

/// The frame of an input, and its info hash if it is an announce or a scrape.
fn frame(bits: u32, random: u64, bytes: &[u8], keys: &Keys) -> (Vec<u8>, [u8; 20]) {
    let has = |bit: u32| bits & bit != 0;
    let mut info_hash = [0; 20];
    if spoiled(bits, spoiler::RAW) {
        return (bytes.to_vec(), info_hash);
    }
    let (client, server): (IpAddr, IpAddr) = if has(bit::V6) {
        // One of the writer's peers.
        ([0x2001, 0, 0, 0, 0, 0, 0, 1].into(), [0x2001, 0, 0, 0, 0, 0, 0, 0xffff].into())
    } else {
        ([10, 0, 0, 2].into(), [10, 1, 0, 1].into())
    };
    let mut payload = bytes.get(..bytes.len().min(1472)).unwrap_or_default().to_vec();
    if has(bit::LONG) && payload.len() < 98 {
        payload.resize(98, 1);
    }
    if !spoiled(bits, spoiler::UNPROVEN) && payload.len() >= 16 {
        payload[..8].copy_from_slice(&issue(keys, &Address::from(client), Epoch(0)).to_be_bytes());
        payload[8..11].fill(0);
        payload[11] = 1 + payload[11] % 2;
    }
    if let Some(hash) = payload.get_mut(16..36) {
        if has(bit::KNOWN) {
            hash.copy_from_slice(&torrent(random as u8));
        }
        info_hash.copy_from_slice(hash);
    }
    let (client, server) = (SocketAddr::new(client, 3), SocketAddr::new(server, 6969));
    let mut builder =
        packet::eth().ip(client.ip(), server.ip()).udp(client.port(), server.port()).payload(payload);
    if has(bit::TAG) {
        builder = builder.vlan(5);
    }
    let mut frame = builder.build();
    if has(bit::PADDED) {
        frame.extend([0xee; 9]);
    }
    (frame, info_hash)
}

/// Bytes of UDP payload in a frame that is an answer.
fn payload_len(answer: &[u8]) -> (usize, usize, usize) {
    let ip = if matches!(answer[12..14], [0x81, 0] | [0x88, 0xa8]) { 18 } else { 14 };
    let v6 = answer[ip] >> 4 == 6;
    let udp = ip + if v6 { 40 } else { 20 };
    let len = usize::from(u16::from_be_bytes([answer[udp + 4], answer[udp + 5]])) - 8;
    let (limit, peer) = if v6 { (MAX_PAYLOAD_V6, 18) } else { (MAX_PAYLOAD_V4, 6) };
    (len, limit, peer)
}

fuzz_target!(|input: (u32, u64, &[u8], &[u8])| {
    let (bits, random, words, bytes) = input;
    let keys = Keys::from_bytes(&[7; Keys::BYTES]);
    let (frame, info_hash) = frame(bits, random, bytes, &keys);
    let any = Any { bits, bytes: words, wanted: hash_words(&info_hash), reads: Cell::new(0) };
    let mut host = Anything { bits, keys, any: &any, random, events: 0, work: Workspace::default() };
    // The workspace may hold anything before.
    bytemuck::bytes_of_mut(&mut host.work).fill(random as u8);
    let room = if spoiled(bits, spoiler::NO_ROOM) { 0 } else { 4096 };
    let mut buffer = vec![0x77; frame.len() + room];
    buffer[..frame.len()].copy_from_slice(&frame);
    let mut traveller = BufferFrame::new(&mut buffer, frame.len(), bits & bit::LOOPBACK != 0);
    let (_, verdict) = travel(&mut traveller, &mut host);
    let after = traveller.as_slice();
    assert_eq!(host.events, u32::from(verdict == Verdict::Announce), "{verdict:?}");
    if verdict.class() != Class::Answer {
        assert_eq!(after, frame, "{verdict:?}");
        return;
    }
    let (len, limit, peer) = payload_len(after);
    assert!(len <= limit, "{verdict:?}");
    match verdict {
        Verdict::Announce => assert_eq!((len - ANNOUNCE_ANSWER_LEN) % peer, 0),
        Verdict::Scrape => assert!(len > 8 && (len - 8) % 12 == 0),
        // Whoever has sent these hasn't proven that the address is its own.
        Verdict::Connect | Verdict::ErrorConnectionId => assert!(after.len() <= frame.len(), "{verdict:?}"),
        _ => {}
    }
});
