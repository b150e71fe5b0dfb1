//! The program's maps, as the daemon writes and reads them.
//!
//! Values go over as plain bytes or words of the layouts in `tracker_common::settings`, so nothing here needs aya's unsafe `Pod`.

use std::collections::BTreeMap;
use std::os::fd::AsFd as _;

use anyhow::{Context as _, ensure};
use aya::Ebpf;
use aya::maps::lpm_trie::{Key, LpmTrie};
use aya::maps::of_maps::ArrayOfMaps;
use aya::maps::{Array, HashMap, Map, MapData, MapError, PerCpuArray};
use tracker_common::connection_id::Keys;
use tracker_common::counters::{Counters, IpVersion};
use tracker_common::settings::{
    ACCESS_ENTRIES, BLOCK_ENTRIES, BLOCK4_WORDS, Endpoints, Settings, block4_bit, names,
};
use tracker_common::verdict::Verdict;
use tracker_common::wire::InfoHash;

use super::mapped::{self, BATCH};
use super::{Kernel, Prefix};

const SETTINGS_BYTES: usize = size_of::<Settings>();
const ENDPOINTS_BYTES: usize = size_of::<Endpoints>();

/// linux/bpf.h.
const BPF_MAP_TYPE_HASH: u32 = 1;

/// linux/bpf.h: memory follows the entries. The kernel takes an inner map only with the flags of the one in the object.
const BPF_F_NO_PREALLOC: u32 = 1;

type Hashes = HashMap<MapData, [u8; 20], u8>;

/// The maps, and what is in those of them that are changed by difference.
pub(super) struct Maps {
    settings: Array<MapData, [u8; SETTINGS_BYTES]>,
    endpoints: Array<MapData, [u8; ENDPOINTS_BYTES]>,
    keys: Array<MapData, [u8; Keys::BYTES]>,
    counters: PerCpuArray<MapData, [[u64; Verdict::COUNT]; IpVersion::COUNT]>,
    access: ArrayOfMaps<MapData, Hashes>,
    /// The map in the slot of `access`.
    hashes: Option<Hashes>,
    block4: Networks<4>,
    block6: Networks<16>,
    block4_bits: Array<MapData, u64>,
    /// The words of `block4_bits` that aren't 0.
    bits: BTreeMap<u32, u64>,
}

/// The blocked networks of a family, and what is in the map: exactly that, also when the kernel has refused a change midway.
struct Networks<const BYTES: usize> {
    map: LpmTrie<MapData, [u8; BYTES], u8>,
    /// Sorted.
    there: Vec<Prefix<BYTES>>,
}

impl Maps {
    pub(super) fn take(ebpf: &mut Ebpf) -> anyhow::Result<Self> {
        let mut map =
            |name: &str| ebpf.take_map(name).with_context(|| format!("the BPF object has no map {name}"));
        Ok(Self {
            settings: map(names::SETTINGS)?.try_into()?,
            endpoints: map(names::ENDPOINTS)?.try_into()?,
            keys: map(names::KEYS)?.try_into()?,
            counters: map(names::COUNTERS)?.try_into()?,
            access: map(names::ACCESS)?.try_into()?,
            hashes: None,
            block4: Networks { map: map(names::BLOCK4)?.try_into()?, there: Vec::new() },
            block6: Networks { map: map(names::BLOCK6)?.try_into()?, there: Vec::new() },
            block4_bits: map(names::BLOCK4_BITS)?.try_into()?,
            bits: BTreeMap::new(),
        })
    }
}

impl Kernel {
    /// Writes the program's switches. The block list has to be in place before it is switched on.
    pub fn set_settings(&mut self, settings: &Settings) -> anyhow::Result<()> {
        let bytes: [u8; SETTINGS_BYTES] = bytemuck::cast(*settings);
        self.maps.settings.set(0, bytes, 0).context("map SETTINGS")
    }

    /// Writes the addresses and ports that the program serves.
    pub fn set_endpoints(&mut self, endpoints: &Endpoints) -> anyhow::Result<()> {
        let bytes: &[u8; ENDPOINTS_BYTES] = bytemuck::cast_ref(endpoints);
        self.maps.endpoints.set(0, bytes, 0).context("map ENDPOINTS")
    }

    /// Writes the keys of the connection ids.
    pub fn set_keys(&mut self, keys: &Keys) -> anyhow::Result<()> {
        self.maps.keys.set(0, keys.to_bytes(), 0).context("map KEYS")
    }

    /// The program's counters, all CPUs together.
    pub fn counters(&self) -> anyhow::Result<Counters> {
        let mut sum = Counters::ZERO;
        for by_version in self.maps.counters.get(&0, 0).context("map COUNTERS")?.iter() {
            sum.add(&Counters { by_version: *by_version });
        }
        Ok(sum)
    }

