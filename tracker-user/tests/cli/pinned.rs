//! What a running tracker has written into the kernel, read back from its pinned maps, not by the daemon's code.

use std::net::IpAddr;
use std::path::PathBuf;

use aya::maps::of_maps::ArrayOfMaps;
use aya::maps::{Array, HashMap, LpmTrie, Map, MapData};
use tracker_common::settings::{LAYOUT_VERSION, Settings, names};
use tracker_core::block_list::{BlockList, Network};

use crate::wired::Wired;

/// The maps of a running tracker.
pub(crate) struct Pinned {
    directory: PathBuf,
}

impl Pinned {
    pub(crate) fn of(wired: &Wired) -> Self {
        Self { directory: wired.pins.path().join(format!("v{LAYOUT_VERSION}")) }
    }

    #[track_caller]
    fn map(&self, name: &str) -> MapData {
        let path = self.directory.join(name);
        MapData::from_pin(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Sorted.
    #[track_caller]
    pub(crate) fn access_list(&self) -> Vec<[u8; 20]> {
        let lists = ArrayOfMaps::<_, HashMap<MapData, [u8; 20], u8>>::try_from(Map::ArrayOfMaps(
            self.map(names::ACCESS),
        ));
        let list = lists.expect("it is of that kind").get(&0, 0).expect("it has a list");
        let mut hashes: Vec<_> = list.keys().map(|key| key.expect("it can be read")).collect();
        hashes.sort_unstable();
        hashes
    }

    #[track_caller]
    pub(crate) fn block_list(&self) -> BlockList {
        let networks = self.networks::<4>(names::BLOCK4).chain(self.networks::<16>(names::BLOCK6));
        networks.collect()
    }

    #[track_caller]
    fn networks<const BYTES: usize>(&self, name: &str) -> impl Iterator<Item = Network>
    where
        [u8; BYTES]: Into<IpAddr>,
    {
        let trie = LpmTrie::<_, [u8; BYTES], u8>::try_from(Map::LpmTrie(self.map(name)));
        let trie = trie.expect("it is of that kind");
        let keys: Vec<_> = trie.keys().map(|key| key.expect("it can be read")).collect();
        keys.into_iter().map(|key| {
            let address: IpAddr = key.data().into();
            Network::parse(&format!("{address}/{}", key.prefix_len())).expect("it was one")
        })
    }

    #[track_caller]
    pub(crate) fn settings(&self) -> Settings {
        let map =
            Array::<_, [u32; size_of::<Settings>() / 4]>::try_from(Map::Array(self.map(names::SETTINGS)));
        bytemuck::cast(map.expect("it is of that kind").get(&0, 0).expect("it can be read"))
    }
}
