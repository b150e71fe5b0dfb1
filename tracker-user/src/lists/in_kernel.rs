//! Both lists as the kernel's maps have them.
//!
//! Used by [`Lists`](super::Lists); tested end to end in `tests/cli`.

use std::net::IpAddr;

use tracker_common::wire::InfoHash;
use tracker_core::access_list::AccessList;
use tracker_core::block_list::BlockList;

use crate::bpf::{Kernel, Prefix};

/// What a change of the access list is for the kernel's map.
pub(super) enum Edit<'a> {
    Add(&'a [InfoHash]),
    Remove(&'a [InfoHash]),
    Whole,
}

pub(super) fn replace_access(kernel: &mut Kernel, list: &AccessList) -> anyhow::Result<()> {
    kernel.replace_access(list.len(), list.iter())
}

/// Changes the kernel's map in place where that is possible. A packet may see a part of many additions; a list is seen whole.
pub(super) fn change_access(kernel: &mut Kernel, list: &AccessList, edit: &Edit<'_>) -> anyhow::Result<()> {
    match edit {
        Edit::Add(hashes) => {
            for hash in *hashes {
                if !kernel.add_access(hash)? {
                    return replace_access(kernel, list);
                }
            }
            Ok(())
        }
        Edit::Remove(hashes) => hashes.iter().try_for_each(|hash| kernel.remove_access(hash)),
        Edit::Whole => replace_access(kernel, list),
    }
}

pub(super) fn replace_block(kernel: &mut Kernel, list: &BlockList) -> anyhow::Result<()> {
    let mut v4 = Vec::new();
    let mut v6 = Vec::new();
    for network in list.networks() {
        match network.address {
            IpAddr::V4(ip) => v4.push(Prefix { address: ip.octets(), len: network.prefix_len }),
            IpAddr::V6(ip) => v6.push(Prefix { address: ip.octets(), len: network.prefix_len }),
        }
    }
    kernel.replace_blocks(v4, v6)
}