    /// Replaces the access list in one step: a packet sees the old list or the new one.
    pub fn replace_access<'a>(
        &mut self,
        len: usize,
        hashes: impl Iterator<Item = &'a InfoHash>,
    ) -> anyhow::Result<()> {
        // Twice the room, so that single additions find some.
        let wanted = u32::try_from(len.saturating_mul(2)).unwrap_or(u32::MAX);
        let sizes = [size_of::<InfoHash>() as u32, 1, wanted.max(ACCESS_ENTRIES), BPF_F_NO_PREALLOC];
        let map = mapped::create(BPF_MAP_TYPE_HASH, sizes, None).context("making an access list")?;
        let mut batch = Vec::with_capacity(BATCH.min(len));
        let mut hashes = hashes.peekable();
        while hashes.peek().is_some() {
            batch.clear();
            batch.extend(hashes.by_ref().take(BATCH));
            mapped::insert_batch(map.as_fd(), &batch).context("filling an access list")?;
        }
        let map = Hashes::try_from(Map::HashMap(MapData::from_fd(map)?))?;
        self.maps.access.set(0, &map, 0).context("map ACCESS")?;
        self.maps.hashes = Some(map);
        Ok(())
    }

    /// Adds one torrent to the access list; `false` when there is no room, and the list has to be replaced by a larger one.
    pub fn add_access(&mut self, hash: &[u8; 20]) -> anyhow::Result<bool> {
        let Some(map) = &mut self.maps.hashes else { return Ok(false) };
        match map.insert(hash, 1, 0) {
            Ok(()) => Ok(true),
            Err(MapError::SyscallError(error)) if error.io_error.raw_os_error() == Some(libc::E2BIG) => {
                Ok(false)
            }
            Err(error) => Err(error).context("adding to the access list"),
        }
    }

    /// Removes one torrent from the access list.
    pub fn remove_access(&mut self, hash: &[u8; 20]) -> anyhow::Result<()> {
        let Some(map) = &mut self.maps.hashes else { return Ok(()) };
        match map.remove(hash) {
            Ok(()) | Err(MapError::KeyNotFound) => Ok(()),
            Err(MapError::SyscallError(error)) if error.io_error.raw_os_error() == Some(libc::ENOENT) => {
                Ok(())
            }
            Err(error) => Err(error).context("removing from the access list"),
        }
    }

    /// Changes the block list to these networks. What stays blocked is never unblocked in between: new entries come first, old
    /// ones go last.
    pub fn replace_blocks(&mut self, mut v4: Vec<Prefix<4>>, mut v6: Vec<Prefix<16>>) -> anyhow::Result<()> {
        v4.sort_unstable();
        v4.dedup();
        v6.sort_unstable();
        v6.dedup();
        let room = BLOCK_ENTRIES as usize;
        ensure!(
            v4.len() <= room && v6.len() <= room,
            "the block list has {} IPv4 and {} IPv6 networks, the kernel's has room for {room} of each",
            v4.len(),
            v6.len()
        );
        self.maps.change_blocks(&v4, &v6)
    }
}

impl Maps {
    fn change_blocks(&mut self, v4: &[Prefix<4>], v6: &[Prefix<16>]) -> anyhow::Result<()> {
        // An old and a new list together may need more room than there is: then old entries go first after all.
        if !self.block4.has_room_for(v4) || !self.block6.has_room_for(v6) {
            self.block4.keep_only(v4)?;
            self.block6.keep_only(v6)?;
        }
        self.block4.add(v4)?;
        self.block6.add(v6)?;
        let bits = bitmap(v4);
        for (&word, &mask) in &bits {
            self.set_bits(word, self.bits_of(word) | mask)?;
        }
        self.block4.keep_only(v4)?;
        self.block6.keep_only(v6)?;
        let words: Vec<u32> = self.bits.keys().copied().collect();
        for word in words {
            self.set_bits(word, bits.get(&word).copied().unwrap_or(0))?;
        }
        Ok(())
    }

    fn bits_of(&self, word: u32) -> u64 {
        self.bits.get(&word).copied().unwrap_or(0)
    }

    fn set_bits(&mut self, word: u32, mask: u64) -> anyhow::Result<()> {
        if self.bits_of(word) == mask {
            return Ok(());
        }
        self.block4_bits.set(word, mask, 0).context("map BLOCK4_BITS")?;
        match mask {
            0 => self.bits.remove(&word),
            _ => self.bits.insert(word, mask),
        };
        Ok(())
    }
}

impl<const BYTES: usize> Networks<BYTES> {
    /// Whether the map can have these besides what is there.
    fn has_room_for(&self, wanted: &[Prefix<BYTES>]) -> bool {
        self.there.len() + difference(wanted, &self.there).len() <= BLOCK_ENTRIES as usize
    }

    /// Adds those of these networks that aren't there.
    fn add(&mut self, wanted: &[Prefix<BYTES>]) -> anyhow::Result<()> {
        let mut new = difference(wanted, &self.there);
        let insert = |entry: &Prefix<BYTES>| self.map.insert(&key(entry), 1, 0);
        let (done, result) = as_far_as_it_goes(&new, insert);
        new.truncate(done);
        self.there.extend(new);
        self.there.sort_unstable();
        result.context("filling the block list")
    }

    /// Removes all but these networks.
    fn keep_only(&mut self, wanted: &[Prefix<BYTES>]) -> anyhow::Result<()> {
        let mut gone = difference(&self.there, wanted);
        let remove = |entry: &Prefix<BYTES>| match self.map.remove(&key(entry)) {
            Err(MapError::KeyNotFound) => Ok(()),
            Err(MapError::SyscallError(error)) if error.io_error.raw_os_error() == Some(libc::ENOENT) => {
                Ok(())
            }
            result => result,
        };
        let (done, result) = as_far_as_it_goes(&gone, remove);
        gone.truncate(done);
        self.there = difference(&self.there, &gone);
        result.context("emptying the block list")
    }
}

fn key<const BYTES: usize>(network: &Prefix<BYTES>) -> Key<[u8; BYTES]> {
    Key::new(u32::from(network.len), network.address)
}

/// Does something to each until it fails; how many it has succeeded for.
fn as_far_as_it_goes<T, E>(all: &[T], mut each: impl FnMut(&T) -> Result<(), E>) -> (usize, Result<(), E>) {
    for (done, one) in all.iter().enumerate() {
        if let Err(error) = each(one) {
            return (done, Err(error));
        }
    }
    (all.len(), Ok(()))
}

/// What is in `some` and not in `others`; both are sorted.
fn difference<T: Ord + Copy>(some: &[T], others: &[T]) -> Vec<T> {
    some.iter().filter(|entry| others.binary_search(entry).is_err()).copied().collect()
}

/// The words of the bitmap that aren't 0: a bit for each /24 of which any address is blocked.
fn bitmap(networks: &[Prefix<4>]) -> BTreeMap<u32, u64> {
    let mut bits = BTreeMap::new();
    for network in networks {
        let (first_word, first_bit) = block4_bit(network.address);
        if network.len >= 24 {
            *bits.entry(first_word).or_default() |= first_bit;
            continue;
        }
        let networks_24 = 1u32 << (24 - network.len);
        if networks_24 >= 64 {
            // Shorter than /18: whole words.
            for word in first_word..(first_word + networks_24 / 64).min(BLOCK4_WORDS) {
                bits.insert(word, u64::MAX);
            }
        } else {
            *bits.entry(first_word).or_default() |= ((1 << networks_24) - 1) * first_bit;
        }
    }
    bits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(address: [u8; 4], len: u8) -> Prefix<4> {
        Prefix { address, len }
    }

    #[test]
    fn bitmap_has_exactly_the_touched_networks() {
        for (network, first, last) in [
            (prefix([192, 0, 2, 77], 32), [192, 0, 2, 0], [192, 0, 2, 0]),
            (prefix([192, 0, 2, 0], 24), [192, 0, 2, 0], [192, 0, 2, 0]),
            (prefix([10, 1, 2, 0], 23), [10, 1, 2, 0], [10, 1, 3, 0]),
            (prefix([10, 1, 0, 0], 19), [10, 1, 0, 0], [10, 1, 31, 0]),
            (prefix([10, 1, 64, 0], 18), [10, 1, 64, 0], [10, 1, 127, 0]),
            (prefix([10, 0, 0, 0], 8), [10, 0, 0, 0], [10, 255, 255, 0]),
            (prefix([0, 0, 0, 0], 0), [0, 0, 0, 0], [255, 255, 255, 0]),
        ] {
            let bits = bitmap(&[network]);
            let number = |address: [u8; 4]| u32::from_be_bytes(address) >> 8;
            let expected = number(last) - number(first) + 1;
            assert_eq!(bits.values().map(|word| word.count_ones()).sum::<u32>(), expected, "{network:?}");
            for address in [first, last] {
                let (word, bit) = block4_bit(address);
                assert_ne!(bits[&word] & bit, 0, "{network:?} has {address:?}");
            }
        }
    }

    #[test]
    fn what_has_succeeded_before_a_failure_is_known() {
        let odd = |number: &u32| if number % 2 == 1 { Ok(()) } else { Err(*number) };
        assert_eq!(as_far_as_it_goes(&[1, 3, 4, 5], odd), (2, Err(4)));
        assert_eq!(as_far_as_it_goes(&[1, 3], odd), (2, Ok(())));
    }

    #[test]
    fn difference_is_what_only_the_first_has() {
        assert_eq!(difference(&[1, 2, 4, 7], &[2, 3, 7]), [1, 4]);
        assert_eq!(difference(&[1, 2], &[]), [1, 2]);
    }
}
